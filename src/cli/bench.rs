//! The command line of `pcopy bench`.

use super::Action;
use crate::bench::goes_together;
use crate::bench::options::{Keep, Onto, Options, Source};
use crate::bench::peers::{TOOLS, Tool};
use crate::bench::picture::Format;
use crate::bench::trees::{self, Name, Tree};
use crate::plan::JOBS_MAX;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Measure pcopy and other copy programs on this machine
///
/// Generates a tree, or uses SRC, and copies it with pcopy and each other installed copy program, in turn, several
/// times. Compares each copy with its source and prints medians, minima, spreads and ratios.
///
/// Only programs that preserve the same attributes are compared: `pcopy --preserve=none` with `cp -r`, `pcopy -a`
/// with `cp -a`. Programs that preserve less are measured and marked.
#[derive(Parser, Debug)]
#[command(
    name = "pcopy bench",
    version,
    args_override_self = true,
    override_usage = "pcopy bench [OPTIONS] [SRC]",
    after_help = "TREE: small (100,000 files in 1,000 directories), wide (50,000 in one directory), empty (1,000,000\nempty files), deep (20,000 directories of one file), big (1.2 GB), few (20 of 128 MB), sparse (4 GB\nwith 64 MB of data), links (20,000 files with three names), tiny1, tiny10, tiny100, skewed (a wide\ndirectory and a large file after 1,000 small directories, by name; the order in which a file system\nlists them cannot be chosen), source (like a source tree), all.\n\nA ratio is the time of the other program divided by pcopy's time in the same round; the median of\nthe ratios is reported. From 0.97 to 1.03 the two are even; beyond that, four of five rounds must\nagree. A time ends when the program exits, even if data is not yet on the disk. Memory is that of\nthe largest process, not the sum of all, and includes what a process has before its program begins.\n\nExit codes: 0 done, 1 a program failed, its copy was wrong, or the run ended early, 2 usage error,\n3 refused, 6 pcopy's own copy was wrong."
)]
struct Flags {
    /// Copy this directory instead of a generated tree
    #[arg(value_name = "SRC", conflicts_with_all = ["tree", "seed", "scale", "source_dir"])]
    source: Option<PathBuf>,

    /// Generate and copy these trees [default: small]
    #[arg(long, value_name = "TREE", value_delimiter = ',', value_parser = tree)]
    tree: Vec<Vec<Name>>,

    /// Seed of the generated contents [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Multiply the number of files by F [default: 1]
    ///
    /// For 'big' and 'sparse', the number of bytes. Not for the tiny trees.
    #[arg(long, value_name = "F", value_parser = scale)]
    scale: Option<f64>,

    /// Measure these programs, as NAME or NAME=PATH [default: all installed]
    ///
    /// NAME is cp, rsync, tar, cpz, fcp or xcp.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = peer)]
    against: Option<Vec<(Tool, Option<PathBuf>)>>,

    /// Run pcopy with each of these numbers of processes [default: automatic]
    #[arg(short = 'j', long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    jobs: Vec<u16>,

    /// Preserve none, times (with mode and links) or all [default: none,all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    keep: Vec<Kept>,

    /// Number of measured runs of each program, after one that is not measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,

    /// Create a directory for trees and copies in DIR; it is removed at the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Generate the trees in DIR, which may be on another file system
    #[arg(long, value_name = "DIR")]
    source_dir: Option<PathBuf>,

    /// Drop the page cache before each run (root only)
    ///
    /// The programs themselves are read into it again before the run.
    #[arg(long)]
    cold: bool,

    /// Existing target: none, an identical copy, or one where every second file differs
    #[arg(long, value_enum, value_name = "WHAT", default_value = "new")]
    onto: There,

    /// Write all results to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a chart to FILE, which ends in .svg or .png
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(chart))]
    chart: Vec<PathBuf>,

    /// Do not compare the copies with the source
    #[arg(long)]
    no_verify: bool,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Kept {
    None,
    Times,
    All,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum There {
    New,
    Same,
    Different,
}

/// Reads the program's name and the arguments after `bench`.
pub(super) fn read(arguments: &[OsString]) -> Result<Action, clap::Error> {
    Flags::try_parse_from(arguments)?.into_options().map(Action::Bench)
}

impl Flags {
    fn into_options(self) -> Result<Options, clap::Error> {
        let onto = match self.onto {
            There::New => Onto::New,
            There::Same => Onto::Same,
            There::Different => Onto::Different,
        };
        let named = |kept: &Kept| match kept {
            Kept::None => Keep::None,
            Kept::Times => Keep::Times,
            Kept::All => Keep::All,
        };
        let mut keep: Vec<Keep> = self.keep.iter().map(named).collect();
        if keep.is_empty() {
            let first = if goes_together(onto, Keep::None) { Keep::None } else { Keep::Times };
            keep = vec![first, Keep::All];
        }
        if keep.iter().any(|&keep| !goes_together(onto, keep)) {
            let message = "--onto=same needs --keep=times or --keep=all";
            return Err(Self::command().error(ErrorKind::ValueValidation, message));
        }
        let mut names = self.tree.concat();
        if names.is_empty() {
            names.push(Name::Small);
        }
        let (seed, scale) = (self.seed.unwrap_or(1), self.scale.unwrap_or(1.0));
        let trees = names.into_iter().map(|name| Tree { name, seed, scale });
        Ok(Options {
            source: self.source.map_or_else(|| Source::Trees(trees.collect()), Source::Folder),
            against: self.against,
            jobs: without_doubles(self.jobs),
            keep: without_doubles(keep),
            runs: self.runs.into(),
            dir: self.dir,
            source_dir: self.source_dir,
            cold: self.cold,
            onto,
            json: self.json,
            charts: self.chart,
            verify: !self.no_verify,
        })
    }
}

/// Each value once, at its first place.
fn without_doubles<T: PartialEq + Copy>(list: Vec<T>) -> Vec<T> {
    let first = |&(at, one): &(usize, &T)| !list[..at].contains(one);
    list.iter().enumerate().filter(first).map(|(_, &one)| one).collect()
}

fn tree(word: &str) -> Result<Vec<Name>, String> {
    if word == "all" {
        return Ok(trees::ALL.iter().map(|&(_, name)| name).collect());
    }
    let found = trees::ALL.iter().find(|(name, _)| *name == word);
    found.map(|&(_, name)| vec![name]).ok_or_else(|| {
        let names = trees::ALL.map(|(name, _)| name).join(", ");
        format!("unknown tree; valid are {names} and all")
    })
}

fn scale(word: &str) -> Result<f64, String> {
    let number = word.parse::<f64>().ok().filter(|&number| number > 0.0 && number <= 1000.0);
    number.ok_or_else(|| "must be more than 0 and at most 1000".to_owned())
}

fn peer(word: &str) -> Result<(Tool, Option<PathBuf>), String> {
    let (name, program) = match word.split_once('=') {
        Some((name, program)) => (name, Some(PathBuf::from(program))),
        None => (word, None),
    };
    let found = TOOLS.iter().find(|(known, _)| *known == name);
    let &(_, tool) = found.ok_or_else(|| {
        let names = TOOLS.map(|(name, _)| name).join(", ");
        format!("unknown program; valid are {names}")
    })?;
    // A name without a slash would be searched on PATH.
    let program = program.map(|program| std::path::absolute(&program).unwrap_or(program));
    Ok((tool, program))
}

fn chart(path: PathBuf) -> Result<PathBuf, String> {
    match Format::of(&path) {
        Some(_) => Ok(path),
        None => Err("its name must end in .svg or .png".to_owned()),
    }
}
