//! What the user wishes, as plain data.

use std::ffi::OsString;
use std::path::PathBuf;

/// The wishes of one command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What is to be copied, and where to.
    pub operands: Operands,
    /// How many copiers; the plan chooses if there is no wish.
    pub jobs: Option<u16>,
    /// Whether to print the name of each finished entry on standard output.
    pub verbose: bool,
    /// Whether to print nothing but errors.
    pub quiet: bool,
    /// When to draw the progress line.
    pub progress: When,
    /// Whether names of one file become names of one file.
    pub links: bool,
}

/// The paths of the command line, in the roles that its form gives them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operands {
    /// `SRC`: the copy is made beside it.
    Beside {
        /// The source.
        source: PathBuf,
        /// What is appended to its name.
        suffix: OsString,
    },
    /// `SRC... DST`: into DST if it is a directory, else onto it.
    Onto {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The last operand.
        target: PathBuf,
    },
    /// `-T SRC DST`: onto DST even if it is a directory.
    Exactly {
        /// The source.
        source: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// `-t DIRECTORY SRC...`.
    Into {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The directory, which must exist.
        directory: PathBuf,
    },
}

/// When to do something that depends on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// If standard error is a terminal.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}
