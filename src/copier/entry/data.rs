//! Copies file data from one open file to another.
//!
//! The copier tries three ways, the cheapest first. It clones the file, so that both files share their blocks
//! (reflink); or it copies inside the kernel (`copy_file_range`); or it calls read(2) and write(2) with a
//! buffer. Each way continues where the previous one ended. An error of `copy_file_range` is not reported,
//! because it does not show whether reading or writing failed. The copier continues with read(2) and
//! write(2); if one of them fails, too, its error is reported. Holes are preserved.
//!
//! Some targets (mounts of object stores) take the bytes of a new file in order only, and refuse other writes
//! with various errors. So if a write fails after the copier has left the order, the file is created and
//! written once more, in order, and so are all later files on that device.

use super::chunks::{Team, has_at};
use super::meter::Meter;
use super::result::Unfinished;
use crate::error::{EntryError, Op, may_mean_order, means_unsupported};
use crate::hash::{Digest, Hasher};
use crate::ipc::memory::counters::{Count, StatusSlot};
use crate::ipc::memory::fs_caps::{Capability, FsCaps, Pair};
use crate::ipc::wire::event::{Attempt, CopyMethod};
use crate::options::When;
use crate::plan::Plan;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, file_data};
use std::os::fd::BorrowedFd;

/// The size of the buffer, in bytes: how much is read and written at a time.
///
/// A small file takes one read and one write. Each part of a large file stays in the CPU cache from its read
/// to its write.
pub(in crate::copier) const BUFFER_BYTES: usize = 256 * 1024;

/// How many bytes the kernel copies per system call. After a signal, copiers get a limited time to finish,
/// and even a slow disk must finish one call within that time. On a fast disk the cost of a call is
/// negligible.
const CALL_BYTES: u64 = 8 * 1024 * 1024;

/// The size in bytes of the blocks of zeros that become holes: the block size of nearly all file systems.
const HOLE_BYTES: usize = 4096;
const ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// The ways in which a copier may copy a file: those that the options permit, except those that an earlier
/// file has shown to be unsupported between the two devices.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fs_caps: &'a FsCaps,
    pub(super) pair: Pair,
    /// The device of the target.
    pub(super) target: u64,
}

impl Ways<'_> {
    /// Whether to try a clone.
    ///
    /// A clone is the fastest way for files of every size. But for a file that fits into the buffer, the
    /// copier uses `copy_file_range` instead. This call clones the file where that is supported, copies it
    /// where it is not, and returns the length. Measured with two copiers and flushing, `copy_file_range`
    /// against read and write:
    ///
    /// * 10,000 files of 1 KB: xfs 0.10 s against 0.18 s, btrfs 0.26 s against 0.29 s.
    /// * 1,200 files of 256 KiB: xfs 0.02 s against 0.14 s, btrfs 0.03 s against 0.21 s.
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

    /// Whether `--sparse` permits a clone, which has exactly the holes of its source. cp clones even with
    /// `--sparse=always`.
    fn may_share_holes(self) -> bool {
        match self.plan.options.sparse {
            When::Auto => true,
            When::Always => self.plan.policy.clones_under_sparse_always,
            When::Never => false,
        }
    }

    /// Whether to try `copy_file_range` for `bytes` bytes. Compared with read and write through the buffer:
    ///
    /// * It saves one copy in memory. Measured with one copier, 300 files of 2 MiB: tmpfs 0.25 s against
    ///   0.28 s, ext4 with flushing 0.40 s against 0.41 s. One file of 800 MiB: tmpfs 0.31 s against 0.37 s,
    ///   ext4 with flushing 0.56 s against 0.60 s.
    /// * A small file takes one system call instead of two. Measured with two copiers, 100,000 files of
    ///   1.5 KB: tmpfs 0.44 s against 0.46 s, ext4 0.83 s either way.
    /// * On network file systems the data need not cross the network.
    pub(super) fn may_offload(self, bytes: u64) -> bool {
        // `--debug` reports whether the kernel supports `copy_file_range`, so the copier tries this call even
        // for an empty file.
        (bytes > 0 || self.plan.options.debug())
            && self.plan.options.hash.is_none() // to hash the bytes, the copier must read them anyway
            && self.plan.options.reflink == When::Auto
            && self.plan.options.sparse == When::Auto
            && !self.fs_caps.lacks(self.pair, Capability::CopyRange)
    }

    /// Returns why the copier did not try `copy_file_range`.
    fn without_offload(self) -> Attempt {
        let options = &self.plan.options;
        match (options.reflink, options.sparse) {
            (When::Auto, When::Auto) => Attempt::Unsupported, // an earlier file has shown that
            _ => Attempt::Avoided,
        }
    }

    /// Whether the target takes the bytes of a file in order only, as an earlier file has shown.
    fn must_be_in_order(self) -> bool {
        self.fs_caps.lacks(Pair::alone(self.target), Capability::AnyOrder)
    }

    /// Notes for all copiers that the pair of devices lacks a capability, if `errno` means that.
    fn note(self, capability: Capability, errno: Errno) {
        if is_of_the_pair(errno) {
            self.fs_caps.note_lack(self.pair, capability);
        }
    }
}

/// Whether the error comes from the file systems or the kernel, so that every other file would fail, too.
fn is_of_the_pair(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY | Errno::ENOSYS)
}

/// Whether a source changed while the copier read it.
pub(super) enum Steadiness {
    /// It did not change.
    Steady,
    /// It changed once. The copier read it a second time, and it had this status from beginning to end.
    SteadyAgain(Box<Stat>),
    /// It changed during the second read, too, or it cannot be read twice.
    Changing,
}

/// Copies the data of one file. At the beginning, both files are open and at offset 0, and the target is
/// empty.
pub(super) struct Transfer<'a, 'm> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) ways: Ways<'a>,
    pub(super) buffer: &'a mut [u8],
    pub(super) meter: &'a mut Meter<'m>,
    /// The team of copiers, if the file is large and other copiers may help.
    pub(super) team: Option<Box<Team<'a>>>,
    /// Whether the target has data already, of which only what differs from the source is written.
    pub(super) updates: bool,
    /// Whether blocks of zeros become holes.
    pub(super) makes_holes: bool,
    /// The hash of the bytes read so far, if the options require one.
    pub(super) hash: Option<&'a mut Hasher>,
    /// The digest of the file, if a team has hashed it in chunks.
    pub(super) team_digest: Option<Box<Digest>>,
    /// How the bytes were copied, for `--debug`.
    pub(super) method: CopyMethod,
    /// The current offset of both files.
    position: u64,
    /// The offset where the last write ended. From there to `position` the target has a hole.
    written: u64,
    /// Whether a write, or a change of the size, was not in order.
    pub(super) left_order: bool,
}

impl<'a, 'm> Transfer<'a, 'm> {
    pub(super) fn new(
        (source, target): (BorrowedFd<'a>, BorrowedFd<'a>),
        ways: Ways<'a>,
        (buffer, hash): (&'a mut [u8], Option<&'a mut Hasher>),
        meter: &'a mut Meter<'m>,
    ) -> Self {
        let options = &ways.plan.options;
        let never = options.reflink == When::Never || options.sparse == When::Never;
        let method = CopyMethod {
            offload: Attempt::Unknown,
            reflink: if never { Attempt::No } else { Attempt::Unknown },
            holes: false,
            zeros: false,
        };
        let makes_holes = options.sparse == When::Always && !ways.must_be_in_order();
        Self {
            source,
            target,
            ways,
            buffer,
            meter,
            team: None,
            updates: false,
            makes_holes,
            hash,
            team_digest: None,
            method,
            position: 0,
            written: 0,
            left_order: false,
        }
    }

    /// Returns the digest of the bytes that were read, if the options require one.
    pub(super) fn digest(self) -> Option<Box<Digest>> {
        self.team_digest.or_else(|| self.hash.map(|hash| Box::new(hash.finalize())))
    }

    /// Copies all bytes of a source whose status was `stat` when it was opened. If the source changes
    /// meanwhile, copies it once more from the beginning.
    ///
    /// The cost of this check cannot be measured: one copier takes 0.71 s for 100,000 files of 1 KB on tmpfs,
    /// with the check and without it.
    ///
    /// GNU cp does not check. Scripts rely on that: they copy growing files (logs) as far as these have been
    /// written.
    pub(super) fn copy_steady(&mut self, stat: &Stat) -> Result<Steadiness, Unfinished> {
        self.copy(stat)?;
        if !self.ways.plan.policy.rereads_changed {
            return Ok(Steadiness::Steady);
        }
        let changed =
            |now: &Stat| if self.is_steady(stat, now) { None } else { Some(Box::new(*now)) };
        let Some(now) = file::with_stat(self.source, changed).map_err(Op::Stat.error())? else {
            return Ok(Steadiness::Steady); // the caller sets the access time of `stat`, from before the read
        };
        if file_data::seek_to(self.source, 0).is_err() {
            return Ok(Steadiness::Changing); // the source cannot seek, so it can be read only once
        }
        self.start_over()?;
        self.copy(&now)?;
        let again = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        let is_steady = self.is_steady(&now, &again);
        Ok(if is_steady { Steadiness::SteadyAgain(now) } else { Steadiness::Changing })
    }

    /// Whether the source did not change between the status `before` and the status `now`, and the copier has
    /// read as many bytes as its size says.
    ///
    /// The number of bytes is compared because a network file system may still report the old size of a file
    /// that another client has truncated. It is not compared for files in /sys: these always report a larger
    /// size than they have, but no allocated blocks.
    fn is_steady(&self, before: &Stat, now: &Stat) -> bool {
        let is_all = self.position >= before.size() || before.allocated() == 0;
        is_all && is_unchanged(before, now)
    }

    /// Returns [`Unfinished::OutOfOrder`] in place of a failure if the file may succeed in order. Then also notes
    /// for all copiers that the target takes bytes in order only.
    #[cold]
    pub(super) fn or_out_of_order(&self, unfinished: Unfinished) -> Unfinished {
        match unfinished {
            Unfinished::Failed(error) if self.is_refused_order(error) => {
                Unfinished::OutOfOrder(error)
            }
            other => other,
        }
    }

    /// Notes for all copiers if `error` may mean that the target takes bytes in order only. Returns whether the
    /// file may succeed in order.
    pub(super) fn is_refused_order(&self, error: EntryError) -> bool {
        let refused = self.left_order && may_mean_order(error);
        if refused {
            self.ways.fs_caps.note_lack(Pair::alone(self.ways.target), Capability::AnyOrder);
        }
        refused
    }

    /// Copies to the end of file a source whose status was `stat` when it was opened. Used if the source or the
    /// target is not a regular file: such a file has no size and cannot seek, so it cannot be copied twice.
    pub(super) fn copy_stream(&mut self, stat: &Stat) -> Result<Steadiness, Unfinished> {
        if self.ways.plan.options.reflink == When::Always {
            file_data::clone_all(self.source, self.target).map_err(Op::Clone.error())?;
        }
        self.buffered(u64::MAX)?;
        if self.written < self.position {
            file_data::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        if !self.ways.plan.policy.rereads_changed || stat.kind() != Kind::File {
            return Ok(Steadiness::Steady);
        }
        let now = file::stat_fd(self.source).map_err(Op::Stat.error())?;
        let is_steady = self.is_steady(stat, &now);
        Ok(if is_steady { Steadiness::Steady } else { Steadiness::Changing })
    }

    /// Copies all bytes once: as many as the size in `stat`, or fewer if the file ends earlier. Copies to the
    /// end of file if that size is 0.
    fn copy(&mut self, stat: &Stat) -> Result<(), Unfinished> {
        if self.ways.may_clone(stat) {
            if self.share(stat)? {
                return Ok(());
            }
        } else if self.method.reflink == Attempt::Unknown {
            self.method.reflink = Attempt::Unsupported; // an earlier file has shown that
        }
        if std::mem::take(&mut self.updates) {
            return self.update(stat.size());
        }
        match stat.size() {
            // Files in /proc report size 0 although they have contents.
            0 => {
                if self.ways.may_offload(0) {
                    self.offloaded(u64::MAX)?;
                } else {
                    self.go_by_hand();
                }
                self.buffered(u64::MAX)?;
            }
            size if stat.allocated() < size && !self.ways.must_be_in_order() => {
                self.method.holes = true;
                self.around_holes(size)?;
            }
            size if self.team.is_some() && self.copy_with_helpers(size)? => {}
            size => self.data(size)?,
        }
        if self.written < self.position {
            self.left_order = true;
            file_data::set_size(self.target, self.position).map_err(Op::Write.error())?;
        }
        Ok(())
    }

    /// Copies the parts of the source that differ from what the target has already.
    fn update(&mut self, size: u64) -> Result<(), Unfinished> {
        self.left_order = true;
        if !self.copy_with_helpers(size)? {
            self.update_alone(size)?;
        }
        file_data::set_size(self.target, self.position).map_err(Op::Write.error())?;
        Ok(())
    }

    fn update_alone(&mut self, size: u64) -> Result<(), Unfinished> {
        let mut there = vec![0; self.buffer.len()];
        while self.position < size {
            let left = usize::try_from(size - self.position).unwrap_or(usize::MAX);
            let length = left.min(self.buffer.len());
            let part = &mut self.buffer[..length];
            let read = file_data::read_at(self.source, part, self.position);
            let read = read.map_err(Op::Read.error())?;
            if read == 0 {
                break;
            }
            let bytes = &self.buffer[..read];
            if let Some(hash) = &mut self.hash {
                hash.update(bytes);
            }
            if has_at(self.target, bytes, self.position, &mut there) == Ok(true) {
                self.position += read as u64;
                self.written = self.position;
                self.meter.skip(read as u64)?;
            } else {
                file_data::write_all_at(self.target, bytes, self.position)
                    .map_err(Op::Write.error())?;
                self.moved(read as u64)?;
            }
        }
        Ok(())
    }

    /// Returns both files to offset 0 and truncates the target.
    pub(super) fn start_over(&mut self) -> Result<(), Unfinished> {
        self.left_order |= self.written > 0;
        file_data::set_size(self.target, 0).map_err(Op::Write.error())?;
        self.go_to(0)?;
        self.written = 0;
        self.team_digest = None;
        if let Some(hash) = &mut self.hash {
            hash.reset();
        }
        self.meter.start_over();
        Ok(())
    }

    /// Clones the source. Returns false if another way must copy it.
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
            // The clone is incomplete. The next way copies the file and reports the error, if there is one.
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

    /// Hashes the source of a clone: a clone reads no data that could be hashed.
    ///
    /// If the source changes before it is hashed completely, the copier copies it again, as if it had changed
    /// during a read.
    fn hash_shared(&mut self, size: u64) -> Result<(), Unfinished> {
        let Some(hash) = &mut self.hash else { return Ok(()) };
        if let Some(team) = self.team.take() {
            let seen = |far| self.meter.up_to(far);
            self.team_digest = team.hash_source(self.source, size, self.buffer, seen).map(Box::new);
            self.meter.start_over(); // now `moved` counts only bytes that are not counted yet
            if self.team_digest.is_some() {
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

    /// Whether a clone has all bytes. On xfs, Linux before 6.13 does not report that a clone ended early.
    /// Returns true if the source has another size by now, because `copy_steady` then copies it again.
    fn is_all_there(&self, stat: &Stat) -> bool {
        let size = |file| file::stat_fd(file).map(|now| now.size());
        size(self.target) == Ok(stat.size()) || size(self.source) != Ok(stat.size())
    }

    /// Copies the data of a sparse file and leaves out its holes.
    ///
    /// The loop ends whatever the file system returns: after an error or an impossible offset, the rest of
    /// the file counts as data.
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

    /// Skips a hole. With `--sparse=never`, writes zeros instead, which the copier need not read.
    fn leave_hole(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.hash_hole(bytes)?;
        if self.ways.plan.options.sparse != When::Never {
            return self.meter.skip(bytes);
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

    /// Hashes the zeros of a hole in parts: a hole may be very large, and the copier must notice in time that
    /// the run aborts the copy.
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

    /// Copies the next `bytes` bytes, or fewer if the file ends earlier.
    fn data(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let end = self.position + bytes;
        if self.ways.may_offload(bytes) {
            self.offloaded(end)?;
        } else if bytes > 0 {
            self.go_by_hand();
        }
        self.buffered(end - self.position)
    }

    /// Notes for `--debug` that the copier does not try `copy_file_range`.
    fn go_by_hand(&mut self) {
        if self.method.offload == Attempt::Unknown {
            self.method.offload = self.ways.without_offload();
        }
        self.method.zeros |= self.ways.plan.options.sparse == When::Always;
    }

    /// Copies up to offset `end` with `copy_file_range`. If that ends earlier, for whatever reason, the
    /// caller continues with read(2) and write(2), which show the reason.
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

    /// Copies up to `bytes` bytes through the buffer.
    fn buffered(&mut self, bytes: u64) -> Result<(), Unfinished> {
        let mut left = bytes;
        // The loop ends after `bytes` bytes, without a further read(2) that would only return the end of
        // file.
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

    /// Writes the first `length` bytes of the buffer. Hashes them first if the options require that.
    fn put(&mut self, length: usize) -> Result<(), Unfinished> {
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer[..length]);
        }
        if self.makes_holes {
            return self.dig(length);
        }
        file::write_all_waiting(self.target, &self.buffer[..length]).map_err(Op::Write.error())?;
        self.moved(length as u64)
    }

    /// Writes the first `length` bytes of the buffer, but leaves holes where blocks consist of zeros.
    fn dig(&mut self, length: usize) -> Result<(), Unfinished> {
        let mut at = 0;
        while at < length {
            let zeros = run(&self.buffer[at..length], true);
            if zeros > 0 {
                self.left_order = true;
                self.position += zeros as u64;
                file_data::seek_to(self.target, self.position).map_err(Op::Write.error())?;
                self.meter.skip(zeros as u64)?;
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

    /// Notes that the next `bytes` bytes are copied, and counts them. Fails with [`Unfinished::Dropped`] if
    /// the run aborts the copy.
    pub(super) fn moved(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.position += bytes;
        self.written = self.position;
        self.meter.add(bytes)
    }

    fn go_to(&mut self, position: u64) -> Result<(), Unfinished> {
        self.left_order |= position != self.written;
        file_data::seek_to(self.source, position).map_err(Op::Read.error())?;
        file_data::seek_to(self.target, position).map_err(Op::Write.error())?;
        self.position = position;
        Ok(())
    }
}

/// Whether the source did not change between two calls of stat(2).
///
/// Compares the status change time, too: no program can set that back, unlike the modification time.
pub(in crate::copier) fn is_unchanged(before: &Stat, now: &Stat) -> bool {
    now.size() == before.size()
        && now.modified() == before.modified()
        && now.changed() == before.changed()
        && now.identity() == before.identity()
}

/// Returns how many bytes at the beginning belong to blocks of zeros or, if `of_zeros` is false, to other
/// blocks.
fn run(bytes: &[u8], of_zeros: bool) -> usize {
    let blocks = bytes.chunks(HOLE_BYTES);
    let same_kind = blocks.take_while(|block| (**block == ZEROS[..block.len()]) == of_zeros);
    same_kind.map(<[u8]>::len).sum()
}

/// Whether two files have the same contents from their current offsets to the end. The two buffers have the
/// same size.
///
/// If the target cannot be read, fails with [`Op::ReadBack`].
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
        status.add(Count::BytesCompared, length as u64);
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
