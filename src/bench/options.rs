//! What the user wants measured: plain data.

use super::peers::Tool;
use super::trees;
use std::path::PathBuf;

/// All wishes of one command.
#[derive(Debug)]
pub struct Options {
    /// What is copied.
    pub source: Source,
    /// Which other copiers take part, and where each is; `None`: all that are installed.
    pub against: Option<Vec<(Tool, Option<PathBuf>)>>,
    /// With how many copiers pcopy takes part; empty: with as many as it takes by itself.
    pub jobs: Vec<u16>,
    /// What is kept; each is a race of its own.
    pub keep: Vec<Keep>,
    /// How many runs count; one more before them does not.
    pub runs: usize,
    /// Where the copies are made.
    pub dir: PathBuf,
    /// Where trees are made, if elsewhere.
    pub source_dir: Option<PathBuf>,
    /// Whether nothing of the source may be in memory.
    pub cold: bool,
    /// What stands in the target.
    pub onto: Onto,
    /// Where the numbers are written to.
    pub json: Option<PathBuf>,
    /// Where charts are drawn to.
    pub charts: Vec<PathBuf>,
    /// Whether each copy is compared with its source.
    pub verify: bool,
}

/// What is copied.
#[derive(Debug)]
pub enum Source {
    /// A folder that is there.
    Folder(PathBuf),
    /// Trees that are made for it.
    Trees(Vec<trees::Tree>),
}

/// What a copy keeps besides names, kinds, contents and the texts of symlinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing.
    None,
    /// Permission bits, modification times and hard links.
    Times,
    /// Owners, access lists and extended attributes, too.
    All,
}

impl Keep {
    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Times => "times",
            Self::All => "all",
        }
    }

    /// The same for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "keeps nothing else (as cp -r)",
            Self::Times => "keeps bits, times and links",
            Self::All => "keeps all (as cp -a)",
        }
    }
}

/// What stands in the target when a copy begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Onto {
    /// Nothing.
    New,
    /// A complete copy.
    Same,
    /// A copy in which every second file has other contents and an older time.
    Different,
}

impl Onto {
    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Different => "different",
        }
    }
}
