//! The program's own command line: every flag, and nothing else. Only here is `clap` known.

use super::values::{Attribute, backup};
use crate::hash::Algorithm;
use crate::options::{
    Command, Compat, CopyMode, CopyOptions, Dereference, Operands, Options, Preservation, Preserve,
    Update, When,
};
use crate::plan::{JOBS_MAX, trim};
use crate::sanitize::escape;
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Copy a folder with several processes
///
/// Copies SRC to DST, or into DST if that is a directory, as `cp -r` does, and keeps permission
/// bits and times. With SRC alone the copy is made beside it, under its name with a suffix.
///
/// A copy that was interrupted, in whatever way, goes on when the same command is given again.
#[derive(Parser, Debug)]
#[command(
    name = "pcopy",
    version,
    args_override_self = true,
    override_usage = "pcopy [OPTIONS] SRC DST\n       pcopy [OPTIONS] SRC... DIRECTORY\n       pcopy [OPTIONS] -t DIRECTORY SRC...\n       pcopy [OPTIONS] SRC\n       pcopy --check [OPTIONS] SRC DST\n       pcopy --check-manifest FILE DST",
    after_help = format!("Exit codes: 0 complete, 1 some entries failed, 2 usage, 3 refused, 4 cannot clone,\n6 different (--check), 11 target full or lost, 14 internal, 16 copiers kept dying, 24 only that source entries vanished or changed;\nafter a signal pcopy cleans up and dies by it.{BENCHMARK}")
)]
struct Flags {
    /// What to copy, and where to
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Copy into DIRECTORY, which must exist
    #[arg(short = 't', long, value_name = "DIRECTORY", conflicts_with = "no_target_directory")]
    target_directory: Option<PathBuf>,

    /// Copy onto DST even if it is a directory: its contents are merged
    #[arg(short = 'T', long)]
    no_target_directory: bool,

    /// Append SUFFIX to the name of the copy when SRC is given alone [default: -copy]
    #[arg(long, value_name = "SUFFIX")]
    suffix_name: Option<OsString>,

    /// Keep everything: owner, access lists and extended attributes, too
    ///
    /// The same as --preserve=all.
    #[arg(short = 'a', long, help_heading = PRESERVING)]
    archive: bool,

    /// The same as --preserve=mode,ownership,timestamps
    #[arg(short = 'p', help_heading = PRESERVING)]
    preserve_usual: bool,

    /// Keep what LIST names, in addition to mode, timestamps and links
    ///
    /// LIST is some of mode, ownership, timestamps, links, acl, xattr, context, all and none, with
    /// commas between; without it, mode,ownership,timestamps. What 'all' names is kept where the
    /// file system can; what is named itself must be kept. 'mode' is permission bits and access
    /// lists. 'none' begins anew, with what cp -r keeps. The options count in the order in which they
    /// are given.
    #[arg(
        long,
        value_name = "LIST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = USUAL,
        value_delimiter = ',',
        help_heading = PRESERVING
    )]
    preserve: Vec<Attribute>,

    /// Do not keep what LIST names
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = PRESERVING)]
    no_preserve: Vec<Attribute>,

    /// Which files that stand in the target are replaced [default: those that differ]
    ///
    /// Without the option, those that have not the source's type, size and modification time.
    /// Without a word it means older, as with cp.
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "older",
        overrides_with_all = ["older", "no_clobber"],
        help_heading = REPLACING
    )]
    update: Option<Which>,

    /// Compare contents, not times, to tell which files are complete
    ///
    /// Files of one size are read on both sides. One that has its source's contents and another time gets
    /// that time and counts as skipped.
    #[arg(long, help_heading = REPLACING)]
    checksum: bool,

    /// The same as --update=older
    #[arg(short = 'u', overrides_with_all = ["update", "no_clobber"], help_heading = REPLACING)]
    older: bool,

    /// The same as --update=none
    #[arg(short = 'n', long, overrides_with_all = ["update", "older", "interactive"], help_heading = REPLACING)]
    no_clobber: bool,

    /// Ask before each file that is replaced, when all else is copied
    ///
    /// What differs is asked for and nothing else. Whoever does not say yes keeps the old file.
    #[arg(short = 'i', long, overrides_with = "no_clobber", help_heading = REPLACING)]
    interactive: bool,

    /// The same as --backup without a word
    #[arg(short = 'b', help_heading = REPLACING)]
    backup_usual: bool,

    /// Keep each file that is replaced under another name
    ///
    /// CONTROL is none or off, numbered or t, existing or nil (numbered if there are numbered ones,
    /// else simple), simple or never. Without it the environment variable VERSION_CONTROL decides,
    /// and without that it is existing.
    #[arg(
        long,
        value_name = "CONTROL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = REPLACING
    )]
    backup: Vec<OsString>,

    /// What is appended to the name of a simple backup [default: ~, or SIMPLE_BACKUP_SUFFIX]
    #[arg(short = 'S', long, value_name = "SUFFIX", help_heading = REPLACING)]
    suffix: Option<OsString>,

    /// Let links take the place of what stands in the target
    ///
    /// A file that is replaced by a copy always makes room for a new file.
    #[arg(short = 'f', long, help_heading = REPLACING)]
    force: bool,

    /// The same, and with --attributes-only, too
    #[arg(long, help_heading = REPLACING)]
    remove_destination: bool,

    /// Write into files that stand in the target, and make folders under their final names
    ///
    /// So a file keeps its other hard links and its owner, and readers may see half of it while it is
    /// written; without the option they never do.
    #[arg(long, help_heading = REPLACING)]
    inplace: bool,

    /// Let a symlink to a folder in the target stand for a folder of SRC, and copy into that
    #[arg(long, help_heading = REPLACING)]
    keep_directory_symlink: bool,

    /// Make hard links to the files of SRC instead of copies
    ///
    /// Symlinks are followed, unless -P or -H says otherwise.
    #[arg(short = 'l', long, conflicts_with = "symbolic_link")]
    link: bool,

    /// Make symlinks to the files of SRC instead of copies
    #[arg(short = 's', long)]
    symbolic_link: bool,

    /// Copy nothing of the contents of files, only what is kept beside them
    #[arg(long, conflicts_with_all = ["link", "symbolic_link"])]
    attributes_only: bool,

    /// Read FIFOs and devices like files, instead of making others of their kind
    ///
    /// A FIFO is read to its end, which comes when its last writer leaves.
    #[arg(long)]
    copy_contents: bool,

    /// Use the full name of each SRC under the target folder: 'a/b/c' becomes 'DIRECTORY/a/b/c'
    #[arg(long, conflicts_with = "no_target_directory")]
    parents: bool,

    /// Give all that is made this security context [without a word: that of the target's folder]
    ///
    /// Only where SELinux is at work; elsewhere it is ignored with a warning.
    #[arg(
        long,
        value_name = "CONTEXT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = PRESERVING
    )]
    context: Option<OsString>,

    /// The same as --context without a word
    #[arg(short = 'Z', help_heading = PRESERVING)]
    context_of_folder: bool,

    /// Do not go into folders on other file systems
    #[arg(short = 'x', long)]
    one_file_system: bool,

    /// Remove slashes at the end of each SRC, so that a symlink to a folder is itself
    #[arg(long)]
    strip_trailing_slashes: bool,

    /// Copy what symlinks lead to instead of them
    #[arg(short = 'L', long)]
    dereference: bool,

    /// Copy what the symlinks named as SRC lead to; those below are copied as symlinks
    #[arg(short = 'H')]
    named: bool,

    /// Copy symlinks as symlinks; it is so without a wish
    #[arg(short = 'P', long)]
    no_dereference: bool,

    /// The same as --no-dereference --preserve=links
    #[arg(short = 'd')]
    links_as_they_are: bool,

    /// Accepted for the sake of cp: folders are always copied with all in them
    #[arg(short = 'R', long, visible_short_alias = 'r')]
    recursive: bool,
    /// Leave holes for what is only zeros [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Data")]
    sparse: Option<Sparse>,

    /// Share the bytes of the source where the file system can (btrfs, xfs) [default: auto]
    ///
    /// Such a copy takes no time and no room until one of the two is changed.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        help_heading = "Data"
    )]
    reflink: Option<Reflink>,

    /// Have all on the disk before it gets its final name, and before pcopy ends with exit code 0
    ///
    /// So not even a power cut then loses anything. A disk that cannot take it is exit code 11.
    #[arg(long, help_heading = "Data")]
    fsync: bool,

    /// Read back from the disk what was written, and compare it with what was read
    ///
    /// When all is copied, and before it gets its final name where it is new: the disk takes it, the
    /// memory forgets it, and other processes than those that wrote it compare hashes. A file that differs
    /// is copied once more; if it differs again it is named, removed, and the exit code is 6.
    #[arg(long, conflicts_with_all = ["link", "symbolic_link", "attributes_only"], help_heading = PROVING)]
    verify: bool,

    /// List the hash of each file in the copy in FILE when the run has ended
    ///
    /// The lines are those of b3sum, or with --hash=sha256 of sha256sum, sorted by name. Names begin in
    /// DST (or where DST is, if that is no folder), so `b3sum -c FILE`, called in DST, checks the copy.
    /// Hashed are the bytes that were read from SRC; of a file that was complete already, those in DST.
    /// FILE is replaced at one stroke and lists what is complete, whatever the exit code is. It may lie in
    /// DST, under a name that SRC does not have, but not in SRC. '-' is standard output.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["link", "symbolic_link", "attributes_only"],
        help_heading = PROVING
    )]
    manifest: Option<PathBuf>,

    /// Which hash a manifest has [default: blake3; where one is checked, that which it has]
    #[arg(long, value_enum, value_name = "HASH", help_heading = PROVING)]
    hash: Option<Hash>,

    /// Compare only: is DST what a copy of SRC would be?
    ///
    /// SRC and DST are placed as for a copy, and nothing is changed. What is missing, extra or different
    /// has a line on standard output: contents, type, and what a copy with the same options keeps (without
    /// any: permission bits, modification times, hard links; with -a also owner, access lists and extended
    /// attributes). Exit code 0 means alike, 6 different, 1 that something could not be read.
    #[arg(long, conflicts_with_all = COPYING, help_heading = PROVING)]
    check: bool,

    /// Compare the files in DST with the manifest FILE ['-': standard input]
    ///
    /// Missing, different and extra files are named, as with --check, and lines that are none. A name that
    /// leads out of DST, by '..' or through a symlink, is not read.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = COPYING,
        conflicts_with_all = ["check", "target_directory", "no_target_directory", "one_file_system"],
        help_heading = PROVING
    )]
    check_manifest: Option<PathBuf>,

    /// Try an entry up to N times more after a failure that may pass
    ///
    /// That is an input/output error, a stale handle and a timeout. The second attempt follows after a tenth
    /// of a second, each further one after a longer pause. Without the option 2 if a network disk takes
    /// part, else 0.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100), help_heading = "Data")]
    retries: Option<u16>,

    /// Copy with N processes, 1 to 512
    ///
    /// Without it the run begins with as many as there are processors, and takes up to 32 where they
    /// wait for a disk or the network and more of them make it faster. On a spinning disk 1 may be best.
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)), help_heading = "Speed")]
    jobs: Option<u16>,

    /// Print the name of each entry when it is complete
    #[arg(short = 'v', long, overrides_with = "quiet", help_heading = "Output")]
    verbose: bool,

    /// Print how each file was copied, too
    #[arg(long, overrides_with = "quiet", help_heading = "Output")]
    debug: bool,

    /// Print nothing but errors
    #[arg(short = 'q', long, overrides_with_all = ["verbose", "debug"], help_heading = "Output")]
    quiet: bool,

    /// Show how far the copy has come, on standard error [default: auto]
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        help_heading = "Output"
    )]
    progress: Option<Progress>,
}

const BENCHMARK: &str = if cfg!(feature = "bench") {
    "\n\n`pcopy bench` measures pcopy and other copiers; see `pcopy bench --help`. A folder of that name is\ncopied as `./bench`."
} else {
    ""
};

const PRESERVING: &str = "What is kept";
const REPLACING: &str = "What is replaced";
const PROVING: &str = "Proof";

/// What says nothing to who compares only.
const COPYING: [&str; 29] = [
    "update",
    "older",
    "no_clobber",
    "interactive",
    "backup_usual",
    "backup",
    "suffix",
    "force",
    "remove_destination",
    "inplace",
    "keep_directory_symlink",
    "link",
    "symbolic_link",
    "attributes_only",
    "copy_contents",
    "parents",
    "context",
    "context_of_folder",
    "dereference",
    "named",
    "sparse",
    "reflink",
    "manifest",
    "checksum",
    "verify",
    "fsync",
    "retries",
    "verbose",
    "debug",
];

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Which {
    /// All
    All,
    /// None: what is there is passed over
    None,
    /// None, and each is told as a failure
    NoneFail,
    /// Those that are older than their source
    Older,
}

/// What `-p`, and `--preserve` without a list, mean.
const USUAL: &str = "mode,ownership,timestamps";

/// What all options that say so, in their order, want to keep.
fn preserve(matches: &ArgMatches) -> Preserve {
    let words = |id: &str| {
        let given = matches.get_many::<Attribute>(id).into_iter().flatten().copied();
        let places = matches.indices_of(id).into_iter().flatten();
        places.zip(given).collect::<Vec<_>>()
    };
    let flag = |id: &str, words: &[Attribute]| {
        let place = matches.index_of(id).filter(|_| matches.get_flag(id));
        place
            .into_iter()
            .flat_map(|place| words.iter().map(move |word| (place, *word)))
            .collect::<Vec<_>>()
    };
    let usual = [Attribute::Mode, Attribute::Ownership, Attribute::Timestamps];
    let added = [
        flag("archive", &[Attribute::All]),
        flag("preserve_usual", &usual),
        flag("links_as_they_are", &[Attribute::Links]),
        words("preserve"),
    ];
    let taken = words("no_preserve").into_iter().map(|(place, word)| (place, word, false));
    let mut all: Vec<_> =
        added.concat().into_iter().map(|(place, word)| (place, word, true)).chain(taken).collect();
    all.sort_by_key(|&(place, ..)| place);
    let mut keep = Preserve::DEFAULT;
    for (_, word, wanted) in all {
        if wanted { word.add_to(&mut keep) } else { word.take_from(&mut keep) }
    }
    keep
}

/// Which symlinks the last option that speaks of them wants to be followed.
fn dereference(matches: &ArgMatches) -> Option<Dereference> {
    let said = [
        ("dereference", Dereference::Always),
        ("named", Dereference::Named),
        ("no_dereference", Dereference::Never),
        ("links_as_they_are", Dereference::Never),
        ("archive", Dereference::Never),
    ];
    let places = said.iter().filter(|(id, _)| matches.get_flag(id)).map(|&(id, wish)| {
        let last = matches.indices_of(id).into_iter().flatten().max();
        (last, wish)
    });
    places.max_by_key(|&(place, _)| place).map(|(_, wish)| wish)
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Progress {
    /// If standard error is a terminal and the copy takes a while
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Sparse {
    /// Where the source has holes
    Auto,
    /// Also where the source has blocks of zeros
    Always,
    /// Nowhere: all of it is written, and nothing is shared
    Never,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Hash {
    /// What b3sum prints; four times as fast
    Blake3,
    /// What sha256sum prints
    Sha256,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Reflink {
    /// If it can be shared, and copy it if not
    Auto,
    /// Share it, and fail if it cannot be
    Always,
    /// Copy it through memory
    Never,
}

pub(super) fn read(arguments: &[OsString]) -> Result<Options, clap::Error> {
    let matches = Flags::command().try_get_matches_from(arguments)?;
    Flags::from_arg_matches(&matches)?.into_options(preserve(&matches), dereference(&matches))
}

impl Flags {
    fn into_options(
        self,
        preserve: Preserve,
        dereference: Option<Dereference>,
    ) -> Result<Options, clap::Error> {
        let progress = match self.progress {
            Some(Progress::Always) => When::Always,
            Some(Progress::Never) => When::Never,
            Some(Progress::Auto) | None => When::Auto,
        };
        let update = match self.update {
            _ if self.no_clobber => Update::None,
            _ if self.older => Update::Older,
            None => Update::Different,
            Some(Which::All) => Update::All,
            Some(Which::None) => Update::None,
            Some(Which::NoneFail) => Update::NoneFail,
            Some(Which::Older) => Update::Older,
        };
        let wanted = (self.backup_usual || self.suffix.is_some()).then(OsString::new);
        // Without a word it takes none back.
        let said = self.backup.iter().rfind(|word| !word.is_empty()).or(self.backup.last());
        let control = said.cloned().or(wanted);
        let backup = backup(control, self.suffix.clone()).map_err(|other| {
            let word = escape(other.word.as_encoded_bytes());
            usage(&format!("'{word}' is no kind of backup: none, numbered, existing or simple"))
        })?;
        if backup.is_some() && matches!(update, Update::None | Update::NoneFail) {
            return Err(usage("--backup and --update=none are mutually exclusive"));
        }
        // As cp: who wants hard links wants them to files, unless -P says otherwise.
        let usual = if self.link { Dereference::Always } else { Dereference::Never };
        let dereference = dereference.unwrap_or(usual);
        let copy_mode = match (self.link, self.symbolic_link, self.attributes_only) {
            (true, ..) => CopyMode::HardLink,
            (_, true, _) => CopyMode::Symlink,
            (.., true) => CopyMode::AttributesOnly,
            _ => CopyMode::Copy,
        };
        let sparse = match self.sparse {
            Some(Sparse::Always) => When::Always,
            Some(Sparse::Never) => When::Never,
            Some(Sparse::Auto) | None => When::Auto,
        };
        let reflink = match self.reflink {
            Some(Reflink::Always) if sparse != When::Auto => {
                return Err(usage("--reflink=always can be used only with --sparse=auto"));
            }
            Some(Reflink::Always) => When::Always,
            Some(Reflink::Never) => When::Never,
            Some(Reflink::Auto) | None => When::Auto,
        };
        let context = self.context.clone().or(self.context_of_folder.then(OsString::new));
        if context.is_some() && preserve.context == Preservation::Required {
            return Err(usage("--context and --preserve=context contradict each other"));
        }
        let algorithm = match self.hash {
            Some(Hash::Sha256) => Algorithm::Sha256,
            Some(Hash::Blake3) | None => Algorithm::Blake3,
        };
        let manifest = self.manifest.clone();
        if manifest.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(usage("--manifest needs the name of a file"));
        }
        let to_stdout = manifest.as_ref().is_some_and(|file| file.as_os_str() == "-");
        if to_stdout && (self.verbose || self.debug) {
            return Err(usage("--manifest=- and --verbose both write to standard output"));
        }
        if self.hash.is_some() && manifest.is_none() && self.check_manifest.is_none() {
            return Err(usage("--hash is for --manifest and --check-manifest"));
        }
        let hash = match &self.check_manifest {
            Some(_) => self.hash.map(|_| algorithm),
            None => (manifest.is_some() || self.verify).then_some(algorithm),
        };
        let options = CopyOptions {
            compat: Compat::Native,
            preserve,
            update,
            ask: self.interactive,
            backup,
            copy_mode,
            force: self.force || self.remove_destination,
            remove_destination: self.remove_destination,
            in_place: self.inplace,
            recursive: true,
            copy_contents: self.copy_contents,
            dereference,
            keep_directory_symlink: self.keep_directory_symlink,
            write_through_dangling: false,
            one_file_system: self.one_file_system,
            sparse,
            reflink,
            hash,
            context,
            checksum: self.checksum,
            fsync: self.fsync,
            verify: self.verify,
            verbose: self.verbose || self.debug,
            debug: self.debug,
        };
        let (parents, jobs, retries, quiet) = (self.parents, self.jobs, self.retries, self.quiet);
        let command = match &self.check_manifest {
            Some(file) => {
                let [dir] = &self.paths[..] else {
                    return Err(usage("--check-manifest takes exactly one DST"));
                };
                Command::CheckManifest { file: file.clone(), dir: dir.clone() }
            }
            None if self.check => Command::Check,
            None => Command::Copy,
        };
        let operands = self.into_operands()?;
        Ok(Options {
            command,
            operands,
            copy: options,
            parents,
            manifest,
            jobs,
            retries,
            quiet,
            progress,
        })
    }

    fn into_operands(self) -> Result<Operands, clap::Error> {
        let Self {
            paths: mut sources,
            target_directory,
            no_target_directory,
            suffix_name,
            strip_trailing_slashes,
            parents,
            ..
        } = self;
        if strip_trailing_slashes {
            sources.iter_mut().for_each(|source| *source = trim(source).to_owned());
        }
        if let Some(empty) =
            sources.iter().chain(&target_directory).find(|path| path.as_os_str().is_empty())
        {
            return Err(usage(&format!("an operand is empty: '{}'", empty.display())));
        }
        if suffix_name.is_some() && (sources.len() > 1 || target_directory.is_some()) {
            return Err(usage("--suffix-name is for SRC alone; the target was named"));
        }
        if let Some(directory) = target_directory {
            return Ok(Operands::Into { sources, directory });
        }
        if no_target_directory {
            let [source, target] = <[PathBuf; 2]>::try_from(sources)
                .map_err(|_| usage("-T takes exactly one SRC and one DST"))?;
            return Ok(Operands::Exactly { source, target });
        }
        let last = sources.pop().ok_or_else(|| usage("SRC is missing"))?;
        if sources.is_empty() && parents {
            return Err(usage("--parents needs a directory to copy into"));
        }
        if sources.is_empty() {
            let suffix = suffix_name.unwrap_or_else(|| default_suffix().into());
            if suffix.is_empty() || suffix.as_encoded_bytes().contains(&b'/') {
                return Err(usage("--suffix-name must be text without a slash"));
            }
            return Ok(Operands::Beside { source: last, suffix });
        }
        Ok(Operands::Onto { sources, target: last })
    }
}

fn usage(message: &str) -> clap::Error {
    Flags::command().error(ErrorKind::ValueValidation, message)
}

/// What the copy beside its source is called, in the user's language.
fn default_suffix() -> &'static str {
    // The order of POSIX: the first that is set and not empty counts.
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    if locale.as_encoded_bytes().starts_with(b"zh") { "复制" } else { "-copy" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Control, Links, Permissions, Preservation};

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        let all: Vec<OsString> = ["pcopy"].iter().chain(arguments).map(OsString::from).collect();
        read(&all)
    }

    fn jobs(arguments: &[&str]) -> Option<u16> {
        options(&[&["a", "b"], arguments].concat()).unwrap().jobs
    }

    #[test]
    fn the_number_of_jobs_is_taken_in_every_form_and_the_last_wins() {
        assert_eq!(jobs(&[]), None);
        for form in [&["-j4"][..], &["-j", "4"], &["--jobs=4"], &["--jobs", "4"], &["-j9", "-j4"]] {
            assert_eq!(jobs(form), Some(4), "{form:?}");
        }
        assert_eq!((jobs(&["-j1"]), jobs(&["-j512"])), (Some(1), Some(512)));
    }

    #[test]
    fn numbers_of_jobs_that_make_no_sense_are_refused() {
        for wrong in ["0", "513", "x", "-1", "", "65537", "1.5"] {
            assert!(options(&["a", "b", "-j", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_form_of_the_command_decides_what_a_path_is() {
        let operands = |arguments: &[&str]| options(arguments).unwrap().operands;
        let path = PathBuf::from;
        assert_eq!(
            operands(&["a", "b"]),
            Operands::Onto { sources: vec![path("a")], target: path("b") }
        );
        assert_eq!(
            operands(&["a", "b", "c"]),
            Operands::Onto { sources: vec![path("a"), path("b")], target: path("c") }
        );
        assert_eq!(
            operands(&["-T", "a", "b"]),
            Operands::Exactly { source: path("a"), target: path("b") }
        );
        assert_eq!(
            operands(&["a", "b", "-t", "c"]),
            Operands::Into { sources: vec![path("a"), path("b")], directory: path("c") }
        );
        assert_eq!(
            operands(&["a", "--suffix-name", ".bak"]),
            Operands::Beside { source: path("a"), suffix: ".bak".into() }
        );
        assert_eq!(
            operands(&["--", "-a", "-b"]),
            Operands::Onto { sources: vec![path("-a")], target: path("-b") }
        );
    }

    #[test]
    fn forms_that_contradict_themselves_are_refused() {
        for wrong in [
            &[][..],
            &[""],
            &["a", ""],
            &["-T", "a"],
            &["-T", "a", "b", "c"],
            &["-T", "-t", "d", "a"],
            &["a", "b", "--suffix-name=x"],
            &["a", "--suffix-name="],
            &["a", "--suffix-name=x/y"],
            &["a", "b", "--progress=sometimes"],
            &["a", "b", "--sparse=sometimes"],
            &["a", "b", "--sparse"],
            &["a", "b", "--reflink=sometimes"],
            &["a", "b", "--reflink", "--sparse=never"],
            &["a", "b", "--sparse=always", "--reflink=always"],
            &["a", "b", "--no-such-flag"],
        ] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_verbose_and_quiet_the_last_wins() {
        let both = |first, second| {
            let options = options(&["a", "b", first, second]).unwrap();
            (options.copy.verbose, options.quiet)
        };
        assert_eq!(both("-q", "-v"), (true, false));
        assert_eq!(both("-v", "-q"), (false, true));
    }

    #[test]
    fn what_is_kept_follows_the_options_in_their_order() {
        let keep =
            |arguments: &[&str]| options(&[&["s", "d"], arguments].concat()).unwrap().copy.preserve;
        let usual = Preserve { ownership: true, access_lists: true, ..Preserve::DEFAULT };
        let all = Preserve {
            attributes: Preservation::IfPossible,
            context: Preservation::IfPossible,
            links: Links::Ends,
            ..usual
        };
        let fresh =
            |keep| Preserve { permissions: Permissions::Fresh, access_lists: false, ..keep };
        for (arguments, expected) in [
            (&[][..], Preserve::DEFAULT),
            (&["-p"], usual),
            (&["--preserve"], usual),
            (&["--preserve=mode,ownership"], usual),
            (&["--preserve=mod,own"], usual),
            (&["--preserve=mode", "--preserve=ownership"], usual),
            (&["-a"], all),
            (&["--preserve=all"], all),
            (&["-a", "--preserve=xattr"], Preserve { attributes: Preservation::Required, ..all }),
            (&["--preserve=xattr", "-a"], Preserve { attributes: Preservation::Required, ..all }),
            (&["--preserve=none"], Preserve::NOTHING),
            (&["-a", "--preserve=none"], Preserve::NOTHING),
            (&["--preserve=none", "-a"], all),
            (&["-a", "--no-preserve=ownership"], Preserve { ownership: false, ..all }),
            (&["--no-preserve=ownership", "-a"], all),
            (&["-a", "--no-preserve=mode"], fresh(all)),
            (
                &["--no-preserve=links,timestamps"],
                Preserve { links: Links::No, timestamps: false, ..Preserve::DEFAULT },
            ),
            (&["-a", "--no-preserve=all"], fresh(Preserve::NOTHING)),
        ] {
            assert_eq!(keep(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn the_last_option_about_symlinks_counts() {
        use Dereference::{Always, Named, Never};
        for (arguments, expected) in [
            (&[][..], Never),
            (&["-L"], Always),
            (&["-l"], Always),
            (&["-l", "-P"], Never),
            (&["-L", "-a"], Never),
            (&["-a", "-L"], Always),
            (&["-H", "-d"], Never),
            (&["-d", "-H"], Named),
            (&["-P", "-L", "-H"], Named),
            (&["-L", "-P", "-L"], Always),
        ] {
            let options = options(&[&["s", "d"], arguments].concat()).unwrap();
            assert_eq!(options.copy.dereference, expected, "{arguments:?}");
        }
    }

    #[test]
    fn backup_without_a_word_takes_no_word_back() {
        let backup = |arguments: &[&str]| {
            let options = options(&[&["s", "d"], arguments].concat()).unwrap();
            options.copy.backup.map(|backup| backup.control)
        };
        assert_eq!(backup(&["--backup=none", "--backup"]), None);
        assert_eq!(backup(&["--backup=none", "-b"]), None);
        assert_eq!(backup(&["--backup=t", "--backup"]), Some(Control::Numbered));
        assert_eq!(backup(&["--backup=t", "--backup=none"]), None);
        assert_eq!(backup(&["--backup=none", "--backup=t"]), Some(Control::Numbered));
        assert_eq!(backup(&["--backup"]), Some(Control::Existing));
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        for wrong in [
            "--preserve=modes",
            "--preserve=",
            "--preserve=mode,,links",
            "--no-preserve",
            "--preserve=y",
        ] {
            assert!(options(&["s", "d", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn progress_without_a_word_means_always() {
        let progress = |flag| options(&["a", "b", flag]).unwrap().progress;
        assert_eq!(options(&["a", "b"]).unwrap().progress, When::Auto);
        assert_eq!(progress("--progress"), When::Always);
        assert_eq!(progress("--progress=never"), When::Never);
        assert_eq!(progress("--progress=auto"), When::Auto);
    }

    #[test]
    fn holes_and_clones_are_left_to_the_program_unless_somebody_insists() {
        let options = |flags: &[&str]| {
            let options = options(&[&["a", "b"], flags].concat()).unwrap();
            (options.copy.sparse, options.copy.reflink)
        };
        assert_eq!(options(&[]), (When::Auto, When::Auto));
        assert_eq!(options(&["--sparse=always"]), (When::Always, When::Auto));
        assert_eq!(options(&["--sparse=always", "--sparse=never"]), (When::Never, When::Auto));
        assert_eq!(options(&["--sparse=never", "--reflink=never"]), (When::Never, When::Never));
        assert_eq!(options(&["--reflink"]), (When::Auto, When::Always));
        assert_eq!(options(&["--reflink=always", "--sparse=auto"]), (When::Auto, When::Always));
        assert_eq!(options(&["--reflink", "--reflink=auto"]), (When::Auto, When::Auto));
    }
}
