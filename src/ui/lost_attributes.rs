//! The attributes that entries of the copy lack: one line for each kind at the end of a run, because on a file
//! system that does not support an attribute every entry lacks it.

use super::failure_text::describe_lost;
use crate::error::{AttributeError, Op};
use crate::parent::run_event::Names;

/// What the entries so far lack.
#[derive(Default)]
pub(super) struct LostAttributes(Vec<Kind>);

/// How many entries lack an attribute for one reason.
struct Kind {
    lost: AttributeError,
    /// The path of the first of these entries that was reported, as it is shown: of the source if it could not
    /// be read there, otherwise of the target.
    first: Vec<u8>,
    entries: u64,
}

impl LostAttributes {
    /// Adds an entry. An entry at which a copier died may be added twice.
    pub(super) fn add(&mut self, lost: AttributeError, names: Names<'_>) {
        // Only the first attempt to stage an entry on a file system shows the error; later ones are not made.
        let both_unstaged =
            |known: AttributeError| known.error.op == Op::Stage && lost.error.op == Op::Stage;
        let is_same = |kind: &&mut Kind| kind.lost == lost || both_unstaged(kind.lost);
        if let Some(kind) = self.0.iter_mut().find(is_same) {
            kind.entries += 1;
            return;
        }
        let concerned = if lost.error.op.concerns_source() { names.source } else { names.target };
        self.0.push(Kind { lost, first: concerned.to_vec(), entries: 1 });
    }

    /// Returns a line for each kind, and whether it is a failure, because the attribute was required.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, bool)> {
        self.0.iter().map(|Kind { lost, first, entries }| {
            (describe_lost(lost.error, first, entries - 1), lost.required)
        })
    }
}
