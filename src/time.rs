//! Times as clients read and write them: RFC 3339 in UTC, and plain calendar dates. It does not read
//! a clock.

use std::fmt;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A time as RFC 3339 UTC with milliseconds, like `2026-01-31T09:05:00.250Z`. `time_ms` counts from
/// 1970.
pub fn rfc3339(time_ms: i64) -> String {
    let ms = time_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let milli = ms % 1000;
    let date = Date::of_day(time_ms.div_euclid(DAY_MS));
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A day of the (proleptic) Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: i64,
    /// Month, from 1.
    pub month: i64,
    /// Day of the month, from 1.
    pub day: i64,
}

impl Date {
    /// The day `days` after 1970-01-01. Years are counted from March, so that the leap day is a
    /// year's last and months have a regular length.
    pub fn of_day(days: i64) -> Self {
        const DAYS_400_YEARS: i64 = 146_097;
        // From 0000-03-01.
        let day = days + 719_468;
        let era = day.div_euclid(DAYS_400_YEARS);
        let day = day.rem_euclid(DAYS_400_YEARS);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * day + 2) / 153;
        let day_of_month = day - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: era * 400 + year + i64::from(month <= 2),
            month,
            day: day_of_month,
        }
    }

    /// Reads `YYYY-MM-DD` or `YYYY/MM/DD`; `None` for anything else and for days that do not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let separator = if text.contains('/') { '/' } else { '-' };
        let mut parts = text.split(separator);
        let mut number = |digits: usize| {
            let part = parts.next()?;
            let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        let date = Self { year, month, day };
        (parts.next().is_none() && date.exists()).then_some(date)
    }

    fn exists(self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return false,
        };
        (1..=days).contains(&self.day)
    }
}

impl fmt::Display for Date {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        for text in ["2024-02-29", "2024/02/29"] {
            assert_eq!(Date::parse(text).unwrap().to_string(), "2024-02-29");
        }
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
            "2024-1-1",
            "24-01-01",
            "2024-01/01",
            "2024-01-01T00:00",
            "2024-01-01-01",
            "+024-01-01",
            "",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
