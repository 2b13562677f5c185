//! Prompting before files are overwritten (`-i`): after everything else is copied, one after the other.
//!
//! No copier waits for an answer. What needs one is deferred, and what the user agrees to is copied by
//! rounds of its own.

use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::Task;
use crate::outcome::End;
use crate::parent::idle::flush_output;
use crate::parent::round::TICK;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::{Prompt, RunEvent};
use pcopy_sys::poll::{self, Event};
use pcopy_sys::signals::{self, Wish};
use std::io::stdin;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long to wait for an answer before looking for signals again.
const ANSWER_WAIT: Duration = TICK.saturating_mul(100);

/// Asks about the files that wait for an answer, and copies those that the user agrees to.
pub(in crate::parent) fn copy_prompted(run: &mut Run<'_>) -> Result<(), Stopped> {
    ask_all(run).map_err(|signal| Stopped::Early(End::Signal(signal)))?;
    run.state.links.before_prompted = run.state.links.groups.names();
    match u32::try_from(run.state.prompts.agreed.len()) {
        Ok(0) | Err(_) => return Ok(()),
        Ok(agreed) => run_rounds(run, Task::Agreed { first: 0, end: agreed })?,
    }
    run.state.end_phase(&run.totals);
    run.state.hashed.index();
    Ok(())
}

/// Asks about each file; the error is a signal that ends the run.
fn ask_all(run: &mut Run<'_>) -> Result<(), i32> {
    let mut pending = std::mem::take(&mut run.state.prompts.pending);
    if pending.is_empty() {
        return Ok(());
    }
    pending.sort_by(|one, other| (one.operand, &one.source).cmp(&(other.operand, &other.source)));
    run.reporter.sink.clear_progress();
    let mut declined = 0;
    for file in pending {
        let Some(operand) = run.plan.operands.get(file.operand as usize) else { continue };
        let target = operand.show_target(&file.source);
        if ask(run, &file, &target)? {
            run.state.prompts.agreed.push(file);
        } else {
            declined += 1;
        }
    }
    if run.plan.policy.declined_is_failure {
        run.reporter.late.failed += declined;
    }
    let before = run.totals.get(Count::Declined);
    run.totals.set(Count::Declined, before.wrapping_add(declined));
    run.state.end_phase(&run.totals);
    Ok(())
}

/// Whether the user agrees that a file is replaced; the error is a signal that ends the run.
fn ask(run: &mut Run<'_>, file: &PendingPrompt, target: &[u8]) -> Result<bool, i32> {
    let options = &run.plan.options;
    let prompt = Prompt {
        target,
        mode: file.bits,
        writable: file.writable,
        removes: options.force || options.remove_destination,
    };
    show(run, prompt);
    loop {
        if let Some(yes) = run.answers.take() {
            return Ok(yes);
        }
        let stdin = stdin();
        let watched = [(run.signals.as_fd(), Event::Readable), (stdin.as_fd(), Event::Readable)];
        let Ok(ready) = poll::wait(&watched, ANSWER_WAIT) else { return Ok(false) };
        while let Ok(Some(request)) = run.signals.next_wish() {
            match request {
                Wish::End(number) => return Err(number),
                Wish::Halt if signals::halt_self().is_err() => return Ok(false),
                Wish::Proceed => show(run, prompt), // the shell has written below it
                _ => {}
            }
        }
        if ready.get(1) == Some(&true) {
            run.answers.read();
        }
    }
}

fn show(run: &mut Run<'_>, prompt: Prompt<'_>) {
    run.reporter.sink.emit(&RunEvent::Prompt(prompt));
    flush_output(run.reporter.sink, run.signals, Duration::MAX);
}
