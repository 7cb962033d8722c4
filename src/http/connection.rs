//! One connection, from its first byte to its close: the short way as long as it lasts, then hyper's,
//! which is HTTP/1.1 or, when the client begins with its preface, HTTP/2. It does not know what is
//! asked or answered.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::{
    Server,
    activity::{Activity, Patience},
    body::Body,
    express::{End, Express},
    listener::Seat,
    meter,
    socket::Socket,
};

/// The least that hyper takes as a limit on a request's head, bytes.
const LEAST_HEADER_BYTES: usize = 8192;
/// Requests one HTTP/2 connection may have open: a player needs three, a CDN opens more connections.
const HTTP2_STREAMS: u32 = 100;
/// Bytes of an answer that wait for an HTTP/2 stream's flow control.
const HTTP2_SEND_BYTES: usize = 256 * 1024;

/// Serves one client until it leaves, is overdue, or `stop` turns true; then what it has asked for
/// is still answered.
pub async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    server: Arc<Server>,
    seat: Arc<Seat>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &server.state.config.limits;
    let patience = Patience {
        head: limits.http_header_timeout,
        idle: limits.http_idle_timeout,
        write: limits.http_write_timeout,
    };
    let activity = Activity::new(patience, server.meter.bytes());
    let mut express = Express::new(
        stream,
        peer,
        server.clone(),
        activity.clone(),
        seat.clone(),
        stop.clone(),
    );
    let short = watched(
        Pin::new(&mut express),
        |way| way.get_mut().leave(),
        peer,
        &activity,
        &mut stop,
    );
    let Some(End::Handed(read)) = short.await else {
        return;
    };
    server.meter.handed_over();
    // Shared by the requests of one connection: counting what all connections share, for each request,
    // would move that between the processors.
    let client = Arc::new(Client {
        server,
        activity,
        peer,
        seat,
    });
    // Boxed: a connection that never comes here has no room for it.
    Box::pin(client.serve(express.into_stream(), read.into(), &mut stop)).await;
}

/// Goes on with `way` until it ends, which is told, or is overdue; when `stop` turns true, `leave`
/// tells it to end.
async fn watched<F: Future>(
    mut way: Pin<&mut F>,
    leave: impl Fn(Pin<&mut F>),
    peer: SocketAddr,
    activity: &Activity,
    stop: &mut watch::Receiver<bool>,
) -> Option<F::Output> {
    let look = sleep_until(Instant::now());
    tokio::pin!(look);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = way.as_mut() => return Some(ended),
            () = look.as_mut() => match activity.check() {
                Ok(next) => look.as_mut().reset(next),
                Err(overdue) => {
                    debug!(%peer, reason = overdue.as_str(), "connection ended");
                    meter::cut(overdue.as_str());
                    return None;
                }
            },
            () = super::stopped(stop), if !stopping => {
                stopping = true;
                leave(way.as_mut());
            }
        }
    }
}

/// Who asks on one connection.
struct Client {
    server: Arc<Server>,
    activity: Arc<Activity>,
    peer: SocketAddr,
    seat: Arc<Seat>,
}

impl Client {
    /// Hyper's way; `read` was read from `stream` already.
    async fn serve<S>(self: Arc<Self>, stream: S, read: Bytes, stop: &mut watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let socket = Socket::new(stream, self.activity.clone(), read);
        let (activity, peer) = (self.activity.clone(), self.peer);
        let builder = builder(self.server.state.config.limits.http_header_bytes);
        let service = service_fn(move |request| answer(self.clone(), request));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
        tokio::pin!(connection);
        let ended = watched(
            connection,
            |way| way.graceful_shutdown(),
            peer,
            &activity,
            stop,
        );
        if let Some(Err(error)) = ended.await {
            debug!(%peer, %error, "connection broken");
        }
    }
}

/// One request; its ticket goes with the answer's body.
async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let is_http2 = request.version() == hyper::Version::HTTP_2;
    let mut ticket = client.activity.begin(is_http2);
    let answer = client.server.answer(client.peer, &client.seat, request);
    let answer = answer.await;
    ticket.progress();
    Ok(answer.map(|body| body.track(ticket)))
}

fn builder(header_bytes: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .max_buf_size(header_bytes.max(LEAST_HEADER_BYTES))
        // `Activity` keeps this time: hyper's counts the rest between requests as a head.
        .header_read_timeout(None);
    builder
        .http2()
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_send_buf_size(HTTP2_SEND_BYTES);
    builder
}
