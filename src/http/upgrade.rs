//! From an HTTP request to a WebSocket (RFC 6455 4.2): who may, and the handshake's answer. It does
//! not know what is said on it.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, HeaderName},
    http::request::Parts,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    State, client,
    listener::Seat,
    reply::{self, Answer, set, set_text},
    rest,
};
use crate::{
    auth::{BadToken, Bearer, Identity, NoIdentity},
    hub::{Known, Newcomer},
    name::StreamUid,
};

/// Bytes of a WebSocket key once decoded (RFC 6455 4.1).
const KEY_BYTES: usize = 16;

/// Answers a request for a stream's WebSocket: 101 and a task that serves it, or why not.
pub async fn answer(
    state: &State,
    peer: SocketAddr,
    parts: &Parts,
    uid: StreamUid,
    connection: (Option<OnUpgrade>, Arc<Seat>),
) -> Answer {
    match admit(state, peer, parts, uid).await {
        Ok((accept, newcomer)) => {
            let (Some(upgrade), seat) = connection else {
                return not_upgradable();
            };
            let hub = state.hub.clone();
            tokio::spawn(async move {
                // The connection's seat is taken until the socket ends.
                let _seat = seat;
                match upgrade.await {
                    Ok(stream) => hub.serve(TokioIo::new(stream), newcomer).await,
                    Err(error) => tracing::debug!(%peer, %error, "upgrade broken"),
                }
            });
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            set(&mut answer, header::CONNECTION, "Upgrade");
            set(&mut answer, header::UPGRADE, "websocket");
            set_text(&mut answer, header::SEC_WEBSOCKET_ACCEPT, &accept);
            answer
        }
        Err(refusal) => *refusal,
    }
}

/// The handshake's answer and who comes in; else what is answered instead.
async fn admit(
    state: &State,
    peer: SocketAddr,
    parts: &Parts,
    uid: StreamUid,
) -> Result<(String, Newcomer), Box<Answer>> {
    let headers = &parts.headers;
    let refuse = |status, detail: &str, code: &str| Box::new(reply::error(status, detail, code));
    let unavailable = || {
        let detail = "The server cannot do this now.";
        refuse(StatusCode::SERVICE_UNAVAILABLE, detail, "unavailable")
    };
    if !origin_allowed(state, peer, parts) {
        let detail = "This origin may not open a WebSocket here.";
        return Err(refuse(StatusCode::FORBIDDEN, detail, "forbidden"));
    }
    let known = state.hub.knows(&uid).await.map_err(|error| {
        tracing::warn!(%error, "a stream could not be looked up");
        unavailable()
    })?;
    if !known {
        return Err(refuse(StatusCode::NOT_FOUND, "Not found.", "not_found"));
    }
    let login = login(state, headers).await.map_err(|why| match why {
        Some(NoIdentity::Unavailable(error)) => {
            tracing::warn!(%error, "a token could not be checked");
            unavailable()
        }
        why => {
            let (detail, code) = match why {
                Some(NoIdentity::Token(BadToken::Expired)) => {
                    ("The token has expired.", "token_expired")
                }
                _ => ("The token is not valid.", "token_not_valid"),
            };
            let mut answer = refuse(StatusCode::UNAUTHORIZED, detail, code);
            set(&mut answer, header::WWW_AUTHENTICATE, "Bearer");
            answer
        }
    })?;
    let accept = handshake(parts).ok_or_else(|| Box::new(not_upgradable()))?;
    let trusted = &state.config.http.trusted_proxies;
    let address = client::address(peer.ip(), headers, trusted);
    let newcomer = Newcomer {
        uid,
        address: client::seat_owner(address),
        site: rest::urls(state, peer, parts).http.into(),
        login,
        known: parts.uri.query().and_then(resume),
    };
    Ok((accept, newcomer))
}

/// Whoever the header names; `None` without a header. `Err(None)`: no bearer token.
async fn login(
    state: &State,
    headers: &HeaderMap,
) -> Result<Option<(Bearer, Identity)>, Option<NoIdentity>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().split_once(' '))
        .ok_or(None)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(None);
    }
    let login = state.hub.bearer(token.trim()).await;
    login.map(Some).map_err(Some)
}

/// The accept key of a well-formed handshake (RFC 6455 4.2.1).
fn handshake(parts: &Parts) -> Option<String> {
    let headers = &parts.headers;
    let upgrades = parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && names(headers, header::CONNECTION, "upgrade")
        && names(headers, header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION)? == "13";
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    let bytes = STANDARD.decode(key).ok()?;
    (upgrades && bytes.len() == KEY_BYTES).then(|| derive_accept_key(key))
}

/// Whether a list header has this word.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    let mut words = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|one| one.trim().eq_ignore_ascii_case(word))
}

fn not_upgradable() -> Answer {
    let detail = "Open this address as a WebSocket, version 13, over HTTP/1.1.";
    let mut answer = reply::error(StatusCode::UPGRADE_REQUIRED, detail, "upgrade_required");
    set(&mut answer, header::UPGRADE, "websocket");
    set(&mut answer, header::CONNECTION, "Upgrade");
    set(&mut answer, header::SEC_WEBSOCKET_VERSION, "13");
    answer
}

/// A browser says which site's page asks: ours, or one that is allowed. Other clients say nothing.
fn origin_allowed(state: &State, peer: SocketAddr, parts: &Parts) -> bool {
    let Some(origin) = parts.headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let allowed = &state.config.http.allowed_origins;
    if allowed.iter().any(|one| one.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let own = rest::urls(state, peer, parts).http;
    if own.eq_ignore_ascii_case(origin) {
        return true;
    }
    // A proxy that ends TLS without saying so: the page's host is ours all the same.
    let host = rest::host(parts).unwrap_or_default();
    let named = origin.split_once("://").map(|(_, host)| host);
    named.is_some_and(|named| !host.is_empty() && named.eq_ignore_ascii_case(host))
}

/// `since` and `epoch` of a query; anything else in it is nobody's business.
fn resume(query: &str) -> Option<Known> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    Some(Known {
        since: value("since")?.parse().ok()?,
        epoch: value("epoch")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().version(Version::HTTP_11);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_handshake_is_that_of_rfc_6455() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let accept = handshake(&request(&good));
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for missing in 0..good.len() {
            let mut headers = good.to_vec();
            headers.remove(missing);
            assert_eq!(handshake(&request(&headers)), None, "{missing}");
        }
        let mut bad = good;
        bad[3].1 = "dGhlIHNhbXBsZQ==";
        assert_eq!(handshake(&request(&bad)), None);
    }

    #[test]
    fn a_client_says_what_it_has() {
        let known = resume("a=b&since=12&epoch=abc").unwrap();
        assert_eq!((known.since, known.epoch.as_str()), (12, "abc"));
        for query in [
            "",
            "since=12",
            "since=x&epoch=a",
            "since=-1&epoch=a",
            "token=t",
        ] {
            assert_eq!(resume(query), None, "{query}");
        }
    }
}
