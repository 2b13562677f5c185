//! Options that control what happens to existing files in the target.

use super::super::usage_error::UsageError;
use super::super::values::{UPDATES, backup, number, one_word_of};
use super::usage;
use crate::options::{CopyOptions, Update};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Existing files")]
pub(super) struct UpdateFlags {
    /// Control which existing files are updated
    ///
    /// By default those whose type, size or modification time differs from the source's (see also --ignore-ctime).
    /// UPDATE is all; none (existing
    /// files are skipped); none-fail (existing files are skipped, and each is an error); or older (those with an
    /// older modification time than the source) [without =UPDATE: older].
    #[arg(
        long,
        value_parser = one_word_of(&UPDATES),
        value_name = "UPDATE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "older",
        hide_possible_values = true,
        overrides_with_all = ["older", "no_clobber"],
        conflicts_with = super::COMPARING
    )]
    update: Option<Update>,

    /// Same as --update=older
    #[arg(short = 'u', overrides_with_all = ["update", "no_clobber"], conflicts_with = super::COMPARING)]
    older: bool,

    /// Skip existing files (no dry run)
    ///
    /// Same as --update=none, as with cp (no-clobber).
    #[arg(
        short = 'n',
        long,
        overrides_with_all = ["update", "older", "interactive"],
        conflicts_with = super::COMPARING
    )]
    no_clobber: bool,

    /// Prompt before overwriting
    ///
    /// Prompts come after everything else has been copied, and only for files that would be updated. Any answer but
    /// yes keeps the existing file.
    #[arg(short = 'i', long, overrides_with = "no_clobber", conflicts_with = super::COMPARING)]
    interactive: bool,

    /// Compare contents, not times, to find changes
    ///
    /// Existing files of the same size as their source are read and compared with it. A file with equal contents
    /// and another time gets the source's time and counts as skipped.
    #[arg(long, conflicts_with = super::COMPARING)]
    checksum: bool,

    /// Trust size and modification time alone
    ///
    /// By default a file that has the size and modification time of its copy is compared with it if its status changed
    /// later (ctime), which finds files that changed and got their old time back. A source that was restored or moved to
    /// another file system has new ctimes, too: the next run reads it all, usually once, unless this option is given. If
    /// SRC is one file, it is always compared without this option.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    ignore_ctime: bool,

    /// Set the accuracy for comparing modification times
    ///
    /// Times that differ by no more than SECONDS are the same. pcopy finds out by itself if the target stores times
    /// less exactly than the source, as FAT and network file systems do.
    #[arg(long, value_name = "SECONDS", hide_short_help = true, value_parser = number(0..=u32::MAX, ""))]
    modify_window: Option<u32>,

    /// Back up each existing file before replacing it
    ///
    /// CONTROL is none or off (never make backups), numbered or t, existing or nil (numbered if numbered
    /// backups exist, simple otherwise), or simple or never. Without =CONTROL the environment variable
    /// VERSION_CONTROL decides [default: existing].
    #[arg(
        long,
        value_name = "CONTROL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = super::COMPARING
    )]
    backup: Vec<OsString>,

    /// Like --backup, without an argument
    #[arg(short = 'b', hide_short_help = true, conflicts_with = super::COMPARING)]
    backup_usual: bool,

    /// Override the usual backup suffix
    ///
    /// The suffix of simple backups is ~, unless SUFFIX or the environment variable SIMPLE_BACKUP_SUFFIX sets
    /// another one. Implies --backup.
    #[arg(short = 'S', long, value_name = "SUFFIX", hide_short_help = true, conflicts_with = super::COMPARING)]
    suffix: Option<OsString>,

    /// Keep what is replaced or removed in DIR
    ///
    /// An existing file that is replaced, and what --delete removes, is moved to DIR, with its path relative to DST. A name that
    /// is taken there gets a number, as in x.~1~. DIR must be on the file system of DST, and with --delete not in the
    /// copy. Implies --backup.
    #[arg(long, value_name = "DIR", hide_short_help = true, conflicts_with = super::COMPARING)]
    backup_dir: Option<PathBuf>,

    /// Let links replace existing files
    ///
    /// For --link and --symbolic-link. A copy replaces an existing file without this option.
    #[arg(short = 'f', long, hide_short_help = true, conflicts_with = super::COMPARING)]
    force: bool,

    /// Remove existing files before replacing them
    ///
    /// Implies --force. With --attributes-only, existing files are replaced, too, where by default they keep
    /// their contents.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    remove_destination: bool,

    /// Update existing files in place
    ///
    /// An existing file is written into: it keeps its owner, and readers may see a partial file. A file with
    /// other hard links is replaced instead, unless --no-preserve=links is given. New directories are created
    /// under their final names. By default a complete copy is renamed into place, and readers see either the
    /// existing file or the complete copy.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    inplace: bool,

    /// Write into a device that is named as the target
    ///
    /// 'pcopy disk.img /dev/sdX' then writes the contents of SRC into the device; without this option it is
    /// refused. /dev/null, a FIFO, and an open file such as /dev/stdout are always written into if they are
    /// named as the target. Existing devices and FIFOs below a directory are replaced.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    write_devices: bool,

    /// Follow existing symbolic links to directories
    ///
    /// Where the target has a symbolic link to a directory in place of a directory of SRC, copy into the directory
    /// that the link points to; --check compares with that directory. By default such a link is an error.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    keep_directory_symlink: bool,
}

impl UpdateFlags {
    pub(super) fn apply(self, options: &mut CopyOptions) -> Result<(), UsageError> {
        options.update = match self.update {
            _ if self.no_clobber => Update::None,
            _ if self.older => Update::Older,
            Some(update) => update,
            None => options.update,
        };
        options.ask = self.interactive;
        options.checksum = self.checksum;
        options.ignore_ctime = self.ignore_ctime;
        options.modify_window = Duration::from_secs(self.modify_window.unwrap_or(0).into());
        options.force = self.force || self.remove_destination;
        options.remove_destination = self.remove_destination;
        options.in_place = self.inplace;
        options.write_devices = self.write_devices;
        options.keep_directory_symlink = self.keep_directory_symlink;

        let is_bad =
            |suffix: &OsString| suffix.is_empty() || suffix.as_encoded_bytes().contains(&b'/');
        if self.suffix.as_ref().is_some_and(is_bad) {
            return Err(usage(
                "invalid value for '--suffix': expected a text without '/', not empty",
            ));
        }
        let is_wanted = self.backup_usual || self.suffix.is_some() || self.backup_dir.is_some();
        let wanted = is_wanted.then(OsString::new);
        // A later `--backup` without an argument does not cancel the CONTROL of an earlier one.
        let given = self.backup.iter().rfind(|word| !word.is_empty()).or(self.backup.last());
        options.backup = backup(given.cloned().or(wanted), self.suffix).map_err(|unknown| {
            let word = unknown.word.display();
            let option = unknown.variable.unwrap_or("--backup");
            let valid = "expected none, numbered, existing or simple";
            usage(&format!("invalid value '{word}' for '{option}': {valid}"))
        })?;
        if let Some(backup) = &mut options.backup {
            backup.dir = self.backup_dir;
        }
        if options.backup.is_some() && matches!(options.update, Update::None | Update::NoneFail) {
            return Err(usage("--backup and --update=none are mutually exclusive"));
        }
        Ok(())
    }
}
