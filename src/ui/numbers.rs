//! Formats numbers for people, not for scripts.

use std::time::Duration;

/// Formats `50806` as `50,806`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Formats permission bits as `ls -l` does: `rwxr-xr-x`.
pub fn permissions(bits: u32) -> String {
    // For each class (user, group, others): the shift of its bits, the special bit that replaces its `x`, and
    // the letter for that bit.
    [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')]
        .iter()
        .flat_map(|&(shift, special, letter)| {
            let has = |bit: u32| bits >> shift & bit != 0;
            let last = match (has(1), bits & special != 0) {
                (true, true) => letter,
                (false, true) => letter.to_ascii_uppercase(),
                (true, false) => 'x',
                (false, false) => '-',
            };
            [if has(4) { 'r' } else { '-' }, if has(2) { 'w' } else { '-' }, last]
        })
        .collect()
}

/// Formats a number of bytes in powers of 1,000: `572 MB`, `1.2 GB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    if number == 1 {
        return "1 byte".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = number as f64;
    let mut unit = 0;
    // Values from 999.5 up would be rounded to "1000".
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Formats an elapsed time: `0.4 s`, `12.5 s`, `2 min 5 s`, `3 h 12 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a remaining time: `<0:01`, `0:07`, `12:30`, `3:02:10`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "<0:01".to_owned(),
        1..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// The average size of an entry, in bytes, above which copying the data takes most of the time of a run.
/// Copying this many bytes takes as long as copying four small files.
const BYTES_PER_ENTRY: u64 = 80_000;

/// What the speed of a run is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Entries, as in `28,200/s`.
    Entries,
    /// Bytes, as in `1.0 GB/s`.
    Bytes,
}

impl Unit {
    /// Returns the unit for `entries` entries with `bytes` bytes: bytes if data takes most of the time.
    pub fn of(entries: u64, bytes: u64) -> Self {
        if bytes > entries.saturating_mul(BYTES_PER_ENTRY) { Self::Bytes } else { Self::Entries }
    }
}

/// Formats a speed: `amount` entries or bytes in the time `elapsed`.
pub fn rate(amount: u64, elapsed: Duration, unit: Unit) -> String {
    let per_second = u128::from(amount) * 1000 / elapsed.as_millis().max(1);
    let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
    match unit {
        Unit::Bytes => format!("{}/s", self::bytes(per_second)),
        Unit::Entries => format!("{}/s", count(per_second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_look_as_in_ls() {
        for (bits, shown) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(bits), shown);
        }
    }

    #[test]
    fn counts_have_a_comma_every_three_digits() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn bytes_have_two_or_three_digits() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1500, "1.5 kB"),
            (572_123_456, "572 MB"),
            (999_999, "1.0 MB"),
            (u64::MAX, "18 EB"),
        ];
        for (number, shown) in cases {
            assert_eq!(bytes(number), shown);
        }
    }

    #[test]
    fn times_have_the_units_that_fit() {
        assert_eq!(duration(Duration::from_millis(1840)), "1.8 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(duration(Duration::from_secs(11_530)), "3 h 12 min");
        assert_eq!(clock(Duration::from_secs(67)), "1:07");
        assert_eq!(clock(Duration::from_secs(3670)), "1:01:10");
    }

    #[test]
    fn the_rate_counts_what_takes_most_of_the_time() {
        let shown = |entries, bytes| {
            let unit = Unit::of(entries, bytes);
            let amount = if unit == Unit::Bytes { bytes } else { entries };
            rate(amount, Duration::from_secs(2), unit)
        };
        assert_eq!(shown(56_400, 1000), "28,200/s");
        assert_eq!(shown(3, 2_000_000_000), "1.0 GB/s");
    }

    #[test]
    fn a_remaining_time_is_never_nothing() {
        assert_eq!(clock(Duration::from_millis(999)), "<0:01");
        assert_eq!(clock(Duration::from_millis(1000)), "0:01");
    }
}
