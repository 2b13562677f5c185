//! The numbers for other programs.

use super::numbers::{median, range};
use super::race::{Race, Row, Trouble};
use super::{Heat, Results};
use crate::sys::process::Usage;
use serde_json::{Value, json};

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
        "trees": results.heats.iter().map(|heat| tree(heat, options.verify)).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn tree(heat: &Heat, verified: bool) -> Value {
    let facts = &heat.facts;
    json!({
        "name": heat.name,
        "files": facts.files,
        "more_names": facts.links,
        "directories": facts.folders,
        "symlinks": facts.symlinks,
        "specials": facts.others,
        "bytes": facts.bytes,
        "allocated_bytes": facts.allocated,
        "source_file_system": heat.from,
        "target_file_system": heat.to,
        "races": heat.races.iter().map(|race| self::race(race, verified)).collect::<Vec<_>>(),
    })
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
        "version": row.line.version,
        "label": row.line.label,
        "command": row.line.command(),
        "note": row.line.note,
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
