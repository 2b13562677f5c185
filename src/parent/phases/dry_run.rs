//! `--dry-run`: copiers find out what a copy would do. Nothing is locked, created or published.

use super::{copy, links};
use crate::outcome::End;
use crate::parent::run::{Run, Stopped};

/// Finds out what copying all operands would do. Returns why that ended.
///
/// All operands are looked at together: what one would create in the place of another does not exist.
pub(in crate::parent) fn look(run: &mut Run<'_>) -> End {
    run.plan.notes.iter().for_each(|note| run.reporter.note(note));
    let all = u32::try_from(run.plan.operands.len()).unwrap_or(u32::MAX);
    let looked = copy::copy(run, &(0..all)).and_then(|()| links::make_links(run));
    match looked {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            End::Unavailable
        }
    }
}
