//! The other copy programs, and where they are installed.
//!
//! `command_lines` has the arguments with which each program does the same work as pcopy.

use super::abort::Abort;
use crate::sanitize::quote;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A copy program other than pcopy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// GNU cp, or another program that is installed as `cp`.
    Cp,
    /// rsync
    Rsync,
    /// Two tar processes, connected by a pipe.
    Tar,
    /// cpz
    Cpz,
    /// fcp
    Fcp,
    /// xcp
    Xcp,
}

/// All programs, by name.
pub const TOOLS: [(&str, Tool); 6] = [
    ("cp", Tool::Cp),
    ("rsync", Tool::Rsync),
    ("tar", Tool::Tar),
    ("cpz", Tool::Cpz),
    ("fcp", Tool::Fcp),
    ("xcp", Tool::Xcp),
];

impl Tool {
    /// Returns the program's name.
    pub(super) fn as_str(self) -> &'static str {
        TOOLS.iter().find(|(_, tool)| *tool == self).map_or("", |(name, _)| *name)
    }
}

/// A copy program that was found on this machine.
#[derive(Clone, Debug)]
pub(super) struct InstalledTool {
    /// Which program it is.
    pub(super) tool: Tool,
    /// The path of its file.
    pub(super) program: PathBuf,
    /// The first line that the program prints for `--version`; empty until the benchmark has asked the
    /// program.
    pub(super) version: String,
}

/// Finds the programs that the user named, or all programs that are installed.
///
/// Returns an error if a program that the user named is missing.
pub(super) fn find(
    wanted: Option<&[(Tool, Option<PathBuf>)]>,
) -> Result<Vec<InstalledTool>, Abort> {
    let all = TOOLS.map(|(_, tool)| (tool, None));
    let mut installed = Vec::new();
    for (tool, path) in wanted.unwrap_or(&all) {
        let name = tool.as_str();
        let found = match path {
            Some(path) => is_program(path).then(|| path.clone()),
            None => find_on_path(name),
        };
        match found {
            Some(program) => {
                installed.push(InstalledTool { tool: *tool, program, version: String::new() });
            }
            None if wanted.is_some() => return Err(not_found(name, path.as_deref())),
            None => {}
        }
    }
    Ok(installed)
}

fn not_found(name: &str, path: Option<&Path>) -> Abort {
    Abort::error(match path {
        None => format!("cannot find '{name}': not in PATH"),
        Some(path) => {
            let path = quote(path.as_os_str().as_encoded_bytes());
            format!("cannot find '{name}': {path} is not an executable file")
        }
    })
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|of| of.is_file() && of.permissions().mode() & 0o111 != 0)
}
