//! Reads the command line of GNU cp 9.x as cp does; the reference is the section "cp invocation" of its
//! manual.
//!
//! pcopy adds the option `-j N` (`--jobs=N`) and, for scripts whose command lines cannot be changed, the
//! environment variable `PCOPY_JOBS`.

mod option_table;

use super::values::{backup, one_of};
use crate::options::{
    Command, CopyMode, CopyOptions, Dereference, Operands, Options, Preservation, Update, When,
};
use crate::outcome::code;
use crate::plan::trim;
use crate::shell_quote::quote;
use option_table::jobs;
use pcopy_sys::{Errno, describe, getopt, selinux, signals};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::exit;

/// The valid kinds of backups, as an error message lists them; one line for each meaning.
const CONTROLS: [&str; 4] =
    ["'none', 'off'", "'simple', 'never'", "'existing', 'nil'", "'numbered', 't'"];

/// The options read so far. Most options have a field here, and are combined only at the end, because their
/// meaning depends on options that may follow.
struct GnuArgs {
    /// The options whose meaning does not depend on others.
    options: CopyOptions,
    dereference: Option<Dereference>,
    /// The argument of `--backup`; empty if the option was given without an argument.
    control: Option<OsString>,
    suffix: Option<OsString>,
    link: bool,
    symbolic_link: bool,
    no_clobber: bool,
    attributes_only: bool,
    parents: bool,
    strip_slashes: bool,
    /// The argument of `-t`.
    directory: Option<OsString>,
    /// Whether `-T` was given.
    no_directory: bool,
    jobs: Option<u16>,
}

/// Parses the arguments. For `--help`, `--version` and command lines that cp refuses, prints a text and
/// exits. `program` is the name that messages begin with.
pub(super) fn parse(program: &str, arguments: &[OsString]) -> Options {
    let (letters, long_names) = (option_table::letters(), option_table::long_names());
    let Some(read) = getopt::read(arguments, &letters, &long_names) else {
        exit_with_hint(program)
    };
    let parsed = || {
        let mut args = GnuArgs::default();
        for (letter, argument) in read.options {
            let Some(apply) = option_table::find(letter) else {
                return usage("an option is not known");
            };
            apply(&mut args, argument)?;
        }
        args.into_options(read.operands)
    };
    parsed().unwrap_or_else(|error| exit_for(program, &error))
}

/// Why a command line is refused.
enum ParseError {
    /// The message is followed by a hint at `--help`.
    Usage(String),
    /// The message is printed without a hint.
    Fatal(String),
}

fn usage<T>(message: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError::Usage(message.into()))
}

fn exit_for(program: &str, error: &ParseError) -> ! {
    let (ParseError::Usage(message) | ParseError::Fatal(message)) = error;
    if writeln!(std::io::stderr(), "{program}: {message}").is_err() {
        // Standard error cannot be written. The exit status still reports the error.
    }
    match error {
        ParseError::Usage(_) => exit_with_hint(program),
        ParseError::Fatal(_) => exit(code::SOME_FAILED.into()),
    }
}

fn exit_with_hint(program: &str) -> ! {
    let hint = format!("Try '{program} --help' for more information.\n");
    if std::io::stderr().write_all(hint.as_bytes()).is_err() {
        // Standard error cannot be written. The exit status still reports the error.
    }
    exit(code::SOME_FAILED.into())
}

/// Prints the text of an option such as `--help` and exits with status 0. Returns only if the text cannot be
/// written.
fn print_and_exit(text: &str) -> Result<(), ParseError> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => exit(0),
        // The reader of the pipe has closed it: die by SIGPIPE, as other programs in a pipe do.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => signals::die_by_pipe(),
        Err(error) => {
            let cause = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            Err(ParseError::Fatal(format!("write error: {}", describe(cause))))
        }
    }
}

/// Returns the meaning of an option's argument: one of `words`, or an unambiguous abbreviation of one.
fn word<T: Copy + PartialEq>(
    words: &[(&str, T)],
    option: &str,
    given: &OsStr,
) -> Result<T, ParseError> {
    let found = given.to_str().and_then(|given| one_of(words, given));
    found.ok_or_else(|| {
        let is_begun = |(word, _): &&(&str, T)| word.as_bytes().starts_with(given.as_bytes());
        let lines = words.iter().map(|(word, _)| format!("'{word}'"));
        let many = words.iter().filter(is_begun).count() > 1;
        ParseError::Usage(not_one_of(option, given, many, lines))
    })
}

fn not_one_of(
    option: &str,
    given: &OsStr,
    many: bool,
    lines: impl Iterator<Item = impl AsRef<str>>,
) -> String {
    let kind = if many { "ambiguous" } else { "invalid" };
    let given = quote(given.as_bytes());
    let mut message = format!("{kind} argument {given} for {option}\nValid arguments are:");
    for line in lines {
        message.push_str("\n  - ");
        message.push_str(line.as_ref());
    }
    message
}

impl Default for GnuArgs {
    fn default() -> Self {
        let write_through_dangling = std::env::var_os("POSIXLY_CORRECT").is_some();
        Self {
            options: CopyOptions { write_through_dangling, ..CopyOptions::gnu_cp() },
            dereference: None,
            control: None,
            suffix: None,
            link: false,
            symbolic_link: false,
            no_clobber: false,
            attributes_only: false,
            parents: false,
            strip_slashes: false,
            directory: None,
            no_directory: false,
            jobs: None,
        }
    }
}

impl GnuArgs {
    /// Asks for backups. An earlier option that selected a kind of backup stays in effect.
    fn back_up(&mut self) {
        self.control.get_or_insert_default();
    }

    fn into_options(mut self, mut operands: Vec<OsString>) -> Result<Options, ParseError> {
        let jobs = self.number_of_jobs()?;
        let copy = self.take_copy_options()?;
        check_context(&copy)?;
        if self.strip_slashes {
            let sources =
                operands.len() - usize::from(self.directory.is_none()).min(operands.len());
            for source in &mut operands[..sources] {
                *source = trim(Path::new(source)).as_os_str().to_owned();
            }
        }
        let parents = self.parents;
        let operands = place(operands, self.directory, self.no_directory, parents)?;
        Ok(Options {
            make_path: false,
            guards_mounts: false,
            require_mounts: Vec::new(),
            require_files: Vec::new(),
            command: Command::Copy,
            operands,
            copy,
            parents,
            manifest: None,
            plan: None,
            apply: None,
            jobs,
            retries: Some(0),
            timeout: None,
            with_no_target_directory: None,
            without_deletion_limit: None,
            progress: When::Never,
        })
    }

    /// Returns the copy options that all given options together mean. If several are wrong, reports the error
    /// that cp would report.
    fn take_copy_options(&mut self) -> Result<CopyOptions, ParseError> {
        let mut options = self.options.clone();
        if self.link && self.symbolic_link {
            return usage("cannot make both hard and symbolic links");
        }
        if self.no_clobber {
            options.update = Update::None;
        }
        if self.control.is_some() && matches!(options.update, Update::None | Update::NoneFail) {
            return usage(if self.no_clobber {
                "options --backup and --no-clobber are mutually exclusive"
            } else {
                "--backup is mutually exclusive with -n or --update=none-fail"
            });
        }
        if options.reflink == When::Always && options.sparse != When::Auto {
            return usage("--reflink can be used only with --sparse=auto");
        }
        options.backup = backup(self.control.take(), self.suffix.take()).map_err(|unknown| {
            let option =
                unknown.variable.map_or("'backup type'".into(), |name| format!("'${name}'"));
            ParseError::Usage(not_one_of(&option, &unknown.word, false, CONTROLS.iter()))
        })?;
        let default =
            if options.recursive && !self.link { Dereference::Never } else { Dereference::Always };
        options.dereference = self.dereference.unwrap_or(default);
        options.copy_contents |= !options.recursive;
        options.copy_mode = match (self.link, self.symbolic_link, self.attributes_only) {
            (true, ..) => CopyMode::HardLink,
            (_, true, _) => CopyMode::Symlink,
            (.., true) => CopyMode::AttributesOnly,
            _ => CopyMode::Copy,
        };
        Ok(options)
    }

    fn number_of_jobs(&self) -> Result<Option<u16>, ParseError> {
        match (self.jobs, std::env::var_os("PCOPY_JOBS").filter(|value| !value.is_empty())) {
            (None, Some(value)) => jobs(&value, "PCOPY_JOBS").map(Some),
            (given, _) => Ok(given),
        }
    }
}

fn check_context(options: &CopyOptions) -> Result<(), ParseError> {
    let fatal = |message: &str| Err(ParseError::Fatal(message.into()));
    if options.preserve.context != Preservation::Required {
        return Ok(());
    }
    if options.context.is_some() {
        return fatal("cannot set target context and preserve it");
    }
    if !selinux::is_enabled() {
        return fatal("cannot preserve security context without an SELinux-enabled kernel");
    }
    Ok(())
}

/// Decides which operands are sources and which is the target, from `-t`, `-T` and the number of operands.
fn place(
    mut operands: Vec<OsString>,
    directory: Option<OsString>,
    no_directory: bool,
    parents: bool,
) -> Result<Operands, ParseError> {
    let paths = |names: Vec<OsString>| names.into_iter().map(PathBuf::from).collect();
    let needed = if directory.is_some() { 1 } else { 2 };
    if operands.len() < needed {
        return match operands.first() {
            None => usage("missing file operand"),
            Some(only) => {
                let only = quote(only.as_bytes());
                usage(format!("missing destination file operand after {only}"))
            }
        };
    }
    if let Some(directory) = directory {
        if no_directory {
            return Err(ParseError::Fatal(
                "cannot combine --target-directory (-t) and --no-target-directory (-T)".into(),
            ));
        }
        return Ok(Operands::Into { sources: paths(operands), directory: directory.into() });
    }
    if no_directory {
        if let Some(extra) = operands.get(2) {
            return usage(format!("extra operand {}", quote(extra.as_bytes())));
        }
        if parents {
            return usage(NEEDS_DIRECTORY);
        }
    }
    let target = PathBuf::from(operands.pop().unwrap_or_default());
    if no_directory {
        let source = operands.pop().unwrap_or_default().into();
        return Ok(Operands::Exactly { source, target });
    }
    if parents && operands.len() == 1 && !target.is_dir() {
        return usage(NEEDS_DIRECTORY);
    }
    Ok(Operands::Onto { sources: paths(operands), target })
}

const NEEDS_DIRECTORY: &str = "with --parents, the destination must be a directory";

const VERSION_TEXT: &str = concat!(
    "cp (pcopy) ",
    env!("CARGO_PKG_VERSION"),
    "\nLicense MIT. A stand-in for GNU cp 9.x.\n"
);

const HELP_TEXT: &str = include_str!("help.txt");
