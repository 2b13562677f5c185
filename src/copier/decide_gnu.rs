//! What stands in the target under an entry's name, and what follows from it in the compat of cp.
//!
//! The rules and their order are those of GNU cp 9.x; its manual, "cp invocation", and what it does
//! where that is silent. Nothing is changed here, but for what a copier that died has left half done.

use super::data::Unfinished;
use super::dir_pair::DirPair;
use super::file::{Files, discard};
use crate::error::Op;
use crate::options::{Control, CopyMode, Dereference, Links, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// What is to become of an entry whose name may be taken.
pub(super) enum Action {
    /// Nothing: what stands there stays. It `leads` if other names of the source become links to it.
    Leave {
        /// Whether they do.
        leads: bool,
    },
    /// The name is free.
    Free,
    /// What stands there makes room for a new entry.
    Clear {
        /// What it is.
        old: Stat,
        /// Whether cp removes it first, and says so.
        removed: bool,
    },
    /// It stays, and is written into; `through` says that a symlink leads to it.
    Into {
        /// Whether the name is a symlink's.
        through: bool,
    },
    /// The name is a symlink's that leads nowhere, and the file would be made there.
    Dangling,
}

/// Whether source and target are one file, and what that means.
enum SameFile {
    /// They are not, or it does no harm.
    Harmless,
    /// The target is already what it should be.
    Done,
    /// One would be lost.
    Harmful,
}

impl Files<'_> {
    /// Decides, in cp's order, what is to become of `name` under `target_name`.
    pub(super) fn decide_as_gnu(
        &self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Action, Unfinished> {
        let options = &self.job.plan.options;
        let look = Op::LookAtTarget.error();
        let Some(itself) = dirs.find(self.job.plan, target_name, Op::LookAtTarget)? else {
            return Ok(Action::Free);
        };
        if self.was_begun_new(name) && itself.kind() != Kind::Directory {
            discard(dirs, target_name);
            return Ok(Action::Free);
        }
        let keeps_name = options.backup.is_none() && !options.remove_destination;
        let writes = matches!(options.copy_mode, CopyMode::Copy | CopyMode::AttributesOnly)
            && self.reads(source);
        let through = itself.kind() == Kind::Symlink && writes && keeps_name;
        let old = if !through {
            itself
        } else {
            match file::stat_at_end(&dirs.target, target_name) {
                Ok(end) => end,
                Err(Errno::ENOENT) if dirs.again => {
                    return Err(Op::ThroughJustCreated.error()(Errno::EEXIST).into());
                }
                Err(Errno::ENOENT) => return Ok(Action::Dangling),
                Err(Errno::ELOOP) if options.force => {
                    return Ok(Action::Clear { old: itself, removed: true });
                }
                Err(errno) => return Err(look(errno).into()),
            }
        };
        if self.was_begun_over(name) {
            return Ok(Action::Into { through });
        }
        if self.was_published(dirs, source, &old, name, target_name)? {
            return Ok(Action::Leave { leads: true });
        }
        let update = options.update;
        let stays = matches!(update, Update::None | Update::NoneFail);
        let meeting = self.meeting(dirs, source, name, target_name, (&itself, &old));
        if matches!(meeting, SameFile::Harmful) && !stays {
            return Err(Op::SameFile.error()(Errno::EEXIST).into());
        }
        if self.is_wanted_as_it_is(source, &old)? {
            return Ok(Action::Leave { leads: update == Update::Older });
        }
        self.ask(dirs, &old, target_name)?;
        if matches!(meeting, SameFile::Done) {
            return Ok(Action::Leave { leads: false });
        }
        if old.kind() == Kind::Directory {
            // With a wish for backups cp tries all the same.
            let links =
                !writes && (options.copy_mode != CopyMode::Copy || source.kind() == Kind::Symlink);
            let error = match &options.backup {
                None => Op::FileOverDirectory.error()(Errno::EISDIR),
                Some(_) if writes && options.force => Op::Remove.error()(Errno::EISDIR),
                Some(_) if writes => Op::Create.error()(Errno::EISDIR),
                Some(_) if options.force && links => self.op_of(source).error()(Errno::EISDIR),
                Some(_) => self.op_of(source).error()(Errno::EEXIST),
            };
            return Err(error.into());
        }
        let numbered =
            matches!(&options.backup, Some(backup) if backup.control == Control::Numbered);
        if dirs.again && !numbered {
            let through_it = if through { Op::ThroughJustCreated } else { Op::JustCreated };
            return Err(through_it.error()(Errno::EEXIST).into());
        }
        let is_one_of_many = options.preserve.links != Links::No && old.links() > 1;
        let is_other_kind =
            self.dereference(dirs) == Dereference::Never && source.kind() != Kind::File;
        let removed = !keeps_name
            || options.copy_mode != CopyMode::AttributesOnly && (is_one_of_many || is_other_kind);
        // A link takes the place of another at one stroke.
        let makes_symlink =
            options.copy_mode == CopyMode::Symlink || source.kind() == Kind::Symlink;
        let forced = match options.copy_mode {
            CopyMode::HardLink => options.force || options.ask,
            _ => options.force && makes_symlink,
        };
        Ok(if removed || forced {
            Action::Clear { old: itself, removed: removed && options.backup.is_none() }
        } else {
            Action::Into { through }
        })
    }

    /// Which symlinks are followed here: below what the user named, all or none.
    fn dereference(&self, dirs: &DirPair) -> Dereference {
        match self.job.plan.options.dereference {
            Dereference::CommandLine if !dirs.contended => Dereference::Never,
            wished => wished,
        }
    }

    /// Whether source and target are one file: the same name, two names, or a symlink and what it
    /// leads to. `itself` is what has the target's name, `old` what would be written to.
    fn meeting(
        &self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
        (itself, old): (&Stat, &Stat),
    ) -> SameFile {
        let options = &self.job.plan.options;
        let links = options.copy_mode == CopyMode::HardLink;
        let same = source.identity() == old.identity();
        if same && links {
            return SameFile::Done;
        }
        let follows = self.dereference(dirs) != Dereference::Never;
        let is_link = |stat: &Stat| stat.kind() == Kind::Symlink;
        let same_name = || name == target_name && is_one_dir(dirs);
        let judge = |harmless| if harmless { SameFile::Harmless } else { SameFile::Harmful };
        let named = if follows {
            if !same {
                return SameFile::Harmless;
            }
            let Ok(named) = file::stat_at(&dirs.source, name) else { return SameFile::Harmless };
            if is_link(&named) && is_link(itself) && options.remove_destination {
                return SameFile::Harmless;
            }
            named
        } else {
            if is_link(source) && is_link(old) {
                return match (same_name(), same && options.backup.is_none()) {
                    (true, _) => SameFile::Harmful,
                    (false, true) => SameFile::Done, // two names of one symlink
                    (false, false) => SameFile::Harmless,
                };
            }
            *source
        };
        let same_entry = named.identity() == itself.identity();
        if options.backup.is_some() {
            // The old one keeps a name. But where the source is a symlink to it, that would lead
            // nowhere, or to the new file itself.
            return judge(if same_entry {
                !same_name()
            } else {
                !(follows && is_link(&named) && !is_link(itself))
            });
        }
        if options.remove_destination
            && (is_link(itself) || same_entry && itself.links() > 1 && !same_name())
        {
            return SameFile::Harmless;
        }
        if !is_link(&named) && !is_link(itself) && !same_entry {
            return SameFile::Harmless;
        }
        if options.copy_mode == CopyMode::Symlink && is_link(itself) {
            return SameFile::Harmless;
        }
        if follows {
            return SameFile::Harmful;
        }
        let end = |stat: &Stat, dir, name| {
            if is_link(stat) { file::stat_at_end(dir, name) } else { Ok(*stat) }
        };
        let ends = end(&named, dirs.source.as_fd(), name)
            .and_then(|one| Ok((one, end(itself, dirs.target.as_fd(), target_name)?)));
        match ends {
            Ok((one, other)) if one.identity() == other.identity() => match links {
                true if is_link(itself) => SameFile::Harmless,
                true => SameFile::Done,
                false => SameFile::Harmful,
            },
            _ => SameFile::Harmless,
        }
    }
}

fn is_one_dir(dirs: &DirPair) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let source = identity(dirs.source.as_fd());
    source.is_ok() && source == identity(dirs.target.as_fd())
}
