//! What a client says of what it has and of what it takes: entity tags, dates, ranges, content
//! codings (RFC 9110 8.8, 12.5.3, 13, 14). Pure: it does not know what is served.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use hyper::header;

use super::fields::{Fields, text};

/// What a Range header asks of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, or one that is to be ignored.
    Whole,
    /// A part; not empty and inside the object.
    Part(Range<u64>),
    /// Nothing that exists: 416.
    Nothing,
}

/// Whether the client's copy is the current one, so that 304 is the answer (RFC 9110 13.2.2):
/// `If-Modified-Since` counts only without `If-None-Match`.
pub fn not_modified(headers: &impl Fields, etag: &str, modified: SystemTime) -> bool {
    let mut tags = headers.values(&header::IF_NONE_MATCH).peekable();
    if tags.peek().is_some() {
        return tags.any(|value| text(value).is_some_and(|list| none_match_lists(list, etag)));
    }
    date(headers, &header::IF_MODIFIED_SINCE).is_some_and(|since| whole_second(modified) <= since)
}

/// Whether an `If-None-Match` value names `etag`, by the weak comparison (RFC 9110 8.8.3.2).
/// A tag may contain commas, so the list is read quote by quote.
fn none_match_lists(list: &str, etag: &str) -> bool {
    let mut rest = list.trim_matches([' ', '\t', ',']);
    if rest == "*" {
        return true;
    }
    while !rest.is_empty() {
        let tag = rest.strip_prefix("W/").unwrap_or(rest);
        let Some(end) = tag
            .strip_prefix('"')
            .and_then(|inner| inner.find('"'))
            .map(|at| at + 2)
        else {
            return false;
        };
        if &tag[..end] == etag {
            return true;
        }
        rest = tag[end..].trim_start_matches([' ', '\t', ',']);
    }
    false
}

/// What part of an object of `len` bytes is asked for (RFC 9110 14.2). Several ranges, another
/// unit, bad syntax or a failed `If-Range` give the whole: all of these are allowed to be ignored.
pub fn wanted(headers: &impl Fields, etag: &str, modified: SystemTime, len: u64) -> Wanted {
    let mut values = headers.values(&header::RANGE);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Wanted::Whole;
    };
    if !if_range_holds(headers, etag, modified) {
        return Wanted::Whole;
    }
    text(value).map_or(Wanted::Whole, |text| parse_range(text, len))
}

/// One `bytes=` range against an object of `len` bytes.
fn parse_range(text: &str, len: u64) -> Wanted {
    let Some((unit, set)) = text.split_once('=') else {
        return Wanted::Whole;
    };
    let Some((first, last)) = set.trim_matches([' ', '\t']).split_once('-') else {
        return Wanted::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => {
            part(first, last.saturating_add(1).min(len), len)
        }
        (Some(first), None) if last.is_empty() => part(first, len, len),
        (None, Some(suffix)) if first.is_empty() => part(len.saturating_sub(suffix), len, len),
        _ => Wanted::Whole,
    }
}

/// The part from `from` to `to`, unless nothing of it exists.
fn part(from: u64, to: u64, len: u64) -> Wanted {
    if from < len && from < to {
        Wanted::Part(from..to)
    } else {
        Wanted::Nothing
    }
}

/// Digits only; what does not fit is past every end and stays so.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// `If-Range` (RFC 9110 13.1.5): a strong tag or the exact date; absent, it holds.
fn if_range_holds(headers: &impl Fields, etag: &str, modified: SystemTime) -> bool {
    let Some(value) = headers.first(&header::IF_RANGE) else {
        return true;
    };
    if value == etag.as_bytes() {
        return true;
    }
    date(headers, &header::IF_RANGE).is_some_and(|since| whole_second(modified) == since)
}

/// Whether gzip is the better answer to `Accept-Encoding` (RFC 9110 12.5.3).
pub fn accepts_gzip(headers: &impl Fields) -> bool {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    for value in headers.values(&header::ACCEPT_ENCODING) {
        for item in text(value).unwrap_or("").split(',') {
            let mut fields = item.split(';');
            let coding = fields.next().unwrap_or("").trim();
            let weight = fields.find_map(quality).unwrap_or(1000);
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                gzip = Some(weight);
            } else if coding.eq_ignore_ascii_case("identity") {
                identity = Some(weight);
            } else if coding == "*" {
                any = Some(weight);
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A `q=` parameter in thousandths; one that cannot be read refuses, as q=0 does.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let q: f32 = value.trim().parse().unwrap_or(0.0);
    Some((q.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// A header that is an HTTP date.
fn date(headers: &impl Fields, name: &header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers.first(name)?)?).ok()
}

/// Last-Modified has no fractions: comparisons may not see any either.
fn whole_second(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const ETAG: &str = "\"a,b-1\"";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_000 + ms)
    }
    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn entity_tags_match_in_lists_weakly_and_by_star() {
        for (value, matches) in [
            (ETAG, true),
            ("W/\"a,b-1\"", true),
            ("\"x\", \"a,b-1\"", true),
            ("\"x\",W/\"a,b-1\" , \"y\"", true),
            ("*", true),
            (" \"a,b-1\",", true),
            ("\"a\"", false),
            ("\"a,b-1-gz\"", false),
            ("a,b-1", false),
            ("\"a,b-1", false),
            ("", false),
        ] {
            let map = headers(&[(header::IF_NONE_MATCH, value)]);
            assert_eq!(not_modified(&map, ETAG, at(0)), matches, "{value}");
        }
        let two = headers(&[
            (header::IF_NONE_MATCH, "\"x\""),
            (header::IF_NONE_MATCH, ETAG),
        ]);
        assert!(not_modified(&two, ETAG, at(0)));
    }

    #[test]
    fn dates_count_to_the_second_and_only_without_tags() {
        let since = |value| headers(&[(header::IF_MODIFIED_SINCE, value)]);
        assert!(not_modified(&since(DATE), ETAG, at(999)));
        assert!(!not_modified(&since(DATE), ETAG, at(1000)));
        assert!(!not_modified(&since("yesterday"), ETAG, at(0)));
        assert!(!not_modified(&HeaderMap::new(), ETAG, at(0)));
        let both = headers(&[
            (header::IF_MODIFIED_SINCE, DATE),
            (header::IF_NONE_MATCH, "\"other\""),
        ]);
        assert!(!not_modified(&both, ETAG, at(0)));
    }

    #[test]
    fn ranges() {
        use Wanted::{Nothing, Part, Whole};
        for (text, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-5", Part(2..6)),
            ("bytes=2-", Part(2..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-30", Part(0..10)),
            ("bytes=5-99", Part(5..10)),
            ("Bytes= 5-6 ", Part(5..7)),
            ("bytes=9-18446744073709551616", Part(9..10)),
            ("bytes=10-", Nothing),
            ("bytes=10-12", Nothing),
            ("bytes=99999999999999999999999-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=5-2", Whole),
            ("bytes=0-1,4-5", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes 0-1", Whole),
            ("seconds=0-1", Whole),
        ] {
            let map = headers(&[(header::RANGE, text)]);
            assert_eq!(wanted(&map, ETAG, at(0), 10), expected, "{text}");
        }
        let map = headers(&[(header::RANGE, "bytes=0-")]);
        assert_eq!(wanted(&map, ETAG, at(0), 0), Nothing);
        assert_eq!(wanted(&HeaderMap::new(), ETAG, at(0), 10), Whole);
    }

    #[test]
    fn if_range_needs_the_same_object() {
        for (value, holds) in [
            (ETAG, true),
            (DATE, true),
            ("W/\"a,b-1\"", false),
            ("\"other\"", false),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ] {
            let map = headers(&[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, value)]);
            let part = wanted(&map, ETAG, at(500), 10) == Wanted::Part(0..1);
            assert_eq!(part, holds, "{value}");
        }
    }

    #[test]
    fn gzip_is_negotiated_by_weight() {
        for (value, gzip) in [
            ("gzip", true),
            ("x-gzip", true),
            ("GZIP", true),
            ("br, gzip, deflate", true),
            ("gzip;q=0.001", true),
            ("*", true),
            ("identity, *;q=0.5", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=nonsense", false),
            ("br", false),
            ("identity", false),
            ("", false),
        ] {
            let map = headers(&[(header::ACCEPT_ENCODING, value)]);
            assert_eq!(accepts_gzip(&map), gzip, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_always_inside(text in "bytes=[0-9]{0,21}-[0-9]{0,21}", len: u64) {
            if let Wanted::Part(range) = parse_range(&text, len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }

        #[test]
        fn arbitrary_values_never_panic(text in "[ -~]{0,60}") {
            let value = HeaderValue::from_str(&text).unwrap();
            let mut map = HeaderMap::new();
            for name in [header::RANGE, header::IF_NONE_MATCH, header::IF_RANGE,
                header::IF_MODIFIED_SINCE, header::ACCEPT_ENCODING] {
                map.insert(name, value.clone());
            }
            let _ = not_modified(&map, ETAG, at(0));
            let _ = wanted(&map, ETAG, at(0), 10);
            let _ = accepts_gzip(&map);
        }
    }
}
