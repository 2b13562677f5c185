//! Selection rules: every list of rules can be read and asked, or is refused with a cause.
#![no_main]

use pcopy::selection::{RuleList, RuleOption, Selection, Side};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == b'\n');
    let path = parts.next().unwrap_or_default();
    let mut list = RuleList::default();
    for (number, text) in parts.enumerate() {
        if text.starts_with(b".") || text.starts_with(b"merge") {
            continue; // it would read a file
        }
        let option = [RuleOption::Filter, RuleOption::Exclude, RuleOption::Include][number % 3];
        if let Err(bad) = list.add_option(option, text) {
            assert!(!bad.why.is_empty());
        }
    }
    let selection = Selection::new(list).unwrap();
    if path.is_empty() || path.contains(&0) {
        return; // no entry has such a path
    }
    for is_dir in [false, true] {
        selection.leaves_out(Side::Source, path, is_dir);
        selection.leaves_out(Side::Target, path, is_dir);
        selection.leaves_out_operand(path, is_dir, true);
    }
    selection.unreachable();
});
