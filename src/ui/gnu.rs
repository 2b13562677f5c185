//! GNU cp's messages, which scripts and tests written for cp look for.
//!
//! For an event that cp does not have, pcopy's own message is printed.

use super::screen::Screen;
use super::summary::summary;
use super::{human, numbers};
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::{BackupKind, Details};
use crate::outcome::{End, Outcome};
use crate::parent::run_event::{Names, Prompt, RunEvent};
use crate::plan::backup_name::numbered_suffix;
use crate::plan::{Note, NoteKind};
use crate::shell_quote::{quote, quote_if_needed};
use pcopy_sys::describe;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Prints an event with cp's messages.
pub(super) fn render(event: &RunEvent<'_>, screen: &mut Screen) {
    match *event {
        RunEvent::Note(note) => render_note(note, screen),
        RunEvent::Announced(names) => screen.print(&describe_done(names, Details::default(), b"")),
        RunEvent::Done { names, details, suffix } => {
            screen.print(&describe_done(names, details, suffix));
        }
        RunEvent::Skipped { target } => screen.print(&format!("skipped {}", quote(target))),
        RunEvent::Failed { error, names } | RunEvent::Vanished { error, names, .. } => {
            screen.error(&describe_failure(error, names));
        }
        RunEvent::AttributeFailed { lost, names } => {
            screen.error(&describe_failure(lost.error, names));
        }
        RunEvent::Prompt(prompt) => screen.prompt(&question(prompt)),
        RunEvent::OutputLost(errno) => screen.error(&format!("write error: {}", describe(errno))),
        RunEvent::Ended(outcome) => render_end(outcome, screen),
        _ => human::render(event, screen),
    }
}

/// Prints a note of the planning phase.
fn render_note(note: &Note, screen: &mut Screen) {
    let bytes = |path: &'_ Path| path.as_os_str().as_bytes().to_vec();
    match &note.kind {
        // cp copies into it silently, and has no rules
        NoteKind::IntoCopy { .. }
        | NoteKind::UnreachableRule(_)
        | NoteKind::IdleRules(..)
        | NoteKind::BlankAtEnd(_)
        | NoteKind::NothingExtraneous(_)
        | NoteKind::NotMounted(_)
        | NoteKind::ListedMissing(_) => {}
        NoteKind::ContextIgnored | NoteKind::BadManifestLine(_) => {
            human::render(&RunEvent::Note(note), screen);
        }
        NoteKind::NamedTwice { is_dir, source } => {
            screen.notice(&human::named_twice(*is_dir, &quote(&bytes(source))));
        }
        NoteKind::Failed { error, source, target } => {
            let names = Names { source: &bytes(source), target: &bytes(target) };
            screen.error(&describe_failure(*error, names));
        }
        NoteKind::DirectoryOmitted { source } => {
            let source = quote(&bytes(source));
            screen.error(&format!("-r not specified; omitting directory {source}"));
        }
        NoteKind::TargetNotDirectory { is_argument, target, errno } => {
            let kind = if *is_argument { "target directory" } else { "target" };
            screen.error(&format!("{kind} {}: {}", quote(&bytes(target)), describe(*errno)));
        }
        NoteKind::ParentFailed(error) => {
            let quote = |path: &Path| quote(&bytes(path));
            screen.error(&human::describe_parent_failure(error, quote));
        }
        NoteKind::ParentCreated { source, target } => {
            screen.print(&format!("{} -> {}", source.display(), target.display()));
        }
        NoteKind::Announced { source, target } => {
            let names = Names { source: &bytes(source), target: &bytes(target) };
            screen.print(&describe_done(names, Details::default(), b""));
        }
    }
}

/// Prints the last lines of a run. cp prints no summary, so only an end that cp cannot have is reported, in
/// pcopy's words.
fn render_end(outcome: &Outcome, screen: &mut Screen) {
    match outcome.end {
        End::Finished if !outcome.is_balanced() => screen.error(human::UNBALANCED),
        End::Finished | End::Signal(_) => {}
        End::TargetLost | End::SourceLost | End::TimedOut | End::CopiersDied | End::Unavailable => {
            screen.error(&summary(outcome));
        }
    }
}

/// Returns the message for one failed entry, without the `cp: ` at its start. The function is long, because it
/// is a table with a row for each operation.
fn describe_failure(error: EntryError, names: Names<'_>) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open {source} for reading: {cause}"),
        Op::ReadDirectory => format!("cannot access {source}: {cause}"),
        Op::Stat | Op::Follow => format!("cannot stat {source}: {cause}"),
        Op::Read => format!("error reading {source}: {cause}"),
        Op::ReadSymlink => format!("cannot read symbolic link {source}: {cause}"),
        Op::Stage => format!("creating {target} under a temporary name: {cause}"),
        Op::StatTarget => format!("cannot stat {target}: {cause}"),
        Op::Create | Op::Publish | Op::WriteMountPoint => {
            format!("cannot create regular file {target}: {cause}")
        }
        Op::CreateSymlink => format!("cannot create symbolic link {target}: {cause}"),
        Op::CreateFifo => format!("cannot create fifo {target}: {cause}"),
        Op::CreateNode => format!("cannot create special file {target}: {cause}"),
        Op::SymlinkTo => format!("cannot create symbolic link {target} to {source}: {cause}"),
        Op::Link | Op::HardLinkTo => {
            format!("cannot create hard link {target} to {source}: {cause}")
        }
        Op::CreateDirectory => format!("cannot create directory {target}: {cause}"),
        Op::DirectoryOverFile | Op::DirectoryOverSymlink => {
            format!("cannot overwrite non-directory {target} with directory {source}")
        }
        // Here `source` is the target to which the directory was copied before.
        Op::DirectoryAgain => {
            format!("will not create hard link {target} to directory {source}")
        }
        Op::FileOverDirectory => {
            format!("cannot overwrite directory {target} with non-directory {source}")
        }
        Op::OpenTarget => format!("cannot access {target}: {cause}"),
        Op::Remove | Op::RemoveMountPoint => format!("cannot remove {target}: {cause}"),
        Op::Write => format!("error writing {target}: {cause}"),
        Op::SetTimes => format!("preserving times for {target}: {cause}"),
        Op::SetPermissions => format!("setting permissions for {target}: {cause}"),
        Op::SetOwner => format!("failed to preserve ownership for {target}: {cause}"),
        // cp names the source alone
        Op::ReadAccessList => format!("{source}: {cause}"),
        Op::SetAccessList => format!("preserving permissions for {target}: {cause}"),
        Op::ReadAttributes => format!("listing attributes of {source}: {cause}"),
        Op::SetAttributes => format!("setting attributes for {target}: {cause}"),
        Op::Close => format!("failed to close {target}: {cause}"),
        Op::Changed => {
            format!("skipping file {source}, as it was replaced while being copied")
        }
        Op::IntoItself => {
            format!("cannot copy a directory, {source}, into itself, {target}")
        }
        Op::SameFile => format!("{source} and {target} are the same file"),
        Op::Backup => format!("cannot backup {target}: {cause}"),
        Op::BackupIsSource => {
            format!("backing up {target} might destroy source;  {source} not copied")
        }
        Op::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Op::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Op::Dangling => format!("not writing through dangling symlink {target}"),
        Op::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Op::NotReplaced => format!("not replacing {target}"),
        Op::Clone => format!("failed to clone {target} from {source}: {cause}"),
        Op::RelativeSymlink => {
            let target = quote_if_needed(names.target);
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Op::Verify => format!("{target} is not what was read from {source}"),
        Op::Sync => format!("error writing {target} to the disk: {cause}"),
        Op::ThroughSymlink => format!("not reading {target} through a symlink"),
        Op::ReadBack => format!("error reading {target}: {cause}"),
        // cp has no plans
        Op::NotAsPlanned | Op::LinkNotAsPlanned => format!("not copying {source}"),
        Op::ReadRules => format!("cannot use the rules in {source}"), // cp has no rules
        Op::SourceLost => format!("error reading {source}: {cause}"),
        Op::TargetLost => format!("error writing {target}: {cause}"),
        Op::KillsCopiers => format!("passed over {source}: copiers died on it again and again"),
    }
}

/// Returns what `-v` prints: a line if an existing file was removed, then source and target and the name of
/// the backup, and with `--debug` a line about how the data was copied.
fn describe_done(names: Names<'_>, details: Details, suffix: &[u8]) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let mut text = String::new();
    if details.removed {
        writeln!(text, "removed {target}").expect(FITS);
    }
    write!(text, "{source} -> {target}").expect(FITS);
    let numbered;
    let suffix = match details.backup {
        BackupKind::None => None,
        BackupKind::Simple => Some(suffix),
        BackupKind::Numbered(number) => {
            numbered = numbered_suffix(number);
            Some(numbered.as_bytes())
        }
    };
    if let Some(suffix) = suffix {
        write!(text, " (backup: {})", quote(&[names.target, suffix].concat())).expect(FITS);
    }
    if let Some(method) = details.method {
        write!(text, "\n{}", human::describe_method(method)).expect(FITS);
    }
    text
}

const FITS: &str = "a String takes all that is written";

/// Returns the question that is asked before a file is overwritten.
fn question(prompt: Prompt<'_>) -> String {
    let (target, mode) = (quote(prompt.target), prompt.mode);
    let letters = numbers::permissions(mode);
    if prompt.writable {
        format!("overwrite {target}? ")
    } else if prompt.removes {
        format!("replace {target}, overriding mode {mode:04o} ({letters})? ")
    } else {
        format!("unwritable {target} (mode {mode:04o}, {letters}); try anyway? ")
    }
}
