//! `--check-manifest` compares files with the lines of a manifest.

use crate::common::chance::Dice;
use crate::common::checksum_programs::*;
use crate::common::entries::*;
use crate::common::helpers::has_option;
use crate::common::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Returns a sandbox with a directory of some files, and a manifest of them by `sha256sum`.
fn listed() -> Sandbox {
    let env = Sandbox::new();
    env.tree(
        "dst",
        ["text a one", "text d/b two", "file d/e/big 1M", "text odd\\name 3", "file 0 0"],
    );
    fs::write(env.path("dst/d/new\nline"), "four").unwrap();
    let files = files_below(&env.path("dst"));
    fs::write(env.path("sums"), written_by("sha256sum", &env.path("dst"), &files)).unwrap();
    env
}

/// Returns the hash that `sha256sum` computes of a file.
fn sha256(env: &Sandbox, file: &str) -> String {
    let line = written_by("sha256sum", &env.path(""), &[file.into()]);
    String::from_utf8_lossy(&line).trim_start_matches('\\')[..64].to_owned()
}

#[test]
fn manifests_of_other_programs_are_accepted() {
    for (hash, program) in CHECKERS {
        if !has_checker!(program) {
            continue;
        }
        for tag in [&[][..], &["--tag"]] {
            if !tag.is_empty() && !has_option(program, "--tag") {
                continue; // Debian's b3sum 1.2.0 has no --tag
            }
            let env = listed();
            let files = files_below(&env.path("dst"));
            let mut command = Command::new(program);
            command.args(tag).arg("--").args(&files).current_dir(env.path("dst"));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
            fs::write(env.path("sums"), output.stdout).unwrap();
            let flag = format!("--hash={hash}");
            for options in [&["-j1"][..], &["-j8"], &[&flag], &["-q"]] {
                let line = [options, &["--check-manifest", "sums", "dst"]].concat();
                let run = env.pcopy(line);
                run.exits(0).stdout_is("");
                assert!(run.stderr.contains("compared 6 entries") != (options == ["-q"]));
            }
            fs::write(env.path("dst/a"), "eno").unwrap();
            let run = env.pcopy(["--check-manifest", "sums", "dst"]);
            run.exits(6).stdout_is("different: 'dst/a': contents\n");
        }
        let env = listed();
        let other = if hash == "sha256" { "--hash=blake3" } else { "--hash=sha256" };
        if program == "sha256sum" {
            env.pcopy([other, "--check-manifest", "sums", "dst"]).exits(6); // the option overrides
        }
    }
}

#[test]
fn manifests_of_pcopy_are_accepted() {
    for hash in ["--hash=blake3", "--hash=sha256"] {
        let env = Sandbox::new();
        env.plant("src", "fixtures/mixed.tree");
        fs::remove_file(env.path("src/locked")).unwrap(); // an ordinary user cannot read it
        env.pcopy([hash, "src", "dst", "--manifest=dst/SUMS"]);
        let run = env.pcopy(["--check-manifest", "dst/SUMS", "dst/"]);
        run.exits(0).stdout_is("").stderr_has(": identical");
    }
}

each_jobs!(missing_changed_and_unlisted_files_are_reported, 1, 8);
fn missing_changed_and_unlisted_files_are_reported(jobs: &str) {
    let env = listed();
    fs::remove_file(env.path("dst/a")).unwrap();
    fs::write(env.path("dst/d/b"), "tww").unwrap();
    fs::remove_dir_all(env.path("dst/d/e")).unwrap();
    fs::write(env.path("dst/d/e"), "a file where a directory was").unwrap();
    fs::remove_file(env.path("dst/0")).unwrap();
    fs::create_dir(env.path("dst/0")).unwrap();
    env.tree("dst", ["text x/y/more 1", "link x/symlinks-are-not-listed a", "fifo x/fifo"]);

    let run = env.pcopy(["-j", jobs, "--check-manifest", "sums", "dst"]);

    run.exits(6).stdout_is(
        "different: 'dst/0': a directory instead of a file\n\
         missing: 'dst/a'\n\
         different: 'dst/d/b': contents\n\
         extraneous: 'dst/d/e'\n\
         missing: 'dst/d/e/big'\n\
         extraneous: 'dst/x/y/more'\n",
    );
    run.stderr_has("compared 6 entries").stderr_has(": 2 missing, 2 extraneous, 2 different");
}

#[test]
fn a_name_outside_the_directory_is_not_read() {
    let env = listed();
    env.tree("", ["text secret words", "text outside/secret words"]);
    symlink("../outside", env.path("dst/link")).unwrap();
    symlink("../secret", env.path("dst/leaf")).unwrap();
    symlink(".", env.path("dst/d/here")).unwrap();
    let absolute = env.path("secret").to_str().unwrap().to_owned();
    // Each with the right hash: a program that reads the file finds no difference.
    let hash = sha256(&env, "secret");
    let mut text = fs::read_to_string(env.path("sums")).unwrap();
    let names = ["../secret", "d/../../secret", &absolute, "link/secret", "leaf", "d/here/b", "a/"];
    for name in names {
        text.push_str(&format!("{hash}  {name}\n"));
    }
    fs::write(env.path("sums"), text).unwrap();

    let run = env.pcopy(["--check-manifest", "sums", "dst"]);

    run.exits(1).stdout_is("");
    for report in [
        "pcopy: sums:7: '../secret' leads out of the directory; it is not read\n",
        "pcopy: sums:8: 'd/../../secret' leads out of the directory; it is not read\n",
        &format!("pcopy: sums:9: '{absolute}' is absolute; it is not read\n"),
        "pcopy: not reading 'dst/link/secret': its path contains a symbolic link\n",
        "pcopy: not reading 'dst/leaf': its path contains a symbolic link\n",
        "pcopy: not reading 'dst/d/here/b': its path contains a symbolic link\n",
        "pcopy: sums:13: 'a/' is the name of a directory; it is not read\n",
        ": 7 failed\n",
    ] {
        run.stderr_has(report);
    }
}

#[test]
fn malformed_lines_are_reported_by_their_number() {
    let env = listed();
    let good = fs::read_to_string(env.path("sums")).unwrap();
    let hash = sha256(&env, "dst/a");
    let bad = format!("# a remark\n\nhello\x1b[2J\n{hash} a\n{hash}  \n\\{hash}  a\\x\n{hash}\n");
    fs::write(env.path("sums"), bad.clone() + &good).unwrap();

    let run = env.pcopy(["--check-manifest", "sums", "dst"]);

    run.exits(1).stdout_is("").stderr_has(": 5 failed\n");
    run.stderr_has("pcopy: sums:3: no hash of 64 hexadecimal digits\n");
    run.stderr_has("pcopy: sums:4: no two spaces after the hash\n");
    run.stderr_has("pcopy: sums:5: no file name\n");
    run.stderr_has("pcopy: sums:6: an invalid backslash escape\n");
    run.stderr_has("pcopy: sums:7: no two spaces after the hash\n");
    assert!(!run.stderr.contains('\x1b'));

    fs::write(env.path("sums"), &bad).unwrap();
    let run = env.pcopy(["--check-manifest", "sums", "dst"]);
    run.exits(3).stderr_has("pcopy: no file is listed: sums:3: no hash");
    fs::write(env.path("sums"), "").unwrap();
    let run = env.pcopy(["--check-manifest", "sums", "dst"]);
    run.exits(3).stderr_has("pcopy: no file is listed in 'sums'");
}

#[test]
fn a_manifest_may_lie_anywhere_and_is_not_extraneous_itself() {
    let env = listed();
    let sums = fs::read(env.path("sums")).unwrap();
    fs::rename(env.path("sums"), env.path("dst/d/SUMS")).unwrap();
    symlink("dst/d/SUMS", env.path("link")).unwrap();
    for file in ["dst/d/SUMS", "link"] {
        env.pcopy(["--check-manifest", file, "dst"]).exits(0).stdout_is("");
    }
    fs::remove_file(env.path("dst/d/SUMS")).unwrap();
    let mut command = env.command(["--check-manifest", "-", "dst"]);
    fs::write(env.path("in"), sums).unwrap();
    command.stdin(Stdio::from(fs::File::open(env.path("in")).unwrap()));
    env.run(command).exits(0).stdout_is("");
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let env = listed();
    for (line, code, why) in [
        (&["--check-manifest", "no", "dst"][..], 3, "cannot read 'no': No such file or directory"),
        (&["--check-manifest", "dst", "dst"], 3, "cannot read 'dst': Is a directory"),
        (&["--check-manifest", "sums", "no"], 3, "cannot open directory 'no': No such file"),
        (&["--check-manifest", "sums", "sums"], 3, "cannot open directory 'sums': Not a directory"),
        (&["--check-manifest", "sums"], 2, "missing operand"),
        (&["--check-manifest", "sums", "dst", "dst"], 2, "exactly one DIR"),
        (&["--check-manifest", "sums", "dst", "--check"], 2, "cannot be used with"),
        (&["--check-manifest", "sums", "dst", "--manifest=x"], 2, "cannot be used with"),
    ] {
        env.pcopy(line).exits(code).stderr_has(why);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let env = listed();
    env.give_to_plain_user();
    chmod(&env.path("dst/a"), 0);
    chmod(&env.path("dst/d/e"), 0);
    let run = env.plain_pcopy_as_is(["--check-manifest", "sums", "dst"]);
    run.exits(1).stdout_is("");
    run.stderr_has("pcopy: cannot read 'dst/a': Permission denied\n");
    run.stderr_has("pcopy: cannot read 'dst/d/e/big': Permission denied\n");
    run.stderr_has("pcopy: cannot open directory 'dst/d/e': Permission denied\n");
    run.stderr_has(": 3 failed");
    chmod(&env.path("dst/d/e"), 0o700);
}

#[test]
fn a_file_that_is_listed_twice_is_checked_twice() {
    let env = listed();
    let mut text = fs::read_to_string(env.path("sums")).unwrap();
    text.push_str(&text.clone().replace("  a\n", "  ./a\n"));
    fs::write(env.path("sums"), &text).unwrap();
    env.pcopy(["--check-manifest", "sums", "dst"]).exits(0).stderr_has("compared 12 entries");
    text.push_str(&format!("{}  d//b\n", sha256(&env, "dst/a")));
    fs::write(env.path("sums"), &text).unwrap();
    let run = env.pcopy(["--check-manifest", "sums", "dst"]);
    run.exits(6).stdout_is("different: 'dst/d/b': contents\n");
}

#[test]
fn killed_copiers_change_nothing_in_the_report_of_check_manifest() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    env.pcopy(["src", "dst", "--manifest=sums"]).exits(0);
    fs::write(env.path("dst/extra"), "").unwrap();
    fs::remove_file(env.path("dst/dir-0/file-7")).unwrap();
    fs::write(env.path("dst/dir-100/file-107"), "other").unwrap();
    let (line, mut dice) = (["--check-manifest", "sums", "dst"], Dice::new());
    let report = "different: 'dst/dir-100/file-107': contents\n";
    let report = format!("missing: 'dst/dir-0/file-7'\n{report}extraneous: 'dst/extra'\n");
    let begun = Instant::now();
    env.pcopy(line).exits(6).stdout_is(&report);
    let took = begun.elapsed();
    env.reports_the_same_though_copiers_die(&line, (&report, took), &mut dice);
}

#[test]
fn checking_leaves_no_access_time_and_changes_nothing() {
    let env = listed();
    let before = env.listing("");
    for file in files_below(&env.path("dst")) {
        let path = env.path("dst").join(file);
        set_times(&path, (1000, 0), modified(&path));
    }
    env.pcopy(["--check-manifest", "sums", "dst"]).exits(0);
    for file in files_below_unread(&env) {
        assert_eq!(
            fs::metadata(&file).unwrap().accessed().unwrap(),
            std::time::UNIX_EPOCH + Duration::from_secs(1000),
            "{}",
            file.display()
        );
    }
    assert_eq!(env.listing(""), before);
}

/// Returns the files below `dst`, found without reading them.
fn files_below_unread(env: &Sandbox) -> Vec<std::path::PathBuf> {
    let find = Command::new("find").arg(env.path("dst")).args(["-type", "f", "-print0"]).output();
    let found = find.unwrap().stdout;
    let names = found.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(|name| std::ffi::OsStr::from_bytes(name).into()).collect()
}
