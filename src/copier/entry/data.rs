//! The bytes of a file, from one open file to another.
//!
//! Three ways, the cheapest first: the two files share their bytes (a clone); the kernel copies
//! them; they go through a buffer. Each goes on where the one before it ended, and only the last
//! one says what went wrong, because it knows on which side. Holes stay holes.

use super::chunks::Team;
use super::meter::Meter;
use super::result::Unfinished;
use crate::error::{Op, means_unable};
use crate::hash::{Digest, Hasher};
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::fs_caps::{Capability, FsCaps, Pair};
use crate::ipc::wire::event::{Attempt, CopyMethod};
use crate::options::When;
use crate::plan::Plan;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::{Errno, bytes};
use std::os::fd::BorrowedFd;

/// How much is read and written at a time.
///
/// The whole of a small file, so that it takes one read and one write; of a large one as much as
/// stays in the processor's cache between the two.
pub(in crate::copier) const BUFFER_BYTES: usize = 256 * 1024;

/// How much the kernel copies at a time: a slow disk must be done with it before a signal's patience
/// ends, and on a fast one a call costs nothing beside it.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// What is all zeros becomes a hole in pieces of this size: the block of nearly all file systems.
const HOLE_BYTES: usize = 4096;
const ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// The ways that a file may go: those that the user allows, without those that are known to end
/// nowhere between its two devices.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fs_caps: &'a FsCaps,
    pub(super) pair: Pair,
}

impl Ways<'_> {
    /// Whether a clone is asked for.
    ///
    /// It pays for files of every size, but what fits in the buffer gets one from the kernel's own
    /// copying, which makes it where it can, says how long it is, and needs no second way where it
    /// cannot. Measured with two copiers, all the way to the disk, against read and write: 10,000
    /// files of 1 KB on xfs 0.10 s against 0.18 s, on btrfs 0.26 s against 0.29 s; 1,200 of 256 KiB
    /// 0.02 s against 0.14 s, and 0.03 s against 0.21 s.
    fn may_clone(self, source: &Stat) -> bool {
        match self.plan.options.reflink {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                self.may_share_holes()
                    && (source.size() > BUFFER_BYTES as u64
                        || self.plan.options.debug
                        || source.size() > 0 && !self.may_offload(source.size()))
                    && !self.fs_caps.lacks(self.pair, Capability::Clone)
            }
        }
    }

    /// Whether a clone, which has its source's holes and no others, is what the user wants. cp
    /// makes one even where holes are wanted wherever there are zeros.
    fn may_share_holes(self) -> bool {
        match self.plan.options.sparse {
            When::Auto => true,
            When::Always => self.plan.policy.clones_under_sparse_always,
            When::Never => false,
        }
    }

    /// Whether the kernel is asked to copy that many bytes.
    ///
    /// It saves one copy in memory: measured with one copier, 300 files of 2 MiB and one of 800 MiB
    /// on tmpfs 0.25 s and 0.31 s against 0.28 s and 0.37 s through a buffer; on ext4, all the way
    /// to the disk, 0.40 s and 0.56 s against 0.41 s and 0.60 s. For small files it is one call
    /// instead of two (two copiers, 100,000 files of 1.5 KB: tmpfs 0.44 s against 0.46 s, ext4 0.83 s
    /// either way). On network disks the bytes need not travel at all.
    pub(super) fn may_offload(self, bytes: u64) -> bool {
        // Who wants to know how files are copied wants to know what the kernel can do.
        (bytes > 0 || self.plan.options.debug)
            && self.plan.options.hash.is_none() // bytes that are hashed come by here anyhow
            && self.plan.options.reflink == When::Auto
            && self.plan.options.sparse == When::Auto
            && !self.fs_caps.lacks(self.pair, Capability::CopyRange)
    }

    /// Why the kernel was not asked.
    fn without_offload(self) -> Attempt {
        let options = &self.plan.options;
        match (options.reflink, options.sparse) {
            (When::Auto, When::Auto) => Attempt::Unsupported, // an earlier file has shown it
            _ => Attempt::Avoided,
        }
    }

    /// Keeps in mind what the pair cannot do, where that is what `errno` means.
    fn note(self, ability: Capability, errno: Errno) {
        if is_of_the_pair(errno) {
            self.fs_caps.note_lack(self.pair, ability);
        }
    }
}

/// Whether no other file would fare better: what is said of file systems or of the kernel.
fn is_of_the_pair(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY | Errno::ENOSYS)
}

/// The copying of one file's bytes. Both files are open and at their beginning; the target is empty.
pub(super) struct Transfer<'a> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) ways: Ways<'a>,
    pub(super) buffer: &'a mut [u8],
    pub(super) meter: Meter<'a>,
    /// Who helps, if it is a large file that others may help with.
    pub(super) team: Option<Team<'a>>,
    /// Whether zeros are left out.
    pub(super) digs: bool,
    /// The hash of the bytes that were read, if that is wanted.
    pub(super) hash: Option<Hasher>,
    /// What it comes to, if several have hashed it in pieces.
    pub(super) joined: Option<Digest>,
    /// Which ways the bytes have gone.
    pub(super) method: CopyMethod,
    /// Where both files are.
    position: u64,
    /// Where the last byte was written; behind it there is only a hole.
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

    /// The digest of the bytes that were read, if that is wanted.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.joined.or_else(|| self.hash.as_ref().map(Hasher::finalize))
    }

    /// Copies all bytes of a source that was `stat` a moment ago, once more if it changes meanwhile.
    ///
    /// Says what the source was all the time that it was read; `None` if it changed the second
    /// time, too. Looking again cannot be measured: 100,000 files of 1 KB on tmpfs take one
    /// copier 0.71 s with it and without.
    ///
    /// cp does not look again: files that grow (logs) are copied by scripts as far as they had come.
    pub(super) fn copy_steady(&mut self, stat: &Stat) -> Result<Option<Stat>, Unfinished> {
        self.copy(stat)?;
        if !self.ways.plan.policy.rereads_changed {
            return Ok(Some(*stat));
        }
        let now = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        if self.is_steady(stat, &now) {
            return Ok(Some(*stat)); // with the time of access before this one
        }
        if bytes::go_to(self.source, 0).is_err() {
            return Ok(None); // it can be read once only
        }
        self.start_over()?;
        self.copy(&now)?;
        let again = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        Ok(self.is_steady(&now, &again).then_some(now))
    }

    /// Whether a source was the same all the time, and did not end before its size.
    ///
    /// A network disk may still tell the old size of a file that was cut off elsewhere. Files in
    /// /sys always claim more bytes than they have; they lie on no disk.
    fn is_steady(&self, before: &Stat, now: &Stat) -> bool {
        let is_all = self.position >= before.size() || before.allocated() == 0;
        is_all && is_unchanged(before, now)
    }

    /// Copies bytes until there are no more, where one of the two is no file: it has no size, and
    /// no position to go back to.
    pub(super) fn copy_stream(&mut self) -> Result<(), Unfinished> {
        if self.ways.plan.options.reflink == When::Always {
            bytes::clone_all(self.source, self.target).map_err(Op::Clone.error())?;
        }
        self.buffered(u64::MAX)?;
        if self.written < self.position {
            bytes::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        Ok(())
    }

    /// Copies all bytes once: as many as `stat` tells, or to the end where there are fewer or it
    /// does not know.
    fn copy(&mut self, stat: &Stat) -> Result<(), Unfinished> {
        if self.ways.may_clone(stat) {
            if self.share(stat)? {
                return Ok(());
            }
        } else if self.method.reflink == Attempt::Unknown {
            self.method.reflink = Attempt::Unsupported; // an earlier file has shown it
        }
        match stat.size() {
            // Files in /proc have no size and yet contents.
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
            bytes::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        Ok(())
    }

    /// Goes back to the beginning, with nothing copied.
    pub(super) fn start_over(&mut self) -> Result<(), Unfinished> {
        bytes::set_size(self.target, 0).map_err(Op::Write.error())?;
        self.go_to(0)?;
        self.written = 0;
        self.joined = None;
        if let Some(hash) = &mut self.hash {
            hash.reset();
        }
        self.meter.start_over();
        Ok(())
    }

    /// Makes the target share the source's bytes; false if another way must be gone.
    fn share(&mut self, stat: &Stat) -> Result<bool, Unfinished> {
        let shared = bytes::clone_all(self.source, self.target);
        let must = self.ways.plan.options.reflink == When::Always;
        match shared {
            Ok(()) if self.is_all_there(stat) => {
                self.method.reflink = Attempt::Yes;
                self.hash_shared(stat.size())?;
                self.moved(stat.size())?;
                Ok(true)
            }
            // The next way says what is wrong, if anything is.
            Ok(()) if !must => self.start_over().map(|()| false),
            Ok(()) => Err(Op::Clone.error()(Errno::EIO).into()),
            Err(errno) if must || !means_unable(errno) => Err(Op::Clone.error()(errno).into()),
            Err(errno) => {
                self.ways.note(Capability::Clone, errno);
                self.method.reflink = Attempt::Unsupported;
                Ok(false)
            }
        }
    }

    /// Hashes the source of a clone, which nobody has read.
    ///
    /// A source that changes between the clone and this is copied again, like one that changes
    /// while it is read.
    fn hash_shared(&mut self, size: u64) -> Result<(), Unfinished> {
        let Some(hash) = &mut self.hash else { return Ok(()) };
        if let Some(team) = self.team.take() {
            let seen = |far| self.meter.up_to(far);
            self.joined = team.hash_source(self.source, size, self.buffer, seen);
            self.meter.start_over(); // `moved` counts what is left of it
            if self.joined.is_some() {
                return Ok(());
            }
        }
        let mut at = 0;
        loop {
            if self.meter.status().is_abandoned() {
                return Err(Unfinished::Dropped);
            }
            let read = bytes::read_at(self.source, self.buffer, at).map_err(Op::Read.error())?;
            if read == 0 {
                return Ok(());
            }
            hash.update(&self.buffer[..read]);
            at += read as u64;
        }
    }

    /// Whether a clone has all bytes. Linux before 6.13 does not tell of one that ended early on
    /// xfs. A source that has another size by now is not the clone's fault, and is copied again.
    fn is_all_there(&self, stat: &Stat) -> bool {
        let size = |file| file::stat_fd(file).map(|now| now.size());
        size(self.target) == Ok(stat.size()) || size(self.source) != Ok(stat.size())
    }

    /// Copies what is data, and leaves out what is not.
    ///
    /// Each turn ends farther on than it began, whatever the file system answers: what it cannot
    /// tell or tells wrongly is data to the end.
    fn around_holes(&mut self, size: u64) -> Result<(), Unfinished> {
        let mut at = 0;
        while at < size {
            let data = match bytes::next_data(self.source, at) {
                Ok(data) if data >= at => data.min(size),
                Err(Errno::ENXIO) => size,
                Err(_) if at == 0 => return self.data(size), // it knows nothing of holes
                _ => at,
            };
            self.leave_hole(data - at)?;
            let hole = match bytes::next_hole(self.source, data) {
                Ok(hole) if hole > data => hole.min(size),
                _ => size,
            };
            self.go_to(data)?;
            self.data(hole - data)?;
            if self.position < hole {
                break; // the source ends here, before the size that it claimed
            }
            at = hole;
        }
        Ok(())
    }

    /// Passes over a hole, or fills it with zeros if the user wants none; they need not be read.
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

    /// Hashes the zeros of a hole; there may be very many.
    fn hash_hole(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let Some(hash) = &mut self.hash else { return Ok(()) };
        let mut left = bytes;
        while left > 0 {
            if self.meter.status().is_abandoned() {
                return Err(Unfinished::Dropped);
            }
            let piece = left.min(PIECE_BYTES);
            hash.update_zeros(piece);
            left -= piece;
        }
        Ok(())
    }

    /// Copies the next `bytes` bytes, or to the end if there are fewer.
    fn data(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let end = self.position + bytes;
        if self.ways.may_offload(bytes) {
            self.offloaded(end)?;
        } else if bytes > 0 {
            self.go_by_hand();
        }
        self.buffered(end - self.position)
    }

    /// Notes that the kernel is not asked.
    fn go_by_hand(&mut self) {
        if self.method.offload == Attempt::Unknown {
            self.method.offload = self.ways.without_offload();
        }
        self.method.zeros |= self.ways.plan.options.sparse == When::Always;
    }

    /// Has the kernel copy up to `end`. Where it stops earlier, for whatever reason, reading and
    /// writing find out what there is.
    fn offloaded(&mut self, end: u64) -> Result<(), Unfinished> {
        while self.position < end {
            let piece = usize::try_from(PIECE_BYTES.min(end - self.position)).unwrap_or(usize::MAX);
            match bytes::copy_range(self.source, self.target, piece) {
                Ok(0) => break,
                Ok(copied) => {
                    self.method.offload = Attempt::Yes;
                    self.moved(copied.min(piece) as u64)?;
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
        // No read only to be told that this is the end.
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

    /// Writes the first `length` bytes of the buffer, but for blocks of zeros.
    fn dig(&mut self, length: usize) -> Result<(), Unfinished> {
        let mut at = 0;
        while at < length {
            let zeros = run(&self.buffer[at..length], true);
            if zeros > 0 {
                self.position += zeros as u64;
                bytes::go_to(self.target, self.position).map_err(Op::Write.error())?;
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

    /// Notes that the next `bytes` bytes have arrived.
    pub(super) fn moved(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.position += bytes;
        self.written = self.position;
        self.meter.add(bytes)
    }

    fn go_to(&mut self, position: u64) -> Result<(), Unfinished> {
        bytes::go_to(self.source, position).map_err(Op::Read.error())?;
        bytes::go_to(self.target, position).map_err(Op::Write.error())?;
        self.position = position;
        Ok(())
    }
}

/// Whether nobody touched the source between two looks at it.
///
/// The time of the last change cannot be set back, as that of the last write can.
pub(in crate::copier) fn is_unchanged(before: &Stat, now: &Stat) -> bool {
    now.size() == before.size()
        && now.modified() == before.modified()
        && now.changed() == before.changed()
        && now.identity() == before.identity()
}

/// How many bytes at the front are blocks of nothing but zeros, or blocks with something else.
fn run(bytes: &[u8], of_zeros: bool) -> usize {
    let blocks = bytes.chunks(HOLE_BYTES);
    let alike = blocks.take_while(|block| (**block == ZEROS[..block.len()]) == of_zeros);
    alike.map(<[u8]>::len).sum()
}

/// Whether two files have the same contents, read from where they are, through two buffers of one size.
///
/// That the target cannot be read is a fault of [`Op::ReadBack`].
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
    fn a_run_is_of_whole_blocks_and_what_is_left_at_the_end() {
        let mut bytes = vec![0; 3 * HOLE_BYTES + 10];
        assert_eq!((run(&bytes, true), run(&bytes, false)), (bytes.len(), 0));
        bytes[2 * HOLE_BYTES - 1] = 1;
        assert_eq!((run(&bytes, true), run(&bytes, false)), (HOLE_BYTES, 0));
        bytes[0] = 1;
        assert_eq!((run(&bytes, true), run(&bytes, false)), (0, 2 * HOLE_BYTES));
        assert_eq!((run(b"", true), run(b"", false)), (0, 0));
    }
}
