//! The command line of the benchmark, `pcopy bench`.

use super::Invocation;
use super::usage_error::UsageError;
use super::values::number;
use crate::bench::bench_options::{BenchOptions, BenchSource, Preserved, TargetState};
use crate::bench::chart::ImageFormat;
use crate::bench::tools::{TOOLS, Tool};
use crate::bench::trees::{TREES, TreeKind, TreeSpec};
use crate::plan::JOBS_MAX;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{CommandFactory, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Trees:
  small    100,000 small files in 1,000 directories
  wide     50,000 files of 1 KB in one directory
  empty    1,000,000 empty files in one directory
  deep     20,000 directories in three levels, with one file each
  big      one file of 1.2 GB
  few      20 files of 128 MB
  sparse   a disk image of 4 GB with 64 MB of data
  links    20,000 files with three names each
  tiny1, tiny10, tiny100
           1, 10 or 100 files of 1 KB
  skewed   1,000 small directories, then a wide one and a large file, by name; a
           file system may list them in another order
  source   like a source repository
  all      all of them

The ratio of a program is its time divided by pcopy's in the same round; the
median over all rounds is printed. A ratio from 0.97 to 1.03 counts as equal;
for 'faster' or 'slower', four of five rounds must agree. A run ends when the
program exits, even if data has not been written to disk yet. Max RSS is that
of the program's largest process, not the sum over its processes, and includes
the memory of the process before it executes the program.

Exit codes: 0 done; 1 a program failed, a copy by another program was wrong, or
the benchmark ended early; 2 usage error; 3 refused before anything was
measured; 6 a copy by pcopy was wrong.";

// One field per option: clap derives the command line from a single struct.
/// Compare the speed of pcopy with that of other copy programs
///
/// Generates a tree, or uses SRC, and has it copied by pcopy and by each other installed copy
/// program, in turn and several times. Compares each copy with its source. Prints the median and
/// the minimum of the times, their spread, and their ratio to pcopy's.
///
/// Programs are compared only where they preserve the same: `cp -r` with `pcopy --preserve=none`,
/// `cp -a` with `pcopy -a`. A program that preserves less is marked.
#[derive(Parser, Debug)]
#[command(
    name = "pcopy bench",
    version,
    args_override_self = true,
    override_usage = "pcopy bench [OPTIONS] [SRC]",
    after_help = AFTER_HELP
)]
struct BenchFlags {
    /// Directory to copy [default: a generated tree]
    #[arg(value_name = "SRC", conflicts_with_all = ["tree", "seed", "scale", "source_dir"])]
    source: Option<PathBuf>,

    /// Generate and copy each TREE of a comma-separated list [default: small]
    ///
    /// The trees are listed below.
    #[arg(long, value_name = "TREE", value_delimiter = ',', value_parser = tree)]
    tree: Vec<Vec<TreeKind>>,

    /// Seed of the generated trees [default: 1]
    ///
    /// With the same seed and scale a tree is the same on any machine.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Multiply the number of files in the trees by F [default: 1]
    ///
    /// For 'big' and 'sparse', the number of bytes. The tiny trees do not change.
    #[arg(long, value_name = "F", value_parser = scale)]
    scale: Option<f64>,

    /// Programs to compare with, as NAME or NAME=PATH [default: all that are installed]
    ///
    /// A comma-separated list; NAME is cp, rsync, tar, cpz, fcp or xcp. It is an error if a program
    /// of the list is not installed.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = program)]
    against: Option<Vec<(Tool, Option<PathBuf>)>>,

    /// Numbers of copiers to run pcopy with [default: the number that pcopy chooses]
    ///
    /// A comma-separated list; each number has a row of its own. With more than one, charts also
    /// show the throughput over the number of copiers.
    #[arg(short = 'j', long, value_name = "LIST", value_delimiter = ',', value_parser = number(1..=JOBS_MAX, ""))]
    jobs: Vec<u16>,

    /// What the copies preserve [default: none,all]
    ///
    /// A comma-separated list; each level has a table of its own. With --onto=same the default is
    /// times,all.
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    keep: Vec<KeepValue>,

    /// Number of timed runs of each program
    ///
    /// Before these, each program is run once without being timed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = number(1..=u16::MAX, ""))]
    runs: u16,

    /// Directory to work in
    ///
    /// Trees and copies are created in a private subdirectory, which is removed at the end.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Directory to generate trees in [default: that of --dir]
    ///
    /// To measure copies from one file system to another.
    #[arg(long, value_name = "DIR")]
    source_dir: Option<PathBuf>,

    /// Drop the page cache before each run (root only)
    ///
    /// The source is then read from disk. The programs themselves remain cached.
    #[arg(long)]
    cold: bool,

    /// State of the target before each copy
    #[arg(long, value_enum, value_name = "STATE", default_value = "new")]
    onto: OntoValue,

    /// Write all results to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw charts of the results to FILE, whose name ends in .svg or .png
    ///
    /// The option can be given more than once.
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(chart))]
    chart: Vec<PathBuf>,

    /// Do not compare the copies with the source
    #[arg(long)]
    no_verify: bool,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum KeepValue {
    /// Nothing but names, contents and file types
    None,
    /// Also mode, modification times and hard links
    Times,
    /// Also owner, ACLs and extended attributes
    All,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum OntoValue {
    /// No target
    New,
    /// A complete copy
    Same,
    /// A copy in which every second file has other contents and an older time
    Different,
}

/// Reads the program's name and the arguments after `bench`.
pub(super) fn read(arguments: &[OsString]) -> Result<Invocation, UsageError> {
    let flags = BenchFlags::try_parse_from(arguments);
    let flags = flags.map_err(|error| UsageError::of(error, &BenchFlags::command()))?;
    flags.into_options().map(|options| Invocation::Bench(Box::new(options)))
}

impl BenchFlags {
    fn into_options(self) -> Result<BenchOptions, UsageError> {
        let onto = match self.onto {
            OntoValue::New => TargetState::New,
            OntoValue::Same => TargetState::Same,
            OntoValue::Different => TargetState::Different,
        };
        let keep = self.keep_levels(onto)?;
        let mut kinds = self.tree.concat();
        if kinds.is_empty() {
            kinds.push(TreeKind::Small);
        }
        let (seed, scale) = (self.seed.unwrap_or(1), self.scale.unwrap_or(1.0));
        let trees = kinds.into_iter().map(|kind| TreeSpec { kind, seed, scale });
        let source = match self.source {
            Some(path) => BenchSource::Directory(path),
            None => BenchSource::Trees(trees.collect()),
        };
        Ok(BenchOptions {
            source,
            against: self.against,
            jobs: without_duplicates(self.jobs),
            keep,
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

    fn keep_levels(&self, onto: TargetState) -> Result<Vec<Preserved>, UsageError> {
        let level = |value: &KeepValue| match value {
            KeepValue::None => Preserved::None,
            KeepValue::Times => Preserved::Times,
            KeepValue::All => Preserved::All,
        };
        let levels: Vec<Preserved> = self.keep.iter().map(level).collect();
        if levels.iter().any(|&level| !onto.can_be_measured_with(level)) {
            let message = "--onto=same requires --keep=times or --keep=all: without modification \
                           times, programs cannot tell that files are up to date";
            return Err(UsageError::new(message));
        }
        if levels.is_empty() {
            let none = Preserved::None;
            let least = if onto.can_be_measured_with(none) { none } else { Preserved::Times };
            return Ok(vec![least, Preserved::All]);
        }
        Ok(without_duplicates(levels))
    }
}

/// Returns the list without repetitions of earlier values.
fn without_duplicates<T: PartialEq + Copy>(list: Vec<T>) -> Vec<T> {
    let is_first = |&(at, one): &(usize, &T)| !list[..at].contains(one);
    list.iter().enumerate().filter(is_first).map(|(_, &one)| one).collect()
}

fn tree(word: &str) -> Result<Vec<TreeKind>, String> {
    if word == "all" {
        return Ok(TREES.iter().map(|&(_, kind)| kind).collect());
    }
    let found = TREES.iter().find(|(name, _)| *name == word);
    found.map(|&(_, kind)| vec![kind]).ok_or_else(|| {
        let names = TREES.map(|(name, _)| name).join(", ");
        format!("unknown tree; the trees are {names} and all")
    })
}

fn scale(word: &str) -> Result<f64, String> {
    let number = word.parse::<f64>().ok().filter(|&number| number > 0.0 && number <= 1000.0);
    number.ok_or_else(|| "must be more than 0 and at most 1000".to_owned())
}

fn program(word: &str) -> Result<(Tool, Option<PathBuf>), String> {
    let (name, program) = match word.split_once('=') {
        Some((name, program)) => (name, Some(PathBuf::from(program))),
        None => (word, None),
    };
    let found = TOOLS.iter().find(|(known, _)| *known == name);
    let &(_, tool) = found.ok_or_else(|| {
        let names = TOOLS.map(|(name, _)| name).join(", ");
        format!("unknown program; the programs are {names}")
    })?;
    // The path is made absolute: a path without a slash would be searched for in PATH.
    let program = program.map(|program| std::path::absolute(&program).unwrap_or(program));
    Ok((tool, program))
}

fn chart(path: PathBuf) -> Result<PathBuf, String> {
    match ImageFormat::of(&path) {
        Some(_) => Ok(path),
        None => Err("the file name must end in .svg or .png".to_owned()),
    }
}
