//! Draws the progress line.
//!
//! If the terminal is too narrow for all fields, whole fields are left out, the least important ones first; a part of
//! a number would be a wrong number. Only the name is shortened.

use super::numbers;
use super::pace::Pace;
use crate::ipc::memory::counters::Count;
use crate::parent::position::Position;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use pcopy_sys::terminal_size;
use std::io::{self, IsTerminal, Write, stderr};
use std::time::{Duration, Instant};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The number of steps from 0 % to 100 %.
const STEPS: u64 = 1000;

/// The highest number of draws per second. The parent's poll loop wakes half as often, so the loop sets the
/// actual rate.
const DRAWS_PER_SECOND: u8 = 20;

/// The width of the bar, and of the name for which there must be room beside it, in columns.
const BAR_COLUMNS: usize = 20;
const NAME_BESIDE_BAR: usize = 16;

/// A name that would have to be shorter is left out.
const NAME_MIN: usize = 8;

/// The width of the progress line if standard error is not a terminal, in columns.
const WIDTH: u16 = 80;

/// What the run is doing, for the progress line.
#[derive(Clone, Copy)]
pub(super) enum Doing<'a> {
    /// It works on the entry with this name, or on none.
    Entry(&'a str),
    /// It waits until written data is on stable storage.
    Flushing,
    /// It has printed more than was read, and waits before it prints more.
    Printing(&'a str),
}

/// The progress line on standard error.
pub(super) struct ProgressLine {
    bar: ProgressBar,
    fields: Fields,
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
        Self { bar, fields: Fields::default() }
    }

    /// Shows the progress of the run.
    ///
    /// The whole line is one message, because `indicatif` draws the line again for each part that is set.
    pub(super) fn update(&mut self, position: &Position, doing: Doing<'_>) {
        let width = usize::from(terminal_size::width(stderr()).unwrap_or(WIDTH));
        self.bar.set_message(self.fields.line(position, doing, width));
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

/// The contents of the line.
#[derive(Default)]
struct Fields {
    /// The highest number of steps that was shown.
    highest: u64,
    pace: Pace,
}

impl Fields {
    /// Returns the line for a terminal of `width` columns. It is at least one column shorter, because some terminals
    /// begin a new row after the last column.
    fn line(&mut self, position: &Position, doing: Doing<'_>, width: usize) -> String {
        self.pace.note(position);
        let complete = position.work.complete;
        if complete {
            // A further round counts the same entries again. The percentage still never decreases.
            self.highest = self.highest.max(steps(position));
        }
        let percent = complete.then(|| format!("{:>3}%", self.highest / (STEPS / 100)));
        let work = if complete { (position.work.entries, position.work.bytes) } else { (0, 0) };
        let rate = self.pace.rate(work);
        let left = self.time_left(position, doing);
        let mut line = percent.filter(|percent| percent.width() < width).unwrap_or_default();
        let fields = [Some(count(position)), bytes(position), rate, left];
        let rest = fitting(fields, width.saturating_sub(line.width() + 2)).join(SEPARATOR);
        let room = width.saturating_sub(line.width() + rest.width() + 2);
        let bar = bar(self.highest);
        if complete && room >= bar.len() + NAME_BESIDE_BAR {
            line.push_str(&bar);
        }
        let gap = if line.is_empty() || rest.is_empty() { "" } else { " " };
        line.push_str(gap);
        line.push_str(&rest);
        if let Doing::Entry(name) | Doing::Printing(name) = doing {
            let room = width.saturating_sub(line.width() + "  ".len() + 1);
            let name = shorten(name, room);
            if !name.is_empty() {
                line.push_str("  ");
                line.push_str(&name);
            }
        }
        line
    }

    /// Returns the estimated time left, or what keeps it from being estimated; `None` in the first hundredth of the
    /// run.
    fn time_left(&self, position: &Position, doing: Doing<'_>) -> Option<String> {
        if matches!(doing, Doing::Flushing) {
            return Some("flushing to stable storage".to_owned());
        }
        if let Some(time) = self.pace.stalled() {
            return Some(match doing {
                Doing::Printing(_) => "waiting for the reader of the output".to_owned(),
                _ => format!("no progress for {}", numbers::clock(time)),
            });
        }
        if !position.work.complete {
            return Some("counting".to_owned());
        }
        let left = position.whole_weight() - position.done_weight();
        let time = self.pace.time_for(left).filter(|_| self.highest >= STEPS / 100)?;
        Some(format!("{} left", numbers::clock(time)))
    }
}

const SEPARATOR: &str = ", ";

/// The fields of [`Fields::line`] in the order of their importance: the time left, the count, the bytes, the rate.
const BY_IMPORTANCE: [usize; 4] = [3, 0, 1, 2];

/// Returns the fields that fit into `columns` columns beside those that are more important.
fn fitting(mut fields: [Option<String>; 4], columns: usize) -> Vec<String> {
    let (mut used, mut is_full) = (0, false);
    for number in BY_IMPORTANCE {
        let Some(field) = &fields[number] else { continue };
        let separator = if used == 0 { 0 } else { SEPARATOR.len() };
        used += separator + field.width();
        is_full |= used > columns;
        if is_full {
            fields[number] = None;
        }
    }
    fields.into_iter().flatten().collect()
}

/// Returns how many of [`STEPS`] are done.
fn steps(position: &Position) -> u64 {
    let steps = position.done_weight() * u128::from(STEPS) / position.whole_weight();
    u64::try_from(steps).unwrap_or(STEPS)
}

fn count(position: &Position) -> String {
    let settled = numbers::count(position.totals.settled());
    if position.work.complete {
        format!("{settled} of {}", numbers::count(position.work.entries))
    } else {
        format!("{settled} entries")
    }
}

/// Formats how many bytes are done; `None` if the run has only empty files.
fn bytes(position: &Position) -> Option<String> {
    let get = |count| position.totals.get(count);
    let done = get(Count::Bytes).wrapping_add(get(Count::BytesSkipped));
    let all = position.work.bytes;
    if done.max(all) == 0 {
        return None;
    }
    let mut text = numbers::bytes(done);
    if position.work.complete {
        text += &format!(" of {}", numbers::bytes(all.max(done)));
    }
    let read_back = get(Count::BytesReadBack);
    if read_back > 0 {
        text += &format!(", {} read back", numbers::bytes(read_back));
    }
    Some(text)
}

/// Draws the bar: ` [=====>   ]`, with 20 columns between the brackets.
fn bar(steps: u64) -> String {
    let filled = usize::try_from(steps * BAR_COLUMNS as u64 / STEPS).unwrap_or(0);
    let head = if filled < BAR_COLUMNS { ">" } else { "" };
    format!(" [{:<BAR_COLUMNS$}]", "=".repeat(filled) + head)
}

/// Shortens `name` to at most `columns` columns. Keeps the end, which identifies a file better than the beginning.
fn shorten(name: &str, columns: usize) -> String {
    if name.width() <= columns {
        return name.to_owned();
    }
    const CUT: &str = "..."; // ASCII, for locales without UTF-8
    if columns < NAME_MIN {
        return String::new();
    }
    let mut room = columns - CUT.len();
    let fits = |character: &char| {
        let width = character.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(if fits { width } else { room });
        fits
    };
    let tail: Vec<char> = name.chars().rev().take_while(fits).collect();
    // A combining mark belongs to a character that is not there.
    let tail = tail.into_iter().rev().skip_while(|character| character.width() == Some(0));
    CUT.chars().chain(tail).collect()
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
        let elapsed = Duration::from_secs(2);
        Position { totals, work, elapsed, reads_back: false, compares: false }
    }

    fn line(width: usize, name: &str) -> String {
        let position = position((12_345, 240_000_000), (50_806, 572_000_000));
        Fields::default().line(&position, Doing::Entry(name), width)
    }

    #[test]
    fn whole_fields_are_left_out_the_least_important_first() {
        let name = "src/share/doc/index.html";
        let widths = [4, 5, 14, 15, 32, 33, 50, 51, 59, 60, 80, 90, 103, 115];
        let fields = " 30% 12,345 of 50,806, 240 MB of 572 MB, 6,172/s, 0:04 left";
        let with_bar = fields.replace('%', "% [======>             ]");
        let expected = [
            "",
            " 30%",
            " 30%",
            " 30% 0:04 left",
            " 30% 0:04 left  ...c/index.html",
            " 30% 12,345 of 50,806, 0:04 left",
            " 30% 12,345 of 50,806, 0:04 left  ...c/index.html",
            " 30% 12,345 of 50,806, 240 MB of 572 MB, 0:04 left",
            " 30% 12,345 of 50,806, 240 MB of 572 MB, 0:04 left",
            fields,
            &format!("{fields}  .../doc/index.html"),
            &format!("{fields}  {name}"),
            &format!("{with_bar}  .../doc/index.html"),
            &format!("{with_bar}  {name}"),
        ];
        assert_eq!(widths.map(|width| line(width, name)), expected);
    }

    #[test]
    fn no_line_reaches_the_last_column() {
        let names =
            ["short", "a/long/way/to/somewhere/far/away.txt", "目录/子目录/一个很长的文件名.txt"];
        for name in names
            .into_iter()
            .chain(["e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", "👩‍👩‍👧‍👦👍🏽🇩🇪.png"])
        {
            for width in 0..200 {
                let line = line(width, name);
                assert!(line.width() < width.max(1), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn while_entries_are_counted_there_is_no_total() {
        let mut position = position((300, 5_000_000), (1000, 9_000_000));
        position.work.complete = false;
        let line = Fields::default().line(&position, Doing::Entry("a"), 80);
        assert_eq!(line, "300 entries, 5.0 MB, 150/s, counting  a");
    }

    #[test]
    fn a_wait_takes_the_place_of_the_time_left() {
        let position = position((10, 1000), (10, 1000));
        let line = |doing| Fields::default().line(&position, doing, 80);
        let flushing = line(Doing::Flushing);
        assert_eq!(flushing, "100% 10 of 10, 1.0 kB of 1.0 kB, 5/s, flushing to stable storage");
        assert!(line(Doing::Entry("")).ends_with(", <0:01 left"));
        assert!(line(Doing::Printing("")).ends_with(", <0:01 left"));
        let mut fields = Fields::default();
        fields.line(&position, Doing::Entry(""), 80);
        let later = Position { elapsed: Duration::from_secs(9), ..position };
        let line = fields.line(&later, Doing::Entry("a"), 80);
        assert!(line.ends_with(", no progress for 0:07  a"), "{line}");
        let line = fields.line(&later, Doing::Printing("a"), 80);
        assert!(line.ends_with(", waiting for the reader of the output  a"), "{line}");
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
        assert_eq!(shorten("目录/文件名.txt", 12), "...件名.txt");
        assert_eq!(shorten("目录/文件名.txt", 13), "...文件名.txt");
        assert_eq!(
            shorten("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", 8)
                .width(),
            8
        );
    }
}
