//! Parallel directory copy for Linux.
//!
//! This library exists for the program `pcopy` (see `main.rs`), its tests and its benchmarks; no part of it
//! is stable yet. [`cli`] turns the arguments into options, and [`plan::Draft`] turns the options into a
//! plan. [`parent::run`] carries out the plan and returns an [`outcome::Outcome`]. During the run it sends
//! each [`parent::run_event::RunEvent`] to a sink, such as [`ui::screen`]. Only the items that these
//! interfaces need are public. The modules form layers: a module uses only modules of its own layer and of
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
pub mod mode_changes;
pub mod options;
pub mod outcome;
pub mod parent;
pub mod plan;
pub mod plan_file;
mod policy;
mod sanitize;
pub mod selection;
mod shell_quote;
mod staging;
pub mod ui;
mod wanted_attributes;

/// The checks of those fuzz targets that test internal functions.
#[cfg(fuzzing)]
pub mod fuzzing {
    use crate::ipc::wire::event::Report;
    use crate::ipc::wire::task::{Task, next_name};
    use crate::plan_file::{self, PlanFile, Writer};
    use crate::sanitize;

    /// Checks reports, which the parent reads from a copier's pipe: a report that was decoded is the same
    /// after it has been encoded and decoded again.
    pub fn reports(bytes: &[u8]) {
        let mut from = bytes;
        while let Ok(Some(report)) = Report::decode(&mut from) {
            let mut frame = Vec::new();
            report.encode(&mut frame);
            assert_eq!(Report::decode(&mut &frame[..]), Ok(Some(report)));
        }
    }

    /// Checks tasks, which a copier takes from the ring: a task that was decoded is the same after it has
    /// been encoded and decoded again.
    pub fn tasks(bytes: &[u8]) {
        let Some(task) = Task::decode(bytes) else { return };
        let mut packed = Vec::new();
        task.encode(&mut packed);
        assert_eq!(Task::decode(&packed), Some(task));
        if let Task::Names { mut names, .. } = task {
            while next_name(&mut names).is_some() {}
        }
    }

    /// Checks plans: whatever a file has, it is read, or a line of it is named. Half of the bytes get check values that fit.
    pub fn plans(bytes: &[u8]) {
        let read = |text: &[u8]| match PlanFile::parse(text) {
            Ok(plan) => {
                let (mut writer, mut text) = Writer::begin(&plan.header);
                for operation in &plan.operations {
                    text += &writer.operation(operation);
                }
                text += &writer.end(plan.kept);
                assert_eq!(PlanFile::parse(text.as_bytes()), Ok(plan));
            }
            Err(damage) => assert!(damage.line > 0 && !damage.why.is_empty()),
        };
        read(bytes);
        if let Ok(text) = std::str::from_utf8(bytes) {
            read(plan_file::sealed(&text.lines().collect::<Vec<_>>()).as_bytes());
        }
    }

    /// Checks that names and lines for a terminal contain no character that could control the terminal.
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
