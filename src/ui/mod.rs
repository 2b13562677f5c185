//! What the user sees of a run: sentences, streams, the terminal and the exit status.
//!
//! The parent's events become text here and nowhere else. [`Screen`] owns the streams and the progress
//! line; a *renderer* turns one event into lines of it. There are two renderers, one for pcopy's own
//! messages and one for GNU cp's. Another form of output is one more of them, in a file of its own.

mod failure_text;
mod gnu;
mod human;
pub mod numbers;
mod output;
mod progress;
mod screen;
mod summary;

use crate::options::Compat;
use crate::outcome::{Exit, Outcome, code};
pub use screen::{Screen, Settings};

/// The screen with the messages of the program that the user has started.
pub fn screen(settings: Settings) -> Screen {
    let render = match settings.compat {
        Compat::Native => human::render,
        Compat::Gnu => gnu::render,
    };
    Screen::new(settings, render)
}

/// How the process is to end after a run.
pub fn exit(outcome: &Outcome, compat: Compat) -> Exit {
    match (compat, outcome.exit()) {
        // cp has no other statuses.
        (Compat::Gnu, Exit::Code(code)) => Exit::Code(code.min(code::SOME_FAILED)),
        (_, exit) => exit,
    }
}

/// The exit status when the run could not begin.
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
