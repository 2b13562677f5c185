//! The result of a run: why it ended, its counts, and the exit code that follows from them.

use crate::error::{EntryError, Op, lacks_capability};
use crate::ipc::memory::counters::{Count, Totals};
use std::path::PathBuf;
use std::time::Duration;

/// Exit codes; see the table in the README.
pub mod code {
    /// Everything that the user asked for is in the target.
    pub const COMPLETE: u8 = 0;
    /// The run finished, but some entries failed.
    pub const SOME_FAILED: u8 = 1;
    /// The command line is invalid.
    pub const USAGE: u8 = 2;
    /// pcopy refused the run before it changed anything.
    pub const REFUSED: u8 = 3;
    /// The machine lacks a capability that the options require (`--reflink=always`).
    pub const INCAPABLE: u8 = 4;
    /// A comparison or `--verify` found a difference.
    pub const DIFFERENT: u8 = 6;
    /// The run ended early: the target is full, over quota, read-only or failing, or the source or the target does
    /// not answer any more.
    pub const DISK_LOST: u8 = 11;
    /// The number of entries found differs from the number of entries copied, skipped or failed.
    pub const UNBALANCED: u8 = 14;
    /// Copiers kept dying, or the kernel denied a resource that the run needs.
    pub const COPIERS_DIED: u8 = 16;
    /// Source entries vanished or changed during the run, and nothing else went wrong.
    pub const VANISHED: u8 = 24;
    /// Everything was copied, and nothing was removed, because too much is extraneous (`--delete`).
    pub const TOO_MANY_REMOVALS: u8 = 25;
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The run did all its work.
    Finished,
    /// A signal ended the run.
    Signal(i32),
    /// The target cannot be written any more: it is full, over quota, read-only or failing, or does not answer.
    TargetLost,
    /// The file system of the source does not answer any more.
    SourceLost,
    /// The disk has not answered for the time that `--timeout` gives.
    TimedOut,
    /// Copiers died in round after round, and the rounds made no progress.
    CopiersDied,
    /// The kernel denied a resource that the run needs.
    Unavailable,
}

/// The work that a run which ended early has not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Bytes of file data.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
}

/// How the process exits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this exit status.
    Code(u8),
    /// By this signal, like a program that does not catch it.
    Signal(i32),
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Why the run ended.
    pub end: End,
    /// The counts of the run.
    pub totals: Totals,
    /// How many failures of each kind were reported.
    pub kinds: Vec<(EntryError, u64)>,
    /// The number of failures that are not in `totals`: operands that cannot be copied, files that `--verify`
    /// found to differ, unfinished directories, output (a manifest, names for `-v`) that could not be
    /// written, and in GNU cp compatibility mode declined prompts.
    pub late_failures: u64,
    /// The number of directories whose source no longer existed when the parent finished them.
    pub late_vanished: u64,
    /// The differences that a comparison found; `None` if the run copied.
    pub compared: Option<Compared>,
    /// What a dry run has found out about the space; `None` if the run copied or compared.
    pub dry_run: Option<Fits>,
    /// Whether the run has ended after it had looked what it would do (`--check-first`).
    pub only_looked: bool,
    /// Whether nothing was removed, because too much is extraneous.
    pub too_many_removals: bool,
    /// The work that is left, if the target is full and that work could be counted.
    pub left: Option<Left>,
    /// How long the run took.
    pub elapsed: Duration,
    /// The path of the copy, or of the directory that the copies are in.
    pub destination: PathBuf,
    /// The command that resumes the run, if it is not the same command.
    pub other_command_to_resume: Option<String>,
    /// The staged files and directories that a run which ended early has left.
    pub unfinished: Vec<PathBuf>,
}

/// Whether there is room in the target for what a dry run has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fits {
    /// There is room, as far as can be known.
    Yes,
    /// There is not.
    No,
}

/// How many entries of a copy differ from their sources.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compared {
    /// Entries that the copy lacks.
    pub missing: u64,
    /// Entries that only the copy has.
    pub extra: u64,
    /// Entries that differ in type, contents, attributes or hard links.
    pub different: u64,
}

impl Compared {
    fn is_identical(self) -> bool {
        self == Self::default()
    }
}

impl Outcome {
    /// Whether every entry that was found was also copied, skipped or failed. Always true for a run that
    /// ended early, because its counts are incomplete.
    pub fn is_balanced(&self) -> bool {
        self.end != End::Finished || self.totals.balance()
    }

    /// Returns how the process exits; the most serious result decides.
    pub fn exit(&self) -> Exit {
        let fails = |test: fn(EntryError) -> bool| self.kinds.iter().any(|(error, _)| test(*error));
        Exit::Code(match self.end {
            End::Signal(number) => return Exit::Signal(number),
            End::TargetLost | End::SourceLost | End::TimedOut => code::DISK_LOST,
            End::CopiersDied | End::Unavailable => code::COPIERS_DIED,
            End::Finished if !self.is_balanced() => code::UNBALANCED,
            End::Finished if fails(lacks_capability) => code::INCAPABLE,
            End::Finished if fails(|error| error.op == Op::Verify) => code::DIFFERENT,
            End::Finished if self.too_many_removals => code::TOO_MANY_REMOVALS,
            End::Finished if self.totals.get(Count::Failed) + self.late_failures > 0 => {
                code::SOME_FAILED
            }
            End::Finished if self.compared.is_some_and(|compared| !compared.is_identical()) => {
                code::DIFFERENT
            }
            End::Finished if self.dry_run == Some(Fits::No) => code::DISK_LOST,
            End::Finished if self.has_vanished() => code::VANISHED,
            End::Finished => code::COMPLETE,
        })
    }

    /// Whether source entries vanished or changed during the run.
    fn has_vanished(&self) -> bool {
        let counts = [Count::Changed, Count::Vanished].map(|count| self.totals.get(count));
        counts.iter().any(|&number| number > 0) || self.late_vanished > 0
    }

    /// Returns an outcome with these counts and nothing else, for tests.
    #[cfg(test)]
    pub(crate) fn sample(end: End, counts: &[(Count, u64)]) -> Self {
        let mut totals = Totals::default();
        counts.iter().for_each(|&(count, number)| totals.set(count, number));
        Self {
            end,
            totals,
            kinds: Vec::new(),
            late_failures: 0,
            late_vanished: 0,
            compared: None,
            dry_run: None,
            only_looked: false,
            too_many_removals: false,
            left: None,
            elapsed: Duration::from_millis(1800),
            destination: "backup/src".into(),
            other_command_to_resume: None,
            unfinished: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcopy_sys::Errno;

    #[test]
    fn the_most_serious_result_decides_the_exit_code() {
        use Count::{Changed, Copied, Failed, Found, Vanished};
        let cases = [
            (End::Finished, vec![(Found, 1), (Copied, 1)], Exit::Code(code::COMPLETE)),
            (
                End::Finished,
                vec![(Found, 2), (Copied, 1), (Vanished, 1)],
                Exit::Code(code::VANISHED),
            ),
            (End::Finished, vec![(Found, 1), (Changed, 1)], Exit::Code(code::VANISHED)),
            (
                End::Finished,
                vec![(Found, 2), (Failed, 1), (Vanished, 1)],
                Exit::Code(code::SOME_FAILED),
            ),
            (End::Finished, vec![(Found, 2), (Failed, 1)], Exit::Code(code::UNBALANCED)),
            (End::TargetLost, vec![(Found, 9), (Failed, 1)], Exit::Code(code::DISK_LOST)),
            (End::TimedOut, vec![(Found, 9)], Exit::Code(code::DISK_LOST)),
            (End::SourceLost, vec![(Found, 9), (Failed, 1)], Exit::Code(code::DISK_LOST)),
            (End::CopiersDied, vec![], Exit::Code(code::COPIERS_DIED)),
            (End::Signal(2), vec![(Found, 9)], Exit::Signal(2)),
        ];
        for (end, counts, expected) in cases {
            assert_eq!(Outcome::sample(end, &counts).exit(), expected, "{end:?} {counts:?}");
        }
    }

    #[test]
    fn a_missing_capability_outranks_other_failures() {
        use Count::{Failed, Found};
        for (op, errno, expected) in [
            (Op::Clone, Errno::EOPNOTSUPP, code::INCAPABLE),
            (Op::Clone, Errno::EINVAL, code::INCAPABLE),
            (Op::Clone, Errno::ENOMEM, code::SOME_FAILED),
            (Op::Create, Errno::EOPNOTSUPP, code::SOME_FAILED),
        ] {
            let mut outcome = Outcome::sample(End::Finished, &[(Found, 2), (Failed, 2)]);
            outcome.kinds = vec![
                (EntryError { op: Op::OpenSource, errno: Errno::EACCES }, 1),
                (EntryError { op, errno }, 1),
            ];
            assert_eq!(outcome.exit(), Exit::Code(expected), "{op:?} {errno}");
        }
    }

    #[test]
    fn a_failure_outranks_a_difference() {
        use Count::{Different, Failed, Found, Skipped};
        let found = Compared { missing: 1, extra: 2000, different: 0 };
        for (compared, counts, expected) in [
            (Compared::default(), vec![(Found, 2), (Skipped, 2)], code::COMPLETE),
            (found, vec![(Found, 1), (Different, 1)], code::DIFFERENT),
            (found, vec![(Found, 2), (Different, 1), (Failed, 1)], code::SOME_FAILED),
        ] {
            let outcome =
                Outcome { compared: Some(compared), ..Outcome::sample(End::Finished, &counts) };
            assert_eq!(outcome.exit(), Exit::Code(expected), "{compared:?} {counts:?}");
        }
    }
}
