//! The help is the text that was last reviewed.

use crate::common::*;
use std::fs;
use std::path::Path;

/// Returns the text of a help option, in a terminal with this number of columns.
fn help(env: &Sandbox, option: &str, columns: &str) -> String {
    let mut command = env.command([option]);
    command.env("COLUMNS", columns).env_remove("LINES");
    let run = env.run(command);
    run.exits(0);
    assert_eq!(run.stderr, "");
    run.stdout.clone()
}

/// To accept an intended change, run `COLUMNS=100 cargo run -- --help > fixtures/help.txt`.
#[test]
fn the_help_is_the_one_in_the_fixtures() {
    if !cfg!(feature = "bench") {
        return; // its last lines are about `pcopy bench`
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/help.txt");
    let known = fs::read_to_string(fixture).unwrap();
    let text = help(&Sandbox::new(), "--help", "100");
    let lines = text.lines().zip(known.lines());
    let first = lines.enumerate().find(|(_, (is, was))| is != was);
    assert!(text == known, "the first line that differs: {first:?}\n{text}");
}

#[test]
fn the_short_help_fits_on_one_screen_and_has_one_line_for_each_option() {
    let text = help(&Sandbox::new(), "-h", "80");
    assert!(text.lines().count() <= 60, "{} lines\n{text}", text.lines().count());
    let (_, options) = text.split_once("\n\nSource and target:\n").unwrap();
    let mut shown = 0;
    for line in options.lines().filter(|line| !line.is_empty()) {
        assert!(line.chars().count() <= 80, "{line}");
        let is_option = line.starts_with("  -") || line.starts_with("      --");
        let is_heading = line.ends_with(':') && !line.starts_with(' ');
        let is_last = line.starts_with("Exit status");
        assert!(is_option || is_heading || is_last, "more than one line for an option: {line:?}");
        shown += usize::from(is_option);
    }
    assert!((35..=42).contains(&shown), "{shown} options\n{text}");
}

#[test]
fn what_the_short_help_shows_the_long_help_describes() {
    let env = Sandbox::new();
    let long = help(&env, "--help", "100");
    let short = help(&env, "-h", "80");
    for line in short.lines().filter(|line| line.trim_start().starts_with('-')) {
        let (names, phrase) = line.trim_start().split_once("  ").unwrap();
        let described = long.lines().any(|line| line.trim_start() == names);
        assert!(described, "no line {names:?} for {phrase:?}");
    }
}
