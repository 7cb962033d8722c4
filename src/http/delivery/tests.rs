//! Every header of every answer under `/live`. They do not know sockets.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::HeaderMap;

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn modified() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_250)
}
fn rendered() -> Rendered {
    Rendered {
        plain: Bytes::from_static(b"#EXTM3U\n"),
        gzip: Bytes::from_static(b"\x1f\x8bcompressed").into(),
        etag: "\"v-1\"".into(),
        etag_gzip: "\"v-1-gz\"".into(),
        modified: modified(),
    }
}
fn served() -> Served {
    let body: Arc<[Bytes]> = [Bytes::from_static(b"0123"), Bytes::from_static(b"456789")].into();
    Served {
        body,
        len: 10,
        etag: "\"s-1\"".into(),
        modified: modified(),
    }
}
fn asking(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect()
}
fn get(pairs: &[(HeaderName, &'static str)]) -> Answer {
    segment(&Method::GET, &asking(pairs), &served())
}
#[track_caller]
fn has(answer: &Answer, name: &str, value: &str) {
    assert_eq!(
        answer.headers().get(name).map(|v| v.to_str().unwrap()),
        Some(value),
        "{name}"
    );
}
#[track_caller]
fn lacks(answer: &Answer, name: &str) {
    assert_eq!(answer.headers().get(name), None, "{name}");
}

#[test]
fn a_playlist_has_every_header() {
    let answer = playlist(&HeaderMap::new(), &rendered(), 1);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().len(), 8);
    has(&answer, "content-type", "application/vnd.apple.mpegurl");
    has(&answer, "cache-control", "public, max-age=1");
    has(&answer, "etag", "\"v-1\"");
    has(&answer, "last-modified", DATE);
    has(&answer, "vary", "Accept-Encoding");
    lacks(&answer, "content-encoding");
}

#[test]
fn a_playlist_is_kept_for_its_time() {
    for age in [1, 5, 60] {
        let answer = playlist(&HeaderMap::new(), &rendered(), age);
        has(&answer, "cache-control", &format!("public, max-age={age}"));
    }
}

#[test]
fn the_gzip_variant_is_its_own_representation() {
    let gzip = [(header::ACCEPT_ENCODING, "gzip, br")];
    let answer = playlist(&asking(&gzip), &rendered(), 1);
    assert_eq!(answer.body().len(), rendered().gzip().len() as u64);
    has(&answer, "content-encoding", "gzip");
    has(&answer, "etag", "\"v-1-gz\"");
    has(&answer, "vary", "Accept-Encoding");

    let with = |tag| [gzip[0].clone(), (header::IF_NONE_MATCH, tag)];
    let other = playlist(&asking(&with("\"v-1\"")), &rendered(), 1);
    assert_eq!(other.status(), 200);
    let same = playlist(&asking(&with("\"v-1-gz\"")), &rendered(), 1);
    assert_eq!(same.status(), 304);
    has(&same, "etag", "\"v-1-gz\"");
}

#[test]
fn a_playlist_unchanged_is_304_with_what_a_cache_needs() {
    for known in [
        (header::IF_NONE_MATCH, "\"v-1\""),
        (header::IF_MODIFIED_SINCE, DATE),
    ] {
        let answer = playlist(&asking(&[known]), &rendered(), 2);
        assert_eq!(answer.status(), 304);
        assert!(answer.body().is_empty());
        has(&answer, "etag", "\"v-1\"");
        has(&answer, "cache-control", "public, max-age=2");
        has(&answer, "vary", "Accept-Encoding");
        has(&answer, "last-modified", DATE);
        lacks(&answer, "content-encoding");
    }
}

#[test]
fn a_segment_has_every_header() {
    let gzip = (header::ACCEPT_ENCODING, "gzip");
    let answer = get(&[gzip]);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().len(), 10);
    has(&answer, "content-type", "video/mp2t");
    has(&answer, "cache-control", IMMUTABLE);
    has(&answer, "etag", "\"s-1\"");
    has(&answer, "last-modified", DATE);
    has(&answer, "accept-ranges", "bytes");
    lacks(&answer, "content-encoding");
    lacks(&answer, "vary");
}

#[test]
fn a_part_of_a_segment() {
    let answer = get(&[(header::RANGE, "bytes=2-5")]);
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.body().len(), 4);
    has(&answer, "content-range", "bytes 2-5/10");
    has(&answer, "etag", "\"s-1\"");
    has(&answer, "cache-control", IMMUTABLE);

    let changed = get(&[
        (header::RANGE, "bytes=2-5"),
        (header::IF_RANGE, "\"older\""),
    ]);
    assert_eq!(changed.status(), 200);
    assert_eq!(changed.body().len(), 10);
    lacks(&changed, "content-range");
}

#[test]
fn a_range_past_the_end_is_416() {
    let answer = get(&[(header::RANGE, "bytes=10-")]);
    assert_eq!(answer.status(), 416);
    has(&answer, "content-range", "bytes */10");
    has(&answer, "cache-control", "max-age=1");
}

#[test]
fn several_ranges_are_answered_whole() {
    let answer = get(&[(header::RANGE, "bytes=0-1,4-5")]);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().len(), 10);
}

#[test]
fn head_has_no_ranges() {
    let asked = asking(&[(header::RANGE, "bytes=2-5")]);
    let answer = segment(&Method::HEAD, &asked, &served());
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().len(), 10);
}

#[test]
fn a_segment_known_already_is_304_also_for_a_range() {
    let answer = get(&[
        (header::IF_NONE_MATCH, "\"s-1\""),
        (header::RANGE, "bytes=2-5"),
    ]);
    assert_eq!(answer.status(), 304);
    has(&answer, "cache-control", IMMUTABLE);
}

#[test]
fn a_thumbnail_has_every_header() {
    let answer = thumbnail(&HeaderMap::new(), &served());
    assert_eq!(answer.status(), 200);
    has(&answer, "content-type", "image/jpeg");
    has(&answer, "cache-control", "max-age=10");
    has(&answer, "etag", "\"s-1\"");
    let again = thumbnail(&asking(&[(header::IF_NONE_MATCH, "\"s-1\"")]), &served());
    assert_eq!(again.status(), 304);
}

#[test]
fn failures_are_cached_briefly_or_never() {
    let none = missing(Missing::NotFound);
    assert_eq!(none.status(), 404);
    has(&none, "cache-control", "max-age=1");
    let down = missing(Missing::Unavailable);
    assert_eq!(down.status(), 503);
    has(&down, "cache-control", "no-store");
    let method = refused(RouteError::MethodNotAllowed { allow: READ_LIVE });
    assert_eq!(method.status(), 405);
    has(&method, "allow", "GET, HEAD, OPTIONS");
}

#[test]
fn other_sites_may_read_everything() {
    for mut answer in [
        playlist(&HeaderMap::new(), &rendered(), 1),
        get(&[]),
        missing(Missing::NotFound),
        missing(Missing::Unavailable),
        preflight(),
    ] {
        share(&mut answer);
        has(&answer, "access-control-allow-origin", "*");
        has(&answer, "access-control-allow-headers", "Range");
        has(
            &answer,
            "access-control-expose-headers",
            "Content-Range, Date",
        );
        has(&answer, "timing-allow-origin", "*");
    }
}

#[test]
fn a_preflight_is_204_and_remembered() {
    let answer = preflight();
    assert_eq!(answer.status(), 204);
    has(
        &answer,
        "access-control-allow-methods",
        "GET, HEAD, OPTIONS",
    );
    has(&answer, "access-control-max-age", "86400");
}
