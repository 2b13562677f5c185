//! The work that must wait until all copiers have exited: setting the attributes of directories, and renaming
//! staged directories into place.

use super::write_back;
use crate::copier::visitors::copy;
use crate::error::{EntryError, Op};
use crate::ipc::wire::task::split_last;
use crate::outcome::End;
use crate::parent::idle::ending_signal;
use crate::parent::reporter::Reporter;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::{Names, RunEvent};
use crate::parent::run_state::DeferredDir;
use crate::plan::Plan;
use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;

/// Sets the attributes of staged directories, renames them into place, and then sets the attributes of
/// directories that existed before the run.
///
/// Existing directories come last, because renaming an entry into a directory changes the times of that
/// directory.
pub(in crate::parent) fn publish(run: &mut Run<'_>) -> Result<(), Stopped> {
    let late = std::mem::take(&mut run.state.dirs.late);
    let (mut staged, mut existing): (Vec<_>, Vec<_>) =
        late.into_iter().partition(|dir| dir.path.staged);
    // Directories with longer paths come first, so that a directory comes before those that contain it.
    // Otherwise the final mode of a directory could deny access to the directories inside it.
    for dirs in [&mut staged, &mut existing] {
        dirs.sort_by_key(|dir| Reverse(dir.path.target.len()));
    }
    for_each(run, &staged, finish)?;
    write_back::flush_before_publishing(run)?;
    let built = std::mem::take(&mut run.state.dirs.built);
    for_each(run, &built, |run, dir| {
        if split_last(&dir.path.source).0.is_empty() {
            run.lock.remove_lock_file(dir.path.operand); // it must not be in the complete copy
        }
        copy::publish(run.plan, dir.path.as_path())
    })?;
    for_each(run, &existing, finish)
}

/// Sets the attributes of a directory, and reports those that could not be set.
fn finish(run: &mut Run<'_>, dir: &DeferredDir) -> Result<(), EntryError> {
    let lost = copy::finish(run.plan, dir.path.as_path())?;
    for lost in lost.iter() {
        if run.plan.lost(dir.path.operand, lost.error).is_some() {
            return Err(lost.error);
        }
        run.reporter.attribute_failed(lost, dir.path.operand, &dir.path.source);
    }
    Ok(())
}

/// Sets the attributes of the directories that the run created for `--parents`, the innermost directory
/// first.
pub(in crate::parent) fn finish_parents(plan: &Plan, reporter: &mut Reporter<'_>) {
    for parent in plan.parents.iter().rev() {
        let [source, target] =
            [&parent.source, &parent.target].map(|path| path.as_os_str().as_bytes());
        let names = Names { source, target };
        match copy::finish_parent(plan, parent) {
            Ok(lost) => lost.iter().for_each(|lost| {
                reporter.late.failed += u64::from(lost.required);
                reporter.sink.emit(&RunEvent::AttributeFailed { lost, names });
            }),
            Err(error) => {
                reporter.late.failed += 1;
                reporter.sink.emit(&RunEvent::Failed { error, names });
            }
        }
    }
}

fn for_each(
    run: &mut Run<'_>,
    dirs: &[DeferredDir],
    act: impl Fn(&mut Run<'_>, &DeferredDir) -> Result<(), EntryError>,
) -> Result<(), Stopped> {
    for dir in dirs {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Err(error) = act(run, dir) else { continue };
        let error = run.plan.lost(dir.path.operand, error).unwrap_or(error);
        run.reporter.failed_late(error, dir.path.operand, &dir.path.source);
        if run.plan.ends_with(error) {
            let is_source = error.op == Op::SourceLost;
            return Err(Stopped::Early(if is_source { End::SourceLost } else { End::TargetLost }));
        }
    }
    Ok(())
}
