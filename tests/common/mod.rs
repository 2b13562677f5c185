//! A sandbox in which tests run the program, and comparisons that share no code with the program.

pub(crate) mod attack;
pub(crate) mod chance;
pub(crate) mod checksum_programs;
pub(crate) mod entries;
pub(crate) mod habits;
pub(crate) mod helpers;
pub(crate) mod images;
pub(crate) mod large_files;
pub(crate) mod live;
pub(crate) mod mounts;
pub(crate) mod plain_user;
pub(crate) mod reference_cp;
pub(crate) mod small_trees;
pub(crate) mod test_name;
pub(crate) mod testtree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The path of the program under test.
pub(crate) const PCOPY: &str = env!("CARGO_BIN_EXE_pcopy");

/// The environment variable that names a directory for the sandboxes. Without it they are in memory.
pub(crate) const PLACE: &str = "PCOPY_TEST_PLACE";

/// The time after which a run counts as hung.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A temporary directory: below [`PLACE`], or in memory if the machine has `/dev/shm`.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// Makes tests of the program `timing` run one at a time: waits for the tests that have begun, and lets no
/// other test begin until this thread ends. Each test has its own thread, or all tests share one thread.
pub(crate) fn run_alone() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    thread_local! {
        static TURN: MutexGuard<'static, ()> =
            ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    }
    if env!("CARGO_CRATE_NAME") == "timing" {
        TURN.with(|_| ());
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !is_root() {
            // Directories without permissions for their owner could not be removed.
            let opened = Command::new("chmod").args(["-fR", "u+rwX"]).arg(self.dir.path()).status();
            assert!(opened.is_ok());
        }
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let shm = PathBuf::from("/dev/shm");
        let memory = || if shm.is_dir() { shm } else { std::env::temp_dir() };
        Self::within(&std::env::var_os(PLACE).map_or_else(memory, PathBuf::from))
    }

    /// Creates a sandbox on the file system of `base`.
    pub(crate) fn within(base: &Path) -> Self {
        run_alone();
        let dir = tempfile::Builder::new().prefix("pcopy-test-").tempdir_in(base).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// Returns the absolute path of `name` in the sandbox. An absolute `name` is returned unchanged.
    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.path().join(Path::new(name.as_ref()))
    }

    /// Returns a command that runs `pcopy` with these arguments in the sandbox. Does not start it.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(PCOPY);
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", "C.UTF-8");
        command
    }

    /// Runs `pcopy` to its end, with the summary that it prints on a terminal: many tests look at its counts.
    pub(crate) fn pcopy<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run<'_> {
        let mut run = self.run(self.command(with_summary(arguments)));
        run.stderr = without_progress_lines(&run.stderr);
        run
    }

    /// Runs a command to its end. Fails if the command takes longer than [`HANG`].
    pub(crate) fn run(&self, mut command: Command) -> Run<'_> {
        let shown = format!("{command:?}");
        let out = tempfile::tempfile().unwrap();
        let err = tempfile::tempfile().unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let status = wait(&mut child, HANG).unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("{shown} hung\n{}", self.show());
        });
        Run { sandbox: self, shown, status, stdout: read_back(out), stderr: read_back(err) }
    }
}

/// Returns the arguments, and before them the option with which `pcopy` prints its summary everywhere. A
/// subcommand stays the first argument.
pub(crate) fn with_summary<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> Vec<OsString> {
    let mut all: Vec<_> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
    if all.first().is_none_or(|first| first != "bench") {
        all.insert(0, "--progress=always".into());
    }
    all
}

/// Returns the standard error of a run without the progress lines that a slow run prints, such as
/// `  5% 10 of 200, 1.2 kB, 20/s  src/name`.
pub(crate) fn without_progress_lines(stderr: &str) -> String {
    let is_number = |word: Option<&str>| {
        let digits = word.unwrap_or("").trim_end_matches(',');
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == ',')
    };
    let is_progress = |line: &str| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.ends_with('%') || word.starts_with('[') || word.ends_with(']'));
        is_number(words.next()) && words.next() == Some("of") && is_number(words.next())
    };
    stderr.split_inclusive('\n').filter(|line| !is_progress(line)).collect()
}

/// A run that has ended, and its output.
pub(crate) struct Run<'a> {
    sandbox: &'a Sandbox,
    shown: String,
    pub(crate) status: std::process::ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run<'_> {
    /// Fails unless the run has ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "exit code\n{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn stderr_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "stderr has {text:?}\n{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn stdout_is(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "stdout\n{}", self.story());
        self
    }

    /// Returns everything that helps to understand a failed test: command, status, outputs and tree.
    pub(crate) fn story(&self) -> String {
        format!(
            "{}\n{}\n--- stdout\n{}\n--- stderr\n{}\n--- tree\n{}",
            self.shown,
            self.status,
            cut(&self.stdout),
            cut(&self.stderr),
            self.sandbox.show()
        )
    }
}

fn cut(text: &str) -> String {
    text.lines().take(40).collect::<Vec<_>>().join("\n")
}

/// Waits for a child. Returns `None` if the child has not ended after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `happened` returns true. Fails with `what` if this takes longer than [`HANG`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < HANG, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns bytes that depend only on the seed and do not repeat.
pub(crate) fn contents(seed: &[u8], length: usize) -> Vec<u8> {
    let mut state = hash(seed) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_ne_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Computes the FNV-1a hash of `bytes`.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn size(text: &str) -> usize {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 1024),
        Some(b'M') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<usize>().unwrap_or_else(|_| panic!("{text:?} is no size")) * unit
}

fn read_back(mut file: fs::File) -> String {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the tests run as root, for whom the kernel does not check permissions.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Prints that this machine cannot run this test, and why. Fails if skipped tests are forbidden, as in CI.
///
/// Use as `if !tool("strace") { return skip!("strace is not installed"); }`.
macro_rules! skip {
    ($why:expr) => {
        $crate::common::skip_for($crate::common::test_name::test_name!(), $why)
    };
}

/// Like [`skip`], for a helper function, which gets the name of its test as an argument.
pub(crate) fn skip_for(test: &str, why: &str) {
    assert!(std::env::var_os("PCOPY_FORBID_SKIPS").is_none(), "skipped: {test}: {why}");
    print_line(&format!("skipped: {test}: {why}"));
}

/// Prints a line even if the test passes. (`libtest` captures what `eprintln!` prints.)
pub(crate) fn print_line(line: &str) {
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n")).unwrap();
}

/// Returns the processes whose parent is `pid`.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Returns the paths of all tests of this test program, in the form that its command line accepts.
pub(crate) fn all_tests() -> Vec<String> {
    let listing = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    listing.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Whether strace is installed. If not, prints that the test is skipped.
macro_rules! has_strace {
    () => {
        $crate::common::has_strace_for($crate::common::test_name::test_name!())
    };
}

pub(crate) use helpers::{copy_program, must_run, run_tool, tool};
pub(crate) use test_name::{cells, each_jobs, test_name};
pub(crate) use testtree::{Entry, Listing, differences, listing, walk};
pub(crate) use {has_strace, skip};

/// Like [`has_strace`], for a helper function, which gets the name of its test as an argument.
#[track_caller]
pub(crate) fn has_strace_for(test: &str) -> bool {
    let has = tool("strace");
    if !has {
        skip_for(test, "strace is not installed");
    }
    has
}
