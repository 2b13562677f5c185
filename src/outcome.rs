//! How a run ended: why, its counts, and the exit status that follows.

use crate::error::{EntryError, Op, lacks_capability};
use crate::ipc::memory::counters::{Count, Totals};
use std::time::Duration;

/// Exit codes; see the table in the README.
pub mod code {
    /// Everything that was asked for is in the target.
    pub const COMPLETE: u8 = 0;
    /// Finished, but some entries failed.
    pub const SOME_FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Refused before anything was changed.
    pub const REFUSED: u8 = 3;
    /// The machine lacks a capability that was required (`--reflink=always`).
    pub const INCAPABLE: u8 = 4;
    /// A comparison found a difference.
    pub const DIFFERENT: u8 = 6;
    /// The target is full, over quota, read-only or broken; stopped early.
    pub const TARGET_LOST: u8 = 11;
    /// The counts do not balance.
    pub const UNBALANCED: u8 = 14;
    /// Copiers kept dying.
    pub const COPIERS_DIED: u8 = 16;
    /// Source entries vanished or changed, and nothing else went wrong.
    pub const VANISHED: u8 = 24;
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// There was nothing left to do.
    Finished,
    /// A signal ended it.
    Signal(i32),
    /// No more can be written to the target.
    TargetLost,
    /// Copiers died in round after round, without progress.
    CopiersDied,
    /// The machine has denied something that the run cannot do without.
    Unavailable,
}

/// What is left to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Bytes.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// How the process is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this exit status.
    Code(u8),
    /// By this signal, as a program that does not catch it.
    Signal(i32),
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Its counts.
    pub totals: Totals,
    /// Failures that were reported, by kind.
    pub kinds: Vec<(EntryError, u64)>,
    /// Failures after the copying: directories that could not be finished, a manifest or names (`-v`)
    /// that could not be written.
    pub late_failures: u64,
    /// Directories whose source was gone when they were to be finished.
    pub late_vanished: u64,
    /// What a comparison has found; `None` if the run copied.
    pub compared: Option<Compared>,
    /// What is left to copy into a target that is full, if it is known.
    pub left: Option<Left>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How many entries of a copy differ from their sources.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compared {
    /// Those that do not exist.
    pub missing: u64,
    /// Those that should not exist.
    pub extra: u64,
    /// Those that differ in type, contents or attributes.
    pub different: u64,
}

impl Compared {
    fn is_identical(self) -> bool {
        self == Self::default()
    }
}

impl Outcome {
    /// Whether every entry that was found was settled. Says nothing if the run was cut short.
    pub fn is_balanced(&self) -> bool {
        self.end != End::Finished || self.totals.balance()
    }

    /// How the process is to end: the most serious result decides.
    pub fn exit(&self) -> Exit {
        let fails = |test: fn(EntryError) -> bool| self.kinds.iter().any(|(error, _)| test(*error));
        Exit::Code(match self.end {
            End::Signal(number) => return Exit::Signal(number),
            End::TargetLost => code::TARGET_LOST,
            End::CopiersDied | End::Unavailable => code::COPIERS_DIED,
            End::Finished if !self.is_balanced() => code::UNBALANCED,
            End::Finished if fails(lacks_capability) => code::INCAPABLE,
            End::Finished if fails(|error| error.op == Op::Verify) => code::DIFFERENT,
            End::Finished if self.totals.get(Count::Failed) + self.late_failures > 0 => {
                code::SOME_FAILED
            }
            End::Finished if self.compared.is_some_and(|compared| !compared.is_identical()) => {
                code::DIFFERENT
            }
            End::Finished if self.totals.get(Count::Vanished) + self.late_vanished > 0 => {
                code::VANISHED
            }
            End::Finished => code::COMPLETE,
        })
    }

    /// An outcome with these counts and nothing else, for tests.
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
            left: None,
            elapsed: Duration::from_millis(1800),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcopy_sys::Errno;

    #[test]
    fn the_most_serious_result_decides_the_exit_code() {
        use Count::{Copied, Failed, Found, Vanished};
        let cases = [
            (End::Finished, vec![(Found, 1), (Copied, 1)], Exit::Code(code::COMPLETE)),
            (
                End::Finished,
                vec![(Found, 2), (Copied, 1), (Vanished, 1)],
                Exit::Code(code::VANISHED),
            ),
            (
                End::Finished,
                vec![(Found, 2), (Failed, 1), (Vanished, 1)],
                Exit::Code(code::SOME_FAILED),
            ),
            (End::Finished, vec![(Found, 2), (Failed, 1)], Exit::Code(code::UNBALANCED)),
            (End::TargetLost, vec![(Found, 9), (Failed, 1)], Exit::Code(code::TARGET_LOST)),
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
