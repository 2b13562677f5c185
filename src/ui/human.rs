//! pcopy's own messages: lower case, the action, the thing quoted, the cause, no full stop.

use super::numbers;
use super::screen::Screen;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::wire::difference::{Aspect, Difference};
use crate::ipc::wire::event::{CopyMethod, Details};
use crate::outcome::{Compared, End, Left, Outcome};
use crate::parent::run_event::{At, Free, ManifestOp, Names, RunEvent};
use crate::plan::{Note, NoteKind};
use crate::sanitize::{escape, quote};
use pcopy_sys::{Errno, describe};
use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Shows an event in pcopy's words.
pub(super) fn render(event: &RunEvent<'_>, screen: &mut Screen) {
    match *event {
        RunEvent::Note(note) => render_note(note, screen),
        // The first belongs to cp's `-v`; the second is drawn by the screen.
        RunEvent::Announced(_) | RunEvent::Progress { .. } => {}
        RunEvent::Done { names, details, .. } => screen.print(&done(names, details)),
        RunEvent::Skipped { target } => screen.print(&format!("skipped {}", quote(target))),
        RunEvent::Failed { error, names } => screen.error(&describe_failure(error, names)),
        RunEvent::Vanished { error, names, .. } if error.op == Op::Changed => {
            screen.error(&describe_failure(error, names));
        }
        RunEvent::Vanished { names, compared, .. } => {
            let act = if compared { "compared" } else { "copied" };
            screen.error(&format!("{} vanished before it was {act}", quote(names.source)));
        }
        RunEvent::LinkFailed { errno, target, and_others } => {
            screen.notice(&describe_link_failure(errno, target, and_others));
        }
        RunEvent::Prompt(prompt) => screen.prompt(&format!("replace {}? ", quote(prompt.target))),
        RunEvent::Differs { target, difference } => {
            screen.print(&describe_difference(difference, target));
        }
        RunEvent::LinkDiffers { target, other } => {
            let (target, other) = (quote(target), quote(other));
            screen.print(&format!(
                "different: {target}: hard-linked to {other} on one side only"
            ));
        }
        RunEvent::ComparedInside => screen.plain(
            "hint: DST is a directory, so SRC is looked up inside it; use -T to compare SRC with DST itself",
        ),
        RunEvent::SpaceShort { left, free, target } => {
            screen.notice(&describe_shortage(left, free, target));
        }
        RunEvent::Status { ref totals, entries, elapsed, at } => {
            screen.error(&describe_status(totals, entries, elapsed, at));
        }
        RunEvent::ManifestLines(lines) => screen.print_bytes(lines),
        RunEvent::ManifestFailed { op, path, errno } => {
            screen.error(&describe_manifest_failure(op, path, errno));
        }
        RunEvent::Unavailable(unavailable) => screen.error(&unavailable.to_string()),
        RunEvent::CannotSuspend(errno) => {
            screen.error(&format!("cannot suspend: {}", describe(errno)));
        }
        RunEvent::OutputLost(errno) => {
            screen.error(&format!("cannot write to standard output: {}", describe(errno)));
        }
        RunEvent::Ended(outcome) => render_end(outcome, screen),
    }
}

fn render_note(note: &Note, screen: &mut Screen) {
    match &note.kind {
        NoteKind::ContextIgnored => {
            screen.notice("warning: ignoring --context; it requires an SELinux-enabled kernel");
        }
        NoteKind::NamedTwice { is_dir, source } => {
            let source = quote(source.as_os_str().as_bytes());
            screen.notice(&named_twice(*is_dir, &source));
        }
        NoteKind::BadManifestLine(text) => screen.error(text),
        // Only GNU mode has these: pcopy refuses such operands.
        NoteKind::Failed { .. }
        | NoteKind::DirectoryOmitted(_)
        | NoteKind::ParentFailed(_)
        | NoteKind::ParentMade { .. }
        | NoteKind::Announced { .. } => {}
    }
}

/// A source that was given twice, quoted as its mode quotes.
pub(super) fn named_twice(is_dir: bool, quoted: &str) -> String {
    let kind = if is_dir { "directory" } else { "file" };
    format!("warning: source {kind} {quoted} specified more than once")
}

/// What `--debug` prints about a file's data; cp prints the same.
pub(super) fn describe_method(method: CopyMethod) -> String {
    let (offload, reflink, sparse) = method.words();
    format!("copy offload: {offload}, reflink: {reflink}, sparse detection: {sparse}")
}

/// The last lines of a run.
fn render_end(outcome: &Outcome, screen: &mut Screen) {
    for kind in failures_by_kind(outcome) {
        screen.notice(&kind);
    }
    if !outcome.is_balanced() {
        screen.error(UNBALANCED);
    }
    match outcome.end {
        End::Finished => screen.plain(&summary(outcome)),
        End::Signal(_) => screen.notice(&summary(outcome)),
        End::TargetLost | End::CopiersDied | End::Unavailable => screen.error(&summary(outcome)),
    }
}

/// The run has lost count: exit status 14.
pub(super) const UNBALANCED: &str =
    "internal error: the counts do not balance; some entries may be missing";

/// What `-v` prints for an entry that is complete, and `--debug` in a line of its own.
fn done(names: Names<'_>, details: Details) -> String {
    match details.method {
        None => escape(names.target),
        Some(method) => format!("{}\n{}", escape(names.target), describe_method(method)),
    }
}

/// Why one entry failed, after `pcopy: `.
fn describe_failure(error: EntryError, names: Names<'_>) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let thing = if error.op.concerns_source() { &source } else { &target };
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open {thing} for reading: {cause}"),
        Op::Changed => format!("{thing} changed while it was read"),
        Op::IntoItself => format!("cannot copy {thing} into itself, {target}"),
        Op::SameFile => format!("{source} and {target} are the same file"),
        Op::BackupIsSource => {
            format!("backing up {target} would destroy the source; {source} not copied")
        }
        Op::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Op::DirectoryAgain => format!("{source} has already been copied"),
        Op::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Op::NotReplaced => format!("not replacing {target}"),
        Op::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Op::Dangling => format!("not writing through dangling symlink {target}"),
        Op::Elsewhere => {
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Op::ThroughSymlink => format!("not reading {target}: its path contains a symbolic link"),
        Op::Clone => format!("cannot clone {source} to {target}: {cause}"),
        Op::Verify => {
            format!("{target} differed twice from what was read from {source}; removed")
        }
        Op::Sync => format!("cannot flush {thing} to stable storage: {cause}"),
        Op::KillsCopiers => format!("skipping {thing}: copiers repeatedly died on it"),
        Op::Publish => format!("cannot rename {thing} into place: {cause}"),
        op => format!("cannot {} {thing}: {cause}", act(op)),
    }
}

/// A kind of failure, without the name, for the summary of many.
fn describe_kind(error: EntryError) -> String {
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open for reading: {cause}"),
        Op::Changed => "changed while read".to_owned(),
        Op::IntoItself => "cannot copy into itself".to_owned(),
        Op::SameFile => "source and target are the same file".to_owned(),
        Op::BackupIsSource => "backing up would destroy the source".to_owned(),
        Op::JustCreated => "will not overwrite what was just created".to_owned(),
        Op::DirectoryAgain => "already copied".to_owned(),
        Op::Cycle => "cyclic symbolic link".to_owned(),
        Op::NotReplaced => "not replaced".to_owned(),
        Op::Verify => "differs from what was read".to_owned(),
        Op::Sync => format!("cannot flush to stable storage: {cause}"),
        Op::ThroughJustCreated => "not written through a just-created symlink".to_owned(),
        Op::Dangling => "not written through a dangling symlink".to_owned(),
        Op::Elsewhere => "a relative symbolic link would be dangling".to_owned(),
        Op::ThroughSymlink => "path contains a symbolic link".to_owned(),
        Op::KillsCopiers => "copiers repeatedly died on it".to_owned(),
        Op::Publish => format!("cannot rename into place: {cause}"),
        op => format!("cannot {}: {cause}", act(op)),
    }
}

/// A name that could not become a hard link and was copied as a file of its own.
fn describe_link_failure(errno: Errno, target: &[u8], and_others: bool) -> String {
    let (target, cause) = (quote(target), describe(errno));
    if and_others {
        format!("cannot link {target} and others: {cause}; they were copied as separate files")
    } else {
        format!("cannot link {target}: {cause}; it was copied as a separate file")
    }
}

/// A line of `--check` about an entry that is not as it should be.
fn describe_difference(difference: Difference, target: &[u8]) -> String {
    let target = quote(target);
    match difference {
        Difference::Missing(mode) => format!("missing: {target}{}", with_contents(mode)),
        Difference::Extra(mode) => format!("extraneous: {target}{}", with_contents(mode)),
        Difference::Other { aspects, wanted, found } => {
            let words = ASPECTS.iter().filter(|(aspect, _)| aspects.has(*aspect));
            let words: Vec<_> = words
                .map(|(aspect, word)| match aspect {
                    Aspect::Type => format!("{} instead of {}", kind(found), kind(wanted)),
                    Aspect::Permissions => {
                        format!("{word} {:04o} instead of {:04o}", found & 0o7777, wanted & 0o7777)
                    }
                    _ => (*word).to_owned(),
                })
                .collect();
            format!("different: {target}: {}", words.join(", "))
        }
    }
}

const ASPECTS: [(Aspect, &str); 7] = [
    (Aspect::Type, ""),
    (Aspect::Contents, "contents"),
    (Aspect::Permissions, "permission bits"),
    (Aspect::Time, "modification time"),
    (Aspect::Owner, "owner or group"),
    (Aspect::AccessLists, "ACL"),
    (Aspect::Attributes, "extended attributes"),
];

/// A directory stands for everything in it.
fn with_contents(mode: u32) -> &'static str {
    if mode & 0o170_000 == 0o040_000 { ", a directory, with its contents" } else { "" }
}

fn kind(mode: u32) -> &'static str {
    match mode & 0o170_000 {
        0o100_000 => "a file",
        0o040_000 => "a directory",
        0o120_000 => "a symlink",
        0o010_000 => "a FIFO",
        0o140_000 => "a socket",
        _ => "a device",
    }
}

/// The verb of `cannot VERB 'NAME'`; those that make a sentence of their own come last.
fn act(op: Op) -> &'static str {
    match op {
        Op::OpenSource => "open for reading",
        Op::ReadDirectory => "read directory",
        Op::Stat => "stat",
        Op::Read | Op::ReadSymlink | Op::ReadBack => "read",
        Op::Create
        | Op::CreateSymlink
        | Op::CreateFifo
        | Op::CreateNode
        | Op::SymlinkTo
        | Op::HardLinkTo
        | Op::FileOverDirectory => "create",
        Op::CreateDirectory | Op::DirectoryOverFile => "create directory",
        Op::LookAtTarget => "stat",
        Op::Remove => "remove",
        Op::OpenTarget => "open directory",
        Op::Write => "write",
        Op::SetTimes => "set times of",
        Op::SetPermissions => "set permissions of",
        Op::SetOwner => "set owner of",
        Op::SetAccessList => "set ACL of",
        Op::ReadAttributes => "read extended attributes of",
        Op::SetAttributes => "set extended attributes of",
        Op::Close => "close",
        Op::Sync => "flush",
        Op::Link => "link",
        Op::Clone => "clone",
        Op::Backup => "back up",
        Op::Follow => "follow",
        Op::Changed
        | Op::IntoItself
        | Op::SameFile
        | Op::BackupIsSource
        | Op::JustCreated
        | Op::Cycle
        | Op::NotReplaced
        | Op::ThroughJustCreated
        | Op::Dangling
        | Op::Elsewhere
        | Op::DirectoryAgain
        | Op::ThroughSymlink
        | Op::Verify
        | Op::Publish
        | Op::KillsCopiers => "copy",
    }
}

/// Why the manifest was not written.
fn describe_manifest_failure(op: ManifestOp, path: &Path, errno: Errno) -> String {
    let (path, cause) = (quote(path.as_os_str().as_bytes()), describe(errno));
    match op {
        ManifestOp::Create => format!("cannot create {path}: {cause}"),
        ManifestOp::Open => format!("cannot open {path}: {cause}"),
        ManifestOp::Write => format!("cannot write {path}: {cause}"),
        ManifestOp::Flush => format!("cannot flush {path} to stable storage: {cause}"),
        ManifestOp::SetDirTimes => format!("cannot set times of the directory of {path}: {cause}"),
    }
}

/// The warning that what is left does not fit.
fn describe_shortage(left: Left, free: Free, target: &[u8]) -> String {
    let shown = quote(target);
    let (left, free) = match free {
        Free::Bytes(free) => (numbers::bytes(left.bytes), numbers::bytes(free)),
        Free::Entries(free) => (entries(left.entries), format!("{} inodes", numbers::count(free))),
    };
    format!("warning: {left} left to copy, but only {free} free on the file system of {shown}")
}

/// The answer to `SIGUSR1`.
fn describe_status(totals: &Totals, all: Option<u64>, elapsed: Duration, at: At<'_>) -> String {
    let of = all.map(|all| format!(" of {}", numbers::count(all))).unwrap_or_default();
    let at = match at {
        At::Entry { name, copiers } => format!("{copiers} copiers, at {}", quote(name)),
        At::Flushing | At::Finishing => "finishing".to_owned(),
    };
    format!(
        "{}{of} entries, {}, {}, {at}",
        numbers::count(totals.settled()),
        numbers::bytes(totals.get(Count::Bytes)),
        numbers::duration(elapsed),
    )
}

/// The last line of a run.
pub(super) fn summary(outcome: &Outcome) -> String {
    if let Some(compared) = outcome.compared {
        return comparison(outcome, compared);
    }
    let done = format!(
        "{} ({})",
        entries(outcome.totals.get(Count::Copied)),
        numbers::bytes(outcome.totals.get(Count::Bytes))
    );
    let time = numbers::duration(outcome.elapsed);
    let others = other_counts(outcome);
    match outcome.end {
        End::Finished => {
            let bytes = outcome.totals.get(Count::Bytes);
            let rate = numbers::rate(outcome.totals.settled(), bytes, outcome.elapsed);
            format!("copied {done} in {time}, {rate}{others}")
        }
        End::Signal(_) => {
            format!("interrupted after {done} in {time}; rerun the command to resume")
        }
        End::TargetLost => format!(
            "stopped after {done} in {time}{others}{}\nhint: when the target can be written again, rerun the command to resume",
            outcome.left.map(left_to_copy).unwrap_or_default()
        ),
        End::CopiersDied => format!(
            "stopped after {done} in {time}: copiers kept dying{others}\nhint: find out what kills them (memory limits?), then rerun the command to resume",
        ),
        End::Unavailable => {
            format!("stopped after {done} in {time}{others}\nhint: rerun the command to resume",)
        }
    }
}

fn comparison(outcome: &Outcome, compared: Compared) -> String {
    let totals = &outcome.totals;
    let done = format!(
        "compared {} ({}) in {}",
        entries(totals.get(Count::Found)),
        numbers::bytes(totals.get(Count::Bytes)),
        numbers::duration(outcome.elapsed)
    );
    let numbers = [
        (compared.missing, "missing"),
        (compared.extra, "extraneous"),
        (compared.different, "different"),
        (totals.get(Count::Vanished), "vanished"),
        (totals.get(Count::Failed) + outcome.late_failures, "failed"),
    ];
    let found = numbers.iter().filter(|(number, _)| *number > 0);
    let found: Vec<_> =
        found.map(|&(number, word)| format!("{} {word}", numbers::count(number))).collect();
    match outcome.end {
        End::Finished if found.is_empty() => format!("{done}: identical"),
        End::Finished => format!("{done}: {}", found.join(", ")),
        End::Signal(_) => format!("interrupted: {done}"),
        End::TargetLost | End::CopiersDied | End::Unavailable => format!("stopped: {done}"),
    }
}

/// One line for each kind of failure that several entries share.
fn failures_by_kind(outcome: &Outcome) -> Vec<String> {
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
        (Count::Declined, "left as they were"),
        (Count::Vanished, "vanished"),
        (Count::Failed, "failed"),
    ];
    others
        .iter()
        .map(|&(count, word)| (outcome.totals.get(count), word))
        .filter(|&(number, _)| number > 0)
        .map(|(number, word)| format!("; {} {word}", numbers::count(number)))
        .collect()
}

fn left_to_copy(left: Left) -> String {
    format!("; {} ({}) left to copy", entries(left.entries), numbers::bytes(left.bytes))
}

fn entries(number: u64) -> String {
    format!("{} {}", numbers::count(number), if number == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_copied() {
        let counts = [(Count::Found, 50_806), (Count::Copied, 50_806), (Count::Bytes, 572_000_000)];
        let outcome = Outcome::sample(End::Finished, &counts);
        assert_eq!(summary(&outcome), "copied 50,806 entries (572 MB) in 1.8 s, 28,225/s");
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
