//! Values as an operator writes them, parsed into what [`Config`](super::Config) holds. It does not
//! know which key a value is for: a refusal says what was expected, the caller says where.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{Hidden, Network};

/// Longest `storage.s3.prefix`: S3 allows keys of 1024 bytes.
const PREFIX_BYTES: usize = 512;

/// A value before its key gives it a type. Environment and flags carry text only, so that text is
/// read as whatever the key wants.
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Boolean(bool),
    List(Vec<String>),
    /// A table, a date or a fraction: no key takes one.
    Other,
}

/// What a refused value should have been: `expected …`, to be put behind the key and the value.
pub(super) type Parsed<T> = Result<T, String>;

fn expected<T>(what: impl AsRef<str>) -> Parsed<T> {
    Err(format!("expected {}", what.as_ref()))
}

impl Value {
    pub(super) fn text(&self) -> Parsed<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => expected("text"),
        }
    }

    /// Empty text unsets: an environment variable cannot be absent once a file names the key.
    pub(super) fn optional<T>(&self, parse: impl Fn(&Self) -> Parsed<T>) -> Parsed<Option<T>> {
        match self {
            Self::Text(text) if text.is_empty() => Ok(None),
            _ => parse(self).map(Some),
        }
    }

    pub(super) fn hidden(&self) -> Parsed<Hidden> {
        self.text().map(Hidden)
    }

    pub(super) fn path(&self) -> Parsed<PathBuf> {
        match self.text() {
            Ok(text) if !text.contains('\0') => Ok(text.into()),
            _ => expected("a path"),
        }
    }

    pub(super) fn switch(&self) -> Parsed<bool> {
        match self {
            Self::Boolean(value) => Ok(*value),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => expected("true or false"),
        }
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Parsed<T> {
        let named = |text: &String| choices.iter().find(|(name, _)| name == text);
        if let Self::Text(text) = self
            && let Some((_, choice)) = named(text)
        {
            return Ok(*choice);
        }
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("{name:?}"))
            .collect();
        expected(names.join(" or "))
    }

    pub(super) fn count(&self, range: RangeInclusive<usize>) -> Parsed<usize> {
        let count = match self {
            Self::Integer(number) => usize::try_from(*number).ok(),
            Self::Text(text) => digits(text).and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        match count {
            Some(count) if range.contains(&count) => Ok(count),
            _ => expected(format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// Bytes: a plain number or one with B, KiB, MiB, GiB or TiB.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Parsed<u64> {
        let bytes = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => parse_size(text),
            _ => None,
        };
        match bytes {
            Some(bytes) if range.contains(&bytes) => Ok(bytes),
            _ => expected(format!(
                "a size such as \"512MiB\" or \"64KiB\", from {} to {}",
                show_size(*range.start()),
                show_size(*range.end())
            )),
        }
    }

    /// [`Value::size`] for what is kept in memory.
    pub(super) fn memory(&self, range: RangeInclusive<u64>) -> Parsed<usize> {
        let bytes = self.size(range)?;
        usize::try_from(bytes).or_else(|_| expected("a size that fits this machine's memory"))
    }

    /// A number with ms, s, m, h or d; fractions are taken, zero needs no unit.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Parsed<Duration> {
        let duration = match self {
            Self::Integer(0) => Some(Duration::ZERO),
            Self::Text(text) => parse_duration(text),
            _ => None,
        };
        match duration {
            Some(duration) if range.contains(&duration) => Ok(duration),
            _ => expected(format!(
                "a duration with a unit (ms, s, m, h, d) such as \"2s\" or \"100ms\", from {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            )),
        }
    }

    pub(super) fn address(&self) -> Parsed<SocketAddr> {
        let address = match self {
            Self::Text(text) => text.parse().ok(),
            _ => None,
        };
        address.map_or_else(
            || expected("an IP address and port such as \"0.0.0.0:8080\" or \"[::]:1935\""),
            Ok,
        )
    }

    /// An URL of one of `schemes` with host and optional port, and nothing after them; a trailing
    /// slash is dropped.
    pub(super) fn url(&self, schemes: &[&str]) -> Parsed<String> {
        if let Self::Text(text) = self {
            let url = text.strip_suffix('/').unwrap_or(text);
            let host = url
                .split_once("://")
                .filter(|(scheme, _)| schemes.contains(scheme))
                .map(|(_, host)| host);
            if host.is_some_and(is_host_and_port) {
                return Ok(url.to_owned());
            }
        }
        expected(format!(
            "an URL such as \"{}://media.example.org\" without path or query",
            schemes.first().unwrap_or(&"http")
        ))
    }

    /// [`Value::url`] with an optional path.
    pub(super) fn base_url(&self, schemes: &[&str]) -> Parsed<String> {
        if let Self::Text(text) = self
            && let Some((scheme, rest)) = text.split_once("://")
        {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = path.trim_end_matches('/');
            if schemes.contains(&scheme) && is_host_and_port(host) && path.split('/').all(is_plain)
            {
                let slash = if path.is_empty() { "" } else { "/" };
                return Ok(format!("{scheme}://{host}{slash}{path}"));
            }
        }
        expected(format!(
            "an URL such as \"{}://media.example.org/bucket\" without query",
            schemes.first().unwrap_or(&"http")
        ))
    }

    /// Parts of an object's key, joined by slashes; slashes at the ends are dropped.
    pub(super) fn key_prefix(&self) -> Parsed<String> {
        if let Self::Text(text) = self {
            let prefix = text.trim_matches('/');
            let fits = |part: &str| !part.is_empty() && !part.starts_with('.') && is_plain(part);
            if prefix.len() <= PREFIX_BYTES && prefix.split('/').all(fits) {
                return Ok(prefix.to_owned());
            }
        }
        expected(
            "parts of letters, digits, '_', '.' and '-' joined by slashes, such as \"live/one\"",
        )
    }

    pub(super) fn list(&self) -> Parsed<Vec<String>> {
        match self {
            Self::List(items) => Ok(items.clone()),
            Self::Text(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()),
            _ => expected("a list of texts"),
        }
    }

    /// A list whose every item passes `parse`.
    pub(super) fn list_of<T>(&self, parse: impl Fn(&Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.list()?
            .into_iter()
            .map(|item| parse(&Self::Text(item)))
            .collect::<Parsed<_>>()
            .map_err(|expectation| format!("{expectation}, in every item of the list"))
    }

    pub(super) fn network(&self) -> Parsed<Network> {
        let network = match self {
            Self::Text(text) => text.parse().ok(),
            _ => None,
        };
        network.map_or_else(
            || expected("an address or a network such as \"127.0.0.0/8\""),
            Ok,
        )
    }

    /// A level, or `target=level` directives joined by commas, as tracing filters read them.
    pub(super) fn log_level(&self) -> Parsed<String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let is_directive = |directive: &str| {
            let (target, level) = directive.split_once('=').unwrap_or(("cauce", directive));
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
            !target.is_empty() && target.bytes().all(word) && LEVELS.contains(&level)
        };
        match self {
            Self::Text(text) if text.split(',').all(is_directive) => Ok(text.clone()),
            _ => expected(
                "off, error, warn, info, debug or trace, or a list such as \"info,cauce::rtmp=debug\"",
            ),
        }
    }
}

/// A part of a path that means the same escaped or not; empty is one too.
fn is_plain(part: &str) -> bool {
    let is_dots = part == "." || part == "..";
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'~');
    !is_dots && part.bytes().all(plain)
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A number and the unit behind it, with or without a space between.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    digits(number)?.checked_mul(1 << shift)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text);
    let unit_ns: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        "" if number == "0" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole_ns = digits(whole)?.checked_mul(unit_ns)?;
    let fraction_ns = u128::from(digits(fraction)?) * u128::from(unit_ns) / scale;
    let total_ns = whole_ns.checked_add(u64::try_from(fraction_ns).ok()?)?;
    Some(Duration::from_nanos(total_ns))
}

/// In the largest unit that divides it, as it can be written in the file.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |shift: u32| bytes != 0 && bytes.trailing_zeros() >= shift;
    match units.iter().find(|(shift, _)| fits(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    match units
        .iter()
        .find(|(unit_ms, _)| ms != 0 && ms.is_multiple_of(*unit_ms))
    {
        Some((unit_ms, unit)) => format!("{}{unit}", ms / unit_ms),
        None => format!("{ms}ms"),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of `[::1]` is inside the brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
            !host.is_empty() && host.bytes().all(letter)
        }
    };
    let port_fits = port.is_none_or(|p| digits(p).is_some_and(|n| (1..=65535).contains(&n)));
    host_fits && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn durations_need_a_unit() {
        let parse = |t: &str| text(t).duration(Duration::ZERO..=Duration::from_hours(24 * 60));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("2 s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("3m"), Ok(Duration::from_mins(3)));
        assert_eq!(parse("4h"), Ok(Duration::from_hours(4)));
        assert_eq!(parse("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        for bad in [
            "",
            "2",
            "s",
            "-2s",
            "2sec",
            "1.2.3s",
            ".5s",
            "1.s",
            "2s3",
            "99999999999d",
            "61d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(
            Value::Integer(2)
                .duration(Duration::ZERO..=Duration::MAX)
                .is_err()
        );
    }

    #[test]
    fn sizes_are_bytes_or_carry_a_binary_unit() {
        let parse = |t: &str| text(t).size(0..=u64::MAX);
        assert_eq!(parse("512MiB"), Ok(512 << 20));
        assert_eq!(parse("64 KiB"), Ok(64 << 10));
        assert_eq!(parse("1000"), Ok(1000));
        assert_eq!(parse("7B"), Ok(7));
        assert_eq!(Value::Integer(42).size(0..=100), Ok(42));
        for bad in ["", "MiB", "1.5MiB", "-1", "512MB", "99999999TiB", "1k"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Value::Integer(-1).size(0..=100).is_err());
    }

    #[test]
    fn refusals_name_the_range_in_the_files_own_words() {
        let size = text("x").size(1 << 20..=3 << 30).unwrap_err();
        assert!(size.ends_with("from 1MiB to 3GiB"), "{size}");
        let duration = text("x")
            .duration(Duration::ZERO..=Duration::from_mins(90))
            .unwrap_err();
        assert!(duration.ends_with("from 0ms to 90m"), "{duration}");
    }

    #[test]
    fn urls_have_a_host_and_no_path() {
        let parse = |t: &str| text(t).url(&["http", "https"]);
        assert_eq!(parse("https://a.example/"), Ok("https://a.example".into()));
        assert_eq!(parse("http://[::1]:8080"), Ok("http://[::1]:8080".into()));
        assert_eq!(parse("http://[::1]"), Ok("http://[::1]".into()));
        for bad in [
            "a.example",
            "ftp://a",
            "http://",
            "http:///",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://u@a",
            "http://a:0",
            "http://a:65536",
            "http://a:",
            "http://[::g]",
            "http://a b",
            "http://a//",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn base_urls_may_have_a_path() {
        let parse = |t: &str| text(t).base_url(&["http", "https"]);
        assert_eq!(parse("https://a.example/"), Ok("https://a.example".into()));
        let path = "http://[::1]:9000/bucket/x-1";
        assert_eq!(parse(&format!("{path}/")), Ok(path.into()));
        for bad in [
            "a",
            "http://",
            "ftp://a/b",
            "http://a/b?c",
            "http://a/../b",
            "http://a/b c",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_parts_of_keys() {
        assert_eq!(text("/a/b.c/").key_prefix(), Ok("a/b.c".into()));
        for bad in ["", "/", "a//b", "../a", ".a", "a b", &"a".repeat(600)] {
            assert!(text(bad).key_prefix().is_err(), "{bad}");
        }
    }

    #[test]
    fn log_levels_are_directives() {
        for good in ["info", "debug", "info,cauce::rtmp=debug"] {
            assert_eq!(text(good).log_level(), Ok(good.to_owned()));
        }
        for bad in ["", "loud", "info,", "=info", "cauce=loud"] {
            assert!(text(bad).log_level().is_err(), "{bad}");
        }
    }
}
