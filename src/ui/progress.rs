//! Draws the progress line.

use super::numbers;
use crate::ipc::memory::counters::Count;
use crate::parent::position::{Position, weight};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use pcopy_sys::terminal_size;
use std::io::{self, IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// The number of steps from 0 % to 100 %.
const STEPS: u64 = 1000;

/// The highest number of draws per second. The parent's poll loop wakes half as often, so the loop sets the
/// actual rate.
const DRAWS_PER_SECOND: u8 = 20;

/// The width of the bar, and the narrowest terminal in which the bar is drawn, in columns.
const BAR_COLUMNS: usize = 20;
const BAR_FROM_WIDTH: usize = 60;

/// The width of the progress line if standard error is not a terminal, in columns.
const WIDTH: u16 = 80;

/// The progress line on standard error.
pub(super) struct ProgressLine {
    bar: ProgressBar,
    highest: u64,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::term_like_with_hz(Box::new(PlainLines::new()), DRAWS_PER_SECOND)
        };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        let style = ProgressStyle::with_template("{wide_msg}");
        bar.set_style(style.expect("the template is a constant"));
        Self { bar, highest: 0 }
    }

    /// Shows the progress of the run and `name`, the entry that is being copied.
    ///
    /// The whole line is one message, because `indicatif` draws the line again for each part that is set.
    pub(super) fn update(&mut self, position: &Position, name: &str) {
        let width = usize::from(terminal_size::width(stderr()).unwrap_or(WIDTH));
        let mut text = String::new();
        if position.work.complete {
            // A further round counts the same entries again. The percentage still never decreases.
            self.highest = self.highest.max(steps(position));
            text = format!("{:>3}% ", self.highest / (STEPS / 100));
            if width >= BAR_FROM_WIDTH {
                text.push_str(&bar(self.highest));
            }
        }
        text.push_str(&describe(position, self.highest));
        text.push_str("  ");
        let columns = width.saturating_sub(text.chars().count() + 1);
        text.push_str(&shorten(name, columns));
        self.bar.set_message(text);
    }

    /// Removes the line from the terminal, runs `write`, and draws the line again.
    pub(super) fn hide_while(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Draws the line again after another program or message has written to the terminal.
    pub(super) fn redraw(&self) {
        self.bar.suspend(|| {});
    }

    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// Returns how many of [`STEPS`] are done.
fn steps(position: &Position) -> u64 {
    let times = if position.reads_back { 2 } else { 1 };
    let work = position.work;
    let whole = weight(work.entries, work.bytes.saturating_mul(times)).max(1);
    u64::try_from(done_weight(position).min(whole) * u128::from(STEPS) / whole).unwrap_or(STEPS)
}

fn done_weight(position: &Position) -> u128 {
    let sum = |counts: &[Count]| {
        counts.iter().fold(0_u64, |sum, &count| sum.wrapping_add(position.totals.get(count)))
    };
    let mut bytes = sum(&[Count::Bytes, Count::BytesSkipped]);
    if position.reads_back {
        bytes = bytes.wrapping_add(sum(&[Count::BytesReadBack, Count::BytesSkipped]));
    }
    weight(position.totals.settled(), bytes)
}

fn describe(position: &Position, steps: u64) -> String {
    let Position { totals, work, .. } = position;
    let settled = numbers::count(totals.settled());
    let mut bytes = numbers::bytes(totals.get(Count::Bytes));
    let read_back = totals.get(Count::BytesReadBack);
    if read_back > 0 {
        bytes += &format!(", {} read back", numbers::bytes(read_back));
    }
    let moved = totals.get(Count::Bytes).wrapping_add(read_back);
    let rate = numbers::rate(totals.settled(), moved, position.elapsed);
    if !work.complete {
        let known = numbers::count(work.entries.max(totals.get(Count::Found)));
        return format!("{settled} of {known} and counting, {bytes}, {rate}");
    }
    let known = numbers::count(work.entries);
    format!("{settled} of {known}, {bytes}, {rate}{}", time_left(position.elapsed, steps))
}

/// Formats the estimated time left. Returns an empty text in the first hundredth of the run.
fn time_left(elapsed: Duration, steps: u64) -> String {
    if steps < STEPS / 100 {
        return String::new();
    }
    let left = elapsed.as_secs_f64() * (STEPS - steps) as f64 / steps as f64;
    Duration::try_from_secs_f64(left)
        .map_or(String::new(), |left| format!(", {} left", numbers::clock(left)))
}

/// Draws the bar: `[=====>   ] `, with 20 columns between the brackets.
fn bar(steps: u64) -> String {
    let filled = usize::try_from(steps * BAR_COLUMNS as u64 / STEPS).unwrap_or(0);
    let head = if filled < BAR_COLUMNS { ">" } else { "" };
    format!("[{:<BAR_COLUMNS$}] ", "=".repeat(filled) + head)
}

/// Shortens `name` to at most `columns` characters. Keeps the end, which identifies a file better than the
/// beginning.
fn shorten(name: &str, columns: usize) -> String {
    let length = name.chars().count();
    if length <= columns {
        return name.to_owned();
    }
    const CUT: &str = "..."; // ASCII, for locales without UTF-8
    let tail: String = name.chars().skip(length - columns.saturating_sub(CUT.len())).collect();
    if columns < 8 { String::new() } else { format!("{CUT}{tail}") }
}

/// The place of the progress line if standard error is not a terminal (`--progress=always`). Writes at most
/// one line per second, each ended by a line feed.
#[derive(Debug)]
struct PlainLines {
    last: std::sync::Mutex<(String, Option<Instant>)>,
}

impl PlainLines {
    fn new() -> Self {
        Self { last: std::sync::Mutex::new((String::new(), None)) }
    }
}

impl TermLike for PlainLines {
    fn width(&self) -> u16 {
        WIDTH
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if let Ok(mut last) = self.last.lock() {
            last.0.push_str(text);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        if let Ok(mut last) = self.last.lock() {
            last.0.clear();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let Ok(mut last) = self.last.lock() else { return Ok(()) };
        let text = last.0.trim_end().to_owned();
        last.0.clear();
        if text.is_empty() || last.1.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
            return Ok(());
        }
        last.1 = Some(Instant::now());
        writeln!(stderr(), "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::counters::Totals;
    use crate::ipc::memory::forecast::Work;

    fn position(done: (u64, u64), work: (u64, u64)) -> Position {
        let mut totals = Totals::default();
        totals.set(Count::Copied, done.0);
        totals.set(Count::Bytes, done.1);
        let work = Work { entries: work.0, bytes: work.1, complete: true, ..Work::default() };
        Position { totals, work, elapsed: Duration::from_secs(2), reads_back: false }
    }

    #[test]
    fn with_verify_the_run_is_half_done_when_all_is_copied() {
        let mut position = Position { reads_back: true, ..position((0, 1 << 30), (0, 1 << 30)) };
        assert_eq!(steps(&position), STEPS / 2);
        position.totals.set(Count::BytesReadBack, 1 << 29);
        assert_eq!(steps(&position), STEPS * 3 / 4);
        position.totals.set(Count::BytesReadBack, 1 << 30);
        assert_eq!(steps(&position), STEPS);
    }

    #[test]
    fn bytes_that_are_not_written_are_not_read_back() {
        let mut position = Position { reads_back: true, ..position((0, 1 << 29), (0, 1 << 30)) };
        position.totals.set(Count::BytesSkipped, 1 << 29);
        assert_eq!(steps(&position), STEPS * 3 / 4);
    }

    #[test]
    fn one_hundred_percent_means_everything_is_done() {
        assert_eq!(steps(&position((99_999, 0), (100_000, 0))), STEPS - 1);
        assert_eq!(steps(&position((100_000, 0), (100_000, 0))), STEPS);
        assert_eq!(steps(&position((0, 0), (0, 0))), 0);
        assert_eq!(steps(&position((1, 1 << 50), (1, (1 << 50) + 1))), STEPS - 1);
    }

    #[test]
    fn more_entries_than_were_counted_ahead_are_one_hundred_percent() {
        assert_eq!(steps(&position((200, 0), (100, 0))), STEPS);
    }

    #[test]
    fn a_long_name_is_shortened_at_its_beginning() {
        assert_eq!(shorten("src/a/long/way/to/file.rs", 12), "...o/file.rs");
        assert_eq!(shorten("short", 12), "short");
        assert_eq!(shorten("no room at all", 3), "");
    }
}
