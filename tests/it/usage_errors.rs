//! The messages of command lines that make no sense: exit code 2, one line that names what is wrong, and nothing is
//! done.

use crate::common::*;
use std::fs;

/// Runs pcopy where `src` exists. Fails unless it prints exactly this message, and copies nothing.
#[track_caller]
fn is_answered(arguments: &[&str], message: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);

    let run = env.pcopy(arguments);

    run.exits(2).stdout_is("");
    assert_eq!(run.stderr, format!("pcopy: {message}\n"), "{}", run.story());
    assert_eq!(fs::read_dir(env.path("")).unwrap().count(), 1, "{}", run.story());
}

#[test]
fn an_unknown_option_is_answered_with_the_one_that_was_meant() {
    for (option, meant) in [
        ("--parrallel", "; did you mean '--parallel'? pcopy calls it '--jobs=N'"),
        ("--verbos", "; did you mean '--verbose'?"),
        ("--derefrence", "; did you mean '--dereference'?"),
        ("--deref", "; did you mean '--dereference'?"),
        ("--bogus", ""),
    ] {
        is_answered(&[option, "src", "dst"], &format!("unknown option '{option}'{meant}"));
    }
    is_answered(&["-vQ", "src", "dst"], "unknown option '-Q'");
    is_answered(&["--bo\x1b[31mgus", "src", "dst"], r"unknown option '--bo\x1b[31mgus'");
}

/// rsync's -t preserves times; pcopy's and cp's takes a directory.
#[test]
fn the_t_of_rsync_is_answered_where_it_takes_the_source_for_the_target() {
    is_answered(
        &["-rt", "src", "dst"],
        "option '-rt' takes 'src' as the directory to copy into, and 'dst' does not exist\nhint: times are preserved by default; say: pcopy -r src dst",
    );
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("into", []);
    env.pcopy(["-rt", "into", "src"]).exits(0);
}

#[test]
fn an_option_of_another_program_is_answered_with_what_pcopy_has_instead() {
    for (arguments, option, instead) in [
        (&["--threads", "4"][..], "--threads", "pcopy calls it '--jobs=N'"),
        (&["--parallel=4"], "--parallel", "pcopy calls it '--jobs=N'"),
        (&["--no-progress"], "--no-progress", "pcopy calls it '--progress=never'"),
        (
            &["--resume"],
            "--resume",
            "an interrupted copy resumes when the same command is run again",
        ),
        (&["--mirror"], "--mirror", "pcopy calls it '--delete'"),
        (&["-avz"], "-z", "pcopy does not compress, as nothing is sent"),
        (&["--links"], "--links", "pcopy always does what other programs do with this option"),
        (&["--relative"], "--relative", "pcopy calls it '--parents'"),
        (&["-rI"], "-I", "pcopy calls it '--update=all'"),
    ] {
        let message = format!("unknown option '{option}': {instead}");
        is_answered(&[arguments, &["src", "dst"]].concat(), &message);
    }
}

#[test]
fn a_value_that_is_not_valid_is_answered_with_those_that_are() {
    let jobs = "expected a number from 1 to 512; without this option pcopy chooses the number";
    let when = "expected auto, always or never";
    let kinds = "expected mode, ownership, timestamps, links, acl, xattr, context, all or none";
    for (option, message) in [
        ("--jobs=0", format!("invalid value '0' for '--jobs <N>': {jobs}")),
        ("-jsrc", format!("invalid value 'src' for '--jobs <N>': {jobs}")),
        ("--retries=101", {
            "invalid value '101' for '--retries <N>': expected a number from 0 to 100".to_owned()
        }),
        ("--progress=on", format!("invalid value 'on' for '--progress[=<WHEN>]': {when}")),
        ("--sparse=no", format!("invalid value 'no' for '--sparse <WHEN>': {when}")),
        ("--preserve=modes", format!("invalid value 'modes' for '--preserve[=<LIST>]': {kinds}")),
        ("--backup=some", {
            "invalid value 'some' for '--backup': expected none, numbered, existing or simple"
                .to_owned()
        }),
        ("--verify=yes", "option '--verify' takes no value".to_owned()),
    ] {
        is_answered(&[option, "src", "dst"], &message);
    }
    is_answered(&["src", "dst", "-j"], "option '--jobs <N>' needs a value");
}

#[test]
fn a_value_that_needs_an_equals_sign_is_not_taken_for_a_source() {
    for (option, value) in [
        ("--progress", "always"),
        ("--reflink", "never"),
        ("--update", "older"),
        ("--preserve", "mode,links"),
        ("--backup", "numbered"),
    ] {
        let message = format!("option '{option}' takes its value after '=': {option}={value}");
        is_answered(&[option, value, "src", "dst"], &message);
        is_answered(&["-T", option, value, "src", "dst"], &message);
    }
}

#[test]
fn a_file_that_has_the_name_of_a_value_is_a_source() {
    let env = Sandbox::new();
    env.tree("", ["file always 10", "dir dst"]);

    env.pcopy(["--progress", "always", "dst"]).exits(0);
    env.pcopy(["--progress", "--", "always", "dst/again"]).exits(0);

    assert!(env.path("dst/always").exists() && env.path("dst/again").exists());
}

#[test]
fn missing_and_empty_operands_are_named() {
    is_answered(&[], "missing operand\nhint: 'pcopy --help' shows the forms of the command");
    is_answered(&["", "dst"], "operand 1 of 2 is empty: ''");
    is_answered(&["src", ""], "operand 2 of 2 is empty: ''");
    is_answered(&["-t", "", "src"], {
        "invalid value '' for '--target-directory <DIR>': the path is empty"
    });
    is_answered(&["-T", "src"], "-T takes exactly one SRC and one DST");
}

#[test]
fn options_that_exclude_each_other_are_named() {
    is_answered(&["-l", "-s", "src", "dst"], "'--link' cannot be used with '--symbolic-link'");
    is_answered(
        &["--check", "-l", "src", "dst"],
        "'--link' cannot be used with '--check' or '--check-manifest <FILE>'",
    );
}

#[cfg(feature = "bench")]
#[test]
fn the_subcommands_answer_in_the_same_way() {
    is_answered(&["bench", "--bogus"], "unknown option '--bogus'");
    is_answered(&["bench", "--thread=3"], {
        "unknown option '--thread'; did you mean '--threads'? pcopy calls it '--jobs=N'"
    });
    is_answered(&["bench", "--runs=0"], {
        "invalid value '0' for '--runs <N>': expected a number from 1 to 65535"
    });
}

#[test]
fn a_suffix_that_cannot_be_part_of_a_name_is_refused() {
    for suffix in ["", "a/b"] {
        let message = "invalid value for '--suffix': expected a text without '/', not empty";
        is_answered(&["-S", suffix, "src", "dst"], message);
    }
}
