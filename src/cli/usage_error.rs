//! The messages of usage errors: one line, which names the option or the operand and what is wrong with it, and
//! perhaps a hint.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use std::fmt;

/// Why a command line cannot be carried out.
#[derive(Debug)]
pub enum UsageError {
    /// Nothing is wrong: `--help` or `--version` was given. clap prints the text.
    Text(clap::Error),
    /// The message, without the name of the program, and with its hint on a second line.
    Message(String),
}

/// Options of other programs, and what pcopy has in their place: an option, or a sentence.
const ELSEWHERE: &[(&[&str], Instead)] = &[
    (
        &["--threads", "--parallel", "--workers", "--processes", "--cpus"],
        Instead::Option("--jobs=N"),
    ),
    (&["--no-progress"], Instead::Option("--progress=never")),
    (&["--info"], Instead::Option("--progress")),
    (
        &["--resume", "--continue", "--partial", "--partial-dir", "--append"],
        Instead::Sentence("an interrupted copy resumes when the same command is run again"),
    ),
    (&["--mirror", "--mir", "--purge"], Instead::Option("--delete")),
    (&["--compress", "-z"], Instead::Sentence("pcopy does not compress, as nothing is sent")),
    (&["-C", "--cvs-exclude"], Instead::Option("--exclude-vcs")),
    (&["-F"], Instead::Option("--filter=': .rsync-filter'")),
    (&["-m"], Instead::Option("--prune-empty-dirs")),
    (&["--ignore-non-existing"], Instead::Option("--existing")),
    (
        &["--perms", "--times", "--no-perms", "--no-times"],
        Instead::Sentence(
            "permission bits and times are preserved by default, unless --no-preserve=mode,timestamps is given",
        ),
    ),
    (
        &[
            "--links",
            "--devices",
            "--specials",
            "-D",
            "--hard-links",
            "--numeric-ids",
            "-W",
            "--whole-file",
        ],
        Instead::Sentence("pcopy always does what other programs do with this option"),
    ),
    (&["--owner", "--group", "-o", "-g"], Instead::Option("--preserve=ownership")),
    (&["--no-owner", "--no-group"], Instead::Option("--no-preserve=ownership")),
    (
        &["--acls", "--xattrs", "-A", "-X"],
        Instead::Sentence("-a includes it; pcopy calls it '--preserve=acl,xattr'"),
    ),
    (&["--copy-links"], Instead::Option("--dereference")),
    (&["--relative"], Instead::Option("--parents")),
    (&["-c"], Instead::Option("--checksum")),
    (&["-I", "--ignore-times"], Instead::Option("--update=all")),
    (&["--ignore-existing"], Instead::Option("--update=none")),
    (&["--human-readable"], Instead::Sentence("pcopy always prints sizes so")),
    (
        &["--stats"],
        Instead::Sentence("the last line has the numbers; -v prints it without a terminal, too"),
    ),
    (
        &[
            "--bwlimit",
            "--link-dest",
            "--compare-dest",
            "--copy-dest",
            "--size-only",
            "--backup-dir",
        ],
        Instead::Sentence("pcopy has nothing like it; 'pcopy --help' lists what it has"),
    ),
];

/// What pcopy has in place of another program's option.
#[derive(Clone, Copy)]
enum Instead {
    Option(&'static str),
    Sentence(&'static str),
}

/// How similar a word must be to an option to be taken for a misspelling of it, from 0 to 1.
const SIMILAR: f64 = 0.6;

impl UsageError {
    /// Returns the usage error with this message.
    pub(super) fn new(message: &str) -> Self {
        Self::Message(message.to_owned())
    }

    /// Returns the error that clap has found in the arguments of `command`.
    pub(super) fn of(error: clap::Error, command: &Command) -> Self {
        if !error.use_stderr() {
            return Self::Text(error);
        }
        let given = |kind| error.get(kind).map(|value| list(value, "")).unwrap_or_default();
        let option = given(ContextKind::InvalidArg);
        let value = given(ContextKind::InvalidValue);
        Self::Message(match error.kind() {
            ErrorKind::UnknownArgument => unknown(&option, command),
            ErrorKind::InvalidValue if value.is_empty() => {
                format!("option '{option}' needs a value")
            }
            ErrorKind::InvalidValue => {
                let valid = given(ContextKind::ValidValue);
                format!("invalid value '{}' for '{option}': expected {valid}", value)
            }
            ErrorKind::ValueValidation if !option.is_empty() => {
                let source = std::error::Error::source(&error);
                let why = source.map(ToString::to_string).unwrap_or_default();
                format!("invalid value '{value}' for '{option}': {why}")
            }
            ErrorKind::MissingRequiredArgument => {
                "missing operand\nhint: 'pcopy --help' shows the forms of the command".to_owned()
            }
            ErrorKind::ArgumentConflict => {
                let earlier = error.get(ContextKind::PriorArg);
                let earlier = earlier.map(|options| list(options, "'")).unwrap_or_default();
                format!("'{option}' cannot be used with {earlier}")
            }
            ErrorKind::TooManyValues => format!("option '{option}' takes no value"),
            ErrorKind::NoEquals => format!("option '{option}' takes its value after '='"),
            _ => first_line(&error),
        })
    }
}

/// Returns what clap gives as a part of an error: one word, or several. `mark` is set around each.
fn list(value: &ContextValue, mark: &str) -> String {
    let words = match value {
        ContextValue::Strings(words) => words.clone(),
        other => vec![other.to_string()],
    };
    let marked: Vec<String> = words.iter().map(|word| format!("{mark}{word}{mark}")).collect();
    match &marked[..] {
        [some @ .., last] if !some.is_empty() => format!("{} or {last}", some.join(", ")),
        _ => marked.concat(),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Returns the message for an unknown option, with the option that may have been meant.
fn unknown(option: &str, command: &Command) -> String {
    let message = format!("unknown option '{option}'");
    if let Some(instead) = instead_of(option) {
        return format!("{message}: {}", instead.sentence());
    }
    let own = command.get_arguments().filter_map(Arg::get_long).map(|long| format!("--{long}"));
    let elsewhere = ELSEWHERE.iter().flat_map(|(names, _)| *names).map(|name| (*name).to_owned());
    let similarity = |name: &String| {
        let is_begun = option.len() > "--x".len() && name.starts_with(option);
        if is_begun { 1.0 } else { strsim::normalized_damerau_levenshtein(option, name) }
    };
    let rated = own.chain(elsewhere).map(|name| (similarity(&name), name));
    match rated.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((similarity, name)) if similarity >= SIMILAR => match instead_of(&name) {
            None => format!("{message}; did you mean '{name}'?"),
            Some(instead) => format!("{message}; did you mean '{name}'? {}", instead.sentence()),
        },
        _ => message,
    }
}

fn instead_of(option: &str) -> Option<Instead> {
    ELSEWHERE.iter().find(|(names, _)| names.contains(&option)).map(|&(_, instead)| instead)
}

impl Instead {
    fn sentence(self) -> String {
        match self {
            Self::Option(option) => format!("pcopy calls it '{option}'"),
            Self::Sentence(sentence) => sentence.to_owned(),
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(out),
            Self::Message(message) => message.fmt(out),
        }
    }
}

impl std::error::Error for UsageError {}
