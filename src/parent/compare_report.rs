//! A run that compares only: what differs is told when all is known, in the order of the names.

use super::supervisor::Supervisor;
use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::task::Task;
use crate::messages::native::{describe_difference, describe_twins};
use crate::outcome::{Compared, End};
use crate::plan::Check;
use pcopy_sys::file::Identity;
use std::collections::HashMap;

/// A name of something that has several, in the source or in the target.
pub(super) struct LinkedPair {
    pub(super) operand: u32,
    pub(super) path: Vec<u8>,
    pub(super) source: Identity,
    pub(super) target: Identity,
}

impl Supervisor<'_> {
    /// Compares all, and tells what differs.
    pub(super) fn compare(&mut self) -> End {
        let plan = self.plan;
        plan.notes.iter().for_each(|note| self.report_note(note));
        let all = match &plan.check {
            Some(Check::Manifest(listed)) => listed.files.len() + 1, // and what else is there
            _ => plan.operands.len(),
        };
        let end = u32::try_from(all).unwrap_or(u32::MAX);
        let end = self.rounds(Task::Operands { first: 0, end }).unwrap_or_else(|unavailable| {
            self.screen.error(&unavailable.to_string());
            End::Unavailable
        });
        self.screen.end_line();
        self.compared = Some(self.report_differences());
        end
    }

    fn report_differences(&mut self) -> Compared {
        let mut compared = Compared::default();
        let mut lines = Vec::new();
        let mut misplaced = false;
        for (operand, path, difference) in std::mem::take(&mut self.state.differences) {
            *match difference {
                Difference::Missing(_) => &mut compared.missing,
                Difference::Extra(_) => &mut compared.extra,
                Difference::Other { .. } => &mut compared.different,
            } += 1;
            let is_top = !path.contains(&b'/') && matches!(difference, Difference::Missing(_));
            misplaced |= is_top && self.plan.is_looked_for_inside(operand);
            let name = self.shown_target(operand, &path);
            let line = describe_difference(difference, &name);
            lines.push((name, line));
        }
        for (name, first) in self.separated_twins() {
            compared.different += 1;
            let line = describe_twins(&name, &first);
            lines.push((name, line));
        }
        lines.sort();
        lines.iter().for_each(|(_, line)| self.screen.name(line));
        if misplaced {
            self.screen.plain("hint: DST is a folder, so SRC is looked for in it; -T compares SRC with DST itself");
        }
        compared
    }

    /// Names that are one file on one side and not on the other, each with the one that it should be,
    /// or should not be.
    fn separated_twins(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut twins = std::mem::take(&mut self.state.twins);
        twins.sort_by(|one, other| (one.operand, &one.path).cmp(&(other.operand, &other.path)));
        let (mut by_source, mut by_target) = (HashMap::new(), HashMap::new());
        let mut separated = Vec::new();
        for (number, twin) in twins.iter().enumerate() {
            let target = *by_source.entry(twin.source).or_insert(number);
            let source = *by_target.entry(twin.target).or_insert(number);
            let first = match () {
                () if twins[target].target != twin.target => target,
                () if twins[source].source != twin.source => source,
                () => continue,
            };
            let name = |twin: &LinkedPair| self.shown_target(twin.operand, &twin.path);
            separated.push((name(twin), name(&twins[first])));
        }
        separated
    }

    /// How the user would name the target of what is at `path`.
    pub(super) fn shown_target(&self, operand: u32, path: &[u8]) -> Vec<u8> {
        match &self.plan.check {
            Some(Check::Manifest(listed)) => listed.show(path),
            _ => {
                let operand = self.plan.operands.get(operand as usize);
                operand.map(|operand| operand.show_target(path)).unwrap_or_default()
            }
        }
    }
}
