//! Signals to a run that may fork no process, so that the parent copies.

use crate::common::live::{count_entries, with_default_signals};
use crate::common::*;
use crate::limited::alone;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

cells! {
    a_signal_ends_the_parent_while_it_copies_and_a_rerun_resumes,
    sent_once => false,
    sent_twice_as_by_timeout => true,
}
fn a_signal_ends_the_parent_while_it_copies_and_a_rerun_resumes(is_sent_twice: bool) {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 20_000, 0);
    let live = env.launch(with_default_signals(alone(&env, None, &["src", "dst"])));
    // The rerun counts files as skipped, not directories, and there are 200 directories.
    wait_until("it copies files", || count_entries(&env.path(".dst.pcopy-partial")) > 300);

    live.signal(Signal::SIGTERM);
    if is_sent_twice {
        live.signal_all(Signal::SIGTERM);
    }

    live.end().died_by(Signal::SIGTERM).stderr_has("interrupted after");
    env.run(alone(&env, None, &["--progress=always", "src", "dst"])).exits(0).stderr_has("skipped");
    env.assert_same("src", "dst");
}

#[test]
fn a_signal_ends_the_parent_in_a_call_that_blocks() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    env.tree("", ["fifo pipe"]);
    let line = ["-r", "--copy-contents", "pipe", "copy"];
    let live = env.launch(with_default_signals(alone(&env, Some("cp"), &line)));
    wait_until("it waits for a writer", || live::state(live.pid()) == Some('S'));
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();

    live.signal(Signal::SIGINT);

    live.end().died_by(Signal::SIGINT);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
