//! HTTP: what is answered to whom. Around it: the accept loop (`listener`), one connection
//! (`connection`, `express`, `socket`, `activity`), paths (`route`), answers (`delivery`, `reply`, `probe`,
//! `body`), the API's document (`docs`), the way to the REST API (`rest`). It does not know how segments are made.

mod activity;
mod assets;
mod body;
mod client;
mod conditional;
mod connection;
mod delivery;
mod docs;
mod express;
mod fields;
mod listener;
mod meter;
mod probe;
mod reply;
mod rest;
pub mod route;
mod socket;
mod upgrade;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode, Version, body::Body as HttpBody, header, http::request::Parts,
    upgrade::OnUpgrade,
};
use tokio::{net::TcpListener, sync::watch};
use tracing::{debug, info, warn};

use self::{
    body::Body,
    fields::Fields,
    listener::Seat,
    meter::{Label, Meter},
    reply::Answer,
    route::{Route, RouteError},
};
use crate::{
    api::Api,
    config::Config,
    event::Urls,
    hub::Hub,
    live::{Live, Missing, Snapshot},
    name::{Rendition, StreamUid},
    tls::Tls,
};

/// An answer that took longer to begin is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

/// The same id as on the request's log line.
const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");

/// What requests are answered from.
pub struct State {
    /// The limits, and who may read metrics.
    pub config: Arc<Config>,
    /// What viewers read.
    pub live: Live,
    /// The REST calls.
    pub api: Api,
    /// The rooms.
    pub hub: Hub,
    /// Public URLs for clients that name no host.
    pub urls: Urls,
    /// Renders `/metrics`.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// `Some(reason)` = `/readyz` answers 503.
    pub not_ready: watch::Receiver<Option<String>>,
}

/// Serves, inside TLS if there is one, until `stop` turns true, then finishes running requests and
/// returns. A caller that drops this ends every connection.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    state: Arc<State>,
    stop: watch::Receiver<bool>,
) {
    let meter = Meter::new();
    let server = Arc::new(Server { state, tls, meter });
    listener::serve(listener, server, stop).await;
}

/// What a client may ask to speak inside TLS, best first.
pub const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// Resolves when `stop` turned true, or when nobody is left to turn it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Answers that have no body, nor a length (RFC 9110 8.6).
const BODILESS: [StatusCode; 3] = [
    StatusCode::SWITCHING_PROTOCOLS,
    StatusCode::NO_CONTENT,
    StatusCode::NOT_MODIFIED,
];

/// The state with its counters.
struct Server {
    state: Arc<State>,
    tls: Option<Tls>,
    meter: Meter,
}

impl Server {
    /// Answers one request; only REST calls read its body. What is rare or reads the store is boxed, so
    /// that the future of a playlist, which is asked for most, stays small: it is moved several times.
    async fn answer<B>(&self, peer: SocketAddr, seat: &Arc<Seat>, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let began = Instant::now();
        let (mut request, body) = request.into_parts();
        let upgrade = request.extensions.remove::<OnUpgrade>();
        let path = request.uri.path();
        let (label, mut answer) = match route::parse(&request.method, path) {
            _ if !names_its_host(&request) => {
                if route::is_live(path) {
                    (Label::Live, delivery::unclear())
                } else {
                    (Label::Unknown, unclear())
                }
            }
            Ok(Route::Socket(uid)) => {
                let connection = (upgrade, seat.clone());
                let answer = upgrade::answer(&self.state, peer, &request, uid, connection);
                (Label::Socket, Box::pin(answer).await)
            }
            Ok(route) => (label(&route), self.dispatch(peer, &request, route).await),
            Err(error) if route::is_live(path) => (Label::Live, delivery::refused(error)),
            Err(error @ RouteError::MethodNotAllowed { .. }) => (Label::Unknown, refused(error)),
            Err(RouteError::NotFound | RouteError::BadRequest) => {
                let answer = rest::answer(&self.state, peer, &request, body);
                (Label::Api, Box::pin(answer).await)
            }
        };
        conclude(&request.method, label, &mut answer);
        self.meter.answered(label, answer.status());
        let asked = (&request.method, path, &request.headers);
        let id = answer.headers().get(REQUEST_ID);
        let answered = (answer.status(), id.and_then(|id| id.to_str().ok()));
        self.log(label, peer, asked, answered, began.elapsed());
        answer
    }

    async fn dispatch(&self, peer: SocketAddr, request: &Parts, route: Route) -> Answer {
        let State {
            config,
            live,
            metrics,
            not_ready,
            ..
        } = &*self.state;
        let headers = &request.headers;
        match route {
            Route::Media(_, rendition)
            | Route::Segment(_, rendition, _)
            | Route::Recording(_, rendition)
                if rendition != Rendition::source() =>
            {
                delivery::missing(Missing::NotFound)
            }
            Route::Multivariant(uid) => match self.playlists(&uid).await {
                Ok(snapshot) => {
                    delivery::playlist(headers, &snapshot.multivariant, snapshot.max_age_s)
                }
                Err(missing) => delivery::missing(missing),
            },
            Route::Media(uid, _) => match self.playlists(&uid).await {
                Ok(snapshot) => {
                    let proxies = &config.http.trusted_proxies;
                    snapshot.seen_by(client::address(peer.ip(), headers, proxies));
                    delivery::playlist(headers, &snapshot.media, snapshot.max_age_s)
                }
                Err(missing) => delivery::missing(missing),
            },
            Route::Recording(uid, _) => match Box::pin(live.download(&uid)).await {
                Ok(download) => delivery::recording(&request.method, headers, download),
                Err(missing) => delivery::missing(missing),
            },
            Route::Segment(uid, _, name) => match Box::pin(live.segment(&uid, &name)).await {
                Ok(served) => delivery::segment(&request.method, headers, &served),
                Err(missing) => delivery::missing(missing),
            },
            Route::Thumbnail(uid) => match Box::pin(live.thumbnail(&uid)).await {
                Ok(served) => delivery::thumbnail(headers, &served),
                Err(missing) => delivery::missing(missing),
            },
            Route::Preflight => delivery::preflight(),
            Route::Health => probe::health(),
            Route::Ready => probe::ready(not_ready.borrow().as_deref(), live.storage_trouble()),
            Route::Version => probe::version(),
            Route::Metrics => {
                let address = client::address(peer.ip(), headers, &config.http.trusted_proxies);
                probe::metrics(address, &config.metrics_allow, || {
                    metrics.render() + &live.ingest_metrics()
                })
            }
            Route::Home => reply::file(&assets::HOME, headers),
            Route::Watch(_) => reply::file(&assets::WATCH, headers),
            Route::Studio => reply::file(&assets::STUDIO, headers),
            Route::StudioVoice(_) => reply::file(&assets::VOICE, headers),
            Route::Embed(_) => reply::frameable(&assets::EMBED, headers),
            Route::Asset(asset) => reply::file(asset, headers),
            // Answered before, with its connection.
            Route::Socket(_) => refused(RouteError::NotFound),
        }
    }

    /// The playlists of a stream: of one on the air at once.
    async fn playlists(&self, uid: &StreamUid) -> Result<Arc<Snapshot>, Missing> {
        match self.state.live.snapshot(uid) {
            Some(snapshot) => Ok(snapshot),
            None => Box::pin(self.state.live.playlists(uid)).await,
        }
    }

    /// The access log. By default it shows failures, slow answers, pages and calls that change
    /// something: not each segment, and not what programs ask each second. Query strings are left out: they can hold secrets.
    fn log(
        &self,
        label: Label,
        peer: SocketAddr,
        (method, path, headers): (&Method, &str, &impl Fields),
        (status, request_id): (StatusCode, Option<&str>),
        took: Duration,
    ) {
        let failed = status.is_server_error() && label != Label::Probe;
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    client = %client::address(
                        peer.ip(),
                        headers,
                        &self.state.config.http.trusted_proxies,
                    ),
                    method = %method,
                    path,
                    status = status.as_u16(),
                    took_ms = took.as_millis() as u64,
                    route = label.as_str(),
                    request_id,
                    "request"
                )
            };
        }
        // What programs poll is no news.
        let polled = label == Label::Api && method == Method::GET && status.is_success();
        if failed || took >= SLOW {
            line!(warn);
        } else if matches!(label, Label::Page | Label::Api | Label::Unknown) && !polled {
            line!(info);
        } else {
            line!(debug);
        }
    }
}

/// Under which name a route is counted.
fn label(route: &Route) -> Label {
    match route {
        Route::Multivariant(_) | Route::Media(..) => Label::Playlist,
        Route::Segment(..) => Label::Segment,
        Route::Recording(..) => Label::Recording,
        Route::Thumbnail(_) => Label::Thumbnail,
        Route::Preflight => Label::Live,
        Route::Health | Route::Ready | Route::Version | Route::Metrics => Label::Probe,
        Route::Home | Route::Watch(_) | Route::Studio | Route::StudioVoice(_) | Route::Embed(_) => {
            Label::Page
        }
        Route::Asset(_) => Label::Asset,
        Route::Socket(_) => Label::Socket,
    }
}

/// A path outside `/live` that leads nowhere.
fn refused(error: RouteError) -> Answer {
    let (status, detail, code) = reply::refusal(error);
    let mut answer = reply::error(status, detail, code);
    if let RouteError::MethodNotAllowed { allow } = error {
        reply::set(&mut answer, header::ALLOW, allow);
    }
    answer
}

/// Whether a request says, once, which host it is for (RFC 9112 3.2). HTTP/2 says it in another way,
/// and HTTP/1.0 need not.
fn names_its_host(request: &Parts) -> bool {
    let hosts = request.headers.get_all(header::HOST).iter().count();
    match request.version {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    }
}

/// The answer to one that does not, outside `/live`.
fn unclear() -> Answer {
    let status = StatusCode::BAD_REQUEST;
    reply::error(status, reply::HOST_WANTED, "bad_request")
}

/// What answers have that does not depend on what they are.
fn conclude(method: &Method, label: Label, answer: &mut Answer) {
    if label.is_live() {
        delivery::share(answer);
    } else {
        reply::set_text(answer, REQUEST_ID, &client::request_id());
    }
    finish(method, answer);
}

/// Says the length, and keeps only it for HEAD (RFC 9110 9.3.2). A 204 or 304 has none.
fn finish(method: &Method, answer: &mut Answer) {
    let bodiless = BODILESS.contains(&answer.status());
    if !bodiless {
        let len = answer.body().len();
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, len.into());
    }
    if method == Method::HEAD {
        *answer.body_mut() = Body::empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn head_keeps_the_length_and_drops_the_body() {
        let mut answer = Answer::new(Body::text(Bytes::from_static(b"text")));
        finish(&Method::HEAD, &mut answer);
        assert_eq!(answer.headers()["content-length"], "4");
        assert!(answer.body().is_empty());

        let mut unchanged = Answer::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        finish(&Method::GET, &mut unchanged);
        assert!(!unchanged.headers().contains_key("content-length"));
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        let allow = "GET, HEAD";
        let answer = refused(RouteError::MethodNotAllowed { allow });
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], allow);
    }
}
