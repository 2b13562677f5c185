//! Sizes and times in the arguments of options.

use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pcopy_sys::file::{self, Stamp};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Returns a parser of a size in bytes, in rsync's grammar: `1.5M`, `10KB`, `1G-1`.
pub(super) fn size() -> impl TypedValueParser<Value = u64> {
    OsStringValueParser::new().try_map(|word| {
        let parsed = word.to_str().and_then(parse_size);
        parsed.ok_or("expected a size such as 500, 64K (65536), 64KB (64000), 1.5G or 1G-1")
    })
}

/// Returns a parser of a time in the past: absolute, the age of a file, or as long ago as a duration.
pub(super) fn time() -> impl TypedValueParser<Value = Stamp> {
    OsStringValueParser::new().try_map(|word| {
        if let Some(path) = word.as_bytes().strip_prefix(b"file:") {
            let path = Path::new(OsStr::from_bytes(path));
            let stat = file::stat_path(path, true).map_err(|errno| errno.desc().to_owned())?;
            return Ok(stat.modified());
        }
        let time = word.to_str().and_then(|word| parse_time(word, Timestamp::now()));
        let time = time.ok_or_else(|| {
            "expected 7d (ago; also s, m, h, w), 2026-01-31, '2026-01-31 12:00', a time as in RFC 3339, @EPOCH or file:PATH"
                .to_owned()
        });
        time.map(stamp)
    })
}

/// Reads a size in rsync's grammar: a number, which may have a fraction, and a unit. `K` and `KiB` are 1024 bytes and `KB`
/// 1000; the case does not matter. `+1` or `-1` may follow.
fn parse_size(word: &str) -> Option<u64> {
    let (word, more) = match word.strip_suffix("+1") {
        Some(word) => (word, 1),
        None => word.strip_suffix("-1").map_or((word, 0), |word| (word, -1)),
    };
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(end);
    let unit = unit.to_ascii_uppercase();
    let (power, base) = match unit.as_bytes() {
        b"" | b"B" => (0, 1024),
        [letter, rest @ ..] => {
            let power = 1 + b"KMGTP".iter().position(|known| known == letter)?;
            match rest {
                b"" | b"IB" => (power, 1024),
                b"B" => (power, 1000),
                _ => return None,
            }
        }
    };
    let factor = u64::pow(base, u32::try_from(power).ok()?);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return None;
    }
    let part: f64 = format!("0.{fraction}0").parse().ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let part = (part * factor as f64) as u64;
    whole.checked_add(part)?.checked_add_signed(more)
}

/// Reads a time; a duration means so long before `now`.
fn parse_time(word: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(epoch) = word.strip_prefix('@') {
        let is_number =
            epoch.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        let seconds: f64 = epoch.parse().ok().filter(|_| is_number)?;
        return match epoch.parse() {
            Ok(seconds) => Timestamp::from_second(seconds).ok(),
            Err(_) => {
                Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
            }
        };
    }
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];
    for (unit, seconds) in units {
        let Some(number) = word.strip_suffix(unit) else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        return now.checked_sub(SignedDuration::from_secs(i64::from(number) * seconds)).ok();
    }
    if let Ok(time) = word.parse::<Timestamp>() {
        return Some(time);
    }
    // A fraction of a second or a time zone by its name would be valid for the parser, too.
    let is_date = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ' | 'T');
    let local: DateTime = word.parse().ok().filter(|_| word.chars().all(is_date))?;
    TimeZone::system().to_ambiguous_timestamp(local).compatible().ok()
}

fn stamp(time: Timestamp) -> Stamp {
    let (seconds, nanoseconds) = (time.as_second(), i64::from(time.subsec_nanosecond()));
    if nanoseconds < 0 {
        return Stamp { seconds: seconds - 1, nanoseconds: nanoseconds + 1_000_000_000 };
    }
    Stamp { seconds, nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_rsync() {
        for (word, bytes) in [
            ("0", 0),
            ("500", 500),
            ("500b", 500),
            ("1K", 1024),
            ("1k", 1024),
            ("1KiB", 1024),
            ("1KB", 1000),
            ("1.5m", 1_572_864),
            ("1.5mb", 1_500_000),
            ("1.5mb-1", 1_499_999),
            ("2g+1", 2_147_483_649),
            ("1T", 1 << 40),
            ("1P", 1 << 50),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(word), Some(bytes), "{word}");
        }
        for wrong in ["", "K", "-1", "1X", "1KX", "1.2.3", "0-1", "20000000P", "1 K", ".5K", "1e3"]
        {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_is_absolute_or_so_long_ago() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (word, seconds) in [
            ("@0", 0),
            ("@-5", -5),
            ("@1700000000", 1_700_000_000),
            ("90s", 999_999_910),
            ("10m", 999_999_400),
            ("2h", 999_992_800),
            ("7d", 999_395_200),
            ("4w", 997_580_800),
            ("2001-09-09T01:46:40Z", 1_000_000_000),
            ("2001-09-09 03:46:40+02:00", 1_000_000_000),
        ] {
            assert_eq!(parse_time(word, now).map(Timestamp::as_second), Some(seconds), "{word}");
        }
        let local = |word: &str| parse_time(word, now).unwrap().as_second();
        assert_eq!(local("2001-09-09 01:00") - local("2001-09-09"), 3600);
        assert_eq!(local("2001-09-09 01:00:07") - local("2001-09-09 01:00"), 7);
        for wrong in
            ["", "7", "d", "-7d", "1.5d", "yesterday", "2001-13-01", "01.02.2003", "@", "@x"]
        {
            assert_eq!(parse_time(wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_before_1970_has_no_negative_nanoseconds() {
        let time = stamp(Timestamp::new(-1, -500_000_000).unwrap());
        assert_eq!(time, Stamp { seconds: -2, nanoseconds: 500_000_000 });
    }
}
