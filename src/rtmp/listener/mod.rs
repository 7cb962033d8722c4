//! Accepts encoders under `limits.rtmp_connections`, one task each, and stops them all. It does
//! not know what a connection says.

mod connection;
mod input;
mod low_water;
mod mark;
#[cfg(test)]
mod publish_tests;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tracing::Instrument;

use self::input::Buffers;
use super::{
    amf0, chunk,
    command::PublishStatus,
    session::{self, PublishKey},
};
use crate::{
    auth::{Auth, PublishRefusal},
    config::Config,
    live::{Live, Peer, Publisher, Refused},
    name::StreamUid,
    tls::{Tls, Wire},
};

/// How long accepting rests after it failed: most often descriptors ran out, and trying again at
/// once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refused and failed accepts are logged at most so often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Shortest room for one read, in bytes, and room beside what gathers below `rtmp.receive_mark`, so that one
/// read takes all of it.
const READ_BYTES: usize = 64 * 1024;
const READ_BYTES_MORE: usize = 16 * 1024;

/// Where encoders come in; both ports share the limits.
pub struct Listeners {
    /// RTMP.
    pub plain: TcpListener,
    /// RTMPS.
    pub tls: Option<(TcpListener, Tls)>,
}

impl From<TcpListener> for Listeners {
    fn from(plain: TcpListener) -> Self {
        Self { plain, tls: None }
    }
}

/// A connection just accepted, where it is from, and what it is to be shaken hands with.
type Accepted = (TcpStream, SocketAddr, Option<Tls>);

impl Listeners {
    /// The next of either. Cancel safe.
    async fn accept(&self) -> io::Result<Accepted> {
        let secure = async {
            match &self.tls {
                Some((listener, tls)) => (listener.accept().await, tls.clone()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.plain.accept() => accepted.map(|(tcp, from)| (tcp, from, None)),
            (accepted, tls) = secure => accepted.map(|(tcp, from)| (tcp, from, Some(tls))),
        }
    }
}

/// Accepts encoders until `stop` turns true, then closes every connection and returns.
pub async fn serve(
    listeners: Listeners,
    config: Arc<Config>,
    auth: Auth,
    live: Live,
    stop: watch::Receiver<bool>,
) {
    let door: Door = Arc::new(move |key, peer| {
        let (auth, live) = (auth.clone(), live.clone());
        Box::pin(async move {
            let uid = auth.authorize_publish(key.as_str()).await?;
            let publisher = live.claim(&uid, peer).await?;
            auth.confirm_publish(key.as_str(), &uid).await?;
            Ok((uid, publisher))
        })
    });
    accept_until(listeners, Arc::new(Context::new(&config, door)), stop).await;
}

/// Asks the authority and the registry for the claim that a key gives.
type Door = Arc<dyn Fn(PublishKey, Peer) -> Opening + Send + Sync>;
type Opening = Pin<Box<dyn Future<Output = Result<(StreamUid, Publisher), Refusal>> + Send>>;

/// A refused publish as the encoder, the log and the metric see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: PublishStatus,
    reason: &'static str,
    text: String,
}

impl From<PublishRefusal> for Refusal {
    fn from(refusal: PublishRefusal) -> Self {
        let (status, reason) = match refusal {
            PublishRefusal::UnknownKey => (PublishStatus::Denied, "key"),
            PublishRefusal::Ended => (PublishStatus::Denied, "ended"),
            PublishRefusal::Stopped => (PublishStatus::Denied, "stopped"),
            PublishRefusal::Banned => (PublishStatus::Denied, "banned"),
            PublishRefusal::Unavailable => (PublishStatus::Rejected, "unavailable"),
        };
        let text = refusal.to_string();
        Self {
            status,
            reason,
            text,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let (status, reason) = match refused {
            Refused::Busy => (PublishStatus::BadName, "busy"),
            Refused::TakeoverLimit { .. } => (PublishStatus::BadName, "takeover_limit"),
            Refused::Replaced => (PublishStatus::Rejected, "replaced"),
            Refused::Ended => (PublishStatus::Denied, "ended"),
            Refused::Media(_) => (PublishStatus::Rejected, "media"),
            Refused::Full(_) => (PublishStatus::Rejected, "full"),
            Refused::KeyChanged => (PublishStatus::Rejected, "key_changed"),
            Refused::Banned => (PublishStatus::Denied, "banned"),
            Refused::Restarting => (PublishStatus::Rejected, "restarting"),
            Refused::Unavailable => (PublishStatus::Rejected, "unavailable"),
        };
        let text = refused.to_string();
        Self {
            status,
            reason,
            text,
        }
    }
}

/// What every connection shares.
struct Context {
    limits: session::Limits,
    mark: mark::Limits,
    buffers: Buffers,
    /// `limits.rtmp_connections`.
    connections: usize,
    /// A reply that cannot be written for so long ends the connection: `rtmp.idle_timeout`.
    write_timeout: Duration,
    /// `shutdown_grace`.
    shutdown_grace: Duration,
    door: Door,
}

impl Context {
    fn new(config: &Config, door: Door) -> Self {
        let limits = &config.limits;
        Self {
            limits: session::Limits {
                chunk: chunk::Limits {
                    chunk_streams: limits.rtmp_chunk_streams,
                    message_bytes: limits.rtmp_message_bytes,
                    partial_bytes: limits.rtmp_partial_bytes,
                },
                amf: amf0::Limits {
                    depth: limits.rtmp_amf_depth,
                    values: limits.rtmp_amf_values,
                },
                message_streams: limits.rtmp_message_streams,
                preauth_bytes: limits.rtmp_preauth_bytes,
                handshake_timeout: limits.rtmp_handshake_timeout,
                publish_timeout: limits.rtmp_publish_timeout,
                idle_timeout: config.rtmp.idle_timeout,
            },
            mark: mark::Limits {
                bytes: config.rtmp.receive_mark,
                wait: config.rtmp.receive_wait,
                origin: Instant::now(),
            },
            buffers: Buffers::new(READ_BYTES.max(config.rtmp.receive_mark + READ_BYTES_MORE)),
            connections: limits.rtmp_connections,
            write_timeout: config.rtmp.idle_timeout,
            shutdown_grace: config.shutdown_grace,
            door,
        }
    }
}

async fn accept_until(
    listeners: Listeners,
    context: Arc<Context>,
    mut stop: watch::Receiver<bool>,
) {
    describe_metrics();
    let mut connections = JoinSet::new();
    let mut complaints = Complaints::default();
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(ended);
                continue;
            }
            accepted = listeners.accept() => accepted,
        };
        match accepted {
            Ok((socket, address, tls)) if connections.len() < context.connections => {
                number += 1;
                let peer = Peer {
                    connection: number,
                    address,
                };
                let (context, stop) = (context.clone(), stop.clone());
                connections.spawn(one_connection(socket, tls, peer, context, stop));
            }
            Ok((_, address, _)) => {
                refused("connections");
                complaints.say(|| {
                    let limit = context.connections;
                    tracing::warn!(%address, limit, "limits.rtmp_connections reached: closed");
                });
            }
            Err(error) => {
                complaints.say(|| tracing::warn!(%error, "cannot accept RTMP connections"));
                tokio::select! {
                    () = stopped(&mut stop) => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listeners);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(context.shutdown_grace, all_ended)
        .await
        .is_err()
    {
        tracing::warn!("RTMP connections were cut at the end of shutdown_grace");
    }
}

async fn one_connection(
    socket: TcpStream,
    tls: Option<Tls>,
    peer: Peer,
    context: Arc<Context>,
    mut stop: watch::Receiver<bool>,
) {
    let span = tracing::info_span!(
        "rtmp",
        connection = peer.connection,
        address = %peer.address,
        stream = tracing::field::Empty,
        session = tracing::field::Empty,
    );
    let work = async move {
        let wire = match tls {
            None => Wire::Plain(socket),
            Some(tls) => tokio::select! {
                shaken = tls.accept(socket) => match shaken {
                    Ok(wire) => wire,
                    Err(why) => {
                        let reason = why.as_str();
                        tracing::info!(reason, "closed: no TLS");
                        return refused(reason);
                    }
                },
                () = stopped(&mut stop) => return,
            },
        };
        connection::run(wire, peer, context, stop).await;
    };
    work.instrument(span).await;
}

/// Counts a connection or publish that the server did not want.
fn refused(reason: &'static str) {
    metrics::counter!("cauce_rtmp_refused_total", "reason" => reason).increment(1);
}

/// Resolves when `stop` is true or can no longer become so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A panicking task ends its own connection only; it is a bug all the same.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an RTMP connection failed: this is a bug in cauce");
    }
}

/// Logs at most once in [`LOG_EVERY`].
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn say(&mut self, log: impl FnOnce()) {
        let now = Instant::now();
        if self.last.is_none_or(|last| now - last >= LOG_EVERY) {
            self.last = Some(now);
            log();
        }
    }
}

fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!("cauce_rtmp_connections", "Open RTMP connections");
    describe_gauge!("cauce_rtmp_publishers", "Connections that are publishing");
    describe_counter!("cauce_rtmp_bytes_total", "Bytes received over RTMP");
    describe_counter!(
        "cauce_rtmp_messages_total",
        "Audio, video and data messages taken from publishers"
    );
    describe_counter!(
        "cauce_rtmp_refused_total",
        "Connections and publishes refused or ended by the server, by reason"
    );
}
