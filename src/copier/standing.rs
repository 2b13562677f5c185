//! What stands in the target under an entry's name, and what follows from it in the manner of cp.
//!
//! The rules and their order are those of GNU cp 9.x; its manual, "cp invocation", and what it does
//! where that is silent. Nothing is changed here, but for what a copier that died has left half done.

use super::data::Unfinished;
use super::dirs::Dirs;
use super::file::{Files, discard};
use crate::ipc::report::Step;
use crate::options::{Control, Dereference, Links, Update, Way};
use crate::sys::Errno;
use crate::sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// What is to become of an entry whose name may be taken.
pub(super) enum Room {
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
enum Meeting {
    /// They are not, or it does no harm.
    Harmless,
    /// The target is already what it should be.
    Done,
    /// One would be lost.
    Harmful,
}

impl Files<'_> {
    /// Decides, in cp's order, what is to become of `name` under `target_name`.
    pub(super) fn room_as_cp(
        &self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Room, Unfinished> {
        let wishes = &self.job.plan.wishes;
        let look = Step::LookAtTarget.fault();
        let Some(itself) = dirs.find(self.job.plan, target_name, Step::LookAtTarget)? else {
            return Ok(Room::Free);
        };
        if self.was_begun_new(name) && itself.kind() != Kind::Directory {
            discard(dirs, target_name);
            return Ok(Room::Free);
        }
        let keeps_name = wishes.backup.is_none() && !wishes.remove_destination;
        let writes = matches!(wishes.way, Way::Copy | Way::AttributesOnly) && self.reads(source);
        let through = itself.kind() == Kind::Symlink && writes && keeps_name;
        let old = if !through {
            itself
        } else {
            match file::stat_at_end(&dirs.target, target_name) {
                Ok(end) => end,
                Err(Errno::ENOENT) if dirs.again => {
                    return Err(Step::ThroughJustCreated.fault()(Errno::EEXIST).into());
                }
                Err(Errno::ENOENT) => return Ok(Room::Dangling),
                Err(Errno::ELOOP) if wishes.force => {
                    return Ok(Room::Clear { old: itself, removed: true });
                }
                Err(errno) => return Err(look(errno).into()),
            }
        };
        if self.was_begun_over(name) {
            return Ok(Room::Into { through });
        }
        if self.was_published(dirs, source, &old, name, target_name)? {
            return Ok(Room::Leave { leads: true });
        }
        let update = wishes.update;
        let stays = matches!(update, Update::None | Update::NoneFail);
        let meeting = self.meeting(dirs, source, name, target_name, (&itself, &old));
        if matches!(meeting, Meeting::Harmful) && !stays {
            return Err(Step::SameFile.fault()(Errno::EEXIST).into());
        }
        if self.is_wanted_as_it_is(source, &old)? {
            return Ok(Room::Leave { leads: update == Update::Older });
        }
        self.ask(dirs, &old, target_name)?;
        if matches!(meeting, Meeting::Done) {
            return Ok(Room::Leave { leads: false });
        }
        if old.kind() == Kind::Directory {
            // With a wish for backups cp tries all the same.
            let links = !writes && (wishes.way != Way::Copy || source.kind() == Kind::Symlink);
            let fault = match &wishes.backup {
                None => Step::FileOverDirectory.fault()(Errno::EISDIR),
                Some(_) if writes && wishes.force => Step::Remove.fault()(Errno::EISDIR),
                Some(_) if writes => Step::Create.fault()(Errno::EISDIR),
                Some(_) if wishes.force && links => self.step_of(source).fault()(Errno::EISDIR),
                Some(_) => self.step_of(source).fault()(Errno::EEXIST),
            };
            return Err(fault.into());
        }
        let numbered =
            matches!(&wishes.backup, Some(backup) if backup.control == Control::Numbered);
        if dirs.again && !numbered {
            let through_it = if through { Step::ThroughJustCreated } else { Step::JustCreated };
            return Err(through_it.fault()(Errno::EEXIST).into());
        }
        let is_one_of_many = wishes.preserve.links != Links::No && old.links() > 1;
        let is_other_kind =
            self.dereference(dirs) == Dereference::Never && source.kind() != Kind::File;
        let removed =
            !keeps_name || wishes.way != Way::AttributesOnly && (is_one_of_many || is_other_kind);
        // A link takes the place of another at one stroke.
        let makes_symlink = wishes.way == Way::Symlink || source.kind() == Kind::Symlink;
        let forced = match wishes.way {
            Way::HardLink => wishes.force || wishes.ask,
            _ => wishes.force && makes_symlink,
        };
        Ok(if removed || forced {
            Room::Clear { old: itself, removed: removed && wishes.backup.is_none() }
        } else {
            Room::Into { through }
        })
    }

    /// Which symlinks are followed here: below what the user named, all or none.
    fn dereference(&self, dirs: &Dirs) -> Dereference {
        match self.job.plan.wishes.dereference {
            Dereference::Named if !dirs.contended => Dereference::Never,
            wished => wished,
        }
    }

    /// Whether source and target are one file: the same name, two names, or a symlink and what it
    /// leads to. `itself` is what has the target's name, `old` what would be written to.
    fn meeting(
        &self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
        (itself, old): (&Stat, &Stat),
    ) -> Meeting {
        let wishes = &self.job.plan.wishes;
        let links = wishes.way == Way::HardLink;
        let same = source.identity() == old.identity();
        if same && links {
            return Meeting::Done;
        }
        let follows = self.dereference(dirs) != Dereference::Never;
        let is_link = |stat: &Stat| stat.kind() == Kind::Symlink;
        let same_name = || name == target_name && is_one_dir(dirs);
        let judge = |harmless| if harmless { Meeting::Harmless } else { Meeting::Harmful };
        let named = if follows {
            if !same {
                return Meeting::Harmless;
            }
            let Ok(named) = file::stat_at(&dirs.source, name) else { return Meeting::Harmless };
            if is_link(&named) && is_link(itself) && wishes.remove_destination {
                return Meeting::Harmless;
            }
            named
        } else {
            if is_link(source) && is_link(old) {
                return match (same_name(), same && wishes.backup.is_none()) {
                    (true, _) => Meeting::Harmful,
                    (false, true) => Meeting::Done, // two names of one symlink
                    (false, false) => Meeting::Harmless,
                };
            }
            *source
        };
        let same_entry = named.identity() == itself.identity();
        if wishes.backup.is_some() {
            // The old one keeps a name. But where the source is a symlink to it, that would lead
            // nowhere, or to the new file itself.
            return judge(if same_entry {
                !same_name()
            } else {
                !(follows && is_link(&named) && !is_link(itself))
            });
        }
        if wishes.remove_destination
            && (is_link(itself) || same_entry && itself.links() > 1 && !same_name())
        {
            return Meeting::Harmless;
        }
        if !is_link(&named) && !is_link(itself) && !same_entry {
            return Meeting::Harmless;
        }
        if wishes.way == Way::Symlink && is_link(itself) {
            return Meeting::Harmless;
        }
        if follows {
            return Meeting::Harmful;
        }
        let end = |stat: &Stat, dir, name| {
            if is_link(stat) { file::stat_at_end(dir, name) } else { Ok(*stat) }
        };
        let ends = end(&named, dirs.source.as_fd(), name)
            .and_then(|one| Ok((one, end(itself, dirs.target.as_fd(), target_name)?)));
        match ends {
            Ok((one, other)) if one.identity() == other.identity() => match links {
                true if is_link(itself) => Meeting::Harmless,
                true => Meeting::Done,
                false => Meeting::Harmful,
            },
            _ => Meeting::Harmless,
        }
    }
}

fn is_one_dir(dirs: &Dirs) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let source = identity(dirs.source.as_fd());
    source.is_ok() && source == identity(dirs.target.as_fd())
}
