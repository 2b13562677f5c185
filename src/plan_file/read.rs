//! Reads a plan, and refuses one that is damaged.

use super::json::{CHECK_DIGITS, CHECK_KEY, check_value, from_base64};
use super::{
    Change, Header, Operation, Place, PlanFile, Root, Seen, TYPE_BITS, TYPES, VERSION, time,
};
use pcopy_sys::file::Stamp;
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Why a plan cannot be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

const NO_PLAN: &str = "it is not the first line of a plan";
const CHANGED: &str = "the line was changed, or is of another plan";
const OUT_OF_PLACE: &str = "the line occurs twice, or is not in its place";
const OTHER_VERSION: &str = "another version of pcopy has written it";
const NO_END: &str = "the last line is missing: the plan was interrupted, or is cut off";
const AFTER_END: &str = "nothing may follow the last line of the plan";

impl PlanFile {
    /// Reads a plan. Lines of operations may be missing; all else must be as it was written.
    pub fn parse(text: &[u8]) -> Result<Self, Damage> {
        let mut lines = (1..).zip(text.split_inclusive(|&byte| byte == b'\n'));
        let damage = |why| move |line| Damage { line, why };
        let (_, first) = lines.next().ok_or(Damage { line: 1, why: NO_PLAN })?;
        let (seed, value) = open(first, "").ok_or(damage(NO_PLAN)(1))?;
        if value["type"] != "plan" {
            return Err(damage(NO_PLAN)(1));
        }
        if value["v"] != VERSION {
            return Err(damage(OTHER_VERSION)(1));
        }
        let header = header(&value).ok_or(damage(OTHER_VERSION)(1))?;
        let (mut operations, mut last, mut count) = (Vec::new(), 0, 1);
        while let Some((number, line)) = lines.next() {
            count = number;
            let (_, value) = open(line, &seed).ok_or(Damage { line: number, why: CHANGED })?;
            if value["type"] == "end" {
                if let Some((number, _)) = lines.next() {
                    return Err(Damage { line: number, why: AFTER_END });
                }
                let kept = value["kept"].as_u64();
                let kept = kept.ok_or(Damage { line: number, why: OTHER_VERSION })?;
                return Ok(Self { header, operations, kept });
            }
            let place = value["n"].as_u64().unwrap_or(0);
            if place <= last {
                return Err(Damage { line: number, why: OUT_OF_PLACE });
            }
            last = place;
            let operation = operation(&value, header.roots.len());
            operations.push(operation.ok_or(Damage { line: number, why: OTHER_VERSION })?);
        }
        Err(Damage { line: count + 1, why: NO_END })
    }
}

/// Returns the check value and the contents of a line; `None` if they do not fit each other.
fn open(line: &[u8], seed: &str) -> Option<(String, Value)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let sealed = line.strip_suffix("\"}")?;
    let contents = sealed.get(..sealed.len().checked_sub(CHECK_DIGITS)?)?;
    let check = &sealed[contents.len()..];
    let contents = contents.strip_suffix(CHECK_KEY)?;
    if check_value(seed, contents) != check {
        return None;
    }
    let value: Value = serde_json::from_str(line).ok()?;
    value.is_object().then(|| (check.to_owned(), value))
}

fn header(value: &Value) -> Option<Header> {
    let words: Option<Vec<Vec<u8>>> = match value.get("argv_b64") {
        Some(words) => words.as_array()?.iter().map(|word| from_base64(word.as_str()?)).collect(),
        None => {
            let words = value["argv"].as_array()?.iter();
            words.map(|word| Some(word.as_str()?.as_bytes().to_vec())).collect()
        }
    };
    let is_word = |word: &Vec<u8>| !word.contains(&0);
    let words = words.filter(|words| !words.is_empty() && words.iter().all(is_word))?;
    let roots: Option<Vec<Root>> = value["roots"].as_array()?.iter().map(root).collect();
    Some(Header {
        time: stamp(&value["time"])?,
        arguments: words.into_iter().map(OsString::from_vec).collect(),
        dir: name(value, "dir")?,
        roots: roots?,
    })
}

fn root(value: &Value) -> Option<Root> {
    Some(Root {
        source: name(value, "source")?,
        target: name(value, "target")?,
        source_place: place(&value["source_place"])?,
        target_dir: place(&value["target_dir"])?,
        target_place: optional(value.get("target_place")?, place)?,
    })
}

fn place(value: &Value) -> Option<Place> {
    let identity = (large_number(&value["dev"])?, large_number(&value["ino"])?);
    Some(Place { identity, file_system: large_number(&value["fsid"])? })
}

fn operation(value: &Value, roots: usize) -> Option<Operation> {
    let operand = |key: &str| {
        let number = u32::try_from(value[key].as_u64()?).ok()?;
        ((number as usize) < roots).then_some(number)
    };
    let op = value["op"].as_str()?;
    let (change, _) = Change::ALL.into_iter().find(|(_, name)| *name == op)?;
    let link_to = match value.get("link_to") {
        Some(_) => Some((operand("link_operand")?, path(value, "link_to")?)),
        None => None,
    };
    let (source, target) =
        (optional(value.get("source")?, seen)?, optional(value.get("target")?, seen)?);
    // What is removed is in the target alone; all else has a source.
    let is_complete = if change == Change::Remove { target.is_some() } else { source.is_some() };
    is_complete.then_some(Operation {
        operand: operand("operand")?,
        path: path(value, "path")?,
        change,
        source,
        target,
        link_to,
    })
}

fn seen(value: &Value) -> Option<Seen> {
    let kind = value["type"].as_str()?;
    let (kind, _) = TYPES.iter().find(|(_, name)| *name == kind)?;
    let number = |key: &str| u32::try_from(value[key].as_u64()?).ok();
    Some(Seen {
        mode: kind | u32::from_str_radix(value["mode"].as_str()?, 8).ok()? & !TYPE_BITS,
        identity: (large_number(&value["dev"])?, large_number(&value["ino"])?),
        links: value["links"].as_u64()?,
        user: number("uid")?,
        group: number("gid")?,
        size: large_number(&value["size"])?,
        modified: stamp(&value["mtime"])?,
        changed: stamp(&value["ctime"])?,
    })
}

/// Returns a value that may be null. The outer option is `None` if it is neither.
fn optional<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

fn large_number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn stamp(value: &Value) -> Option<Stamp> {
    time::of_text(value.as_str()?)
}

/// Returns the bytes of a name.
fn name(value: &Value, key: &str) -> Option<Vec<u8>> {
    let bytes = match value.get(format!("{key}_b64")) {
        Some(bytes) => from_base64(bytes.as_str()?)?,
        None => value.get(key)?.as_str()?.as_bytes().to_vec(),
    };
    (!bytes.contains(&0)).then_some(bytes)
}

/// Returns a path below an operand: it leads nowhere else.
fn path(value: &Value, key: &str) -> Option<Vec<u8>> {
    let path = name(value, key)?;
    let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    (path.is_empty() || path.split(|&byte| byte == b'/').all(is_name)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::super::{Writer, sealed};
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn sample_seen(mode: u32) -> Seen {
        Seen {
            mode,
            identity: (u64::MAX, 7),
            links: 2,
            user: 0,
            group: u32::MAX,
            size: u64::MAX,
            modified: Stamp { seconds: -1, nanoseconds: 5 },
            changed: Stamp { seconds: i64::MAX, nanoseconds: 999_999_999 },
        }
    }

    fn operations() -> Vec<Operation> {
        let file = Some(sample_seen(0o100_644));
        let all_bytes: Vec<u8> = (1..=255).filter(|&byte| byte != b'/').collect();
        let operation = |path: &[u8], change| Operation {
            operand: 1,
            path: path.to_vec(),
            change,
            source: file,
            target: None,
            link_to: None,
        };
        vec![
            operation(b"", Change::Create),
            operation(&all_bytes, Change::Create),
            operation("a/\u{202e}b\u{fffd}".as_bytes(), Change::Replace),
            Operation { link_to: Some((0, b"x/\xff".to_vec())), ..operation(b"l", Change::Link) },
            Operation { source: None, target: file, ..operation(b"old", Change::Remove) },
        ]
    }

    fn sample() -> (PlanFile, String) {
        let place = Place { identity: (1, 2), file_system: u64::MAX };
        let root = |target_place| Root {
            source: b"s\xff".to_vec(),
            target: b"d".to_vec(),
            source_place: place,
            target_dir: place,
            target_place,
        };
        let header = Header {
            time: Stamp { seconds: 0, nanoseconds: 0 },
            arguments: vec!["pcopy".into(), OsStr::from_bytes(b"s\xff").to_owned(), "d".into()],
            dir: b"/".to_vec(),
            roots: vec![root(None), root(Some(place))],
        };
        let (mut writer, mut text) = Writer::begin(&header);
        let operations = operations();
        operations.iter().for_each(|operation| text += &writer.operation(operation));
        text += &writer.end(9);
        (PlanFile { header, operations, kept: 9 }, text)
    }

    #[test]
    fn a_plan_survives_the_file() {
        let (plan, text) = sample();
        assert_eq!(PlanFile::parse(text.as_bytes()), Ok(plan));
        assert!(!text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'));
    }

    #[test]
    fn lines_of_operations_may_be_missing_in_any_combination() {
        let (plan, text) = sample();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let count = plan.operations.len();
        for left in 0..1_usize << count {
            let is_left = |number: &usize| left >> number & 1 == 1;
            let operations: String =
                (0..count).filter(is_left).map(|number| lines[number + 1]).collect();
            let text = [lines[0], &operations, lines[count + 1]].concat();
            let expected: Vec<_> =
                (0..count).filter(is_left).map(|n| plan.operations[n].clone()).collect();
            assert_eq!(PlanFile::parse(text.as_bytes()).unwrap().operations, expected);
        }
    }

    #[test]
    fn each_changed_byte_is_found_with_its_line() {
        let (_, text) = sample();
        let mut line = 1;
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            let is_newline = changed[at] == b'\n';
            changed[at] ^= 1;
            let damage = PlanFile::parse(&changed).unwrap_err();
            assert_eq!(damage.line, line, "byte {at}: {damage:?}");
            line += usize::from(is_newline);
        }
    }

    #[test]
    fn lines_that_are_doubled_moved_added_or_cut_off_are_found() {
        let (_, text) = sample();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let last = lines.len() - 1;
        let of_other = {
            let (mut writer, _) =
                Writer::begin(&Header { dir: b"/x".to_vec(), ..sample().0.header });
            writer.operation(&operations()[0])
        };
        let damage = |lines: &[&str]| PlanFile::parse(lines.concat().as_bytes()).unwrap_err();
        let at = |line, why| Damage { line, why };
        assert_eq!(damage(&[lines[0], lines[1], lines[1], lines[last]]), at(3, OUT_OF_PLACE));
        assert_eq!(damage(&[lines[0], lines[2], lines[1], lines[last]]), at(3, OUT_OF_PLACE));
        assert_eq!(damage(&[lines[0], &of_other, lines[last]]), at(2, CHANGED));
        assert_eq!(damage(&[lines[0], "\n", lines[last]]), at(2, CHANGED));
        assert_eq!(damage(&lines[..last]), at(last + 1, NO_END));
        assert_eq!(damage(&[lines[0]]), at(2, NO_END));
        assert_eq!(damage(&[&text, "\n"]), at(last + 2, AFTER_END));
        assert_eq!(damage(&[&text, lines[last]]), at(last + 2, AFTER_END));
        assert_eq!(damage(&[]), at(1, NO_PLAN));
        assert_eq!(damage(&lines[1..]), at(1, NO_PLAN));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let (_, text) = sample();
        let lines: Vec<&str> = text.lines().collect();
        let without_check = |line: &str| line.split(CHECK_KEY).next().unwrap().to_owned();
        let [header, operation, end] = [lines[0], lines[4], lines[6]].map(without_check);
        let parse = |operation: &str| {
            PlanFile::parse(sealed(&[&header, operation, &end]).as_bytes()).map(|_| ())
        };
        assert_eq!(parse(&operation), Ok(()));
        for path in ["..", "a/../b", "/a", "a//b", "a/", "./a", "a\\u0000b"] {
            let changed = operation.replace("\"path\":\"l\"", &format!("\"path\":\"{path}\""));
            assert_ne!(changed, operation);
            assert_eq!(parse(&changed), Err(Damage { line: 2, why: OTHER_VERSION }), "{path}");
        }
    }
}
