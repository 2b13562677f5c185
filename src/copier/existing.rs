//! What stands in the target under an entry's name, and whether it stays, by pcopy's own rules (those
//! of cp stand in `standing`).

use super::attributes;
use super::data::{self, BUFFER_BYTES, Unfinished};
use super::dir_pair::DirPair;
use super::file::{Files, data_bytes, drop_leftover, leads_to, open_source};
use crate::error::{EntryError, Op};
use crate::options::{Control, CopyMode, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Node, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// How much is compared at a time where contents tell whether a file is complete, in bytes.
const PIECE_BYTES: usize = BUFFER_BYTES / 4;

impl Files<'_> {
    /// What an entry is to take the place of, if there is something; `None` if that is to stay.
    pub(super) fn replaced(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Option<Option<Stat>>, Unfinished> {
        let Some(old) = dirs.find(self.job.plan, target_name, Op::Create)? else {
            return Ok(Some(None));
        };
        if self.was_published(dirs, source, &old, name, target_name)? {
            return Ok(None);
        }
        // As with cp, these options come before a look at what stands there.
        if self.is_wanted_as_it_is(source, &old)? {
            self.linked = None; // it need not be what the other names of the file are to be
            return Ok(None);
        }
        if self.stays(dirs, source, &old, name, target_name)? {
            if self.keeps_contents() {
                self.linked = None; // its contents are its own
            }
            return Ok(None);
        }
        self.ask(dirs, &old, target_name)?;
        Ok(Some(Some(old)))
    }

    /// Whether an earlier round of this run has done this entry.
    pub(super) fn was_done(&self, name: &CStr) -> bool {
        !self.job.done.is_empty() && self.job.done.contains(&self.status.fingerprint_of(name))
    }

    /// Whether a copier has died that had just given this entry its name, and did not come to tell.
    pub(super) fn was_published(
        &self,
        dirs: &DirPair,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<bool, Unfinished> {
        if !self.was_begun(name) {
            return Ok(false);
        }
        let is_source = old.identity() == source.identity();
        let published = match self.job.plan.options.copy_mode {
            CopyMode::Copy => !is_source && self.is_same(dirs, source, old, name, target_name)?,
            CopyMode::HardLink => is_source,
            CopyMode::AttributesOnly => {
                source.type_bits() == old.type_bits() && data_bytes(old) == 0
            }
            CopyMode::Symlink => false, // whoever knows what it says looks there
        };
        if published {
            // It may have been made in an earlier round, and begun once more in the one that died.
            drop_leftover(dirs, target_name);
        }
        Ok(published)
    }

    /// Whether the user wants what stands in the target to stay, whatever it is.
    pub(super) fn is_wanted_as_it_is(&self, source: &Stat, old: &Stat) -> Result<bool, EntryError> {
        match self.job.plan.options.update {
            Update::Older => Ok(!source.is_newer_than(old)),
            Update::None => Ok(true),
            Update::NoneFail => Err(Op::NotReplaced.error()(Errno::EEXIST)),
            Update::Different | Update::All => Ok(false),
        }
    }

    /// Whether what stands in the target is to stay there; an error if that is a failure.
    pub(super) fn stays(
        &self,
        dirs: &DirPair,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<bool, Unfinished> {
        if old.kind() == Kind::Directory {
            return Err(Op::Create.error()(Errno::EISDIR).into());
        }
        self.check_again(dirs)?;
        let same_file = Op::SameFile.error()(Errno::EEXIST);
        if leads_to(dirs, source, name, old) {
            return Err(same_file.into());
        }
        if self.keeps_contents() && source.type_bits() == old.type_bits() {
            self.repair(dirs, source, old, name, target_name)?;
            self.attrs.set_times_of((dirs.target.as_fd(), target_name), source)?;
            return Ok(true);
        }
        // What is older makes room even if it has the same contents: else it would be older for ever.
        if matches!(self.job.plan.options.update, Update::All | Update::Older) {
            if old.identity() == source.identity() {
                return Err(same_file.into());
            }
            return Ok(false);
        }
        if old.identity() == source.identity() && self.job.plan.options.copy_mode == CopyMode::Copy
        {
            // A link to the source is no copy of it: who changes one would change both.
            return if is_elsewhere(dirs) { Ok(false) } else { Err(same_file.into()) };
        }
        if !self.is_same(dirs, source, old, name, target_name)? {
            return Ok(false);
        }
        // What else its other names are is not known, and it would change with them.
        let is_other = self.attrs.would_repair(source, old)
            || self.job.plan.options.checksum && source.modified() != old.modified();
        if is_other && old.links() > source.links() {
            return Ok(false);
        }
        self.repair(dirs, source, old, name, target_name)?;
        Ok(true)
    }

    /// Whether what stands in the target is only to get what is kept beside contents.
    pub(super) fn keeps_contents(&self) -> bool {
        let options = &self.job.plan.options;
        let makes_room = options.backup.is_some() || options.remove_destination;
        options.copy_mode == CopyMode::AttributesOnly && !makes_room
    }

    /// Refuses to replace what this run has made of another source with the same name.
    pub(super) fn check_again(&self, dirs: &DirPair) -> Result<(), EntryError> {
        let backup = self.job.plan.options.backup.as_ref();
        let numbered = backup.is_some_and(|backup| backup.control == Control::Numbered);
        let refused = Op::JustCreated.error()(Errno::EEXIST);
        if dirs.again && !numbered { Err(refused) } else { Ok(()) }
    }

    /// Whether a link may take the place of a file. As with cp, symlinks and special files that are
    /// not followed may without a wish.
    pub(super) fn may_replace_for_link(&self, dirs: &DirPair, source: &Stat) -> bool {
        let other = !dirs.follow && source.kind() != Kind::File;
        other || self.job.plan.options.force || self.job.plan.options.backup.is_some()
    }

    /// Asks for a name that would otherwise be left for the end, where nobody is asked any more.
    pub(super) fn ask_first(
        &self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<(), Unfinished> {
        if !self.job.plan.options.ask || self.job.asked || dirs.staged || self.job.inodes.is_none()
        {
            return Ok(());
        }
        let Ok(old) = file::stat_at(&dirs.target, target_name) else { return Ok(()) };
        let stays = old.kind() == Kind::Directory
            || self.is_wanted_as_it_is(source, &old).unwrap_or(true)
            || self.is_same(dirs, source, &old, name, target_name)?;
        if stays { Ok(()) } else { self.ask(dirs, &old, target_name) }
    }

    /// Has the user asked whether `old` may be replaced, if that is wanted and has not been done.
    pub(super) fn ask(
        &self,
        dirs: &DirPair,
        old: &Stat,
        target_name: &CStr,
    ) -> Result<(), Unfinished> {
        if !self.job.plan.options.ask || self.job.asked {
            return Ok(());
        }
        let writable = old.kind() == Kind::Symlink || file::may_write_at(&dirs.target, target_name);
        Err(Unfinished::Ask { bits: old.permissions(), writable })
    }

    /// Whether the target has all that the source has. A symlink must also say the same, and where
    /// times are not kept, or say nothing, the contents must be the same.
    pub(super) fn is_same(
        &self,
        dirs: &DirPair,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<bool, Unfinished> {
        let options = &self.job.plan.options;
        let checksum = options.checksum && source.kind() == Kind::File;
        if !attributes::looks_complete(source, old, self.attrs.times_tell() && !checksum) {
            return Ok(false);
        }
        // What is staged may have its time and not its bytes, if a power cut has ended the run before.
        let must_read = checksum
            || !self.attrs.times_tell()
            || options.writes_back_before_publish() && dirs.staged;
        match source.kind() {
            Kind::Symlink => {
                let text = file::read_symlink(&dirs.source, name).map_err(Op::Read.error())?;
                Ok(file::read_symlink(&dirs.target, target_name).is_ok_and(|old| old == text))
            }
            Kind::File if must_read => {
                let (from, _) = open_source(self.job.plan, dirs, name)?;
                // One that cannot be read is made anew.
                let Ok(to) = file::open_source(&dirs.target, target_name, false) else {
                    return Ok(false);
                };
                let (mut theirs, mut ours) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
                let buffers = (&mut theirs[..], &mut ours[..]);
                match data::same(from.as_fd(), to.as_fd(), buffers, self.status) {
                    Err(Unfinished::Failed(EntryError { op: Op::ReadBack, .. })) => Ok(false),
                    result => result,
                }
            }
            _ => Ok(true),
        }
    }

    /// Sets right what a complete entry lacks.
    pub(super) fn repair(
        &self,
        dirs: &DirPair,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<(), EntryError> {
        let to = (dirs.target.as_fd(), target_name);
        if self.job.plan.options.checksum && source.modified() != old.modified() {
            self.attrs.set_times_of(to, source)?;
        }
        if dirs.follow && source.kind() == Kind::File {
            // By its name it would be the symlink that leads to it.
            let from =
                file::open_source(&dirs.source, name, true).map_err(Op::OpenSource.error())?;
            return self.attrs.repair(Node::Open(from.as_fd()), to, source, old);
        }
        self.attrs.repair(Node::Named(dirs.source.as_fd(), name), to, source, old)
    }

    /// Whether a copier died when it had begun this entry and did not come to count and tell it.
    pub(super) fn was_begun(&self, name: &CStr) -> bool {
        let begun = self.job.begun;
        !begun.is_empty() && begun.contains(&self.status.fingerprint_of(name))
    }

    /// Whether that was under its final name, which was free, so that what stands there is this run's
    /// and half done.
    pub(super) fn was_begun_new(&self, name: &CStr) -> bool {
        let begun = self.job.begun_new;
        !begun.is_empty() && begun.contains(&self.status.fingerprint_of(name))
    }

    /// Whether what stood there was written into, and is half done.
    pub(super) fn was_begun_over(&self, name: &CStr) -> bool {
        let begun = self.job.begun_over;
        !begun.is_empty() && begun.contains(&self.status.fingerprint_of(name))
    }
}

/// Whether source and target are two directories, and not one that is reached in two ways.
fn is_elsewhere(dirs: &DirPair) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let (source, target) = (identity(&dirs.source), identity(&dirs.target));
    source.is_ok() && target.is_ok() && source != target
}
