//! A sandbox to run the real program in, and an oracle that shares no code with it.

pub(crate) mod as_cp;
pub(crate) mod attack;
pub(crate) mod chance;
pub(crate) mod images;
pub(crate) mod listed;
pub(crate) mod live;
pub(crate) mod planted;
pub(crate) mod things;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const PCOPY: &str = env!("CARGO_BIN_EXE_pcopy");

/// The variable that names a directory for the sandboxes, which are in memory without it.
pub(crate) const PLACE: &str = "PCOPY_TEST_PLACE";

/// No run may take longer; one that does has hung.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A temporary folder: in memory where the machine has room there, or where [`PLACE`] says.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// In the test program `timing`: waits for all other tests that have begun, and keeps others from beginning
/// until this thread ends. Each test has a thread, or all have one.
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
            // What is read-only for its owner could not be removed.
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

    /// A sandbox on the file system of `base`.
    pub(crate) fn within(base: &Path) -> Self {
        run_alone();
        let dir = tempfile::Builder::new().prefix("pcopy-test-").tempdir_in(base).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// The whole path of something in the sandbox; an absolute path stays as it is.
    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.path().join(Path::new(name.as_ref()))
    }

    /// Makes a tree from lines: `dir NAME`, `file NAME SIZE`, `text NAME WORDS`, `link NAME TEXT`,
    /// `fifo NAME`. SIZE may end in K or M; a file's bytes depend on its name alone.
    pub(crate) fn tree<'a>(&self, root: &str, lines: impl IntoIterator<Item = &'a str>) -> &Self {
        let root = self.path(root);
        fs::create_dir_all(&root).unwrap();
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let kind = words.next().unwrap();
            let name = words.next().unwrap_or_else(|| panic!("no name in {line:?}"));
            let rest = words.next().unwrap_or("");
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match kind {
                "dir" => fs::create_dir_all(&path).unwrap(),
                "file" => fs::write(&path, contents(name.as_bytes(), size(rest))).unwrap(),
                "text" => fs::write(&path, rest).unwrap(),
                "link" => std::os::unix::fs::symlink(rest, &path).unwrap(),
                "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                other => panic!("{other:?} is no kind of entry"),
            }
        }
        self
    }

    /// `pcopy` with these arguments, in the sandbox, not yet started.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(PCOPY);
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", "C.UTF-8");
        command
    }

    /// Runs `pcopy` to its end.
    pub(crate) fn pcopy<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run<'_> {
        self.run(self.command(arguments))
    }

    /// Runs a command to its end, which must come before [`HANG`].
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

    /// Every entry below `root` with all that a copy must keep; directories' sizes are not part of it.
    pub(crate) fn listing(&self, root: impl AsRef<OsStr>) -> BTreeMap<PathBuf, Entry> {
        listing(&self.path(root))
    }

    /// Fails unless both trees are the same: names, types, modes, times, contents.
    #[track_caller]
    pub(crate) fn assert_same(&self, one: impl AsRef<OsStr>, other: impl AsRef<OsStr>) {
        let (one, other) = (self.path(one), self.path(other));
        let differences = differences(&listing(&one), &listing(&other));
        assert!(
            differences.is_empty(),
            "{} and {} differ:\n{differences}",
            one.display(),
            other.display()
        );
        let kind = fs::symlink_metadata(&one).unwrap().file_type();
        if !kind.is_dir() && !kind.is_file() {
            return; // diff would read from a FIFO that is its operand
        }
        let diff = Command::new("diff")
            .args(["-rq", "--no-dereference"])
            .arg(&one)
            .arg(&other)
            .output()
            .unwrap();
        let specials = |line: &&str| {
            !line.contains(" is a fifo ")
                && !line.contains(" is a socket ")
                && !line.contains(" special file")
        };
        let said = String::from_utf8_lossy(&diff.stdout).into_owned();
        let said: Vec<&str> = said.lines().filter(specials).collect();
        assert!(said.is_empty(), "diff -r says: {said:#?}");
    }

    /// Fails if any staged name is left anywhere in the sandbox.
    #[track_caller]
    pub(crate) fn assert_nothing_staged(&self) {
        let left: Vec<_> = self
            .listing("")
            .into_keys()
            .filter(|path| path.as_os_str().as_bytes().ends_with(b".pcopy-partial"))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// The sandbox as text, for messages; at most 60 lines.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        for (path, entry) in self.listing("").iter().take(60) {
            writeln!(text, "{:06o} {:>9} {}", entry.mode, entry.size, path.display()).unwrap();
        }
        text
    }
}

/// A run that has ended, and what it said.
pub(crate) struct Run<'a> {
    sandbox: &'a Sandbox,
    shown: String,
    pub(crate) status: std::process::ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run<'_> {
    /// Fails unless the run left with this code.
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

    /// All there is to know when a test fails.
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

/// Waits for a child; `None` if it has not ended in time.
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

/// Waits until `happened` says so; fails with `what` if it never does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < HANG, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a copy must keep of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Type and permission bits.
    pub(crate) mode: u32,
    /// Bytes; 0 for a directory, whose size is the file system's business.
    pub(crate) size: u64,
    /// Modification time in seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// A symlink's text, a device's number, a file's hash.
    pub(crate) what: Vec<u8>,
}

/// Lists by path from the root of the tree, which is itself entry ``; found with `std` alone.
pub(crate) fn listing(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let whole = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let metadata = fs::symlink_metadata(&whole)
            .unwrap_or_else(|error| panic!("{}: {error}", whole.display()));
        let kind = metadata.file_type();
        if kind.is_dir() {
            match fs::read_dir(&whole) {
                Ok(entries) => {
                    waiting.extend(entries.map(|entry| path.join(entry.unwrap().file_name())))
                }
                Err(error) => panic!("{}: {error}", whole.display()),
            }
        }
        let what = if kind.is_symlink() {
            fs::read_link(&whole).unwrap().into_os_string().into_vec()
        } else if kind.is_file() {
            hash(&fs::read(&whole).unwrap_or_default()).to_ne_bytes().to_vec()
        } else if kind.is_block_device() || kind.is_char_device() {
            metadata.rdev().to_ne_bytes().to_vec()
        } else {
            Vec::new()
        };
        let entry = Entry {
            mode: metadata.mode(),
            size: if kind.is_dir() { 0 } else { metadata.len() },
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            what,
        };
        found.insert(path, entry);
    }
    found
}

/// What two listings do not have in common, in words.
pub(crate) fn differences(
    one: &BTreeMap<PathBuf, Entry>,
    other: &BTreeMap<PathBuf, Entry>,
) -> String {
    let mut text = String::new();
    for (path, entry) in one {
        match other.get(path) {
            None => writeln!(text, "missing: {path:?} {entry:?}").unwrap(),
            Some(copy) if copy != entry => {
                writeln!(text, "differs: {path:?}\n  {entry:?}\n  {copy:?}").unwrap()
            }
            Some(_) => {}
        }
    }
    for path in other.keys().filter(|path| !one.contains_key(*path)) {
        writeln!(text, "extra: {path:?}").unwrap();
    }
    text.lines().take(60).fold(String::new(), |all, line| all + line + "\n")
}

/// Bytes that depend on the seed alone and do not repeat.
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

/// FNV-1a.
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

/// Whether the tests run as root, who sees no permission errors.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Says by name that a test cannot run here, and why; fails where skips are forbidden (CI).
///
/// Use as `if !tool("strace") { return skip("the name of the fact", "strace is not installed"); }`.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("PCOPY_FORBID_SKIPS").is_none(), "skipped: {test}: {why}");
    // Not `eprintln!`: the test harness would keep that to itself.
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {test}: {why}\n"))
        .unwrap();
}

/// Whether a program is installed.
pub(crate) fn tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// The processes whose parent is `pid`.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// The paths of all tests of this program, as the command line names them.
pub(crate) fn all_tests() -> Vec<String> {
    let listing = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    listing.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Whether there is strace, without which `test` is skipped, and that is told.
#[track_caller]
pub(crate) fn has_strace(test: &str) -> bool {
    let has = tool("strace");
    if !has {
        skip(test, "strace is not installed");
    }
    has
}
