//! Parallel directory copy for Linux.
//!
//! This library exists for the program `pcopy` (see `main.rs`), its tests and its benchmarks; nothing of it is
//! stable yet. [`cli`] gives options, [`plan::Draft`] a plan, and [`parent::run`] an
//! [`outcome::Outcome`]. While it runs it emits each [`parent::run_event::RunEvent`] to a sink, such as
//! [`ui::screen`]. Only what these need is public. The modules form layers: each module uses only modules of
//! lower layers (`tests/it/layers.rs` checks that). ARCHITECTURE.md describes how a copy proceeds through the
//! layers.

// Code that copies data must not discard the result of a call; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]
#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench;
pub mod cli;
mod copier;
pub mod error;
pub mod hash;
mod ipc;
pub mod manifest;
pub mod options;
pub mod outcome;
pub mod parent;
pub mod plan;
mod policy;
mod sanitize;
mod shell_quote;
mod staging;
pub mod ui;

/// The checks of the fuzz targets whose subjects are internal.
#[cfg(fuzzing)]
pub mod fuzzing {
    use crate::ipc::wire::event::Report;
    use crate::ipc::wire::task::{Task, next_name};
    use crate::sanitize;

    /// What the parent reads from a copier's pipe: a frame that can be decoded is the same after it is encoded
    /// and decoded again.
    pub fn reports(bytes: &[u8]) {
        let mut from = bytes;
        while let Ok(Some(report)) = Report::decode(&mut from) {
            let mut frame = Vec::new();
            report.encode(&mut frame);
            assert_eq!(Report::decode(&mut &frame[..]), Ok(Some(report)));
        }
    }

    /// What a copier takes from the ring: a task that can be decoded is the same after it is encoded and
    /// decoded again.
    pub fn tasks(bytes: &[u8]) {
        let Some(task) = Task::decode(bytes) else { return };
        let mut packed = Vec::new();
        task.encode(&mut packed);
        assert_eq!(Task::decode(&packed), Some(task));
        if let Task::Names { mut names, .. } = task {
            while next_name(&mut names).is_some() {}
        }
    }

    /// Names and lines as they are shown on a terminal: without any character that could control it.
    pub fn names(bytes: &[u8]) {
        assert!(!sanitize::escape(bytes).contains(is_dangerous));
        assert!(!sanitize::quote(bytes).contains(is_dangerous));
        assert!(!sanitize::sanitize(bytes).contains(|c| is_dangerous(c) && c != '\n'));
    }

    fn is_dangerous(c: char) -> bool {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    }
}
