//! The table of docs/from-rsync.md: each line does the same with rsync and with pcopy.

use crate::common::entries::*;
use crate::common::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// Returns the rows of the table: the lines for rsync and for pcopy.
fn rows() -> Vec<(String, String)> {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-rsync.md");
    let text = fs::read_to_string(text).unwrap().replace("\\|", "\u{1}");
    let commands = |row: &str| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let command = |cell: &str| cell.replace('\u{1}', "|");
        (command(cells[2]), command(cells[3]))
    };
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains("pcopy -a"));
    rows.map(commands).collect()
}

/// A source with what the lines name, and an older copy of it that has more.
fn trees(env: &Sandbox) {
    env.tree(
        "s",
        [
            "dir .git",
            "file .git/config 10",
            "dir node_modules",
            "file node_modules/x.js 10",
            "dir lib",
            "file lib/a.c 2000",
            "file lib/a.o 20",
            "file main.c 30",
            "file keep.o 40",
            "file photo.jpg 3000",
            "dir album",
            "file album/b.jpg 50",
            "dir empty",
            "dir objects",
            "file objects/z.o 10",
            "text lib/.rules - *.o",
            "link link main.c",
        ],
    );
    env.tree("t", ["file other 10"]);
    env.tree("d", ["file mine 5", "dir lib", "file lib/a.c 100", "file keep.o 41"]);
    fs::write(env.path("rules"), "# built\n*.o\n+ main.c\nnode_modules/\n").unwrap();
    symlink("mine", env.path("d/link")).unwrap();
    // Whole seconds, because rsync ignores the rest; and one file that is newer there.
    walk(&env.path(""), |path, at, _| {
        let time = if path == Path::new("d/keep.o") {
            2_000_000_000
        } else if path.starts_with("d") {
            1_400_000_000
        } else {
            1_500_000_000
        };
        set_times(at, (time, 0), (time, 0));
    });
}

/// Runs a line of the shell, with `pcopy` being this program.
fn shell(env: &Sandbox, line: &str) -> Output {
    let dir = Path::new(PCOPY).parent().unwrap();
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .args(["-c", line])
        .env("PATH", path)
        .current_dir(env.path(""))
        .output()
        .unwrap()
}

#[test]
fn each_line_of_the_table_has_the_same_effect() {
    if !tool("rsync") {
        return skip!("rsync is not installed");
    }
    let rows = rows();
    assert!(rows.len() > 20, "{rows:?}");
    for (by_rsync, by_pcopy) in rows {
        if by_rsync.contains("--chown") && !is_root() {
            continue;
        }
        let (one, other) = (Sandbox::new(), Sandbox::new());
        trees(&one);
        trees(&other);

        let rsync = shell(&one, &by_rsync);
        let pcopy = shell(&other, &by_pcopy);

        let shown = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        if shown(&rsync).contains("unknown option") {
            continue; // an old rsync has no --mkpath
        }
        assert!(rsync.status.success(), "{by_rsync}: {}", shown(&rsync));
        assert!(pcopy.status.success(), "{by_pcopy}: {}", shown(&pcopy));
        let place = if by_rsync.contains("x/y") { "x/y/d" } else { "d" };
        let (expected, found) = (one.listing(place), other.listing(place));
        // What is copied into a directory changes its time.
        let keeps_times = !by_rsync.contains("-aO") && !by_rsync.contains("-ab");
        let is_whole = by_rsync.contains("s/ ");
        let without_other_times = |mut listing: Listing| {
            for (path, entry) in &mut listing {
                let is_root = path.as_os_str().is_empty() && !is_whole;
                if entry.mode >> 12 == 4 && (is_root || !keeps_times) {
                    entry.modified = (0, 0);
                }
            }
            listing
        };
        let (expected, found) = (without_other_times(expected), without_other_times(found));
        assert!(expected == found, "{by_pcopy}\n{}", testtree::differences(&expected, &found));
        let sorted = |output: &Output| {
            let text = String::from_utf8(output.stdout.clone()).unwrap();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&rsync), sorted(&pcopy), "{by_pcopy}");
    }
}
