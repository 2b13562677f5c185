//! Creates an entry in a new directory that this run builds, directly under its final name.
//!
//! Other programs do not use such a directory, except with `--inplace`. If an interrupted run has already
//! created the entry, the copier keeps it if it is complete, and otherwise creates it again.

use super::decide::{self, Likeness};
use super::fill::Source;
use super::result::{Applied, AttributeErrors, Done, Unfinished};
use super::resume::{open_begun, stays_for_next_run};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, discard, discard_half, link_text, note_comparison, op_of, repair};
use crate::copier::context::Context;
use crate::error::Op;
use crate::ipc::memory::counters::Count;
use crate::staging::removal;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Node, Stat};
use pcopy_sys::statfs;
use std::ffi::CStr;
use std::os::fd::AsFd;

impl EntryCopier<'_> {
    /// Copies a file. This is the common case, with the fewest system calls: open, stat, create, read, write,
    /// set times, close both files.
    pub(super) fn create_file(&mut self, entry: &Entry<'_>) -> Result<Applied, Unfinished> {
        let dirs = entry.dirs;
        let mut source = Source::open(&self.cx, entry)?;
        let leads = self.lead_or_defer(dirs.contended, &source.stat)?;
        let mode = source.creation_mode(&self.cx, dirs);
        let create = |name: &CStr| file::create_file(&dirs.target, name, mode);
        let names = Some((entry.name, entry.target_name));
        let begun = || open_begun(&self.cx, entry, (&source.stat, entry.target_name), mode);
        let target = match create_or_keep(&self.cx, entry, &source.stat, Op::Create, create, begun)?
        {
            Created::New(to) => TargetFile::New(to, names),
            Created::Begun(to) => TargetFile::Begun(to, names),
            Created::Kept(lost) => {
                self.cx.status.add(Count::BytesSkipped, source.stat.size());
                return Ok(Applied::plain(Done::Skipped).lacking(lost).leading(leads));
            }
        };
        let anew = || {
            discard(dirs, entry.target_name);
            let to = create(entry.target_name).map_err(Op::Create.error())?;
            Ok(TargetFile::New(to, names))
        };
        let mut filled = self.fill(entry, &source, target, anew);
        match &mut filled {
            Ok(applied) => applied.leads = leads,
            Err(unfinished) => {
                let stays = !dirs.is_visible(self.cx.plan())
                    && stays_for_next_run(&self.cx, entry, &source.stat, unfinished);
                if !stays {
                    discard_half(dirs, entry.target_name, unfinished);
                }
            }
        }
        filled
    }

    /// Copies a symlink or a special file.
    pub(super) fn create_other(
        &self,
        entry: &Entry<'_>,
        source: &Stat,
        leads: Option<Identity>,
    ) -> Result<Applied, Unfinished> {
        let text = link_text(entry, source)?;
        let create = |name: &CStr| make_other(&self.cx, entry, source, &text, name);
        let op = op_of(&self.cx, source);
        let applied = match create_or_keep(&self.cx, entry, source, op, create, || None)? {
            Created::New(()) | Created::Begun(()) => {
                finish_other(&self.cx, entry, source, entry.target_name)
            }
            Created::Kept(lost) => Applied::plain(Done::Skipped).lacking(lost),
        };
        Ok(applied.leading(leads))
    }
}

/// Creates `name` like the source: as a symlink that contains `text`, or as a FIFO, socket or device.
pub(super) fn make_other(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    text: &CStr,
    name: &CStr,
) -> Result<(), Errno> {
    let dirs = entry.dirs;
    if source.kind() == Kind::Symlink {
        let made = file::make_symlink(text, &dirs.target, name);
        return made.map_err(|errno| meant_by(errno, &dirs.target));
    }
    let mode = cx.attrs.node_permissions(source, dirs.traits.defaults);
    let made = file::make_node(&dirs.target, name, source, mode);
    if made == Err(Errno::EIO) {
        // Some FUSE file systems (exfat-fuse, rclone) create a file, and the kernel notices that it has not got
        // what it asked for.
        let is_wrong = |made: &Stat| made.kind() == Kind::File && made.size() == 0;
        if file::stat_at(&dirs.target, name).is_ok_and(|made| is_wrong(&made)) {
            discard(dirs, name);
        }
    }
    made.map_err(|errno| meant_by(errno, &dirs.target))
}

/// Returns what the error of creating a symlink, hard link, FIFO, socket or device in a directory means: some FUSE
/// file systems (exfat-fuse, rclone) answer with `EIO` if they do not have entries of that type.
pub(super) fn meant_by(errno: Errno, dir: impl AsFd) -> Errno {
    if errno == Errno::EIO && statfs::is_fuse(dir) { Errno::EOPNOTSUPP } else { errno }
}

/// Sets the source's attributes on the entry that [`make_other`] has created, whose current name is `made`.
pub(super) fn finish_other(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    made: &CStr,
) -> Applied {
    let dirs = entry.dirs;
    cx.outbox.begin();
    if cx.follows_symlinks(dirs, source.kind()) {
        return Applied::plain(Done::Copied).lacking(cx.lost_of_symlink(dirs, made, source));
    }
    let from = Node::Named(dirs.source.as_fd(), entry.name);
    let to = (dirs.target.as_fd(), made);
    let lost = cx.attrs.finish_other(from, to, source, dirs.traits.defaults);
    if lost.has(Op::SetTimes) {
        cx.note_refused_times(dirs.traits.device, source.kind());
    }
    Applied::plain(Done::Copied).lacking(lost)
}

/// What became of a name in a directory that this run builds.
enum Created<T> {
    /// The entry is new and must be filled and finished.
    New(T),
    /// An interrupted run has begun the entry, and the copier resumes it.
    Begun(T),
    /// An earlier round or run has completed the entry; it lacks these attributes.
    Kept(AttributeErrors),
}

/// Creates an entry, by calling `create`, in a directory that this run builds. If an earlier round or run has
/// already created the entry, keeps a complete one, resumes an incomplete one that `begun` returns, and replaces
/// any other.
fn create_or_keep<T>(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    op: Op,
    mut create: impl FnMut(&CStr) -> Result<T, Errno>,
    begun: impl FnOnce() -> Option<T>,
) -> Result<Created<T>, Unfinished> {
    let (dirs, name) = (entry.dirs, entry.target_name);
    // If the copier dies right after the creation, the entry may look complete to the next round: an empty file, where
    // contents decide. What an earlier round has created and reported must not be reported again.
    let may_be_reported = dirs.existed && !cx.job.history.is_first;
    if !may_be_reported || file::stat_at(&dirs.target, name).is_err() {
        cx.outbox.begin();
    }
    match create(name) {
        Ok(created) => return Ok(Created::New(created)),
        Err(Errno::EEXIST) => cx.outbox.settle(),
        Err(errno) => return Err(op.error()(errno).into()),
    }
    if !dirs.existed || !dirs.has_spelling(name).map_err(op.error())? {
        // This round has created the entry, under another name of the source: where case is ignored, the
        // target takes 'A' and 'a' for one name. The entry of the other name must stay.
        return Err(op.error()(Errno::EEXIST).into());
    }
    let old = file::stat_at(&dirs.target, name).map_err(op.error())?;
    // After an interrupted run with `--link`, the existing entry may be a hard link to the source, and not a
    // copy.
    let is_copy = old.identity() != source.identity();
    let likeness =
        if is_copy { decide::look(cx, entry, source, &old)? } else { Likeness::Different };
    if let Likeness::Compared(doubt) = likeness {
        note_comparison(cx, entry, (source, &old), doubt);
    }
    if likeness != Likeness::Different {
        return Ok(Created::Kept(repair(cx, entry, source, &old)?));
    }
    if old.kind() == Kind::Directory && dirs.is_visible(cx.plan()) {
        return Err(Op::FileOverDirectory.error()(Errno::EISDIR).into()); // the directory is another program's
    }
    if let Some(begun) = begun() {
        return Ok(Created::Begun(begun));
    }
    removal::remove(dirs.target.as_fd(), old.kind(), name).map_err(op.error())?;
    cx.outbox.begin();
    Ok(Created::New(create(name).map_err(op.error())?))
}
