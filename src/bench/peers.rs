//! The other copiers, where they are, and what a way to copy is. How each is told to do the same as
//! pcopy stands in `recipes`.

use super::stop::Stop;
use crate::quote::escape;
use std::os::unix::fs::PermissionsExt;
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
    /// Owners, access lists, extended attributes, times of symlinks.
    pub rest: bool,
    /// Holes are holes again.
    pub holes: bool,
    /// Where bits are demanded: whether the target's file system has any.
    pub bits: bool,
    /// Where times are demanded: whether those of the target are as fine as the source's.
    pub times: bool,
}

/// One way to copy: a program and its words.
#[derive(Clone, Debug)]
pub struct Line {
    /// The program's name.
    pub tool: &'static str,
    /// What is started.
    pub program: PathBuf,
    /// Where that is, for people.
    pub path: PathBuf,
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
    /// Whether it keeps less than pcopy, so that its ratio flatters it.
    pub keeps_less: bool,
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
            Some(path) => is_program(path).then(|| path.clone()),
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
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|of| of.is_file() && of.permissions().mode() & 0o111 != 0)
}

impl Line {
    /// The whole command as a shell would take it, with SRC and DST in it.
    pub fn command(&self) -> String {
        let name = |words: &Vec<String>| {
            let words: Vec<_> = words.iter().map(|word| as_in_shell(word)).collect();
            format!("{} {}", self.tool, words.join(" "))
        };
        self.steps.iter().map(name).collect::<Vec<_>>().join(" | ")
    }
}

/// A word so that a shell takes nothing in it for a pattern.
fn as_in_shell(word: &str) -> String {
    match word.contains('*') {
        true => format!("'{word}'"),
        false => word.to_owned(),
    }
}

/// Tells rows with the same label from one another, as those of two programs of one name.
pub fn number_doubles(lines: &mut [Line]) {
    for at in 1..lines.len() {
        let (before, rest) = lines.split_at_mut(at);
        let line = &mut rest[0];
        let same = |other: &&Line| other.tool == line.tool && other.steps == line.steps;
        let number = before.iter().filter(same).count();
        if number > 0 {
            line.label += &format!(" ({})", number + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Keep;
    use super::*;

    #[test]
    fn two_programs_of_one_name_have_two_labels() {
        let line = |jobs| super::super::recipes::own(Path::new("p"), Keep::None, jobs, false);
        let mut lines = [line(None), line(None), line(Some(2)), line(None)];
        number_doubles(&mut lines);
        assert_eq!(
            lines.map(|line| line.label),
            [
                "pcopy --preserve=none",
                "pcopy --preserve=none (2)",
                "pcopy -j2 --preserve=none",
                "pcopy --preserve=none (3)"
            ]
        );
    }
}
