//! Counting ahead, in a process of its own, so that the progress line can show a percentage.
//!
//! The process is forked only when a progress line is drawn, and with a low priority where counting
//! would take much of the CPU. It reads nothing but names (through `walkdir`) and sizes (lstat(2)).

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

/// The CPU time of counting an entry: 1.3 µs for its name, the rest for its size.
const ENTRY_COST: Duration = Duration::from_nanos(2600);

/// The progress line may take one part in so many of a run's CPU time: 3 %.
const SHARE: u32 = 33;

/// The niceness of counting where at full speed it would take more than its share.
///
/// A small file in memory takes 20 µs to copy, so counting such a tree would take an eighth of the
/// copy. Beside two copiers on two CPUs the progress line costs 3 % at this niceness, and 5 % at 7
/// (170,000 files in memory: 1.09 s without); at 19 the copy ends before the counting.
const NICE: i32 = 12;

/// After how many entries the counts are published: the progress line needs numbers that grow.
const PUBLISH_EVERY: u64 = 256;

/// The process that counts ahead, and what it has counted.
#[derive(Default)]
pub(super) struct Precount {
    forecast: Option<Forecast>,
    process: Option<Pid>,
}

impl Precount {
    /// Begins to count, if that has not begun. `per_entry` is how much CPU time an entry has taken so
    /// far; it decides about the priority.
    pub(super) fn begin(&mut self, plan: &Plan, per_entry: impl FnOnce() -> Duration) {
        if self.forecast.is_some() {
            return;
        }
        let Ok(forecast) = Forecast::create() else { return }; // the line then has no percentage
        self.process = start(plan, &forecast, per_entry()).ok();
        self.forecast = Some(forecast);
    }

    /// What was counted until now; `None` if counting has not begun.
    pub(super) fn work(&self) -> Option<Work> {
        self.forecast.as_ref().map(Forecast::get)
    }

    /// Kills the process and waits for its end.
    pub(super) fn end(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).and_then(|()| process::join(process)).is_err() {
            // It had exited and was reaped already.
        }
    }

    /// Kills the process; a broken disk may keep it from exiting.
    pub(super) fn abandon(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).is_err() {
            // It has exited already.
        }
    }
}

fn start(plan: &Plan, forecast: &Forecast, per_entry: Duration) -> Result<Pid> {
    process::fork_child(|| {
        // The standard library panics where a directory cannot be closed; that needs no message.
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
            count_below(plan, (number, operand), forecast, &mut work)?;
        }
    }
    work.complete = true;
    forecast.set(work);
    Ok(())
}

/// Counts what is below an operand.
///
/// `walkdir` opens what it finds by path, and the kernel takes no path longer than `PATH_MAX`. Where
/// one becomes too long, that directory becomes the working directory, and the walk starts again there.
fn count_below(
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
                // It is an operand of its own and counted as such.
                Ok(found)
                    if plan.has_apart() && is_apart(plan, (number, operand), found.path()) =>
                {
                    walk.skip_current_dir();
                }
                Ok(found) if found.file_type().is_file() => match found.metadata() {
                    Ok(file) => work.add_file(file.len(), 512 * file.blocks(), file.nlink()),
                    Err(_) => work.add_entry(), // it has vanished
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
                    // The copiers meet the other errors, too, and report them.
                }
            }
            if work.entries.is_multiple_of(PUBLISH_EVERY) {
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
