//! `--check` and `--check-manifest`: copiers compare, and the parent reports the differences at the end,
//! sorted by name.

use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::task::Task;
use crate::outcome::{Compared, End};
use crate::parent::reporter::Reporter;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::RunEvent;
use crate::parent::run_state::{Findings, LinkedPair};
use crate::plan::{Check, Plan};
use std::collections::HashMap;

/// Compares everything and reports the differences. Returns why the comparison ended, and how many
/// differences it found.
pub(in crate::parent) fn compare(run: &mut Run<'_>) -> (End, Compared) {
    run.plan.notes.iter().for_each(|note| run.reporter.note(note));
    let tasks = match &run.plan.check {
        Some(Check::Manifest(listed)) => listed.files.len() + 1, // one more task for unlisted files
        _ => run.plan.operands.len(),
    };
    let whole = Task::Operands { first: 0, end: u32::try_from(tasks).unwrap_or(u32::MAX) };
    let end = match run_rounds(run, whole) {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            End::Unavailable
        }
    };
    run.reporter.sink.clear_progress();
    let findings = std::mem::take(&mut run.state.findings);
    (end, report(run.plan, &mut run.reporter, findings))
}

/// One line of the report about a name.
enum ReportLine {
    Differs(Difference),
    /// The name and this other name are one file on one side, and two files on the other side.
    LinkDiffers(Vec<u8>),
}

fn report(plan: &Plan, reporter: &mut Reporter<'_>, findings: Findings) -> Compared {
    let mut compared = Compared::default();
    let mut lines = Vec::new();
    let mut looked_inside = false;
    for (operand, path, difference) in findings.differences {
        *match difference {
            Difference::Missing(_) => &mut compared.missing,
            Difference::Extraneous(_) => &mut compared.extra,
            Difference::Changed { .. } => &mut compared.different,
        } += 1;
        let is_operand = !path.contains(&b'/') && matches!(difference, Difference::Missing(_));
        looked_inside |= is_operand && plan.is_inside_target(operand);
        lines.push((reporter.shown_target(operand, &path), ReportLine::Differs(difference)));
    }
    for (name, other) in separated_links(reporter, findings.linked) {
        compared.different += 1;
        lines.push((name, ReportLine::LinkDiffers(other)));
    }
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    for (name, line) in &lines {
        reporter.sink.emit(&match line {
            ReportLine::Differs(difference) => {
                RunEvent::Differs { target: name, difference: *difference }
            }
            ReportLine::LinkDiffers(other) => RunEvent::LinkDiffers { target: name, other },
        });
    }
    if looked_inside {
        reporter.sink.emit(&RunEvent::ComparedInside);
    }
    compared
}

/// Finds each name that shares its file with another name in the source or in the target, but not in both.
/// Returns the name together with that other name.
fn separated_links(
    reporter: &Reporter<'_>,
    mut linked: Vec<LinkedPair>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    linked.sort_by(|one, other| (one.operand, &one.path).cmp(&(other.operand, &other.path)));
    let (mut by_source, mut by_target) = (HashMap::new(), HashMap::new());
    let mut separated = Vec::new();
    for (number, pair) in linked.iter().enumerate() {
        let first_of_source = *by_source.entry(pair.source).or_insert(number);
        let first_of_target = *by_target.entry(pair.target).or_insert(number);
        let other = if linked[first_of_source].target != pair.target {
            first_of_source
        } else if linked[first_of_target].source != pair.source {
            first_of_target
        } else {
            continue;
        };
        let name = |pair: &LinkedPair| reporter.shown_target(pair.operand, &pair.path);
        separated.push((name(pair), name(&linked[other])));
    }
    separated
}
