//! Runs that are observed, signalled and killed while they are in progress.

use super::chance::Dice;
use super::plain_user::copy_settings;
use super::{HANG, PCOPY, Run, Sandbox, children_of, read_back, wait, wait_until};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often a run is repeated if it ended before the test could stop it.
const TRIES: usize = 20;

/// A run in progress, in a process group of its own. It is killed if the test fails.
pub(crate) struct Live<'a> {
    sandbox: &'a Sandbox,
    shown: String,
    child: Child,
    status: Option<ExitStatus>,
    out: File,
    err: File,
}

impl Sandbox {
    /// Returns a `pcopy` command in which all signals have their default actions.
    pub(crate) fn tame<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        with_default_signals(self.command(arguments))
    }

    /// Returns a command in which `program` executes `pcopy`.
    pub(crate) fn before<A: AsRef<OsStr>>(
        &self,
        program: &[&str],
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let plain = self.command(arguments);
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(PCOPY).args(plain.get_args());
        command.current_dir(self.path("")).stdin(Stdio::null());
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", "C.UTF-8");
        command
    }

    /// Returns a command that runs `pcopy` under strace with these options. As in every other run, `pcopy` is
    /// a direct child.
    pub(crate) fn traced<A: AsRef<OsStr>>(
        &self,
        options: &[&str],
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let log = self.path("trace");
        let mut program = vec!["strace", "-DD", "-f", "-qq", "-o", log.to_str().unwrap()];
        program.extend(options);
        with_default_signals(self.before(&program, arguments))
    }

    /// Starts `pcopy` as [`tame`](Self::tame) returns it. Both outputs go to files.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Live<'_> {
        self.launch(self.tame(arguments))
    }

    /// Starts a command. Both outputs go to files.
    pub(crate) fn launch(&self, command: Command) -> Live<'_> {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (stdout, stderr) = (out.try_clone().unwrap(), err.try_clone().unwrap());
        self.launch_onto(command, stdout.into(), stderr.into(), out, err)
    }

    /// Starts a command whose standard output is a pipe that only the test reads.
    ///
    /// With `-v` and a tree of [`long_names`](Self::long_names) the run cannot end before the test has read
    /// the names.
    pub(crate) fn launch_stuck(&self, command: Command) -> (Live<'_>, ChildStdout) {
        let err = tempfile::tempfile().unwrap();
        let stderr = err.try_clone().unwrap();
        self.launch_piped(command, stderr.into(), err)
    }

    /// Like [`launch_stuck`](Self::launch_stuck), but the caller chooses the standard error.
    pub(crate) fn launch_piped(
        &self,
        command: Command,
        stderr: Stdio,
        err: File,
    ) -> (Live<'_>, ChildStdout) {
        let out = tempfile::tempfile().unwrap();
        let mut live = self.launch_onto(command, Stdio::piped(), stderr, out, err);
        let stdout = live.child.stdout.take().unwrap();
        (live, stdout)
    }

    fn launch_onto(
        &self,
        mut command: Command,
        stdout: Stdio,
        stderr: Stdio,
        out: File,
        err: File,
    ) -> Live<'_> {
        let shown = format!("{command:?}");
        command.stdout(stdout).stderr(stderr).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Live { sandbox: self, shown, child, status: None, out, err }
    }

    /// Creates a tree of `files` empty files, 500 in each directory. Each name has 200 bytes.
    pub(crate) fn long_names(&self, root: &str, files: usize) -> &Self {
        self.grow(root, files, |number| (format!("{number:0>200}"), 0))
    }

    /// Creates a tree of `files` small files, 100 in each directory. Every thousandth file has `big` bytes.
    pub(crate) fn many(&self, root: &str, files: usize, big: usize) -> &Self {
        self.grow(root, files, |number| {
            (format!("file-{number}"), if number % 1000 == 999 { big } else { number % 300 })
        })
    }

    fn grow(&self, root: &str, files: usize, file: impl Fn(usize) -> (String, usize)) -> &Self {
        let root = self.path(root);
        for first in (0..files).step_by(100) {
            let dir = root.join(format!("dir-{first}"));
            fs::create_dir_all(&dir).unwrap();
            for number in first..files.min(first + 100) {
                let (name, bytes) = file(number);
                fs::write(dir.join(&name), super::contents(name.as_bytes(), bytes)).unwrap();
            }
        }
        self
    }

    /// Runs this comparison 40 times, and in each run kills a copier at a random moment. Fails if a run
    /// prints anything but `expected`. An undisturbed run takes as long as `took`.
    #[track_caller]
    pub(crate) fn reports_the_same_though_copiers_die(
        &self,
        line: &[&str],
        (expected, took): (&str, Duration),
        dice: &mut Dice,
    ) {
        let (mut killed, mut turn) = (0, 0);
        // On a busy machine as many more as it takes.
        while turn < 40 || killed < 10 && turn < 400 {
            let mut live = self.start([&["-j", ["1", "2", "8"][turn % 3]], line].concat());
            turn += 1;
            std::thread::sleep(dice.moment(took));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                killed += 1;
                send(copiers[dice.below(copiers.len())], Signal::SIGKILL);
            }
            live.end().exits(6).stdout_is(expected);
        }
        assert!(killed >= 10, "only {killed} were killed");
    }

    /// Starts a run that copies `src` to `dst`, and stops it while it is copying.
    ///
    /// If a run ends before it could be stopped, starts another one, a limited number of times.
    #[track_caller]
    pub(crate) fn frozen_mid_copy<A: AsRef<OsStr> + Clone>(&self, arguments: &[A]) -> Live<'_> {
        self.frozen(arguments, ["src", ".dst.pcopy-partial"], || {
            for left in ["dst", ".dst.pcopy-partial"] {
                if self.path(left).exists() {
                    fs::remove_dir_all(self.path(left)).unwrap();
                }
            }
        })
    }

    /// Like [`Sandbox::frozen_mid_copy`], for a run that copies `source` into the directory `target`, which exists. The
    /// source comes from [`Sandbox::many`].
    #[track_caller]
    pub(crate) fn frozen_amid(&self, arguments: &[&str], source: &str, target: &str) -> Live<'_> {
        self.frozen(arguments, [source, target], || {
            for entry in fs::read_dir(self.path(target)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().contains("dir-") {
                    fs::remove_dir_all(entry.path()).unwrap();
                }
            }
        })
    }

    #[track_caller]
    fn frozen<A: AsRef<OsStr> + Clone>(
        &self,
        arguments: &[A],
        [source, into]: [&str; 2],
        clear: impl Fn(),
    ) -> Live<'_> {
        let all = count_entries(&self.path(source));
        let into = self.path(into);
        for _ in 0..TRIES {
            // A fifth: so that files are complete, too, and not only directories made.
            let before = count_entries(&into).max(1) + all / 5;
            let mut live = self.start(arguments.iter().cloned());
            let has_begun = || count_entries(&into) > before;
            while !has_begun() && live.is_running() {}
            live.freeze();
            let is_amid = has_begun() && count_entries(&into) < all;
            if is_amid && live.is_running() && !live.children().is_empty() {
                return live;
            }
            drop(live);
            clear();
        }
        panic!("the run was never stopped in the middle, in {TRIES} tries");
    }
}

impl<'a> Live<'a> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the living children of the run: copiers, and perhaps the process that counts the entries in
    /// advance.
    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.pid()).into_iter().filter(|&pid| is_alive(pid)).collect()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_none()
    }

    /// Waits until the run has this many children.
    #[track_caller]
    pub(crate) fn wait_for_children(&mut self, count: usize) -> Vec<u32> {
        wait_until(&format!("{count} children of\n{}", self.shown), || {
            assert!(self.is_running(), "it had ended\n{}", self.stderr());
            self.children().len() >= count
        });
        self.children()
    }

    /// Sends a signal to the parent only.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Sends a signal to all processes of the run, as a terminal does.
    pub(crate) fn signal_all(&self, signal: Signal) {
        // The processes may have ended.
        let _: nix::Result<()> = killpg(as_pid(self.pid()), signal);
    }

    /// Stops all processes of the run.
    pub(crate) fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
        wait_until("all processes stop", || {
            let mut all = children_of(self.pid());
            all.push(self.pid());
            all.iter().all(|&pid| !matches!(state(pid), Some('R' | 'S' | 'D')))
        });
    }

    pub(crate) fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Returns what the run has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.err)))
            .unwrap_or_default()
    }

    /// Waits for the end of the run. Fails if the run hangs.
    #[track_caller]
    pub(crate) fn end(self) -> Run<'a> {
        self.end_within(HANG)
    }

    /// Waits for the end of the run. Fails if the run takes longer than `limit`.
    #[track_caller]
    pub(crate) fn end_within(mut self, limit: Duration) -> Run<'a> {
        let status = self.status.or_else(|| wait(&mut self.child, limit)).unwrap_or_else(|| {
            panic!(
                "{} had not ended after {limit:?}; standard error:\n{}\n{}",
                self.shown,
                self.stderr(),
                self.sandbox.show()
            )
        });
        self.status = Some(status);
        Run {
            sandbox: self.sandbox,
            shown: self.shown.clone(),
            status,
            stdout: read_back(self.out.try_clone().unwrap()),
            stderr: read_back(self.err.try_clone().unwrap()),
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal_all(Signal::SIGKILL);
            self.child.wait().unwrap();
        }
    }
}

impl Run<'_> {
    /// Fails unless this signal ended the run.
    #[track_caller]
    pub(crate) fn died_by(&self, signal: Signal) -> &Self {
        assert_eq!(self.status.signal(), Some(signal as i32), "signal\n{}", self.story());
        self
    }
}

/// Returns the same command with the default actions of all signals, whatever signals the tests were started
/// with.
///
/// A shell's `&` and `nohup` let some signals be ignored, and pcopy does not change that. `env` executes the
/// program, so the process ID stays the same.
pub(crate) fn with_default_signals(command: Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=INT,TERM,HUP,TSTP,USR1").arg(command.get_program());
    copy_settings(&command, &mut env);
    env
}

/// Sends a signal to one process. Does nothing if the process has ended.
pub(crate) fn send(pid: u32, signal: Signal) {
    let _: nix::Result<()> = kill(as_pid(pid), signal);
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap())
}

/// Returns the letter of a process's state in /proc; `None` if the process does not exist.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Returns the number of entries of a tree, including its root; 0 if the tree does not exist.
pub(crate) fn count_entries(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let below = |entry: fs::DirEntry| {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            count_entries(&entry.path())
        } else {
            1
        }
    };
    1 + entries.filter_map(Result::ok).map(below).sum::<usize>()
}
