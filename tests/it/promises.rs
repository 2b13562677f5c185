//! The promises in docs/PROMISES.md name tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn each_test_that_the_promises_name_is_there() {
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
        let source = source.unwrap_or_else(|| panic!("none of {places:?} is there"));
        assert!(source.contains(&format!("\nfn {test}(")), "{module} has no test {test}");
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}
