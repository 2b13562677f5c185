//! The two grammars of patterns.

/// Whose pattern it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grammar {
    Rsync,
    Git,
}
