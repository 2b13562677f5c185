//! What the user sees of a run: messages, the progress line and the exit status.
//!
//! Only this module turns the parent's events into text. [`Screen`] owns the output streams and the progress
//! line. A *renderer* turns one event into lines for the screen. There are two renderers: one for pcopy's own
//! messages and one for GNU cp's. To add another form of output, add a renderer in a file of its own.

pub mod explanation;
mod failure_text;
mod gnu;
mod human;
mod itemize;
mod lost_attributes;
pub mod numbers;
mod output;
mod pace;
mod progress;
mod screen;
mod summary;

use crate::options::Compat;
use crate::outcome::{Exit, Outcome, code};
pub use screen::{Screen, Settings};

/// Returns a screen with pcopy's or GNU cp's messages, as `settings` select.
pub fn screen(settings: Settings) -> Screen {
    let render = match settings.compat {
        Compat::Native => human::render,
        Compat::Gnu => gnu::render,
    };
    Screen::new(settings, render)
}

/// Returns how the process ends after a run: with an exit status or by a signal.
pub fn exit(outcome: &Outcome, compat: Compat) -> Exit {
    match (compat, outcome.exit()) {
        // cp exits with 0 or 1 only.
        (Compat::Gnu, Exit::Code(code)) => Exit::Code(code.min(code::SOME_FAILED)),
        (_, exit) => exit,
    }
}

/// Returns the exit status for a run that was refused before it began.
pub fn refused_code(compat: Compat) -> u8 {
    match compat {
        Compat::Native => code::REFUSED,
        Compat::Gnu => code::SOME_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::counters::Count::{Copied, Failed, Found, Vanished};
    use crate::outcome::End;

    #[test]
    fn gnu_mode_has_two_exit_codes() {
        for (counts, expected) in [
            (vec![(Found, 1), (Copied, 1)], 0),
            (vec![(Found, 1), (Vanished, 1)], 1),
            (vec![(Found, 1), (Failed, 1)], 1),
            (vec![(Found, 1)], 1),
        ] {
            let outcome = Outcome::sample(End::Finished, &counts);
            assert_eq!(exit(&outcome, Compat::Gnu), Exit::Code(expected), "{counts:?}");
        }
    }

    #[test]
    fn a_signal_ends_the_program_in_either_mode() {
        let outcome = Outcome::sample(End::Signal(2), &[(Found, 9)]);
        assert_eq!(exit(&outcome, Compat::Gnu), Exit::Signal(2));
        assert_eq!(exit(&outcome, Compat::Native), Exit::Signal(2));
    }
}
