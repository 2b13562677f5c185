//! The options of `pcopy bench` as plain data.

use super::tools::Tool;
use super::trees::TreeSpec;
use std::path::PathBuf;

/// All options of one command line.
#[derive(Debug)]
pub struct BenchOptions {
    /// What to copy.
    pub source: BenchSource,
    /// The programs to compare pcopy with, and their paths where the user gave a path. `None` means all
    /// programs that are installed.
    pub against: Option<Vec<(Tool, Option<PathBuf>)>>,
    /// The numbers of copiers to run pcopy with. If empty, pcopy chooses the number.
    pub jobs: Vec<u16>,
    /// What the copies preserve. Each value has a race of its own.
    pub keep: Vec<Preserved>,
    /// The number of timed runs of each program. An untimed run comes before them.
    pub runs: usize,
    /// The directory in which the copies are made.
    pub dir: PathBuf,
    /// The directory in which trees are generated; `None` means `dir`.
    pub source_dir: Option<PathBuf>,
    /// Whether to drop the page cache before each run.
    pub cold: bool,
    /// What the target holds when a copy begins.
    pub onto: TargetState,
    /// The file to which the results are written as JSON.
    pub json: Option<PathBuf>,
    /// The files to which charts are drawn.
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
    /// Returns the value of `--keep`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Times => "times",
            Self::All => "all",
        }
    }

    /// Returns the heading of a table or chart.
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
    /// Returns the value of `--onto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Different => "different",
        }
    }

    /// Whether the benchmark can measure copies onto such a target if the copies preserve `keep`.
    ///
    /// It cannot measure `Same` with `None`: without preserved times, a program must read both files to find
    /// out that the target's is up to date.
    pub fn can_be_measured_with(self, keep: Preserved) -> bool {
        self != Self::Same || keep != Preserved::None
    }
}
