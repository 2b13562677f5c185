//! Writes the manifest (the list of file hashes) when the run has ended, for whatever reason.

use crate::hash::Digest;
use crate::ipc::inherited::digests::Digests;
use crate::ipc::wire::task::split_last;
use crate::manifest::put_line;
use crate::outcome::End;
use crate::parent::reporter::Reporter;
use crate::parent::run_event::{ManifestOp, RunEvent};
use crate::plan::{ManifestTarget, Plan};
use crate::sanitize::sanitize;
use crate::staging::leftover::create_fresh;
use crate::staging::lock::try_lock;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::cmp::Ordering;
use std::ffi::{CStr, CString};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many bytes are written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The step that failed, and the error of its system call.
type ManifestError = (ManifestOp, Errno);

/// Writes a manifest of the files that are in the copy, if the options ask for one.
pub(in crate::parent) fn write(
    plan: &Plan,
    hashed: &Digests,
    end: End,
    reporter: &mut Reporter<'_>,
) {
    let Some(listing) = &plan.manifest else { return };
    let mut files: Vec<_> = hashed.all(end != End::Finished).collect();
    sort(plan, &mut files);
    if plan.operands.len() > 1 && end == End::Finished {
        files.retain(|file| is_still_file(plan, file));
    }
    let sink = &mut *reporter.sink;
    let written = match &listing.to {
        ManifestTarget::Stdout => put_all(plan, &files, |lines| {
            sink.emit(&RunEvent::ManifestLines(lines));
            Ok(())
        }),
        ManifestTarget::Stream => {
            open_stream(&listing.path).and_then(|file| put_to(plan, &files, &file))
        }
        // The directory may be on the disk that does not answer.
        ManifestTarget::File { .. } if end == End::TimedOut => {
            Err((ManifestOp::Create, Errno::ETIMEDOUT))
        }
        ManifestTarget::File { dir, name, inside } => replace(plan, &files, (dir, name), *inside),
    };
    if let Err((op, errno)) = written {
        sink.emit(&RunEvent::ManifestFailed { op, path: &listing.path, errno });
        reporter.late.failed += 1;
    }
}

/// Whether the manifest goes to standard output.
pub(in crate::parent) fn goes_to_stdout(plan: &Plan) -> bool {
    matches!(&plan.manifest, Some(listing) if matches!(listing.to, ManifestTarget::Stdout))
}

/// A file of the copy: the operand, the path from the operand's source name on, and the digest.
type ManifestEntry<'a> = (u32, &'a [u8], Digest);

/// Whether the name still belongs to a file in the copy. A later operand may have replaced it.
fn is_still_file(plan: &Plan, &(operand, path, _): &ManifestEntry<'_>) -> bool {
    let Some(operand) = plan.operands.get(operand as usize) else { return false };
    let target = operand.target_of(path);
    let (dir, name) = split_last(&target);
    let stat = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
        let dir = plan.reach_target(operand, dir)?;
        file::stat_at(&dir, &name)
    });
    stat.is_ok_and(|stat| stat.kind() == Kind::File)
}

/// Sorts files by their names in the manifest. If several files have one name, the last of them stays.
fn sort(plan: &Plan, files: &mut Vec<ManifestEntry<'_>>) {
    files.reverse();
    files.sort_by(|one, other| compare(plan, one, other));
    files.dedup_by(|one, other| compare(plan, one, other).is_eq());
}

/// Compares the names of two files in the manifest. Avoids building the names if possible, because there may
/// be millions.
fn compare(plan: &Plan, one: &ManifestEntry<'_>, other: &ManifestEntry<'_>) -> Ordering {
    if one.0 == other.0 {
        return one.1.cmp(other.1);
    }
    let name = |file: &ManifestEntry<'_>| {
        let operand = plan.operands.get(file.0 as usize);
        operand.map(|operand| operand.name_in_manifest(file.1)).unwrap_or_default()
    };
    name(one).cmp(&name(other))
}

/// Passes all lines to `put`, in chunks of about [`CHUNK_BYTES`].
fn put_all(
    plan: &Plan,
    files: &[ManifestEntry<'_>],
    mut put: impl FnMut(&[u8]) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    let mut lines = Vec::with_capacity(2 * CHUNK_BYTES);
    for &(operand, path, digest) in files {
        let Some(operand) = plan.operands.get(operand as usize) else { continue };
        put_line(&mut lines, digest, &operand.name_in_manifest(path));
        if lines.len() >= CHUNK_BYTES {
            put(&lines)?;
            lines.clear();
        }
    }
    put(&lines)
}

/// Writes all lines to `file`. A program that checks the manifest needs the names as they are; for a terminal
/// the names are escaped.
fn put_to(plan: &Plan, files: &[ManifestEntry<'_>], file: &OwnedFd) -> Result<(), ManifestError> {
    let is_terminal = file.is_terminal();
    put_all(plan, files, |lines| match is_terminal {
        true => file::write_all(file, sanitize(lines).as_bytes()).map_err(at(ManifestOp::Write)),
        false => file::write_all(file, lines).map_err(at(ManifestOp::Write)),
    })
}

/// Flushes the manifest or its directory to stable storage, if the options include `--fsync`.
fn flush(plan: &Plan, what: &OwnedFd) -> Result<(), ManifestError> {
    if plan.options.fsync { file::sync(what).map_err(at(ManifestOp::Flush)) } else { Ok(()) }
}

/// Opens for writing an existing file that is not a regular file.
fn open_stream(path: &Path) -> Result<OwnedFd, ManifestError> {
    file::open_to_write(path).map_err(at(ManifestOp::Open))
}

/// Writes the manifest under a staged name and renames it into place.
fn replace(
    plan: &Plan,
    files: &[ManifestEntry<'_>],
    (dir, name): (&Path, &Path),
    inside: bool,
) -> Result<(), ManifestError> {
    let dir = file::open_dir(dir).map_err(at(ManifestOp::Create))?;
    let name = CString::new(name.as_os_str().as_bytes())
        .map_err(|_| (ManifestOp::Create, Errno::EINVAL))?;
    let before = file::stat_fd(&dir).map_err(at(ManifestOp::Create))?;
    let old = file::stat_at(&dir, &name).ok().filter(|old| old.kind() == Kind::File);
    let bits = old.map_or(0o666 & !plan.umask, |old| old.permissions() & 0o777);
    let staged = staged_name(&name, 0);
    let create = |name: &CStr| file::create_file(&dir, name, bits);
    let file = create_fresh(dir.as_fd(), &staged, true, create).map_err(at(ManifestOp::Create))?;
    // The lock keeps another run with the same manifest from removing this file as a leftover of a killed
    // run.
    if !try_lock(&file) {
        return Err((ManifestOp::Create, Errno::EBUSY));
    }
    let written = put_to(plan, files, &file)
        .and_then(|()| flush(plan, &file))
        .and_then(|()| file::rename(&dir, &staged, &name).map_err(at(ManifestOp::Create)))
        .and_then(|()| flush(plan, &dir))
        .and_then(|()| file::close(file).map_err(at(ManifestOp::Write)));
    if written.is_err() && file::unlink(&dir, &staged).is_err() {
        // Only the first failure is reported.
    }
    written?;
    if inside {
        // The directory already had the times of its source, and the rename changed them.
        file::set_times(&dir, before.accessed(), before.modified())
            .map_err(at(ManifestOp::SetDirTimes))?;
    }
    Ok(())
}

fn at(op: ManifestOp) -> impl Fn(Errno) -> ManifestError {
    move |errno| (op, errno)
}
