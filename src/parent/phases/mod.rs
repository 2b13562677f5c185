//! The phases of a run, a module each; `parent::copy_wave` calls them in order. Each phase is a function that
//! takes from the run the data that it needs.

pub(super) mod compare;
pub(super) mod copy;
pub(super) mod dry_run;
pub(super) mod links;
pub(super) mod manifest;
pub(super) mod plan_lines;
mod planned_removal;
pub(super) mod prompted;
pub(super) mod publish;
pub(super) mod removal;
pub(super) mod verify;
pub(super) mod write_back;
