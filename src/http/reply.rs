//! Answers outside `/live`: JSON, errors, pages and files with their headers. It does not know which
//! request gets which.

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::{assets::Asset, body::Body, conditional, route::RouteError};

/// What a request without a host, or with two, is told (RFC 9112 3.2).
pub const HOST_WANTED: &str = "One Host field is needed.";

/// A whole answer.
pub type Answer = Response<Body>;

/// What pages may load: our own scripts, styles and media, and nothing from elsewhere. The player
/// hands media to the video element as `blob:`, and captions a track that begins as an empty `data:`.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     media-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'self'",
);

/// The same for the page that other sites show in a frame.
const EMBED_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     media-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors *",
);

/// Sets a header that has a constant value.
pub fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// Sets a header from a text made of visible ASCII, as entity tags, dates and numbers are. One that
/// is not is left out: a missing validator costs a cache hit, not a viewer.
pub fn set_text(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// A JSON object.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Body::text(value.to_string()));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, "application/json");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// `{"detail": ..., "code": ...}`.
pub fn error(status: StatusCode, detail: &str, code: &str) -> Answer {
    json(
        status,
        &serde_json::json!({ "detail": detail, "code": code }),
    )
}

/// What a path that leads nowhere is answered, in status and words.
pub fn refusal(error: RouteError) -> (StatusCode, &'static str, &'static str) {
    match error {
        RouteError::NotFound => (StatusCode::NOT_FOUND, "Not found.", "not_found"),
        RouteError::MethodNotAllowed { .. } => (
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed.",
            "method_not_allowed",
        ),
        RouteError::BadRequest => (
            StatusCode::BAD_REQUEST,
            "The path is not well formed.",
            "bad_request",
        ),
    }
}

/// A page that any site may show in a frame.
pub fn frameable(asset: &'static Asset, request: &HeaderMap) -> Answer {
    let mut answer = file(asset, request);
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, EMBED_POLICY);
    answer
}

/// Text for Prometheus.
pub fn metrics(text: String) -> Answer {
    let mut answer = Response::new(Body::text(text));
    set(
        &mut answer,
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// A file built into the program, as a page or as a part of one. It is asked for again with each use
/// and answered 304 by its tag, so a new version of the program is a new version of its pages.
pub fn file(asset: &'static Asset, request: &HeaderMap) -> Answer {
    let gzip = conditional::accepts_gzip(request);
    let etag = asset.etag(gzip);
    let fresh = request.contains_key(header::IF_NONE_MATCH)
        && conditional::not_modified(request, etag, std::time::UNIX_EPOCH);
    let content = if gzip { asset.gzip() } else { asset.content };
    let mut answer = if fresh {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        Response::new(Body::text(Bytes::from_static(content)))
    };
    if gzip && !fresh {
        set(&mut answer, header::CONTENT_ENCODING, "gzip");
    }
    set_text(&mut answer, header::ETAG, etag);
    set(&mut answer, header::VARY, "Accept-Encoding");
    set(&mut answer, header::CONTENT_TYPE, asset.content_type());
    set(&mut answer, header::CACHE_CONTROL, "no-cache");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::assets;

    #[test]
    fn errors_are_json_and_never_cached() {
        let answer = error(StatusCode::FORBIDDEN, "Not from here.", "forbidden");
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(!answer.body().is_empty());
    }

    #[test]
    fn only_the_embedded_player_may_be_framed_elsewhere() {
        let policy = |answer: &Answer| {
            let policy = &answer.headers()["content-security-policy"];
            policy.to_str().unwrap().to_owned()
        };
        let embed = policy(&frameable(&assets::EMBED, &HeaderMap::new()));
        let page = policy(&file(&assets::WATCH, &HeaderMap::new()));
        assert!(embed.ends_with("frame-ancestors *"), "{embed}");
        assert_eq!(embed.replace('*', "'self'"), page);
    }

    #[test]
    fn files_have_a_tag_that_gives_304() {
        let asset = assets::find("web/watch.js").unwrap();
        let first = file(asset, &HeaderMap::new());
        assert_eq!(first.status(), 200);
        assert_eq!(first.body().len(), asset.content.len() as u64);
        assert_eq!(
            first.headers()["content-type"],
            "text/javascript; charset=utf-8"
        );
        let policy = first.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';"));

        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, first.headers()["etag"].clone());
        let second = file(asset, &again);
        assert_eq!(second.status(), 304);
        assert!(second.body().is_empty());
        assert_eq!(second.headers()["etag"], first.headers()["etag"]);

        again.insert(
            header::ACCEPT_ENCODING,
            header::HeaderValue::from_static("gzip"),
        );
        let third = file(asset, &again);
        assert_eq!(third.status(), 200, "another representation");
        assert_eq!(third.headers()["content-encoding"], "gzip");
        assert!(third.body().len() < first.body().len());
    }
}
