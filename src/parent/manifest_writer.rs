//! The manifest, written when the run has ended, however it did.

use super::supervisor::Supervisor;
use crate::copier::clean::remove_leftover;
use crate::hash::Digest;
use crate::ipc::wire::task::split_last;
use crate::manifest::put_line;
use crate::outcome::End;
use crate::plan::{Plan, To};
use crate::sanitize::{quote, sanitize};
use crate::staging::staged_name;
use pcopy_sys::file::{self, Kind, Lock};
use pcopy_sys::{Errno, describe};
use std::cmp::Ordering;
use std::ffi::CString;
use std::io::{IsTerminal, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How much is written at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// What could not be done, and why.
type Cannot = (&'static str, Errno);

impl Supervisor<'_> {
    /// Lists the files that are in the copy, if that is wanted.
    pub(super) fn write_manifest(&mut self, end: End) {
        let Some(listing) = &self.plan.manifest else { return };
        let mut files: Vec<_> = self.state.hashed.all(end != End::Finished).collect();
        sort(self.plan, &mut files);
        if self.plan.operands.len() > 1 && end == End::Finished {
            files.retain(|file| is_file_still(self.plan, file));
        }
        let written = match &listing.to {
            To::Stdout => {
                let screen = &mut self.screen;
                put_all(self.plan, &files, stdout().is_terminal(), |bytes| {
                    screen.raw(bytes);
                    Ok(())
                })
            }
            To::Stream => stream(&listing.shown).and_then(|file| write(self.plan, &files, &file)),
            To::File { dir, name, inside } => replace(self.plan, &files, (dir, name), *inside),
        };
        if let Err((act, errno)) = written {
            let shown = quote(listing.shown.as_os_str().as_bytes());
            self.screen.error(&format!("cannot {act} {shown}: {}", describe(errno)));
            self.failed_late += 1;
        }
    }

    /// Whether the manifest goes to standard output.
    pub(super) fn lists_on_stdout(&self) -> bool {
        matches!(&self.plan.manifest, Some(listing) if matches!(listing.to, To::Stdout))
    }
}

/// An entry of the plan, a path that begins with its source name, and the digest of that.
type Listed<'a> = (u32, &'a [u8], Digest);

/// Whether a file still has its name in the copy: a later source may have put there what is no file.
fn is_file_still(plan: &Plan, &(operand, path, _): &Listed<'_>) -> bool {
    let Some(operand) = plan.operands.get(operand as usize) else { return false };
    let target = operand.target_of(path);
    let (dir, name) = split_last(&target);
    let there = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
        let dir = plan.reach_target(operand, dir)?;
        file::stat_at(&dir, &name)
    });
    there.is_ok_and(|there| there.kind() == Kind::File)
}

/// Brings files in the order of their names in the manifest; of several that became one, the last
/// stays.
fn sort(plan: &Plan, files: &mut Vec<Listed<'_>>) {
    files.reverse();
    files.sort_by(|one, other| compare(plan, one, other));
    files.dedup_by(|one, other| compare(plan, one, other).is_eq());
}

/// Compares the names of two files; does not make them, because there may be millions.
fn compare(plan: &Plan, one: &Listed<'_>, other: &Listed<'_>) -> Ordering {
    if one.0 == other.0 {
        return one.1.cmp(other.1);
    }
    let name = |file: &Listed<'_>| {
        let operand = plan.operands.get(file.0 as usize);
        operand.map(|operand| operand.listed_as(file.1)).unwrap_or_default()
    };
    name(one).cmp(&name(other))
}

/// OwnerResult all lines to `put`, in pieces. A checker reads names as they are; a terminal must not.
fn put_all(
    plan: &Plan,
    files: &[Listed<'_>],
    to_terminal: bool,
    mut put: impl FnMut(&[u8]) -> Result<(), Cannot>,
) -> Result<(), Cannot> {
    let mut put = |lines: &[u8]| match to_terminal {
        true => put(sanitize(lines).as_bytes()),
        false => put(lines),
    };
    let mut lines = Vec::with_capacity(2 * PIECE_BYTES);
    for &(operand, path, digest) in files {
        let Some(operand) = plan.operands.get(operand as usize) else { continue };
        put_line(&mut lines, digest, &operand.listed_as(path));
        if lines.len() >= PIECE_BYTES {
            put(&lines)?;
            lines.clear();
        }
    }
    put(&lines)
}

fn write(plan: &Plan, files: &[Listed<'_>], file: &OwnedFd) -> Result<(), Cannot> {
    put_all(plan, files, file.is_terminal(), |bytes| {
        file::write_all(file, bytes).map_err(because("write"))
    })
}

/// Has the disk take the manifest, or its name, where it is to have all that is done.
fn write_out(plan: &Plan, what: &OwnedFd) -> Result<(), Cannot> {
    if plan.options.fsync { file::sync(what).map_err(because("write to the disk")) } else { Ok(()) }
}

/// Opens what is no regular file, to write into it.
fn stream(path: &Path) -> Result<OwnedFd, Cannot> {
    file::open_to_write(path).map_err(because("open"))
}

/// Writes a manifest under a staged name and gives it its own.
fn replace(
    plan: &Plan,
    files: &[Listed<'_>],
    (dir, name): (&Path, &Path),
    inside: bool,
) -> Result<(), Cannot> {
    let dir = file::open_dir(dir).map_err(because("create"))?;
    let name = CString::new(name.as_os_str().as_bytes()).map_err(|_| ("create", Errno::EINVAL))?;
    let before = file::stat_fd(&dir).map_err(because("create"))?;
    let old = file::stat_at(&dir, &name).ok().filter(|old| old.kind() == Kind::File);
    let bits = old.map_or(0o666 & !plan.umask, |old| old.permissions() & 0o777);
    let staged = staged_name(&name, 0);
    let file = match file::create_file(&dir, &staged, bits) {
        Err(Errno::EEXIST) => remove_leftover(dir.as_fd(), &staged, true)
            .and_then(|()| file::create_file(&dir, &staged, bits)),
        result => result,
    }
    .map_err(because("create"))?;
    // Another run that lists its files there must not take it for a leftover.
    if file::lock(file.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN) {
        return Err(("create", Errno::EBUSY));
    }
    let written = write(plan, files, &file)
        .and_then(|()| write_out(plan, &file))
        .and_then(|()| file::replace(&dir, &staged, &name).map_err(because("create")))
        .and_then(|()| write_out(plan, &dir))
        .and_then(|()| file::close(file).map_err(because("write")));
    if written.is_err() && file::unlink(&dir, &staged).is_err() {
        // The first failure is the one to tell.
    }
    written?;
    if inside {
        // The folder had its source's times.
        file::set_times(&dir, before.accessed(), before.modified())
            .map_err(because("set the times of the folder of"))?;
    }
    Ok(())
}

fn because(act: &'static str) -> impl Fn(Errno) -> Cannot {
    move |errno| (act, errno)
}
