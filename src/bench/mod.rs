//! `pcopy bench`: this program and others copy the same trees, in turn, and are timed.
//!
//! A run of the benchmark on one page: for each tree and each of the things that can be kept, a
//! race of those who can keep just that; after each race its table, and in the end numbers and
//! charts for whoever wants to go on with them. The programs are children and get no help: what is
//! measured is a command as a user gives it, from before its start until its end.

mod chart;
mod check;
mod child;
mod grow;
mod json;
mod machine;
mod numbers;
pub mod options;
pub mod peers;
pub mod picture;
mod place;
mod race;
pub mod random;
mod report;
mod status;
pub mod stop;
mod survey;
pub mod trees;
mod verify;

use crate::error::Refusal;
use crate::outcome::code;
use machine::Machine;
use options::{Onto, Options, Source};
use peers::Peer;
use place::Place;
use race::{Course, Race, Trouble};
use status::Status;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use stop::{Stop, Watch};
use survey::{Facts, survey};

pub use grow::grow;

/// All that is known of one tree when it has been copied.
struct Heat {
    name: String,
    facts: Facts,
    /// The file systems.
    from: String,
    to: String,
    races: Vec<Race>,
}

/// Everything that was measured.
struct Results<'a> {
    machine: Machine,
    options: &'a Options,
    heats: Vec<Heat>,
}

/// Refuses where `bench` is something that could be meant to be copied.
pub fn refuse_namesake() -> Result<(), Refusal> {
    if fs::symlink_metadata("bench").is_err() {
        return Ok(());
    }
    let message = "'bench' is here, and also the name of the benchmark".to_owned();
    let hint = "write './bench' to copy it, or run the benchmark in another folder";
    Err(Refusal { message, hint: Some(hint) })
}

/// Runs the benchmark that is wanted, and returns the exit code.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<u8, Stop> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| Stop::cannot("find", Path::new("/proc/self/exe"), &error))?;
    let mut peers = peers::find(options.against.as_deref())?;
    check::wishes(options)?;
    let watch = Watch::begin()?;
    let sources = match (&options.source, &options.source_dir) {
        (Source::Trees(_), Some(dir)) => dir,
        _ => &options.dir,
    };
    let place = Place::make(sources, &options.dir)?;
    for peer in &mut peers {
        peer.version = child::version(&peer.program, &place.errors(), &watch)?;
    }
    let mut results = Results { machine: Machine::look(), options, heats: Vec::new() };
    let mut benchmark = Benchmark { options, own, peers, place, watch, status: Status::new() };
    match &options.source {
        Source::Folder(path) => {
            // A symlink to a folder would be copied as a symlink.
            let whole = fs::canonicalize(path);
            let path = &whole.map_err(|error| Stop::cannot("open", path, &error))?;
            let facts = survey(path, &benchmark.watch)?;
            let entries = facts.names() + facts.folders;
            place::check_room(&[(
                benchmark.place.copies(),
                facts.bytes + entries * 1024,
                entries,
            )])?;
            let heat = benchmark.heat(path, place::name_of(path), facts, &results.machine, out)?;
            results.heats.push(heat);
        }
        Source::Trees(trees) => {
            check::room(&benchmark.place, trees)?;
            for tree in trees {
                let root = benchmark.place.sources().join(tree.name.as_str());
                benchmark.status.show(&format!("{}: making the tree", tree.name.as_str()));
                grow(tree, &root, &|| benchmark.watch.look())?;
                let facts = survey(&root, &benchmark.watch)?;
                let name = tree.name.as_str().to_owned();
                let heat = benchmark.heat(&root, name, facts, &results.machine, out)?;
                results.heats.push(heat);
                place::remove(&root)?;
            }
        }
    }
    benchmark.status.clear();
    benchmark.place.remove()?;
    if let Some(path) = &options.json {
        save(path, json::text(&results).as_bytes())?;
    }
    for path in &options.charts {
        save(path, &chart::draw(&results, path)?)?;
    }
    Ok(verdict(&results))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    fs::write(path, bytes).map_err(|error| Stop::cannot("write", path, &error))
}

/// What all races need.
struct Benchmark<'a> {
    options: &'a Options,
    own: PathBuf,
    peers: Vec<Peer>,
    place: Place,
    watch: Watch,
    status: Status,
}

impl Benchmark<'_> {
    /// All races over one tree, each with its table.
    fn heat(
        &mut self,
        source: &Path,
        name: String,
        facts: Facts,
        machine: &Machine,
        out: &mut dyn Write,
    ) -> Result<Heat, Stop> {
        let (from, to) = (check::kind(source)?, check::kind(self.place.copies())?);
        let mut heat = Heat { name, facts, from, to, races: Vec::new() };
        let options = self.options;
        self.status.clear();
        tell(out, &report::heading(&heat, options, machine))?;
        for &keep in &options.keep {
            let mut lines = Vec::new();
            let default = [None];
            let numbers: Vec<_> = options.jobs.iter().copied().map(Some).collect();
            for &jobs in if numbers.is_empty() { &default[..] } else { &numbers } {
                lines.push(peers::own(&self.own, keep, jobs));
            }
            let holes = heat.facts.has_holes();
            lines.extend(self.peers.iter().filter_map(|peer| peer.line(keep, options.onto, holes)));
            let course = Course {
                source,
                name: &heat.name,
                place: &self.place,
                own: &self.own,
                runs: options.runs,
                cold: options.cold,
                onto: options.onto,
                verify: options.verify,
                watch: &self.watch,
            };
            let mut race = race::run(&course, keep, lines, &mut self.status)?;
            let able = |peer: &&Peer| peer.line(keep, options.onto, holes).is_some();
            let absent = self.peers.iter().filter(|peer| !able(peer));
            race.absent = absent.map(|peer| peer.tool.as_str()).collect();
            self.status.clear();
            tell(out, &report::table(&race, &heat.facts))?;
            heat.races.push(race);
        }
        Ok(heat)
    }
}

fn tell(out: &mut dyn Write, text: &str) -> Result<(), Stop> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Stop::refuse(format!("cannot write to standard output: {error}")))
}

/// The exit code.
fn verdict(results: &Results<'_>) -> u8 {
    let rows = || results.heats.iter().flat_map(|heat| &heat.races).flat_map(|race| &race.rows);
    let wrong = |row: &race::Row| matches!(row.trouble, Some(Trouble::Wrong(_)));
    if rows().any(|row| row.line.tool == "pcopy" && wrong(row)) {
        code::DIFFERENT
    } else if rows().any(|row| row.trouble.is_some()) {
        code::SOME_FAILED
    } else {
        code::COMPLETE
    }
}

/// Whether a race onto something that stands there makes sense for what is kept.
pub fn goes_together(onto: Onto, keep: options::Keep) -> bool {
    // Without times nobody can know that a file is complete but by reading both.
    onto != Onto::Same || keep != options::Keep::None
}
