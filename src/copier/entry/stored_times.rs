//! How exactly the target stores modification times (see `timestamps`).
//!
//! If a copy has the rounded time of its source, and nothing else says whether the target rounds times, a copier
//! sets the copy to another time between two steps, and looks whether the copy keeps the time that it had. The
//! first file that is copied to a device shows it, too.

use super::timestamps::{
    Agreement, SECONDS, STEPS, Steps, agreement, is_limit, nanoseconds, stamp, steps_between,
};
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::ipc::memory::fs_caps::Capability;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::statfs;
use std::ffi::CStr;

/// What became of a time that a copier has set to find out how the target stores times.
enum Trial {
    /// The target stores times exactly, or more exactly than in the steps in question.
    Kept,
    /// The time stayed as it was: the target has such steps, or ignores times.
    Unmoved,
    /// Times cannot be set.
    Refused,
}

impl Context<'_> {
    /// Whether the entry `name` of the target, which has the status `copy`, has the source's modification time,
    /// as exactly as the target stores times. True if times are not to be preserved.
    pub(super) fn has_time_of(
        &self,
        (dirs, name): (&DirPair, &CStr),
        source: &Stat,
        copy: &Stat,
    ) -> bool {
        if !self.attrs.times_are_reliable() {
            return true;
        }
        match agreement(source, copy, self.options().modify_window) {
            Agreement::Same => true,
            Agreement::Different => false,
            Agreement::IfSteps(steps) => self.has_steps((dirs, name), (source, copy), steps),
        }
    }

    /// Whether the target stores times in these steps or larger ones.
    fn has_steps(
        &self,
        (dirs, name): (&DirPair, &CStr),
        (source, copy): (&Stat, &Stat),
        steps: Steps,
    ) -> bool {
        let device = dirs.traits.device;
        if STEPS[steps..].iter().any(|(_, known)| self.lacks(device, *known)) {
            return true;
        }
        if self.lacks(device, Capability::UntriedTimes)
            || self.follows_symlinks(dirs, source.kind())
        {
            return false;
        }
        if statfs::stores_nanoseconds(&dirs.target) {
            self.note_lack(device, Capability::UntriedTimes);
            return false;
        }
        let (step, capability) = STEPS[steps];
        let (wanted, got) = (nanoseconds(source.modified()), nanoseconds(copy.modified()));
        let between = match wanted > got {
            _ if got % step != 0 => got + 1, // a floating-point number, which has no even steps
            true => got + step / 2,
            false => got - step / 2,
        };
        // Never the source's time: if the copier is killed now, the copy must not look complete.
        let between = if between == wanted { between + 1 } else { between };
        match try_time((dirs, name), copy, between) {
            Trial::Unmoved => self.note_lack(device, capability),
            Trial::Kept => self.note_lack(device, Capability::UntriedTimes),
            Trial::Refused => return false,
        }
        self.lacks(device, capability)
    }

    /// Whether the target accepts a new time for its entry `name` and ignores it.
    pub(super) fn ignores_times(&self, (dirs, name): (&DirPair, &CStr), copy: &Stat) -> bool {
        let (step, _) = STEPS[STEPS.len() - 1];
        let other = nanoseconds(copy.modified()) - 10 * step;
        matches!(try_time((dirs, name), copy, other), Trial::Unmoved)
    }

    /// Looks at the first file on each device that a copier has finished and closed: whether it has the source's
    /// time, or in which steps the target stores times, or whether closing the file has changed its time.
    ///
    /// Returns false if the time must be set once more. Then the file is looked at again afterwards.
    pub(super) fn look_at_time(
        &self,
        (dirs, name): (&DirPair, &CStr),
        source: &Stat,
        again: bool,
    ) -> bool {
        let device = dirs.traits.device;
        let Ok(copy) = file::stat_at(&dirs.target, name) else { return true };
        if is_limit(source.modified(), copy.modified()) {
            return true; // another file shows more
        }
        let (wanted, got) = (nanoseconds(source.modified()), nanoseconds(copy.modified()));
        match steps_between(wanted, got) {
            _ if wanted == got => {}
            Some(steps) => self.note_lack(device, STEPS[steps].1),
            None if !again => return false,
            None => self.note_refused_times(device, source.kind()),
        }
        self.note_lack(device, Capability::UntriedClose);
        if again {
            self.note_lack(device, Capability::TimesBeforeClose);
        }
        // A time without a fraction of a second shows no steps.
        if wanted % STEPS[SECONDS].0 != 0 {
            self.note_lack(device, Capability::UntriedTimes);
        }
        true
    }
}

/// Sets the entry to the time `other`, looks whether its time has changed, and sets it back.
///
/// If the copier is killed in between, the entry has a time that its source does not have, so the next run
/// copies it.
fn try_time((dirs, name): (&DirPair, &CStr), copy: &Stat, other: i128) -> Trial {
    let set = |modified| file::set_times_at(&dirs.target, name, copy.accessed(), modified);
    let Some(other) = stamp(other) else { return Trial::Refused };
    if set(other).is_err() {
        return Trial::Refused;
    }
    let Ok(now) = file::stat_at(&dirs.target, name) else { return Trial::Refused };
    if now.modified() == copy.modified() {
        return Trial::Unmoved;
    }
    match set(copy.modified()) {
        Ok(()) => Trial::Kept,
        Err(_) => Trial::Refused,
    }
}
