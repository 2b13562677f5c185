//! How what happened to an entry is told: in the program's own words or in those of cp.

pub mod gnu;
pub mod native;

use crate::error::EntryError;
use crate::ipc::wire::event::Details;
use crate::options::Compat;
use crate::sanitize;

/// An entry and its place in the target, as the user would name them.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The source.
    pub source: &'a [u8],
    /// What it is to become.
    pub target: &'a [u8],
}

/// One entry's failure, without the program's name before it.
pub fn error(compat: Compat, error: EntryError, names: Names<'_>) -> String {
    match compat {
        Compat::Native => native::describe_fault(error, names.source, names.target),
        Compat::Gnu => gnu::describe_fault(error, names),
    }
}

/// A source entry that was there when its directory was listed and gone when its turn came.
pub fn vanished(compat: Compat, error: EntryError, names: Names<'_>) -> String {
    match compat {
        Compat::Native => native::describe_vanished(names.source),
        Compat::Gnu => gnu::describe_fault(error, names),
    }
}

/// What `-v` says of an entry that is complete.
pub fn done(compat: Compat, names: Names<'_>, how: Details, suffix: &[u8]) -> String {
    match compat {
        Compat::Native => match how.method {
            None => sanitize::escape(names.target),
            Some(method) => {
                format!("{}\n{}", sanitize::escape(names.target), gnu::describe_trail(method))
            }
        },
        Compat::Gnu => gnu::describe_done(names, how, suffix),
    }
}

/// What `--debug` says of an entry that was passed over.
pub fn skipped(compat: Compat, target: &[u8]) -> String {
    match compat {
        Compat::Native => format!("skipped {}", sanitize::quote(target)),
        Compat::Gnu => format!("skipped {}", gnu::quote(target)),
    }
}

/// The question before a file is replaced; `bits` are those of the old one, `writable` whether it
/// could be written.
pub fn question(compat: Compat, target: &[u8], bits: u32, writable: bool, removes: bool) -> String {
    match compat {
        Compat::Native => format!("replace {}? ", sanitize::quote(target)),
        Compat::Gnu => gnu::question(target, bits, writable, removes),
    }
}

/// A source that was named twice with the same place in the target.
pub fn named_twice(compat: Compat, is_dir: bool, source: &[u8]) -> String {
    let kind = if is_dir { "directory" } else { "file" };
    let source = match compat {
        Compat::Native => sanitize::quote(source),
        Compat::Gnu => gnu::quote(source),
    };
    format!("warning: source {kind} {source} specified more than once")
}
