//! The command lines with which pcopy and each other program do the same work.
//!
//! To find out what each program preserves, files with unusual modes, times, owners, attributes, hard links
//! and holes were copied (cp 9.1, rsync 3.5, tar 1.34, cpz 3.2, fcp 0.2, xcp 0.24):
//!
//! * cpz and fcp preserve the set-ID bits of files, but no times, and they fill holes.
//! * xcp preserves no attributes of directories and no hard links. If a race requires them, the table marks
//!   the row of xcp.
//! * tar stores whole seconds unless given `--format=posix`, and extracts only `user.*` attributes unless
//!   given `--xattrs-include`.
//! * rsync treats modification times within one second of each other as equal. So generated trees have times
//!   in the past, which no fresh copy has by chance.
//! * rsync and tar preserve holes only with `--sparse`. They get this option if the tree has holes.
//!
//! A program that cannot preserve what a race asks for does not take part in that race. The only exception is
//! xcp with `--keep=times`.

use super::bench_options::{Preserved, TargetState};
use super::copy_command::{CopyCommand, Requirements};
use super::tools::{InstalledTool, Tool};
use std::path::{Path, PathBuf};

/// The path of the running pcopy. The link stays valid even if a new build replaces the program's file
/// meanwhile.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The command line of one program, and what its copies preserve.
struct Recipe {
    label: String,
    /// One command line, or two that are connected by a pipe. The first word of each, the program's name, is
    /// not used.
    processes: Vec<String>,
    requirements: Requirements,
    note: &'static str,
}

impl Preserved {
    /// Returns the properties that a copy must have. `has_holes` says whether the source has holes.
    pub(super) fn requirements(self, has_holes: bool) -> Requirements {
        let (some, all) = (self != Self::None, self == Self::All);
        Requirements {
            files: some,
            directories: some,
            hard_links: some,
            all_attributes: all,
            holes: has_holes,
            modes: true,
            times: true,
        }
    }
}

/// Returns the command that runs pcopy itself with `jobs` copiers. `path` is the program's file, for the
/// table.
pub(super) fn pcopy(
    path: &Path,
    keep: Preserved,
    jobs: Option<u16>,
    has_holes: bool,
) -> CopyCommand {
    let option = match keep {
        Preserved::None => " --preserve=none",
        Preserved::Times => "",
        Preserved::All => " -a",
    };
    let jobs_option = jobs.map_or(String::new(), |jobs| format!(" -j{jobs}"));
    let label = format!("pcopy{jobs_option}{option}");
    CopyCommand {
        tool: "pcopy",
        program: PathBuf::from(OWN_PROGRAM),
        path: path.to_owned(),
        version: format!("pcopy {}", env!("CARGO_PKG_VERSION")),
        pipeline: vec![arguments(&format!("{label} -T SRC DST"))],
        label,
        jobs,
        needs_target: false,
        requirements: keep.requirements(has_holes),
        preserves_less: false,
        note: "",
    }
}

/// Returns how pcopy's work differs from that of the other programs. The table shows this note at pcopy's
/// first row.
pub(super) fn pcopy_note(keep: Preserved, onto: TargetState) -> &'static str {
    match (keep, onto) {
        (Preserved::None, TargetState::Different) => {
            "compares contents; rsync and cp -u compare times, the others copy everything"
        }
        _ => "",
    }
}

impl InstalledTool {
    /// Returns the command with which the program copies to such a target and preserves `keep`; `None` if it
    /// cannot.
    pub(super) fn command(
        &self,
        keep: Preserved,
        onto: TargetState,
        has_holes: bool,
    ) -> Option<CopyCommand> {
        let Recipe { label, processes, requirements, note } = self.recipe(keep, onto, has_holes)?;
        Some(CopyCommand {
            tool: self.tool.as_str(),
            program: self.program.clone(),
            path: self.program.clone(),
            version: self.version.clone(),
            label,
            pipeline: processes.iter().map(|process| arguments(process)).collect(),
            jobs: None,
            needs_target: self.tool == Tool::Tar,
            preserves_less: requirements != keep.requirements(has_holes),
            requirements,
            note,
        })
    }

    fn recipe(&self, keep: Preserved, onto: TargetState, has_holes: bool) -> Option<Recipe> {
        match self.tool {
            Tool::Cp => Some(cp(keep, onto, has_holes)),
            Tool::Rsync => Some(rsync(keep, onto, has_holes)),
            Tool::Tar => tar(keep, onto, has_holes),
            Tool::Cpz => cpz(keep, onto, has_holes),
            Tool::Fcp => fcp(keep, onto, has_holes),
            Tool::Xcp => xcp(keep, onto, has_holes),
        }
    }
}

/// Returns a recipe for one process. Its label is the command line without the operands.
fn single(label: &str, operands: &str, requirements: Requirements, note: &'static str) -> Recipe {
    let label = label.to_owned();
    Recipe { processes: vec![format!("{label} {operands}")], label, requirements, note }
}

fn cp(keep: Preserved, onto: TargetState, has_holes: bool) -> Recipe {
    let (update, note) = match onto {
        TargetState::New => ("", ""),
        TargetState::Same | TargetState::Different => {
            (" -u", "replaces older files and compares nothing but times")
        }
    };
    let preserve = match keep {
        Preserved::None => "-r",
        Preserved::Times => "-r --preserve=mode,timestamps,links",
        Preserved::All => "-a",
    };
    let label = format!("cp {preserve}{update}");
    single(&label, "-T SRC DST", keep.requirements(has_holes), note)
}

fn rsync(keep: Preserved, onto: TargetState, has_holes: bool) -> Recipe {
    let preserve = match keep {
        Preserved::None => "-rl",
        Preserved::Times => "-rlptH",
        Preserved::All => "-aHAX",
    };
    let note = match (keep, onto) {
        (Preserved::None, TargetState::Different) => "compares nothing but sizes and times",
        _ => "",
    };
    let label = format!("rsync {preserve} --whole-file{}", sparse_option(has_holes));
    single(&label, "SRC/ DST", keep.requirements(has_holes), note)
}

fn tar(keep: Preserved, onto: TargetState, has_holes: bool) -> Option<Recipe> {
    if onto == TargetState::Same {
        return None;
    }
    let (create, extract, options, note) = match keep {
        Preserved::None => {
            ("", "-xmf", " --no-same-owner --no-same-permissions", "preserves hard links, too")
        }
        Preserved::Times => (" --format=posix", "-xpf", " --no-same-owner", ""),
        // Without `--xattrs-include=*` tar extracts only `user.*` attributes.
        Preserved::All => (" --acls --xattrs", "-xpf", " --acls --xattrs --xattrs-include=*", ""),
    };
    let sparse = sparse_option(has_holes);
    let processes = vec![
        format!("tar -C SRC{create}{sparse} -cf - ."),
        format!("tar -C DST {extract} -{options}"),
    ];
    let label = format!("tar -c{sparse} | tar {}{options}", extract.trim_end_matches('f'));
    Some(Recipe { label, processes, requirements: keep.requirements(has_holes), note })
}

/// Returns the recipe for cpz; `None` if cpz cannot do the work, or if the source has holes, because cpz
/// fills them.
fn cpz(keep: Preserved, onto: TargetState, has_holes: bool) -> Option<Recipe> {
    let requirements = keep.requirements(has_holes);
    let note = "preserves set-ID bits of files, too; fills holes";
    let note_with_force =
        "preserves set-ID bits of files, too; fills holes; cannot replace symbolic links";
    match (keep, onto, has_holes) {
        (Preserved::None, TargetState::New, false) => {
            Some(single("cpz", "SRC DST", requirements, note))
        }
        (Preserved::None, TargetState::Different, false) => {
            Some(single("cpz -f", "SRC DST", requirements, note_with_force))
        }
        _ => None,
    }
}

/// Returns the recipe for fcp; `None` if fcp cannot do the work, or if the source has holes, because fcp
/// fills them.
fn fcp(keep: Preserved, onto: TargetState, has_holes: bool) -> Option<Recipe> {
    let note = "preserves set-ID bits of files, too; fills holes";
    let is_able = (keep, onto, has_holes) == (Preserved::None, TargetState::New, false);
    is_able.then(|| single("fcp", "SRC DST", keep.requirements(has_holes), note))
}

fn xcp(keep: Preserved, onto: TargetState, has_holes: bool) -> Option<Recipe> {
    let requirements = keep.requirements(has_holes);
    match (keep, onto) {
        (_, TargetState::Same) | (Preserved::All, _) => None,
        (Preserved::None, _) => {
            let note = "preserves mode and extended attributes of files, too";
            Some(single("xcp -r --no-timestamps", "-T SRC DST", requirements, note))
        }
        (Preserved::Times, _) => {
            let note = "preserves no hard links and nothing of directories, but extended attributes of files";
            let requirements =
                Requirements { directories: false, hard_links: false, ..requirements };
            Some(single("xcp -r", "-T SRC DST", requirements, note))
        }
    }
}

/// Returns the option with which rsync and tar preserve holes; without it they fill holes.
fn sparse_option(has_holes: bool) -> &'static str {
    if has_holes { " --sparse" } else { "" }
}

/// Splits a command line into its words, and drops the first word, the program's name.
fn arguments(command_line: &str) -> Vec<String> {
    command_line.split_whitespace().skip(1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tools::TOOLS;
    use super::*;

    fn command(tool: Tool, keep: Preserved, has_holes: bool) -> Option<CopyCommand> {
        let tool = InstalledTool { tool, program: PathBuf::new(), version: String::new() };
        tool.command(keep, TargetState::New, has_holes)
    }

    #[test]
    fn programs_that_fill_holes_are_left_out_where_the_source_has_holes() {
        let able = |has_holes| {
            let is_able = |tool| command(tool, Preserved::None, has_holes).is_some();
            let able = TOOLS.iter().filter(|&&(_, tool)| is_able(tool));
            able.map(|&(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(able(false), ["cp", "rsync", "tar", "cpz", "fcp", "xcp"]);
        assert_eq!(able(true), ["cp", "rsync", "tar", "xcp"]);
    }

    #[test]
    fn only_xcp_preserves_less_and_only_with_keep_times() {
        for (name, tool) in TOOLS {
            for keep in [Preserved::None, Preserved::Times, Preserved::All] {
                let less = command(tool, keep, false).is_some_and(|command| command.preserves_less);
                assert_eq!(less, name == "xcp" && keep == Preserved::Times, "{name} {keep:?}");
            }
        }
    }

    #[test]
    fn the_label_of_tar_has_the_options_that_matter_and_its_shell_line_has_all() {
        let command = command(Tool::Tar, Preserved::All, true).unwrap();
        assert_eq!(command.label, "tar -c --sparse | tar -xp --acls --xattrs --xattrs-include=*");
        assert_eq!(
            command.shell_line(),
            "tar -C SRC --acls --xattrs --sparse -cf - . | tar -C DST -xpf - --acls --xattrs '--xattrs-include=*'"
        );
    }
}
