//! Fills a target file: copies the data, sets the attributes, and closes the file, in this order. If a step
//! fails, the file counts as failed; a file that only lacks attributes is complete.

use super::attributes::{DirDefaults, XattrNames};
use super::chunks::Team;
use super::data::{Steadiness, Transfer, Ways};
use super::meter::Meter;
use super::result::{Applied, AttributeErrors, Done, Unfinished, changed};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, HEAVY_BYTES};
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::ipc::memory::fs_caps::{Capability, Pair};
use crate::ipc::wire::event::{Attempt, Details};
use crate::options::CopyMode;
use pcopy_sys::file::{self, Kind, Node, Stat};
use pcopy_sys::{Errno, file_data};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// An open source file, and its status when it was opened.
pub(super) struct Source {
    pub(super) file: OwnedFd,
    pub(super) stat: Stat,
    /// The names of its extended attributes, after [`list_attributes`](Self::list_attributes).
    names: XattrNames,
}

impl Source {
    /// Opens the source of an entry. Fails with [`Unfinished::OtherType`] if the source is not a regular file;
    /// with `--copy-contents` it may also be a special file.
    pub(super) fn open(cx: &Context<'_>, entry: &Entry<'_>) -> Result<Self, Unfinished> {
        let (dirs, name) = (entry.dirs, entry.name);
        let special = cx.options().copy_contents;
        let opened = if cx.options().dry_run {
            file::open_source_noatime(&dirs.source, name, dirs.follow)
        } else if special {
            file::open_stream(&dirs.source, name, dirs.follow)
        } else {
            file::open_source(&dirs.source, name, dirs.follow)
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::ELOOP) if !dirs.follow => return Err(Unfinished::OtherType), // a symlink
            Err(Errno::ENXIO) if !special => return Err(Unfinished::OtherType),     // a socket
            Err(errno) => return Err(Op::OpenSource.error()(errno).into()),
        };
        let stat = file::stat_fd(&file).map_err(Op::Stat.error())?;
        let is_kind = stat.kind() == Kind::File || special && stat.kind() == Kind::Special;
        if !is_kind {
            return Err(Unfinished::OtherType);
        }
        Ok(Self { file, stat, names: XattrNames::default() })
    }

    /// Reads the names of the extended attributes, if any are to be preserved.
    pub(super) fn list_attributes(&mut self, cx: &Context<'_>) {
        self.names = cx.attrs.list_names(Node::Open(self.file.as_fd()));
    }

    /// Reads the names of the extended attributes, and returns the permission bits with which a copier
    /// creates a copy of the file in `dirs`.
    pub(super) fn creation_mode(&mut self, cx: &Context<'_>, dirs: &DirPair) -> u32 {
        self.list_attributes(cx);
        cx.attrs.creation_mode(&self.stat, &self.names, dirs.traits.defaults)
    }
}

/// How often the data of a file is copied at most, if the target takes it in order only: the first attempt may
/// leave the order, and the source may change during the second.
const ATTEMPTS_IN_ORDER: u32 = 3;

impl EntryCopier<'_> {
    /// Copies data and attributes of `source` to `target`, and closes `target`.
    ///
    /// If the source changes while the copier reads it, the copier reads it a second time. If the source
    /// changes again, the target keeps the data that was read (see [`Unfinished::keeps_what_was_read`]), but
    /// does not get the source's time. So the next run copies the file again.
    ///
    /// If the target takes the bytes of a file in order only, `anew` must create the target once more.
    pub(super) fn fill<'t>(
        &mut self,
        entry: &Entry<'_>,
        source: &Source,
        target: TargetFile<'t>,
        mut anew: impl FnMut() -> Result<TargetFile<'t>, Unfinished>,
    ) -> Result<Applied, Unfinished> {
        let mut meter = Meter::new(self.cx.status);
        let mut filled = self.fill_once(entry, source, target, &mut meter);
        for _ in 1..ATTEMPTS_IN_ORDER {
            if !matches!(filled, Err(Unfinished::OutOfOrder(_))) {
                break;
            }
            let target = anew()?;
            file_data::seek_to(source.file.as_fd(), 0).map_err(Op::Read.error())?;
            meter.start_over();
            filled = self.fill_once(entry, source, target, &mut meter);
        }
        meter.end(source.stat.size());
        filled
    }

    /// Makes one attempt to fill the file, and closes `target` in any case. Fails with [`Unfinished::OutOfOrder`] if
    /// the target has refused a write that was not in order.
    fn fill_once(
        &mut self,
        entry: &Entry<'_>,
        source: &Source,
        target: TargetFile<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        cx.outbox.begin();
        let (defaults, device) = (dirs.traits.defaults, target.device(dirs));
        if cx.options().copy_mode == CopyMode::AttributesOnly {
            let lost = self.finish(entry, source, &source.stat, (target, device), defaults)?;
            return Ok(Applied::plain(Done::Copied).lacking(lost));
        }
        let pair = Pair::of(source.stat.identity().0, device);
        let ways = Ways { plan: cx.plan(), fs_caps: cx.job.fs_caps, pair, target: device };
        let ends = (source.file.as_fd(), target.file());
        let mut hasher = self.hasher.as_deref_mut();
        if let Some(hasher) = &mut hasher {
            hasher.reset();
        }
        let mut transfer = Transfer::new(ends, ways, (&mut self.buffer, hasher), meter);
        let result = if target.is_stream() || source.stat.kind() != Kind::File {
            transfer.makes_holes &= !target.is_stream();
            transfer.copy_stream(&source.stat)
        } else {
            transfer.updates = target.has_data();
            transfer.team =
                Team::to_copy(cx, entry.at.as_path(), &source.stat, &target).map(Box::new);
            transfer.copy_steady(&source.stat)
        };
        let steadiness = result.map_err(|unfinished| transfer.or_out_of_order(unfinished))?;
        let (method, digest) = (transfer.method, transfer.digest());
        let heavy = source.stat.size() >= HEAVY_BYTES && method.reflink != Attempt::Yes;
        let again = match steadiness {
            Steadiness::Steady => None,
            Steadiness::SteadyAgain(stat) => Some(stat),
            Steadiness::Changing => {
                target.close()?;
                return Err(changed());
            }
        };
        let read = again.as_deref().unwrap_or(&source.stat);
        // The target was created with the permission bits that the source had when the copier opened the
        // source. If these have changed since, `finish` must set the new ones. It does so if `masked` is set,
        // as it does after a default ACL has changed the bits.
        let masked = defaults.masked || read.mode() != source.stat.mode();
        let attribute_errors =
            self.finish(entry, source, read, (target, device), DirDefaults { masked, ..defaults })?;
        let method = cx.options().debug().then_some(method);
        let details = Details { method, ..Details::default() };
        let done = Done::Copied;
        Ok(Applied { attribute_errors, details, digest, heavy, ..Applied::plain(done) })
    }

    /// Sets the attributes of a file that has all its data, and closes it. `read` is the status of the source
    /// when its data was read, and `device` the device that contains `target`. Returns the attributes that the file
    /// lacks.
    fn finish(
        &mut self,
        entry: &Entry<'_>,
        source: &Source,
        read: &Stat,
        (target, device): (TargetFile<'_>, u64),
        defaults: DirDefaults,
    ) -> Result<AttributeErrors, EntryError> {
        let (cx, from, names) = (self.cx, source.file.as_fd(), &source.names);
        let mut lost = match &target {
            TargetFile::New(to, _) | TargetFile::Begun(to, _) => {
                let created = (to.as_fd(), entry.dirs.known_new_owners(cx.plan()));
                cx.attrs.finish_file(from, created, read, names, defaults)
            }
            TargetFile::Old(to, old, ..) => cx.attrs.finish_old(from, to.as_fd(), read, names, old),
            TargetFile::Stream(..) => AttributeErrors::default(),
        };
        if lost.has(Op::SetTimes) {
            cx.note_refused_times(device, Kind::File);
        }
        // Files in a directory that this run builds are flushed together, before the parent publishes that
        // directory.
        if cx.options().fsync && !entry.dirs.staged {
            file::sync(target.file()).map_err(Op::Sync.error())?;
        }
        let is_asked = self.keeps_times_on != Some(device);
        let named = if is_asked { target.names() } else { None };
        target.close()?;
        if let Some((_, name)) = named {
            self.keep_time(entry, (name, device), read, &mut lost);
        }
        Ok(lost)
    }

    /// Sets the times of a closed file once more, if the target changes them when a file is closed. Finds out
    /// with the first file on each device whether it does so.
    fn keep_time(
        &mut self,
        entry: &Entry<'_>,
        (name, device): (&CStr, u64),
        read: &Stat,
        lost: &mut AttributeErrors,
    ) {
        let (cx, dirs) = (self.cx, entry.dirs);
        // Closing changes the time only of a file that was written to.
        if !cx.attrs.times_are_reliable() || lost.has(Op::SetTimes) || read.size() == 0 {
            return;
        }
        let is_known = cx.lacks(device, Capability::UntriedClose);
        let is_kept = if is_known {
            !cx.lacks(device, Capability::TimesBeforeClose)
        } else {
            cx.look_at_time((dirs, name), read, false)
        };
        if !is_kept {
            cx.attrs.set_times_of((dirs.target.as_fd(), name), read, lost);
            if !is_known {
                cx.look_at_time((dirs, name), read, true);
            }
        }
        if cx.refuses_times(device, Kind::File) {
            cx.attrs.note_ignored_times(lost);
        } else if is_kept {
            self.keeps_times_on = Some(device);
        }
    }
}
