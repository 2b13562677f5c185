//! The numbers for other programs.

use super::numbers::{median, range};
use super::options::{Options, Source};
use super::rows::{Race, Row, Trouble};
use super::{Heat, Results};
use crate::quote::escape;
use crate::sys::process::Usage;
use serde_json::{Value, json};
use std::path::Path;

/// All results as one object, with every single time.
pub(super) fn text(results: &Results<'_>) -> String {
    let (machine, options) = (&results.machine, results.options);
    let value = json!({
        "pcopy": env!("CARGO_PKG_VERSION"),
        "date": machine.date,
        "machine": {
            "kernel": machine.kernel,
            "processors": machine.processors,
            "memory_bytes": machine.memory,
        },
        "runs": options.runs,
        "cold": options.cold,
        "onto": options.onto.as_str(),
        "dir": shown(&options.dir),
        "source_dir": options.source_dir.as_deref().map(shown),
        "trees": results.heats.iter().map(|heat| tree(heat, options)).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn tree(heat: &Heat, options: &Options) -> Value {
    let source = match &options.source {
        Source::Folder(path) => Some(path.as_path()),
        Source::Trees(_) => None,
    };
    let verified = options.verify;
    let facts = &heat.facts;
    json!({
        "name": heat.name,
        "source": source.map(shown),
        "seed": heat.tree.map(|tree| tree.seed),
        "scale": heat.tree.map(|tree| tree.scale),
        "files": facts.files,
        "more_names": facts.links,
        "directories": facts.folders,
        "symlinks": facts.symlinks,
        "specials": facts.others,
        "bytes": facts.bytes,
        "allocated_bytes": facts.allocated,
        "source_file_system": heat.from,
        "target_file_system": heat.to,
        "target_keeps_bits": heat.keeps.bits,
        "target_keeps_times": heat.keeps.times,
        "races": heat.races.iter().map(|race| self::race(race, verified)).collect::<Vec<_>>(),
    })
}

/// A path as text; bytes that are none are escaped.
fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

fn race(race: &Race, verified: bool) -> Value {
    json!({
        "keep": race.keep.as_str(),
        "absent": race.absent,
        "rows": race.rows.iter().map(|row| self::row(race, row, verified)).collect::<Vec<_>>(),
    })
}

fn row(race: &Race, row: &Row, verified: bool) -> Value {
    let walls = row.walls();
    let range = range(&walls);
    let used =
        |of: fn(&Usage) -> Value| row.runs.iter().map(|run| of(&run.used)).collect::<Vec<_>>();
    let (verified, trouble) = match &row.trouble {
        Some(Trouble::Wrong(what)) => ("wrong", Some(what)),
        Some(Trouble::Failed(how)) => ("failed", Some(how)),
        None => (if verified { "yes" } else { "no" }, None),
    };
    json!({
        "tool": row.line.tool,
        "program": shown(&row.line.path),
        "version": row.line.version,
        "label": row.line.label,
        "command": row.line.command(),
        "note": row.line.note,
        "keeps_less": row.line.keeps_less,
        "jobs": row.line.jobs,
        "wall_seconds": walls,
        "cpu_seconds": used(|used| used.cpu.as_secs_f64().into()),
        "memory_bytes": used(|used| used.memory.into()),
        "median_seconds": median(&walls),
        "min_seconds": range.map(|(least, _)| least),
        "max_seconds": range.map(|(_, greatest)| greatest),
        "ratio": race.ratio(row),
        "verified": verified,
        "trouble": trouble,
    })
}
