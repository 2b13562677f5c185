//! Writes the results as JSON, for other programs.

use super::bench_options::{BenchOptions, BenchSource};
use super::results::{Case, Problem, Race, Results, Row};
use super::statistics::{median, range};
use crate::sanitize::escape;
use pcopy_sys::process::Usage;
use serde_json::{Value, json};
use std::path::Path;

/// Returns all results as one JSON object, with the times of every run.
pub(super) fn text(results: &Results<'_>) -> String {
    let (machine, options) = (&results.machine, results.options);
    let value = json!({
        "pcopy": env!("CARGO_PKG_VERSION"),
        "date": machine.date,
        "machine": {
            "kernel": machine.kernel,
            "processors": machine.cpus,
            "memory_bytes": machine.memory,
        },
        "runs": options.runs,
        "cold": options.cold,
        "onto": options.onto.as_str(),
        "dir": path_text(&options.dir),
        "source_dir": options.source_dir.as_deref().map(path_text),
        "trees": results.cases.iter().map(|case| case_value(case, options)).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn case_value(case: &Case, options: &BenchOptions) -> Value {
    let source = match &options.source {
        BenchSource::Directory(path) => Some(path.as_path()),
        BenchSource::Trees(_) => None,
    };
    let verified = options.verify;
    let stats = &case.stats;
    json!({
        "name": case.name,
        "source": source.map(path_text),
        "seed": case.tree.map(|tree| tree.seed),
        "scale": case.tree.map(|tree| tree.scale),
        "files": stats.files,
        "more_names": stats.extra_links,
        "directories": stats.directories,
        "symlinks": stats.symlinks,
        "specials": stats.specials,
        "bytes": stats.bytes,
        "allocated_bytes": stats.allocated,
        "source_file_system": case.source_fs,
        "target_file_system": case.target_fs,
        "target_keeps_bits": case.fidelity.modes,
        "target_keeps_times": case.fidelity.times,
        "races": case.races.iter().map(|race| race_value(race, verified)).collect::<Vec<_>>(),
    })
}

/// Returns a path as text. Bytes that are not UTF-8 are escaped.
fn path_text(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

fn race_value(race: &Race, verified: bool) -> Value {
    json!({
        "keep": race.keep.as_str(),
        "absent": race.absent,
        "rows": race.rows.iter().map(|row| row_value(race, row, verified)).collect::<Vec<_>>(),
    })
}

fn row_value(race: &Race, row: &Row, verified: bool) -> Value {
    let command = &row.command;
    let times = row.wall_seconds();
    let range = range(&times);
    let used =
        |of: fn(&Usage) -> Value| row.runs.iter().map(|run| of(&run.used)).collect::<Vec<_>>();
    let (verified, problem) = match &row.problem {
        Some(Problem::WrongCopy(difference)) => ("wrong", Some(difference)),
        Some(Problem::Failed(how)) => ("failed", Some(how)),
        None => (if verified { "yes" } else { "no" }, None),
    };
    json!({
        "tool": command.tool,
        "program": path_text(&command.path),
        "version": command.version,
        "label": command.label,
        "command": command.shell_line(),
        "note": command.note,
        "keeps_less": command.preserves_less,
        "jobs": command.jobs,
        "wall_seconds": times,
        "cpu_seconds": used(|used| used.cpu.as_secs_f64().into()),
        "memory_bytes": used(|used| used.memory.into()),
        "median_seconds": median(&times),
        "min_seconds": range.map(|(least, _)| least),
        "max_seconds": range.map(|(_, greatest)| greatest),
        "ratio": race.ratio(row),
        "verified": verified,
        "trouble": problem,
    })
}
