//! The table of GNU cp's options. Each row has the option's names and a function that adds the option to the
//! arguments read so far.

use super::{GnuArgs, ParseError, print_and_exit, usage, word};
use crate::cli::values::{Attribute, UPDATES, WHEN};
use crate::options::{Dereference, Preserve, Update, Verbosity, When};
use crate::plan::JOBS_MAX;
use crate::shell_quote::quote;
use pcopy_sys::getopt::{Known, Takes};
use pcopy_sys::selinux;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Adds one option to the arguments read so far. The second parameter is the option's argument, if it has
/// one.
pub(super) type Apply = fn(&mut GnuArgs, Option<OsString>) -> Result<(), ParseError>;

/// An option with all its names.
struct GnuOption {
    /// The option's letters; empty if it has only long names.
    letters: &'static str,
    /// The option's long names. An abbreviation that fits several names of one option is not ambiguous.
    long: &'static [&'static CStr],
    takes: Takes,
    apply: Apply,
}

use Takes::{Argument, Nothing, Perhaps};

/// All options, sorted by long name: for an ambiguous abbreviation, getopt_long(3) lists the candidates in
/// this order.
const OPTIONS: [GnuOption; 37] = [
    row("a", &[c"archive"], Nothing, |args, _| {
        args.dereference = Some(Dereference::Never);
        preserve_all(&mut args.options.preserve)?;
        args.options.recursive = true;
        Ok(())
    }),
    row("", &[c"attributes-only"], Nothing, |args, _| set(&mut args.attributes_only)),
    row("", &[c"backup"], Perhaps, |args, control| {
        args.control = control.or(args.control.take()).or(Some(OsString::new()));
        Ok(())
    }),
    row("b", &[], Nothing, |args, _| {
        args.back_up();
        Ok(())
    }),
    row("", &[c"context"], Perhaps, set_context),
    row("Z", &[], Nothing, set_context),
    row("", &[c"copy-contents"], Nothing, |args, _| set(&mut args.options.copy_contents)),
    row("d", &[], Nothing, |args, _| {
        args.dereference = Some(Dereference::Never);
        Attribute::Links.add_to(&mut args.options.preserve);
        Ok(())
    }),
    row("", &[c"debug"], Nothing, |args, _| {
        args.options.verbosity = Verbosity::Debug;
        Ok(())
    }),
    row("L", &[c"dereference"], Nothing, |args, _| follow(args, Dereference::Always)),
    row("f", &[c"force"], Nothing, |args, _| set(&mut args.options.force)),
    row("H", &[], Nothing, |args, _| follow(args, Dereference::CommandLine)),
    row("", &[c"help"], Nothing, |_, _| print_and_exit(super::HELP_TEXT)),
    row("i", &[c"interactive"], Nothing, |args, _| {
        (args.options.ask, args.no_clobber) = (true, false);
        Ok(())
    }),
    row("j", &[c"jobs"], Argument, |args, number| {
        args.jobs = Some(jobs(&number.unwrap_or_default(), "jobs")?);
        Ok(())
    }),
    row("", &[c"keep-directory-symlink"], Nothing, |args, _| {
        set(&mut args.options.keep_directory_symlink)
    }),
    row("l", &[c"link"], Nothing, |args, _| set(&mut args.link)),
    row("n", &[c"no-clobber"], Nothing, |args, _| {
        (args.options.ask, args.no_clobber) = (false, true);
        Ok(())
    }),
    row("P", &[c"no-dereference"], Nothing, |args, _| follow(args, Dereference::Never)),
    row("", &[c"no-preserve"], Argument, |args, list| {
        for attribute in attributes("--no-preserve", &list.unwrap_or_default())? {
            attribute.take_from(&mut args.options.preserve);
        }
        Ok(())
    }),
    row("T", &[c"no-target-directory"], Nothing, |args, _| set(&mut args.no_directory)),
    row("x", &[c"one-file-system"], Nothing, |args, _| set(&mut args.options.one_file_system)),
    row("p", &[], Nothing, |args, _| preserve_usual(&mut args.options.preserve)),
    // `--path` is an old name of `--parents`.
    row("", &[c"parents", c"path"], Nothing, |args, _| set(&mut args.parents)),
    row("", &[c"preserve"], Perhaps, |args, list| {
        let preserve = &mut args.options.preserve;
        let Some(list) = list else { return preserve_usual(preserve) };
        for attribute in attributes("--preserve", &list)? {
            match attribute {
                Attribute::All => preserve_all(preserve)?,
                other => other.add_to(preserve),
            }
        }
        Ok(())
    }),
    row("Rr", &[c"recursive"], Nothing, |args, _| set(&mut args.options.recursive)),
    row("", &[c"reflink"], Perhaps, |args, when| {
        args.options.reflink = match when {
            Some(when) => word(&WHEN_AS_CP, "'--reflink'", &when)?,
            None => When::Always,
        };
        Ok(())
    }),
    row("", &[c"remove-destination"], Nothing, |args, _| set(&mut args.options.remove_destination)),
    row("", &[c"sparse"], Argument, |args, when| {
        args.options.sparse = word(&WHEN_AS_CP, "'--sparse'", &when.unwrap_or_default())?;
        Ok(())
    }),
    row("", &[c"strip-trailing-slashes"], Nothing, |args, _| set(&mut args.strip_slashes)),
    row("S", &[c"suffix"], Argument, |args, suffix| {
        args.suffix = suffix;
        args.back_up();
        Ok(())
    }),
    row("s", &[c"symbolic-link"], Nothing, |args, _| set(&mut args.symbolic_link)),
    row("t", &[c"target-directory"], Argument, |args, directory| {
        if args.directory.is_some() {
            return Err(ParseError::Fatal("multiple target directories specified".into()));
        }
        args.directory = directory;
        Ok(())
    }),
    row("", &[c"update"], Perhaps, |args, update| {
        args.options.update = match update {
            Some(update) => word(&UPDATES, "'--update'", &update)?,
            None => Update::Older,
        };
        Ok(())
    }),
    row("u", &[], Nothing, |args, _| {
        args.options.update = Update::Older;
        Ok(())
    }),
    row("v", &[c"verbose"], Nothing, |args, _| {
        args.options.verbosity = args.options.verbosity.max(Verbosity::Verbose);
        Ok(())
    }),
    row("", &[c"version"], Nothing, |_, _| print_and_exit(super::VERSION_TEXT)),
];

const fn row(
    letters: &'static str,
    long: &'static [&'static CStr],
    takes: Takes,
    apply: Apply,
) -> GnuOption {
    GnuOption { letters, long, takes, apply }
}

/// Returns the number that stands for an option in the C library's tables: the code of its first letter, or,
/// without a letter, 256 plus its row.
fn key(number: usize, option: &GnuOption) -> u32 {
    option.letters.chars().next().map_or(256 + number as u32, u32::from)
}

/// Returns all letters in the format that getopt(3) reads.
pub(super) fn letters() -> CString {
    let mut text = String::new();
    for option in &OPTIONS {
        for letter in option.letters.chars() {
            text.push(letter);
            text.push_str(if option.takes == Argument { ":" } else { "" });
        }
    }
    CString::new(text).expect("no letter is NUL")
}

/// Returns all long names in the format that getopt_long(3) reads.
pub(super) fn long_names() -> Vec<Known> {
    let rows = OPTIONS.iter().enumerate();
    rows.flat_map(|(number, option)| {
        let key = key(number, option);
        option.long.iter().map(move |&name| (name, key, option.takes))
    })
    .collect()
}

/// Returns the function of the option for which getopt_long(3) returned `letter`: a letter or a [`key`].
pub(super) fn find(letter: u32) -> Option<Apply> {
    let is_it = |&(number, option): &(usize, &GnuOption)| {
        key(number, option) == letter || option.letters.chars().any(|one| u32::from(one) == letter)
    };
    OPTIONS.iter().enumerate().find(is_it).map(|(_, option)| option.apply)
}

// Error messages list the valid words in this order, which is cp's.
const WHEN_AS_CP: [(&str, When); 3] = [WHEN[2], WHEN[0], WHEN[1]];

const ATTRIBUTES: [(&str, Attribute); 7] = [
    ("mode", Attribute::Mode),
    ("timestamps", Attribute::Timestamps),
    ("ownership", Attribute::Ownership),
    ("links", Attribute::Links),
    ("context", Attribute::Context),
    ("xattr", Attribute::Xattr),
    ("all", Attribute::All),
];

fn set(flag: &mut bool) -> Result<(), ParseError> {
    *flag = true;
    Ok(())
}

fn follow(args: &mut GnuArgs, dereference: Dereference) -> Result<(), ParseError> {
    args.dereference = Some(dereference);
    Ok(())
}

/// Handles `--context` and `-Z`. Without SELinux, `--context=CONTEXT` leads to a warning later, and both
/// options without an argument are ignored, as with cp.
fn set_context(args: &mut GnuArgs, wanted: Option<OsString>) -> Result<(), ParseError> {
    if selinux::is_enabled() || wanted.is_some() {
        args.options.context = Some(wanted.unwrap_or_default());
    }
    Ok(())
}

fn preserve_usual(preserve: &mut Preserve) -> Result<(), ParseError> {
    for attribute in [Attribute::Mode, Attribute::Timestamps, Attribute::Ownership] {
        attribute.add_to(preserve);
    }
    Ok(())
}

/// Preserves everything. As in cp, the copy must get mode, owner and times, and gets the rest if possible.
fn preserve_all(preserve: &mut Preserve) -> Result<(), ParseError> {
    Attribute::All.add_to(preserve);
    preserve_usual(preserve)
}

fn attributes(option: &str, list: &OsStr) -> Result<Vec<Attribute>, ParseError> {
    let words = list.as_bytes().split(|&byte| byte == b',');
    words.map(|given| word(&ATTRIBUTES, &format!("'{option}'"), OsStr::from_bytes(given))).collect()
}

/// Parses the number of copiers. `name` is the option or environment variable that gave it, for the error
/// message.
pub(super) fn jobs(value: &OsStr, name: &str) -> Result<u16, ParseError> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    match number.filter(|number| (1..=JOBS_MAX).contains(number)) {
        Some(number) => Ok(number),
        None => usage(format!("invalid number of {name}: {}", quote(value.as_bytes()))),
    }
}
