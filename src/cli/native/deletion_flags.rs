//! Options that remove from the target what the source does not have.

use super::super::usage_error::UsageError;
use super::usage;
use crate::options::{Backup, CopyOptions, Deletion, DeletionLimit, Operands};
use crate::sanitize::quote;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

#[derive(Args, Debug)]
#[command(next_help_heading = "Mirror")]
pub(super) struct DeletionFlags {
    /// Remove from the copy what SRC does not have
    ///
    /// Only in the copies of directories, never beside them: 'pcopy --delete SRC DIR' cleans DIR/SRC, and with -T or SRC/. DST
    /// itself. What an --exclude rule, a tag or an ignore file leaves out stays. Nothing is removed before everything is
    /// copied, and nothing at all if SRC is empty, could not be read or was unmounted meanwhile, or if too much would be
    /// removed (see --max-delete). --dry-run shows what would be removed, -v what is. The other spellings of rsync
    /// (--delete-after, --delete-during, --delete-delay, --del) mean the same.
    #[arg(
        long,
        aliases = ["delete-after", "delete-delay", "delete-during", "del"],
        conflicts_with = "check_manifest"
    )]
    delete: bool,

    /// Remove before anything is copied; implies --delete
    ///
    /// For a target without room for both. What is extraneous is found out first, as by --dry-run, and judged as always. If the
    /// run is then interrupted, the target lacks what was removed, and what is new.
    #[arg(long, hide_short_help = true, conflicts_with_all = [super::COMPARING, "parents"])]
    delete_before: bool,

    /// Remove also what a rule leaves out; implies --delete
    ///
    /// That is what --exclude, a tag or an ignore file leaves out, but never what its size, its age, --max-depth, -x or
    /// --files-from leaves out. P rules still protect.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    pub(super) delete_excluded: bool,

    /// Remove nothing if more than N entries are extraneous
    ///
    /// N is a number, or a share of the entries of the copy, as in 30%. All that is below a directory counts. The exit status
    /// is then 25 [default: 50%, from 20 entries on].
    #[arg(
        long,
        value_name = "N",
        value_parser = limit(),
        hide_short_help = true,
        conflicts_with = "check_manifest"
    )]
    max_delete: Option<DeletionLimit>,

    /// Remove everything from the copy if SRC is empty
    ///
    /// By default the run is refused: a disk may not be mounted.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    allow_empty_source: bool,

    /// Remove also if a part of SRC could not be read
    ///
    /// In the copies of the directories that could not be read, nothing is removed.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    delete_despite_errors: bool,

    /// Remove also in a system directory
    ///
    /// That is a directory such as /etc or /home, your home directory, or one above the current directory.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    delete_in_system_directory: bool,
}

impl DeletionFlags {
    pub(super) fn apply(
        &self,
        options: &mut CopyOptions,
        operands: &Operands,
    ) -> Result<(), UsageError> {
        if !self.delete && !self.delete_before && !self.delete_excluded {
            return match self.option_without_delete() {
                Some(option) => Err(usage(&format!("{option} needs --delete"))),
                None => Ok(()),
            };
        }
        options.deletion = Some(Deletion {
            before: self.delete_before,
            limit: self.max_delete.unwrap_or_default(),
            allows_empty_source: self.allow_empty_source,
            despite_errors: self.delete_despite_errors,
            in_system_directory: self.delete_in_system_directory,
        });
        if let Some(Backup { dir: None, .. }) = &options.backup {
            return Err(usage(
                "--delete would remove the backups that --backup makes in the copy: say where they are kept (--backup-dir)",
            ));
        }
        refuse_merging(operands)
    }

    /// Returns an option that has no meaning without `--delete`.
    fn option_without_delete(&self) -> Option<&'static str> {
        let given = [
            (self.max_delete.is_some(), "--max-delete"),
            (self.allow_empty_source, "--allow-empty-source"),
            (self.delete_despite_errors, "--delete-despite-errors"),
            (self.delete_in_system_directory, "--delete-in-system-directory"),
        ];
        given.iter().find(|(is_given, _)| *is_given).map(|(_, option)| *option)
    }
}

/// Refuses sources of which several are copied to one place: what one of them does not have, another one may have.
fn refuse_merging(operands: &Operands) -> Result<(), UsageError> {
    let (Operands::Into { sources, .. } | Operands::Onto { sources, .. }) = operands else {
        return Ok(());
    };
    let mut names = HashSet::new();
    for source in sources {
        // `SRC/.` stands for the contents, which are copied to DST itself.
        let is_nameless = source.as_os_str().as_bytes().ends_with(b"/.");
        let name = match source.components().next_back() {
            Some(Component::Normal(name)) if !is_nameless => name,
            _ => OsStr::new("."),
        };
        let is_alone = names.insert(name) && (name != "." && !names.contains(OsStr::new(".")));
        if !is_alone && sources.len() > 1 {
            let source = quote(Path::new(source).as_os_str().as_bytes());
            return Err(usage(&format!(
                "--delete: {source} and another source are copied to one place; run pcopy once for each"
            )));
        }
    }
    Ok(())
}

/// Returns a parser of a number of entries, or of a share of them.
fn limit() -> impl TypedValueParser<Value = DeletionLimit> {
    OsStringValueParser::new().try_map(|word| {
        let word = word.to_str().unwrap_or_default();
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let limit = match word.strip_suffix('%') {
            Some(percent) if is_number(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(DeletionLimit::Percent)
            }
            None if is_number(word) => word.parse().ok().map(DeletionLimit::Entries),
            _ => None,
        };
        limit.ok_or("expected a number, or a share from 0% to 100%")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sources: &[&str]) -> bool {
        let sources = sources.iter().map(Into::into).collect();
        refuse_merging(&Operands::Into { sources, directory: "d".into() }).is_err()
    }

    #[test]
    fn sources_that_are_copied_to_one_place_are_refused() {
        for one_place in [
            &["a/x", "b/x"][..],
            &["a/x", "b/x/"],
            &["a/.", "b/."],
            &["a/.", "b"],
            &["b", "a/."],
            &["b", "."],
            &["..", "b"],
        ] {
            assert!(refused(one_place), "{one_place:?}");
        }
        for others in [&["a"][..], &["a/."], &["a", "b"], &["a/", "b/", "c"]] {
            assert!(!refused(others), "{others:?}");
        }
    }

    #[test]
    fn the_share_of_removals_is_compared_without_rounding() {
        use DeletionLimit::{Default, Entries, Percent};
        for (limit, removals, all, permits) in [
            (Default, 19, 19, true),
            (Default, 20, 40, true),
            (Default, 20, 39, false),
            (Percent(0), 1, 1_000_000, false),
            (Percent(100), u64::MAX, u64::MAX, true),
            (Percent(33), 1, 3, false),
            (Percent(34), 1, 3, true),
            (Entries(0), 1, 9, false),
            (Entries(9), 9, 9, true),
        ] {
            assert_eq!(limit.permits(removals, all), permits, "{limit:?} {removals} {all}");
        }
    }
}
