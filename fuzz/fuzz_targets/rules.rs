//! Selection rules: every list of rules can be read and asked, or is refused with a cause.
#![no_main]

use pcopy::selection::{
    Criteria, DirRulesOnPath, PathTrees, RuleList, RuleOption, Selection, Side,
};
use pcopy_sys::file::{Kind, open_dir};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

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
    let selection = Selection::new(list, Criteria::default()).unwrap();
    if path.is_empty() || path.contains(&0) {
        return; // no entry has such a path
    }
    let trees =
        PathTrees { source: Path::new("/nothing"), target: None, follows: false, device: None };
    let dir = open_dir(Path::new("/")).unwrap();
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (above, name) = (&path[..slash.unwrap_or(0)], &path[slash.map_or(0, |slash| slash + 1)..]);
    let name = CString::new(name).unwrap();
    for kind in [Kind::File, Kind::Directory] {
        let mut asked = selection.within(&trees, &mut DirRulesOnPath::default(), above);
        for side in [Side::Source, Side::Target] {
            asked.decide(side, dir.as_fd(), (kind, &name));
        }
        selection.leaves_out_operand(path, kind == Kind::Directory, true);
    }
    selection.unreachable();
});
