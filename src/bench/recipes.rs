//! How pcopy and each of its peers is told to do the same.
//!
//! What each of them keeps was found by copying odd bits, times, owners, attributes, hard links and
//! holes with it (cp 9.1, rsync 3.5, tar 1.34, cpz 3.2, fcp 0.2, xcp 0.24).

use super::options::{Keep, Onto};
use super::peers::{Demands, Line, Peer, Tool};
use std::path::{Path, PathBuf};

/// This very program, also when somebody has replaced its file since it was started.
pub(super) const OWN: &str = "/proc/self/exe";

/// The recipe and the demands before anything is known of the target.
struct Recipe {
    label: String,
    steps: Vec<String>,
    demands: Demands,
    note: &'static str,
}

impl Keep {
    /// What a copy has to have; `holes`: whether the source has some.
    pub fn demands(self, holes: bool) -> Demands {
        let (some, all) = (self != Self::None, self == Self::All);
        let (bits, times) = (true, true);
        Demands { files: some, folders: some, links: some, rest: all, holes, bits, times }
    }
}

/// pcopy itself, which lies at `path`, with this number of copiers.
pub(super) fn own(path: &Path, keep: Keep, jobs: Option<u16>, holes: bool) -> Line {
    let option = match keep {
        Keep::None => " --preserve=none",
        Keep::Times => "",
        Keep::All => " -a",
    };
    let jobs_option = jobs.map_or(String::new(), |jobs| format!(" -j{jobs}"));
    let label = format!("pcopy{jobs_option}{option}");
    Line {
        tool: "pcopy",
        program: PathBuf::from(OWN),
        path: path.to_owned(),
        version: format!("pcopy {}", env!("CARGO_PKG_VERSION")),
        steps: vec![words(&format!("{label} -T SRC DST"))],
        label,
        jobs,
        wants_target: false,
        demands: keep.demands(holes),
        keeps_less: false,
        note: "",
    }
}

/// What is to be said of pcopy's own rows: how its work differs from the others'.
pub(super) fn own_note(keep: Keep, onto: Onto) -> &'static str {
    match (keep, onto) {
        (Keep::None, Onto::Different) => {
            "compares contents, where rsync and cp -u look at times and the others copy everything"
        }
        _ => "",
    }
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
            path: self.program.clone(),
            version: self.version.clone(),
            label,
            steps: steps.iter().map(|step| words(step)).collect(),
            jobs: None,
            wants_target: self.tool == Tool::Tar,
            keeps_less: demands != keep.demands(holes),
            demands,
            note,
        })
    }

    fn recipe(&self, keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
        match self.tool {
            Tool::Cp => Some(cp(keep, onto, holes)),
            Tool::Rsync => Some(rsync(keep, onto, holes)),
            Tool::Tar => tar(keep, onto, holes),
            Tool::Cpz => cpz(keep, onto, holes),
            Tool::Fcp => fcp(keep, onto, holes),
            Tool::Xcp => xcp(keep, onto, holes),
        }
    }
}

/// A program of which one is enough.
fn simple(label: &str, operands: &str, demands: Demands, note: &'static str) -> Recipe {
    let label = label.to_owned();
    Recipe { steps: vec![format!("{label} {operands}")], label, demands, note }
}

fn cp(keep: Keep, onto: Onto, holes: bool) -> Recipe {
    let (update, note) = match onto {
        Onto::New => ("", ""),
        Onto::Same | Onto::Different => (" -u", "replaces what is older, and looks at times alone"),
    };
    let kept = match keep {
        Keep::None => "-r",
        Keep::Times => "-r --preserve=mode,timestamps,links",
        Keep::All => "-a",
    };
    simple(&format!("cp {kept}{update}"), "-T SRC DST", keep.demands(holes), note)
}

fn rsync(keep: Keep, onto: Onto, holes: bool) -> Recipe {
    let kept = match keep {
        Keep::None => "-rl",
        Keep::Times => "-rlptH",
        Keep::All => "-aHAX",
    };
    let note = match (keep, onto) {
        (Keep::None, Onto::Different) => "looks at sizes and times alone",
        _ => "",
    };
    let label = format!("rsync {kept} --whole-file{}", sparse(holes));
    simple(&label, "SRC/ DST", keep.demands(holes), note)
}

fn tar(keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
    if onto == Onto::Same {
        return None;
    }
    let (given, mode, options, note) = match keep {
        Keep::None => ("", "-xmf", " --no-same-owner --no-same-permissions", "keeps links, too"),
        Keep::Times => (" --format=posix", "-xpf", " --no-same-owner", ""),
        // Without the last one it takes out only those attributes that users give.
        Keep::All => (" --acls --xattrs", "-xpf", " --acls --xattrs --xattrs-include=*", ""),
    };
    let sparse = sparse(holes);
    let steps =
        vec![format!("tar -C SRC{given}{sparse} -cf - ."), format!("tar -C DST {mode} -{options}")];
    let label = format!("tar -c{sparse} | tar {}{options}", mode.trim_end_matches('f'));
    Some(Recipe { label, steps, demands: keep.demands(holes), note })
}

/// Who fills holes is nobody to race with where there are some.
fn cpz(keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
    let demands = keep.demands(holes);
    let note = "keeps set-id bits of files, too; fills holes";
    let with_force = "keeps set-id bits of files, too; fills holes; fails where a symlink stands";
    match (keep, onto, holes) {
        (Keep::None, Onto::New, false) => Some(simple("cpz", "SRC DST", demands, note)),
        (Keep::None, Onto::Different, false) => {
            Some(simple("cpz -f", "SRC DST", demands, with_force))
        }
        _ => None,
    }
}

fn fcp(keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
    let note = "keeps set-id bits of files, too; fills holes";
    let able = (keep, onto, holes) == (Keep::None, Onto::New, false);
    able.then(|| simple("fcp", "SRC DST", keep.demands(holes), note))
}

fn xcp(keep: Keep, onto: Onto, holes: bool) -> Option<Recipe> {
    let demands = keep.demands(holes);
    match (keep, onto) {
        (_, Onto::Same) | (Keep::All, _) => None,
        (Keep::None, _) => {
            let note = "keeps bits and extended attributes of files, too";
            Some(simple("xcp -r --no-timestamps", "-T SRC DST", demands, note))
        }
        (Keep::Times, _) => {
            let note =
                "keeps less: no links, nothing of folders; extended attributes of files, too";
            let demands = Demands { folders: false, links: false, ..demands };
            Some(simple("xcp -r", "-T SRC DST", demands, note))
        }
    }
}

fn sparse(holes: bool) -> &'static str {
    if holes { " --sparse" } else { "" }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::peers::TOOLS;
    use super::*;

    fn line(tool: Tool, keep: Keep, holes: bool) -> Option<Line> {
        let peer = Peer { tool, program: PathBuf::new(), version: String::new() };
        peer.line(keep, Onto::New, holes)
    }

    #[test]
    fn who_fills_holes_does_not_race_where_there_are_some() {
        let able = |holes| {
            let tools = TOOLS.iter().filter(|&&(_, tool)| line(tool, Keep::None, holes).is_some());
            tools.map(|&(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(able(false), ["cp", "rsync", "tar", "cpz", "fcp", "xcp"]);
        assert_eq!(able(true), ["cp", "rsync", "tar", "xcp"]);
    }

    #[test]
    fn only_xcp_keeps_less_and_only_where_times_are_kept() {
        for (name, tool) in TOOLS {
            for keep in [Keep::None, Keep::Times, Keep::All] {
                let less = line(tool, keep, false).is_some_and(|line| line.keeps_less);
                assert_eq!(less, name == "xcp" && keep == Keep::Times, "{name} {keep:?}");
            }
        }
    }

    #[test]
    fn the_label_of_tar_has_what_matters_and_its_command_is_whole() {
        let line = line(Tool::Tar, Keep::All, true).unwrap();
        assert_eq!(line.label, "tar -c --sparse | tar -xp --acls --xattrs --xattrs-include=*");
        assert_eq!(
            line.command(),
            "tar -C SRC --acls --xattrs --sparse -cf - . | tar -C DST -xpf - --acls --xattrs '--xattrs-include=*'"
        );
    }
}
