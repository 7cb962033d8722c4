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

/// Reads a time like `2026-01-31T10:05:00.25+01:00` (RFC 3339 5.6), seconds and what is below them
/// optional, without an offset in UTC; milliseconds since 1970. `None` for anything else.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone);
    let offset_min = match zone {
        "" | "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..]
                .split_once(':')
                .or(zone[1..].split_at_checked(2))?;
            let minutes = two_digits(hours, 23)? * 60 + two_digits(minutes, 59)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let hour = two_digits(parts.next()?, 23)?;
    let minute = two_digits(parts.next()?, 59)?;
    // A leap second is the one before it.
    let second = parts.next().map_or(Some(0), |s| two_digits(s, 60))?.min(59);
    let digits = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !digits {
        return None;
    }
    let milli: i64 = format!("{fraction:0<3.3}").parse().ok()?;
    let seconds = (hour * 60 + minute - offset_min) * 60 + second;
    Some(Date::parse(date)?.days() * DAY_MS + seconds * 1000 + milli)
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten()?;
    (number <= max).then_some(number)
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

    /// How many days after 1970-01-01 it is; what [`Date::of_day`] undoes.
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year = year.rem_euclid(400);
        let march_month = (self.month + 9) % 12;
        let day = (153 * march_month + 2) / 5 + self.day - 1;
        era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
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
    fn times_are_read_back() {
        for ms in [0, -1, 951_782_400_000, 1_709_251_199_001, 4_107_542_400_000] {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms));
        }
        for text in [
            "2022-03-01T02:34:42.769Z",
            "2022-03-01 02:34:42.769",
            "2022-03-01t03:04:42.7690+00:30",
            "2022-02-28T22:34:42.769-0400",
        ] {
            assert_eq!(parse_rfc3339(text), Some(1_646_102_082_769), "{text}");
        }
        assert_eq!(parse_rfc3339("1970-01-01T00:01"), Some(60_000));
        for bad in [
            "",
            "2022-03-01",
            "tomorrow",
            "2022-02-30T00:00:00Z",
            "2022-03-01T24:00:00Z",
            "2022-03-01T00:60:00Z",
            "2022-03-01T00:00:00.Z",
            "2022-03-01T00:00:00:00Z",
            "2022-03-01T00:00:00+1",
            "2022-03-01T00:00:00+\u{e9}\u{e9}",
            "2022-03-01T0\u{e9}:00:00Z",
            "202\u{e9}-03-01T00:00:00Z",
            "1646102082769",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
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
