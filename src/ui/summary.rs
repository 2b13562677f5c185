//! The last lines of a run: the work done, the speed, and the failures.

use super::failure_text::describe_kind;
use super::numbers::{self, Unit};
use crate::ipc::memory::counters::{Count, Totals};
use crate::outcome::{Compared, End, Exit, Left, Outcome, code};
use crate::parent::position::copied;
use crate::sanitize::quote;
use crate::shell_quote::quote_if_needed;
use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Returns the last line of a run, and for some ends a line with a hint.
pub(super) fn summary(outcome: &Outcome) -> String {
    if let Some(compared) = outcome.compared {
        return comparison(outcome, compared);
    }
    if outcome.dry_run.is_some() && outcome.end == End::Finished {
        return foreseen(outcome);
    }
    let done = format!(
        "{} ({})",
        entries(outcome.totals.get(Count::Copied)),
        numbers::bytes(outcome.totals.get(Count::Bytes))
    );
    let time = numbers::duration(outcome.elapsed);
    let others = other_counts(outcome);
    let resume = match &outcome.other_command_to_resume {
        None => "rerun the command to resume".to_owned(),
        Some(command) => format!("resume it with: {command}"),
    };
    let text = match outcome.end {
        End::Finished => {
            let to = quote(outcome.destination.as_os_str().as_bytes());
            format!("copied {done} to {to} in {time}{}{others}", average_rate(outcome))
        }
        End::Signal(_) if outcome.dry_run.is_some() => format!("dry run: interrupted after {time}"),
        End::Signal(_) => {
            format!("interrupted after {done} in {time}; {resume}")
        }
        End::TargetLost => format!(
            "stopped after {done} in {time}{others}{}\nhint: when the target can be written again, {resume}",
            outcome.left.map(left_to_copy).unwrap_or_default()
        ),
        End::SourceLost => format!(
            "stopped after {done} in {time}{others}\nhint: when the source can be read again, {resume}"
        ),
        End::TimedOut => format!(
            "stopped after {done} in {time}{others}\nhint: when the disk answers again, {resume}"
        ),
        End::CopiersDied => format!(
            "stopped after {done} in {time}: copiers kept dying{others}\nhint: find out what kills them (memory limits?), then {resume}",
        ),
        End::Unavailable => {
            format!("stopped after {done} in {time}{others}\nhint: {resume}",)
        }
    };
    text + &discarding(&outcome.unfinished)
}

/// Returns the last line of a dry run.
fn foreseen(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let to = quote(outcome.destination.as_os_str().as_bytes());
    let others = other_counts(outcome);
    let what = if outcome.only_looked { "looked first, and copied nothing" } else { "dry run" };
    if totals.get(Count::Copied) + totals.get(Count::Linked) == 0 && totals.get(Count::Removed) == 0
    {
        return format!("{what}: nothing would be copied to {to}{others}");
    }
    let (copied, bytes) = (totals.get(Count::Copied), totals.get(Count::Bytes));
    format!(
        "{what}: {} ({}) would be copied to {to}{others}",
        entries(copied),
        numbers::bytes(bytes)
    )
}

/// The longest command that is printed, in bytes.
const COMMAND_MAX: usize = 1024;

/// Returns a line with the command that removes what is unfinished; an empty text if nothing is.
fn discarding(unfinished: &[PathBuf]) -> String {
    let Some(first) = unfinished.first() else { return String::new() };
    let quoted = |path: &PathBuf| quote_if_needed(path.as_os_str().as_bytes());
    let all = unfinished.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let options = if all.starts_with('-') { "-r --" } else { "-r" };
    let paths = match unfinished.len() - 1 {
        others if all.len() > COMMAND_MAX => {
            format!("{} (and {} like it)", quoted(first), entries(others as u64))
        }
        _ => all,
    };
    format!("\nhint: to discard what is unfinished instead: rm {options} {paths}")
}

/// Formats the average speed, after a comma; an empty text if nothing was copied.
fn average_rate(outcome: &Outcome) -> String {
    let (entries, bytes) = copied(&outcome.totals, false);
    let unit = Unit::of(entries, bytes);
    let amount = if unit == Unit::Bytes { bytes } else { entries };
    match amount {
        0 => String::new(),
        amount => format!(", {}", numbers::rate(amount, outcome.elapsed, unit)),
    }
}

fn comparison(outcome: &Outcome, compared: Compared) -> String {
    let totals = &outcome.totals;
    let done = format!(
        "compared {} ({}) in {}",
        entries(totals.get(Count::Found).saturating_sub(totals.get(Count::Excluded))),
        numbers::bytes(totals.get(Count::Bytes)),
        numbers::duration(outcome.elapsed)
    );
    let numbers = [
        (compared.missing, "missing"),
        (compared.extra, "extraneous"),
        (compared.different, "different"),
        (totals.get(Count::Changed), "changed"),
        (totals.get(Count::Vanished), "vanished"),
        (totals.get(Count::Failed) + outcome.late_failures, "failed"),
    ];
    let found = numbers.iter().filter(|(number, _)| *number > 0);
    let found: Vec<_> =
        found.map(|&(number, word)| format!("{} {word}", numbers::count(number))).collect();
    let excluded = excluded(totals);
    match outcome.end {
        End::Finished if found.is_empty() => format!("{done}: identical{excluded}"),
        End::Finished => format!("{done}: {}{excluded}", found.join(", ")),
        End::Signal(_) => format!("interrupted: {done}"),
        End::TargetLost | End::SourceLost | End::TimedOut | End::CopiersDied | End::Unavailable => {
            format!("stopped: {done}")
        }
    }
}

/// Returns the hint at the command that tries again what has failed, if it is not the same command.
pub(super) fn hint_to_try_again(outcome: &Outcome) -> Option<String> {
    let command = outcome.other_command_to_resume.as_ref()?;
    let is_complete = matches!(outcome.exit(), Exit::Code(code::COMPLETE));
    let is_said = is_complete || outcome.end != End::Finished || outcome.compared.is_some();
    (!is_said).then(|| format!("hint: to try again, run: {command}"))
}

/// Returns the line about what is protected in directories that the source does not have; `None` if nothing is.
pub(super) fn protected(totals: &Totals) -> Option<String> {
    let [entries_in, dirs] = [Count::Protected, Count::Protecting].map(|count| totals.get(count));
    let directories = if dirs == 1 {
        "1 directory".to_owned()
    } else {
        format!("{} directories", numbers::count(dirs))
    };
    (entries_in > 0).then(|| {
        format!(
            "note: {} in {directories} that the source does not have: protected by a rule, not extraneous",
            entries(entries_in)
        )
    })
}

/// Returns one line for each kind of failure with which more than one entry failed.
pub(super) fn failures_by_kind(outcome: &Outcome) -> Vec<String> {
    let mut kinds: Vec<_> = outcome.kinds.iter().filter(|(_, number)| *number > 1).collect();
    kinds.sort_by_key(|(error, number)| (Reverse(*number), error.errno as i32));
    kinds
        .iter()
        .map(|(error, number)| format!("{} failed: {}", entries(*number), describe_kind(*error)))
        .collect()
}

fn other_counts(outcome: &Outcome) -> String {
    let others = [
        (Count::Verified, "verified"),
        (Count::Linked, "linked"),
        (Count::Skipped, "skipped"),
        (Count::Compared, "compared by content"),
        (Count::Excluded, "excluded"),
        (Count::Removed, "removed"),
        (Count::Declined, "declined"),
        (Count::Changed, "changed"),
        (Count::Vanished, "vanished"),
        (Count::Failed, "failed"),
    ];
    others
        .iter()
        .map(|&(count, word)| (count, outcome.totals.get(count), word))
        .filter(|&(_, number, _)| number > 0)
        .map(|(count, number, word)| match count {
            Count::Excluded => excluded(&outcome.totals),
            Count::Removed if outcome.dry_run.is_some() => {
                format!("; {} would be removed", numbers::count(number))
            }
            _ => format!("; {} {word}", numbers::count(number)),
        })
        .collect()
}

/// Returns how many entries the selection leaves out, after a semicolon; an empty text if none.
fn excluded(totals: &Totals) -> String {
    let numbers = [Count::Excluded, Count::OtherVersion].map(|count| totals.get(count));
    match numbers {
        [0, _] => String::new(),
        [all, 0] => format!("; {} excluded", numbers::count(all)),
        [all, others] => format!(
            "; {} excluded, {} of them with another version in the target",
            numbers::count(all),
            numbers::count(others)
        ),
    }
}

fn left_to_copy(left: Left) -> String {
    format!("; {} ({}) left to copy", entries(left.entries), numbers::bytes(left.bytes))
}

/// Formats a number of entries: `1 entry`, `2,000 entries`.
pub(super) fn entries(number: u64) -> String {
    format!("{} {}", numbers::count(number), if number == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{EntryError, Op};
    use pcopy_sys::Errno;

    #[test]
    fn the_last_line_counts_what_was_copied() {
        let counts = [(Count::Found, 50_806), (Count::Copied, 50_806), (Count::Bytes, 572_000_000)];
        let outcome = Outcome::sample(End::Finished, &counts);
        assert_eq!(
            summary(&outcome),
            "copied 50,806 entries (572 MB) to 'backup/src' in 1.8 s, 28,225/s"
        );
    }

    #[test]
    fn the_last_line_of_a_comparison_counts_the_differences() {
        use Count::{Bytes, Different, Failed, Found, Skipped};
        let compared = |compared, counts: &[(Count, u64)]| Outcome {
            compared: Some(compared),
            ..Outcome::sample(End::Finished, counts)
        };
        let same = compared(Compared::default(), &[(Found, 2), (Skipped, 2), (Bytes, 3000)]);
        assert_eq!(summary(&same), "compared 2 entries (3.0 kB) in 1.8 s: identical");
        let found = Compared { missing: 1, extra: 2000, different: 0 };
        let other = compared(found, &[(Found, 1), (Different, 1)]);
        let end = "compared 1 entry (0 bytes) in 1.8 s: 1 missing, 2,000 extraneous";
        assert_eq!(summary(&other), end);
        let failed = compared(found, &[(Found, 2), (Different, 1), (Failed, 1)]);
        assert_eq!(summary(&failed), format!("{}, 1 failed", end.replace("1 entry", "2 entries")));
    }

    #[test]
    fn failures_of_one_kind_are_one_line() {
        let mut outcome = Outcome::sample(End::Finished, &[]);
        let error = |errno| EntryError { op: Op::OpenSource, errno };
        outcome.kinds = vec![(error(Errno::EACCES), 10_000), (error(Errno::EIO), 1)];
        assert_eq!(
            failures_by_kind(&outcome),
            ["10,000 entries failed: cannot open for reading: Permission denied"]
        );
    }
}
