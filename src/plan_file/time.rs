//! Times as text: RFC 3339 in UTC, with nanoseconds.

use pcopy_sys::file::Stamp;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// The days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i64 = 719_468;

/// The days of 400 years.
const DAYS_OF_ERA: i64 = 146_097;

/// Returns a time as text. One outside the years 0 to 9999, which RFC 3339 cannot express, as `@SECONDS.NANOSECONDS`.
pub(super) fn to_text(time: Stamp) -> String {
    let Stamp { seconds, nanoseconds } = time;
    let (day, second) = (seconds.div_euclid(SECONDS_A_DAY), seconds.rem_euclid(SECONDS_A_DAY));
    match date(day) {
        Some((year @ 0..=9999, month, day)) => {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z"
            )
        }
        _ => format!("@{seconds}.{nanoseconds:09}"),
    }
}

/// Returns year, month and day of a day since the epoch. The years of the computation begin in March, so that a leap day is
/// the last day of its year.
fn date(day: i64) -> Option<(i64, i64, i64)> {
    let day = day.checked_add(DAYS_BEFORE_EPOCH)?;
    let (era, day) = (day.div_euclid(DAYS_OF_ERA), day.rem_euclid(DAYS_OF_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Some((year + 400 * era + i64::from(month <= 2), month, day))
}

/// Returns the time that a text of [`to_text`] says; `None` if it is none.
pub(super) fn of_text(text: &str) -> Option<Stamp> {
    if let Some(text) = text.strip_prefix('@') {
        let (seconds, nanoseconds) = text.split_once('.')?;
        return Some(Stamp { seconds: seconds.parse().ok()?, nanoseconds: fraction(nanoseconds)? });
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."), (29, "Z")];
    if text.len() != 30 || marks.iter().any(|&(at, mark)| text.get(at..=at) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let year = year - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let days = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
    let days = era * DAYS_OF_ERA + days - DAYS_BEFORE_EPOCH;
    let seconds = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    Some(Stamp { seconds, nanoseconds: fraction(&text[20..29])? })
}

fn fraction(digits: &str) -> Option<i64> {
    let is_number = digits.len() == 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_survives_as_text() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (951_868_799, 1, "2000-02-29T23:59:59.000000001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000000Z"),
            (253_402_300_800, 5, "@253402300800.000000005"),
            (i64::MAX, 0, "@9223372036854775807.000000000"),
            (i64::MIN, 0, "@-9223372036854775808.000000000"),
        ] {
            let time = Stamp { seconds, nanoseconds };
            assert_eq!(to_text(time), text);
            assert_eq!(of_text(text), Some(time));
        }
        for wrong in ["", "@", "@1", "@1.5", "1970-01-01", "1970-01-01T00:00:00.00000000ßZ"] {
            assert_eq!(of_text(wrong), None, "{wrong}");
        }
    }
}
