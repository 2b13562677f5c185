//! Prints which selection rule decides about a path: `--explain`.

use crate::error::Refusal;
use crate::options::{CopyOptions, Dereference, Operands, Options};
use crate::outcome::code;
use crate::sanitize::{escape, sanitize};
use crate::selection::{Criteria, PathTrees, RuleList, Selection, explain};
use pcopy_sys::file;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Prints what is decided about each directory above `path` and about `path`, and why. Returns the exit code: 0 if the path
/// is taken, and 1 if it is left out. Fails if `output` cannot be written.
pub fn print(options: &Options, path: &Path, output: &mut impl Write) -> Result<u8, Refusal> {
    let CopyOptions { selection, dereference, one_file_system, .. } = &options.copy;
    let source = options.operands.only_source().unwrap_or(Path::new("."));
    let everything;
    let selection = match selection {
        Some(selection) => selection,
        None => {
            let made = Selection::new(RuleList::default(), Criteria::default());
            everything = made.expect("no pattern is too large");
            &everything
        }
    };
    let target = target(&options.operands);
    let device = file::stat_path(source, true).ok().map(|stat| stat.identity().0);
    let trees = PathTrees {
        source,
        target: target.as_deref(),
        follows: *dereference == Dereference::Always,
        device: device.filter(|_| *one_file_system),
    };
    let explained = explain(selection, &trees, path.as_os_str().as_bytes());
    for one in &explained {
        let word = if one.is_taken { "taken" } else { "excluded" };
        let line = format!("{word}: {}: {}", escape(&one.path), sanitize(&one.why));
        writeln!(output, "{line}").map_err(|error| Refusal {
            message: format!("cannot write to standard output: {error}"),
            hint: None,
        })?;
    }
    let is_taken = explained.iter().all(|one| one.is_taken);
    Ok(if is_taken { code::COMPLETE } else { code::SOME_FAILED })
}

/// Returns where the copy of the source is.
fn target(operands: &Operands) -> Option<PathBuf> {
    let name = |source: &Path| source.file_name().map(PathBuf::from).unwrap_or_default();
    let source = operands.only_source()?;
    match operands {
        Operands::Into { directory, .. } => Some(directory.join(name(source))),
        Operands::Onto { target, .. } if target.is_dir() => Some(target.join(name(source))),
        Operands::Onto { target, .. } | Operands::Exactly { target, .. } => Some(target.clone()),
        Operands::Beside { .. } => None,
    }
}
