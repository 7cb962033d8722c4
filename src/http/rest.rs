//! Between HTTP and the REST API: bodies within their limits of size and time, who the client is,
//! CORS, and an answer's headers. It does not know any call.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Body as HttpBody,
    header::{self, HeaderName, HeaderValue},
    http::request::Parts,
};
use tokio::time::timeout;

use super::{
    State,
    body::Body,
    client,
    reply::{Answer, set, set_text},
};
use crate::{
    api::{Content, Failure, Head, Reply, Request},
    config::Config,
    event::Urls,
};

/// Bytes of a refused body that are still read, so that the client reads the refusal: closing on
/// unread bytes resets the connection.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a form around an image may add to it, bytes.
const FORM_BYTES: usize = 16 * 1024;
/// Methods that other origins may use.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// Text from users never runs, wherever a browser shows it.
const NO_SCRIPTS: &str = "default-src 'none'; frame-ancestors 'none'";

/// Answers one request outside `/live` that is for no page, file or probe.
pub async fn answer<B>(state: &State, peer: SocketAddr, parts: &Parts, body: B) -> Answer
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let path = parts.uri.path();
    let mut answer = if parts.method == Method::OPTIONS {
        options(path)
    } else {
        let method = parts.method.as_str();
        let reply = match Head::parse(method, path, parts.uri.query()) {
            Ok(head) => call(state, peer, parts, head, body).await,
            Err(failure) => failure.into(),
        };
        convert(reply)
    };
    share(
        &mut answer,
        &state.config.http.allowed_origins,
        &parts.headers,
    );
    answer
}

async fn call<B>(state: &State, peer: SocketAddr, parts: &Parts, head: Head, body: B) -> Reply
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let config = &state.config;
    let limits = &config.limits;
    let bytes_max = match head.call.takes_image() {
        true => limits.image_bytes + FORM_BYTES,
        false => limits.body_bytes,
    };
    let body = match read(body, bytes_max, limits.http_body_timeout).await {
        Ok(body) => body,
        Err(failure) => return failure.into(),
    };
    let text = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let trusted = &config.http.trusted_proxies;
    let request = Request {
        head,
        authorization: text(header::AUTHORIZATION),
        content_type: text(header::CONTENT_TYPE),
        accept: text(header::ACCEPT),
        accept_language: text(header::ACCEPT_LANGUAGE),
        body,
        client: client::address(peer.ip(), &parts.headers, trusted),
        urls: urls(state, peer, parts),
    };
    state.api.answer(&request).await
}

/// Public URLs for this client.
pub fn urls(state: &State, peer: SocketAddr, parts: &Parts) -> Urls {
    let config = &state.config;
    let https = is_https(config, peer, parts);
    state.urls.seen_by(config, host(parts), https)
}

/// The name that the client used: HTTP/1's Host, HTTP/2's `:authority`.
pub fn host(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(header::HOST);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| header.and_then(|value| value.to_str().ok()))
}

/// Whether the client came by HTTPS: to us, or to a proxy that is trusted to say so.
fn is_https(config: &Config, peer: SocketAddr, parts: &Parts) -> bool {
    if config.http.is_tls() {
        return true;
    }
    let said = parts.headers.get("x-forwarded-proto");
    let said = said.and_then(|value| value.to_str().ok()).unwrap_or("");
    // Of several proxies the first one met the client.
    let first = said.split(',').next().unwrap_or("").trim();
    first.eq_ignore_ascii_case("https") && client::contains(&config.http.trusted_proxies, peer.ip())
}

/// The whole body.
async fn read<B>(mut body: B, bytes_max: usize, patience: Duration) -> Result<Bytes, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let collect = async {
        let mut whole = BytesMut::new();
        let mut received = 0usize;
        while let Some(frame) = body.frame().await {
            let broken = || Failure::detail(400, "The body broke off.", "bad_request");
            let Ok(piece) = frame.map_err(|_| broken())?.into_data() else {
                continue;
            };
            received = received.saturating_add(piece.len());
            if received <= bytes_max {
                whole.extend_from_slice(&piece);
            } else if received > bytes_max.saturating_add(DRAIN_BYTES_MAX) {
                break;
            }
        }
        if received > bytes_max {
            return Err(Failure::too_large(bytes_max));
        }
        Ok(whole.freeze())
    };
    let read = timeout(patience, collect).await;
    read.unwrap_or_else(|_| Err(Failure::too_slow()))
}

/// OPTIONS: what a path can be asked.
fn options(path: &str) -> Answer {
    let allow = Head::allowed(path);
    if allow.is_empty() {
        return convert(Failure::not_found().into());
    }
    let mut answer = convert(Reply::nothing().header("allow", allow));
    set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, "86400");
    answer
}

/// Puts a reply into HTTP's form.
fn convert(reply: Reply) -> Answer {
    let (kind, body) = match reply.content {
        Content::Empty => (None, Body::empty()),
        Content::Json(value) => (Some("application/json"), Body::text(value.to_string())),
        Content::Html(page) => (Some("text/html; charset=utf-8"), Body::text(page)),
        Content::Bytes(kind, bytes) => (Some(kind), Body::text(bytes)),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(kind) = kind {
        set(&mut answer, header::CONTENT_TYPE, kind);
    }
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, NO_SCRIPTS);
    for (name, value) in &reply.headers {
        set_text(&mut answer, HeaderName::from_static(name), value);
    }
    // The rest of a body that came too slowly is not waited for.
    if answer.status() == StatusCode::REQUEST_TIMEOUT {
        set(&mut answer, header::CONNECTION, "close");
    }
    answer
}

/// CORS: other origins read answers only when `http.allowed_origins` names them.
fn share(answer: &mut Answer, allowed: &[String], request: &HeaderMap) {
    if allowed.is_empty() {
        return;
    }
    answer
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = request.get(header::ORIGIN) else {
        return;
    };
    let sent = origin.to_str().unwrap_or_default();
    if !allowed.iter().any(|one| one.eq_ignore_ascii_case(sent)) {
        return;
    }
    answer
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Allow, Retry-After, X-Request-Id",
        ),
    ] {
        set(answer, name, value);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn full(len: usize) -> Full<Bytes> {
        Full::new(vec![b'x'; len].into())
    }

    /// A body that never gives anything.
    #[derive(Debug)]
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_have_a_size_and_a_time() {
        assert_eq!(read(full(10), 10, SECOND).await.unwrap().len(), 10);
        assert!(read(Empty::new(), 10, SECOND).await.unwrap().is_empty());
        let large = read(full(11), 10, SECOND).await;
        assert_eq!(large, Err(Failure::too_large(10)));
        assert_eq!(read(Silent, 10, SECOND).await, Err(Failure::too_slow()));
    }

    #[test]
    fn answers_are_kept_nowhere_unless_they_say_so() {
        let answer = convert(Reply::done("Done"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let kept = Reply::nothing().header("cache-control", "max-age=5");
        let answer = convert(kept);
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["cache-control"], "max-age=5");
        let slow = convert(Failure::too_slow().into());
        assert_eq!(slow.headers()["connection"], "close");
    }

    #[test]
    fn only_named_origins_may_read() {
        let allowed = ["https://studio.example".to_owned()];
        let shared = |origin: Option<&'static str>, allowed: &[String]| {
            let mut request = HeaderMap::new();
            if let Some(origin) = origin {
                request.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let mut answer = convert(Reply::nothing());
            share(&mut answer, allowed, &request);
            let headers = answer.headers();
            let text = |name| headers.get(name).cloned();
            (
                text(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                text(header::VARY),
            )
        };
        let vary = Some(HeaderValue::from_static("Origin"));
        let ours = "https://studio.example";
        let granted = Some(HeaderValue::from_static(ours));
        assert_eq!(shared(Some(ours), &allowed), (granted, vary.clone()));
        assert_eq!(
            shared(Some("https://evil.example"), &allowed),
            (None, vary.clone())
        );
        assert_eq!(shared(Some("null"), &allowed), (None, vary.clone()));
        assert_eq!(shared(None, &allowed), (None, vary));
        assert_eq!(shared(Some(ours), &[]), (None, None));
    }
}
