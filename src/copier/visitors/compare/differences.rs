//! How two entries of the same type differ, in the properties that a copy preserves.

use super::Comparer;
use crate::copier::entry::ReadMeter;
use crate::copier::entry::data;
use crate::copier::entry::result::{AttributeErrors, Unfinished};
use crate::error::Op;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Properties, Property};
use crate::ipc::wire::task::EntryPath;
use crate::plan::DirOrigin;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Node, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// A name in an open directory.
type Name<'a> = (BorrowedFd<'a>, &'a CStr);

impl Comparer<'_> {
    /// Returns the properties in which two entries of the same type differ, and the attributes that could not be
    /// read. The entries are not directories.
    pub(super) fn differing(
        &mut self,
        at: EntryPath<'_>,
        (from, to): (Name<'_>, Name<'_>),
        (source, target): (&Stat, &Stat),
    ) -> Result<(Properties, AttributeErrors), Unfinished> {
        let nodes = (Node::Named(from.0, from.1), Node::Named(to.0, to.1));
        let (mut properties, unread) =
            self.cx.attrs.differing(nodes, (source, target), DirOrigin::Existing);
        let mut tally = ReadMeter::new(self.cx.status, Some(Count::Bytes));
        let differs = match source.kind() {
            // Both names belong to the same inode, so there is nothing to compare.
            _ if source.identity() == target.identity() => false,
            Kind::File if source.size() != target.size() => true,
            Kind::File => !self.has_same_bytes(at, (from, to), &mut tally)?,
            Kind::Symlink => {
                let text = file::read_symlink(from.0, from.1).map_err(Op::ReadSymlink.error())?;
                text != file::read_symlink(to.0, to.1).map_err(Op::ReadBack.error())?
            }
            _ => source.device() != target.device(),
        };
        properties.add_if(differs, Property::Contents);
        tally.up_to(if source.kind() == Kind::File { source.size() } else { 0 });
        Ok((properties, unread))
    }

    /// Returns the properties in which two directories differ, apart from their entries, and the attributes that
    /// could not be read.
    pub(super) fn differing_dirs(
        &self,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        stats: (&Stat, &Stat),
        origin: DirOrigin,
    ) -> (Properties, AttributeErrors) {
        self.cx.attrs.differing((Node::Open(from), Node::Open(to)), stats, origin)
    }

    fn has_same_bytes(
        &mut self,
        at: EntryPath<'_>,
        (from, to): (Name<'_>, Name<'_>),
        tally: &mut ReadMeter<'_>,
    ) -> Result<bool, Unfinished> {
        let source = file::open_noatime(from.0, from.1).map_err(Op::OpenSource.error())?;
        let target = file::open_noatime(to.0, to.1).map_err(Op::ReadBack.error())?;
        // Another program may have replaced the file since its status was read. A device must not be read.
        let is_file = |stat: &Stat, op: Op| match stat.kind() {
            Kind::File => Ok(()),
            _ => Err(op.error()(Errno::ESTALE)),
        };
        let was = file::stat_fd(&source).map_err(Op::Stat.error())?;
        is_file(&was, Op::Changed)?;
        let is = file::stat_fd(&target).map_err(Op::ReadBack.error())?;
        is_file(&is, Op::ReadBack)?;
        let ends = (source.as_fd(), target.as_fd());
        if let Some(same) = self.same_with_helpers((at, from.1, to.1), ends, (&was, &is), tally) {
            return Ok(same);
        }
        let buffers = (&mut self.theirs[..], &mut self.ours[..]);
        data::same(source.as_fd(), target.as_fd(), buffers, self.cx.status)
    }
}
