//! The native command line. Each group of options has a file of its own and a heading in the help.
//!
//! To add an option, add a field with its help to its group, and in the group's `apply` set the field of
//! [`CopyOptions`]. Only `cli` uses the crate `clap`.

mod apply;
mod data_flags;
mod deletion_flags;
mod integrity_flags;
mod output_flags;
mod owner_and_mode;
mod preserve_flags;
mod quantities;
mod selection_flags;
mod source_flags;
mod update_flags;

use super::SUBCOMMANDS;
use super::usage_error::UsageError;
use crate::options::{self, CopyOptions, Operands, Options, PlanRequest};
use crate::sanitize::quote;
use crate::shell_quote::quote_if_needed;
pub(super) use apply::apply_line;
use clap::parser::ValueSource;
use clap::{ArgGroup, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Parallel directory copy for Linux: fast, exact, resumable
///
/// Copies SRC as DST, or into DST if that is a directory, like cp -r, and preserves permission bits, times
/// and hard links. With SRC alone, the copy is made next to it, under its name with a suffix.
///
/// An interrupted copy, whatever interrupted it, resumes when the same command is run again.
#[derive(Parser, Debug)]
#[command(
    name = "pcopy",
    version,
    args_override_self = true,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = USAGE,
    after_help = "Exit status and defaults: --help",
    after_long_help = after_long_help(),
    group = ArgGroup::new(COMPARING),
    group = ArgGroup::new(NO_CONTENTS),
)]
struct Flags {
    #[command(flatten)]
    source: source_flags::SourceFlags,
    #[command(flatten)]
    selection: selection_flags::SelectionFlags,
    #[command(flatten)]
    preserve: preserve_flags::PreserveFlags,
    #[command(flatten)]
    update: update_flags::UpdateFlags,
    #[command(flatten)]
    deletion: deletion_flags::DeletionFlags,
    #[command(flatten)]
    data: data_flags::DataFlags,
    #[command(flatten)]
    integrity: integrity_flags::IntegrityFlags,
    #[command(flatten)]
    output: output_flags::OutputFlags,
}

/// The group of `--check` and `--check-manifest`, which compare and copy nothing. Options that have a meaning
/// only for copying conflict with this group.
const COMPARING: &str = "comparing";

/// The group of options that do not copy the contents of files, such as `--link`. They exclude each other.
const NO_CONTENTS: &str = "no_contents";

const USAGE: &str = "\
pcopy [OPTION]... SRC... DST
       pcopy [OPTION]... -t DIR SRC...
       pcopy [OPTION]... SRC
       pcopy --check [OPTION]... SRC... DST
       pcopy --check-manifest FILE DIR";

const EXIT_CODES: &str = "\
Exit codes:
   0  complete; with --check or --check-manifest: identical
   1  some entries failed
   2  usage error
   3  refused, nothing was changed
   4  cannot clone (--reflink=always)
   6  different (--check, --check-manifest, --verify)
  11  a file system is full, read-only, failing or lost
  14  internal error
  16  copiers kept dying
  24  some source entries vanished or changed while they were copied
  25  nothing was removed, because too much is extraneous (--delete)
After a signal pcopy cleans up and dies by the same signal.

Sizes and rates are decimal: 1 kB is 1000 bytes, 1 MB is 1000 kB.";

/// Returns the text that follows the options in `--help`.
fn after_long_help() -> String {
    let mut text = EXIT_CODES.to_owned();
    for subcommand in SUBCOMMANDS {
        let (name, about) = (subcommand.name, subcommand.about);
        text += &format!(
            "\n\n'pcopy {name}' {about}; see 'pcopy {name} --help'. Copy an entry of that name as './{name}'."
        );
    }
    text
}

pub(super) fn read(arguments: &[OsString]) -> Result<Options, UsageError> {
    if let Some(message) = detached_value(arguments) {
        return Err(usage(&message));
    }
    let options = parse(arguments)?;
    match times_option(arguments, &options.operands) {
        Some(message) => Err(usage(&message)),
        None => Ok(options),
    }
}

/// Returns the message for rsync's `-t` (preserve times) at the end of several short options, as in `-rt src dst`: for
/// pcopy as for cp it takes the next word as the target directory, so that SRC is the target, and DST does not exist.
fn times_option(arguments: &[OsString], operands: &Operands) -> Option<String> {
    let Operands::Into { sources, directory } = operands else { return None };
    let [source] = &sources[..] else { return None };
    let is_several = |word: &&OsString| {
        let letters = word.to_str().and_then(|word| word.strip_prefix('-')).unwrap_or("");
        letters.len() > 1 && letters.ends_with('t') && !letters.starts_with('-')
    };
    let options = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    let option = options.into_iter().find(is_several)?.display().to_string();
    source.symlink_metadata().is_err().then(|| {
        let bytes = |path: &'_ Path| path.as_os_str().as_encoded_bytes().to_vec();
        let (directory, source) = (bytes(directory), bytes(source));
        let message = format!(
            "option '{option}' takes {} as the directory to copy into, and {} does not exist",
            quote(&directory),
            quote(&source)
        );
        let words = [option.trim_end_matches('t').as_bytes(), &directory, &source];
        let command = words.map(quote_if_needed).join(" ");
        format!("{message}\nhint: times are preserved by default; say: pcopy {command}")
    })
}

/// Returns the options of the command line of a plan, for carrying it out.
fn parse_applied(arguments: &[OsString]) -> Result<Options, UsageError> {
    let mut options = parse(arguments)?;
    options.plan = None;
    options.copy.plans = false;
    options.copy.dry_run = false;
    Ok(options)
}

fn parse(arguments: &[OsString]) -> Result<Options, UsageError> {
    let mut command = Flags::command();
    let matches = command.try_get_matches_from_mut(arguments);
    let matches = matches.map_err(|error| UsageError::of(error, &command))?;
    if FROM_RSYNC.iter().any(|id| {
        matches.contains_id(id) && matches.value_source(id) != Some(ValueSource::DefaultValue)
    }) && let Some((short, instead)) = ambiguous_option(arguments, &command)
    {
        return Err(usage(&format!(
            "option '-{short}' beside options of rsync: pcopy and rsync mean different things by it\nhint: say {instead}"
        )));
    }
    let flags = Flags::from_arg_matches(&matches);
    let flags = flags.map_err(|error| UsageError::of(error, &command))?;
    if flags.output.apply.is_some() {
        return Err(usage("'--apply' takes the options of a plan")); // `apply_line` has read it
    }
    let file = flags.output.plan.clone();
    if let (Some(_), Some(option)) = (&file, flags.selection.reads_stdin()) {
        return Err(usage(&format!(
            "'--plan' cannot be used with '{option}=-': --apply could not read standard input again"
        )));
    }
    let mut options = flags.into_options(&matches)?;
    options.plan = file.map(|file| PlanRequest { file, arguments: arguments.to_vec() });
    if matches!(&options.operands, Operands::Onto { sources, .. } if sources.len() == 1) {
        options.with_no_target_directory = Some(with_option(arguments, "-T"));
    }
    if options.copy.deletion.is_some() {
        options.without_deletion_limit = Some(with_option(arguments, "--max-delete=100%"));
    }
    Ok(options)
}

/// The options that rsync has, too, and that make it likely that a command line was written for it.
const FROM_RSYNC: [&str; 15] = [
    "backup_dir",
    "chown",
    "chmod",
    "exclude",
    "include",
    "filter",
    "exclude_from",
    "include_from",
    "only",
    "files_from",
    "itemize_changes",
    "delete",
    "delete_before",
    "delete_excluded",
    "max_delete",
];

/// Short options that have another meaning for rsync, and what pcopy calls them.
const OTHERWISE_IN_RSYNC: [(char, &str); 5] = [
    ('n', "--no-clobber or --dry-run"),
    ('s', "--symbolic-link"),
    ('l', "--link; symbolic links are always copied"),
    ('S', "--suffix=SUFFIX or --sparse=always"),
    ('i', "--interactive or --itemize-changes"),
];

/// Returns the first short option that has another meaning for rsync. A command line with selection rules may come from
/// there, and a wrong guess would copy nothing, or links.
fn ambiguous_option(arguments: &[OsString], command: &Command) -> Option<(char, &'static str)> {
    let takes_value = |short: char| {
        let mut options = command.get_arguments();
        let option = options.find(|option| option.get_short() == Some(short));
        option.is_some_and(|option| option.get_action().takes_values())
    };
    let words = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    for word in words.filter_map(|word| word.to_str()) {
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            continue;
        };
        for letter in letters.chars() {
            let found = OTHERWISE_IN_RSYNC.iter().find(|(short, _)| *short == letter);
            if found.is_some() {
                return found.copied();
            }
            if takes_value(letter) {
                break;
            }
        }
    }
    None
}

/// Returns the command line with another option, for a shell. Of two options that differ the last one holds.
fn with_option(arguments: &[OsString], option: &str) -> String {
    /// A longer command is not copied from a terminal.
    const LONGEST: usize = 1024;
    let mut words: Vec<_> =
        arguments.iter().map(|word| quote_if_needed(word.as_encoded_bytes())).collect();
    let is_given = |word: &OsString| {
        let name = option.split('=').next().unwrap_or(option);
        word.as_encoded_bytes().starts_with(name.as_bytes())
    };
    let operands = arguments.iter().position(|word| word == "--").unwrap_or(words.len());
    let at = if arguments.iter().any(is_given) { operands } else { 1.min(words.len()) };
    words.insert(at, option.to_owned());
    let command = words.join(" ");
    if command.len() <= LONGEST { command } else { format!("the same command with {option}") }
}

/// Returns the message for an option that takes its value only after `=`, if the next argument is such a value and
/// no file of that name exists, as in `--progress always a b`: it would count as an operand.
fn detached_value(arguments: &[OsString]) -> Option<String> {
    let options = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    for (option, value) in options.zip(arguments.iter().skip(2)) {
        let Some(option) = option.to_str().filter(|option| option.starts_with("--")) else {
            continue;
        };
        let is_operand = !value.as_encoded_bytes().starts_with(b"-");
        if option.contains('=') || !is_operand || Path::new(value).symlink_metadata().is_ok() {
            continue;
        }
        if takes_after_equals_sign(option, value) {
            let value = value.display();
            return Some(format!("option '{option}' takes its value after '=': {option}={value}"));
        }
    }
    None
}

/// Whether an option can be given without a value, and `value` is one of the few that it takes.
fn takes_after_equals_sign(option: &str, value: &OsStr) -> bool {
    let command = Flags::command();
    let long = option.strip_prefix("--");
    let mut optional = command.get_arguments().filter(|option| option.is_require_equals_set());
    let takes = |value: &OsStr| {
        let mut whole = OsString::from(option);
        whole.push("=");
        whole.push(value);
        parse(&["pcopy".into(), whole, "src".into(), "dst".into()]).is_ok()
    };
    // An option that takes any word, as --context does, is not among them.
    optional.any(|option| option.get_long() == long) && takes(value) && !takes(OsStr::new(NO_VALUE))
}

/// A word that is no value of an option with few values.
const NO_VALUE: &str = "\u{1}";

impl Flags {
    fn into_options(self, matches: &ArgMatches) -> Result<Options, UsageError> {
        let mut copy = CopyOptions::native();
        self.source.apply(matches, &mut copy);
        self.preserve.apply(matches, &mut copy)?;
        self.update.apply(&mut copy)?;
        self.data.apply(matches, &mut copy)?;
        let progress = self.output.apply(&mut copy);
        self.integrity.apply(&mut copy)?;
        let command = self.integrity.command(&self.source.paths)?;
        let (parents, make_path) = (self.source.parents, self.source.mkpath);
        let guards_mounts = !self.source.no_mount_guard;
        let (require_mounts, require_files) =
            (self.source.require_mount.clone(), self.source.require_file.clone());
        let operands = self.source.into_operands()?;
        self.deletion.apply(&mut copy, &operands)?;
        let explained = self.selection.explain.as_deref();
        let explained = explained.map(|path| selection_flags::explanation(path, &operands));
        let command = explained.unwrap_or(Ok(command))?;
        let takes_part = !matches!(command, options::Command::CheckManifest { .. });
        let selection = takes_part
            .then(|| self.selection.selection(matches, &operands, self.deletion.delete_excluded));
        copy.selection = selection.transpose()?.flatten().map(Arc::new);
        if let Some(selection) = &copy.selection {
            selection_flags::refuse_left_out(&operands, selection)?;
        }
        Ok(Options {
            progress,
            command,
            copy,
            parents,
            make_path,
            guards_mounts,
            require_mounts,
            require_files,
            operands,
            manifest: self.integrity.manifest,
            plan: None,
            apply: None,
            jobs: self.data.jobs,
            retries: self.data.retries,
            timeout: self.data.timeout.filter(|&limit| limit > 0).map(seconds),
            with_no_target_directory: None,
            without_deletion_limit: None,
        })
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

fn usage(message: &str) -> UsageError {
    UsageError::new(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{
        Control, Dereference, Links, Operands, Permissions, Preservation, Preserve, Verbosity, When,
    };
    use clap::error::ErrorKind;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn options(arguments: &[&str]) -> Result<Options, UsageError> {
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
    fn invalid_numbers_of_jobs_are_refused() {
        for wrong in ["0", "513", "x", "-1", "", "65537", "1.5"] {
            assert!(options(&["a", "b", "-j", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_form_of_the_command_gives_its_paths_their_roles() {
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
    fn contradictory_options_are_refused() {
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
            options.copy.verbosity
        };
        assert_eq!(both("-q", "-v"), Verbosity::Verbose);
        assert_eq!(both("-v", "-q"), Verbosity::Quiet);
        assert_eq!(both("-q", "--debug"), Verbosity::Debug);
        assert_eq!(both("--debug", "-v"), Verbosity::Debug);
    }

    #[test]
    fn options_about_attributes_take_effect_in_their_order() {
        let preserved =
            |arguments: &[&str]| options(&[&["s", "d"], arguments].concat()).unwrap().copy.preserve;
        let (tried, required) = (Preservation::IfPossible, Preservation::Required);
        let named = Preserve {
            permissions_required: true,
            keeps_dir_modes: false,
            ownership: required,
            access_lists: required,
            ..Preserve::DEFAULT
        };
        let usual = Preserve { timestamps: required, ..named };
        let all = Preserve {
            keeps_dir_modes: false,
            ownership: tried,
            access_lists: tried,
            attributes: tried,
            context: tried,
            links: Links::AndFollowed,
            ..Preserve::DEFAULT
        };
        let fresh = |rest| Preserve {
            permissions: Permissions::Fresh,
            access_lists: Preservation::No,
            ..rest
        };
        for (arguments, expected) in [
            (&[][..], Preserve::DEFAULT),
            (&["-p"], usual),
            (&["--preserve"], usual),
            (&["--preserve=mode,ownership"], named),
            (&["--preserve=mod,own"], named),
            (&["--preserve=mode", "--preserve=ownership"], named),
            (&["-a", "--preserve=timestamps"], Preserve { timestamps: required, ..all }),
            (&["--preserve=timestamps", "-a"], Preserve { timestamps: required, ..all }),
            (&["-a"], all),
            (&["--preserve=all"], all),
            (&["-a", "--preserve=xattr"], Preserve { attributes: required, ..all }),
            (&["--preserve=xattr", "-a"], Preserve { attributes: required, ..all }),
            (&["--preserve=none"], Preserve::NOTHING),
            (&["-a", "--preserve=none"], Preserve::NOTHING),
            (&["--preserve=none", "-a"], all),
            (&["-a", "--no-preserve=ownership"], Preserve { ownership: Preservation::No, ..all }),
            (&["--no-preserve=ownership", "-a"], all),
            (&["-a", "--no-preserve=mode"], fresh(all)),
            (
                &["--no-preserve=links,timestamps"],
                Preserve { links: Links::No, timestamps: Preservation::No, ..Preserve::DEFAULT },
            ),
            (&["-a", "--no-preserve=all"], fresh(Preserve::NOTHING)),
        ] {
            assert_eq!(preserved(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn the_last_option_about_symlinks_wins() {
        use Dereference::{Always, CommandLine, Never};
        for (arguments, expected) in [
            (&[][..], Never),
            (&["-L"], Always),
            (&["-l"], Always),
            (&["-l", "-P"], Never),
            (&["-L", "-a"], Never),
            (&["-a", "-L"], Always),
            (&["-H", "-d"], Never),
            (&["-d", "-H"], CommandLine),
            (&["-P", "-L", "-H"], CommandLine),
            (&["-L", "-P", "-L"], Always),
        ] {
            let options = options(&[&["s", "d"], arguments].concat()).unwrap();
            assert_eq!(options.copy.dereference, expected, "{arguments:?}");
        }
    }

    #[test]
    fn backup_without_an_argument_keeps_the_earlier_argument() {
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
    fn unknown_attributes_are_refused() {
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
    fn progress_without_an_argument_means_always() {
        let progress = |flag| options(&["a", "b", flag]).unwrap().progress;
        assert_eq!(options(&["a", "b"]).unwrap().progress, When::Auto);
        assert_eq!(progress("--progress"), When::Always);
        assert_eq!(progress("--progress=never"), When::Never);
        assert_eq!(progress("--progress=auto"), When::Auto);
    }

    #[test]
    fn sparse_and_reflink_are_automatic_by_default() {
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

    #[test]
    fn options_that_only_copying_needs_are_refused_where_files_are_compared() {
        /// The options that `--check` accepts.
        const WITH_CHECK: [&str; 56] = [
            "paths",
            "target_directory",
            "no_target_directory",
            "suffix_name",
            "strip_trailing_slashes",
            "no_mount_guard",
            "require_mount",
            "require_file",
            "one_file_system",
            "no_dereference",
            "no_dereference_links",
            "recursive",
            "exclude",
            "include",
            "filter",
            "only",
            "files_from",
            "ignore_missing",
            "gitignore",
            "ignore_file",
            "ignore_from",
            "exclude_caches",
            "exclude_if_present",
            "exclude_vcs",
            "max_size",
            "min_size",
            "newer_than",
            "older_than",
            "max_depth",
            "prune_empty_dirs",
            "existing",
            "exclude_from",
            "include_from",
            "from0",
            "archive",
            "preserve_usual",
            "preserve",
            "no_preserve",
            "chown",
            "chmod",
            "omit_dir_times",
            "modify_window",
            "keep_directory_symlink",
            "delete",
            "delete_excluded",
            "max_delete",
            "allow_empty_source",
            "delete_despite_errors",
            "delete_in_system_directory",
            "jobs",
            "timeout",
            "check",
            "quiet",
            "progress",
            "help",
            "version",
        ];
        let command = Flags::command();
        let mut accepted = BTreeSet::new();
        for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
            let name = match (argument.get_long(), argument.get_short()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some(short)) => format!("-{short}"),
                (None, None) => unreachable!(),
            };
            let value = match argument.get_possible_values().first() {
                Some(value) if argument.get_action().takes_values() => {
                    format!("={}", value.get_name())
                }
                None if argument.get_id() == "retries" => "=1".to_owned(),
                None if argument.get_id() == "timeout" => "=1".to_owned(),
                None if argument.get_action().takes_values() => "=none".to_owned(),
                _ => String::new(),
            };
            let words = ["pcopy", &format!("{name}{value}"), "--check", "-T", "s", "d"];
            let error = command.clone().try_get_matches_from(words).err();
            if error.is_none_or(|error| error.kind() != ErrorKind::ArgumentConflict) {
                accepted.insert(argument.get_id().as_str());
            }
        }
        accepted.extend(["paths", "target_directory"]); // `target_directory` conflicts with -T only
        let others = ["hash", "check_manifest"]; // refused for reasons other than a conflict with --check
        accepted.retain(|id| !others.contains(id));
        assert_eq!(accepted, BTreeSet::from(WITH_CHECK));
    }

    #[test]
    fn a_conflict_names_the_two_options() {
        let message = |arguments: &[&str]| options(arguments).unwrap_err().to_string();
        for (arguments, first, second) in [
            (&["--check", "-l", "s", "d"][..], "--link", "--check"),
            (&["-i", "--check-manifest=f", "d"], "--interactive", "--check-manifest"),
            (&["-l", "-s", "s", "d"], "--link", "--symbolic-link"),
            (&["-s", "--verify", "s", "d"], "--symbolic-link", "--verify"),
        ] {
            let message = message(arguments);
            assert!(message.contains(" cannot be used with "), "{message}");
            assert!(message.contains(&format!("'{first}")), "{message}");
            assert!(message.contains(&format!("'{second}")), "{message}");
        }
    }
}
