//! Prompts before existing files are overwritten (`-i`), one file after the other, after everything else is
//! copied.
//!
//! No copier waits for an answer. Copiers defer each entry that needs a prompt, and separate rounds copy the
//! entries that the user agrees to replace.

use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::Task;
use crate::outcome::End;
use crate::parent::answers::Answers;
use crate::parent::idle::flush_output;
use crate::parent::round::TICK;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::{Prompt, RunEvent, Sink};
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::signals::{self, Request, Signals};
use std::io::stdin;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long the parent waits for an answer before it checks for signals again.
const ANSWER_WAIT: Duration = TICK.saturating_mul(100);

/// Prompts for the deferred entries, and copies those that the user agrees to replace.
pub(in crate::parent) fn copy_prompted(run: &mut Run<'_>) -> Result<(), Stopped> {
    ask_all(run).map_err(|signal| Stopped::Early(End::Signal(signal)))?;
    run.state.links.before_prompted = run.state.links.groups.names();
    match u32::try_from(run.state.prompts.agreed.len()) {
        Ok(0) | Err(_) => return Ok(()),
        Ok(agreed) => run_rounds(run, Task::Prompted { first: 0, end: agreed })?,
    }
    run.state.end_phase(&run.totals);
    run.state.digests.index();
    Ok(())
}

/// Copies the entries that were held back because of what was in their way.
pub(in crate::parent) fn copy_held_back(run: &mut Run<'_>) -> Result<(), Stopped> {
    run.state.prompts.agreed = std::mem::take(&mut run.state.held_back);
    run.state.copies_held_back = true;
    let end = u32::try_from(run.state.prompts.agreed.len()).unwrap_or(u32::MAX);
    run_rounds(run, Task::Prompted { first: 0, end })?;
    run.state.end_phase(&run.totals);
    run.state.digests.index();
    Ok(())
}

/// Prompts for each deferred entry. The error is a signal that ends the run.
fn ask_all(run: &mut Run<'_>) -> Result<(), i32> {
    let mut pending = std::mem::take(&mut run.state.prompts.pending);
    if pending.is_empty() {
        return Ok(());
    }
    pending.sort_by(|one, other| {
        (one.path.operand, &one.path.source).cmp(&(other.path.operand, &other.path.source))
    });
    let sink = &mut *run.reporter.sink;
    sink.clear_progress();
    let mut dialog = Dialog { sink, signals: run.signals, answers: &mut run.answers };
    let options = &run.plan.options;
    let mut declined = 0;
    for file in pending {
        let Some(operand) = run.plan.operands.get(file.path.operand as usize) else { continue };
        let agreed = dialog.ask(Prompt {
            target: &operand.show_target(&file.path.source),
            mode: file.mode,
            writable: file.writable,
            removes: options.force || options.remove_destination,
        })?;
        if agreed {
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

/// A dialog with prompts on standard error and answers on standard input.
struct Dialog<'r> {
    sink: &'r mut dyn Sink,
    signals: &'r Signals,
    answers: &'r mut Answers,
}

impl Dialog<'_> {
    /// Returns whether the user agrees that a file is replaced. The error is a signal that ends the run.
    fn ask(&mut self, prompt: Prompt<'_>) -> Result<bool, i32> {
        self.show(prompt);
        loop {
            if let Some(yes) = self.answers.take() {
                return Ok(yes);
            }
            let stdin = stdin();
            let watched =
                [(self.signals.as_fd(), Readiness::Readable), (stdin.as_fd(), Readiness::Readable)];
            let Ok(ready) = poll::wait(&watched, ANSWER_WAIT) else { return Ok(false) };
            while let Ok(Some(request)) = self.signals.next_request() {
                match request {
                    Request::End(number) => return Err(number),
                    Request::Suspend if signals::suspend_self().is_err() => return Ok(false),
                    Request::Resume => self.show(prompt), // the shell has printed below the prompt
                    _ => {}
                }
            }
            if ready.get(1) == Some(&true) {
                self.answers.read();
            }
        }
    }

    fn show(&mut self, prompt: Prompt<'_>) {
        self.sink.emit(&RunEvent::Prompt(prompt));
        flush_output(self.sink, self.signals, Duration::MAX);
    }
}
