//! Each test that docs/PROMISES.md names exists.

use std::fs;
use std::path::Path;

#[test]
fn each_test_that_the_promises_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = fs::read_to_string(root.join("docs/PROMISES.md")).unwrap();
    let named = promises.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(": "));
    let mut count = 0;
    for (module, test) in named {
        let places = [
            format!("tests/it/{module}.rs"),
            format!("tests/timing/{module}.rs"),
            format!("tests/{module}/main.rs"),
        ];
        let source = places.iter().find_map(|place| fs::read_to_string(root.join(place)).ok());
        let source = source.unwrap_or_else(|| panic!("none of {places:?} exists"));
        assert!(has_test(&source, test), "{module} has no test {test}");
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}

/// Whether a file has a test of this name, with or without cells.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let begins = |line: &&str, words: &str| {
        line.strip_prefix(words).is_some_and(|rest| rest.starts_with(['(', ',']))
    };
    let is_test = |two: &[&str]| two[0] == "#[test]" && begins(&two[1], &format!("fn {name}"));
    let jobs = format!("each_jobs!({name}");
    let is_cells = |line: &&str| {
        let of_one_line = format!("cells! {{ {name}");
        begins(line, &jobs) || begins(line, &of_one_line) || line == &format!("{name},")
    };
    lines.windows(2).any(is_test) || lines.iter().any(is_cells)
}

#[test]
fn a_test_is_found_with_and_without_cells() {
    let source = "#[test]\nfn plain() {\neach_jobs!(of_jobs, 1);\ncells! {\n    of_cells,\n\
                  cells! { short, a => 1 }\nfn helper() {";

    let found = ["plain", "of_jobs", "of_cells", "short"].map(|name| has_test(source, name));

    assert_eq!(found, [true; 4]);
    assert!(!has_test(source, "helper") && !has_test(source, "pla") && !has_test(source, "of"));
}
