//! The help is the reviewed one.

use crate::common::*;
use std::fs;
use std::path::Path;

/// To change it: `COLUMNS=100 cargo run -- --help > fixtures/help.txt`.
#[test]
fn the_help_is_the_one_in_the_fixtures() {
    if !cfg!(feature = "bench") {
        return; // its last lines are about the benchmark
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/help.txt");
    let known = fs::read_to_string(fixture).unwrap();
    let env = Sandbox::new();
    let mut command = env.command(["--help"]);
    command.env("COLUMNS", "100").env_remove("LINES");
    let run = env.run(command);
    run.exits(0);
    let lines = run.stdout.lines().zip(known.lines());
    let first = lines.enumerate().find(|(_, (is, was))| is != was);
    assert!(run.stdout == known, "the first line that differs: {first:?}\n{}", run.stdout);
}
