//! Parsers for the arguments of options that both command lines, pcopy's own and GNU cp's, have.

use crate::options::{Backup, Control, Links, Permissions, Preservation, Preserve, Update, When};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// The words that `--sparse`, `--reflink` and `--progress` accept.
pub(super) const WHEN: [(&str, When); 3] =
    [("auto", When::Auto), ("always", When::Always), ("never", When::Never)];

/// The words that `--update` accepts.
pub(super) const UPDATES: [(&str, Update); 4] = [
    ("all", Update::All),
    ("none", Update::None),
    ("none-fail", Update::NoneFail),
    ("older", Update::Older),
];

/// Returns a parser of a path. An empty argument, as of an unset variable of a script, gets a message that says
/// so.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|word| {
        if word.is_empty() { Err("the path is empty") } else { Ok(PathBuf::from(word)) }
    })
}

/// Returns a parser of a number in `range`. The error says which numbers are valid, and then `besides`.
pub(super) fn number<N>(
    range: RangeInclusive<N>,
    besides: &'static str,
) -> impl TypedValueParser<Value = N>
where
    N: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    OsStringValueParser::new().try_map(move |word| {
        let number = word.to_str().and_then(|word| word.parse().ok());
        let valid = number.filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        valid.ok_or_else(|| format!("expected a number from {least} to {most}{besides}"))
    })
}

/// Returns a parser of an argument that must be one of `words`, without abbreviation.
pub(super) fn one_word_of<T: Copy + Send + Sync + 'static>(
    words: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words.iter().map(|(word, _)| *word)).map(move |given| {
        let found = words.iter().find(|(word, _)| *word == given);
        found.map(|(_, meaning)| *meaning).expect("the parser takes no other word")
    })
}

/// One word in the list of `--preserve`. Like cp, pcopy accepts an unambiguous abbreviation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attribute {
    Mode,
    Ownership,
    Timestamps,
    Links,
    Acl,
    Xattr,
    Context,
    All,
    None,
}

impl Attribute {
    pub(super) const WORDS: [(&'static str, Attribute); 9] = [
        ("mode", Self::Mode),
        ("ownership", Self::Ownership),
        ("timestamps", Self::Timestamps),
        ("links", Self::Links),
        ("acl", Self::Acl),
        ("xattr", Self::Xattr),
        ("context", Self::Context),
        ("all", Self::All),
        ("none", Self::None),
    ];

    /// Adds the attribute to those that are preserved. It is required, except that `all` names nothing and
    /// only tries everything.
    pub(super) fn add_to(self, preserve: &mut Preserve) {
        match self {
            Self::Mode => {
                preserve.permissions = Permissions::Exact;
                preserve.permissions_required = true;
                preserve.keeps_dir_modes = false;
                preserve.access_lists = Preservation::Required;
            }
            Self::Ownership => preserve.ownership = Preservation::Required,
            Self::Timestamps => preserve.timestamps = Preservation::Required,
            Self::Links => preserve.links = Links::AndFollowed,
            Self::Acl => preserve.access_lists = Preservation::Required,
            Self::Xattr => preserve.attributes = Preservation::Required,
            Self::Context => preserve.context = Preservation::Required,
            Self::All => {
                let at_least = |demand: Preservation| {
                    if demand.is_wanted() { demand } else { Preservation::IfPossible }
                };
                *preserve = Preserve {
                    permissions: Permissions::Exact,
                    permissions_required: preserve.permissions_required,
                    keeps_dir_modes: false,
                    ownership: at_least(preserve.ownership),
                    timestamps: at_least(preserve.timestamps),
                    omits_dir_times: preserve.omits_dir_times,
                    links: Links::AndFollowed,
                    access_lists: at_least(preserve.access_lists),
                    attributes: at_least(preserve.attributes),
                    context: at_least(preserve.context),
                };
            }
            Self::None => *preserve = Preserve::NOTHING,
        }
    }

    /// Removes the attribute from those that are preserved.
    pub(super) fn take_from(self, preserve: &mut Preserve) {
        match self {
            Self::Mode => {
                preserve.permissions = Permissions::Fresh;
                preserve.permissions_required = false;
                preserve.keeps_dir_modes = false;
                preserve.access_lists = Preservation::No;
            }
            Self::Ownership => preserve.ownership = Preservation::No,
            Self::Timestamps => preserve.timestamps = Preservation::No,
            Self::Links => preserve.links = Links::No,
            Self::Acl => preserve.access_lists = Preservation::No,
            Self::Xattr => preserve.attributes = Preservation::No,
            Self::Context => preserve.context = Preservation::No,
            Self::All => {
                *preserve = Preserve { permissions: Permissions::Fresh, ..Preserve::NOTHING }
            }
            Self::None => {}
        }
    }
}

impl FromStr for Attribute {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::WORDS.iter().filter(|(known, _)| known.starts_with(word));
        match &known.collect::<Vec<_>>()[..] {
            [(_, attribute)] if !word.is_empty() => Ok(*attribute),
            _ => {
                let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
                let (last, others) = words.split_last().unwrap_or((&"", &[]));
                Err(format!("expected {} or {last}", others.join(", ")))
            }
        }
    }
}

/// Returns how existing files are backed up; `None` means that no backups are made.
///
/// `control` is the argument of `--backup`, empty if the option has none; then the environment variable
/// `VERSION_CONTROL` decides. As with cp, `--suffix` without `--backup` asks for backups, too. The error is a
/// word that names no kind of backup.
pub(super) fn backup(
    control: Option<OsString>,
    suffix: Option<OsString>,
) -> Result<Option<Backup>, Unknown> {
    if control.is_none() && suffix.is_none() {
        return Ok(None);
    }
    let from_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let given = control.filter(|word| !word.is_empty()).map(|word| (word, None));
    let variable = "VERSION_CONTROL";
    let word = given.or_else(|| from_environment(variable).map(|word| (word, Some(variable))));
    let control = match &word {
        None => Control::Existing,
        Some((word, source)) => match control_of(word) {
            Some(Some(control)) => control,
            Some(None) => return Ok(None),
            None => return Err(Unknown { word: word.clone(), variable: *source }),
        },
    };
    let is_suffix_given = suffix.is_some();
    let suffix = suffix.or_else(|| from_environment("SIMPLE_BACKUP_SUFFIX"));
    let usable =
        |suffix: &OsString| !suffix.is_empty() && !suffix.as_encoded_bytes().contains(&b'/');
    let suffix = suffix.filter(usable).unwrap_or_else(|| "~".into());
    Ok(Some(Backup { control, suffix, is_suffix_given, dir: None }))
}

/// A word that is not a valid argument.
pub(super) struct Unknown {
    pub(super) word: OsString,
    /// The environment variable that has this word as its value; `None` if the word is an option's argument.
    pub(super) variable: Option<&'static str>,
}

/// Returns the kind of backup that `word` names, in full or by an unambiguous abbreviation. `Some(None)`
/// means that no backup is made; `None` means that the word is unknown.
fn control_of(word: &OsStr) -> Option<Option<Control>> {
    const WORDS: [(&str, Option<Control>); 8] = [
        ("none", None),
        ("off", None),
        ("simple", Some(Control::Simple)),
        ("never", Some(Control::Simple)),
        ("existing", Some(Control::Existing)),
        ("nil", Some(Control::Existing)),
        ("numbered", Some(Control::Numbered)),
        ("t", Some(Control::Numbered)),
    ];
    one_of(&WORDS, word.to_str()?)
}

/// Returns the meaning of the word `given`. An abbreviation is accepted if all words that it may stand for
/// have the same meaning.
pub(super) fn one_of<T: Copy + PartialEq>(words: &[(&str, T)], given: &str) -> Option<T> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
        return Some(*meaning);
    }
    let mut meanings = words.iter().filter(|(word, _)| word.starts_with(given)).map(|(_, m)| *m);
    let first = meanings.next().filter(|_| !given.is_empty())?;
    meanings.all(|other| other == first).then_some(first)
}
