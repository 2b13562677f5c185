//! `pcopy bench`: what it prints, what it writes, and that it leaves no files behind.
//!
//! No test depends on how long a run takes.

use crate::common::entries::*;
use crate::common::live::{is_alive, with_default_signals};
use crate::common::plain_user::*;
use crate::common::*;
use crate::terminal::Terminal;
use nix::sys::signal::Signal;
use pcopy::bench::generate;
use pcopy::bench::trees::{TREES, TreeKind, TreeSpec};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;

/// Runs a short benchmark against cp alone. It works in the directory `work`.
fn short<A: AsRef<OsStr>>(env: &Sandbox, more: impl IntoIterator<Item = A>) -> Run<'_> {
    env.run(short_command(env, more))
}

fn short_command<A: AsRef<OsStr>>(
    env: &Sandbox,
    more: impl IntoIterator<Item = A>,
) -> std::process::Command {
    env.tree("work", []);
    let mut words: Vec<OsString> = vec!["bench".into()];
    words.extend(more.into_iter().map(|word| word.as_ref().to_owned()));
    for usual in ["--dir=work", "--runs=1", "--keep=none", "--against=cp", "--tree=tiny10"] {
        let option = usual.split('=').next().unwrap();
        let is_given = |word: &OsString| {
            let word = word.to_str().unwrap();
            word.starts_with(option) || option == "--tree" && word.starts_with("src")
        };
        if !words.iter().any(is_given) {
            words.push(usual.into());
        }
    }
    env.command(words)
}

/// Returns an option that replaces cp by a shell script. The script finds its last two arguments in `$SRC`
/// and `$DST`.
fn script(env: &Sandbox, name: &str, lines: &str) -> String {
    let path = env.path(name);
    let head = "#!/bin/sh\nfor word; do SRC=$DST; DST=$word; done";
    fs::write(&path, format!("{head}\n{lines}\n")).unwrap();
    chmod(&path, 0o755);
    format!("--against=cp={}", path.display())
}

/// Returns the same command for a user whose access depends on permission bits.
fn as_plain_user(env: &Sandbox, command: std::process::Command) -> std::process::Command {
    env.give_to_plain_user();
    if !is_root() {
        return command;
    }
    let mut plain = std::process::Command::new(plain_program());
    plain.args(command.get_args()).current_dir(env.path("")).uid(65534).gid(65534);
    plain
}

#[track_caller]
fn assert_clean(env: &Sandbox) {
    let left = env.listing("work");
    assert_eq!(left.len(), 1, "left behind: {left:#?}");
}

#[track_caller]
fn stdout_has(run: &Run<'_>, text: &str) {
    assert!(run.stdout.contains(text), "stdout lacks {text:?}\n{}", run.story());
}

fn json(env: &Sandbox, name: &str) -> Value {
    serde_json::from_slice(&fs::read(env.path(name)).unwrap()).unwrap()
}

// ---- trees -----------------------------------------------------------------------------------

#[test]
fn the_same_seed_makes_the_same_files_and_another_seed_makes_others() {
    let env = Sandbox::new();
    for (name, seed) in [("one", 1), ("two", 1), ("three", 2)] {
        let tree = TreeSpec { kind: TreeKind::Source, seed, scale: 0.01 };
        generate(&tree, &env.path(name), &|| Ok(())).unwrap();
    }
    let contents = |root| {
        let entries = env.listing(root).into_iter();
        entries
            .map(|(path, entry)| (path, (entry.mode, entry.size, entry.what)))
            .collect::<Vec<_>>()
    };
    assert_eq!(contents("one"), contents("two"));
    assert_ne!(contents("one"), contents("three"));
}

#[test]
fn every_tree_can_be_copied() {
    let env = Sandbox::new();
    let names = TREES.map(|(name, _)| name).into_iter().filter(|name| *name != "few"); // 128 MB each
    let list = names.collect::<Vec<_>>().join(",");

    let run = short(&env, [format!("--tree={list}"), "--scale=0.002".into()]);

    run.exits(0);
    for name in list.split(',') {
        assert!(run.stdout.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name}");
    }
    assert_clean(&env);
}

#[test]
fn a_directory_of_the_user_can_be_copied() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "dir b", "link c a", "fifo d"]);
    let before = env.listing("src");

    let run = short(&env, ["--keep=all", "src"]);

    run.exits(0);
    stdout_has(&run, "src: 1 file in 1 directory, 1 symlink, 1 special file, 1.0 kB; ");
    assert_eq!(env.listing("src"), before);
    assert_clean(&env);
}

#[test]
fn trees_can_be_generated_elsewhere() {
    let env = Sandbox::new();
    env.tree("elsewhere", []);

    short(&env, ["--source-dir=elsewhere"]).exits(0);

    assert_eq!(env.listing("elsewhere").len(), 1);
    assert_clean(&env);
}

#[test]
fn a_symlink_to_a_directory_stands_for_the_directory() {
    let env = Sandbox::new();
    env.tree("real", ["file a 1K"]).tree("", ["link src real"]);

    stdout_has(short(&env, ["src"]).exits(0), "real: 1 file, 1.0 kB; ");
}

#[test]
fn a_copy_that_its_owner_may_not_search_is_removed() {
    let env = Sandbox::new();
    env.tree("src", ["file a/b 1K"]).tree("work", []);
    chmod(&env.path("src/a"), 0o555);
    if !is_root() {
        short(&env, ["--keep=all", "src"]).exits(0);
        return assert_clean(&env);
    }
    env.give_to_plain_user();
    let mut command = std::process::Command::new(plain_program());
    command.args(["bench", "--dir=work", "--runs=1", "--keep=all", "--against=cp", "src"]);
    command.current_dir(env.path("")).uid(65534).gid(65534);

    env.run(command).exits(0);

    assert_clean(&env);
}

// ---- what is printed -------------------------------------------------------------------------

#[test]
fn the_table_names_all_programs_their_commands_and_the_fastest() {
    let env = Sandbox::new();
    let run = short(&env, ["--keep=none,times,all"]);

    run.exits(0);
    for text in [
        "tiny10: 10 files, 10 kB; ",
        " warm, 1 run; Linux ",
        "preserves nothing else (like cp -r) ",
        "\npcopy --preserve=none ",
        "\n  pcopy --preserve=none -T SRC DST\n",
        "\ncp -r ",
        "\n  cp -r -T SRC DST\n",
        "preserves mode, times, links ",
        "\n  cp -r --preserve=mode,timestamps,links -T SRC DST\n",
        "preserves all (like cp -a) ",
        "\npcopy -a ",
        "\ncp -a ",
    ] {
        stdout_has(&run, text);
    }
    let words = ["faster than cp (", "as fast as cp (", "slower than cp ("];
    let verdicts = run.stdout.lines().filter(|line| words.iter().any(|word| line.contains(word)));
    assert_eq!(verdicts.count(), 3, "{}", run.stdout);
}

#[test]
fn programs_that_cannot_do_the_same_are_named() {
    let env = Sandbox::new();
    let fcp = script(&env, "fcp", "true").replace("=cp=", "=fcp=");

    let run = short(&env, [fcp.as_str(), "--keep=all"]);

    run.exits(0);
    stdout_has(&run, "\n  cannot do the same and were not run: fcp\npcopy ran alone\n");
}

#[test]
fn each_number_of_copiers_has_a_row() {
    let env = Sandbox::new();
    let run = short(&env, ["-j", "1,2"]);

    run.exits(0);
    for text in [
        "\npcopy -j1 --preserve=none ",
        "\npcopy -j2 --preserve=none ",
        "\nratios are relative to pcopy -j",
    ] {
        stdout_has(&run, text);
    }
}

#[test]
fn the_numbers_in_json_agree_with_one_another() {
    let env = Sandbox::new();
    short(&env, ["--runs=3", "--json=numbers", "-j1,2"]).exits(0);

    let json = json(&env, "numbers");
    assert_eq!((&json["runs"], &json["cold"]), (&3.into(), &false.into()));
    assert_eq!(json["trees"][0]["files"], 10);
    let rows = json["trees"][0]["races"][0]["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["tool"].as_str().unwrap()).collect::<Vec<_>>(),
        ["pcopy", "pcopy", "cp"]
    );
    assert_eq!(rows[1]["jobs"], 2);
    for row in rows {
        let times =
            row["wall_seconds"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap());
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        assert_eq!(times.len(), 3);
        assert_eq!(row["median_seconds"].as_f64(), Some(times[1]));
        assert_eq!(row["min_seconds"].as_f64(), Some(times[0]));
        assert_eq!(row["verified"], "yes");
    }
}

#[test]
fn output_files_are_opened_first_and_existing_ones_kept_until_then() {
    let env = Sandbox::new();
    env.tree("", ["text numbers old", "dir chart.svg"]);

    let run = short(&env, ["--json=numbers", "--chart=new.svg", "--chart=chart.svg"]);

    run.exits(3).stderr_has("pcopy: cannot write 'chart.svg': Is a directory").stdout_is("");
    assert_eq!(fs::read(env.path("numbers")).unwrap(), b"old");
    assert!(!env.path("new.svg").exists());
    assert_clean(&env);
}

#[test]
fn one_file_that_cannot_be_written_in_the_end_does_not_cost_the_others() {
    let env = Sandbox::new();
    let blocked = env.path("numbers");
    let lines = format!("mkdir -p '{}'\ncp \"$@\"", blocked.display());
    let cp = script(&env, "blocking", &lines);

    let run = short(&env, [cp.as_str(), "--json=numbers", "--chart=a.svg"]);

    run.exits(1).stderr_has("pcopy: cannot write 'numbers': Is a directory");
    assert!(fs::read_to_string(env.path("a.svg")).unwrap().ends_with("</svg>\n"));
    assert_clean(&env);
}

#[test]
fn everything_that_a_figure_depends_on_is_printed() {
    let env = Sandbox::new();
    let one = script(&env, "one", "cp \"$@\"");
    let run = short(
        &env,
        [&format!("--against=cp,{}", &one["--against=".len()..]), "--seed=7", "--json=numbers"],
    );

    run.exits(0);
    stdout_has(&run, "; seed 7, scale 1\n");
    stdout_has(&run, "\ncp -r (2) ");
    stdout_has(&run, "/one: cp (GNU coreutils) ");
    stdout_has(&run, "fewer than 3 runs are not conclusive");
    let json = json(&env, "numbers");
    let tree = &json["trees"][0];
    assert_eq!((&tree["seed"], &json["dir"]), (&7.into(), &"work".into()));
    let rows = &tree["races"][0]["rows"];
    assert_eq!(rows[2]["program"], env.path("one").display().to_string());
    assert!(rows[0]["program"].as_str().unwrap().ends_with("/pcopy"));
}

/// A page of documentation is 840 pixels wide; a wider picture is shrunk, with its text.
#[test]
fn the_text_of_a_chart_is_legible_on_a_page() {
    let env = Sandbox::new();
    short(&env, ["--chart=a.svg", "-j1,2"]).exits(0);

    let svg = fs::read_to_string(env.path("a.svg")).unwrap();
    let number = |text: &str| text.split('"').next().unwrap().parse::<f64>().unwrap();
    assert!(number(svg.split_once("<svg width=\"").unwrap().1) <= 840.0, "{svg}");
    let mut sizes = svg.split("font-size=\"").skip(1).map(number);
    assert!(sizes.all(|size| size >= 12.0), "{svg}");
}

#[test]
fn charts_and_tables_have_the_version_of_the_kernel_and_not_the_name_of_its_build() {
    let env = Sandbox::new();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let (version, build) = match release.trim().find(['-', '+']) {
        Some(at) => release.trim().split_at(at),
        None => return skip!("this kernel's release has no name of a build"),
    };

    let run = short(&env, ["--chart=a.svg"]);

    let svg = fs::read_to_string(env.path("a.svg")).unwrap();
    for text in [&run.stdout, &svg] {
        assert!(text.contains(&format!("Linux {version}")) && !text.contains(build), "{text}");
    }
}

#[test]
fn charts_are_drawn_with_the_programs_names() {
    let env = Sandbox::new();
    short(&env, ["--chart=a.svg", "--chart=b.png", "-j1,2"]).exits(0);

    let svg = fs::read_to_string(env.path("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert_eq!(svg.matches("<text ").count(), svg.matches("</text>").count());
    for name in ["pcopy -j", "pcopy\n", "cp -r", "tiny10"] {
        assert!(svg.contains(name), "{name}\n{svg}");
    }
    let png = fs::read(env.path("b.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!((1000..4000).contains(&side(16)) && (300..4000).contains(&side(20)));
}

#[test]
fn a_terminal_shows_progress_that_is_gone_in_the_end() {
    let env = Sandbox::new();
    let terminal = Terminal::new(100);
    let mut command = short_command(&env, ["--runs=2"]);
    command.stderr(terminal.stream());

    let output = command.output().unwrap();
    drop(command);

    assert!(output.status.success());
    let seen = terminal.close();
    let line = "tiny10: run 2 of 2: pcopy --preserve=none";
    assert!(seen.states.iter().any(|state| state.contains(line)), "{:?}", seen.states);
    assert_eq!(seen.screen, Vec::<String>::new());
}

// ---- peers that are wrong --------------------------------------------------------------------

#[test]
fn a_wrong_copy_is_reported_and_gets_no_ratio() {
    let env = Sandbox::new();
    for (lines, words) in [
        ("rm \"$DST/file-0000003\"", "1 entry differs: 'file-0000003' (missing)"),
        ("printf X >> \"$DST/file-0000004\"", "1 entry differs: 'file-0000004' (size)"),
        (
            "printf '\\0\\0\\0\\0' | dd of=\"$DST/file-0000005\" conv=notrunc bs=1 seek=9 2>&1",
            "1 entry differs: 'file-0000005' (contents)",
        ),
        ("touch \"$DST/more\"", "1 entry differs: 'more' (not in the source)"),
        ("rm -r \"$DST\"", "11 entries differ: first '.' (missing)"),
        ("cd \"$DST\"; rm file-0000006; mkdir file-0000006", "'file-0000006' (file type)"),
        ("cd \"$DST\"; ln -f file-0000006 file-0000007", "(contents)"),
    ] {
        let cp = script(&env, "liar", &format!("cp \"$@\"\n{lines}"));

        let run = short(&env, [cp.as_str(), "--json=numbers"]);

        run.exits(1);
        stdout_has(&run, "wrong: ");
        stdout_has(&run, words);
        stdout_has(&run, "; not compared: cp\n");
        let row = &json(&env, "numbers")["trees"][0]["races"][0]["rows"][1];
        assert_eq!((&row["verified"], &row["ratio"]), (&"wrong".into(), &Value::Null));
        assert_clean(&env);
    }
}

#[test]
fn metadata_is_compared_where_it_is_to_be_preserved() {
    let env = Sandbox::new();
    for (keep, lines, words) in [
        ("times", "touch \"$DST/file-0000003\"", "(modification time)"),
        ("times", "chmod 600 \"$DST/file-0000003\"", "(mode)"),
        ("times", "touch \"$DST\"", "'.' (modification time)"),
        ("none", "touch \"$DST\" \"$DST/file-0000003\"", ""),
    ] {
        let cp = script(&env, "liar", &format!("cp \"$@\"\n{lines}"));

        let run = short(&env, [cp, format!("--keep={keep}")]);

        run.exits(i32::from(!words.is_empty()));
        stdout_has(&run, words);
    }
}

#[test]
fn hard_links_are_compared_where_they_are_to_be_preserved() {
    let env = Sandbox::new();
    // The options end with -T, and the source comes after it.
    let lines = "while [ \"$1\" != -T ]; do shift; done; cp -rp -T \"$2\" \"$DST\"";
    let cp = script(&env, "liar", lines);
    for (keep, code) in [("none", 0), ("times", 1)] {
        let run =
            short(&env, [cp.as_str(), &format!("--keep={keep}"), "--tree=links", "--scale=0.001"]);

        run.exits(code);
        assert_eq!(run.stdout.contains("(hard link)"), code == 1, "{}", run.story());
    }
}

#[test]
fn attributes_are_compared_where_all_is_to_be_preserved() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    if xattr::set(env.path("src/a"), "user.colour", b"red").is_err() {
        return skip!("no attributes here");
    }
    let cp = script(&env, "liar", "cp -a --no-preserve=xattr -T \"$3\" \"$DST\"");

    let run = short(&env, [cp.as_str(), "--keep=all", "src"]);

    run.exits(1);
    stdout_has(&run, "wrong: 1 entry differs: 'a' (extended attributes)\n");
}

#[test]
fn a_copy_made_of_links_to_the_source_is_detected() {
    let env = Sandbox::new();
    let cp = script(&env, "liar", "[ \"$DST\" = --version ] || cp -al -T \"$SRC\" \"$DST\"");
    for keep in ["none", "times", "all"] {
        let run = short(&env, [cp.as_str(), &format!("--keep={keep}")]);

        run.exits(1);
        stdout_has(&run, "wrong: 10 entries differ: first 'file-000000");
        stdout_has(&run, "(the source itself)\n");
    }
}

#[test]
fn files_that_are_not_linked_in_the_source_are_not_in_the_copy() {
    let env = Sandbox::new();
    env.tree("src", []);
    for name in ["src/a", "src/b"] {
        fs::write(env.path(name), "the same").unwrap();
    }
    let cp = script(&env, "liar", "cp \"$@\"\nln -f \"$DST/a\" \"$DST/b\"");

    let run = short(&env, [cp.as_str(), "src"]);

    run.exits(1);
    stdout_has(&run, "(hard link)\n");
}

#[test]
fn times_of_symlinks_are_compared_where_all_is_to_be_preserved() {
    let env = Sandbox::new();
    env.tree("src", ["link c a"]);
    let cp = script(&env, "liar", "cp \"$@\"\ntouch -h -d 2001-01-01 \"$DST/c\"");
    for (keep, code) in [("times", 0), ("all", 1)] {
        let run = short(&env, [cp.as_str(), &format!("--keep={keep}"), "src"]);

        run.exits(code);
        assert_eq!(run.stdout.contains("'c' (modification time)"), code == 1, "{}", run.story());
    }
}

#[test]
fn default_acls_are_compared_where_all_is_to_be_preserved() {
    let env = Sandbox::new();
    env.tree("src", ["dir a"]);
    if !tool("setfacl") {
        return skip!("setfacl is not installed");
    }
    let mut set = std::process::Command::new("setfacl");
    set.args(["-dm", "u:1:r"]).arg(env.path("src/a"));
    if !set.output().unwrap().status.success() {
        return skip!("no ACLs here");
    }
    let cp = script(&env, "liar", "cp \"$@\"\nsetfacl -k \"$DST/a\"");

    let run = short(&env, [cp.as_str(), "--keep=all", "src"]);

    run.exits(1);
    stdout_has(&run, "wrong: 1 entry differs: 'a' (extended attributes)\n");
}

#[test]
fn file_capabilities_are_compared_by_root() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    // VFS_CAP_REVISION_2 and CAP_NET_RAW, as `setcap cap_net_raw+p` writes them.
    let capability = [0, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if !is_root() || xattr::set(env.path("src/a"), "security.capability", &capability).is_err() {
        return skip!("capabilities cannot be set here");
    }
    let cp = script(&env, "liar", "cp \"$@\"\n[ ! -f \"$DST/a\" ] || chown 0 \"$DST/a\"");

    let run = short(&env, [cp.as_str(), "--keep=all", "src"]);

    run.exits(1);
    stdout_has(&run, "wrong: 1 entry differs: 'a' (extended attributes)\n");
    // All other programs preserve it; tar needs an option.
    let all = ["bench", "--dir=work", "--runs=1", "--keep=all", "--against=cp,tar", "src"];
    if tool("tar") {
        env.pcopy(all).exits(0);
    }
}

#[test]
fn filled_holes_are_detected() {
    let env = Sandbox::new();
    let cp = script(&env, "liar", "cp \"$@\" --sparse=never");

    let run = short(&env, [cp.as_str(), "--tree=sparse", "--scale=0.002"]);

    run.exits(1);
    stdout_has(&run, "wrong: 1 entry differs: 'image' (holes filled)\n");
}

#[test]
fn a_copy_that_cannot_be_read_is_wrong_and_does_not_end_the_benchmark() {
    let env = Sandbox::new();
    let lines = "cp \"$@\"\n[ ! -d \"$DST\" ] || chmod 0 \"$DST/file-0000003\"";
    let cp = script(&env, "liar", lines);

    let run = env.run(as_plain_user(&env, short_command(&env, [cp.as_str()])));

    run.exits(1);
    stdout_has(&run, "wrong: 1 entry differs: 'file-0000003' (unreadable)\n");
    assert_clean(&env);
}

#[test]
fn a_wrong_copy_by_pcopy_itself_has_an_exit_code_of_its_own() {
    let env = Sandbox::new();
    // A file with other contents at each read, and with a wrong size.
    let source = "/proc/sys/kernel/random";
    if fs::read(format!("{source}/uuid")).is_err() {
        return skip!("no such files here");
    }
    let run = short(&env, ["--tree=tiny1", "--against=cp"]);
    run.exits(0);
    let words = ["bench", "--dir=work", "--runs=1", "--keep=none", "--against=cp", source];

    let run = env.pcopy(words);

    run.exits(6);
    stdout_has(&run, "pcopy made no correct copy");
}

#[test]
fn without_verification_nothing_is_compared_and_the_output_says_so() {
    let env = Sandbox::new();
    let cp = script(&env, "liar", "mkdir \"$DST\"");

    let run = short(&env, [cp.as_str(), "--no-verify"]);

    run.exits(0);
    stdout_has(&run, ", copies not verified, ");
}

#[test]
fn a_program_that_fails_is_reported_with_its_messages_and_leaves_nothing() {
    let env = Sandbox::new();
    let cp = script(&env, "failing", "mkdir -p \"$DST/deep\"\necho out of luck >&2\nexit 3");

    let run = short(&env, [cp.as_str(), "--chart=a.svg"]);

    run.exits(1);
    stdout_has(&run, "failed: exit 3: out of luck\n");
    stdout_has(&run, "pcopy has no valid results to be compared with; not compared: cp\n");
    assert!(fs::read_to_string(env.path("a.svg")).unwrap().contains("failed"));
    assert_clean(&env);
}

#[test]
fn a_program_that_is_killed_is_reported() {
    let env = Sandbox::new();
    let cp = script(&env, "killed", "kill -9 $$");

    stdout_has(short(&env, [cp]).exits(1), "failed: signal 9\n");
}

#[test]
fn the_second_of_two_programs_that_fails_does_not_leave_the_first_waiting() {
    let env = Sandbox::new();
    // The first writes more than a pipe holds.
    let lines = "case \"$*\" in *-cf*) exec cat /dev/zero;; esac\necho out of luck >&2\nexit 3";
    let tar = script(&env, "failing", lines).replace("=cp=", "=tar=");

    let run = short(&env, [tar]);

    run.exits(1);
    stdout_has(&run, "failed: exit 3: out of luck\n");
    assert_clean(&env);
}

#[test]
fn processes_a_program_leaves_are_ended_before_the_directory_is_removed() {
    let env = Sandbox::new();
    let pid_file = env.path("pid");
    // It writes into the copy as long as the copy exists.
    let left = "echo $$ > $0; while :; do mkdir -p \"$1/$$\"; rmdir \"$1/$$\"; done 2>&-";
    let lines = format!(
        "cp \"$@\"\n[ \"$DST\" != --version ] || exit 0\nrm -f '{0}'\nsh -c '{left}' '{0}' \"$DST\" &\nwhile [ ! -s '{0}' ]; do sleep 0.01; done",
        pid_file.display()
    );
    let cp = script(&env, "leaving", &lines);

    short(&env, [cp.as_str(), "--no-verify"]).exits(0);

    let pid = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    assert!(!is_alive(pid), "it still runs");
    assert_clean(&env);
}

#[test]
fn what_a_program_puts_in_place_of_its_error_file_is_not_written_to() {
    let env = Sandbox::new();
    env.tree("", ["text precious words"]);
    let lines = format!(
        "cd \"${{DST%/target/copy}}\" && ln -sf '{}' errors\ncp \"$@\"",
        env.path("precious").display()
    );
    let cp = script(&env, "planting", &lines);

    short(&env, [cp.as_str(), "--runs=2"]).exits(0);

    assert_eq!(fs::read(env.path("precious")).unwrap(), b"words");
}

#[test]
fn programs_get_what_a_shell_would_give_them() {
    let env = Sandbox::new();
    let report = env.path("report");
    let lines = format!(
        "{{ ulimit -Sn; echo \"[$TAR_OPTIONS$RSYNC_RSH]\"; grep SigIgn /proc/self/status; }} > '{}'\ncp \"$@\"",
        report.display()
    );
    let cp = script(&env, "reporting", &lines);
    let bench = short_command(&env, [cp.as_str()]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -Sn 77; exec \"$@\"", "sh"]).arg(bench.get_program());
    shell.args(bench.get_args()).current_dir(env.path(""));
    shell.env("TAR_OPTIONS", "--verbose").env("RSYNC_RSH", "nothing");

    env.run(shell).exits(0);

    let report = fs::read_to_string(report).unwrap();
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines[..2], ["77", "[]"]);
    let ignored = u64::from_str_radix(lines[2].split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(ignored & 1 << (Signal::SIGXFSZ as u32 - 1), 0, "SIGXFSZ is ignored");
}

// ---- signals ---------------------------------------------------------------------------------

cells! {
    a_signal_ends_it_and_its_children_and_leaves_nothing,
    sigint => (Signal::SIGINT),
    sigterm => (Signal::SIGTERM),
    sighup => (Signal::SIGHUP),
}
fn a_signal_ends_it_and_its_children_and_leaves_nothing(signal: Signal) {
    let env = Sandbox::new();
    let begun = env.path("begun");
    let lines = format!("mkdir -p \"$DST\"\necho $$ > '{}'\nsleep 50", begun.display());
    let cp = script(&env, "slow", &lines);
    let live = env.launch(with_default_signals(short_command(&env, [cp])));
    let pid = || fs::read_to_string(&begun).unwrap_or_default();
    wait_until("the program runs", || pid().ends_with('\n'));

    live.signal(signal);

    live.end().died_by(signal);
    assert!(!is_alive(pid().trim().parse().unwrap()), "the child still runs");
    assert_clean(&env);
}

#[test]
fn a_signal_while_the_tree_is_made_leaves_nothing() {
    let env = Sandbox::new();
    let live = env.launch(short_command(&env, ["--tree=empty"]));
    let made = || fs::read_dir(env.path("work")).is_ok_and(|mut work| work.next().is_some());
    wait_until("it has begun", made);

    live.signal(Signal::SIGTERM);

    live.end().died_by(Signal::SIGTERM);
    assert_clean(&env);
}

#[test]
fn a_signal_while_large_files_are_made_or_trees_are_counted_ends_it_soon() {
    for words in [&["--tree=few"][..], &["--tree=empty", "--scale=1000"]] {
        let env = Sandbox::new();
        let live = env.launch(short_command(&env, words));
        let made = || fs::read_dir(env.path("work")).is_ok_and(|mut work| work.next().is_some());
        wait_until("it has begun", made);

        live.signal(Signal::SIGTERM);

        live.end_within(std::time::Duration::from_secs(10)).died_by(Signal::SIGTERM);
        assert_clean(&env);
    }
}

// ---- what is refused -------------------------------------------------------------------------

#[test]
fn what_cannot_succeed_is_refused_before_anything_is_created() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "dir inside"]);
    for (words, message) in [
        (
            &["--against=cp=/no/such/program"][..],
            "pcopy: cannot find 'cp': '/no/such/program' is not an executable file",
        ),
        (&["src-2"], "pcopy: cannot open 'src-2': No such file or directory"),
        (&["src/a"], "pcopy: cannot open 'src/a': Not a directory"),
        (&["src", "--dir=src/inside"], "pcopy: 'src/inside' lies inside 'src'\nhint: "),
        (&["--dir=nowhere"], "pcopy: cannot open 'nowhere': No such file or directory"),
        (&["--json=nowhere/a"], "pcopy: cannot write 'nowhere/a': No such file or directory"),
        (&["--json=src"], "pcopy: cannot write 'src': Is a directory"),
        (&["--chart=b.svg", "--chart=src/a/c.svg"], "pcopy: cannot write 'src/a/c.svg': Not a dir"),
        (&["--tree=big", "--scale=1000"], "pcopy: not enough space in '"),
    ] {
        short(&env, words).exits(3).stderr_has(message).stdout_is("");
        assert_clean(&env);
    }
}

#[test]
fn a_peer_that_is_named_and_not_installed_is_refused() {
    let env = Sandbox::new();
    let mut command = short_command(&env, ["--against=cp,xcp"]);
    command.env("PATH", "/nowhere");

    env.run(command).exits(3).stderr_has("pcopy: cannot find 'cp': not in PATH");
}

#[test]
fn peers_that_are_not_installed_are_skipped_unless_named() {
    let env = Sandbox::new();
    let words = ["bench", "--tree=tiny1", "--runs=1", "--keep=none"];
    let mut command = env.command(words);
    command.env("PATH", "/nowhere");

    stdout_has(env.run(command).exits(0), "\npcopy ran alone\n");
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    let env = Sandbox::new();
    env.tree("src", []);
    for (words, message) in [
        (&["--tree=oak"][..], "unknown tree; the trees are small, wide, "),
        (&["--against=mv"], "unknown program; the programs are cp, rsync, "),
        (&["--runs=0"], "--runs"),
        (&["--scale=0"], "more than 0"),
        (&["--scale=-1"], "more than 0"),
        (&["--scale=nan"], "more than 0"),
        (&["-j0"], "--jobs"),
        (&["--keep=some"], "--keep"),
        (&["--chart=a.gif"], ".svg or .png"),
        (&["--onto=same"], "requires --keep=times or --keep=all"),
        (&["src", "--tree=small"], "--tree"),
    ] {
        short(&env, words).exits(2).stderr_has(message).stdout_is("");
    }
}

#[test]
fn cold_needs_root_and_a_disk() {
    let env = Sandbox::new();
    env.give_to_plain_user();
    let mut command = short_command(&env, ["--cold"]);
    if is_root() {
        let run = env.run(command);
        if run.stdout.is_empty() {
            run.exits(3).stderr_has("is on a file system in memory");
        }
        command = std::process::Command::new(plain_program());
        command.args(["bench", "--cold", "--tree=tiny1"]).current_dir(env.path(""));
        command.uid(65534).gid(65534);
    }

    env.run(command).exits(3).stderr_has("pcopy: --cold: only root can drop the page cache");
}

// ---- the subcommand --------------------------------------------------------------------------

#[test]
fn an_entry_named_bench_is_not_taken_for_the_subcommand() {
    let env = Sandbox::new();
    env.tree("bench", ["file a 1K"]);

    for words in [&["bench"][..], &["bench", "dst"], &["bench", "--runs=1"]] {
        let message = "pcopy: 'bench' is both a subcommand and an entry in the current directory\nhint: write './bench' to copy it";
        env.pcopy(words).exits(3).stderr_has(message).stdout_is("");
    }
    env.pcopy(["./bench", "dst"]).exits(0);
    env.assert_same("bench", "dst");
    env.pcopy(["-T", "bench", "dst-2"]).exits(0);
    env.assert_same("bench", "dst-2");
}

#[test]
fn as_cp_there_is_no_such_subcommand() {
    let env = Sandbox::new();
    env.tree("", ["text bench words"]);

    env.cp(["bench", "dst"]).exits(0);

    assert_eq!(fs::read(env.path("dst")).unwrap(), b"words");
}

#[test]
fn help_names_the_subcommand() {
    let env = Sandbox::new();
    stdout_has(env.pcopy(["--help"]).exits(0), "pcopy bench --help");
    let run = env.pcopy(["bench", "--help"]);
    run.exits(0);
    for text in [
        "Usage: pcopy bench [OPTIONS] [SRC]",
        "--tree",
        "--against",
        "--onto",
        "--json",
        "--chart",
        "skewed",
        "Exit codes:",
    ] {
        stdout_has(&run, text);
    }
}

// ---- onto an existing copy -------------------------------------------------------------------

#[test]
fn a_second_run_over_a_complete_copy_is_measured_for_programs_that_skip() {
    let env = Sandbox::new();
    let run = short(&env, ["--onto=same", "--keep=times,all", "--runs=2"]);

    run.exits(0);
    stdout_has(&run, ", onto a complete copy, 2 runs; ");
    stdout_has(&run, "\ncp -a -u ");
    assert_clean(&env);
}

#[test]
fn a_run_over_an_older_copy_makes_it_new() {
    let env = Sandbox::new();
    short(&env, ["--onto=different", "--keep=none,times,all"]).exits(0);
    assert_clean(&env);

    // A program that leaves the old files is detected.
    let cp = script(&env, "idle", "true");
    let run = short(&env, [cp.as_str(), "--onto=different"]);

    run.exits(1);
    stdout_has(&run, "wrong: 5 entries differ: first 'file-");
}

#[test]
fn files_without_write_permission_are_changed_too() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file b 0", "file c 1K"]);
    for name in ["a", "b", "c"] {
        chmod(&env.path("src").join(name), 0o444);
    }
    let cp = script(&env, "forceful", "cp -f \"$@\"");
    let words = [cp.as_str(), "--onto=different", "--keep=none,times", "src"];

    let run = env.run(as_plain_user(&env, short_command(&env, words)));

    run.exits(0);
    assert_clean(&env);
}

#[test]
fn of_files_with_several_names_every_second_one_is_changed() {
    let env = Sandbox::new();
    let cp = script(&env, "idle", "true");
    let words = [cp.as_str(), "--onto=different", "--tree=links", "--scale=0.00035"];

    let run = short(&env, words);

    run.exits(1);
    // 4 of 7 files, by each of their three names.
    stdout_has(&run, "wrong: 12 entries differ: first '");
}

#[test]
fn every_installed_peer_makes_right_copies() {
    let env = Sandbox::new();
    env.tree("work", []);
    // cpz cannot replace symlinks, and fails.
    for (onto, trees) in [("new", "source,links,skewed"), ("different", "links,skewed")] {
        let tree = format!("--tree={trees}");
        let words = ["bench", "--dir=work", "--runs=1", "--scale=0.003", &tree, "--onto", onto];
        env.pcopy(words.iter().chain(&["--keep=none,times,all"])).exits(0);
    }
    assert_clean(&env);
}
