//! pcopy's own messages. Each is in lower case without a full stop, and has the action, the name in quotes,
//! and the cause, in this order.

use super::failure_text::describe_failure;
use super::itemize;
use super::numbers;
use super::screen::Screen;
use super::summary::{entries, failures_by_kind, hint_to_try_again, protected, summary};
use crate::error::Op;
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::wire::difference::{Difference, Property};
use crate::ipc::wire::event::{CopyMethod, Details};
use crate::outcome::{End, Left, Outcome};
use crate::parent::run_event::{At, Free, ManifestOp, Names, RunEvent, Withheld};
use crate::plan::{Note, NoteKind, ParentError};
use crate::sanitize::{escape, quote};
use crate::selection::Unreachable;
use pcopy_sys::{Errno, describe};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Prints an event with pcopy's own messages.
pub(super) fn render(event: &RunEvent<'_>, screen: &mut Screen) {
    match *event {
        RunEvent::Note(note) => render_note(note, screen),
        // `Announced` exists only for cp's `-v`. `Progress` is drawn by the screen.
        RunEvent::Announced(_) | RunEvent::Progress { .. } => {}
        RunEvent::Done { names, details, .. } => screen.print(&done(names, details)),
        RunEvent::Itemized { name, item } => screen.print(&itemize::line(&item, name)),
        RunEvent::Removed { target, is_dir, is_dry } => {
            screen.print(&removed(target, is_dir, is_dry));
        }
        RunEvent::ItemizedRemoval { name, is_dir } => {
            screen.print(&itemize::removal_line(name, is_dir));
        }
        RunEvent::RemovalsWithheld { names, why } => screen.error(&describe_withheld(names, why)),
        RunEvent::TooManyRemovals { count, all, names, command } => {
            screen.error(&describe_too_many(count, all, names, command));
        }
        RunEvent::Skipped { target } => screen.print(&format!("skipped {}", quote(target))),
        RunEvent::Failed { error, names } => screen.failure(error, &describe_failure(error, names)),
        RunEvent::AttributeFailed { lost, names } => screen.lost_attributes.add(lost, names),
        RunEvent::Vanished { error, names, .. } if error.op == Op::Changed => {
            screen.failure(error, &describe_failure(error, names));
        }
        RunEvent::Vanished { error, names, compared } => {
            let act = if compared { "compared" } else { "copied" };
            let message = format!("{} vanished before it was {act}", quote(names.source));
            screen.failure(error, &message);
        }
        RunEvent::TimedOut { limit, at } => {
            let at = at.map(|at| format!(" at {}", quote(at))).unwrap_or_default();
            screen.error(&format!("no answer from the disk for {} s{at}", limit.as_secs()));
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
        RunEvent::ComparesMuch => screen.notice(
            "note: more than 1 GiB of files with the size and time of their copies may have changed and is compared; --ignore-ctime skips such files",
        ),
        RunEvent::SpaceShort { left, free, target } => {
            screen.notice(&describe_shortage(left, free, target));
        }
        RunEvent::FewInodes { inodes, bytes, target } => screen.notice(&format!(
            "the file system of {} has {} free inodes left, and {} of space",
            quote(target),
            numbers::count(inodes),
            numbers::bytes(bytes)
        )),
        RunEvent::Status { ref totals, entries, elapsed, at } => {
            screen.error(&describe_status(totals, entries, elapsed, at));
        }
        RunEvent::ManifestLines(lines) => screen.print_bytes(lines),
        RunEvent::ManifestFailed { op, path, errno } => {
            screen.error(&describe_manifest_failure(op, path, errno));
        }
        RunEvent::PlanFailed { path, errno } => {
            let path = quote(path.as_os_str().as_bytes());
            screen.error(&format!("cannot write the plan {path}: {}", describe(errno)));
        }
        RunEvent::Unavailable(unavailable) => screen.error(&unavailable.to_string()),
        RunEvent::CannotSuspend(errno) => {
            screen.error(&format!("cannot suspend: {}", describe(errno)));
        }
        RunEvent::MountChanged(dir) => {
            let dir = quote(dir.as_os_str().as_bytes());
            screen.error(&format!("what is mounted at {dir} has changed during the run"));
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
        NoteKind::UnreachableRule(Unreachable { rule, dir, by }) => {
            let (rule, dir, by) = (quote(rule), quote(dir), quote(by));
            screen.notice(&format!(
                "note: the rule {rule} matches nothing: {dir} is left out by {by}"
            ));
        }
        NoteKind::BlankAtEnd(rule) => {
            screen.notice(&format!("note: the rule {} ends with a blank", quote(rule)));
        }
        NoteKind::IdleRules(rule, others) => {
            let others = match others {
                0 => String::new(),
                1 => ", and another rule".to_owned(),
                others => format!(", and {} other rules", numbers::count(*others as u64)),
            };
            screen.notice(&format!("note: no entry was decided by {}{others}", quote(rule)));
        }
        NoteKind::NothingExtraneous(files) => {
            let (files, are) = match files {
                1 => ("a source".to_owned(), "is no directory"),
                files => {
                    (format!("{} sources", numbers::count(*files as u64)), "are no directories")
                }
            };
            screen.notice(&format!(
                "note: --delete removes only what is in the copy of a directory, and {files} {are}"
            ));
        }
        NoteKind::NotMounted(path) => {
            let path = quote(path.as_os_str().as_bytes());
            screen.error(&format!(
                "{path} is in /etc/fstab and not mounted; nothing is removed from its copy"
            ));
        }
        NoteKind::ListedMissing(path) => {
            let path = quote(path.as_os_str().as_bytes());
            screen.error(&format!("cannot copy {path}: it is in --files-from and does not exist"));
        }
        NoteKind::NamedTwice { is_dir, source } => {
            let source = quote(source.as_os_str().as_bytes());
            screen.notice(&named_twice(*is_dir, &source));
        }
        NoteKind::IntoCopy { directory, target } => {
            let quote = |path: &Path| quote(path.as_os_str().as_bytes());
            let (directory, target) = (quote(directory), quote(target));
            screen.on_terminal(&format!(
                "note: {directory} exists: copying into {target}; use -T to update {directory} itself"
            ));
        }
        NoteKind::BadManifestLine(line) => screen.error(&line.to_string()),
        NoteKind::ParentFailed(error) => {
            let quote = |path: &Path| quote(path.as_os_str().as_bytes());
            screen.error(&describe_parent_failure(error, quote));
        }
        // These exist only in GNU cp compatibility mode: the native mode refuses such operands, and reports
        // an entry only when it is complete.
        NoteKind::Failed { .. }
        | NoteKind::TargetNotDirectory { .. }
        | NoteKind::DirectoryOmitted { .. }
        | NoteKind::ParentCreated { .. }
        | NoteKind::Announced { .. } => {}
    }
}

/// Returns the warning for a source that was given twice. `quoted` is its path, quoted in the style of pcopy
/// or of cp.
pub(super) fn named_twice(is_dir: bool, quoted: &str) -> String {
    let kind = if is_dir { "directory" } else { "file" };
    format!("warning: source {kind} {quoted} specified more than once")
}

/// Returns why a directory above an operand cannot be created. `quote` quotes a path in the style of pcopy or
/// of cp.
pub(super) fn describe_parent_failure(
    error: &ParentError,
    quote: impl Fn(&Path) -> String,
) -> String {
    match error {
        ParentError::Stat(path, errno) => {
            format!("failed to get attributes of {}: {}", quote(path), describe(*errno))
        }
        ParentError::NotADirectory(path) => {
            format!("{} exists but is not a directory", quote(path))
        }
        ParentError::Create(path, errno) => {
            format!("cannot make directory {}: {}", quote(path), describe(*errno))
        }
    }
}

/// Returns what `--debug` prints about how a file's data was copied; cp prints the same.
pub(super) fn describe_method(method: CopyMethod) -> String {
    let (offload, reflink, sparse) = method.words();
    format!("copy offload: {offload}, reflink: {reflink}, sparse detection: {sparse}")
}

/// Prints the last lines of a run.
fn render_end(outcome: &Outcome, screen: &mut Screen) {
    let lost_attributes = std::mem::take(&mut screen.lost_attributes);
    for (line, is_failure) in lost_attributes.lines() {
        if is_failure {
            screen.error(&line);
        } else {
            screen.notice(&format!("warning: {line}"));
        }
    }
    for kind in failures_by_kind(outcome) {
        screen.notice(&kind);
    }
    if let Some(protected) = protected(&outcome.totals) {
        screen.notice(&protected);
    }
    if !outcome.is_balanced() {
        screen.error(UNBALANCED);
    }
    match outcome.end {
        End::Finished => screen.summary(&summary(outcome)),
        End::Signal(_) => screen.notice(&summary(outcome)),
        End::TargetLost | End::SourceLost | End::TimedOut | End::CopiersDied | End::Unavailable => {
            screen.error(&summary(outcome))
        }
    }
    let unnamed = screen.unnamed_failures();
    if unnamed > 0 {
        let unnamed = numbers::count(unnamed);
        screen.plain(&format!(
            "hint: {unnamed} failures are not named above; 2>FILE names all in FILE"
        ));
    }
    if let Some(hint) = hint_to_try_again(outcome) {
        screen.plain(&hint);
    }
}

/// The message for exit status 14: the number of entries found is not the sum of the numbers copied, skipped,
/// failed and so on.
pub(super) const UNBALANCED: &str =
    "internal error: the counts do not balance; some entries may be missing";

/// Returns what `-v` prints for a complete entry, and the line that `--debug` adds.
fn done(names: Names<'_>, details: Details) -> String {
    match details.method {
        None => escape(names.target),
        Some(method) => format!("{}\n{}", escape(names.target), describe_method(method)),
    }
}

/// Returns what `-v` prints for an entry that was removed.
fn removed(target: &[u8], is_dir: bool, is_dry: bool) -> String {
    let (would, kind) =
        (if is_dry { "would be " } else { "" }, if is_dir { " directory" } else { "" });
    format!("{would}removed{kind} {}", quote(target))
}

/// Returns why nothing is removed from the copy of a source.
fn describe_withheld(names: Names<'_>, why: Withheld) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    match why {
        Withheld::SourceUnread => format!(
            "nothing was removed from {target}: a part of {source} could not be read (--delete-despite-errors removes what is extraneous elsewhere)"
        ),
        Withheld::SourceChanged => format!(
            "nothing was removed from {target}: {source} is not what it was when the run began, or a file system in it was unmounted"
        ),
    }
}

/// Returns why nothing is removed at all.
fn describe_too_many(count: u64, all: u64, names: &[Vec<u8>], command: Option<&str>) -> String {
    let (count, all) = (numbers::count(count), numbers::count(all));
    let names: Vec<_> = names.iter().map(|name| format!("\n  {}", quote(name))).collect();
    let hint = command.map(|command| format!("\nhint: if that is meant, run: {command}"));
    format!(
        "nothing was removed: {count} of {all} entries are extraneous, more than --max-delete permits; the first are:{}{}",
        names.concat(),
        hint.unwrap_or_default()
    )
}

/// Returns the notice for a name that could not become a hard link and was copied as a separate file.
fn describe_link_failure(errno: Errno, target: &[u8], and_others: bool) -> String {
    let (target, cause) = (quote(target), describe(errno));
    if and_others {
        format!("cannot link {target} and others: {cause}; they were copied as separate files")
    } else {
        format!("cannot link {target}: {cause}; it was copied as a separate file")
    }
}

/// Returns the line that `--check` prints for an entry that differs from its source.
fn describe_difference(difference: Difference, target: &[u8]) -> String {
    let target = quote(target);
    match difference {
        Difference::Missing(mode) => format!("missing: {target}{}", with_contents(mode)),
        Difference::Extraneous(mode) => format!("extraneous: {target}{}", with_contents(mode)),
        Difference::Changed { properties, wanted, found } => {
            let words = PROPERTIES.iter().filter(|(property, _)| properties.has(*property));
            let words: Vec<_> = words
                .map(|(property, word)| match property {
                    Property::Type => format!("{} instead of {}", kind(found), kind(wanted)),
                    Property::Permissions => {
                        format!("{word} {:04o} instead of {:04o}", found & 0o7777, wanted & 0o7777)
                    }
                    _ => (*word).to_owned(),
                })
                .collect();
            format!("different: {target}: {}", words.join(", "))
        }
    }
}

const PROPERTIES: [(Property, &str); 7] = [
    (Property::Type, ""),
    (Property::Contents, "contents"),
    (Property::Permissions, "permission bits"),
    (Property::Time, "modification time"),
    (Property::Owner, "owner or group"),
    (Property::Acls, "ACL"),
    (Property::Xattrs, "extended attributes"),
];

/// Returns the words that follow the name of a missing or extraneous directory, and no words for other types.
/// `--check` reports such a directory in one line and does not report its contents.
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

/// Returns why the manifest was not written.
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

/// Returns the warning that the data or entries left to copy do not fit into the target file system.
fn describe_shortage(left: Left, free: Free, target: &[u8]) -> String {
    let shown = quote(target);
    let (left, free) = match free {
        Free::Bytes(free) => (numbers::bytes(left.bytes), numbers::bytes(free)),
        Free::Entries(free) => {
            let inodes = if free == 1 { "inode" } else { "inodes" };
            (entries(left.entries), format!("{} {inodes}", numbers::count(free)))
        }
    };
    format!("warning: {left} left to copy, but only {free} free on the file system of {shown}")
}

/// Returns the line that pcopy prints when it receives `SIGUSR1`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_names_what_is_left_and_what_is_free() {
        let left = Left { bytes: 2_000_000, entries: 3000 };
        assert_eq!(
            describe_shortage(left, Free::Bytes(1_000_000), b"dst"),
            "warning: 2.0 MB left to copy, but only 1.0 MB free on the file system of 'dst'"
        );
        assert_eq!(
            describe_shortage(left, Free::Entries(1), b"dst"),
            "warning: 3,000 entries left to copy, but only 1 inode free on the file system of 'dst'"
        );
    }

    #[test]
    fn a_directory_is_reported_with_its_contents() {
        let missing = Difference::Missing(0o040_755);
        let extraneous = Difference::Extraneous(0o100_644);
        assert_eq!(
            describe_difference(missing, b"dst/d"),
            "missing: 'dst/d', a directory, with its contents"
        );
        assert_eq!(describe_difference(extraneous, b"dst/f"), "extraneous: 'dst/f'");
    }
}
