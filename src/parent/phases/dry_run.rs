//! `--dry-run`: copiers find out what a copy would do. Nothing is locked, created or published.

use super::{copy, links, plan_lines, removal};
use crate::outcome::{End, Fits};
use crate::parent::free_space;
use crate::parent::run::{Run, Stopped};
use crate::plan::{Note, NoteKind};

/// Finds out what copying all operands would do. Returns why that ended.
///
/// All operands are looked at together: what one would create in the place of another does not exist.
pub(in crate::parent) fn look(run: &mut Run<'_>) -> End {
    run.plan.notes.iter().for_each(|note| run.reporter.note(note));
    let looked = find_out(run).and_then(|()| removal::remove_extraneous(run, |_| Ok(())));
    if looked.is_ok() {
        plan_lines::write(run);
        name_idle_rules(run);
    }
    end_of(run, looked)
}

fn find_out(run: &mut Run<'_>) -> Result<(), Stopped> {
    let all = u32::try_from(run.plan.operands.len()).unwrap_or(u32::MAX);
    run.state.begin_wave();
    copy::copy(run, &(0..all))?;
    links::make_links(run)
}

fn end_of(run: &mut Run<'_>, looked: Result<(), Stopped>) -> End {
    match looked {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            End::Unavailable
        }
    }
}

/// Finds out what a run would do, before it begins: whether there is room, and what is extraneous (`--check-first`,
/// `--delete-before`). Returns whether the run may begin; the error says why it ends instead.
pub(in crate::parent) fn look_first(run: &mut Run<'_>) -> Result<(), End> {
    run.state.looks = true;
    let looked = find_out(run);
    match end_of(run, looked) {
        End::Finished => {}
        end => return Err(end),
    }
    removal::judge_all(run);
    // What is removed before makes room, and how much is not known.
    let fits = match run.plan.options.deletes_before() {
        false => free_space::fits(run.plan, &run.totals, run.reporter.sink),
        true => Fits::Yes,
    };
    run.state.fits = Some(fits);
    if fits == Fits::No || run.state.too_many_removals { Err(End::Finished) } else { Ok(()) }
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
