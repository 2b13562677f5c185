//! Ignore files: all bytes are an ignore file, and it can be asked about any path.
#![no_main]

use pcopy::selection::{Criteria, DirRulesOnPath, PathTrees, RuleList, Selection, Side};
use pcopy_sys::file::{Kind, open_dir};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (path, text) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let file = std::env::temp_dir().join(format!("pcopy-ignore-lines-{}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let criteria = Criteria { ignore_from: vec![file.clone()], ..Criteria::default() };
    let selection = Selection::new(RuleList::default(), criteria);
    std::fs::remove_file(&file).unwrap();
    let selection = selection.unwrap();
    if path.is_empty() || path.contains(&0) {
        return; // no entry has such a path
    }
    let trees =
        PathTrees { source: Path::new("/nothing"), target: None, follows: false, device: None };
    let dir = open_dir(Path::new("/")).unwrap();
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (above, name) = (&path[..slash.unwrap_or(0)], &path[slash.map_or(0, |slash| slash + 1)..]);
    let name = CString::new(name).unwrap();
    let mut asked = selection.within(&trees, &mut DirRulesOnPath::default(), above);
    let [file, dir] = [Kind::File, Kind::Directory]
        .map(|kind| asked.decide(Side::Source, dir.as_fd(), (kind, &name)).is_taken());
    // Without patterns for directories only, both have the same answer.
    assert!(file == dir || text.contains(&b'/'));
});
