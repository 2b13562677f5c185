//! The system calls that pcopy makes, and runs in which one of these calls fails.

use crate::checker::Excuse;
use crate::ending::{Ending, run};
use crate::world::{Line, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// Calls in which no fault is injected: those that cannot fail, those that end a process or begin a program,
/// and `brk`, whose failure strace cannot imitate.
const NEVER: [&str; 18] = [
    "brk",
    "execve",
    "exit",
    "exit_group",
    "rt_sigreturn",
    "restart_syscall",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "umask",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
];

/// The calls that are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    /// All calls, beginning with the first call of the loader.
    All,
    /// The calls with a path of the trees. These are all calls of pcopy's own code, beginning with the first
    /// call of a copier.
    Trees,
}

impl Scope {
    /// Returns strace's options for this scope: every path of the trees, and every name in them.
    fn options(self, world: &World) -> Vec<String> {
        if self == Self::All {
            return Vec::new();
        }
        let root = world.env.path("").canonicalize().unwrap();
        let mut paths = BTreeSet::from([root.clone()]);
        for path in world.source.keys().chain(world.old.keys()) {
            for place in ["src", "dst", ".dst.pcopy-partial"] {
                paths.insert(root.join(place).join(path));
                let name = path.file_name().unwrap_or(place.as_ref()).to_str().unwrap();
                paths.extend([name.into(), format!(".{name}.pcopy-partial").into()]);
            }
        }
        paths.extend([".", ".."].map(Into::into));
        paths.iter().flat_map(|path| ["-P".to_owned(), path.to_str().unwrap().to_owned()]).collect()
    }
}

/// Returns a strace command that logs these calls into the file `trace` of the sandbox.
///
/// strace's `when=N` counts in each process separately: the N-th call of the parent fails, and the N-th call
/// of each copier. So with several copiers several faults occur.
pub(crate) fn strace(world: &World, scope: Scope, options: &[&str]) -> Vec<String> {
    let log = world.env.path("trace");
    let quiet = "--quiet=attach,personality,path-resolution";
    let mut words: Vec<String> = ["strace", "-f", quiet, "-s0", "-o"].map(str::to_owned).into();
    words.push(log.to_str().unwrap().to_owned());
    words.extend(options.iter().map(|&word| word.to_owned()));
    words.extend(scope.options(world));
    words
}

/// Counts the calls of an undisturbed run. For each call returns the count of the process that makes it most
/// often.
pub(crate) fn counted(line: Line, jobs: u16, scope: Scope) -> BTreeMap<String, usize> {
    let world = World::new(line);
    let ending = run(world.command(&strace(&world, scope, &["-e", "trace=all"]), jobs));
    assert!(ending.status.is_some_and(|status| status.success()), "{}", ending.stderr);
    count(&fs::read_to_string(world.env.path("trace")).unwrap(), scope)
}

fn count(log: &str, scope: Scope) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        let is_name = call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        // strace does not execute a call that it makes fail, and a pipe that stays open never has an end.
        let is_pipe = call == "close" && scope == Scope::All;
        if is_name && !NEVER.contains(&call) && !is_pipe {
            *counts.entry((pid, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), number) in counts {
        let known = most.entry(call.to_owned()).or_insert(0);
        *known = number.max(*known);
    }
    most
}

/// Counts the calls that the loader and the language's runtime make before `main`.
pub(crate) fn before_main() -> BTreeMap<String, usize> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s0", "-o"]).arg(log.path()).arg(crate::common::PCOPY);
    let output = command.arg("--version").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    count(&fs::read_to_string(log.path()).unwrap(), Scope::All)
}

/// One fault that strace injects.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) line: Line,
    pub(crate) jobs: u16,
    pub(crate) scope: Scope,
    pub(crate) call: String,
    /// The effect in strace's syntax: `error=EIO`, `retval=0`, `signal=KILL`.
    pub(crate) effect: String,
    /// The number of the call at which the fault occurs first.
    pub(crate) nth: usize,
    /// The number of further calls after which the fault occurs again; `None` if it occurs once.
    pub(crate) step: Option<usize>,
}

/// How a run with a fault ended.
pub(crate) struct Damaged {
    pub(crate) ending: Ending,
    /// The number of times that the fault occurred.
    pub(crate) hits: usize,
    pub(crate) excuse: Excuse,
    /// The first lines of the log that show the fault, for messages.
    pub(crate) shown: String,
}

impl Fault {
    /// Injects the fault into a run.
    pub(crate) fn inject(&self, world: &World, before_main: &BTreeMap<String, usize>) -> Damaged {
        let Self { call, effect, nth, .. } = self;
        let step = match self.step {
            None => String::new(),
            Some(1) => "+".to_owned(),
            Some(step) => format!("+{step}"),
        };
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:{effect}:when={nth}{step}"));
        let mut words = strace(world, self.scope, &["-e", &trace, "-e", &inject]);
        if !effect.starts_with("signal") {
            words.insert(1, "--seccomp-bpf".to_owned()); // faster, but it injects no signals
        }
        let ending = run(world.command(&words, self.jobs));
        let log = fs::read_to_string(world.env.path("trace")).unwrap_or_default();
        let is_hit =
            |line: &&str| line.contains("(INJECTED)") || line.contains("killed by SIGKILL");
        let hits = log.lines().filter(is_hit).count();
        let shown: Vec<_> = log.lines().filter(is_hit).take(4).collect();
        let excuse = self.excuse(&log, hits, before_main);
        Damaged { ending, hits, excuse, shown: shown.join("\n") }
    }

    /// Returns which deviations this fault excuses.
    fn excuse(&self, log: &str, hits: usize, before_main: &BTreeMap<String, usize>) -> Excuse {
        let (call, effect) = (self.call.as_str(), self.effect.as_str());
        let is_loaders = before_main.get(call).is_some_and(|&count| self.nth <= count);
        let is_memory = matches!(call, "mmap" | "mremap" | "munmap" | "mprotect");
        // strace splits a line in two where two processes call at once.
        let resumed = |pid: &str| {
            let rest = |line: &str| line.contains("write resumed") && line.contains("INJECTED");
            log.lines().any(|line| line.starts_with(pid) && rest(line))
        };
        let is_mute = |line: &str| {
            let pid = line.split_whitespace().next().unwrap_or_default();
            let cut = line.contains("unfinished") && resumed(pid);
            line.contains("write(2") && (line.contains("INJECTED") || cut)
        };
        Excuse {
            signals: match effect {
                "signal=KILL" => &[libc::SIGKILL],
                _ if is_memory => &[libc::SIGABRT],
                _ => &[],
            },
            mute: log.lines().any(is_mute),
            stillborn: self.scope == Scope::All && is_loaders,
            half: true,
            again: hits > 1,
            unseen: call.contains("stat") && effect == "error=ENOENT",
            seems_gone: effect == "error=ENOENT",
            bare: is_silent(self.line.as_cp, call, effect.trim_start_matches("error=")),
            numbers: false,
        }
    }
}

/// Whether the failure of the call costs an attribute without a message: cp says nothing of extended attributes
/// that are preserved only if possible, and two errors mean that there are none.
fn is_silent(as_cp: bool, call: &str, errno: &str) -> bool {
    call.contains("xattr") && (as_cp || matches!(errno, "EOPNOTSUPP" | "ENODATA"))
        || call == "linkat" && errno == "ENOENT" // the name to link to is gone, so the next one is copied
}
