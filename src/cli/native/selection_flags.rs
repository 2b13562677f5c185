//! Options that select which entries of a source are copied.

use super::super::usage_error::UsageError;
use super::super::values::{number, path};
use super::quantities::{size, time};
use super::usage;
use crate::options::{Command, Operands};
use crate::sanitize::{escape, quote};
use crate::selection::{
    BadRule, Criteria, Limits, Listed, RuleList, RuleOption, Selection, below_source,
};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, Args};
use pcopy_sys::file::Stamp;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

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
    /// ': NAME' those in the file NAME of each directory in SRC, for that directory and all below it, and '!' forgets all
    /// rules before it. The modifiers ! s r p and the long names of the rules are accepted.
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

    /// Copy only what matches PATTERN
    ///
    /// Takes the entries that match, all that is in matching directories, and the directories above, and creates no
    /// directory in which nothing matches. Can be repeated. Patterns are those of --exclude; what an --exclude leaves out
    /// stays out.
    #[arg(long, value_name = "PATTERN", hide_short_help = true, conflicts_with = "check_manifest")]
    only: Vec<OsString>,

    /// Copy only the names in FILE
    ///
    /// One path on each line, relative to SRC; paths that begin with SRC, as those of find, are accepted, too. DIR is the
    /// directory alone, DIR/ with all that is in it. The directories above are created. The rules of the other options
    /// are for what is in DIR/. A name that does not exist is a failure. FILE - is standard input.
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = path()
    )]
    files_from: Option<PathBuf>,

    /// Accept names of --files-from that do not exist
    #[arg(long, hide_short_help = true, alias = "ignore-missing-args", requires = "files_from")]
    ignore_missing: bool,

    /// End the lines of these files with a zero byte
    ///
    /// For --files-from, --exclude-from and --include-from. Then no line is a comment.
    #[arg(short = '0', long, hide_short_help = true)]
    from0: bool,

    /// Leave out what git ignores
    ///
    /// Reads the files .gitignore in SRC, and .git/info/exclude. Outside of repositories, too; directories above SRC and
    /// the settings of the user have no influence. An entry that git tracks although it is ignored is left out, too, if no
    /// --include takes it. .git itself is copied.
    #[arg(long, conflicts_with = "check_manifest")]
    gitignore: bool,

    /// Read patterns in git's grammar from files called NAME
    ///
    /// As .gitignore, each for its directory and all below it. Can be repeated.
    #[arg(
        long,
        value_name = "NAME",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = name()
    )]
    ignore_file: Vec<CString>,

    /// Read patterns in git's grammar from FILE
    ///
    /// They are relative to SRC. Can be repeated; the last one counts most.
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = path()
    )]
    ignore_from: Vec<PathBuf>,

    /// Leave out the contents of directories with CACHEDIR.TAG
    ///
    /// The directory and the tag are copied. A tag begins with the signature of the Cache Directory Tagging Specification.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    exclude_caches: bool,

    /// Leave out the contents of directories that have an entry NAME
    ///
    /// The directory and that entry are copied. Can be repeated. Not for SRC itself.
    #[arg(
        long,
        value_name = "NAME",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = name()
    )]
    exclude_if_present: Vec<CString>,

    /// Leave out .git, .svn and other files of version control
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    exclude_vcs: bool,

    /// Leave out files of more than SIZE bytes
    ///
    /// K and KiB are 1024, KB is 1000; M, G, T and P go on so. 1.5G and 1G-1 are sizes, too.
    #[arg(
        long,
        value_name = "SIZE",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = size()
    )]
    max_size: Option<u64>,

    /// Leave out files of less than SIZE bytes
    #[arg(
        long,
        value_name = "SIZE",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = size()
    )]
    min_size: Option<u64>,

    /// Leave out files that were not modified after TIME
    ///
    /// TIME is a duration before now (90s, 10m, 2h, 7d, 4w), a date such as 2026-01-31 or '2026-01-31 12:00' in local
    /// time, a time as in RFC 3339, @SECONDS since 1970, or file:PATH: the time of that file.
    #[arg(
        long,
        value_name = "TIME",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = time()
    )]
    newer_than: Option<Stamp>,

    /// Leave out files that were not modified before TIME
    #[arg(
        long,
        value_name = "TIME",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = time()
    )]
    older_than: Option<Stamp>,

    /// Copy no more than N levels
    ///
    /// 1 is what SRC contains. Directories on the last level are created empty.
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = number(1..=u32::MAX, "")
    )]
    max_depth: Option<u32>,

    /// Create no directories in which nothing is copied
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    prune_empty_dirs: bool,

    /// Copy only what DST already has
    ///
    /// Entries that DST does not have are not created.
    #[arg(long, hide_short_help = true, conflicts_with = "check_manifest")]
    existing: bool,

    /// Print which rule decides about PATH, and copy nothing
    ///
    /// PATH is relative to SRC or begins with SRC. Prints a line for each directory above PATH and for PATH: taken or
    /// excluded, and the rule. The exit status is 0 if PATH is taken, and 1 if it is excluded. DST may be omitted.
    #[arg(long, value_name = "PATH", hide_short_help = true, conflicts_with = super::COMPARING, value_parser = path())]
    pub(super) explain: Option<PathBuf>,
}

/// A rule or a file with rules.
enum Given {
    Rule(OsString),
    File(PathBuf),
}

impl SelectionFlags {
    /// Returns an option that reads rules or names from standard input.
    pub(super) fn reads_stdin(&self) -> Option<&'static str> {
        let lists = [
            ("--exclude-from", &self.exclude_from[..]),
            ("--include-from", &self.include_from),
            ("--files-from", self.files_from.as_slice()),
            ("--ignore-from", &self.ignore_from),
        ];
        let is_stdin = |files: &[PathBuf]| files.iter().any(|file| file.as_os_str() == "-");
        lists.iter().find(|(_, files)| is_stdin(files)).map(|(option, _)| *option)
    }

    /// Returns the selection; `None` if all entries are taken.
    pub(super) fn selection(
        mut self,
        matches: &ArgMatches,
        operands: &Operands,
        delete_excluded: bool,
    ) -> Result<Option<Selection>, UsageError> {
        let rules = self.rules(matches)?;
        let mut criteria = Criteria {
            limits: Limits {
                max_size: self.max_size,
                min_size: self.min_size,
                newer_than: self.newer_than,
                older_than: self.older_than,
            },
            max_depth: self.max_depth,
            exclude_caches: self.exclude_caches,
            tags: self.exclude_if_present,
            gitignore: self.gitignore,
            ignore_files: self.ignore_file,
            prune_empty_dirs: self.prune_empty_dirs || !self.only.is_empty(),
            existing: self.existing,
            ignore_from: self.ignore_from,
            listed: None,
            delete_excluded: false,
        };
        if let Some(file) = &self.files_from {
            let source = operands.only_source().filter(|source| source.is_dir());
            let source = source.ok_or_else(|| {
                usage("--files-from needs a directory as the only SRC, which its names are relative to")
            })?;
            let mut listed = Listed::default();
            listed.add_file(file, self.from0, source).map_err(|bad| refuse_name(&bad))?;
            listed.accepts_missing = self.ignore_missing;
            criteria.listed = Some(listed);
        }
        if rules.is_empty() && criteria == Criteria::default() {
            return Ok(None);
        }
        criteria.delete_excluded = delete_excluded;
        Selection::new(rules, criteria).map(Some).map_err(|bad| refuse(RuleOption::Filter, &bad))
    }

    /// Returns the rules in the order of the command line, which those of --only follow.
    fn rules(&mut self, matches: &ArgMatches) -> Result<RuleList, UsageError> {
        let mut all: Vec<(usize, RuleOption, Given)> = Vec::new();
        for (id, option, values) in [
            ("exclude", RuleOption::Exclude, std::mem::take(&mut self.exclude)),
            ("include", RuleOption::Include, std::mem::take(&mut self.include)),
            ("filter", RuleOption::Filter, std::mem::take(&mut self.filter)),
        ] {
            let places = matches.indices_of(id).into_iter().flatten();
            all.extend(places.zip(values).map(|(at, rule)| (at, option, Given::Rule(rule))));
        }
        for (id, option, values) in [
            ("exclude_from", RuleOption::Exclude, std::mem::take(&mut self.exclude_from)),
            ("include_from", RuleOption::Include, std::mem::take(&mut self.include_from)),
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
        if self.exclude_vcs {
            list.add_vcs().map_err(|bad| refuse(RuleOption::ExcludeVcs, &bad))?;
        }
        if !self.only.is_empty() {
            let patterns = self.only.iter().map(|pattern| pattern.as_bytes().to_vec());
            let added = list.add_only(&patterns.collect::<Vec<_>>());
            added.map_err(|bad| refuse(RuleOption::Only, &bad))?;
        }
        Ok(list)
    }
}

/// Returns a parser of the name of an entry.
fn name() -> impl TypedValueParser<Value = CString> {
    OsStringValueParser::new().try_map(|word| {
        let is_name =
            !matches!(word.as_bytes(), b"" | b"." | b"..") && !word.as_bytes().contains(&b'/');
        let name = CString::new(word.into_vec()).ok().filter(|_| is_name);
        name.ok_or("expected a name without a slash")
    })
}

/// Refuses a command line with a single SRC that a rule leaves out.
pub(super) fn refuse_left_out(
    operands: &Operands,
    selection: &Selection,
) -> Result<(), UsageError> {
    let Some(source) = operands.only_source() else { return Ok(()) };
    let name = source.file_name().unwrap_or_default().as_bytes();
    if selection.leaves_out_operand(name, source.is_dir(), true) {
        let source = quote(source.as_os_str().as_bytes());
        return Err(usage(&format!("a rule leaves out {source}, the only source")));
    }
    Ok(())
}

/// Returns the command that explains what is decided about `path`.
pub(super) fn explanation(path: &Path, operands: &Operands) -> Result<Command, UsageError> {
    let source = operands.only_source().filter(|source| source.is_dir());
    let source = source.ok_or_else(|| usage("--explain needs a directory as the only SRC"))?;
    let below = below_source(path, source).map_err(|why| {
        let path = quote(path.as_os_str().as_bytes());
        usage(&format!("invalid value {path} for '--explain': {why}"))
    })?;
    Ok(Command::Explain(below))
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
                RuleOption::Only | RuleOption::OnlyRest => "--only",
                RuleOption::ExcludeVcs => "--exclude-vcs",
            };
            format!("invalid value {rule} for '{option}': {}", bad.why)
        }
    })
}

/// Returns the usage error for a name of --files-from that cannot be used.
fn refuse_name(bad: &BadRule) -> UsageError {
    let Some((file, line)) = &bad.place else { return usage(&bad.why) };
    let file = file.as_os_str().as_bytes();
    usage(&match line {
        0 => format!("cannot read the names in {}: {}", quote(file), bad.why),
        line => format!("{}:{line}: invalid path {}: {}", escape(file), quote(&bad.text), bad.why),
    })
}
