//! Compares modification times of which one may be rounded.
//!
//! Some file systems store times in steps: FAT in steps of 2 s, ext4 with inodes of 128 bytes of 1 s, SMB and NTFS
//! of 100 ns. A copy there cannot have exactly the time of its source. It has that time if its own is the
//! source's, rounded to the steps of that target. That the target has such steps must be known: on any other
//! file system, a rounded time is another time, and may be that of an older version.
//!
//! `stored_times` finds out which it is.
//!
//! A file system also has an earliest and a latest time, and the kernel stores these in place of times beyond them.

use crate::ipc::memory::fs_caps::Capability;
use pcopy_sys::file::{Stamp, Stat};
use std::time::Duration;

const MICROSECOND: i128 = 1_000;

/// The steps of file systems, in nanoseconds, and what is noted where they are found.
pub(super) const STEPS: [(i128, Capability); 7] = [
    (100, Capability::Steps100Nanoseconds),
    (MICROSECOND, Capability::StepsMicrosecond),
    (1_000_000, Capability::StepsMillisecond),
    (10_000_000, Capability::Steps10Milliseconds),
    (1_000_000_000, Capability::StepsSecond),
    (2_000_000_000, Capability::Steps2Seconds),
    (60_000_000_000, Capability::StepsMinute),
];

/// The earliest times of file systems, in seconds: ext4 and xfs (1901), FAT and exFAT (1980), others (1970).
const EARLIEST: [i64; 3] = [-(1 << 31), 315_532_800, 0];

/// The latest times of file systems, in seconds: ext4 with 128-byte inodes and older xfs (2038), NFSv3 (2106), FAT
/// and exFAT (2107), ext4 (2446), xfs (2486).
const LATEST: [i64; 6] = [
    (1 << 31) - 1,
    (1 << 32) - 1,
    4_354_819_198,
    4_354_819_199,
    (1 << 34) - (1 << 31) - 1,
    16_299_260_424,
];

/// What two times say about an entry and its copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Agreement {
    Same,
    /// They are the same if the target stores times in these steps.
    IfSteps(Steps),
    Different,
}

/// An index into [`STEPS`].
pub(super) type Steps = usize;

/// The first steps of a whole second or more.
pub(super) const SECONDS: Steps = 4;

/// Compares the modification time of an entry with that of its copy. Times that differ by no more than `window`
/// are the same.
pub(super) fn agreement(source: &Stat, copy: &Stat, window: Duration) -> Agreement {
    if source.modified() == copy.modified() {
        return Agreement::Same;
    }
    let (wanted, got) = (nanoseconds(source.modified()), nanoseconds(copy.modified()));
    if (wanted - got).unsigned_abs() <= window.as_nanos() {
        return Agreement::Same;
    }
    if is_limit(source.modified(), copy.modified()) {
        return Agreement::Same;
    }
    // The kernel rounds the time of the last status change, too, which no program can set. On a file system
    // that stores fractions of a second, that time hardly ever has none.
    let changed = nanoseconds(copy.changed());
    let shows_steps = |step: i128| is_rounded(wanted, got, step) && changed % step == 0;
    if STEPS[SECONDS..].iter().any(|(step, _)| shows_steps(*step)) {
        return Agreement::Same;
    }
    steps_between(wanted, got).map_or(Agreement::Different, Agreement::IfSteps)
}

/// Returns the smallest steps to which `wanted` can be rounded, down or up, so that it becomes `got`.
pub(super) fn steps_between(wanted: i128, got: i128) -> Option<Steps> {
    STEPS.iter().position(|(step, _)| is_rounded(wanted, got, *step))
}

/// Whether `got` may be `wanted`, rounded down or up to a multiple of `step`.
///
/// A file system that keeps times as floating-point numbers of seconds has steps of 238 ns today, which are no
/// multiples of anything in nanoseconds.
fn is_rounded(wanted: i128, got: i128, step: i128) -> bool {
    (got % step == 0 || step == MICROSECOND) && (wanted - got).abs() < step
}

/// Whether `got` is the earliest or latest time of a file system, and `wanted` lies beyond it.
pub(super) fn is_limit(wanted: Stamp, got: Stamp) -> bool {
    let (at, limit) = (nanoseconds(wanted), nanoseconds(got));
    got.nanoseconds == 0
        && (at < limit && EARLIEST.contains(&got.seconds)
            || at > limit && LATEST.contains(&got.seconds))
}

pub(super) fn nanoseconds(stamp: Stamp) -> i128 {
    i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanoseconds)
}

pub(super) fn stamp(nanoseconds: i128) -> Option<Stamp> {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    let nanoseconds = i64::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
    Some(Stamp { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_time_is_recognised_in_its_smallest_steps() {
        let wanted = 1_577_934_245_123_456_789;
        for (got, steps) in [
            (1_577_934_245_123_456_700, Some(0)),
            (1_577_934_245_123_456_000, Some(1)),
            (1_577_934_245_123_000_000, Some(2)),
            (1_577_934_245_120_000_000, Some(3)),
            (1_577_934_245_000_000_000, Some(4)),
            (1_577_934_246_000_000_000, Some(4)),
            (1_577_934_244_000_000_000, Some(5)),
            (1_577_934_243_000_000_000, None),
            (1_577_934_245_123_456_717, Some(1)), // a floating-point number
            (1_577_934_245_123_455_788, None),
        ] {
            assert_eq!(steps_between(wanted, got), steps, "{got}");
        }
    }

    #[test]
    fn a_time_beyond_those_of_the_file_system_becomes_its_earliest_or_latest_one() {
        let at = |seconds| Stamp { seconds, nanoseconds: 0 };
        let last = (1 << 31) - 1;
        assert!(is_limit(at(last + 1), at(last)) && is_limit(at(-1), at(0)));
        assert!(is_limit(Stamp { seconds: last, nanoseconds: 5 }, at(last)));
        assert!(!is_limit(at(last - 1), at(last)) && !is_limit(at(1), at(0)));
        assert!(!is_limit(at(last + 2), at(last + 1)));
        assert!(!is_limit(at(last + 1), Stamp { seconds: last, nanoseconds: 1 }));
    }

    #[test]
    fn a_time_before_1970_is_rounded_in_the_same_way() {
        assert_eq!(steps_between(-1_500_000_000, -2_000_000_000), Some(SECONDS));
        assert_eq!(stamp(-1), Some(Stamp { seconds: -1, nanoseconds: 999_999_999 }));
    }
}
