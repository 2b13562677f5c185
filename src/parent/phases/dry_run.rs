//! `--dry-run`: copiers find out what a copy would do. Nothing is locked, created or published.

use super::{copy, links, removal};
use crate::outcome::End;
use crate::parent::run::{Run, Stopped};
use crate::plan::{Note, NoteKind};

/// Finds out what copying all operands would do. Returns why that ended.
///
/// All operands are looked at together: what one would create in the place of another does not exist.
pub(in crate::parent) fn look(run: &mut Run<'_>) -> End {
    run.plan.notes.iter().for_each(|note| run.reporter.note(note));
    let all = u32::try_from(run.plan.operands.len()).unwrap_or(u32::MAX);
    run.state.begin_wave();
    let looked = copy::copy(run, &(0..all)).and_then(|()| links::make_links(run));
    let looked = looked.and_then(|()| removal::remove_extraneous(run, |_| Ok(())));
    if looked.is_ok() {
        name_idle_rules(run);
    }
    match looked {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            End::Unavailable
        }
    }
}

/// The most rules that are named one by one.
const RULES_NAMED: usize = 10;

/// Names the rules that have decided about no entry: they may be mistaken.
fn name_idle_rules(run: &mut Run<'_>) {
    let Some(selection) = &run.plan.options.selection else { return };
    let idle = selection.without_decision();
    for (number, rule) in idle.iter().take(RULES_NAMED).enumerate() {
        let is_last = number + 1 == RULES_NAMED;
        let others = if is_last { idle.len() - RULES_NAMED } else { 0 };
        let kind = NoteKind::IdleRules(rule.clone(), others);
        run.reporter.note(&Note { before: 0, kind });
    }
}
