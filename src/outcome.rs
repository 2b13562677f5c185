//! How a run ended: its numbers, its last line, its exit code.

use crate::error::{EntryError, Op, lacks_capability};
use crate::ipc::memory::counters::{Count, Totals};
use crate::messages::native::describe_kind;
use crate::numbers;
use crate::options::Compat;
use std::time::Duration;

/// Exit codes; see the table in the README.
pub mod code {
    /// All that was asked for is in the target.
    pub const COMPLETE: u8 = 0;
    /// Finished, and some entries failed.
    pub const SOME_FAILED: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 2;
    /// Refused before anything was touched.
    pub const REFUSED: u8 = 3;
    /// The machine lacks what was insisted on (`--reflink=always`).
    pub const INCAPABLE: u8 = 4;
    /// A comparison found a difference.
    pub const DIFFERENT: u8 = 6;
    /// The target is full, over quota, read-only or broken; stopped early.
    pub const TARGET_LOST: u8 = 11;
    /// The numbers do not add up.
    pub const UNBALANCED: u8 = 14;
    /// Copiers kept dying.
    pub const COPIERS_DIED: u8 = 16;
    /// Only that source entries vanished or changed.
    pub const VANISHED: u8 = 24;
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// There was nothing left to do.
    Finished,
    /// A signal asked for it.
    Signal(i32),
    /// No more can be written to the target.
    TargetLost,
    /// Copiers died in round after round, and nothing was gained.
    CopiersDied,
    /// The machine denied the run something that it cannot do without.
    Unavailable,
}

/// What was not copied, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Bytes.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Left {
    fn describe(self) -> String {
        format!("; {} ({}) are left", entries(self.entries), numbers::bytes(self.bytes))
    }
}

/// All there is to say when a run is over.
#[derive(Debug)]
pub struct Outcome {
    /// Whose exit codes are expected.
    pub compat: Compat,
    /// Why it ended.
    pub end: End,
    /// Its numbers.
    pub totals: Totals,
    /// Failures that were told, by kind.
    pub kinds: Vec<(EntryError, u64)>,
    /// What could not be finished after the copying, or told (`-v` to a full disk).
    pub late_failures: u64,
    /// Directories whose source was gone when their turn came at the end.
    pub late_vanished: u64,
    /// What was found where things were only compared.
    pub compared: Option<Compared>,
    /// What is missing in a target that is full.
    pub left: Option<Left>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How many entries of a copy are not as they should be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compared {
    /// Those that are not there.
    pub missing: u64,
    /// Those that should not be there.
    pub extra: u64,
    /// Those that are another thing than they should be.
    pub different: u64,
}

impl Compared {
    fn is_alike(self) -> bool {
        self == Self::default()
    }
}

impl Outcome {
    /// Whether every entry that was found came to an end. Means nothing if the run was cut short.
    pub fn is_balanced(&self) -> bool {
        self.end != End::Finished || self.totals.balance()
    }

    /// The signal that the program is to die by; 0 if none.
    pub fn signal(&self) -> i32 {
        if let End::Signal(number) = self.end { number } else { 0 }
    }

    /// The exit code; `None` if the program is to die by a signal.
    pub fn code(&self) -> Option<u8> {
        let code = self.own_code()?;
        Some(match self.compat {
            Compat::Native => code,
            Compat::Gnu => code.min(code::SOME_FAILED), // cp has no others
        })
    }

    fn own_code(&self) -> Option<u8> {
        match self.end {
            End::Signal(_) => None,
            End::TargetLost => Some(code::TARGET_LOST),
            End::CopiersDied | End::Unavailable => Some(code::COPIERS_DIED),
            End::Finished if !self.is_balanced() => Some(code::UNBALANCED),
            End::Finished if self.kinds.iter().any(|(error, _)| lacks_capability(*error)) => {
                Some(code::INCAPABLE)
            }
            End::Finished if self.kinds.iter().any(|(error, _)| error.op == Op::Verify) => {
                Some(code::DIFFERENT)
            }
            End::Finished if self.totals.get(Count::Failed) + self.late_failures > 0 => {
                Some(code::SOME_FAILED)
            }
            End::Finished if self.compared.is_some_and(|compared| !compared.is_alike()) => {
                Some(code::DIFFERENT)
            }
            End::Finished if self.totals.get(Count::Vanished) + self.late_vanished > 0 => {
                Some(code::VANISHED)
            }
            End::Finished => Some(code::COMPLETE),
        }
    }

    /// The last line.
    pub fn summary(&self) -> String {
        if let Some(compared) = self.compared {
            return self.comparison(compared);
        }
        let done = format!(
            "{} ({})",
            entries(self.totals.get(Count::Copied)),
            numbers::bytes(self.totals.get(Count::Bytes))
        );
        let time = numbers::duration(self.elapsed);
        match self.end {
            End::Finished => {
                let bytes = self.totals.get(Count::Bytes);
                let rate = numbers::rate(self.totals.settled(), bytes, self.elapsed);
                format!("copied {done} in {time}, {rate}{}", self.others())
            }
            End::Signal(_) => {
                format!("interrupted after {done} in {time}; the same command goes on from there")
            }
            End::TargetLost => format!(
                "stopped after {done} in {time}{}{}\nhint: when the target can be written again, the same command goes on from there",
                self.others(),
                self.left.map(Left::describe).unwrap_or_default()
            ),
            End::CopiersDied => format!(
                "stopped after {done} in {time}: copiers kept dying{}\nhint: see what kills them (memory limits?); the same command goes on from there",
                self.others()
            ),
            End::Unavailable => format!(
                "stopped after {done} in {time}{}\nhint: the same command goes on from there",
                self.others()
            ),
        }
    }

    fn comparison(&self, compared: Compared) -> String {
        let done = format!(
            "compared {} ({}) in {}",
            entries(self.totals.get(Count::Found)),
            numbers::bytes(self.totals.get(Count::Bytes)),
            numbers::duration(self.elapsed)
        );
        let numbers = [
            (compared.missing, "missing"),
            (compared.extra, "extra"),
            (compared.different, "different"),
            (self.totals.get(Count::Vanished), "vanished"),
            (self.totals.get(Count::Failed) + self.late_failures, "failed"),
        ];
        let found = numbers.iter().filter(|(number, _)| *number > 0);
        let found: Vec<_> =
            found.map(|&(number, word)| format!("{} {word}", numbers::count(number))).collect();
        match self.end {
            End::Finished if found.is_empty() => format!("{done}: all alike"),
            End::Finished => format!("{done}: {}", found.join(", ")),
            End::Signal(_) => format!("interrupted: {done}"),
            End::TargetLost | End::CopiersDied | End::Unavailable => format!("stopped: {done}"),
        }
    }

    /// One line for each kind of failure that many entries share.
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<_> = self.kinds.iter().filter(|(_, number)| *number > 1).collect();
        kinds.sort_by_key(|(error, number)| (std::cmp::Reverse(*number), error.errno as i32));
        kinds
            .iter()
            .map(|(error, number)| {
                format!("{} failed: {}", entries(*number), describe_kind(*error))
            })
            .collect()
    }

    fn others(&self) -> String {
        let others = [
            (Count::Verified, "verified"),
            (Count::Linked, "linked"),
            (Count::Skipped, "skipped"),
            (Count::Excluded, "left as they were"),
            (Count::Vanished, "vanished"),
            (Count::Failed, "failed"),
        ];
        others
            .iter()
            .map(|&(count, word)| (self.totals.get(count), word))
            .filter(|&(number, _)| number > 0)
            .map(|(number, word)| format!("; {} {word}", numbers::count(number)))
            .collect()
    }
}

fn entries(number: u64) -> String {
    format!("{} {}", numbers::count(number), if number == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcopy_sys::Errno;

    fn outcome(end: End, counts: &[(Count, u64)]) -> Outcome {
        let mut totals = Totals::default();
        counts.iter().for_each(|&(count, number)| totals.set(count, number));
        Outcome {
            compat: Compat::Native,
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

    #[test]
    fn the_last_line_says_what_was_done() {
        let counts = [(Count::Found, 50_806), (Count::Copied, 50_806), (Count::Bytes, 572_000_000)];
        let outcome = outcome(End::Finished, &counts);
        assert_eq!(outcome.summary(), "copied 50,806 entries (572 MB) in 1.8 s, 28,225/s");
        assert_eq!(outcome.code(), Some(code::COMPLETE));
    }

    #[test]
    fn the_worst_that_happened_decides_the_code() {
        use Count::{Copied, Failed, Found, Vanished};
        let cases = [
            (End::Finished, vec![(Found, 2), (Copied, 1), (Vanished, 1)], Some(code::VANISHED)),
            (End::Finished, vec![(Found, 2), (Failed, 1), (Vanished, 1)], Some(code::SOME_FAILED)),
            (End::Finished, vec![(Found, 2), (Failed, 1)], Some(code::UNBALANCED)),
            (End::TargetLost, vec![(Found, 9), (Failed, 1)], Some(code::TARGET_LOST)),
            (End::CopiersDied, vec![], Some(code::COPIERS_DIED)),
            (End::Signal(2), vec![(Found, 9)], None),
        ];
        for (end, counts, expected) in cases {
            assert_eq!(outcome(end, &counts).code(), expected, "{end:?} {counts:?}");
        }
    }

    #[test]
    fn in_the_manner_of_cp_there_are_two_codes() {
        use Count::{Copied, Failed, Found, Vanished};
        for (counts, expected) in [
            (vec![(Found, 1), (Copied, 1)], 0),
            (vec![(Found, 1), (Vanished, 1)], 1),
            (vec![(Found, 1), (Failed, 1)], 1),
            (vec![(Found, 1)], 1),
        ] {
            let outcome = Outcome { compat: Compat::Gnu, ..outcome(End::Finished, &counts) };
            assert_eq!(outcome.code(), Some(expected), "{counts:?}");
        }
    }

    #[test]
    fn what_the_machine_lacks_is_told_before_other_failures() {
        use Count::{Failed, Found};
        for (op, errno, expected) in [
            (Op::Clone, Errno::EOPNOTSUPP, code::INCAPABLE),
            (Op::Clone, Errno::EINVAL, code::INCAPABLE),
            (Op::Clone, Errno::ENOMEM, code::SOME_FAILED),
            (Op::Create, Errno::EOPNOTSUPP, code::SOME_FAILED),
        ] {
            let mut outcome = outcome(End::Finished, &[(Found, 2), (Failed, 2)]);
            outcome.kinds = vec![
                (EntryError { op: Op::OpenSource, errno: Errno::EACCES }, 1),
                (EntryError { op, errno }, 1),
            ];
            assert_eq!(outcome.code(), Some(expected), "{op:?} {errno}");
        }
    }

    #[test]
    fn a_comparison_says_how_many_of_what() {
        use Count::{Bytes, Different, Failed, Found, Skipped};
        let compared = |compared, counts: &[(Count, u64)]| Outcome {
            compared: Some(compared),
            ..outcome(End::Finished, counts)
        };
        let alike = compared(Compared::default(), &[(Found, 2), (Skipped, 2), (Bytes, 3000)]);
        assert_eq!(alike.summary(), "compared 2 entries (3.0 kB) in 1.8 s: all alike");
        assert_eq!(alike.code(), Some(code::COMPLETE));
        let found = Compared { missing: 1, extra: 2000, different: 0 };
        let other = compared(found, &[(Found, 1), (Different, 1)]);
        let end = "compared 1 entry (0 bytes) in 1.8 s: 1 missing, 2,000 extra";
        assert_eq!(other.summary(), end);
        assert_eq!(other.code(), Some(code::DIFFERENT));
        let failed = compared(found, &[(Found, 2), (Different, 1), (Failed, 1)]);
        assert_eq!(failed.summary(), format!("{}, 1 failed", end.replace("1 entry", "2 entries")));
        assert_eq!(failed.code(), Some(code::SOME_FAILED), "not all was seen");
    }

    #[test]
    fn failures_of_one_kind_are_one_line() {
        let mut outcome = outcome(End::Finished, &[]);
        let error = |errno| EntryError { op: Op::OpenSource, errno };
        outcome.kinds = vec![(error(Errno::EACCES), 10_000), (error(Errno::EIO), 1)];
        assert_eq!(
            outcome.kinds(),
            ["10,000 entries failed: cannot open for reading: Permission denied"]
        );
    }
}
