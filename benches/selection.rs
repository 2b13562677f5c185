//! How long it takes to ask selection rules for one entry: `cargo bench --bench selection`.
//!
//! Asks for 100,000 paths, as a walk of a tree would, and prints nanoseconds for each: the least of seven measurements.

use pcopy::selection::{
    Criteria, DirRulesOnPath, PathTrees, RuleList, RuleOption, Selection, Side,
};
use pcopy_sys::file::{Kind, open_dir};
use std::ffi::CString;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

const GLOBS: [&str; 10] = [
    "*.o",
    "*.pyc",
    "*~",
    ".#*",
    "*.sw?",
    "/build/**",
    "core.[0-9]*",
    "**/cache/*.tmp",
    "*.bak",
    "tmp-*/",
];

fn main() {
    let dirs: Vec<String> =
        (0..1000).map(|dir| format!("project-{}/src/dir-{dir}", dir % 10)).collect();
    let names = (0..100).map(|file| CString::new(format!("source-file-{file}.c")));
    let names: Vec<CString> = names.map(|name| name.expect("a name has no NUL")).collect();
    let source = Path::new("/");
    let root = open_dir(source).expect("there is a root directory");
    let trees = PathTrees { source, target: None, follows: false, device: None };
    let literals = |number: usize| {
        let list = (0..number).map(|n| match n % 3 {
            0 => format!("left-out-{n}"),
            1 => format!("/project-3/left-out-{n}"),
            _ => format!("dir-{n}/left-out"),
        });
        list.collect::<Vec<_>>()
    };
    for (what, patterns) in [
        ("10 patterns with wildcards", GLOBS.map(str::to_owned).to_vec()),
        ("1,000 patterns without wildcards", literals(1000)),
        ("100,000 patterns without wildcards", literals(100_000)),
    ] {
        let before = resident();
        let mut list = RuleList::default();
        for pattern in &patterns {
            list.add_option(RuleOption::Exclude, pattern.as_bytes()).expect("the pattern is right");
        }
        let selection = Selection::new(list, Criteria::default());
        let selection = selection.expect("the patterns are few enough");
        let memory = resident().saturating_sub(before);
        let once = || {
            let begun = Instant::now();
            for dir in &dirs {
                let on_path = &mut DirRulesOnPath::default();
                let mut asked = selection.within(&trees, on_path, dir.as_bytes());
                for name in &names {
                    let decision = asked.decide(Side::Source, root.as_fd(), (Kind::File, name));
                    black_box(decision.is_taken());
                }
            }
            begun.elapsed().as_nanos() / (dirs.len() * names.len()) as u128
        };
        let least = (0..7).map(|_| once()).min().unwrap_or(0);
        println!("{what}: {least} ns for each entry, {:.1} MB", memory as f64 / 1e6);
    }
}

/// Returns how much memory this process has, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
