//! All races over all trees, from the first look at the wishes to the last file that is written.

use super::machine::Machine;
use super::options::{Keep, Options, Source};
use super::peers::{self, Line, Peer};
use super::place::{self, Keeps, Place};
use super::race::{self, Course};
use super::rows::Race;
use super::status::Status;
use super::stop::{Stop, Watch};
use super::survey::{Facts, survey};
use super::trees::Tree;
use super::{Heat, Results, check, child, grow, outputs, recipes, report, room};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is copied.
pub(super) enum Work<'a> {
    /// A folder that is there, by its whole path.
    Folder(PathBuf, Facts),
    /// Trees that are to be made.
    Trees(&'a [Tree]),
}

/// What all races need.
pub(super) struct Benchmark<'a> {
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
    pub(super) fn begin(options: &'a Options) -> Result<(Self, Work<'a>), Stop> {
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
    pub(super) fn measure(mut self, work: Work<'_>, out: &mut dyn Write) -> Result<u8, Stop> {
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
        Ok(super::verdict(results.heats.iter().flat_map(|heat| &heat.races)))
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

fn tell(out: &mut dyn Write, text: &str) -> Result<(), Stop> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Stop::refuse(format!("cannot write to standard output: {error}")))
}
