//! Subcommands of the native command line, and the rule for an entry that has the name of a subcommand.
//!
//! Only the first argument decides: `pcopy NAME ...` runs the subcommand, and `pcopy ./NAME ...` copies the
//! entry of that name. If the current directory has such an entry, the user may have meant to copy it. Then
//! pcopy refuses to run the subcommand, unless the arguments ask for its help or its version.

use super::Invocation;
use super::usage_error::UsageError;
use crate::error::Refusal;
use crate::sanitize::quote;
use std::ffi::OsString;
use std::path::Path;

/// A subcommand of `pcopy`.
pub(super) struct Subcommand {
    /// The first argument that selects the subcommand.
    pub(super) name: &'static str,
    /// What the subcommand does, as the rest of a sentence that begins with its name: `pcopy --help` prints
    /// both.
    pub(super) about: &'static str,
    /// The hint that is printed if the subcommand is refused because an entry has its name.
    hint: &'static str,
    /// Parses the program's name and the arguments after the subcommand.
    pub(super) read: fn(&[OsString]) -> Result<Invocation, UsageError>,
}

// A macro and not a function, because `concat!` takes only literals. Without the `bench` feature only the
// tests use it.
#[cfg(any(feature = "bench", test))]
macro_rules! subcommand {
    ($name:literal, $about:literal, $read:expr) => {
        Subcommand {
            name: $name,
            about: $about,
            hint: concat!(
                "write './",
                $name,
                "' to copy it, or run the subcommand in another directory"
            ),
            read: $read,
        }
    };
}

/// All subcommands.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    #[cfg(feature = "bench")]
    subcommand!("bench", "measures pcopy and other copiers", super::bench::read),
];

/// Returns the subcommand that the first argument names, and the arguments without that name.
pub(super) fn find<'s>(
    subcommands: &'s [Subcommand],
    arguments: &[OsString],
) -> Option<(&'s Subcommand, Vec<OsString>)> {
    let [program, name, rest @ ..] = arguments else { return None };
    let found = subcommands.iter().find(|subcommand| name == subcommand.name)?;
    Some((found, [std::slice::from_ref(program), rest].concat()))
}

impl Subcommand {
    /// Refuses the subcommand if `dir` has an entry of its name, unless the arguments ask for a text such as
    /// `--help`.
    pub(super) fn refuse_namesake(
        &self,
        arguments: &[OsString],
        dir: &Path,
    ) -> Result<(), Refusal> {
        if dir.join(self.name).symlink_metadata().is_err()
            || (self.read)(arguments).is_err_and(|error| matches!(error, UsageError::Text(_)))
        {
            return Ok(());
        }
        let name = quote(self.name.as_bytes());
        Err(Refusal {
            message: format!("{name} is both a subcommand and an entry in the current directory"),
            hint: Some(self.hint.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::read;
    use crate::options::Options;

    fn copy(options: Options) -> Invocation {
        Invocation::Copy(Box::new(options))
    }

    const TABLE: &[Subcommand] = &[
        subcommand!("shards", "does this", |arguments| read(arguments).map(copy)),
        subcommand!("snapshot", "does that", |arguments| read(arguments).map(copy)),
    ];

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_first_argument_alone_names_a_subcommand() {
        let name = |arguments: &[&str]| {
            find(TABLE, &words(arguments)).map(|(subcommand, _)| subcommand.name)
        };
        assert_eq!(name(&["pcopy", "shards", "a"]), Some("shards"));
        assert_eq!(name(&["pcopy", "snapshot"]), Some("snapshot"));
        for operand in [
            &["pcopy"][..],
            &["pcopy", "./shards", "a"],
            &["pcopy", "shards/", "a"],
            &["pcopy", "--", "shards", "a"],
            &["pcopy", "-v", "shards", "a"],
            &["pcopy", "shard", "a"],
            &["pcopy", "a", "shards"],
        ] {
            assert_eq!(name(operand), None, "{operand:?}");
        }
    }

    #[test]
    fn a_subcommand_reads_the_arguments_after_its_name() {
        let (_, arguments) = find(TABLE, &words(&["pcopy", "shards", "a", "-v"])).unwrap();
        assert_eq!(arguments, words(&["pcopy", "a", "-v"]));
    }

    #[test]
    fn each_subcommand_is_refused_where_an_entry_has_its_name_unless_help_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |subcommand: &Subcommand, arguments: &[&str]| {
            let arguments = words(&[&["pcopy"], arguments].concat());
            subcommand.refuse_namesake(&arguments, dir.path()).err()
        };
        for subcommand in TABLE.iter().chain(SUBCOMMANDS) {
            let name = subcommand.name;
            assert!(refusal(subcommand, &["a", "b"]).is_none(), "{name}");
            // A dangling symbolic link counts, too: the user may mean to copy the link.
            std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
            for arguments in [&[][..], &["a"], &["a", "b"], &["--no-such-option"]] {
                let refusal = refusal(subcommand, arguments).unwrap();
                assert!(
                    refusal.hint.as_ref().unwrap().contains(&format!("'./{name}'")),
                    "{refusal}"
                );
            }
            for arguments in [&["--help"][..], &["-h"], &["--version"], &["a", "--help"]] {
                assert!(refusal(subcommand, arguments).is_none(), "{name} {arguments:?}");
            }
        }
    }
}
