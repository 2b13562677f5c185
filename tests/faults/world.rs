//! The sources, targets and command lines of the fault tests.

use crate::common::entries::{chmod, node, set_times};
use crate::common::testtree::{Tree, read};
use crate::common::{PCOPY, Sandbox, contents, is_root};
use std::fs;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A command line, and what it promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Whether pcopy runs as cp.
    pub(crate) as_cp: bool,
    pub(crate) words: &'static [&'static str],
    pub(crate) target_exists: bool,
    /// Whether the source has a file that several copiers copy together.
    pub(crate) large: bool,
    pub(crate) preserves: Preserves,
    /// Whether files have their final names from the beginning.
    pub(crate) in_place: bool,
}

/// The properties that a copy preserves besides names and contents. Each level includes the levels before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Preserves {
    Nothing,
    /// Modes, times, hard links.
    Default,
    /// Owners and extended attributes, too.
    All,
}

/// Copies to a new target with the default options.
pub(crate) const PLAIN: Line = Line {
    as_cp: false,
    words: &["--reflink=never"],
    target_exists: false,
    large: false,
    preserves: Preserves::Default,
    in_place: false,
};

pub(crate) const LINES: [Line; 14] = [
    PLAIN,
    Line { words: &["--fsync", "--verify"], ..PLAIN },
    Line {
        words: &["-a", "--fsync", "--verify"],
        preserves: Preserves::All,
        target_exists: true,
        ..PLAIN
    },
    Line { words: &["-a"], preserves: Preserves::All, ..PLAIN },
    Line { words: &["-a"], preserves: Preserves::All, target_exists: true, ..PLAIN },
    Line { words: &["--inplace"], target_exists: true, in_place: true, ..PLAIN },
    Line { words: &["--delete", "--exclude=*.keep"], target_exists: true, ..PLAIN },
    Line { words: &["--delete-before", "--exclude=*.keep"], target_exists: true, ..PLAIN },
    Line {
        words: &["-a", "--backup=simple"],
        preserves: Preserves::All,
        target_exists: true,
        ..PLAIN
    },
    Line { words: &["--preserve=none"], preserves: Preserves::Nothing, ..PLAIN },
    Line { large: true, ..PLAIN },
    Line { words: &["--verify"], large: true, ..PLAIN },
    Line { as_cp: true, words: &["-a"], preserves: Preserves::All, in_place: true, ..PLAIN },
    Line {
        as_cp: true,
        words: &["-r"],
        preserves: Preserves::Nothing,
        target_exists: true,
        in_place: true,
        ..PLAIN
    },
];

impl Line {
    pub(crate) fn backs_up(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("--backup"))
    }

    /// Whether it removes what only the target has, apart from names that end in `.keep`.
    pub(crate) fn mirrors(&self) -> bool {
        self.words.contains(&"--delete") || self.removes_first()
    }

    /// Whether it removes before it copies.
    pub(crate) fn removes_first(&self) -> bool {
        self.words.contains(&"--delete-before")
    }

    pub(crate) fn verifies(&self) -> bool {
        self.words.contains(&"--verify")
    }

    /// Returns the words after the name of the program.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        [self.words, &["-T", "src", "dst"]].concat()
    }
}

/// A sandbox with a source and perhaps a target, and the state of both before the run.
pub(crate) struct World {
    pub(crate) env: Sandbox,
    pub(crate) line: Line,
    pub(crate) source: Tree,
    pub(crate) old: Tree,
}

impl World {
    pub(crate) fn new(line: Line) -> Self {
        Self::within(Sandbox::new(), line)
    }

    /// Plants source and target in this sandbox.
    pub(crate) fn within(env: Sandbox, line: Line) -> Self {
        plant_source(&env, line.large);
        if line.target_exists {
            plant_target(&env, line.mirrors());
        }
        if line.as_cp {
            symlink(PCOPY, env.path("cp")).unwrap(); // the name selects the compatibility mode
        }
        let (source, old) = (read(&env.path("src")), read(&env.path("dst")));
        Self { env, line, source, old }
    }

    /// Plants source and target, and makes `user` the owner of all entries.
    pub(crate) fn owned_by(user: u32, line: Line) -> Self {
        let mut world = Self::new(line);
        let owner = format!("{user}:{user}");
        let given = Command::new("chown").args(["-hR", &owner]).arg(world.env.path("")).status();
        assert!(given.unwrap().success());
        (world.source, world.old) = (read(&world.env.path("src")), read(&world.env.path("dst")));
        world
    }

    pub(crate) fn target(&self) -> Tree {
        read(&self.env.path("dst"))
    }

    /// Returns a command in which the words `before` run `pcopy` or `cp` with this many copiers.
    pub(crate) fn command(&self, before: &[String], jobs: u16) -> Command {
        let program = if self.line.as_cp { self.env.path("cp") } else { PCOPY.into() };
        let mut command = match before.split_first() {
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
            None => Command::new(program),
        };
        if self.line.as_cp {
            command.env("PCOPY_JOBS", jobs.to_string());
        } else {
            command.arg(format!("-j{jobs}")).env_remove("PCOPY_JOBS");
            command.arg("--progress=always"); // which prints the counts that `checker` compares
        }
        command.args(self.line.arguments()).current_dir(self.env.path("")).stdin(Stdio::null());
        command.env("LC_ALL", "C").env_remove("VERSION_CONTROL").process_group(0);
        command
    }
}

fn plant_source(env: &Sandbox, large: bool) {
    env.tree("src", ["file small 300", "file empty 0", "file d/mid 20K", "file d/two 5K"]);
    env.tree("src", ["file buffered 300K", "dir d/e", "dir n/m", "text ro/in words", "link sym n"]);
    let holes = fs::File::create(env.path("src/holes")).unwrap();
    holes.set_len(200_000).unwrap();
    holes.write_all_at(b"in the middle", 100_000).unwrap();
    for (first, second) in [("small", "d/e/small-too"), ("d/mid", "n/m/mid-too")] {
        fs::hard_link(env.path("src").join(first), env.path("src").join(second)).unwrap();
    }
    node(&env.path("src/d/fifo"), "fifo", 0, 0);
    // Without extended attributes on this file system, none are checked.
    let _: std::io::Result<()> = xattr::set(env.path("src/d/two"), "user.name", b"value");
    if large {
        static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
        let bytes = LARGE.get_or_init(|| contents(b"large", 17 << 20));
        fs::write(env.path("src/large"), bytes).unwrap();
    }
    if is_root() {
        lchown(env.path("src/d/two"), Some(1000), Some(1001)).unwrap();
    }
    for (name, mode) in [("small", 0o640), ("d/two", 0o604), ("d", 0o750), ("ro", 0o555)] {
        chmod(&env.path("src").join(name), mode);
    }
    age(env, "src", 1_000_000_000);
}

fn plant_target(env: &Sandbox, mirrors: bool) {
    env.tree("dst", ["text small old", "file d/mid 30K", "text d/other only here"]);
    env.tree("dst", ["text extraneous only here", "link sym elsewhere", "text buffered shorter"]);
    if mirrors {
        env.tree("dst", ["text gone/x old", "text gone/deep/y old", "link gone/link x"]);
        env.tree("dst", ["dir gone/deep/er", "text half/a.keep mine", "text half/b old"]);
        env.tree("dst", ["text d/b.keep mine", "text half/below/c old"]);
    }
    chmod(&env.path("dst/d"), 0o700);
    age(env, "dst", 900_000_000);
}

/// Gives each entry a different time in the past.
fn age(env: &Sandbox, root: &str, base: i64) {
    for (number, path) in read(&env.path(root)).into_keys().rev().enumerate() {
        let time = (base + number as i64, 123_456_789);
        let at = env.path(root);
        let at = if path.as_os_str().is_empty() { at } else { at.join(path) };
        set_times(&at, time, time);
    }
}
