//! The command line of GNU cp 9.x, read as cp reads it: the manual, "cp invocation", decides.
//!
//! What cp does not have: `-j N` (`--jobs=N`), and the variable `PCOPY_JOBS` for scripts whose command
//! lines cannot be changed.

use super::values::{Attribute, backup, one_of};
use crate::options::{
    Command, Compat, CopyMode, CopyOptions, Dereference, Operands, Options, Preservation, Preserve,
    Update, When,
};
use crate::outcome::code;
use crate::plan::{JOBS_MAX, trim};
use crate::shell_quote::quote;
use pcopy_sys::getopt::{self, Known, Takes};
use pcopy_sys::{Errno, context, describe, signals};
use std::ffi::{CStr, OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::exit;

const LETTERS: &CStr = c"abdfHij:lLnprst:uvxPRS:TZ";

/// Options that have no letter.
const ATTRIBUTES_ONLY: u32 = 256;
const BACKUP: u32 = 257;
const CONTEXT: u32 = 258;
const COPY_CONTENTS: u32 = 259;
const DEBUG: u32 = 260;
const HELP: u32 = 261;
const KEEP_DIRECTORY_SYMLINK: u32 = 262;
const NO_PRESERVE: u32 = 263;
const PARENTS: u32 = 264;
const PRESERVE: u32 = 265;
const REFLINK: u32 = 266;
const REMOVE_DESTINATION: u32 = 267;
const SPARSE: u32 = 268;
const STRIP_TRAILING_SLASHES: u32 = 269;
const VERSION: u32 = 270;
const UPDATE: u32 = 271;

const LONG: [Known; 32] = [
    (c"archive", 'a' as u32, Takes::Nothing),
    (c"attributes-only", ATTRIBUTES_ONLY, Takes::Nothing),
    (c"backup", BACKUP, Takes::Perhaps),
    (c"context", CONTEXT, Takes::Perhaps),
    (c"copy-contents", COPY_CONTENTS, Takes::Nothing),
    (c"debug", DEBUG, Takes::Nothing),
    (c"dereference", 'L' as u32, Takes::Nothing),
    (c"force", 'f' as u32, Takes::Nothing),
    (c"help", HELP, Takes::Nothing),
    (c"interactive", 'i' as u32, Takes::Nothing),
    (c"jobs", 'j' as u32, Takes::Argument),
    (c"keep-directory-symlink", KEEP_DIRECTORY_SYMLINK, Takes::Nothing),
    (c"link", 'l' as u32, Takes::Nothing),
    (c"no-clobber", 'n' as u32, Takes::Nothing),
    (c"no-dereference", 'P' as u32, Takes::Nothing),
    (c"no-preserve", NO_PRESERVE, Takes::Argument),
    (c"no-target-directory", 'T' as u32, Takes::Nothing),
    (c"one-file-system", 'x' as u32, Takes::Nothing),
    (c"parents", PARENTS, Takes::Nothing),
    (c"path", PARENTS, Takes::Nothing), // the old name of --parents
    (c"preserve", PRESERVE, Takes::Perhaps),
    (c"recursive", 'R' as u32, Takes::Nothing),
    (c"reflink", REFLINK, Takes::Perhaps),
    (c"remove-destination", REMOVE_DESTINATION, Takes::Nothing),
    (c"sparse", SPARSE, Takes::Argument),
    (c"strip-trailing-slashes", STRIP_TRAILING_SLASHES, Takes::Nothing),
    (c"suffix", 'S' as u32, Takes::Argument),
    (c"symbolic-link", 's' as u32, Takes::Nothing),
    (c"target-directory", 't' as u32, Takes::Argument),
    (c"update", UPDATE, Takes::Perhaps),
    (c"verbose", 'v' as u32, Takes::Nothing),
    (c"version", VERSION, Takes::Nothing),
];

const WHEN: [(&str, When); 3] =
    [("never", When::Never), ("auto", When::Auto), ("always", When::Always)];

const UPDATES: [(&str, Update); 4] = [
    ("all", Update::All),
    ("none", Update::None),
    ("none-fail", Update::NoneFail),
    ("older", Update::Older),
];

const ATTRIBUTES: [(&str, Attribute); 7] = [
    ("mode", Attribute::Mode),
    ("timestamps", Attribute::Timestamps),
    ("ownership", Attribute::Ownership),
    ("links", Attribute::Links),
    ("context", Attribute::Context),
    ("xattr", Attribute::Xattr),
    ("all", Attribute::All),
];

/// What the words that name kinds of backups are called in messages, a line for each meaning.
const CONTROLS: [&str; 4] =
    ["'none', 'off'", "'simple', 'never'", "'existing', 'nil'", "'numbered', 't'"];

/// What is known when some of the options have been read.
struct GnuArgs {
    /// As they stand, but for what depends on several options.
    options: CopyOptions,
    dereference: Option<Dereference>,
    control: Option<OsString>,
    suffix: Option<OsString>,
    link: bool,
    symbolic_link: bool,
    no_clobber: bool,
    attributes_only: bool,
    parents: bool,
    strip_slashes: bool,
    directory: Option<OsString>,
    no_directory: bool,
    jobs: Option<u16>,
}

/// Reads the arguments; leaves the program for `--help`, `--version` and what makes no sense.
pub(super) fn parse(arguments: &[OsString]) -> Options {
    let Some(read) = getopt::read(arguments, LETTERS, &LONG) else { try_help(arguments) };
    let fail = |wrong: Wrong| -> ! {
        let program = program(arguments);
        let message = match &wrong {
            Wrong::Usage(message) | Wrong::Fatal(message) => message,
        };
        if writeln!(std::io::stderr(), "{program}: {message}").is_err() {
            // Then the exit code has to say it alone.
        }
        match wrong {
            Wrong::Usage(_) => try_help(arguments),
            Wrong::Fatal(_) => exit(code::SOME_FAILED.into()),
        }
    };
    let mut said = GnuArgs::nothing();
    for (letter, argument) in read.options {
        said.apply(letter, argument).unwrap_or_else(|wrong| fail(wrong));
    }
    said.into_options(read.operands).unwrap_or_else(|wrong| fail(wrong))
}

/// What is wrong with a command line.
enum Wrong {
    /// Told with a word on where help is.
    Usage(String),
    /// Told alone.
    Fatal(String),
}

fn usage<T>(message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Usage(message.into()))
}

/// How the program was called, as its messages begin.
fn program(arguments: &[OsString]) -> String {
    arguments.first().map_or("cp".into(), |name| name.to_string_lossy().into_owned())
}

fn try_help(arguments: &[OsString]) -> ! {
    let program = program(arguments);
    let hint = format!("Try '{program} --help' for more information.\n");
    if std::io::stderr().write_all(hint.as_bytes()).is_err() {
        // Then the exit code has to say it alone.
    }
    exit(code::SOME_FAILED.into())
}

/// Prints a text that was asked for, and leaves.
fn show(text: &str) -> Result<(), Wrong> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => exit(0),
        // Nobody reads on: as in any pipe.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => signals::die_by_pipe(),
        Err(error) => {
            let cause = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            Err(Wrong::Fatal(format!("write error: {}", describe(cause))))
        }
    }
}

/// The meaning of an option's word, or of so much of one as tells it from the others.
fn word<T: Copy + PartialEq>(words: &[(&str, T)], option: &str, given: &OsStr) -> Result<T, Wrong> {
    let found = given.to_str().and_then(|given| one_of(words, given));
    found.ok_or_else(|| {
        let is_begun = |(word, _): &&(&str, T)| word.as_bytes().starts_with(given.as_bytes());
        let lines = words.iter().map(|(word, _)| format!("'{word}'"));
        let many = words.iter().filter(is_begun).count() > 1;
        Wrong::Usage(not_one_of(option, given, many, lines))
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

impl GnuArgs {
    fn nothing() -> Self {
        let options = CopyOptions {
            compat: Compat::Gnu,
            preserve: Preserve::NOTHING,
            update: Update::All,
            ask: false,
            backup: None,
            copy_mode: CopyMode::Copy,
            force: false,
            remove_destination: false,
            in_place: true,
            recursive: false,
            copy_contents: false,
            dereference: Dereference::Never,
            keep_directory_symlink: false,
            write_through_dangling: std::env::var_os("POSIXLY_CORRECT").is_some(),
            one_file_system: false,
            checksum: false,
            fsync: false,
            verify: false,
            sparse: When::Auto,
            reflink: When::Auto,
            hash: None,
            context: None,
            verbose: false,
            debug: false,
        };
        Self {
            options,
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

    /// Takes one option in.
    fn apply(&mut self, letter: u32, argument: Option<OsString>) -> Result<(), Wrong> {
        let options = &mut self.options;
        match (char::from_u32(letter).filter(|_| letter < 256), letter) {
            (Some('a'), _) => {
                self.dereference = Some(Dereference::Never);
                Attribute::All.add_to(&mut options.preserve);
                options.recursive = true;
            }
            (Some('b'), _) => self.control = self.control.take().or(Some(OsString::new())),
            (Some('d'), _) => {
                self.dereference = Some(Dereference::Never);
                Attribute::Links.add_to(&mut options.preserve);
            }
            (Some('f'), _) => options.force = true,
            (Some('H'), _) => self.dereference = Some(Dereference::Named),
            (Some('i'), _) => (options.ask, self.no_clobber) = (true, false),
            (Some('j'), _) => self.jobs = Some(jobs(&argument.unwrap_or_default(), "jobs")?),
            (Some('l'), _) => self.link = true,
            (Some('L'), _) => self.dereference = Some(Dereference::Always),
            (Some('n'), _) => (options.ask, self.no_clobber) = (false, true),
            (Some('P'), _) => self.dereference = Some(Dereference::Never),
            (Some('p'), _) => keep_usual(&mut options.preserve),
            (Some('r' | 'R'), _) => options.recursive = true,
            (Some('s'), _) => self.symbolic_link = true,
            (Some('S'), _) => {
                self.suffix = argument;
                self.control = self.control.take().or(Some(OsString::new()));
            }
            (Some('t'), _) => {
                if self.directory.is_some() {
                    return Err(Wrong::Fatal("multiple target directories specified".into()));
                }
                self.directory = argument;
            }
            (Some('T'), _) => self.no_directory = true,
            (Some('u'), _) => options.update = Update::Older,
            (Some('v'), _) => options.verbose = true,
            (Some('x'), _) => options.one_file_system = true,
            (Some('Z'), _) | (None, CONTEXT) => {
                // As cp: a word that nobody can obey is told of, the wish for the usual is not.
                if context::is_enabled() || argument.is_some() {
                    options.context = Some(argument.unwrap_or_default());
                }
            }
            (None, ATTRIBUTES_ONLY) => self.attributes_only = true,
            (None, BACKUP) => {
                self.control = argument.or(self.control.take()).or(Some(OsString::new()));
            }
            (None, COPY_CONTENTS) => options.copy_contents = true,
            (None, DEBUG) => {
                options.debug = true;
                options.verbose = true;
            }
            (None, HELP) => show(HELP_TEXT)?,
            (None, KEEP_DIRECTORY_SYMLINK) => options.keep_directory_symlink = true,
            (None, NO_PRESERVE) => {
                for attribute in attributes("--no-preserve", argument)? {
                    attribute.take_from(&mut options.preserve);
                }
            }
            (None, PARENTS) => self.parents = true,
            (None, PRESERVE) => match argument {
                None => keep_usual(&mut options.preserve),
                given => {
                    for attribute in attributes("--preserve", given)? {
                        attribute.add_to(&mut options.preserve);
                    }
                }
            },
            (None, REFLINK) => {
                options.reflink = match argument {
                    None => When::Always,
                    Some(given) => word(&WHEN, "'--reflink'", &given)?,
                };
            }
            (None, REMOVE_DESTINATION) => options.remove_destination = true,
            (None, SPARSE) => {
                options.sparse = word(&WHEN, "'--sparse'", &argument.unwrap_or_default())?;
            }
            (None, STRIP_TRAILING_SLASHES) => self.strip_slashes = true,
            (None, UPDATE) => {
                options.update = match argument {
                    None => Update::Older,
                    Some(given) => word(&UPDATES, "'--update'", &given)?,
                };
            }
            (None, VERSION) => show(VERSION_TEXT)?,
            _ => return usage("an option is not known"),
        }
        Ok(())
    }

    fn into_options(self, mut operands: Vec<OsString>) -> Result<Options, Wrong> {
        let (jobs, parents) = (self.jobs_wanted()?, self.parents);
        if self.link && self.symbolic_link {
            return usage("cannot make both hard and symbolic links");
        }
        let mut options = self.options;
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
        options.backup = backup(self.control, self.suffix).map_err(|other| {
            let option = other.variable.map_or("'backup type'".into(), |name| format!("'${name}'"));
            Wrong::Usage(not_one_of(&option, &other.word, false, CONTROLS.iter()))
        })?;
        let usual =
            if options.recursive && !self.link { Dereference::Never } else { Dereference::Always };
        options.dereference = self.dereference.unwrap_or(usual);
        options.copy_contents |= !options.recursive;
        options.copy_mode = match (self.link, self.symbolic_link, self.attributes_only) {
            (true, ..) => CopyMode::HardLink,
            (_, true, _) => CopyMode::Symlink,
            (.., true) => CopyMode::AttributesOnly,
            _ => CopyMode::Copy,
        };
        check_context(&options)?;
        if self.strip_slashes {
            let sources =
                operands.len() - usize::from(self.directory.is_none()).min(operands.len());
            for source in &mut operands[..sources] {
                *source = trim(Path::new(source)).as_os_str().to_owned();
            }
        }
        let operands = place(operands, self.directory, self.no_directory, parents)?;
        let (quiet, progress) = (false, When::Never);
        Ok(Options {
            command: Command::Copy,
            operands,
            copy: options,
            parents,
            manifest: None,
            retries: Some(0),
            jobs,
            quiet,
            progress,
        })
    }

    fn jobs_wanted(&self) -> Result<Option<u16>, Wrong> {
        match (self.jobs, std::env::var_os("PCOPY_JOBS").filter(|value| !value.is_empty())) {
            (None, Some(value)) => jobs(&value, "PCOPY_JOBS").map(Some),
            (said, _) => Ok(said),
        }
    }
}

fn keep_usual(keep: &mut Preserve) {
    for attribute in [Attribute::Mode, Attribute::Timestamps, Attribute::Ownership] {
        attribute.add_to(keep);
    }
}

fn attributes(option: &str, list: Option<OsString>) -> Result<Vec<Attribute>, Wrong> {
    let list = list.unwrap_or_default();
    let words = list.as_bytes().split(|&byte| byte == b',');
    words.map(|given| word(&ATTRIBUTES, &format!("'{option}'"), OsStr::from_bytes(given))).collect()
}

fn jobs(value: &OsStr, name: &str) -> Result<u16, Wrong> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    match number.filter(|number| (1..=JOBS_MAX).contains(number)) {
        Some(number) => Ok(number),
        None => usage(format!("invalid number of {name}: {}", quote(value.as_bytes()))),
    }
}

fn check_context(options: &CopyOptions) -> Result<(), Wrong> {
    let fatal = |message: &str| Err(Wrong::Fatal(message.into()));
    if options.preserve.context != Preservation::Required {
        return Ok(());
    }
    if options.context.is_some() {
        return fatal("cannot set target context and preserve it");
    }
    if !context::is_enabled() {
        return fatal("cannot preserve security context without an SELinux-enabled kernel");
    }
    Ok(())
}

/// The roles that the form of the command gives to its operands.
fn place(
    mut operands: Vec<OsString>,
    directory: Option<OsString>,
    no_directory: bool,
    parents: bool,
) -> Result<Operands, Wrong> {
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
            return Err(Wrong::Fatal(
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

const HELP_TEXT: &str = "\
Usage: cp [OPTION]... [-T] SOURCE DEST
  or:  cp [OPTION]... SOURCE... DIRECTORY
  or:  cp [OPTION]... -t DIRECTORY SOURCE...
Copy SOURCE to DEST, or several SOURCEs into DIRECTORY, as GNU cp does, with
several processes. This is pcopy under the name of cp.

  -a, --archive                  the same as -dR --preserve=all
      --attributes-only          copy no data, only attributes
      --backup[=CONTROL]         keep what is replaced under another name
  -b                             the same, without a CONTROL
      --copy-contents            with -R, read special files like others
  -d                             the same as --no-dereference --preserve=links
      --debug                    say how each file was copied; implies -v
  -f, --force                    if a file cannot be opened for writing, remove
                                   it and try again
  -i, --interactive              ask before overwriting
  -H                             follow symbolic links that are a SOURCE
  -l, --link                     make hard links instead of copies
  -L, --dereference              follow all symbolic links in SOURCE
  -n, --no-clobber               leave alone what exists
  -P, --no-dereference           follow no symbolic links in SOURCE
  -p                             the same as --preserve=mode,ownership,timestamps
      --preserve[=LIST]          keep mode, ownership, timestamps, links, context,
                                   xattr, all
      --no-preserve=LIST         do not keep these
      --parents                  use the full name of SOURCE under DIRECTORY
  -R, -r, --recursive            copy directories with all in them
      --reflink[=WHEN]           share the data: always, auto, never
      --remove-destination       remove what exists before opening it
      --sparse=WHEN              make holes: always, auto, never
      --strip-trailing-slashes   remove slashes at the end of each SOURCE
  -s, --symbolic-link            make symbolic links instead of copies
  -S, --suffix=SUFFIX            what the name of a backup ends in
  -t, --target-directory=DIRECTORY  copy all SOURCEs into DIRECTORY
  -T, --no-target-directory      DEST is no directory to copy into
      --update[=UPDATE]          what is overwritten: all, none, none-fail, older
  -u                             the same as --update=older
  -v, --verbose                  name what is copied
      --keep-directory-symlink   follow symbolic links to directories in DEST
  -x, --one-file-system          stay on the file system of each SOURCE
  -Z                             give copies the usual SELinux context
      --context[=CTX]            the same, or the context CTX
  -j, --jobs=N                   copy with N processes (not in GNU cp); without
                                   it, the variable PCOPY_JOBS says how many
      --help                     show this help
      --version                  show the version

CONTROL is none or off, numbered or t, existing or nil, simple or never; without
it the variable VERSION_CONTROL decides. The exit status is 0 if all went well,
else 1.
";
