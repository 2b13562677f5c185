//! Runs many cases in parallel, and reports all failures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The largest number of failures that are printed.
const SHOWN_MAX: usize = 40;

/// Runs the cases on all CPUs until the time limit. If any fails, fails with a report.
///
/// `one` returns what is wrong with a case, and whether the case counts. `all` returns how many cases ran,
/// and how many of them count.
#[track_caller]
pub(crate) fn all<C: Sync>(
    what: &str,
    cases: &[C],
    limit: Duration,
    one: impl Fn(&C) -> (String, bool) + Sync,
) -> (usize, usize) {
    let (next, counted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrongs = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    if begun.elapsed() > limit {
                        next.fetch_sub(1, Relaxed);
                        break;
                    }
                    let (wrong, counts) = one(case);
                    counted.fetch_add(usize::from(counts), Relaxed);
                    if !wrong.is_empty() {
                        wrongs.lock().unwrap().push(cut(&wrong));
                    }
                }
            });
        }
    });
    let (done, counted) = (next.into_inner().min(cases.len()), counted.into_inner());
    let wrongs = wrongs.into_inner().unwrap();
    eprintln!(
        "{what}: {done} of {} cases, {counted} of them hit, {:?}",
        cases.len(),
        begun.elapsed()
    );
    let shown =
        wrongs.iter().take(SHOWN_MAX).fold(String::new(), |all, wrong| all + "\n---\n" + wrong);
    assert!(wrongs.is_empty(), "{} of {done} cases are wrong:{shown}", wrongs.len());
    (done, counted)
}

/// Returns the first lines of a failure.
fn cut(wrong: &str) -> String {
    wrong.lines().take(45).collect::<Vec<_>>().join("\n")
}
