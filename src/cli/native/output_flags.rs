//! Options that control what pcopy prints.

use super::super::values::{WHEN, one_word_of};
use crate::options::{CopyOptions, Verbosity, When};
use clap::{ArgAction, Args};

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
        self.progress.unwrap_or(When::Auto)
    }
}
