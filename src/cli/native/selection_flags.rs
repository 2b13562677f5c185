//! Options that select which entries of a source are copied.

use super::super::usage_error::UsageError;
use super::usage;
use crate::options::Operands;
use crate::sanitize::{escape, quote};
use crate::selection::{BadRule, RuleList, RuleOption, Selection};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, Args};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Selection")]
pub(super) struct SelectionFlags {
    /// Leave out the entries that match PATTERN
    ///
    /// Patterns and their order are those of rsync: the first pattern that matches an entry decides, whichever option
    /// gives it, and an entry that none matches is copied. A PATTERN without a slash is compared with the name of the
    /// entry; one that begins with a slash with the path below SRC; one with a slash inside with the end of that path.
    /// A slash at the end restricts it to directories. * and ? and [a-z] match no slash, ** matches any text, and
    /// DIR/*** matches DIR and all that is in it. What is in a directory that is left out is left out, too.
    #[arg(long, value_name = "PATTERN", conflicts_with = "check_manifest")]
    exclude: Vec<OsString>,

    /// Copy the entries that match PATTERN
    ///
    /// For entries that a later --exclude would leave out. An entry in a directory that is left out is not copied: the
    /// directory must be included, too.
    #[arg(long, value_name = "PATTERN", conflicts_with = "check_manifest")]
    include: Vec<OsString>,

    /// Add a filter rule in rsync's grammar
    ///
    /// '- PATTERN' and '+ PATTERN' are --exclude and --include. 'H PATTERN' and 'S PATTERN' are for SRC only, 'P PATTERN'
    /// and 'R PATTERN' for DST only, where --check otherwise reports extraneous entries. '. FILE' reads rules from FILE,
    /// and '!' forgets all rules before it. The modifiers ! s r p and the long names of the rules are accepted.
    #[arg(long, value_name = "RULE", hide_short_help = true, conflicts_with = "check_manifest")]
    filter: Vec<OsString>,

    /// Read patterns for --exclude from FILE
    ///
    /// One on each line. Empty lines and lines that begin with # or ; are skipped. '+ ' and '- ' before a pattern make
    /// the line an --include or --exclude. FILE - is standard input.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "check_manifest",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    exclude_from: Vec<PathBuf>,

    /// Read patterns for --include from FILE
    ///
    /// Like --exclude-from.
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    include_from: Vec<PathBuf>,

    /// End the lines of these files with a zero byte
    ///
    /// Then no line is a comment.
    #[arg(short = '0', long, hide_short_help = true)]
    from0: bool,
}

/// A rule or a file with rules.
enum Given {
    Rule(OsString),
    File(PathBuf),
}

impl SelectionFlags {
    /// Returns the selection; `None` if no rule was given.
    pub(super) fn selection(self, matches: &ArgMatches) -> Result<Option<Selection>, UsageError> {
        let mut all: Vec<(usize, RuleOption, Given)> = Vec::new();
        for (id, option, values) in [
            ("exclude", RuleOption::Exclude, self.exclude),
            ("include", RuleOption::Include, self.include),
            ("filter", RuleOption::Filter, self.filter),
        ] {
            let places = matches.indices_of(id).into_iter().flatten();
            all.extend(places.zip(values).map(|(at, rule)| (at, option, Given::Rule(rule))));
        }
        for (id, option, values) in [
            ("exclude_from", RuleOption::Exclude, self.exclude_from),
            ("include_from", RuleOption::Include, self.include_from),
        ] {
            let places = matches.indices_of(id).into_iter().flatten();
            all.extend(places.zip(values).map(|(at, file)| (at, option, Given::File(file))));
        }
        all.sort_by_key(|&(at, _, _)| at);
        let mut list = RuleList::default();
        for (_, option, given) in all {
            let added = match &given {
                Given::Rule(rule) => list.add_option(option, rule.as_bytes()),
                Given::File(file) => list.add_file(option, file, self.from0),
            };
            added.map_err(|bad| refuse(option, &bad))?;
        }
        if list.is_empty() {
            return Ok(None);
        }
        Selection::new(list).map(Some).map_err(|bad| refuse(RuleOption::Filter, &bad))
    }
}

/// Whether a selection rule was given.
pub(super) fn were_given(matches: &ArgMatches) -> bool {
    RULES.iter().any(|id| matches.contains_id(id))
}

/// The options that give rules.
const RULES: [&str; 5] = ["exclude", "include", "filter", "exclude_from", "include_from"];

/// Refuses a command line with a single SRC that a rule leaves out.
pub(super) fn refuse_left_out(
    operands: &Operands,
    selection: &Selection,
) -> Result<(), UsageError> {
    let source = match operands {
        Operands::Into { sources, .. } | Operands::Onto { sources, .. } => match &sources[..] {
            [source] => source,
            _ => return Ok(()),
        },
        Operands::Beside { source, .. } | Operands::Exactly { source, .. } => source,
    };
    let name = source.file_name().unwrap_or_default().as_bytes();
    if selection.leaves_out_operand(name, source.is_dir(), true) {
        let source = quote(source.as_os_str().as_bytes());
        return Err(usage(&format!("a rule leaves out {source}, the only source")));
    }
    Ok(())
}

/// Returns the usage error for a rule that cannot be used.
fn refuse(option: RuleOption, bad: &BadRule) -> UsageError {
    let rule = quote(&bad.text);
    usage(&match &bad.place {
        Some((file, 0)) => {
            format!("cannot read the rules in {}: {}", quote(file.as_os_str().as_bytes()), bad.why)
        }
        Some((file, line)) => {
            let file = escape(file.as_os_str().as_bytes());
            format!("{file}:{line}: invalid rule {rule}: {}", bad.why)
        }
        None => {
            let option = match option {
                RuleOption::Exclude => "--exclude",
                RuleOption::Include => "--include",
                RuleOption::Filter => "--filter",
            };
            format!("invalid value {rule} for '{option}': {}", bad.why)
        }
    })
}
