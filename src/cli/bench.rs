//! The command line of the benchmark, `pcopy bench`.

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

/// Measure pcopy and other copiers on this machine
///
/// Makes a tree, or takes SRC, and has it copied by pcopy and by each other copier that is
/// installed, in turn, several times. Compares each copy with its source, and prints medians,
/// minima, spreads and ratios.
///
/// Only those who keep the same are compared: `pcopy --preserve=none` with `cp -r`, `pcopy -a` with
/// `cp -a`. Who keeps less takes part and is marked.
#[derive(Parser, Debug)]
#[command(
    name = "pcopy bench",
    version,
    args_override_self = true,
    override_usage = "pcopy bench [OPTIONS] [SRC]",
    after_help = "TREE: small (100,000 files in 1,000 folders), wide (50,000 in one folder), empty (1,000,000\nempty ones), deep (20,000 folders of one file), big (1.2 GB), few (20 of 128 MB), sparse (4 GB\nwith 64 MB of data), links (20,000 files with three names), tiny1, tiny10, tiny100, skewed (a\nwide folder and a large file after 1,000 small folders, by name; in which order a file system\nlists them cannot be chosen), source (like somebody's sources), all.\n\nA ratio is the time of the other divided by pcopy's, in the same round; the median of these counts.\nFrom 0.97 to 1.03 the two are even; beyond, four of five rounds have to agree. Times end with the\nprogram, whatever has still to be written to a disk. Memory is that of the largest process alone:\nnot the sum of several, and not less than a process has before its program begins.\n\nExit codes: 0 done, 1 a program failed, its copy was wrong, or it ended early, 2 usage, 3 refused,\n6 pcopy's own copy was wrong."
)]
struct Flags {
    /// Copy this folder instead of a tree that is made
    #[arg(value_name = "SRC", conflicts_with_all = ["tree", "seed", "scale", "source_dir"])]
    source: Option<PathBuf>,

    /// Which trees are made and copied [default: small]
    #[arg(long, value_name = "TREE", value_delimiter = ',', value_parser = tree)]
    tree: Vec<Vec<Name>>,

    /// What the bytes of trees follow from [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Make trees with so many times as many files [default: 1]
    ///
    /// For 'big' and 'sparse': so many times as many bytes. The tiny ones stay as they are.
    #[arg(long, value_name = "F", value_parser = scale)]
    scale: Option<f64>,

    /// Which copiers take part, as NAME or NAME=PROGRAM [default: all that are installed]
    ///
    /// Of cp, rsync, tar, cpz, fcp and xcp.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = peer)]
    against: Option<Vec<(Tool, Option<PathBuf>)>>,

    /// With how many copiers pcopy takes part [default: as many as it takes by itself]
    #[arg(short = 'j', long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    jobs: Vec<u16>,

    /// What is kept: none, times (and bits and links), all [default: none,all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    keep: Vec<Kept>,

    /// How many runs of each count; one more before them does not
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,

    /// Where to make trees and copies: in a folder of their own, which is removed in the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Where to make trees, if on another file system than copies
    #[arg(long, value_name = "DIR")]
    source_dir: Option<PathBuf>,

    /// Empty the caches before each run, which only root can; the programs themselves are warm
    #[arg(long)]
    cold: bool,

    /// What stands in the target: nothing, a complete copy, one that differs in every second file
    #[arg(long, value_enum, value_name = "WHAT", default_value = "new")]
    onto: There,

    /// Write all numbers to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw a chart; FILE ends in .svg or .png
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
            let message = "--onto=same needs times that are kept: --keep=times or --keep=all";
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

/// Each once, where it stands first.
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
        format!("there is no such tree; there are {names} and all")
    })
}

fn scale(word: &str) -> Result<f64, String> {
    let number = word.parse::<f64>().ok().filter(|&number| number > 0.0 && number <= 1000.0);
    number.ok_or_else(|| "it is to be more than 0 and at most 1000".to_owned())
}

fn peer(word: &str) -> Result<(Tool, Option<PathBuf>), String> {
    let (name, program) = match word.split_once('=') {
        Some((name, program)) => (name, Some(PathBuf::from(program))),
        None => (word, None),
    };
    let found = TOOLS.iter().find(|(known, _)| *known == name);
    let &(_, tool) = found.ok_or_else(|| {
        let names = TOOLS.map(|(name, _)| name).join(", ");
        format!("there is no such copier here; there are {names}")
    })?;
    // A bare name would be looked for on PATH.
    let program = program.map(|program| std::path::absolute(&program).unwrap_or(program));
    Ok((tool, program))
}

fn chart(path: PathBuf) -> Result<PathBuf, String> {
    match Format::of(&path) {
        Some(_) => Ok(path),
        None => Err("its name is to end in .svg or .png".to_owned()),
    }
}
