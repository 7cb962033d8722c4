//! What a method and a path ask for. Pure: it does not know whether what is named exists, and a
//! path that names nothing that could exist never gets further than here.

use std::borrow::Cow;

use hyper::Method;

use super::assets::{self, Asset};
use crate::name::{Rendition, SegmentName, StreamUid};

/// Longest path that is looked at, bytes. The longest real one is a segment's, about 120.
pub const MAX_PATH_BYTES: usize = 512;

/// What GET and HEAD answer, for `Allow`.
const READ: &str = "GET, HEAD";
/// As [`READ`], under `/live`.
pub const READ_LIVE: &str = "GET, HEAD, OPTIONS";

/// Something that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/live/{uid}/index.m3u8`
    Multivariant(StreamUid),
    /// `/live/{uid}/{rendition}/index.m3u8`
    Media(StreamUid, Rendition),
    /// `/live/{uid}/{rendition}/{session}-{sequence}.ts`
    Segment(StreamUid, Rendition, SegmentName),
    /// `/live/{uid}/{rendition}/recording.ts`
    Recording(StreamUid, Rendition),
    /// `/live/{uid}/thumbnail.jpg`
    Thumbnail(StreamUid),
    /// OPTIONS on anything under `/live`.
    Preflight,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/version`
    Version,
    /// `/metrics`
    Metrics,
    /// `/`
    Home,
    /// `/watch/{uid}`
    Watch(StreamUid),
    /// `/studio`
    Studio,
    /// `/studio/{uid}/voice`
    StudioVoice(StreamUid),
    /// `/embed/{uid}`
    Embed(StreamUid),
    /// `/ws/streams/{uid}/`
    Socket(StreamUid),
    /// `/web/...`, `/favicon.ico`
    Asset(&'static Asset),
}

/// Why nothing can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed {
        /// The `Allow` header.
        allow: &'static str,
    },
    /// 400: an encoding that no client needs for the names that exist here.
    BadRequest,
}

/// Whether `path` is under `/live`, where CORS headers go on every answer, errors too.
pub fn is_live(path: &str) -> bool {
    path == "/live" || path.starts_with("/live/")
}

/// Decides what a request asks for. `path` is as sent: percent-encoded, without the query.
///
/// # Errors
/// See [`RouteError`]. Under `/live` a method other than GET, HEAD and OPTIONS is refused whatever
/// the path is.
pub fn parse(method: &Method, path: &str) -> Result<Route, RouteError> {
    let live = is_live(path);
    let read = method == Method::GET || method == Method::HEAD;
    if live && method == Method::OPTIONS {
        return Ok(Route::Preflight);
    }
    if live && !read {
        return Err(RouteError::MethodNotAllowed { allow: READ_LIVE });
    }
    let route = locate(path)?;
    if read {
        Ok(route)
    } else {
        Err(RouteError::MethodNotAllowed { allow: READ })
    }
}

/// The path of a playlist that may be on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playlist<'a> {
    /// What stands for the uid, which may be none.
    pub uid: &'a str,
    /// The media playlist, not the multivariant one.
    pub media: bool,
}

/// What [`parse`] says of the paths that are asked for most, at a fraction of its cost. A uid that is
/// that of a stream has its form; another is nobody's.
pub fn playlist(path: &str) -> Option<Playlist<'_>> {
    let (uid, file) = path.strip_prefix("/live/")?.split_once('/')?;
    let media = match file {
        "index.m3u8" => false,
        "source/index.m3u8" => true,
        _ => return None,
    };
    Some(Playlist { uid, media })
}

/// The route of a path, whatever the method.
fn locate(path: &str) -> Result<Route, RouteError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(RouteError::BadRequest);
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(RouteError::NotFound);
    };
    let decoded = decode(rest)?;
    // The files under `/live` and `/web` have one name each; elsewhere a trailing slash is optional.
    let is_file = decoded.starts_with("live/") || decoded.starts_with("web/");
    let trimmed = match decoded.strip_suffix('/') {
        Some(trimmed) if !is_file && !trimmed.is_empty() => trimmed,
        _ => &decoded,
    };
    let mut parts = trimmed.split('/');
    let names = [parts.next(), parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() {
        return asset(trimmed);
    }
    match names {
        [Some(""), None, ..] => Ok(Route::Home),
        [Some("healthz"), None, ..] => Ok(Route::Health),
        [Some("readyz"), None, ..] => Ok(Route::Ready),
        [Some("version"), None, ..] => Ok(Route::Version),
        [Some("metrics"), None, ..] => Ok(Route::Metrics),
        [Some("watch"), Some(uid), None, _] => Ok(Route::Watch(name(StreamUid::parse(uid))?)),
        [Some("studio"), None, ..] => Ok(Route::Studio),
        [Some("studio"), Some(uid), Some("voice"), None] => {
            Ok(Route::StudioVoice(name(StreamUid::parse(uid))?))
        }
        [Some("embed"), Some(uid), None, _] => Ok(Route::Embed(name(StreamUid::parse(uid))?)),
        [Some("ws"), Some("streams"), Some(uid), None] => {
            Ok(Route::Socket(name(StreamUid::parse(uid))?))
        }
        [Some("live"), Some(uid), Some("index.m3u8"), None] => {
            Ok(Route::Multivariant(name(StreamUid::parse(uid))?))
        }
        [Some("live"), Some(uid), Some("thumbnail.jpg"), None] => {
            Ok(Route::Thumbnail(name(StreamUid::parse(uid))?))
        }
        [Some("live"), Some(uid), Some(rendition), Some(file)] => media(uid, rendition, file),
        _ => asset(trimmed),
    }
}

/// What is inside a rendition: its playlist or a segment.
fn media(uid: &str, rendition: &str, file: &str) -> Result<Route, RouteError> {
    let uid = name(StreamUid::parse(uid))?;
    let rendition = name(Rendition::parse(rendition))?;
    if file == "index.m3u8" {
        return Ok(Route::Media(uid, rendition));
    }
    if file == "recording.ts" {
        return Ok(Route::Recording(uid, rendition));
    }
    let segment = name(SegmentName::parse(file))?;
    Ok(Route::Segment(uid, rendition, segment))
}

/// A file built into the program.
fn asset(path: &str) -> Result<Route, RouteError> {
    assets::find(path)
        .map(Route::Asset)
        .ok_or(RouteError::NotFound)
}

/// A text that has not a name's form names nothing.
fn name<T>(parsed: Option<T>) -> Result<T, RouteError> {
    parsed.ok_or(RouteError::NotFound)
}

/// A path without percent-encoding.
fn decode(path: &str) -> Result<Cow<'_, str>, RouteError> {
    if is_plain(path) {
        Ok(Cow::Borrowed(path))
    } else {
        decode_carefully(path).map(Cow::Owned)
    }
}

/// Undoes percent-encoding (RFC 3986 2.1). What could be read as another path further on is refused:
/// an encoded slash or backslash, control characters, `.` and `..` as a whole part, bytes that are no UTF-8.
fn decode_carefully(path: &str) -> Result<String, RouteError> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, encoded) = match byte {
            b'%' => (octet(bytes.next(), bytes.next())?, true),
            plain => (plain, false),
        };
        if byte == b'\\' || byte.is_ascii_control() || (encoded && byte == b'/') {
            return Err(RouteError::BadRequest);
        }
        out.push(byte);
    }
    let text = String::from_utf8(out).map_err(|_| RouteError::BadRequest)?;
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err(RouteError::BadRequest);
    }
    Ok(text)
}

/// Whether nothing of a path needs another look, as it is with nearly all.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().all(|byte| {
        let begins_with_dot = before == b'/' && byte == b'.';
        before = byte;
        byte.is_ascii_graphic() && byte != b'%' && byte != b'\\' && !begins_with_dot
    })
}

/// The byte that two hexadecimal digits stand for.
fn octet(high: Option<u8>, low: Option<u8>) -> Result<u8, RouteError> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => {
            u8::try_from(high * 16 + low).map_err(|_| RouteError::BadRequest)
        }
        _ => Err(RouteError::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "AAECAwQFBgcICQoLDA0ODw";

    fn get(path: &str) -> Result<Route, RouteError> {
        parse(&Method::GET, path)
    }
    fn uid() -> StreamUid {
        StreamUid::parse(UID).unwrap()
    }

    #[test]
    fn every_public_path_routes() {
        let source = Rendition::source;
        let segment = SegmentName::parse("k3x-17.ts").unwrap();
        for (path, route) in [
            (
                format!("/live/{UID}/index.m3u8"),
                Route::Multivariant(uid()),
            ),
            (
                format!("/live/{UID}/source/index.m3u8"),
                Route::Media(uid(), source()),
            ),
            (
                format!("/live/{UID}/source/k3x-17.ts"),
                Route::Segment(uid(), source(), segment),
            ),
            (
                format!("/live/{UID}/thumbnail.jpg"),
                Route::Thumbnail(uid()),
            ),
            (format!("/watch/{UID}"), Route::Watch(uid())),
            ("/studio".into(), Route::Studio),
            (format!("/studio/{UID}/voice"), Route::StudioVoice(uid())),
            (format!("/embed/{UID}"), Route::Embed(uid())),
            ("/".into(), Route::Home),
            ("/healthz".into(), Route::Health),
            ("/readyz".into(), Route::Ready),
            ("/version".into(), Route::Version),
            ("/metrics".into(), Route::Metrics),
        ] {
            assert_eq!(get(&path), Ok(route.clone()), "{path}");
            assert_eq!(parse(&Method::HEAD, &path), Ok(route), "{path}");
        }
        assert!(matches!(get("/web/watch.js"), Ok(Route::Asset(_))));
        assert!(matches!(
            get("/web/vendor/hls.js/hls.min.mjs"),
            Ok(Route::Asset(_))
        ));
    }

    #[test]
    fn a_trailing_slash_is_optional_except_on_files() {
        assert_eq!(get("/healthz/"), Ok(Route::Health));
        assert_eq!(get(&format!("/watch/{UID}/")), Ok(Route::Watch(uid())));
        for path in [
            format!("/live/{UID}/index.m3u8/"),
            "/web/watch.js/".to_owned(),
            "//".to_owned(),
            "/healthz//".to_owned(),
        ] {
            assert_eq!(get(&path), Err(RouteError::NotFound), "{path}");
        }
    }

    #[test]
    fn methods_that_cannot_work_are_refused_with_what_can() {
        let live = RouteError::MethodNotAllowed { allow: READ_LIVE };
        for path in ["/live", "/live/", "/live/x", "/live/x/index.m3u8"] {
            assert_eq!(parse(&Method::POST, path), Err(live), "{path}");
            assert_eq!(
                parse(&Method::OPTIONS, path),
                Ok(Route::Preflight),
                "{path}"
            );
        }
        let page = RouteError::MethodNotAllowed { allow: READ };
        assert_eq!(parse(&Method::POST, "/healthz"), Err(page));
        assert_eq!(
            parse(&Method::DELETE, "/nowhere"),
            Err(RouteError::NotFound)
        );
        assert_eq!(parse(&Method::OPTIONS, "*"), Err(RouteError::NotFound));
    }

    #[test]
    fn needless_encoding_is_understood() {
        assert_eq!(
            get(&format!("/%6Cive/{UID}/index%2em3u8")),
            Ok(Route::Multivariant(uid()))
        );
    }

    #[test]
    fn deceptive_encoding_is_refused() {
        for path in [
            "/live/..%2f..%2fetc/passwd",
            "/live/%2e%2e/index.m3u8",
            "/live/../index.m3u8",
            "/live/./index.m3u8",
            "/web/..%5cwatch.js",
            "/live/a%00b/index.m3u8",
            "/live/%zz/index.m3u8",
            "/live/%f",
            "/live/%",
            "/live/%ff%fe/index.m3u8",
        ] {
            assert_eq!(get(path), Err(RouteError::BadRequest), "{path}");
        }
        let long = format!("/live/{}/index.m3u8", "a".repeat(MAX_PATH_BYTES));
        assert_eq!(get(&long), Err(RouteError::BadRequest));
    }

    #[test]
    fn names_without_their_form_are_not_found() {
        for path in [
            "/live".to_owned(),
            "/live/short/index.m3u8".to_owned(),
            format!("/live/{UID}"),
            format!("/live/{UID}/other.m3u8"),
            format!("/live/{UID}/SOURCE/index.m3u8"),
            format!("/live/{UID}/source/k3x-017.ts"),
            format!("/live/{UID}/source/k3x-1.mp4"),
            format!("/live/{UID}/source/extra/k3x-1.ts"),
            format!("/live//{UID}/index.m3u8"),
            "/web/".to_owned(),
            "/web/no-such-file.js".to_owned(),
            "/watch/".to_owned(),
            "nothing".to_owned(),
            String::new(),
        ] {
            assert_eq!(get(&path), Err(RouteError::NotFound), "{path}");
        }
    }

    #[test]
    fn a_playlist_is_what_parse_says_it_is() {
        for (file, route) in [
            ("index.m3u8", Some(Route::Multivariant(uid()))),
            (
                "source/index.m3u8",
                Some(Route::Media(uid(), Rendition::source())),
            ),
            ("other/index.m3u8", None),
            ("source/index.m3u8/", None),
            ("source//index.m3u8", None),
            ("source/k3x-17.ts", None),
            ("", None),
        ] {
            let path = format!("/live/{UID}/{file}");
            let found = playlist(&path);
            assert_eq!(found.is_some(), route.is_some(), "{path}");
            if let (Some(found), Some(route)) = (found, route) {
                assert_eq!(found.uid, UID);
                assert_eq!(found.media, matches!(route, Route::Media(..)));
                assert_eq!(get(&path), Ok(route), "{path}");
            }
        }
        assert_eq!(playlist("/live/index.m3u8"), None);
    }

    proptest! {
        #[test]
        fn what_is_plain_needs_no_care(path in "[a-z/.%\\\\ \u{1}é]{0,12}") {
            let careful = decode_carefully(&path);
            if is_plain(&path) {
                prop_assert_eq!(careful, Ok(path));
            }
        }

        #[test]
        fn arbitrary_paths_never_panic(path in ".{0,80}") {
            let _ = get(&path);
            let _ = get(&format!("/live/{path}"));
        }

        #[test]
        fn a_segment_routes_only_by_its_own_name(
            session in "[a-z0-9A-Z_]{0,3}",
            sequence in "[0-9]{0,21}",
        ) {
            let file = format!("{session}-{sequence}.ts");
            let route = get(&format!("/live/{UID}/source/{file}"));
            match SegmentName::parse(&file) {
                Some(name) => prop_assert_eq!(
                    route,
                    Ok(Route::Segment(uid(), Rendition::source(), name))
                ),
                None => prop_assert_eq!(route, Err(RouteError::NotFound)),
            }
        }

        #[test]
        fn a_routed_stream_has_a_real_uid(part in "[A-Za-z0-9_.%-]{0,24}") {
            if let Ok(Route::Multivariant(uid)) = get(&format!("/live/{part}/index.m3u8")) {
                prop_assert!(StreamUid::parse(uid.as_str()).is_some());
            }
        }
    }
}
