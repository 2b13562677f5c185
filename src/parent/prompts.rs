//! Asking the user (`-i`): when all else is copied, one question after the other.
//!
//! No copier waits for an answer. What would need one is put off, and what the user has agreed to
//! is copied by a round of its own.

use super::round::TICK;
use super::supervisor::Supervisor;
use crate::ipc::memory::counters::Count;
use crate::messages;
use crate::outcome::End;
use pcopy_sys::file;
use pcopy_sys::poll::{self, Event};
use pcopy_sys::signals::{self, Wish};
use std::io::stdin;
use std::os::fd::AsFd;
use std::time::Duration;

/// How much of an answer is read at a time.
const ANSWER_BYTES: usize = 4096;

/// What the user has typed and not been asked for yet.
#[derive(Default)]
pub(super) struct Answers {
    typed: Vec<u8>,
    ended: bool,
}

impl Supervisor<'_> {
    /// Asks for each name that was put off; what is agreed to then stands in the state. Returns why
    /// the run is to end, if a signal came in place of an answer.
    pub(super) fn ask(&mut self) -> Option<End> {
        let mut defer_prompt = std::mem::take(&mut self.state.defer_prompt);
        if defer_prompt.is_empty() {
            return None;
        }
        defer_prompt
            .sort_by(|one, other| (one.operand, &one.source).cmp(&(other.operand, &other.source)));
        self.screen.end_line();
        let mut declined = 0;
        for name in defer_prompt {
            let Some(operand) = self.plan.operands.get(name.operand as usize) else { continue };
            let options = &self.plan.options;
            let removes = options.force || options.remove_destination;
            let target = operand.show_target(&name.source);
            let question =
                messages::question(options.compat, &target, name.bits, name.writable, removes);
            match self.answer(&question) {
                Ok(true) => self.state.agreed.push(name),
                Ok(false) => declined += 1,
                Err(signal) => return Some(End::Signal(signal)),
            }
        }
        if self.plan.policy.declined_is_failure {
            self.failed_late += declined;
        }
        let excluded = self.totals.get(Count::Excluded);
        self.totals.set(Count::Excluded, excluded.wrapping_add(declined));
        self.state.end_phase(&self.totals);
        None
    }

    fn show(&mut self, question: &str) {
        self.screen.ask(question);
        self.drain(Duration::MAX);
    }

    /// Whether the next line of standard input begins with a yes; its end is a no. The error is a
    /// signal that wants the run to end.
    fn answer(&mut self, question: &str) -> Result<bool, i32> {
        self.show(question);
        loop {
            let typed = &mut self.answers.typed;
            if let Some(end) = typed.iter().position(|&byte| byte == b'\n') {
                let yes = is_yes(typed);
                typed.drain(..=end);
                return Ok(yes);
            }
            if self.answers.ended {
                return Ok(is_yes(&std::mem::take(typed)));
            }
            let stdin = stdin();
            let watched =
                [(self.signals.as_fd(), Event::Readable), (stdin.as_fd(), Event::Readable)];
            let Ok(ready) = poll::wait(&watched, TICK * 100) else { return Ok(false) };
            while let Ok(Some(wish)) = self.signals.next_wish() {
                match wish {
                    Wish::End(number) => return Err(number),
                    Wish::Halt if signals::halt_self().is_err() => return Ok(false),
                    Wish::Proceed => self.show(question), // the shell has written below it
                    _ => {}
                }
            }
            if ready.get(1) == Some(&true) {
                let mut piece = [0; ANSWER_BYTES];
                match file::read(&stdin, &mut piece) {
                    Ok(0) | Err(_) => self.answers.ended = true,
                    Ok(read) => self.answers.typed.extend_from_slice(&piece[..read]),
                }
            }
        }
    }
}

fn is_yes(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'y' | b'Y'))
}
