//! Tests of the rules without files.

use super::*;

fn selection(rules: &[&str]) -> Selection {
    let mut list = RuleList::default();
    rules.iter().for_each(|rule| list.add_option(RuleOption::Filter, rule.as_bytes()).unwrap());
    Selection::new(list).unwrap()
}

/// Whether the rule leaves out the entry; a slash at the end of the path says that it is a directory.
fn leaves_out(rules: &[&str], path: &str) -> bool {
    let (path, is_dir) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    selection(rules).leaves_out(Side::Source, path.as_bytes(), is_dir)
}

#[test]
fn a_pattern_matches_what_it_matches_for_rsync() {
    for (pattern, matched, others) in [
        ("foo", &["foo", "a/foo", "a/foo/"][..], &["xfoo", "foox", "foo/x"][..]),
        ("/foo", &["foo", "foo/"], &["a/foo"]),
        ("foo/", &["foo/", "a/foo/"], &["foo", "a/foo"]),
        ("a/b", &["a/b", "x/a/b"], &["xa/b", "a/b/c", "b"]),
        ("/a/b", &["a/b"], &["x/a/b"]),
        ("*.o", &["x.o", "a/x.o", ".o"], &["x.oo", "x.o/y"]),
        ("/*.o", &["x.o"], &["a/x.o"]),
        ("a/*.o", &["a/x.o", "b/a/x.o"], &["a/b/x.o", "xa/x.o"]),
        ("a?c", &["abc"], &["a/c", "ac"]),
        ("a[b-d]", &["ab", "ad"], &["ae", "a/"]),
        ("a[!b]", &["ac"], &["ab", "a"]),
        ("a[^b]c", &["axc"], &["abc", "a/c"]),
        ("a[]x]", &["a]", "ax"], &["ay"]),
        ("a[[:digit:]]", &["a1"], &["ab", "a:"]),
        ("a[", &[], &["a[", "a"]),
        ("a[[:nothing:]]", &[], &["a:", "an"]),
        ("a\\*", &["a*"], &["ab", "a\\b"]),
        ("a\\b", &["a\\b"], &["ab"]),
        ("*\\", &[], &["a\\", "a"]),
        ("foo**too", &["foo/x/too", "footoo", "a/foo/too"], &["xfoo/too"]),
        ("cache**", &["cache", "cache/x", "a/cachex"], &["acache"]),
        ("**/foo", &["foo", "a/foo", "a/b/foo"], &["xfoo"]),
        ("**foo", &["foo", "xfoo", "a/xfoo"], &["foox"]),
        ("/a/**", &["a/b", "a/b/c"], &["a/", "b/a/c"]),
        ("a/**/b", &["a/x/b", "a/x/y/b"], &["a/b"]),
        ("dir/***", &["dir/", "dir/x", "a/dir/", "a/dir/x/y/"], &["dir", "xdir/"]),
        ("dir/***/", &["dir/", "dir/x/"], &["dir", "dir/x"]),
        ("***", &["a", "a/b/"], &[]),
    ] {
        let rule = format!("- {pattern}");
        for path in matched {
            assert!(leaves_out(&[&rule], path), "{pattern} {path}");
        }
        for path in others {
            assert!(!leaves_out(&[&rule], path), "{pattern} {path}");
        }
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    assert!(!leaves_out(&["+ /keep.o", "- *.o"], "keep.o"));
    assert!(leaves_out(&["+ /keep.o", "- *.o"], "a/keep.o"));
    assert!(leaves_out(&["- *.o", "+ /keep.o"], "keep.o"));
    assert!(!leaves_out(&["- x", "!", "- y"], "x"));
    assert!(leaves_out(&["-! */"], "x") && !leaves_out(&["-! */"], "x/"));
}

#[test]
fn a_rule_may_be_for_one_side_only() {
    for (rule, source, target) in [
        ("- a", true, true),
        ("H a", true, false),
        ("-s a", true, false),
        ("hide a", true, false),
        ("P a", false, true),
        ("-r a", false, true),
        ("protect,_a", false, true),
        ("exclude_a", true, true),
    ] {
        let selection = selection(&[rule]);
        assert_eq!(selection.leaves_out(Side::Source, b"a", false), source, "{rule}");
        assert_eq!(selection.leaves_out(Side::Target, b"a", false), target, "{rule}");
    }
}

#[test]
fn a_bad_rule_is_named_with_its_cause() {
    let why = |option, text: &str| {
        RuleList::default().add_option(option, text.as_bytes()).unwrap_err().why
    };
    for (rule, expected) in [
        ("", "the rule is empty"),
        ("- ", "the pattern is missing"),
        ("! x", "'!' takes no pattern"),
        ("x a", "expected one of the letters"),
        ("-q a", "the modifier 'q'"),
        (":- .gitignore", "in each directory"),
        (".", "the name of the file is missing"),
        (". /nothing", "No such file"),
    ] {
        let why = why(RuleOption::Filter, rule);
        assert!(why.contains(expected), "{rule}: {why}");
    }
    assert!(why(RuleOption::Exclude, "!x").contains("git's grammar"));
}

#[test]
fn the_options_of_rsync_have_prefixes() {
    let mut list = RuleList::default();
    list.add_option(RuleOption::Exclude, b"+ a").unwrap();
    list.add_option(RuleOption::Include, b"- b").unwrap();
    list.add_option(RuleOption::Exclude, b"*").unwrap();
    let selection = Selection::new(list).unwrap();
    let left_out = |name: &[u8]| selection.leaves_out(Side::Source, name, false);
    assert!(!left_out(b"a") && left_out(b"b") && left_out(b"c"));
}
