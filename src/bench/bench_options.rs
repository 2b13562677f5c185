//! What to measure: the options of `pcopy bench` as plain data.

use super::tools::Tool;
use super::trees::TreeSpec;
use std::path::PathBuf;

/// All options of one command line.
#[derive(Debug)]
pub struct BenchOptions {
    /// What to copy.
    pub source: BenchSource,
    /// The programs to compare pcopy with, and their paths where the user gave them; `None`: all
    /// that are installed.
    pub against: Option<Vec<(Tool, Option<PathBuf>)>>,
    /// The numbers of copiers to run pcopy with; empty: only with its default number.
    pub jobs: Vec<u16>,
    /// What the copies preserve; there is one race for each.
    pub keep: Vec<Preserved>,
    /// How many timed runs each program has, after one that is not timed.
    pub runs: usize,
    /// Where the copies are made.
    pub dir: PathBuf,
    /// Where trees are generated; `None`: in `dir`.
    pub source_dir: Option<PathBuf>,
    /// Whether to drop the page cache before each run.
    pub cold: bool,
    /// What the target holds when a copy begins.
    pub onto: TargetState,
    /// Where to write the results as JSON.
    pub json: Option<PathBuf>,
    /// Where to draw charts.
    pub charts: Vec<PathBuf>,
    /// Whether to compare each copy with its source.
    pub verify: bool,
}

/// What to copy.
#[derive(Debug)]
pub enum BenchSource {
    /// An existing directory.
    Directory(PathBuf),
    /// Trees to generate.
    Trees(Vec<TreeSpec>),
}

/// What a copy preserves besides names, file types, contents and the targets of symbolic links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preserved {
    /// Nothing.
    None,
    /// Mode, modification time and hard links.
    Times,
    /// Also owner, ACLs and extended attributes.
    All,
}

impl Preserved {
    /// The value of `--keep`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Times => "times",
            Self::All => "all",
        }
    }

    /// The heading of a table or chart.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "preserves nothing else (like cp -r)",
            Self::Times => "preserves mode, times, links",
            Self::All => "preserves all (like cp -a)",
        }
    }
}

/// What the target holds when a copy begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetState {
    /// Nothing.
    New,
    /// A complete copy.
    Same,
    /// A copy in which every second file has other contents and an older modification time.
    Different,
}

impl TargetState {
    /// The value of `--onto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Different => "different",
        }
    }

    /// Whether copies onto such a target can be measured where this is preserved.
    ///
    /// Without times, a program finds out that a file is up to date only by reading both copies.
    pub fn can_be_measured_with(self, keep: Preserved) -> bool {
        self != Self::Same || keep != Preserved::None
    }
}
