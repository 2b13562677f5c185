//! Finds out, for the report, on which machine and date the benchmark runs.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The properties of the machine that affect the measured times, and the date.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// The kernel's release.
    pub(super) kernel: String,
    /// The number of CPUs that this process may use.
    pub(super) cpus: usize,
    /// The total memory, in bytes; 0 if it is unknown.
    pub(super) memory: u64,
    /// When the benchmark was started, in UTC: `2026-11-26T06:28:51Z`.
    pub(super) date: String,
}

impl Machine {
    /// Returns the properties of this machine, and the current date.
    pub(super) fn detect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        // The line in /proc/meminfo is "MemTotal:       24684032 kB".
        let total = memory.lines().find(|line| line.starts_with("MemTotal:"));
        let total = total.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: total.unwrap_or(0) * 1024,
            date: date(now),
        }
    }
}

impl Machine {
    /// Returns the kernel's version without the name of its build: `6.18.44` of `6.18.44-amd64`.
    pub(super) fn kernel_version(&self) -> &str {
        self.kernel.split(['-', '+']).next().unwrap_or_default()
    }
}

/// Formats a time, in seconds since the Epoch, as ISO 8601 in UTC.
fn date(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_674_531, "2026-11-26T06:28:51Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
