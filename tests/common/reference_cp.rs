//! Runs pcopy as cp, and cp itself, in identical sandboxes.

use super::entries::set_times;
use super::plain_user::plain_program;
use super::testtree::leaders;
use super::{Entry, PCOPY, Run, Sandbox, is_root, listing};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The combinations of user and number of copiers that are tried. They must not change the result.
const WAYS: [(User, &str); 4] =
    [(User::Same, "1"), (User::Same, "2"), (User::Same, "8"), (User::Plain, "2")];

#[derive(Clone, Copy, PartialEq, Debug)]
enum User {
    /// The user who runs the tests.
    Same,
    /// The ordinary user, who then owns the whole sandbox.
    Plain,
}

impl Sandbox {
    /// Returns a command that runs pcopy as cp in the sandbox. Does not start it.
    pub(crate) fn cp_command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        self.named_cp(Path::new(PCOPY), arguments)
    }

    /// Runs pcopy as cp to its end.
    pub(crate) fn cp<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run<'_> {
        self.run(self.cp_command(arguments))
    }

    /// Like [`cp`](Self::cp), with answers to its prompts.
    pub(crate) fn cp_answered<A: AsRef<OsStr>>(
        &self,
        answers: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        let mut command = self.cp_command(arguments);
        command.stdin(input(answers));
        self.run(command)
    }

    /// Makes the ordinary user the owner of the sandbox, and runs pcopy as cp as that user.
    pub(crate) fn plain_cp<A: AsRef<OsStr>>(
        &self,
        answers: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        self.give_to_plain_user();
        let mut command = self.named_cp(plain_program(), arguments);
        command.stdin(input(answers));
        become_plain(&mut command);
        self.run(command)
    }

    fn named_cp<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command.arg0("cp").args(arguments).current_dir(self.path("")).stdin(Stdio::null());
        for variable in ["VERSION_CONTROL", "SIMPLE_BACKUP_SUFFIX", "POSIXLY_CORRECT", "PCOPY_JOBS"]
        {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// Returns a standard input that contains this text.
pub(crate) fn input(text: &str) -> Stdio {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

fn become_plain(command: &mut Command) {
    if is_root() {
        command.uid(65534).gid(65534);
    }
}

/// A command line for both programs, with its answers and environment variables.
#[derive(Default)]
pub(crate) struct Line<'a> {
    pub(crate) words: Vec<&'a OsStr>,
    pub(crate) answers: &'a str,
    pub(crate) variables: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    /// Parses a line of words with spaces between them. The word `''` is an empty argument.
    pub(crate) fn of(line: &'a str) -> Self {
        let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
        Self { words: words.map(OsStr::new).collect(), ..Self::default() }
    }
}

/// Returns a line for each combination of a group of options with a group of operands.
pub(crate) fn each(options: &[&str], operands: &[&str]) -> Vec<String> {
    let with = |option: &&str| operands.iter().map(|names| format!("{option} {names}")).collect();
    options.iter().map(with).collect::<Vec<Vec<_>>>().concat()
}

/// Fails unless pcopy does and prints the same as cp for each of these lines, for both users and any number
/// of copiers.
#[track_caller]
pub(crate) fn same_as_cp<L: AsRef<str>>(
    plant: impl Fn(&Sandbox),
    lines: impl IntoIterator<Item = L>,
) {
    let lines: Vec<L> = lines.into_iter().collect();
    let wrong: Vec<_> =
        lines.iter().filter_map(|line| compare(&plant, &Line::of(line.as_ref())).err()).collect();
    assert!(wrong.is_empty(), "{} of {} lines\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

/// Like [`same_as_cp`], for one line that may have answers and variables. Returns the result of cp.
#[track_caller]
pub(crate) fn line_same_as_cp(plant: impl Fn(&Sandbox), line: &Line<'_>) -> End {
    compare(&plant, line).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn compare(plant: &impl Fn(&Sandbox), line: &Line<'_>) -> Result<End, String> {
    let mut last = None;
    for user in [User::Same, User::Plain] {
        let theirs = end(plant, &reference(), user, None, line);
        for (_, jobs) in WAYS.into_iter().filter(|way| way.0 == user) {
            let program = if user == User::Plain { plain_program() } else { Path::new(PCOPY) };
            let ours = end(plant, program, user, Some(jobs), line);
            if ours != theirs {
                let words = line.words.join(OsStr::new(" "));
                return Err(format!(
                    "--- cp {} {:?} with {jobs} copiers as {user:?}\n{}",
                    words.to_string_lossy(),
                    line.variables,
                    theirs.difference(&ours)
                ));
            }
        }
        last = Some(theirs);
    }
    Ok(last.unwrap())
}

/// Returns the cp to compare with: `PCOPY_CP`, or the installed one.
fn reference() -> PathBuf {
    std::env::var_os("PCOPY_CP").unwrap_or("cp".into()).into()
}

/// Whether the cp to compare with is older than 9.2, which worded some messages differently.
pub(crate) fn reference_is_old() -> bool {
    static OLD: OnceLock<bool> = OnceLock::new();
    *OLD.get_or_init(|| {
        let output = Command::new(reference()).args(["--debug", "--version"]).output().unwrap();
        !output.status.success()
    })
}

/// What a run did and printed. The lines are sorted, because several copiers print them in any order.
#[derive(PartialEq, Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    pub(crate) tree: BTreeMap<PathBuf, State>,
}

impl End {
    /// Describes how the results of cp and pcopy differ.
    fn difference(&self, ours: &Self) -> String {
        let mut text = String::new();
        if (self.code, &self.stdout, &self.stderr) != (ours.code, &ours.stdout, &ours.stderr) {
            for (who, end) in [("cp", self), ("pcopy", ours)] {
                writeln!(text, "{who}: {:?} {:?} {:?}", end.code, end.stdout, end.stderr).unwrap();
            }
        }
        let paths: BTreeSet<_> = self.tree.keys().chain(ours.tree.keys()).collect();
        for path in paths {
            let (theirs, ours) = (self.tree.get(path), ours.tree.get(path));
            if theirs != ours {
                writeln!(text, "{path:?}\n  cp: {theirs:?}\n  pcopy: {ours:?}").unwrap();
            }
        }
        text
    }
}

/// An entry after the run.
#[derive(PartialEq, Debug)]
pub(crate) struct State {
    pub(crate) entry: Entry,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// The first path of the tree that has the same inode.
    pub(crate) leader: PathBuf,
    /// Whether the path had the same inode before the run.
    pub(crate) same_inode: bool,
}

fn end(
    plant: &impl Fn(&Sandbox),
    program: &Path,
    user: User,
    jobs: Option<&str>,
    line: &Line<'_>,
) -> End {
    let env = Sandbox::new();
    plant(&env);
    age(&env);
    if user == User::Plain {
        env.give_to_plain_user();
    }
    let before = held(&env);
    let mut command = env.named_cp(program, &line.words);
    command.envs(line.variables.iter().copied()).stdin(input(line.answers));
    if let Some(jobs) = jobs {
        command.env("PCOPY_JOBS", jobs);
    }
    if user == User::Plain {
        become_plain(&mut command);
    }
    let run = env.run(command);
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.replace("? ", "?\n").lines().map(in_new_words).collect();
        lines.sort();
        lines
    };
    let mut tree = states(&env, &before);
    if !run.status.success() {
        // A name that a failing run makes and removes changes the time of its directory.
        let dirs = tree.values_mut().filter(|state| state.entry.mode & 0o170_000 == 0o040_000);
        dirs.for_each(|state| state.entry.modified = (0, 0));
    }
    End { code: run.status.code(), stdout: lines(&run.stdout), stderr: lines(&run.stderr), tree }
}

/// Removes the part of a line that an old cp does not print.
fn in_new_words(line: &str) -> String {
    let ending = line.find(" with non-directory '").filter(|_| reference_is_old());
    line[..ending.map_or(line.len(), |at| at + " with non-directory".len())].to_owned()
}

/// Moves the times of planted entries into the past. Times that the test has set itself do not change.
fn age(env: &Sandbox) {
    for (path, entry) in listing(&env.path("")).into_iter().rev() {
        if entry.modified.0 > RECENT {
            set_times(&env.path(path), (100, 7), (100, 7));
        }
    }
}

/// Times below this number of seconds were set by the test.
const RECENT: i64 = 1_000_000;

/// Returns the inode of each path. Each inode is held open, so that its number cannot be reused.
fn held(env: &Sandbox) -> BTreeMap<PathBuf, (u64, File)> {
    let hold = |path: PathBuf| {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(env.path(&path));
        let file = file.unwrap();
        (path, (file.metadata().unwrap().ino(), file))
    };
    env.listing("").into_keys().map(hold).collect()
}

fn states(env: &Sandbox, before: &BTreeMap<PathBuf, (u64, File)>) -> BTreeMap<PathBuf, State> {
    let leaders = leaders(&env.path(""));
    let state = |(path, mut entry): (PathBuf, Entry)| {
        if entry.modified.0 > RECENT {
            entry.modified = (i64::MAX, 0); // changed by the run
        }
        let metadata = fs::symlink_metadata(env.path(&path)).unwrap();
        let owner = (metadata.uid(), metadata.gid());
        let leader = leaders[&path].clone();
        let same_inode = before.get(&path).is_some_and(|(old, _)| *old == metadata.ino());
        (path, State { entry, owner, leader, same_inode })
    };
    env.listing("").into_iter().map(state).collect()
}
