//! The progress line.

use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::memory::forecast::Work;
use crate::numbers;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use pcopy_sys::terminal;
use std::io::{self, IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// What an entry weighs beside its bytes: making a small file takes as long as copying this many.
const ENTRY_WEIGHT: u128 = 20_000;

/// Steps of the bar.
const STEPS: u64 = 1000;

/// How often the line is drawn at most: twice the beat of the loop, which decides.
const DRAWS_PER_SECOND: u8 = 20;

/// The bar, and the narrowest window that it is drawn in, in columns.
const BAR_COLUMNS: usize = 20;
const BAR_FROM_WIDTH: usize = 60;

/// Where standard error has no size, lines are this wide, in columns.
const WIDTH: u16 = 80;

/// The line, on standard error.
pub(super) struct Line {
    bar: ProgressBar,
    highest: u64,
}

/// How far a run has come.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) totals: Totals,
    pub(super) work: Work,
    pub(super) elapsed: Duration,
    /// Whether all that is written is read once more: then half of the way is behind it when all is
    /// copied.
    pub(super) reads_back: bool,
}

impl Line {
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

    /// Shows how far the run has come, and the name that is in hand.
    ///
    /// All of it is one message, because each part that is set draws the line once more.
    pub(super) fn update(&mut self, position: &Position, name: &str) {
        let width = usize::from(terminal::width(stderr()).unwrap_or(WIDTH));
        let mut text = String::new();
        if position.work.complete {
            // A second round finds its entries anew; what was shown is not taken back.
            self.highest = self.highest.max(position.steps());
            text = format!("{:>3}% ", self.highest / (STEPS / 100));
            if width >= BAR_FROM_WIDTH {
                text.push_str(&bar(self.highest));
            }
        }
        text.push_str(&position.describe(self.highest));
        text.push_str("  ");
        let room = width.saturating_sub(text.chars().count() + 1);
        text.push_str(&shorten(name, room));
        self.bar.set_message(text);
    }

    /// Runs `write` while the line is off the screen.
    pub(super) fn hide_while(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Draws the line again, after something else was on the screen.
    pub(super) fn redraw(&self) {
        self.bar.suspend(|| {});
    }

    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

impl Position {
    fn steps(&self) -> u64 {
        let times = if self.reads_back { 2 } else { 1 };
        let whole = weight(self.work.entries, self.work.bytes.saturating_mul(times)).max(1);
        u64::try_from(self.done_weight().min(whole) * u128::from(STEPS) / whole).unwrap_or(STEPS)
    }

    fn done_weight(&self) -> u128 {
        let sum = |counts: &[Count]| {
            counts.iter().fold(0_u64, |sum, &count| sum.wrapping_add(self.totals.get(count)))
        };
        let mut bytes = sum(&[Count::Bytes, Count::BytesSpared]);
        if self.reads_back {
            bytes = bytes.wrapping_add(sum(&[Count::BytesReadBack, Count::BytesSpared]));
        }
        weight(self.totals.settled(), bytes)
    }

    fn describe(&self, steps: u64) -> String {
        let settled = numbers::count(self.totals.settled());
        let mut bytes = numbers::bytes(self.totals.get(Count::Bytes));
        let read_back = self.totals.get(Count::BytesReadBack);
        if read_back > 0 {
            bytes += &format!(", {} read back", numbers::bytes(read_back));
        }
        let rate = self.rate();
        if !self.work.complete {
            let known = numbers::count(self.work.entries.max(self.totals.get(Count::Found)));
            return format!("{settled} of {known} and counting, {bytes}, {rate}");
        }
        let known = numbers::count(self.work.entries);
        format!("{settled} of {known}, {bytes}, {rate}{}", self.left(steps))
    }

    fn rate(&self) -> String {
        let read_back = self.totals.get(Count::BytesReadBack);
        let bytes = self.totals.get(Count::Bytes).wrapping_add(read_back);
        numbers::rate(self.totals.settled(), bytes, self.elapsed)
    }

    fn left(&self, steps: u64) -> String {
        if steps < STEPS / 100 {
            return String::new(); // too early to say
        }
        let left = self.elapsed.as_secs_f64() * (STEPS - steps) as f64 / steps as f64;
        Duration::try_from_secs_f64(left)
            .map_or(String::new(), |left| format!(", {} left", numbers::clock(left)))
    }
}

/// `[=====>   ] `, 20 columns between the brackets.
fn bar(steps: u64) -> String {
    let filled = usize::try_from(steps * BAR_COLUMNS as u64 / STEPS).unwrap_or(0);
    let head = if filled < BAR_COLUMNS { ">" } else { "" };
    format!("[{:<BAR_COLUMNS$}] ", "=".repeat(filled) + head)
}

/// What so many entries and bytes weigh together, in bytes.
pub(super) fn weight(entries: u64, bytes: u64) -> u128 {
    u128::from(entries) * ENTRY_WEIGHT + u128::from(bytes)
}

/// The end of `name`, which tells more than its beginning, in at most `room` characters.
fn shorten(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(length - room.saturating_sub(1)).collect();
    if room < 8 { String::new() } else { format!("…{tail}") }
}

/// `--progress=always` into a file or pipe: a line of its own for each state, once a second.
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

    fn position(done: (u64, u64), work: (u64, u64)) -> Position {
        let mut totals = Totals::default();
        totals.set(Count::Copied, done.0);
        totals.set(Count::Bytes, done.1);
        let work = Work { entries: work.0, bytes: work.1, complete: true, ..Work::default() };
        Position { totals, work, elapsed: Duration::from_secs(2), reads_back: false }
    }

    #[test]
    fn half_of_the_way_is_left_when_all_is_to_be_read_back() {
        let mut position = Position { reads_back: true, ..position((0, 1 << 30), (0, 1 << 30)) };
        assert_eq!(position.steps(), STEPS / 2);
        position.totals.set(Count::BytesReadBack, 1 << 29);
        assert_eq!(position.steps(), STEPS * 3 / 4);
        position.totals.set(Count::BytesReadBack, 1 << 30);
        assert_eq!(position.steps(), STEPS);
    }

    #[test]
    fn what_need_not_be_written_need_not_be_read_back() {
        let mut position = Position { reads_back: true, ..position((0, 1 << 29), (0, 1 << 30)) };
        position.totals.set(Count::BytesSpared, 1 << 29);
        assert_eq!(position.steps(), STEPS * 3 / 4);
    }

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(position((99_999, 0), (100_000, 0)).steps(), STEPS - 1);
        assert_eq!(position((100_000, 0), (100_000, 0)).steps(), STEPS);
        assert_eq!(position((0, 0), (0, 0)).steps(), 0);
        assert_eq!(position((1, 1 << 50), (1, (1 << 50) + 1)).steps(), STEPS - 1);
    }

    #[test]
    fn more_than_the_scout_saw_is_still_a_hundred() {
        assert_eq!(position((200, 0), (100, 0)).steps(), STEPS);
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(shorten("src/a/long/way/to/file.rs", 12), "…/to/file.rs");
        assert_eq!(shorten("short", 12), "short");
        assert_eq!(shorten("no room at all", 3), "");
    }
}
