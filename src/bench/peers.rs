//! The other copiers: where they are, and how each is told to do the same as pcopy.
//!
//! What each of them keeps was found by copying odd bits, times, owners, attributes, hard links and
//! holes with it (cp 9.1, rsync 3.5, tar 1.34, cpz 3.2, fcp 0.2, xcp 0.24).

use super::options::{Keep, Onto};
use super::stop::Stop;
use crate::quote::escape;
use std::path::{Path, PathBuf};

/// A copier that is not pcopy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// GNU cp, or whatever has its name.
    Cp,
    /// rsync
    Rsync,
    /// Two of tar, with a pipe between.
    Tar,
    /// cpz
    Cpz,
    /// fcp
    Fcp,
    /// xcp
    Xcp,
}

/// All of them, by their names.
pub const TOOLS: [(&str, Tool); 6] = [
    ("cp", Tool::Cp),
    ("rsync", Tool::Rsync),
    ("tar", Tool::Tar),
    ("cpz", Tool::Cpz),
    ("fcp", Tool::Fcp),
    ("xcp", Tool::Xcp),
];

/// What can be demanded of a copy, besides names, kinds, contents and the texts of symlinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demands {
    /// Bits and modification times of files.
    pub files: bool,
    /// The same of folders.
    pub folders: bool,
    /// Names of one file are names of one file again.
    pub links: bool,
    /// Owners, access lists, extended attributes.
    pub rest: bool,
}

/// One way to copy: a program and its words.
#[derive(Clone, Debug)]
pub struct Line {
    /// The program's name.
    pub tool: &'static str,
    /// Where it is.
    pub program: PathBuf,
    /// What it says of itself.
    pub version: String,
    /// The name and the options that matter.
    pub label: String,
    /// The words after the program's name, with SRC and DST in them; two lists have a pipe between.
    pub steps: Vec<Vec<String>>,
    /// How many copiers pcopy was told to take.
    pub jobs: Option<u16>,
    /// Whether somebody has to make the target folder first.
    pub wants_target: bool,
    /// What may be demanded of its copies.
    pub demands: Demands,
    /// In which it is not the equal of pcopy's.
    pub note: &'static str,
}

/// A program that takes part.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which.
    pub tool: Tool,
    /// Where it is.
    pub program: PathBuf,
    /// What it says of itself; empty until somebody has asked.
    pub version: String,
}

impl Tool {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        TOOLS.iter().find(|(_, tool)| *tool == self).map_or("", |(word, _)| *word)
    }
}

/// Those that were named, or all that are installed.
pub fn find(wanted: Option<&[(Tool, Option<PathBuf>)]>) -> Result<Vec<Peer>, Stop> {
    let named = wanted.is_some();
    let all: Vec<_> = TOOLS.iter().map(|&(_, tool)| (tool, None)).collect();
    let mut peers = Vec::new();
    for (tool, path) in wanted.unwrap_or(&all) {
        let found = match path {
            Some(path) => path.is_file().then(|| path.clone()),
            None => on_path(tool.as_str()),
        };
        match found {
            Some(program) => peers.push(Peer { tool: *tool, program, version: String::new() }),
            None if named => {
                let place = path.as_ref().map_or("PATH".to_owned(), |path| {
                    format!("'{}'", escape(path.as_os_str().as_encoded_bytes()))
                });
                return Err(Stop::refuse(format!(
                    "cannot find '{}': there is no such program in {place}",
                    tool.as_str()
                )));
            }
            None => {}
        }
    }
    Ok(peers)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// pcopy itself, with this number of copiers.
pub fn own(program: &Path, keep: Keep, jobs: Option<u16>) -> Line {
    let option = match keep {
        Keep::None => " --preserve=none",
        Keep::Times => "",
        Keep::All => " -a",
    };
    let jobs_option = jobs.map_or(String::new(), |jobs| format!(" -j{jobs}"));
    let label = format!("pcopy{jobs_option}{option}");
    Line {
        tool: "pcopy",
        program: program.to_owned(),
        version: format!("pcopy {}", env!("CARGO_PKG_VERSION")),
        steps: vec![words(&format!("{label} -T SRC DST"))],
        label,
        jobs,
        wants_target: false,
        demands: keep.demands(),
        note: "",
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

impl Keep {
    /// What a copy has to have.
    pub fn demands(self) -> Demands {
        let (some, all) = (self != Self::None, self == Self::All);
        Demands { files: some, folders: some, links: some, rest: all }
    }
}

/// How a program is used, and what is to be said of that.
struct Recipe {
    label: String,
    steps: Vec<String>,
    demands: Demands,
    note: &'static str,
}

impl Peer {
    /// Its way to do what is asked, if it has one.
    ///
    /// `holes`: whether the source has some, which rsync and tar look for only if told to.
    pub fn line(&self, keep: Keep, onto: Onto, holes: bool) -> Option<Line> {
        let Recipe { label, steps, demands, note } = self.recipe(keep, onto, holes)?;
        Some(Line {
            tool: self.tool.as_str(),
            program: self.program.clone(),
            version: self.version.clone(),
            label,
            steps: steps.iter().map(|step| words(step)).collect(),
            jobs: None,
            wants_target: self.tool == Tool::Tar,
            demands,
            note,
        })
    }

    fn recipe(&self, keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
        let demands = keep.demands();
        let sparse = if holes { " --sparse" } else { "" };
        let simple = |label: &str, rest: &str, note| {
            let label = label.to_owned();
            Some(Recipe { steps: vec![format!("{label} {rest}")], label, demands, note })
        };
        match (self.tool, keep, onto) {
            (Tool::Cp, ..) => {
                let (update, note) = match onto {
                    Onto::New => ("", ""),
                    Onto::Same | Onto::Different => {
                        (" -u", "replaces what is older, and looks at times alone")
                    }
                };
                let kept = match keep {
                    Keep::None => "-r",
                    Keep::Times => "-r --preserve=mode,timestamps,links",
                    Keep::All => "-a",
                };
                simple(&format!("cp {kept}{update}"), "-T SRC DST", note)
            }
            (Tool::Rsync, ..) => {
                let kept = match keep {
                    Keep::None => "-rl",
                    Keep::Times => "-rlptH",
                    Keep::All => "-aHAX",
                };
                simple(&format!("rsync {kept} --whole-file{sparse}"), "SRC/ DST", "")
            }
            (Tool::Tar, _, Onto::New | Onto::Different) => {
                let (given, taken, note) = match keep {
                    Keep::None => {
                        ("", "-xmf - --no-same-owner --no-same-permissions", "keeps links, too")
                    }
                    Keep::Times => (" --format=posix", "-xpf - --no-same-owner", ""),
                    Keep::All => (" --acls --xattrs", "-xpf - --acls --xattrs", ""),
                };
                let steps = vec![
                    format!("tar -C SRC{given}{sparse} -cf - ."),
                    format!("tar -C DST {taken}"),
                ];
                let options = taken.split_once(" - ").map_or("", |(_, options)| options);
                let label =
                    format!("tar -c{sparse} | tar {} {options}", &taken[..taken.len().min(3)]);
                Some(Recipe { label: label.trim_end().to_owned(), steps, demands, note })
            }
            (Tool::Cpz, Keep::None, Onto::New) => {
                simple("cpz", "SRC DST", "keeps set-id bits of files, too; fills holes")
            }
            (Tool::Cpz, Keep::None, Onto::Different) => simple(
                "cpz -f",
                "SRC DST",
                "keeps set-id bits of files, too; fills holes; fails where a symlink stands",
            ),
            (Tool::Fcp, Keep::None, Onto::New) => {
                simple("fcp", "SRC DST", "keeps set-id bits of files, too; fills holes")
            }
            (Tool::Xcp, Keep::None, Onto::New | Onto::Different) => simple(
                "xcp -r --no-timestamps",
                "-T SRC DST",
                "keeps bits and extended attributes of files, too",
            ),
            (Tool::Xcp, Keep::Times, Onto::New | Onto::Different) => {
                let note =
                    "keeps less: no links, nothing of folders; extended attributes of files, too";
                let mut recipe = simple("xcp -r", "-T SRC DST", note)?;
                recipe.demands = Demands { folders: false, links: false, ..demands };
                Some(recipe)
            }
            _ => None,
        }
    }
}

impl Line {
    /// The whole command as a shell would take it, with SRC and DST in it.
    pub fn command(&self) -> String {
        let name = |words: &Vec<String>| format!("{} {}", self.tool, words.join(" "));
        self.steps.iter().map(name).collect::<Vec<_>>().join(" | ")
    }
}
