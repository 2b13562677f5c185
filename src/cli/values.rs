//! Words and values that both command lines share.

use crate::options::{Backup, Control, Links, Permissions, Preservation, Preserve};
use std::ffi::{OsStr, OsString};
use std::str::FromStr;

/// The words of `--preserve`; as with cp, so much of one suffices as tells it from the others.
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

    /// Adds what the word means to what is kept.
    pub(super) fn add_to(self, keep: &mut Preserve) {
        match self {
            Self::Mode => {
                keep.permissions = Permissions::Exact;
                keep.access_lists = true;
            }
            Self::Ownership => keep.ownership = true,
            Self::Timestamps => keep.timestamps = true,
            Self::Links => keep.links = Links::Ends,
            Self::Acl => keep.access_lists = true,
            Self::Xattr => keep.attributes = Preservation::Required,
            Self::Context => keep.context = Preservation::Required,
            Self::All => {
                let (attributes, context) = (keep.attributes, keep.context);
                let at_least = |demand| {
                    if demand == Preservation::No { Preservation::IfPossible } else { demand }
                };
                *keep = Preserve {
                    permissions: Permissions::Exact,
                    ownership: true,
                    timestamps: true,
                    links: Links::Ends,
                    access_lists: true,
                    attributes: at_least(attributes),
                    context: at_least(context),
                };
            }
            Self::None => *keep = Preserve::NOTHING,
        }
    }

    /// Takes what the word means away from what is kept.
    pub(super) fn take_from(self, keep: &mut Preserve) {
        match self {
            Self::Mode => {
                keep.permissions = Permissions::Fresh;
                keep.access_lists = false;
            }
            Self::Ownership => keep.ownership = false,
            Self::Timestamps => keep.timestamps = false,
            Self::Links => keep.links = Links::No,
            Self::Acl => keep.access_lists = false,
            Self::Xattr => keep.attributes = Preservation::No,
            Self::Context => keep.context = Preservation::No,
            Self::All => *keep = Preserve { permissions: Permissions::Fresh, ..Preserve::NOTHING },
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
                Err(format!("the words are {}", words.join(", ")))
            }
        }
    }
}

/// How what is replaced is kept: what the options say, and where they are silent the environment.
///
/// `control` is empty where an option wants backups and does not say which. As with cp, a suffix
/// alone wants backups, too. The error is a word that is no kind of backup.
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
    let suffix = suffix.or_else(|| from_environment("SIMPLE_BACKUP_SUFFIX"));
    let usable =
        |suffix: &OsString| !suffix.is_empty() && !suffix.as_encoded_bytes().contains(&b'/');
    Ok(Some(Backup { control, suffix: suffix.filter(usable).unwrap_or_else(|| "~".into()) }))
}

/// A word that is none of those that may stand there.
pub(super) struct Unknown {
    pub(super) word: OsString,
    /// The variable of the environment that has it, if no option has.
    pub(super) variable: Option<&'static str>,
}

/// The kind of backup that a word means: none at all, or which; so much of it suffices as tells it
/// from the others.
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

/// The meaning of a word, or of so much of one as tells it from all that mean something else.
pub(super) fn one_of<T: Copy + PartialEq>(words: &[(&str, T)], given: &str) -> Option<T> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
        return Some(*meaning);
    }
    let mut meanings = words.iter().filter(|(word, _)| word.starts_with(given)).map(|(_, m)| *m);
    let first = meanings.next().filter(|_| !given.is_empty())?;
    meanings.all(|other| other == first).then_some(first)
}
