//! Copies file data from one open file to another.
//!
//! There are three ways, tried in the order of their cost: a clone, so that both files share their
//! blocks (reflink); a copy inside the kernel (`copy_file_range`); read and write through a buffer. Each
//! continues where the one before it ended. Only the last one reports errors, because only it knows
//! whether reading or writing failed. Holes are preserved.

use super::chunks::Team;
use super::meter::Meter;
use super::result::Unfinished;
use crate::error::{Op, means_unsupported};
use crate::hash::{Digest, Hasher};
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::fs_caps::{Capability, FsCaps, Pair};
use crate::ipc::wire::event::{Attempt, CopyMethod};
use crate::options::When;
use crate::plan::Plan;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::{Errno, file_data};
use std::os::fd::BorrowedFd;

/// How much is read and written at a time.
///
/// A small file takes one read and one write; of a large one, each part stays in the CPU cache between
/// the two.
pub(in crate::copier) const BUFFER_BYTES: usize = 256 * 1024;

/// How much the kernel copies per system call. After a signal, a slow disk must finish one within the time
/// that copiers get to finish; on a fast disk the cost of the call is negligible.
const CALL_BYTES: u64 = 8 * 1024 * 1024;

/// The unit in which zeros become holes: the block size of nearly all file systems.
const HOLE_BYTES: usize = 4096;
const ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// The ways in which a file may be copied: those that the options permit, without those that are known to
/// be unsupported between its two devices.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fs_caps: &'a FsCaps,
    pub(super) pair: Pair,
}

impl Ways<'_> {
    /// Whether to try a clone.
    ///
    /// A clone is faster for files of every size. But for a file that fits into the buffer,
    /// `copy_file_range` is used instead: it clones where that is supported, returns the length, and copies
    /// where it is not. Measured with two copiers and flushing, against read and write: 10,000 files of 1 KB
    /// on xfs 0.10 s against 0.18 s, on btrfs 0.26 s against 0.29 s; 1,200 of 256 KiB 0.02 s against
    /// 0.14 s, and 0.03 s against 0.21 s.
    fn may_clone(self, source: &Stat) -> bool {
        match self.plan.options.reflink {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                self.may_share_holes()
                    && (source.size() > BUFFER_BYTES as u64
                        || self.plan.options.debug()
                        || source.size() > 0 && !self.may_offload(source.size()))
                    && !self.fs_caps.lacks(self.pair, Capability::Clone)
            }
        }
    }

    /// Whether the options for holes permit a clone, which has exactly the holes of its source. cp clones
    /// even with `--sparse=always`.
    fn may_share_holes(self) -> bool {
        match self.plan.options.sparse {
            When::Auto => true,
            When::Always => self.plan.policy.clones_under_sparse_always,
            When::Never => false,
        }
    }

    /// Whether to try `copy_file_range` for that many bytes.
    ///
    /// It saves one copy in memory: measured with one copier, 300 files of 2 MiB and one of 800 MiB on
    /// tmpfs 0.25 s and 0.31 s against 0.28 s and 0.37 s through a buffer; on ext4 with flushing 0.40 s and
    /// 0.56 s against 0.41 s and 0.60 s. For small files it is one system call instead of two (two copiers,
    /// 100,000 files of 1.5 KB: tmpfs 0.44 s against 0.46 s, ext4 0.83 s either way). On network file
    /// systems the data need not cross the network.
    pub(super) fn may_offload(self, bytes: u64) -> bool {
        // `--debug` reports whether the kernel supports it, so that is tried even for an empty file.
        (bytes > 0 || self.plan.options.debug())
            && self.plan.options.hash.is_none() // bytes to be hashed must be read anyway
            && self.plan.options.reflink == When::Auto
            && self.plan.options.sparse == When::Auto
            && !self.fs_caps.lacks(self.pair, Capability::CopyRange)
    }

    /// Why `copy_file_range` was not tried.
    fn without_offload(self) -> Attempt {
        let options = &self.plan.options;
        match (options.reflink, options.sparse) {
            (When::Auto, When::Auto) => Attempt::Unsupported, // as an earlier file has shown
            _ => Attempt::Avoided,
        }
    }

    /// Notes that the pair of devices lacks a capability, if that is what `errno` means.
    fn note(self, capability: Capability, errno: Errno) {
        if is_of_the_pair(errno) {
            self.fs_caps.note_lack(self.pair, capability);
        }
    }
}

/// Whether the cause is the file systems or the kernel, so that every other file would fail, too.
fn is_of_the_pair(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY | Errno::ENOSYS)
}

/// Whether a source changed while it was read.
pub(super) enum Steadiness {
    /// It did not.
    Steady,
    /// It changed once. It was read again, and had this status all that time.
    SteadyAgain(Box<Stat>),
    /// It changed the second time, too.
    Changing,
}

/// Copies the data of one file. Both files are open and at offset 0; the target is empty.
pub(super) struct Transfer<'a> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) ways: Ways<'a>,
    pub(super) buffer: &'a mut [u8],
    pub(super) meter: Meter<'a>,
    /// The team of copiers, if it is a large file that others may help with.
    pub(super) team: Option<Team<'a>>,
    /// Whether blocks of zeros become holes.
    pub(super) digs: bool,
    /// The hash of the bytes that were read, if the options require one.
    pub(super) hash: Option<Hasher>,
    /// The digest, if a team has hashed the file in chunks.
    pub(super) joined: Option<Digest>,
    /// How the bytes were copied.
    pub(super) method: CopyMethod,
    /// The offset of both files.
    position: u64,
    /// The end of the last write; between it and `position` there is a hole.
    written: u64,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        (source, target): (BorrowedFd<'a>, BorrowedFd<'a>),
        ways: Ways<'a>,
        buffer: &'a mut [u8],
        meter: Meter<'a>,
    ) -> Self {
        let options = &ways.plan.options;
        let never = options.reflink == When::Never || options.sparse == When::Never;
        let method = CopyMethod {
            offload: Attempt::Unknown,
            reflink: if never { Attempt::No } else { Attempt::Unknown },
            holes: false,
            zeros: false,
        };
        let digs = options.sparse == When::Always;
        let hash = options.hash.map(Hasher::new);
        Self {
            source,
            target,
            ways,
            buffer,
            meter,
            team: None,
            digs,
            hash,
            joined: None,
            method,
            position: 0,
            written: 0,
        }
    }

    /// The digest of the bytes that were read, if the options require one.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.joined.or_else(|| self.hash.as_ref().map(Hasher::finalize))
    }

    /// Copies all bytes of a source that had the status `stat` a moment ago, and once more if it changes
    /// meanwhile.
    ///
    /// The cost of the check cannot be measured: 100,000 files of 1 KB on tmpfs take one copier 0.71 s with
    /// it and without.
    ///
    /// cp does not check: scripts rely on it to copy growing files (logs) as far as they have been written.
    pub(super) fn copy_steady(&mut self, stat: &Stat) -> Result<Steadiness, Unfinished> {
        self.copy(stat)?;
        if !self.ways.plan.policy.rereads_changed {
            return Ok(Steadiness::Steady);
        }
        let now = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        if self.is_steady(stat, &now) {
            return Ok(Steadiness::Steady); // `stat` has the access time from before the read
        }
        if file_data::seek_to(self.source, 0).is_err() {
            return Ok(Steadiness::Changing); // it can be read only once
        }
        self.start_over()?;
        self.copy(&now)?;
        let again = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        let is_steady = self.is_steady(&now, &again);
        Ok(if is_steady { Steadiness::SteadyAgain(Box::new(now)) } else { Steadiness::Changing })
    }

    /// Whether a source did not change and was as long as its size.
    ///
    /// A network file system may still report the old size of a file that another client has truncated.
    /// Files in /sys always report a larger size than they have, but no allocated blocks.
    fn is_steady(&self, before: &Stat, now: &Stat) -> bool {
        let is_all = self.position >= before.size() || before.allocated() == 0;
        is_all && is_unchanged(before, now)
    }

    /// Copies until end of file where the source or the target is not a regular file: it has no size, and
    /// cannot seek.
    pub(super) fn copy_stream(&mut self) -> Result<(), Unfinished> {
        if self.ways.plan.options.reflink == When::Always {
            file_data::clone_all(self.source, self.target).map_err(Op::Clone.error())?;
        }
        self.buffered(u64::MAX)?;
        if self.written < self.position {
            file_data::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        Ok(())
    }

    /// Copies all bytes once: as many as `stat` says, or to the end of the file if that comes earlier or the
    /// size is 0.
    fn copy(&mut self, stat: &Stat) -> Result<(), Unfinished> {
        if self.ways.may_clone(stat) {
            if self.share(stat)? {
                return Ok(());
            }
        } else if self.method.reflink == Attempt::Unknown {
            self.method.reflink = Attempt::Unsupported; // as an earlier file has shown
        }
        match stat.size() {
            // Files in /proc have size 0 and yet contents.
            0 => {
                if self.ways.may_offload(0) {
                    self.offloaded(u64::MAX)?;
                } else {
                    self.go_by_hand();
                }
                self.buffered(u64::MAX)?;
            }
            size if stat.allocated() < size => {
                self.method.holes = true;
                self.around_holes(size)?;
            }
            size if self.together(size)? => {}
            size => self.data(size)?,
        }
        if self.written < self.position {
            file_data::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        Ok(())
    }

    /// Returns to offset 0 and truncates the target.
    pub(super) fn start_over(&mut self) -> Result<(), Unfinished> {
        file_data::set_size(self.target, 0).map_err(Op::Write.error())?;
        self.go_to(0)?;
        self.written = 0;
        self.joined = None;
        if let Some(hash) = &mut self.hash {
            hash.reset();
        }
        self.meter.start_over();
        Ok(())
    }

    /// Clones the source; false if it must be copied another way.
    fn share(&mut self, stat: &Stat) -> Result<bool, Unfinished> {
        let shared = file_data::clone_all(self.source, self.target);
        let must = self.ways.plan.options.reflink == When::Always;
        match shared {
            Ok(()) if self.is_all_there(stat) => {
                self.method.reflink = Attempt::Yes;
                self.hash_shared(stat.size())?;
                self.moved(stat.size())?;
                Ok(true)
            }
            // The next way reports the error, if there is one.
            Ok(()) if !must => self.start_over().map(|()| false),
            Ok(()) => Err(Op::Clone.error()(Errno::EIO).into()),
            Err(errno) if must || !means_unsupported(errno) => Err(Op::Clone.error()(errno).into()),
            Err(errno) => {
                self.ways.note(Capability::Clone, errno);
                self.method.reflink = Attempt::Unsupported;
                Ok(false)
            }
        }
    }

    /// Hashes the source of a clone, which no process has read.
    ///
    /// A source that changes between the clone and the hash is copied again, like one that changes while
    /// it is read.
    fn hash_shared(&mut self, size: u64) -> Result<(), Unfinished> {
        let Some(hash) = &mut self.hash else { return Ok(()) };
        if let Some(team) = self.team.take() {
            let seen = |far| self.meter.up_to(far);
            self.joined = team.hash_source(self.source, size, self.buffer, seen);
            self.meter.start_over(); // `moved` counts what is not counted yet
            if self.joined.is_some() {
                return Ok(());
            }
        }
        let mut at = 0;
        loop {
            if self.meter.status().is_abandoned() {
                return Err(Unfinished::Dropped);
            }
            let read =
                file_data::read_at(self.source, self.buffer, at).map_err(Op::Read.error())?;
            if read == 0 {
                return Ok(());
            }
            hash.update(&self.buffer[..read]);
            at += read as u64;
        }
    }

    /// Whether a clone has all bytes. On xfs, Linux before 6.13 does not report a clone that ended early. If
    /// the source itself has another size by now, it is copied again elsewhere.
    fn is_all_there(&self, stat: &Stat) -> bool {
        let size = |file| file::stat_fd(file).map(|now| now.size());
        size(self.target) == Ok(stat.size()) || size(self.source) != Ok(stat.size())
    }

    /// Copies the data of a sparse file and leaves out its holes.
    ///
    /// Each iteration makes progress, whatever the file system returns: after an error or an impossible
    /// answer, the rest of the file counts as data.
    fn around_holes(&mut self, size: u64) -> Result<(), Unfinished> {
        let mut at = 0;
        while at < size {
            let data = match file_data::next_data(self.source, at) {
                Ok(data) if data >= at => data.min(size),
                Err(Errno::ENXIO) => size,
                Err(_) if at == 0 => return self.data(size), // the file system does not support holes
                _ => at,
            };
            self.leave_hole(data - at)?;
            let hole = match file_data::next_hole(self.source, data) {
                Ok(hole) if hole > data => hole.min(size),
                _ => size,
            };
            self.go_to(data)?;
            self.data(hole - data)?;
            if self.position < hole {
                break; // the source ends before its reported size
            }
            at = hole;
        }
        Ok(())
    }

    /// Skips a hole, or with `--sparse=never` writes zeros, which need not be read.
    fn leave_hole(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.hash_hole(bytes)?;
        if self.ways.plan.options.sparse != When::Never {
            return self.meter.spare(bytes);
        }
        let mut left = bytes;
        self.buffer.fill(0);
        while left > 0 {
            let length =
                usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            file::write_all(self.target, &self.buffer[..length]).map_err(Op::Write.error())?;
            left -= length as u64;
            self.moved(length as u64)?;
        }
        Ok(())
    }

    /// Hashes the zeros of a hole, in parts: a hole may be very large.
    fn hash_hole(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let Some(hash) = &mut self.hash else { return Ok(()) };
        let mut left = bytes;
        while left > 0 {
            if self.meter.status().is_abandoned() {
                return Err(Unfinished::Dropped);
            }
            let part = left.min(CALL_BYTES);
            hash.update_zeros(part);
            left -= part;
        }
        Ok(())
    }

    /// Copies the next `bytes` bytes, or to the end of the file if that comes earlier.
    fn data(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let end = self.position + bytes;
        if self.ways.may_offload(bytes) {
            self.offloaded(end)?;
        } else if bytes > 0 {
            self.go_by_hand();
        }
        self.buffered(end - self.position)
    }

    /// Notes that `copy_file_range` is not tried.
    fn go_by_hand(&mut self) {
        if self.method.offload == Attempt::Unknown {
            self.method.offload = self.ways.without_offload();
        }
        self.method.zeros |= self.ways.plan.options.sparse == When::Always;
    }

    /// Copies up to `end` with `copy_file_range`. If that stops earlier, for whatever reason, read and write
    /// find out why.
    fn offloaded(&mut self, end: u64) -> Result<(), Unfinished> {
        while self.position < end {
            let part = usize::try_from(CALL_BYTES.min(end - self.position)).unwrap_or(usize::MAX);
            match file_data::copy_range(self.source, self.target, part) {
                Ok(0) => break,
                Ok(copied) => {
                    self.method.offload = Attempt::Yes;
                    self.moved(copied.min(part) as u64)?;
                }
                Err(errno) => {
                    self.ways.note(Capability::CopyRange, errno);
                    if self.method.offload == Attempt::Unknown {
                        self.method.offload = Attempt::Unsupported;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads and writes up to `bytes` bytes.
    fn buffered(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let mut left = bytes;
        // No further read(2) just to get the end of the file.
        while left > 0 {
            let length =
                usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            let read =
                file::read(self.source, &mut self.buffer[..length]).map_err(Op::Read.error())?;
            if read == 0 {
                break;
            }
            left -= read as u64;
            self.put(read)?;
        }
        Ok(())
    }

    /// Writes the first `length` bytes of the buffer.
    fn put(&mut self, length: usize) -> Result<(), Unfinished> {
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer[..length]);
        }
        if self.digs {
            return self.dig(length);
        }
        file::write_all(self.target, &self.buffer[..length]).map_err(Op::Write.error())?;
        self.moved(length as u64)
    }

    /// Writes the first `length` bytes of the buffer, and makes holes of blocks of zeros.
    fn dig(&mut self, length: usize) -> Result<(), Unfinished> {
        let mut at = 0;
        while at < length {
            let zeros = run(&self.buffer[at..length], true);
            if zeros > 0 {
                self.position += zeros as u64;
                file_data::seek_to(self.target, self.position).map_err(Op::Write.error())?;
                self.meter.spare(zeros as u64)?;
            }
            at += zeros;
            let data = run(&self.buffer[at..length], false);
            file::write_all(self.target, &self.buffer[at..at + data]).map_err(Op::Write.error())?;
            at += data;
            if data > 0 {
                self.moved(data as u64)?;
            }
        }
        Ok(())
    }

    /// Notes that the next `bytes` bytes are copied.
    pub(super) fn moved(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.position += bytes;
        self.written = self.position;
        self.meter.add(bytes)
    }

    fn go_to(&mut self, position: u64) -> Result<(), Unfinished> {
        file_data::seek_to(self.source, position).map_err(Op::Read.error())?;
        file_data::seek_to(self.target, position).map_err(Op::Write.error())?;
        self.position = position;
        Ok(())
    }
}

/// Whether the source did not change between two calls of stat(2).
///
/// Unlike the modification time, the status change time cannot be set back.
pub(in crate::copier) fn is_unchanged(before: &Stat, now: &Stat) -> bool {
    now.size() == before.size()
        && now.modified() == before.modified()
        && now.changed() == before.changed()
        && now.identity() == before.identity()
}

/// How many bytes at the front are blocks of zeros, or with `of_zeros` false, blocks with other data.
fn run(bytes: &[u8], of_zeros: bool) -> usize {
    let blocks = bytes.chunks(HOLE_BYTES);
    let same_kind = blocks.take_while(|block| (**block == ZEROS[..block.len()]) == of_zeros);
    same_kind.map(<[u8]>::len).sum()
}

/// Whether two files have the same contents from their present offsets on. The two buffers have one size.
///
/// A failure to read the target is an error of [`Op::ReadBack`].
pub(in crate::copier) fn same(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    (theirs, ours): (&mut [u8], &mut [u8]),
    status: StatusSlot<'_>,
) -> Result<bool, Unfinished> {
    let read_ours = |ours: &mut [u8]| file::read(target, ours).map_err(Op::ReadBack.error());
    loop {
        let length = file::read(source, theirs).map_err(Op::Read.error())?;
        if length == 0 {
            return Ok(read_ours(ours)? == 0);
        }
        if status.is_abandoned() {
            return Err(Unfinished::Dropped);
        }
        let mut compared = 0;
        while compared < length {
            let read = read_ours(&mut ours[..length - compared])?;
            if read == 0 || ours[..read] != theirs[compared..compared + read] {
                return Ok(false);
            }
            compared += read;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_consists_of_whole_blocks_and_the_rest_at_the_end() {
        let mut bytes = vec![0; 3 * HOLE_BYTES + 10];
        assert_eq!((run(&bytes, true), run(&bytes, false)), (bytes.len(), 0));
        bytes[2 * HOLE_BYTES - 1] = 1;
        assert_eq!((run(&bytes, true), run(&bytes, false)), (HOLE_BYTES, 0));
        bytes[0] = 1;
        assert_eq!((run(&bytes, true), run(&bytes, false)), (0, 2 * HOLE_BYTES));
        assert_eq!((run(b"", true), run(b"", false)), (0, 0));
    }
}
