//! Phrases that both tables and charts use.

use super::bench_options::{BenchOptions, TargetState};
use super::results::Case;
use super::tree_stats::TreeStats;
use crate::ui::numbers;
use pcopy_sys::statfs;

/// Returns the file systems of source and target, and the conditions of the runs.
pub(super) fn conditions(case: &Case, options: &BenchOptions) -> String {
    let (from, to, fidelity) = (&case.source_fs, &case.target_fs, case.fidelity);
    let cache = if options.cold { "cold" } else { "warm" };
    let onto = match options.onto {
        TargetState::New => "",
        TargetState::Same => ", onto a complete copy",
        TargetState::Different => ", onto a copy in which every second file is older and differs",
    };
    // A run ends when the program exits. At that time the kernel may not have written the data to disk.
    let flushed = if statfs::is_in_memory(to) { "" } else { ", not flushed to disk" };
    let unverified = match (options.verify, fidelity.modes, fidelity.times) {
        (false, ..) => ", copies not verified",
        (true, true, true) => "",
        (true, true, false) => ", times not verified (the target's are coarser)",
        (true, false, true) => ", modes not verified (the target has none)",
        (true, false, false) => ", modes and times not verified (the target does not store them)",
    };
    format!("{from} to {to}, {cache}{onto}{flushed}{unverified}")
}

/// Returns what a tree contains, in words.
pub(super) fn contents(stats: &TreeStats) -> String {
    let mut text = quantity(stats.files, "file", "files");
    if stats.extra_links > 0 {
        text +=
            &format!(" with {}", quantity(stats.extra_links, "more hard link", "more hard links"));
    }
    if stats.directories > 0 {
        text += &format!(" in {}", quantity(stats.directories, "directory", "directories"));
    }
    if stats.symlinks > 0 {
        text += &format!(", {}", quantity(stats.symlinks, "symlink", "symlinks"));
    }
    if stats.specials > 0 {
        text += &format!(", {}", quantity(stats.specials, "special file", "special files"));
    }
    text += &format!(", {}", numbers::bytes(stats.bytes));
    if stats.has_holes() {
        text += &format!(" ({} allocated)", numbers::bytes(stats.allocated));
    }
    text
}

/// Returns a number with its unit in the singular or plural.
pub(super) fn quantity(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", numbers::count(number), if number == 1 { singular } else { plural })
}
