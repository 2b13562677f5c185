//! Options that name the sources and the target, and that select which symbolic links are followed.

use super::super::usage_error::UsageError;
use super::super::values::path;
use super::usage;
use crate::options::{CopyOptions, Dereference, Operands};
use crate::plan::trim;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, Args};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Source and target")]
pub(super) struct SourceFlags {
    /// The sources and the target; the usage names them
    #[arg(
        value_name = "PATH",
        required_unless_present = "apply",
        hide = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(super) paths: Vec<PathBuf>,

    /// Copy each SRC into DIR, which must exist
    #[arg(
        short = 't',
        long,
        value_name = "DIR",
        value_parser = path(),
        conflicts_with = "no_target_directory"
    )]
    pub(super) target_directory: Option<PathBuf>,

    /// Copy SRC as DST, even if DST is a directory
    ///
    /// Two directories are merged. By default an existing directory DST receives SRC as an entry, as with cp.
    #[arg(short = 'T', long)]
    pub(super) no_target_directory: bool,

    /// Append SUFFIX to the name of a copy next to SRC
    ///
    /// For the form with SRC alone [default: -copy].
    #[arg(long, value_name = "SUFFIX", hide_short_help = true)]
    suffix_name: Option<OsString>,

    /// Use the full source path under the directory
    ///
    /// The copy of a/b/c is DIR/a/b/c. Directories that are missing on the way are created with the attributes
    /// of their sources.
    #[arg(
        long,
        hide_short_help = true,
        conflicts_with_all = ["no_target_directory", super::COMPARING]
    )]
    pub(super) parents: bool,

    /// Create the missing directories above DST
    ///
    /// As mkdir -p. If entries are copied into DST (-t, several SRC, a slash at the end of DST), DST is created, too. If the
    /// run is refused, they are removed.
    #[arg(long, hide_short_help = true, conflicts_with_all = [super::COMPARING, "dry_run"])]
    pub(super) mkpath: bool,

    /// Require that something is mounted at DIR
    ///
    /// Otherwise the run is refused; if not the same is mounted there at the end, it fails. Without DIR it is DST, or the
    /// nearest directory above that exists. Can be repeated.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(super) require_mount: Vec<PathBuf>,

    /// Require that DST has a file NAME
    ///
    /// For a marker on a disk for backups. Otherwise the run is refused. Can be repeated.
    #[arg(
        long,
        value_name = "NAME",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = path()
    )]
    pub(super) require_file: Vec<PathBuf>,

    /// Use a directory even if /etc/fstab has a disk for it that is not mounted
    ///
    /// By default a run is refused if DST or a SRC lies at or below a mount point of /etc/fstab at which nothing is mounted:
    /// a backup would fill another disk.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    pub(super) no_mount_guard: bool,

    /// Remove trailing slashes from each SRC
    ///
    /// A symbolic link to a directory is then copied as a symbolic link.
    #[arg(long, hide_short_help = true)]
    strip_trailing_slashes: bool,

    /// Stay on the file system of each SRC
    #[arg(short = 'x', long)]
    one_file_system: bool,

    /// Follow all symbolic links in SRC
    #[arg(short = 'L', long, conflicts_with = super::COMPARING)]
    dereference: bool,

    /// Follow symbolic links that are operands
    ///
    /// Symbolic links below them are copied as symbolic links.
    #[arg(short = 'H', hide_short_help = true, conflicts_with = super::COMPARING)]
    dereference_operands: bool,

    /// Never follow symbolic links in SRC (default)
    ///
    /// They are copied as symbolic links.
    #[arg(short = 'P', long, hide_short_help = true)]
    no_dereference: bool,

    /// Same as --no-dereference --preserve=links
    #[arg(short = 'd', hide_short_help = true)]
    no_dereference_links: bool,

    /// Accepted for compatibility with cp
    ///
    /// Directories are always copied recursively.
    #[arg(short = 'R', long, visible_short_alias = 'r', hide_short_help = true)]
    recursive: bool,
}

impl SourceFlags {
    pub(super) fn apply(&self, matches: &ArgMatches, options: &mut CopyOptions) {
        options.one_file_system = self.one_file_system;
        if let Some(dereference) = dereference(matches) {
            options.dereference = dereference;
        }
    }

    /// Returns the operands: which paths are sources, and which is the target. The error is a usage error.
    pub(super) fn into_operands(self) -> Result<Operands, UsageError> {
        let mut sources = self.paths;
        if self.strip_trailing_slashes {
            sources.iter_mut().for_each(|source| *source = trim(source).to_owned());
        }
        if let Some(empty) = sources.iter().position(|path| path.as_os_str().is_empty()) {
            let (number, all) = (empty + 1, sources.len());
            return Err(usage(&format!("operand {number} of {all} is empty: ''")));
        }
        if self.suffix_name.is_some() && (sources.len() > 1 || self.target_directory.is_some()) {
            return Err(usage("--suffix-name needs SRC as the only operand"));
        }
        if let Some(directory) = self.target_directory {
            return Ok(Operands::Into { sources, directory });
        }
        if self.no_target_directory {
            let [source, target] = <[PathBuf; 2]>::try_from(sources)
                .map_err(|_| usage("-T takes exactly one SRC and one DST"))?;
            return Ok(Operands::Exactly { source, target });
        }
        let last = sources.pop().ok_or_else(|| usage("missing operand SRC"))?;
        if !sources.is_empty() {
            return Ok(Operands::Onto { sources, target: last });
        }
        if self.parents {
            return Err(usage("--parents needs a directory to copy into"));
        }
        let suffix = self.suffix_name.unwrap_or_else(|| "-copy".into());
        if suffix.is_empty() || suffix.as_encoded_bytes().contains(&b'/') {
            return Err(usage("--suffix-name must not be empty or contain a slash"));
        }
        Ok(Operands::Beside { source: last, suffix })
    }
}

/// Returns which symbolic links are followed. The last option about symbolic links decides; `None` if there
/// is none.
pub(super) fn dereference(matches: &ArgMatches) -> Option<Dereference> {
    const FLAGS: [(&str, Dereference); 5] = [
        ("dereference", Dereference::Always),
        ("dereference_operands", Dereference::CommandLine),
        ("no_dereference", Dereference::Never),
        ("no_dereference_links", Dereference::Never),
        ("archive", Dereference::Never),
    ];
    let given = FLAGS.iter().filter(|(id, _)| matches.get_flag(id)).map(|&(id, dereference)| {
        let last = matches.indices_of(id).into_iter().flatten().max();
        (last, dereference)
    });
    given.max_by_key(|&(place, _)| place).map(|(_, dereference)| dereference)
}
