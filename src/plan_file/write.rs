//! Writes a plan, line by line.

use super::json::{Line, base64, quoted};
use super::{Change, Header, Operation, Place, Root, Seen, VERSION, time};
use std::os::unix::ffi::OsStrExt;

/// Makes the lines of a plan.
pub struct Writer {
    /// The check value of the header.
    seed: String,
    /// How many operations there are so far.
    operations: u64,
    /// How many of each kind.
    sums: [u64; Change::ALL.len()],
}

impl Writer {
    /// Begins a plan. Returns also its first line.
    pub fn begin(header: &Header) -> (Self, String) {
        let roots: Vec<String> = header.roots.iter().map(root).collect();
        let line = Line::new()
            .text("type", "plan")
            .number("v", VERSION)
            .text("pcopy", env!("CARGO_PKG_VERSION"))
            .text("time", &time::to_text(header.time));
        let (line, seed) = arguments(line, header)
            .name("dir", &header.dir)
            .raw("roots", &format!("[{}]", roots.join(",")))
            .seal("");
        (Self { seed, operations: 0, sums: Default::default() }, line)
    }

    /// Returns the line of the next operation.
    pub fn operation(&mut self, operation: &Operation) -> String {
        let Operation { operand, path, change, source, target, link_to } = operation;
        self.operations += 1;
        let kind = Change::ALL.iter().position(|(known, _)| known == change).unwrap_or_default();
        self.sums[kind] += 1;
        let mut line = Line::new()
            .number("n", self.operations)
            .text("op", Change::ALL[kind].1)
            .number("operand", (*operand).into())
            .name("path", path);
        if let Some((operand, path)) = link_to {
            line = line.number("link_operand", (*operand).into()).name("link_to", path);
        }
        line.raw("source", &seen(source.as_ref()))
            .raw("target", &seen(target.as_ref()))
            .seal(&self.seed)
            .0
    }

    /// Returns the last line. `kept` is the number of entries that the target keeps.
    pub fn end(self, kept: u64) -> String {
        let mut line = Line::new()
            .text("type", "end")
            .number("operations", self.operations)
            .number("kept", kept);
        for ((_, name), sum) in Change::ALL.iter().zip(self.sums) {
            line = line.number(name, sum);
        }
        line.seal(&self.seed).0
    }
}

/// Adds the command line, as an array. If one of the arguments is not UTF-8, `argv_b64` has the bytes of all of them.
fn arguments(line: Line, header: &Header) -> Line {
    let words = || header.arguments.iter().map(|word| word.as_bytes());
    let array = |values: Vec<String>| format!("[{}]", values.join(","));
    let texts = words().map(|word| quoted(&String::from_utf8_lossy(word))).collect();
    let line = line.raw("argv", &array(texts));
    if words().all(|word| std::str::from_utf8(word).is_ok()) {
        return line;
    }
    let bytes = words().map(|word| quoted(&base64(word))).collect();
    line.raw("argv_b64", &array(bytes))
}

fn root(root: &Root) -> String {
    Line::new()
        .name("source", &root.source)
        .name("target", &root.target)
        .raw("source_place", &place(Some(&root.source_place)))
        .raw("target_dir", &place(Some(&root.target_dir)))
        .raw("target_place", &place(root.target_place.as_ref()))
        .end()
}

fn place(place: Option<&Place>) -> String {
    let Some(Place { identity: (device, inode), file_system }) = place else {
        return "null".to_owned();
    };
    Line::new()
        .large_number("dev", *device)
        .large_number("ino", *inode)
        .large_number("fsid", *file_system)
        .end()
}

fn seen(seen: Option<&Seen>) -> String {
    let Some(seen) = seen else { return "null".to_owned() };
    Line::new()
        .text("type", seen.type_name().unwrap_or("file"))
        .text("mode", &format!("{:04o}", seen.mode & !super::TYPE_BITS))
        .number("uid", seen.user.into())
        .number("gid", seen.group.into())
        .large_number("size", seen.size)
        .text("mtime", &time::to_text(seen.modified))
        .text("ctime", &time::to_text(seen.changed))
        .large_number("dev", seen.identity.0)
        .large_number("ino", seen.identity.1)
        .number("links", seen.links)
        .end()
}
