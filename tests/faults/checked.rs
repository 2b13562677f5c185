//! Tests of the checker: each failure that it must find is made here once.

use crate::checker::{Excuse, wrongs};
use crate::ending::{Ending, finish, run};
use crate::world::{Line, PLAIN, World};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Runs a line without faults. Returns the world and how the run ended.
fn undisturbed(line: Line) -> (World, Ending) {
    let world = World::new(line);
    let ending = run(world.command(&[], 2));
    (world, ending)
}

/// Fails unless the checker reports `what`.
#[track_caller]
fn is_found(world: &World, ending: &Ending, what: &str) {
    let report = wrongs(world, ending, Excuse::default());
    assert!(report.contains(what), "{what:?} was not found: {report:?}");
}

#[test]
fn nothing_is_found_where_nothing_was_done() {
    let (world, ending) = undisturbed(PLAIN);

    assert_eq!(wrongs(&world, &ending, Excuse::default()), "");
}

#[test]
fn a_source_that_was_changed_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::set_permissions(world.env.path("src/empty"), fs::metadata("/").unwrap().permissions())
        .unwrap();

    is_found(&world, &ending, "the source was changed: [\"\\\"empty");
}

#[test]
fn a_process_that_is_left_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    let mut leaver = Command::new("sh");
    leaver.args(["-c", "sleep 60 &"]).process_group(0);
    let left = finish(leaver.spawn().unwrap()).left;

    is_found(&world, &Ending { left, ..ending }, "processes were left");
}

#[test]
fn counts_that_do_not_add_up_are_found() {
    let (world, ending) = undisturbed(PLAIN);
    let stderr = ending.stderr.replacen("copied 1", "copied 2", 1);
    assert_ne!(stderr, ending.stderr);

    is_found(&world, &Ending { stderr, ..ending }, "of 17 entries, with code 0: copied 2");
}

#[test]
fn a_code_that_means_something_else_is_found() {
    for (code, what) in [
        (1, "no message explains exit code 1"),
        (2, "exit code 2 is not allowed here"),
        (3, "it was refused, and something was changed"),
        (11, "no message explains exit code 11"),
        (24, "no message explains exit code 24"),
    ] {
        let (world, ending) = undisturbed(PLAIN);
        let status = Some(ExitStatus::from_raw(code << 8));

        is_found(&world, &Ending { status, ..ending }, what);
    }
}

#[test]
fn a_signal_that_was_not_sent_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    let status = Some(ExitStatus::from_raw(libc::SIGSEGV));

    is_found(&world, &Ending { status, ..ending }, "an unexpected signal ended it");
}

#[test]
fn a_panic_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    let stderr = format!("thread 'main' panicked at src:\n{}", ending.stderr);

    is_found(&world, &Ending { stderr, ..ending }, "it panicked");
}

#[test]
fn a_file_that_is_missing_or_differs_from_its_source_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::remove_file(world.env.path("dst/empty")).unwrap();
    fs::write(world.env.path("dst/buffered"), "half").unwrap();

    let report = wrongs(&world, &ending, Excuse::default());

    assert!(report.contains("\"empty\" is missing"), "{report}");
    assert!(report.contains("\"buffered\": "), "{report}");
}

#[test]
fn a_half_file_is_found_after_a_run_that_was_cut_off() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("dst/buffered"), "half").unwrap();
    let status = Some(ExitStatus::from_raw(libc::SIGKILL));
    let excuse = Excuse { signals: &[libc::SIGKILL], half: true, ..Excuse::default() };

    let report = wrongs(&world, &Ending { status, ..ending }, excuse);

    assert!(report.contains("\"buffered\" is neither old nor new"), "{report}");
}

#[test]
fn an_old_file_that_is_gone_is_found_after_a_run_that_was_cut_off() {
    let line = Line { target_exists: true, ..PLAIN };
    let (world, ending) = undisturbed(line);
    fs::remove_file(world.env.path("dst/small")).unwrap();
    let status = Some(ExitStatus::from_raw(libc::SIGKILL));
    let excuse = Excuse { signals: &[libc::SIGKILL], half: true, ..Excuse::default() };

    let report = wrongs(&world, &Ending { status, ..ending }, excuse);

    assert!(report.contains("\"small\", which existed, is gone"), "{report}");
}

#[test]
fn an_unreported_failure_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::remove_file(world.env.path("dst/empty")).unwrap();
    let status = Some(ExitStatus::from_raw(1 << 8));
    let stderr = format!("pcopy: cannot read 'src/small'\n{}", ending.stderr);

    is_found(&world, &Ending { status, stderr, ..ending }, "\"empty\" is missing and not reported");
}

#[test]
fn hard_links_that_became_files_are_found() {
    let (world, ending) = undisturbed(PLAIN);
    let (name, fresh) = (world.env.path("dst/small"), world.env.path("dst/fresh"));
    fs::copy(&name, &fresh).unwrap();
    fs::rename(fresh, name).unwrap();

    is_found(&world, &ending, "small and d/e/small-too are not hard links");
}

#[test]
fn staged_names_that_are_left_are_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("dst/d/.two.pcopy-partial"), "half").unwrap();

    is_found(&world, &ending, "the second run left");
}

#[test]
fn a_stray_entry_beside_the_trees_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("stray"), "").unwrap();

    is_found(&world, &ending, "stray entries beside the trees");
}

#[test]
fn a_users_file_that_is_gone_and_a_backup_that_was_not_made_are_found() {
    let line = crate::world::LINES.into_iter().find(Line::backs_up).unwrap();
    let (world, ending) = undisturbed(line);
    fs::remove_file(world.env.path("dst/extraneous")).unwrap();
    fs::copy(world.env.path("dst/d/mid"), world.env.path("dst/d/mid~")).unwrap();

    let report = wrongs(&world, &ending, Excuse::default());

    assert!(report.contains("\"extraneous\", which is the user's, is gone"), "{report}");
    assert!(report.contains("\"d/mid\" has no backup"), "{report}");
}
