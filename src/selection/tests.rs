//! Tests of the rules without files.

use super::*;
use std::os::fd::AsFd;

fn selection(rules: &[&str]) -> Selection {
    let mut list = RuleList::default();
    rules.iter().for_each(|rule| list.add_option(RuleOption::Filter, rule.as_bytes()).unwrap());
    of(list)
}

fn of(list: RuleList) -> Selection {
    Selection::new(list, Criteria::default()).unwrap()
}

/// Whether the selection, which asks for nothing but paths, leaves out the entry.
fn excludes(selection: &Selection, side: Side, path: &[u8], is_dir: bool) -> bool {
    let trees =
        PathTrees { source: Path::new("/nothing"), target: None, follows: false, device: None };
    let (dir, name) = split(path);
    let mut asked = selection.within(&trees, &mut DirRulesOnPath::default(), dir);
    let nowhere = pcopy_sys::file::open_dir(Path::new("/")).unwrap();
    let kind = if is_dir { Kind::Directory } else { Kind::File };
    !asked.decide(side, nowhere.as_fd(), (kind, &CString::new(name).unwrap())).is_taken()
}

/// Whether the rule leaves out the entry; a slash at the end of the path says that it is a directory.
fn leaves_out(rules: &[&str], path: &str) -> bool {
    let (path, is_dir) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    excludes(&selection(rules), Side::Source, path.as_bytes(), is_dir)
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
        assert_eq!(excludes(&selection, Side::Source, b"a", false), source, "{rule}");
        assert_eq!(excludes(&selection, Side::Target, b"a", false), target, "{rule}");
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
        (":- .gitignore", "use --gitignore"),
        (": a/b", "without a slash"),
        (":n a", "no modifiers"),
        (":", "the name of the file is missing"),
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
    let selection = of(list);
    let left_out = |name: &[u8]| excludes(&selection, Side::Source, name, false);
    assert!(!left_out(b"a") && left_out(b"b") && left_out(b"c"));
}

/// Whether a pattern in git's grammar matches the path.
fn ignores(lines: &str, path: &str) -> bool {
    let (path, is_dir) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let rules = ignore_file::read(Path::new(".gitignore"), lines.as_bytes()).unwrap();
    let text = format!("/{path}{}", if is_dir { "\0" } else { "" });
    rules.first_match(Side::Source, text.as_bytes(), is_dir).is_some_and(Rule::leaves_out)
}

#[test]
fn a_line_of_an_ignore_file_matches_what_it_matches_for_git() {
    for (line, matched, others) in [
        ("foo", &["foo", "a/foo", "a/foo/"][..], &["xfoo", "foo/x"][..]),
        ("/foo", &["foo"], &["a/foo"]),
        ("foo/", &["foo/", "a/foo/"], &["foo", "foobar/"]),
        ("a/b", &["a/b"], &["x/a/b", "a/b/c"]),
        ("*.o", &["x.o", "a/x.o", ".o"], &["x.oo"]),
        ("a/*.o", &["a/x.o"], &["b/a/x.o", "a/b/x.o"]),
        ("**/foo", &["foo", "a/foo", "a/b/foo"], &["xfoo"]),
        ("a/**", &["a/b", "a/b/c"], &["a/", "b/a/c"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["axb"]),
        ("a**b", &["ab", "axb"], &["a/b"]),
        ("x/a**b", &["x/ab", "x/axb"], &["x/ayb/c"]),
        ("a/foo**/bar", &["a/foo/bar", "a/foox/bar"], &["a/foobar", "a/foox/y/bar", "a/fo/bar"]),
        ("/foo**", &["foo", "foox"], &["foo/x", "a/foo"]),
        ("**/**/a", &["a", "x/a", "x/y/a"], &["xa"]),
        ("a/**/**", &["a/b", "a/b/c"], &["a/", "b/a"]),
        ("a**/**", &["a/b", "ax/b/c"], &["a", "b/a"]),
        ("a/**\\/b", &["a/x/b", "a/x/y/b"], &["a/b"]),
        ("*/*/c", &["a/b/c"], &["a/c", "a/b/x/c"]),
        ("**a*/b", &["xax/b", "a/b"], &["x/a/b", "x/b"]),
        ("a/**/x*/**/y*z", &["a/x/yz", "a/x/x1/b/y/yaz"], &["a/y/yz", "a/x/y/z"]),
        ("a[/]b", &[], &["a/b", "ab"]),
        ("a[!x]b/c", &["ayb/c"], &["a/b/c", "axb/c"]),
        ("[[:space:]]", &[" ", "\t", "\r"], &["\x0b", "\x0c", "a"]),
        ("a\\/", &[], &["a/", "a\\/", "a"]),
        ("*b*ab", &["bab", "ab.abab"], &["ab", "baba"]),
        ("a\\*", &["a*"], &["ab"]),
        ("\\#a", &["#a"], &["a"]),
        ("\\!a", &["!a"], &["a"]),
        ("a\\ ", &["a "], &["a"]),
        ("a   ", &["a"], &["a   "]),
        ("a\\", &[], &["a", "a\\"]),
        ("[a-c]x", &["bx"], &["dx"]),
        ("[", &[], &["["]),
        ("#a", &[], &["#a", "a"]),
        ("a\r", &["a"], &["a\r"]),
        ("/", &[], &["a", "a/"]),
    ] {
        for path in matched {
            assert!(ignores(line, path), "{line} {path}");
        }
        for path in others {
            assert!(!ignores(line, path), "{line} {path}");
        }
    }
}

#[test]
fn the_last_line_that_matches_decides_for_git() {
    assert!(!ignores("*.o\n!keep.o", "keep.o"));
    assert!(ignores("!keep.o\n*.o", "keep.o"));
    assert!(ignores("\u{feff}a", "a"));
}

#[test]
fn no_pattern_takes_long_or_is_too_large() {
    let name = "a".repeat(255);
    let path = vec![&name[..250]; 16].join("/");
    for (pattern, matched) in [
        ("*a".repeat(1000), false),
        ("*a".repeat(200), true),
        (format!("{}b", "*a".repeat(100)), false),
        (format!("{}b", "**/*a*/".repeat(10)), false),
        (format!("{}*", "**/*a*/".repeat(10)), true),
        ("?".repeat(100_000), false),
        ("[^\x01-\x7f]".repeat(100_000), false),
        (format!("{}*", "*/".repeat(15)), true),
    ] {
        let text = if pattern.contains('/') { &path } else { &name };
        assert_eq!(ignores(&pattern, text), matched, "{}", &pattern[..20]);
    }
    let lines: String = (0..20_000).map(|number| format!("[a-z]?{number}*[!x]\n")).collect();
    assert!(ignores(&lines, "ab19999cd") && !ignores(&lines, "a"));
}
