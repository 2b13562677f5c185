//! The scout: a process of its own that counts ahead, so that the line can show a percentage.
//!
//! It is forked only once a line is drawn, and is polite where it would cost much. It only looks: names
//! through `walkdir`, sizes through `lstat`.

use crate::ipc::memory::forecast::{Forecast, Work};
use crate::options::Dereference;
use crate::plan::{Operand, Plan};
use pcopy_sys::file;
use pcopy_sys::process::{self, Pid};
use pcopy_sys::{Errno, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use walkdir::WalkDir;

/// What counting an entry costs: names alone 1.3 µs, sizes the rest.
const ENTRY_COST: Duration = Duration::from_nanos(2600);

/// A line may cost this part of a run: 3 %.
const SHARE: u32 = 33;

/// How polite the scout is where counting at full speed would cost more than its share.
///
/// A small file in memory costs 20 µs, so counting such a tree would cost an eighth of the copy.
/// Beside two copiers on two processors a line costs 3 % so, and 5 % at 7 (170,000 files in memory: 1.09
/// s without); at 19 the copy is over before the scout is.
const NICE: i32 = 12;

/// How many entries are counted between two looks at the clock of the others: their line needs
/// numbers that grow.
const TELL_EVERY: u64 = 256;

/// Forks the scout; it tells what it knows through `forecast` and leaves when that is all.
///
/// `per_entry` is how much processor time an entry has cost so far.
pub(super) fn start(plan: &Plan, forecast: &Forecast, per_entry: Duration) -> Result<Pid> {
    process::fork_child(|| {
        // The standard library gives up where a directory cannot be closed; that is nobody's business.
        std::panic::set_hook(Box::new(|_| process::exit(1)));
        if per_entry < ENTRY_COST * SHARE {
            process::be_nice(NICE);
        }
        i32::from(count(plan, forecast).is_err())
    })
}

fn count(plan: &Plan, forecast: &Forecast) -> Result<()> {
    let mut work = Work::default();
    for (number, operand) in (0..).zip(&plan.operands) {
        let source = plan.source_dir(operand);
        let look = match plan.options.dereference {
            Dereference::Always => file::stat_at_end,
            _ => file::stat_at,
        };
        let stat = match look(source, &operand.source_name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        };
        match stat.kind() {
            file::Kind::File => work.add_file(stat.size(), stat.allocated(), stat.links()),
            _ => work.add_entry(),
        }
        if stat.kind() == file::Kind::Directory {
            below(plan, (number, operand), forecast, &mut work)?;
        }
    }
    work.complete = true;
    forecast.set(work);
    Ok(())
}

/// Counts what is below an entry.
///
/// `walkdir` names what it finds by path, and the kernel takes no path longer than `PATH_MAX`. So
/// where one becomes too long, the scout goes there and begins anew with a short one.
fn below(
    plan: &Plan,
    (number, operand): (u32, &Operand),
    forecast: &Forecast,
    work: &mut Work,
) -> Result<()> {
    let top = plan.open_source(operand, operand.source_name.to_bytes())?;
    let follow = plan.options.dereference == Dereference::Always;
    let mut starts: Vec<OwnedFd> = vec![top];
    while let Some(start) = starts.pop() {
        process::enter(&start)?;
        let mut walk = WalkDir::new(".")
            .min_depth(1)
            .follow_links(follow)
            .same_file_system(plan.options.one_file_system)
            .into_iter();
        while let Some(found) = walk.next() {
            match found {
                // It is counted as the entry that it is.
                Ok(found)
                    if plan.has_apart() && is_apart(plan, (number, operand), found.path()) =>
                {
                    walk.skip_current_dir();
                }
                Ok(found) if found.file_type().is_file() => match found.metadata() {
                    Ok(file) => work.add_file(file.len(), 512 * file.blocks(), file.nlink()),
                    Err(_) => work.add_entry(), // it is gone
                },
                Ok(_) => work.add_entry(),
                Err(error) => {
                    let too_long = error.io_error().and_then(std::io::Error::raw_os_error)
                        == Some(Errno::ENAMETOOLONG as i32);
                    if let (true, Some(path)) = (too_long, error.path()) {
                        starts.push(file::open_dir_beneath(
                            start.as_fd(),
                            path.as_os_str().as_bytes(),
                        )?);
                    }
                    // Other errors are the copiers' to tell; they find the same.
                }
            }
            if work.entries.is_multiple_of(TELL_EVERY) {
                forecast.set(*work);
            }
        }
    }
    Ok(())
}

fn is_apart(plan: &Plan, (number, operand): (u32, &Operand), path: &Path) -> bool {
    let below = path.strip_prefix(".").unwrap_or(path).as_os_str().as_bytes();
    plan.is_apart(number, &[operand.source_name.to_bytes(), b"/", below].concat())
}
