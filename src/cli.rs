//! The command line: every flag, and nothing else. Only here is `clap` known.

use crate::options::{Operands, Options, When};
use crate::plan::JOBS_MAX;
use crate::quote::escape;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
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
    override_usage = "pcopy [OPTIONS] SRC DST\n       pcopy [OPTIONS] SRC... DIRECTORY\n       pcopy [OPTIONS] -t DIRECTORY SRC...\n       pcopy [OPTIONS] SRC",
    after_help = "Exit codes: 0 complete, 1 some entries failed, 2 usage, 3 refused, 11 target full or lost,\n14 internal, 16 copiers kept dying, 24 only that source entries vanished or changed;\nafter a signal pcopy cleans up and dies by it."
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

    /// Do not keep WHAT: 'links' makes each name of a hard-linked file a file of its own
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["links"])]
    no_preserve: Vec<String>,

    /// Copy with N processes, 1 to 512
    ///
    /// Up to the number of processors each makes a copy in memory faster; on cold disks and
    /// network mounts many more pay. On a spinning disk use 1. The default is twice the number of
    /// processors, at least 8 and at most 32.
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)), help_heading = "Speed")]
    jobs: Option<u16>,

    /// Print the name of each entry when it is complete
    #[arg(short = 'v', long, overrides_with = "quiet", help_heading = "Output")]
    verbose: bool,

    /// Print nothing but errors
    #[arg(short = 'q', long, overrides_with = "verbose", help_heading = "Output")]
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

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Progress {
    /// If standard error is a terminal and the copy takes a while
    Auto,
    Always,
    Never,
}

/// Reads the arguments. For `--help`, `--version` and usage errors the text is printed and the
/// program leaves, with code 0 or 2.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Options {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    read(&arguments).unwrap_or_else(|error| {
        // The message repeats what was given, so it is made again of what may safely be shown.
        let shown = |argument: &OsString| OsString::from(escape(argument.as_encoded_bytes()));
        let safe: Vec<OsString> = arguments.iter().map(shown).collect();
        if safe == arguments { error.exit() } else { read(&safe).err().unwrap_or(error).exit() }
    })
}

fn read(arguments: &[OsString]) -> Result<Options, clap::Error> {
    Flags::try_parse_from(arguments).and_then(Flags::into_options)
}

impl Flags {
    fn into_options(self) -> Result<Options, clap::Error> {
        let progress = match self.progress {
            Some(Progress::Always) => When::Always,
            Some(Progress::Never) => When::Never,
            Some(Progress::Auto) | None => When::Auto,
        };
        let (jobs, verbose, quiet) = (self.jobs, self.verbose, self.quiet);
        let links = !self.no_preserve.iter().any(|what| what == "links");
        Ok(Options { operands: self.into_operands()?, jobs, verbose, quiet, progress, links })
    }

    fn into_operands(self) -> Result<Operands, clap::Error> {
        let Self { paths: mut sources, target_directory, no_target_directory, suffix_name, .. } =
            self;
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

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        let all = ["pcopy"].iter().chain(arguments);
        Flags::try_parse_from(all).and_then(Flags::into_options)
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
            &["a", "b", "--no-such-flag"],
        ] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_verbose_and_quiet_the_last_wins() {
        let both = |first, second| {
            let options = options(&["a", "b", first, second]).unwrap();
            (options.verbose, options.quiet)
        };
        assert_eq!(both("-q", "-v"), (true, false));
        assert_eq!(both("-v", "-q"), (false, true));
    }

    #[test]
    fn hard_links_are_kept_unless_that_is_not_wanted() {
        let links = |flags: &[&str]| options(&[&["a", "b"], flags].concat()).unwrap().links;
        assert!(links(&[]));
        assert!(!links(&["--no-preserve=links"]));
        assert!(options(&["a", "b", "--no-preserve=x"]).is_err());
    }

    #[test]
    fn progress_without_a_word_means_always() {
        let progress = |flag| options(&["a", "b", flag]).unwrap().progress;
        assert_eq!(options(&["a", "b"]).unwrap().progress, When::Auto);
        assert_eq!(progress("--progress"), When::Always);
        assert_eq!(progress("--progress=never"), When::Never);
        assert_eq!(progress("--progress=auto"), When::Auto);
    }
}
