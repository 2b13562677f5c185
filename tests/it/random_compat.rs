//! GNU cp compatibility: random command lines on random trees, compared with cp. The messages must be the
//! same, too.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more,
//! and `PCOPY_CP=path` compares with another cp.

use crate::common::chance::runner;
use crate::common::entries::*;
use crate::common::small_trees::{Thing, Things, tree_of};
use crate::common::testtree::{leaders, plant};
use crate::common::*;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PATHS: [&str; 11] = ["a", "b", "b~", "c", "d", "d/a", "d/b", "d/e", "d/e/f", "g", "g/b"];

const LEADS_TO: [&str; 9] = ["a", "b", "../a", "d", "../g", "nowhere", ".", "../d/e", "c"];

/// Files outside the target, one for each symlink of the target. If two symlinks led to one file, the order
/// of the writes would decide its contents.
const OUTSIDE: [&str; 11] = [
    "../out0",
    "../out1",
    "../out2",
    "../out3",
    "../out4",
    "../../out5",
    "../../out6",
    "../../out7",
    "../../../out8",
    "../out9",
    "../../out10",
];

fn thing() -> impl Strategy<Value = Thing> {
    let mode = select(vec![0o644_u32, 0o755, 0o600, 0o640, 0o711, 0o444, 0o4755]);
    let time = select(vec![100_i64, 200, 300]);
    (0..10, 0..40_usize, mode, time, select(LEADS_TO.to_vec())).prop_map(
        |(kind, bytes, mode, time, to)| match kind {
            0 | 1 => Thing::Dir { mode: (mode & 0o777) | 0o700, time },
            5 => Thing::Fifo { mode: mode & 0o777, time },
            6 | 7 => Thing::Symlink { to, time },
            8 => Thing::HardLink { of: bytes },
            _ => Thing::File { bytes, mode, time },
        },
    )
}

fn things() -> impl Strategy<Value = Things> {
    let paths = subsequence(PATHS.to_vec(), 0..PATHS.len());
    (paths, prop::collection::vec(thing(), PATHS.len()))
        .prop_map(|(paths, things)| paths.into_iter().zip(things).collect())
}

/// Returns the entries of a target. It has no FIFOs, because cp would write into them, and no hard links.
fn target_things() -> impl Strategy<Value = Things> {
    things().prop_map(|things| {
        let number = |path: &str| PATHS.iter().position(|known| *known == path).unwrap();
        things
            .into_iter()
            .map(|(path, thing)| match thing {
                Thing::Fifo { mode, time } => {
                    (path, Thing::File { bytes: 3, mode: mode & 0o777, time })
                }
                Thing::HardLink { of } => (path, Thing::File { bytes: of, mode: 0o644, time: 150 }),
                Thing::Symlink { to: "nowhere", .. } => (path, thing),
                Thing::Symlink { time, .. } => {
                    (path, Thing::Symlink { to: OUTSIDE[number(path)], time })
                }
                Thing::File { bytes, mode, time } => {
                    (path, Thing::File { bytes, mode: mode & 0o777, time })
                }
                other => (path, other),
            })
            .collect()
    })
}

/// The options of a command line, its operands, and whether prompts are answered with yes.
type Line = (Vec<&'static str>, Vec<&'static str>, bool);

fn line() -> impl Strategy<Value = Line> {
    let one = |words: &[&'static str]| select(words.to_vec());
    let forms: Vec<Vec<&'static str>> = [
        "-T src dst",
        "src dst",
        "src/. dst",
        "src new",
        "-T src new",
        "src/ dst/",
        "src/a dst",
        "src/a dst/b",
        "src/d dst/d",
        "src/a src/b src/d dst",
        "src/a src/d src/nothing dst",
        "src/a src/a src/d/a dst",
        "src/d src/g src/d dst",
        "src/d/b src/g/b dst",
        "src/d dst/b",
        "--parents src/d/e dst",
        "--parents src/d/a src/g/b dst/d",
        "-t dst src/b src/g",
        "dst/a dst/b",
        "dst/a dst/a",
        "src src/new",
        "src/d src/d",
        "src/a new/",
        "src/b ./new",
        "src/a dst/b/c",
        "src/c src/g/b src/d/b dst/d/",
    ]
    .iter()
    .map(|form| form.split(' ').collect())
    .collect();
    (
        (
            one(&["-r", "-R", "-r", "-a", ""]),
            one(&[
                "",
                "-p",
                "-d",
                "--preserve=mode",
                "--preserve=links,timestamps",
                "--no-preserve=mode",
            ]),
            one(&["", "", "-P", "-L", "-H"]),
            one(&["", "", "", "-u", "-n", "-i"]),
            one(&["", "", "-b", "--backup=numbered", "--backup=simple", "-S.old"]),
        ),
        (
            one(&["", "", "", "", "-l", "-s", "--attributes-only"]),
            one(&["", "", "-f", "--remove-destination"]),
            one(&["", "-v", "-v"]),
            one(&["", "", "--sparse=always", "--reflink=never", "--strip-trailing-slashes", "-x"]),
        ),
        select(forms),
        any::<bool>(),
    )
        .prop_map(|(one, two, form, yes)| {
            let backup = if one.3 == "-n" { "" } else { one.4 }; // they exclude each other
            let words = [one.0, one.1, one.2, one.3, backup, two.0, two.1, two.2, two.3];
            (words.into_iter().filter(|word| !word.is_empty()).collect(), form, yes)
        })
}

/// Whether the result depends on the order of the entries, which several processes do not preserve.
fn is_chance(source: &Things, target: &Things, (words, form, _): &Line) -> bool {
    let has = |option: &str| words.iter().any(|word| word.starts_with(option));
    let backs_up = has("-b") || has("--backup") || has("-S");
    let meets_backup = backs_up && source.keys().any(|path| path.ends_with('~'));
    // A FIFO that is read like a file would never end.
    let reads = !has("-r") && !has("-R") && !has("-a");
    let has_fifo = source.values().any(|thing| matches!(thing, Thing::Fifo { .. }));
    // The result shows which name of a file came first, where links replace or follow something.
    let has_link = source.values().any(|thing| matches!(thing, Thing::HardLink { .. }));
    let preserves_links = has("-a") || has("-d") || has("--preserve=links");
    // cp makes links of what -u skips, even where it preserves none.
    let shows_first = has_link && (has("-u") || preserves_links && (has("-v") || backs_up));
    let meets_link = target.values().any(|thing| matches!(thing, Thing::Symlink { .. }));
    let shows_first = shows_first || has_link && preserves_links && meets_link;
    // Symlinks to one file become hard links then, and so on.
    let joins_symlinks = preserves_links && (has("-L") || has("-H"));
    // cp moves or removes the source then before it copies it; where symlinks are followed it does not end.
    let follows = has("-L") || has("-H") || has("-l");
    let itself = (backs_up || has("--remove") || follows) && form[0] == form[1];
    // cp links what -u skips the second time to itself.
    let twice = has("-u")
        && backs_up
        && form.iter().any(|word| form.iter().filter(|other| *other == word).count() > 1);
    let skipped = has("-u") && has("-l");
    let by_detour = matches!(source.get("d"), Some(Thing::Symlink { to: ".", .. }))
        && form.contains(&"src/d/a");
    by_detour
        || skipped
        || itself
        || twice
        || meets_backup
        || reads && has_fifo
        || shows_first
        || joins_symlinks
}

/// Returns a tree with its hard links, and without the times of entries that a run has just changed.
fn state(root: &Path) -> BTreeMap<PathBuf, (Entry, PathBuf)> {
    let leaders = leaders(root);
    let without_new_times = |(path, mut entry): (PathBuf, Entry)| {
        if entry.modified.0 > 1000 {
            entry.modified = (i64::MAX, 0);
        }
        let leader = leaders[&path].clone();
        (path, (entry, leader))
    };
    listing(root).into_iter().map(without_new_times).collect()
}

/// What a run did and printed, with the lines in any order.
#[derive(PartialEq, Debug)]
struct End {
    code: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
    tree: BTreeMap<PathBuf, (Entry, PathBuf)>,
}

fn run(program: &Path, jobs: Option<&str>, source: &Things, target: &Things, line: &Line) -> End {
    let (words, form, yes) = line;
    let env = Sandbox::new();
    fs::create_dir(env.path("work")).unwrap();
    plant(&tree_of(source, b"source"), &env.path("work/src"));
    plant(&tree_of(target, b"target"), &env.path("work/dst"));
    for number in 0..11 {
        fs::write(env.path(format!("work/out{number}")), format!("outside {number}")).unwrap();
        set_times(&env.path(format!("work/out{number}")), (60, 7), (60, 7));
    }
    let mut command = Command::new(program);
    command.arg0("cp").args(words).args(form).current_dir(env.path("work"));
    command.env("LC_ALL", "C").env_remove("VERSION_CONTROL").env_remove("PCOPY_JOBS");
    if let Some(jobs) = jobs {
        command.env("PCOPY_JOBS", jobs);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let answers = if *yes { "y\n" } else { "n\n" }.repeat(100);
    // A run without prompts may have ended before it could read the answers.
    let answered = child.stdin.take().unwrap().write_all(answers.as_bytes());
    assert!(
        answered.is_ok()
            || answered.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    );
    let output = child.wait_with_output().unwrap();
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace("? ", "?\n");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    End {
        code: output.status.code(),
        stdout: lines(&output.stdout),
        stderr: lines(&output.stderr),
        tree: state(&env.path("work")),
    }
}

/// Whether the cp to compare with is older than 9.2, which behaves differently in some cases.
fn is_old(cp: &Path) -> bool {
    let output = Command::new(cp).args(["--debug", "--version"]).output().unwrap();
    !output.status.success()
}

fn check(source: &Things, target: &Things, line: &Line, jobs: &str) -> Result<(), TestCaseError> {
    let cp = PathBuf::from(std::env::var_os("PCOPY_CP").unwrap_or(OsString::from("cp")));
    let old = is_old(&cp);
    let mut theirs = run(&cp, None, source, target, line);
    let mut ours = run(Path::new(PCOPY), Some(jobs), source, target, line);
    if old {
        let has = |option: &str| line.0.iter().any(|word| word.starts_with(option));
        let backs_up = has("-b") || has("--backup") || has("-S");
        if has("-i") || backs_up {
            return Ok(());
        }
        for end in [&mut theirs, &mut ours] {
            for line in &mut end.stderr {
                let named =
                    line.find(" with non-directory").filter(|_| line.contains("overwrite dir"));
                line.truncate(named.unwrap_or(line.len()));
            }
        }
    }
    // A name that a failing run makes and removes changes the time of its directory.
    let forget_times = |mut end: End| {
        let dirs = end.tree.values_mut().filter(|(entry, _)| entry.mode & 0o170_000 == 0o040_000);
        dirs.for_each(|(entry, _)| entry.modified = (0, 0));
        end
    };
    let (theirs, ours) = if theirs.code == Some(0) {
        (theirs, ours)
    } else {
        (forget_times(theirs), forget_times(ours))
    };
    if theirs == ours {
        return Ok(());
    }
    // cp has removed by then what it cannot replace, and leaves directories without their modes.
    let is_exempt = |line: &String| {
        line.contains("can make relative")
            || line.contains("cannot backup") // before it finds that it can make no link
            || line.contains("failed to get attributes")
            || line.contains("cannot overwrite non-directory") // once more if named twice
    };
    if theirs.stderr.iter().any(is_exempt) && theirs.code == ours.code {
        return Ok(());
    }
    // It tries to link what -u skipped, even directories.
    let links_dir = |line: &String| {
        line.contains("Operation not permitted")
            || line.contains("hard link") && line.contains("Is a dir")
    };
    // pcopy moves nothing back that it did not move away.
    let moved_back = theirs.stdout.iter().any(|line| line.contains("(unbackup)"));
    if moved_back || theirs.stderr.iter().any(links_dir) {
        return Ok(());
    }
    let mut wrong = String::new();
    for (path, entry) in &theirs.tree {
        if ours.tree.get(path) != Some(entry) {
            wrong += &format!("{path:?}\n  {entry:?}\n  {:?}\n", ours.tree.get(path));
        }
    }
    for path in ours.tree.keys().filter(|path| !theirs.tree.contains_key(*path)) {
        wrong += &format!("extra {path:?}\n");
    }
    let output = |end: &End| format!("{:?}\n{:#?}\n{:#?}", end.code, end.stdout, end.stderr);
    let line = format!("cp {} {}", line.0.join(" "), line.1.join(" "));
    Err(TestCaseError::fail(format!(
        "{line}\n-j {jobs}\n{wrong}--- cp\n{}\n--- pcopy\n{}",
        output(&theirs),
        output(&ours)
    )))
}

#[test]
fn as_cp_it_does_and_prints_what_cp_does_and_prints() {
    let (mut runner, seed) = runner(300, 500);

    let result = runner.run(
        &(things(), target_things(), line(), any::<Index>()),
        |(source, target, line, jobs)| {
            prop_assume!(!is_chance(&source, &target, &line));
            check(&source, &target, &line, ["1", "2", "8"][jobs.index(3)])
        },
    );

    if let Err(error) = result {
        panic!("PCOPY_SEED={seed}: {error}");
    }
}
