//! Where `--plan` writes what a run would do, and for which directories that holds.

use super::operands::errno_of;
use super::{Operand, Plan, ancestors};
use crate::error::Refusal;
use crate::options::PlanRequest;
use crate::plan_file::{Header, Place, Root, Writer};
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Stamp};
use pcopy_sys::statfs;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An open file for a plan.
pub struct PlanOutput {
    /// The path of the file, as the user gave it.
    pub path: PathBuf,
    /// What the first line says. It is in the file already.
    pub header: Header,
    file: File,
}

impl PlanOutput {
    /// Opens the file. Refuses the run if the file cannot be written, or is a part of what is copied.
    pub(super) fn open(plan: &Plan, request: &PlanRequest) -> Result<Self, Refusal> {
        let path = &request.file;
        let cannot = |error: &io::Error| Refusal::cannot("write", path, errno_of(error));
        check_place(plan, path)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| cannot(&error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header {
            time: Stamp {
                seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: now.subsec_nanos().into(),
            },
            arguments: request.arguments.clone(),
            dir: std::env::current_dir()
                .map_err(|error| cannot(&error))?
                .into_os_string()
                .into_vec(),
            roots: roots(plan).map_err(|errno| Refusal::cannot("write", path, errno))?,
        };
        let output = Self { path: path.clone(), header, file };
        output
            .write(&Writer::begin(&output.header).1)
            .map_err(|errno| Refusal::cannot("write", path, errno))?;
        Ok(output)
    }

    /// Writes lines at the end of the file.
    pub fn write(&self, lines: &str) -> Result<(), Errno> {
        (&self.file).write_all(lines.as_bytes()).map_err(|error| errno_of(&error))
    }
}

/// Returns which directories the operands of a plan are.
pub(super) fn roots(plan: &Plan) -> Result<Vec<Root>, Errno> {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let place = |identity: Identity, path: &Path| Place {
        identity,
        file_system: statfs::id(path).unwrap_or(0),
    };
    let root = |operand: &Operand| {
        let (source, target) = (&operand.source_path, &operand.target_path);
        let dir = plan.target_dir(operand);
        let existing = file::stat_at(dir, &operand.target_name).ok();
        let above = match target.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        Ok(Root {
            source: bytes(source),
            target: bytes(target),
            source_place: place(operand.identity, source),
            target_dir: place(file::stat_fd(dir)?.identity(), above),
            target_place: existing.map(|stat| place(stat.identity(), target)),
        })
    };
    plan.operands.iter().map(root).collect()
}

/// Refuses a file that is in a source or in a target, or that is one.
fn check_place(plan: &Plan, path: &Path) -> Result<(), Refusal> {
    // A symbolic link is followed, because that file is written.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let above = match real.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let above = file::open_dir(above).map_err(|errno| Refusal::cannot("write", path, errno))?;
    let own = file::stat_path(&real, true).ok().map(|stat| stat.identity());
    let dirs: Vec<Identity> = ancestors(above.as_fd()).collect();
    for operand in &plan.operands {
        let dir = plan.target_dir(operand);
        let target = file::stat_at(dir, &operand.target_name).ok().map(|stat| stat.identity());
        let is_in = |root: Identity| own == Some(root) || operand.is_dir && dirs.contains(&root);
        let name = real.file_name().map(OsStr::as_bytes);
        let becomes_target = name == Some(operand.target_name.to_bytes())
            && file::stat_fd(dir).ok().map(|stat| stat.identity()) == dirs.first().copied();
        let inside = if is_in(operand.identity) {
            &operand.source_path
        } else if becomes_target || target.is_some_and(is_in) {
            &operand.target_path
        } else {
            continue;
        };
        let shown = |path: &Path| quote(path.as_os_str().as_bytes());
        return Err(Refusal {
            message: format!("{} lies inside {}", shown(path), shown(inside)),
            hint: Some("choose a place for the plan outside the source and the target".into()),
        });
    }
    Ok(())
}
