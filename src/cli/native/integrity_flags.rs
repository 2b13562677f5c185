//! Options that hash files, and options that compare copies with their sources or a directory with a
//! manifest.

use super::super::usage_error::UsageError;
use super::super::values::{one_word_of, path};
use super::usage;
use crate::hash::Algorithm;
use crate::options::{Command, CopyOptions};
use clap::Args;
use std::path::{Path, PathBuf};

const HASHES: [(&str, Algorithm); 2] =
    [("blake3", Algorithm::Blake3), ("sha256", Algorithm::Sha256)];

#[derive(Args, Debug)]
#[command(next_help_heading = "Integrity")]
pub(super) struct IntegrityFlags {
    /// Re-read the copies and compare their hashes
    ///
    /// After everything has been copied, and before new directories are renamed into place, data is flushed to
    /// stable storage, dropped from the page cache, then re-read and hashed by a different process. A file that
    /// differs from what was read from SRC is copied once more; if it differs again, it is reported and removed,
    /// and the exit status is 6. What an interrupted run has copied is compared with SRC. Files that were up to
    /// date are not verified: --checksum or --check compares them.
    #[arg(long, conflicts_with_all = [super::NO_CONTENTS, super::COMPARING])]
    verify: bool,

    /// Write the hashes of all copied files to FILE
    ///
    /// The format is that of b3sum, or with --hash=sha256 of sha256sum, sorted by name. Names are relative to DST
    /// (or to its directory, if DST is a file), so 'b3sum -c FILE', run in DST, checks the copy. Hashes are of
    /// the bytes that were read from SRC; for files that were up to date, of those in DST. FILE is replaced
    /// atomically when the run ends and lists the complete files, whatever the exit status. It may be in DST,
    /// under a name that SRC does not have, but not in SRC; '-' is standard output.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = path(),
        conflicts_with_all = [super::NO_CONTENTS, super::COMPARING]
    )]
    pub(super) manifest: Option<PathBuf>,

    /// Set the hash of a manifest: blake3 or sha256
    ///
    /// BLAKE3 is about four times as fast [default: blake3; with --check-manifest, the hash that the manifest has].
    #[arg(
        long,
        value_parser = one_word_of(&HASHES),
        hide_short_help = true,
        value_name = "HASH",
        hide_possible_values = true
    )]
    hash: Option<Algorithm>,

    /// Compare DST with SRC and change nothing
    ///
    /// SRC and DST are found as for a copy. Each missing, extraneous or different entry is reported on standard output.
    /// Compared are type, contents and what a copy with the same options preserves: by default permission bits,
    /// modification times and hard links; with -a also owner, ACLs and extended attributes. The exit status is
    /// 0 if everything is identical, 6 if not, 1 if something could not be read.
    #[arg(long, group = super::COMPARING)]
    check: bool,

    /// Compare the files in DIR with the manifest FILE
    ///
    /// Missing, changed and unlisted files are reported, as are malformed lines. Names that lead out of DIR, by
    /// '..' or a symbolic link, are not read. FILE '-' is standard input.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = path(),
        group = super::COMPARING,
        conflicts_with_all = ["target_directory", "no_target_directory", "one_file_system"]
    )]
    check_manifest: Option<PathBuf>,
}

impl IntegrityFlags {
    pub(super) fn apply(&self, options: &mut CopyOptions) -> Result<(), UsageError> {
        options.verify = self.verify;
        if self.manifest.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(usage("--manifest needs the name of a file"));
        }
        let to_stdout = self.manifest.as_deref() == Some(Path::new("-"));
        if to_stdout && options.verbose() {
            return Err(usage("--manifest=- and --verbose both write to standard output"));
        }
        if self.hash.is_some() && self.manifest.is_none() && self.check_manifest.is_none() {
            return Err(usage("--hash needs --manifest or --check-manifest"));
        }
        options.hash = match &self.check_manifest {
            Some(_) => self.hash,
            None if self.manifest.is_some() || self.verify => {
                Some(self.hash.unwrap_or(Algorithm::Blake3))
            }
            None => None,
        };
        Ok(())
    }

    /// Returns whether the run copies or compares. With `--check-manifest`, `paths` must be exactly one
    /// directory.
    pub(super) fn command(&self, paths: &[PathBuf]) -> Result<Command, UsageError> {
        match &self.check_manifest {
            Some(file) => {
                let [dir] = paths else {
                    return Err(usage("--check-manifest takes exactly one DIR"));
                };
                Ok(Command::CheckManifest { file: file.clone(), dir: dir.clone() })
            }
            None if self.check => Ok(Command::Check),
            None => Ok(Command::Copy),
        }
    }
}
