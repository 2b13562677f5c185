//! A command line that copies a tree, and the properties that its copies must have.

use super::workdir::TargetFidelity;
use std::path::PathBuf;

/// A program with the arguments to copy SRC to DST. Each command is a row of the table.
#[derive(Clone, Debug)]
pub(super) struct CopyCommand {
    /// The program's name.
    pub(super) tool: &'static str,
    /// The file to execute.
    pub(super) program: PathBuf,
    /// The path that the table shows for the program.
    pub(super) path: PathBuf,
    /// The first line that the program prints for `--version`.
    pub(super) version: String,
    /// The program's name and its most important options, for tables and charts.
    pub(super) label: String,
    /// The arguments; the words SRC and DST in them are replaced by paths. Two lists stand for two processes
    /// that are connected by a pipe.
    pub(super) pipeline: Vec<Vec<String>>,
    /// The number of copiers, if the command runs pcopy with `-j`.
    pub(super) jobs: Option<u16>,
    /// Whether the directory DST must be created before the command runs.
    pub(super) needs_target: bool,
    /// The properties that are verified in the copies.
    pub(super) requirements: Requirements,
    /// Whether the program preserves less than pcopy does in this race. Then the ratio favours the program.
    pub(super) preserves_less: bool,
    /// How the program's work differs from pcopy's; empty if it does not differ.
    pub(super) note: &'static str,
}

/// The properties that a copy must have besides names, file types, contents and targets of symbolic links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Requirements {
    /// The mode and modification time of files.
    pub(super) files: bool,
    /// The mode and modification time of directories.
    pub(super) directories: bool,
    /// Hard links between the names of a file.
    pub(super) hard_links: bool,
    /// Owner, ACLs, extended attributes, and modification times of symbolic links.
    pub(super) all_attributes: bool,
    /// Holes.
    pub(super) holes: bool,
    /// Whether required modes are compared. They are not if the target's file system cannot store modes.
    pub(super) modes: bool,
    /// Whether required modification times are compared. They are not if the target's file system cannot
    /// store them exactly.
    pub(super) times: bool,
}

impl CopyCommand {
    /// Whether the program is pcopy itself.
    pub(super) fn is_pcopy(&self) -> bool {
        self.tool == "pcopy"
    }

    /// Returns the whole command line as a user would type it in a shell, with the words SRC and DST.
    pub(super) fn shell_line(&self) -> String {
        let process = |arguments: &Vec<String>| {
            let arguments: Vec<_> = arguments.iter().map(|word| quote_for_shell(word)).collect();
            format!("{} {}", self.tool, arguments.join(" "))
        };
        self.pipeline.iter().map(process).collect::<Vec<_>>().join(" | ")
    }
}

/// Quotes an argument that a shell would expand as a pattern.
fn quote_for_shell(argument: &str) -> String {
    match argument.contains('*') {
        true => format!("'{argument}'"),
        false => argument.to_owned(),
    }
}

impl Requirements {
    /// Returns these requirements without those that the target's file system cannot store.
    pub(super) fn limited_to(self, fidelity: TargetFidelity) -> Self {
        Self { modes: self.modes && fidelity.modes, times: self.times && fidelity.times, ..self }
    }
}

/// Appends a number to the label of each command that equals an earlier command, so that rows of two programs
/// with one name differ.
pub(super) fn number_duplicate_labels(commands: &mut [CopyCommand]) {
    for at in 1..commands.len() {
        let (before, rest) = commands.split_at_mut(at);
        let command = &mut rest[0];
        let is_same =
            |other: &&CopyCommand| other.tool == command.tool && other.pipeline == command.pipeline;
        let same = before.iter().filter(is_same).count();
        if same > 0 {
            command.label += &format!(" ({})", same + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench_options::Preserved;
    use super::super::command_lines::pcopy;
    use super::*;
    use std::path::Path;

    #[test]
    fn two_programs_of_one_name_have_two_labels() {
        let command = |jobs| pcopy(Path::new("p"), Preserved::None, jobs, false);
        let mut commands = [command(None), command(None), command(Some(2)), command(None)];
        number_duplicate_labels(&mut commands);
        assert_eq!(
            commands.map(|command| command.label),
            [
                "pcopy --preserve=none",
                "pcopy --preserve=none (2)",
                "pcopy -j2 --preserve=none",
                "pcopy --preserve=none (3)"
            ]
        );
    }
}
