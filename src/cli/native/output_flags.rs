//! Options that control what pcopy prints.

use super::super::values::{WHEN, one_word_of, path};
use crate::options::{CopyOptions, Verbosity, When};
use clap::{ArgAction, Args};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputFlags {
    /// Print the name of each entry as it is copied
    ///
    /// Also prints a summary at the end, which is otherwise printed only if standard error is a terminal.
    #[arg(short = 'v', long, overrides_with = "quiet", conflicts_with = super::COMPARING)]
    verbose: bool,

    /// Print how each file is copied; implies -v
    #[arg(long, hide_short_help = true, overrides_with = "quiet", conflicts_with = super::COMPARING)]
    debug: bool,

    /// Print what would be copied, and change nothing
    ///
    /// Looks at SRC and DST as a copy would, and prints the summary; -v prints the names, --itemize-changes also what
    /// changes. The exit status is that of the copy as far as it can be known. Nothing is locked or written, and no time of
    /// access changes.
    #[arg(long, conflicts_with_all = [super::COMPARING, "interactive", "manifest", "parents", "explain"])]
    dry_run: bool,

    /// Find out what the run would do before it begins
    ///
    /// Looks at everything as --dry-run does, and copies nothing if there is not enough space or if too much would be removed
    /// (--delete).
    #[arg(
        long,
        hide_short_help = true,
        conflicts_with_all = [super::COMPARING, "dry_run", "parents", "explain"]
    )]
    check_first: bool,
    /// Write what would be copied to FILE, for --apply; implies --dry-run
    ///
    /// FILE has one line of JSON for each operation, with what was seen of the entry in SRC and in DST. Lines may be taken
    /// out of it, and not changed or added. It must not be in SRC or in the copy.
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        value_parser = path(),
        conflicts_with_all = [
            super::COMPARING,
            "interactive",
            "manifest",
            "parents",
            "explain",
            "mkpath",
            "check_first",
            "delete_before",
            "backup_dir"
        ]
    )]
    pub(super) plan: Option<PathBuf>,

    /// Do what the plan in FILE says, and nothing else
    ///
    /// Operands and options are those of the plan; if operands are given, they must be the same. Each entry is compared with
    /// what the plan says of it: one that has changed in SRC or in DST is left alone and fails. What --delete would ask
    /// before it removes anything is asked again.
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        value_parser = path(),
        conflicts_with_all = [super::COMPARING, "dry_run", "plan"]
    )]
    pub(super) apply: Option<PathBuf>,

    /// Print what changes of each entry, in rsync's letters
    ///
    /// A line has eleven letters and the name relative to DST. The first is > for a file that is copied, c for another
    /// entry that is created or changed, h for a hard link, and . if only attributes change; the second is the type, f d L
    /// D or S. Then + in all places for a new entry, or a letter for each change: c contents, s size, t time, p
    /// permission bits, o owner, g group, a ACL, x extended attributes. Unchanged entries have no line.
    #[arg(long, hide_short_help = true, conflicts_with = super::COMPARING)]
    itemize_changes: bool,

    /// Print errors only
    #[arg(short = 'q', long, overrides_with_all = ["verbose", "debug"])]
    quiet: bool,

    /// Show a progress line on standard error
    ///
    /// WHEN is auto (if standard error is a terminal, the copy takes a while and does not run in the background of a
    /// shell), always (also prints the summary at the end where standard error is not a terminal) or never [default:
    /// auto; without =WHEN: always].
    #[arg(
        long,
        value_parser = one_word_of(&WHEN),
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        hide_possible_values = true
    )]
    progress: Option<When>,

    /// Print this summary; --help prints all options
    #[arg(short = 'h', long, action = ArgAction::Help, long_help = "Print this help; -h prints a summary")]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

impl OutputFlags {
    /// Sets the verbosity in `options`. Returns when to draw the progress line.
    pub(super) fn apply(&self, options: &mut CopyOptions) -> When {
        options.verbosity = match (self.quiet, self.verbose, self.debug) {
            (_, _, true) => Verbosity::Debug,
            (_, true, _) => Verbosity::Verbose,
            (true, ..) => Verbosity::Quiet,
            _ => Verbosity::Normal,
        };
        options.plans = self.plan.is_some();
        options.dry_run = self.dry_run || options.plans;
        options.check_first = self.check_first;
        options.itemize_changes = self.itemize_changes;
        self.progress.unwrap_or(When::Auto)
    }
}
