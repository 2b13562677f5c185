//! Options that control how pcopy copies the data of files.

use super::super::usage_error::UsageError;
use super::super::values::{WHEN, number, one_word_of};
use super::usage;
use crate::options::{CopyMode, CopyOptions, Dereference, When};
use crate::plan::JOBS_MAX;
use clap::{ArgMatches, Args};

#[derive(Args, Debug)]
#[command(next_help_heading = "Copying")]
pub(super) struct DataFlags {
    /// Copy with N processes
    ///
    /// N is 1 to 512. By default the run begins with one per CPU and takes up to 32 where they wait for a disk or
    /// the network and more of them are faster. For a single spinning disk, 1 may be best.
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        value_parser = number(1..=JOBS_MAX, "; without this option pcopy chooses the number")
    )]
    pub(super) jobs: Option<u16>,

    /// Hard link files instead of copying
    ///
    /// Symbolic links are followed, unless -P or -H is given.
    #[arg(short = 'l', long, conflicts_with = super::COMPARING, group = super::NO_CONTENTS)]
    link: bool,

    /// Make symbolic links instead of copying
    #[arg(short = 's', long, conflicts_with = super::COMPARING, group = super::NO_CONTENTS)]
    symbolic_link: bool,

    /// Don't copy the file data, just the attributes
    #[arg(long, conflicts_with = super::COMPARING, group = super::NO_CONTENTS, hide_short_help = true)]
    attributes_only: bool,

    /// Copy the contents of special files
    ///
    /// FIFOs and devices are read like regular files; by default the copy is another FIFO or device. A FIFO is
    /// read until its last writer closes it.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    copy_contents: bool,

    /// Control creation of sparse files
    ///
    /// WHEN is auto (keep the holes of the source), always (also make holes of blocks of zeros) or never (write
    /// all bytes, and do not clone) [default: auto].
    #[arg(
        long,
        value_parser = one_word_of(&WHEN),
        value_name = "WHEN",
        hide_possible_values = true,
        conflicts_with = super::COMPARING
    )]
    sparse: Option<When>,

    /// Control clone/CoW copies
    ///
    /// A clone shares the data of its source until one of them is changed: it takes no time and no space (Btrfs, XFS).
    /// WHEN is auto (clone where the file system can, else copy), always (fail where it cannot) or never
    /// [default: auto; without =WHEN: always].
    #[arg(
        long,
        value_parser = one_word_of(&WHEN),
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        hide_possible_values = true,
        conflicts_with = super::COMPARING
    )]
    reflink: Option<When>,

    /// Flush data to stable storage
    ///
    /// Data is flushed before it is renamed into place, and before the run exits with status 0. A write-back
    /// error ends the run with status 11.
    #[arg(long, conflicts_with = super::COMPARING)]
    fsync: bool,

    /// Retry an entry up to N times
    ///
    /// N is 0 to 100. Only failures that may be transient are retried: input/output errors, stale file handles and
    /// timeouts. The first retry follows after 0.1 s, each further one after a longer pause [default: 2 if a
    /// network file system is accessed, else 0].
    #[arg(
        hide_short_help = true,
        long,
        value_name = "N",
        value_parser = number::<u16>(0..=100, ""),
        conflicts_with = super::COMPARING
    )]
    pub(super) retries: Option<u16>,

    /// End the run if the disk does not answer for SECONDS
    ///
    /// The run ends with status 11 and reports the entry if for SECONDS no copier makes progress: no byte is read or
    /// written, and no entry is completed [default: 0, no limit].
    #[arg(long, value_name = "SECONDS", hide_short_help = true, value_parser = number(0..=u32::MAX, ""))]
    pub(super) timeout: Option<u32>,
}

impl DataFlags {
    pub(super) fn apply(
        &self,
        matches: &ArgMatches,
        options: &mut CopyOptions,
    ) -> Result<(), UsageError> {
        options.copy_mode = match (self.link, self.symbolic_link, self.attributes_only) {
            (true, ..) => CopyMode::HardLink,
            (_, true, _) => CopyMode::Symlink,
            (.., true) => CopyMode::AttributesOnly,
            _ => CopyMode::Copy,
        };
        options.copy_contents = self.copy_contents;
        options.sparse = self.sparse.unwrap_or(options.sparse);
        options.reflink = self.reflink.unwrap_or(options.reflink);
        options.fsync = self.fsync;
        // As with cp, `-l` links to the file that a symbolic link points to, unless an option for symbolic
        // links is given.
        if self.link && super::source_flags::dereference(matches).is_none() {
            options.dereference = Dereference::Always;
        }
        if options.reflink == When::Always && options.sparse != When::Auto {
            return Err(usage("--reflink=always can be used only with --sparse=auto"));
        }
        Ok(())
    }
}
