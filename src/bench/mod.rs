//! `pcopy bench`: this program and others copy the same trees, in turn, and are timed.
//!
//! A run of the benchmark on one page: for each tree and each of the things that can be kept, a
//! race of those who can keep just that; after each race its table, and in the end numbers and
//! charts for whoever wants to go on with them. The programs are children and get no help: what is
//! measured is a command as a user gives it, from before its start until its end.

mod alike;
mod alter;
mod axis;
mod chart;
mod check;
mod child;
mod curves;
mod grow;
mod json;
mod machine;
mod numbers;
pub mod options;
mod outputs;
pub mod peers;
pub mod picture;
mod place;
mod race;
pub mod random;
mod recipes;
mod report;
mod room;
mod sentence;
mod status;
pub mod stop;
mod survey;
pub mod trees;
mod verify;

use crate::error::Refusal;
use crate::outcome::code;
use machine::Machine;
use options::{Keep, Onto, Options, Source};
use peers::{Line, Peer};
use place::{Keeps, Place};
use race::{Course, Race, Trouble};
use status::Status;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use stop::{Stop, Watch};
use survey::{Facts, survey};
use trees::Tree;

pub use grow::grow;

/// All that is known of one tree when it has been copied.
struct Heat {
    name: String,
    /// What it was made from, if it was made.
    tree: Option<Tree>,
    facts: Facts,
    /// The file systems.
    from: String,
    to: String,
    /// What the target's keeps exactly.
    keeps: Keeps,
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
///
/// What fails before the first tree is made is a refusal. What fails later is told here: then it
/// is not so that nothing was touched, and each table that stands there is true.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<u8, Stop> {
    let (benchmark, work) = Benchmark::begin(options)?;
    match benchmark.measure(work, out) {
        Err(Stop::Refused(refusal)) => {
            tell_error(&refusal);
            Ok(code::SOME_FAILED)
        }
        measured => measured,
    }
}

/// What is copied.
enum Work<'a> {
    /// A folder that is there, by its whole path.
    Folder(PathBuf, Facts),
    /// Trees that are to be made.
    Trees(&'a [Tree]),
}

/// What all races need.
struct Benchmark<'a> {
    options: &'a Options,
    /// Where this program lies.
    own: PathBuf,
    peers: Vec<Peer>,
    place: Place,
    keeps: Keeps,
    machine: Machine,
    watch: Watch,
    status: Status,
}

impl<'a> Benchmark<'a> {
    /// Looks whether all can go well, and makes the folders to work in.
    fn begin(options: &'a Options) -> Result<(Self, Work<'a>), Stop> {
        let own = fs::read_link(recipes::OWN);
        let own = own.map_err(|error| Stop::cannot("find", Path::new(recipes::OWN), &error))?;
        let mut peers = peers::find(options.against.as_deref())?;
        check::wishes(options)?;
        let watch = Watch::begin()?;
        let sources = match (&options.source, &options.source_dir) {
            (Source::Trees(_), Some(dir)) => dir,
            _ => &options.dir,
        };
        let place = Place::make(sources, &options.dir)?;
        let work = match &options.source {
            Source::Folder(path) => {
                // A symlink to a folder would be copied as a symlink.
                let whole = fs::canonicalize(path);
                let path = whole.map_err(|error| Stop::cannot("open", path, &error))?;
                let facts = survey(&path, &watch)?;
                room::for_folder(&place, &facts)?;
                Work::Folder(path, facts)
            }
            Source::Trees(trees) => {
                room::for_trees(&place, trees, &watch)?;
                Work::Trees(trees)
            }
        };
        for peer in &mut peers {
            peer.version = child::version(&peer.program, &place.errors(), &watch)?;
        }
        let (keeps, machine) = (place.keeps()?, Machine::look());
        let status = Status::new();
        Ok((Self { options, own, peers, place, keeps, machine, watch, status }, work))
    }

    /// All races over all trees.
    fn measure(mut self, work: Work<'_>, out: &mut dyn Write) -> Result<u8, Stop> {
        let options = self.options;
        let mut heats = Vec::new();
        match work {
            Work::Folder(path, facts) => {
                heats.push(self.heat(&path, place::name_of(&path), facts, None, out)?);
            }
            Work::Trees(trees) => {
                for tree in trees {
                    let name = tree.name.as_str();
                    let root = self.place.sources().join(name);
                    self.status.show(&format!("{name}: making the tree"));
                    grow(tree, &root, &|| self.watch.look())?;
                    self.place.settle_sources()?;
                    let facts = survey(&root, &self.watch)?;
                    heats.push(self.heat(&root, name.to_owned(), facts, Some(*tree), out)?);
                    place::remove(&root)?;
                }
            }
        }
        self.status.clear();
        let results = Results { machine: self.machine, options, heats };
        // First what took hours, and then what is in the way.
        let saved = outputs::save(&results);
        self.place.remove().and(saved)?;
        Ok(verdict(results.heats.iter().flat_map(|heat| &heat.races)))
    }

    /// All races over one tree, each with its table.
    fn heat(
        &mut self,
        source: &Path,
        name: String,
        facts: Facts,
        tree: Option<Tree>,
        out: &mut dyn Write,
    ) -> Result<Heat, Stop> {
        let (from, to) = (check::kind(source)?, check::kind(self.place.copies())?);
        let mut heat = Heat { name, tree, facts, from, to, keeps: self.keeps, races: Vec::new() };
        self.status.clear();
        tell(out, &report::heading(&heat, self.options, &self.machine))?;
        for &keep in &self.options.keep {
            let race = self.race(source, &heat, keep)?;
            self.status.clear();
            tell(out, &report::table(&race, &heat.facts))?;
            heat.races.push(race);
        }
        Ok(heat)
    }

    /// A race of all who can keep this.
    fn race(&mut self, source: &Path, heat: &Heat, keep: Keep) -> Result<Race, Stop> {
        let (options, holes) = (self.options, heat.facts.has_holes());
        let numbers: Vec<_> = match options.jobs.is_empty() {
            true => vec![None],
            false => options.jobs.iter().copied().map(Some).collect(),
        };
        let own = |jobs| recipes::own(&self.own, keep, jobs, holes);
        let mut lines: Vec<Line> = numbers.into_iter().map(own).collect();
        lines[0].note = recipes::own_note(keep, options.onto);
        let mut absent = Vec::new();
        for peer in &self.peers {
            match peer.line(keep, options.onto, holes) {
                Some(line) => lines.push(line),
                None => absent.push(peer.tool.as_str()),
            }
        }
        peers::number_doubles(&mut lines);
        for line in &mut lines {
            line.demands.bits = self.keeps.bits;
            line.demands.times = self.keeps.times;
        }
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
        let race = race::run(&course, keep, lines, &mut self.status)?;
        Ok(Race { absent, ..race })
    }
}

/// Where messages go; not `eprintln!`, which panics where nothing can be written.
fn tell_error(message: &dyn std::fmt::Display) {
    if writeln!(std::io::stderr(), "pcopy: {message}").is_err() {
        // Then the exit code has to say it alone.
    }
}

fn tell(out: &mut dyn Write, text: &str) -> Result<(), Stop> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Stop::refuse(format!("cannot write to standard output: {error}")))
}

/// The exit code.
fn verdict<'a>(races: impl IntoIterator<Item = &'a Race>) -> u8 {
    let rows: Vec<_> = races.into_iter().flat_map(|race| &race.rows).collect();
    let wrong = |row: &race::Row| matches!(row.trouble, Some(Trouble::Wrong(_)));
    if rows.iter().any(|row| row.line.tool == "pcopy" && wrong(row)) {
        code::DIFFERENT
    } else if rows.iter().any(|row| row.trouble.is_some()) {
        code::SOME_FAILED
    } else {
        code::COMPLETE
    }
}

/// Whether a race onto something that stands there makes sense for what is kept.
pub fn goes_together(onto: Onto, keep: Keep) -> bool {
    // Without times nobody can know that a file is complete but by reading both.
    onto != Onto::Same || keep != Keep::None
}

#[cfg(test)]
mod tests {
    use super::race::tests::{race, row};
    use super::*;

    fn code_for(troubles: [Option<Trouble>; 2]) -> u8 {
        let [own, peer] = troubles;
        let mut rows = vec![row("pcopy", &[1.0]), row("cp", &[1.0])];
        (rows[0].trouble, rows[1].trouble) = (own, peer);
        verdict(&[race(rows)])
    }

    #[test]
    fn a_wrong_copy_of_pcopys_own_is_worse_than_all_else() {
        let wrong = || Some(Trouble::Wrong(String::new()));
        let failed = || Some(Trouble::Failed(String::new()));
        assert_eq!(code_for([None, None]), code::COMPLETE);
        assert_eq!(code_for([None, wrong()]), code::SOME_FAILED);
        assert_eq!(code_for([failed(), None]), code::SOME_FAILED);
        assert_eq!(code_for([wrong(), failed()]), code::DIFFERENT);
    }
}
