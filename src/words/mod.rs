//! How what happened to an entry is told: in the program's own words or in those of cp.

pub mod cp;
pub mod pcopy;

use crate::ipc::report::{Fault, How};
use crate::options::Manner;
use crate::quote;

/// An entry and its place in the target, as the user would name them.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The source.
    pub source: &'a [u8],
    /// What it is to become.
    pub target: &'a [u8],
}

/// One entry's failure, without the program's name before it.
pub fn fault(manner: Manner, fault: Fault, names: Names<'_>) -> String {
    match manner {
        Manner::Pcopy => pcopy::describe_fault(fault, names.source, names.target),
        Manner::Cp => cp::describe_fault(fault, names),
    }
}

/// A source entry that was there when its directory was listed and gone when its turn came.
pub fn vanished(manner: Manner, fault: Fault, names: Names<'_>) -> String {
    match manner {
        Manner::Pcopy => pcopy::describe_vanished(names.source),
        Manner::Cp => cp::describe_fault(fault, names),
    }
}

/// What `-v` says of an entry that is complete.
pub fn done(manner: Manner, names: Names<'_>, how: How, suffix: &[u8]) -> String {
    match manner {
        Manner::Pcopy => match how.trail {
            None => quote::escape(names.target),
            Some(trail) => {
                format!("{}\n{}", quote::escape(names.target), cp::describe_trail(trail))
            }
        },
        Manner::Cp => cp::describe_done(names, how, suffix),
    }
}

/// What `--debug` says of an entry that was passed over.
pub fn skipped(manner: Manner, target: &[u8]) -> String {
    match manner {
        Manner::Pcopy => format!("skipped {}", quote::quote(target)),
        Manner::Cp => format!("skipped {}", cp::quote(target)),
    }
}

/// The question before a file is replaced; `bits` are those of the old one, `writable` whether it
/// could be written.
pub fn question(manner: Manner, target: &[u8], bits: u32, writable: bool, removes: bool) -> String {
    match manner {
        Manner::Pcopy => format!("replace {}? ", quote::quote(target)),
        Manner::Cp => cp::question(target, bits, writable, removes),
    }
}

/// A source that was named twice with the same place in the target.
pub fn named_twice(manner: Manner, is_dir: bool, source: &[u8]) -> String {
    let kind = if is_dir { "directory" } else { "file" };
    let source = match manner {
        Manner::Pcopy => quote::quote(source),
        Manner::Cp => cp::quote(source),
    };
    format!("warning: source {kind} {source} specified more than once")
}
