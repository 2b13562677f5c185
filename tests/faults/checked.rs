//! The checker is checked: each thing that may be wrong after a run is done here, and must be found.

use crate::checker::{Excuse, wrongs};
use crate::ending::{Ending, finish, run};
use crate::world::{Line, PLAIN, World};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// A run that nothing was done to, and how it ended.
fn undisturbed(line: Line) -> (World, Ending) {
    let world = World::new(line);
    let ending = run(world.command(&[], 2));
    (world, ending)
}

/// Fails unless the checker says this.
#[track_caller]
fn is_found(world: &World, ending: &Ending, what: &str) {
    let said = wrongs(world, ending, Excuse::default());
    assert!(said.contains(what), "{what:?} was not found: {said:?}");
}

#[test]
fn nothing_is_found_where_nothing_was_done() {
    let (world, ending) = undisturbed(PLAIN);

    assert_eq!(wrongs(&world, &ending, Excuse::default()), "");
}

#[test]
fn a_source_that_was_touched_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::set_permissions(world.env.path("src/empty"), fs::metadata("/").unwrap().permissions())
        .unwrap();

    is_found(&world, &ending, "the source was touched: [\"\\\"empty");
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
fn numbers_that_do_not_add_up_are_found() {
    let (world, ending) = undisturbed(PLAIN);
    let stderr = ending.stderr.replacen("copied 1", "copied 2", 1);
    assert_ne!(stderr, ending.stderr);

    is_found(&world, &Ending { stderr, ..ending }, "of 17 entries, with code 0: copied 2");
}

#[test]
fn a_code_that_means_something_else_is_found() {
    for (code, what) in [
        (1, "it does not say why it left with 1"),
        (2, "2 is no code for this"),
        (3, "it was refused, and something was touched"),
        (11, "it does not say why it left with 11"),
        (24, "it does not say why it left with 24"),
    ] {
        let (world, ending) = undisturbed(PLAIN);
        let status = Some(ExitStatus::from_raw(code << 8));

        is_found(&world, &Ending { status, ..ending }, what);
    }
}

#[test]
fn a_signal_that_nobody_has_sent_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    let status = Some(ExitStatus::from_raw(libc::SIGSEGV));

    is_found(&world, &Ending { status, ..ending }, "no signal was to end it");
}

#[test]
fn a_panic_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    let stderr = format!("thread 'main' panicked at src:\n{}", ending.stderr);

    is_found(&world, &Ending { stderr, ..ending }, "it panicked");
}

#[test]
fn a_file_that_is_missing_or_other_than_its_source_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::remove_file(world.env.path("dst/empty")).unwrap();
    fs::write(world.env.path("dst/buffered"), "half").unwrap();

    let said = wrongs(&world, &ending, Excuse::default());

    assert!(said.contains("\"empty\" is missing"), "{said}");
    assert!(said.contains("\"buffered\": "), "{said}");
}

#[test]
fn a_half_file_is_found_after_a_run_that_was_cut_off() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("dst/buffered"), "half").unwrap();
    let status = Some(ExitStatus::from_raw(libc::SIGKILL));
    let excuse = Excuse { signals: &[libc::SIGKILL], half: true, ..Excuse::default() };

    let said = wrongs(&world, &Ending { status, ..ending }, excuse);

    assert!(said.contains("\"buffered\" is neither old nor new"), "{said}");
}

#[test]
fn an_old_file_that_is_gone_is_found_after_a_run_that_was_cut_off() {
    let line = Line { stands: true, ..PLAIN };
    let (world, ending) = undisturbed(line);
    fs::remove_file(world.env.path("dst/small")).unwrap();
    let status = Some(ExitStatus::from_raw(libc::SIGKILL));
    let excuse = Excuse { signals: &[libc::SIGKILL], half: true, ..Excuse::default() };

    let said = wrongs(&world, &Ending { status, ..ending }, excuse);

    assert!(said.contains("\"small\", which stood there, has gone"), "{said}");
}

#[test]
fn a_file_that_failed_without_a_word_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::remove_file(world.env.path("dst/empty")).unwrap();
    let status = Some(ExitStatus::from_raw(1 << 8));
    let stderr = format!("pcopy: cannot read 'src/small'\n{}", ending.stderr);

    is_found(&world, &Ending { status, stderr, ..ending }, "\"empty\" is missing without a word");
}

#[test]
fn links_that_have_become_files_are_found() {
    let (world, ending) = undisturbed(PLAIN);
    let (name, fresh) = (world.env.path("dst/small"), world.env.path("dst/fresh"));
    fs::copy(&name, &fresh).unwrap();
    fs::rename(fresh, name).unwrap();

    is_found(&world, &ending, "small and d/e/small-too are not one file");
}

#[test]
fn what_is_left_under_a_temporary_name_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("dst/d/.two.pcopy-partial"), "half").unwrap();

    is_found(&world, &ending, "the second run left");
}

#[test]
fn a_stranger_beside_the_trees_is_found() {
    let (world, ending) = undisturbed(PLAIN);
    fs::write(world.env.path("stranger"), "").unwrap();

    is_found(&world, &ending, "beside the trees there is");
}

#[test]
fn a_users_file_that_is_gone_and_a_backup_that_was_not_made_are_found() {
    let line = crate::world::LINES.into_iter().find(Line::backs_up).unwrap();
    let (world, ending) = undisturbed(line);
    fs::remove_file(world.env.path("dst/kept")).unwrap();
    fs::copy(world.env.path("dst/d/mid"), world.env.path("dst/d/mid~")).unwrap();

    let said = wrongs(&world, &ending, Excuse::default());

    assert!(said.contains("\"kept\", which is the user's, is gone"), "{said}");
    assert!(said.contains("of \"d/mid\" there is no backup"), "{said}");
}
