//! The promises in docs/PROMISES.md name tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn each_test_that_the_promises_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = fs::read_to_string(root.join("docs/PROMISES.md")).unwrap();
    let named = promises.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(": "));
    let mut count = 0;
    for (file, test) in named {
        let (plain, folder) = (format!("tests/{file}.rs"), format!("tests/{file}/main.rs"));
        let source = fs::read_to_string(root.join(&plain))
            .or_else(|_| fs::read_to_string(root.join(folder)))
            .unwrap_or_else(|error| panic!("{plain}: {error}"));
        assert!(source.contains(&format!("\nfn {test}() {{")), "{plain} has no test {test}");
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}
