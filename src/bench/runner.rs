//! Runs the whole benchmark, from the first check of the options to the last output file.

use super::abort::{Abort, SignalWatch};
use super::bench_options::{BenchOptions, BenchSource, Preserved};
use super::copy_command::{CopyCommand, number_duplicate_labels};
use super::launcher::Launcher;
use super::machine::Machine;
use super::race::RaceRunner;
use super::results::{Case, Race, Results};
use super::status_line::StatusLine;
use super::tools::{self, InstalledTool};
use super::tree_stats::TreeStats;
use super::trees::TreeSpec;
use super::workdir::{TargetFidelity, WorkDirs, remove_dir};
use super::{command_lines, exit_code, generate, output_files, preflight, space_needed, table};
use crate::sanitize::escape;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The trees that a benchmark copies.
pub(super) enum Workload<'a> {
    /// The user's directory, as an absolute path.
    Directory(PathBuf, TreeStats),
    /// Trees that the benchmark generates, one after the other.
    Trees(&'a [TreeSpec]),
}

/// The settings and tools that all races share.
pub(super) struct Benchmark<'a> {
    options: &'a BenchOptions,
    /// The path of the running pcopy.
    own_program: PathBuf,
    tools: Vec<InstalledTool>,
    dirs: WorkDirs,
    fidelity: TargetFidelity,
    machine: Machine,
    signals: SignalWatch,
    status: StatusLine,
}

impl<'a> Benchmark<'a> {
    /// Checks everything that can be checked before the runs, and creates the working directories.
    pub(super) fn prepare(options: &'a BenchOptions) -> Result<(Self, Workload<'a>), Abort> {
        let link = Path::new(command_lines::OWN_PROGRAM);
        let own_program =
            fs::read_link(link).map_err(|error| Abort::cannot("find", link, &error))?;
        let mut tools = tools::find(options.against.as_deref())?;
        preflight::check_options(options)?;
        let signals = SignalWatch::start()?;
        let source_dir = match (&options.source, &options.source_dir) {
            (BenchSource::Trees(_), Some(dir)) => dir,
            _ => &options.dir,
        };
        let dirs = WorkDirs::create(source_dir, &options.dir)?;
        let workload = find_workload(&options.source, &dirs, &signals)?;
        let launcher = Launcher { output: dirs.stderr_file(), signals: &signals };
        for tool in &mut tools {
            tool.version = launcher.version(&tool.program)?;
        }
        let (fidelity, machine) = (dirs.probe_fidelity()?, Machine::detect());
        let status = StatusLine::new();
        let benchmark =
            Self { options, own_program, tools, dirs, fidelity, machine, signals, status };
        Ok((benchmark, workload))
    }

    /// Runs all races over all trees, prints their tables to `out`, writes the output files, and returns the
    /// exit code.
    pub(super) fn measure(
        mut self,
        workload: Workload<'_>,
        out: &mut dyn Write,
    ) -> Result<u8, Abort> {
        let cases = match workload {
            Workload::Directory(path, stats) => {
                let case = self.new_case(&path, None, stats)?;
                vec![self.run_case(&path, case, out)?]
            }
            Workload::Trees(trees) => {
                let cases = trees.iter().map(|tree| self.generate_and_run(tree, out));
                cases.collect::<Result<_, _>>()?
            }
        };
        self.status.clear();
        let results = Results { machine: self.machine, options: self.options, cases };
        // The results may have taken hours, so they are saved before a failure to remove the directories can
        // end the run.
        let saved = output_files::save(&results);
        self.dirs.remove().and(saved)?;
        Ok(exit_code(results.cases.iter().flat_map(|case| &case.races)))
    }

    fn generate_and_run(&mut self, tree: &TreeSpec, out: &mut dyn Write) -> Result<Case, Abort> {
        let name = tree.kind.as_str();
        let root = self.dirs.sources().join(name);
        self.status.show(&format!("{name}: generating the tree"));
        generate(tree, &root, &|| self.signals.check())?;
        self.dirs.sync_sources()?;
        let stats = TreeStats::collect(&root, &self.signals)?;
        let case = self.new_case(&root, Some(*tree), stats)?;
        let case = self.run_case(&root, case, out)?;
        remove_dir(&root)?;
        Ok(case)
    }

    /// Returns a case (a tree with its results) that has no races yet.
    fn new_case(
        &self,
        source: &Path,
        tree: Option<TreeSpec>,
        stats: TreeStats,
    ) -> Result<Case, Abort> {
        Ok(Case {
            name: tree.map_or_else(|| base_name(source), |tree| tree.kind.as_str().to_owned()),
            tree,
            stats,
            source_fs: preflight::file_system_type(source)?,
            target_fs: preflight::file_system_type(self.dirs.copies())?,
            fidelity: self.fidelity,
            races: Vec::new(),
        })
    }

    /// Runs the races of a case, and prints a table after each race.
    fn run_case(
        &mut self,
        source: &Path,
        mut case: Case,
        out: &mut dyn Write,
    ) -> Result<Case, Abort> {
        self.status.clear();
        print(out, &table::heading(&case, self.options, &self.machine))?;
        for &keep in &self.options.keep {
            let race = self.run_race(source, &case, keep)?;
            self.status.clear();
            print(out, &table::table(&race, &case.stats))?;
            case.races.push(race);
        }
        Ok(case)
    }

    /// Runs one race between all programs that can take part with this `keep`.
    fn run_race(&mut self, source: &Path, case: &Case, keep: Preserved) -> Result<Race, Abort> {
        let (mut commands, absent) = self.commands(keep, case.stats.has_holes());
        for command in &mut commands {
            command.requirements = command.requirements.limited_to(self.fidelity);
        }
        let runner = RaceRunner {
            options: self.options,
            source,
            case_name: &case.name,
            dirs: &self.dirs,
            own_program: &self.own_program,
            signals: &self.signals,
        };
        let rows = runner.run(commands, &mut self.status)?;
        Ok(Race { keep, rows, absent })
    }

    /// Returns the commands of a race, pcopy's first, and the names of the programs that cannot take part.
    fn commands(&self, keep: Preserved, has_holes: bool) -> (Vec<CopyCommand>, Vec<&'static str>) {
        let options = self.options;
        let jobs: Vec<_> = match options.jobs.is_empty() {
            true => vec![None],
            false => options.jobs.iter().copied().map(Some).collect(),
        };
        let pcopy = |jobs| command_lines::pcopy(&self.own_program, keep, jobs, has_holes);
        let mut commands: Vec<CopyCommand> = jobs.into_iter().map(pcopy).collect();
        commands[0].note = command_lines::pcopy_note(keep, options.onto);
        let mut absent = Vec::new();
        for tool in &self.tools {
            match tool.command(keep, options.onto, has_holes) {
                Some(command) => commands.push(command),
                None => absent.push(tool.tool.as_str()),
            }
        }
        number_duplicate_labels(&mut commands);
        (commands, absent)
    }
}

/// Counts the entries of the user's directory, or those of the trees that will be generated. Returns an error
/// if a tree or a copy does not fit on its file system.
fn find_workload<'a>(
    source: &'a BenchSource,
    dirs: &WorkDirs,
    signals: &SignalWatch,
) -> Result<Workload<'a>, Abort> {
    match source {
        BenchSource::Directory(path) => {
            // The path is resolved, because programs would copy a symbolic link to a directory as a link.
            let absolute = fs::canonicalize(path);
            let path = absolute.map_err(|error| Abort::cannot("open", path, &error))?;
            let stats = TreeStats::collect(&path, signals)?;
            space_needed::check_for_directory(dirs, &stats)?;
            Ok(Workload::Directory(path, stats))
        }
        BenchSource::Trees(trees) => {
            space_needed::check_for_trees(dirs, trees, signals)?;
            Ok(Workload::Trees(trees))
        }
    }
}

/// Returns the last component of an absolute path, escaped.
fn base_name(path: &Path) -> String {
    escape(path.file_name().unwrap_or(OsStr::new("/")).as_encoded_bytes())
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), Abort> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Abort::error(format!("cannot write to standard output: {error}")))
}
