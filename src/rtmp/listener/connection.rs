//! One RTMP connection: reads the socket, drives the session, hands tags to the publisher, tells
//! the encoder why it ends. It does not know the protocol.

use std::{
    io::{self, Read as _},
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge};
use segmenter::Tag;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{timeout, timeout_at},
};

use super::{
    Context, Refusal,
    input::{Buffers, Input},
    low_water,
    mark::{Mark, Wait},
    refused, stopped,
};
use crate::{
    live::{Peer, Publisher, Refused},
    rtmp::session::{Action, End, PublishKey, Session},
    tls::Wire,
};

/// How long a connection that was told why it ends may take to read that. Closing at once with
/// unread input would reset the connection and lose the text.
const LINGER: Duration = Duration::from_secs(1);
/// Tags handed on at once, which all that was read together has but for the smallest.
const TAGS: usize = 64;

/// Serves one connection to its end.
pub(super) async fn run(
    wire: Wire,
    peer: Peer,
    context: Arc<Context>,
    mut stop: watch::Receiver<bool>,
) {
    // Replies are small and each one is waited for.
    if let Err(error) = wire.tcp().set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut connection = Connection::new(wire, peer, context);
    tracing::info!("connected");
    let why = connection.drive(pin!(stopped(&mut stop))).await;
    connection.close(why).await;
}

/// Why a connection ends.
enum Why {
    /// The session ended it.
    End(End),
    /// The publish was refused or the claim was lost.
    Refused(Refusal),
    /// The server stops.
    Stopping,
    /// The encoder closed the socket.
    Disconnected,
    /// The socket failed.
    Io(io::Error),
}

impl From<End> for Why {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// The claim and what it has taken so far.
struct Running {
    publisher: Publisher,
    /// Resolves when the publisher is put out. One for the whole publish: a new one for each read would
    /// register anew each time.
    evicted: Pin<Box<dyn Future<Output = Refused> + Send>>,
    mark: Mark,
    since: Instant,
    bytes: u64,
    tags: u64,
    _gauge: Raised,
}

struct Connection {
    wire: Wire,
    session: Session,
    input: Input,
    /// The socket's low-water mark; `None` if it is not ours to set.
    low_water_bytes: Option<usize>,
    running: Option<Running>,
    /// Read, and not handed on yet.
    tags: Vec<Tag>,
    peer: Peer,
    context: Arc<Context>,
    received: Counter,
    messages: Counter,
    /// Not added to `messages` yet.
    uncounted: u64,
    _gauge: Raised,
}

impl Connection {
    fn new(wire: Wire, peer: Peer, context: Arc<Context>) -> Self {
        // The fill guards nothing: without entropy the connection's number does.
        let seed = getrandom::u64().unwrap_or(peer.connection);
        // TLS reads by records, of which the socket knows nothing.
        let low_water_bytes = matches!(wire, Wire::Plain(_)).then_some(1);
        Self {
            wire,
            low_water_bytes,
            session: Session::new(now(), seed, context.limits),
            input: Input::default(),
            running: None,
            tags: Vec::with_capacity(TAGS),
            peer,
            context,
            received: metrics::counter!("cauce_rtmp_bytes_total"),
            messages: metrics::counter!("cauce_rtmp_messages_total"),
            uncounted: 0,
            _gauge: Raised::new(metrics::gauge!("cauce_rtmp_connections")),
        }
    }

    async fn drive(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Why {
        loop {
            let processed = self.process().await;
            self.messages.increment(std::mem::take(&mut self.uncounted));
            if let Err(why) = processed {
                return why;
            }
            if let Some(end) = self.session.overdue(now()) {
                return end.into();
            }
            if let Err(why) = self.receive(stop.as_mut()).await {
                return why;
            }
        }
    }

    /// Waits for bytes, the session's deadline, eviction or the stop, whichever comes first.
    async fn receive(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<(), Why> {
        let wait = self.wait();
        // Encoders that leave Nagle's algorithm on (FFmpeg, GStreamer) hold each command back until
        // the one before it is acknowledged. Acknowledging at once saves them 40 ms a step; the
        // kernel forgets the wish, so it is renewed until the publish runs.
        #[cfg(target_os = "linux")]
        if self.running.is_none() {
            let _ = self.wire.tcp().set_quickack(true);
        }
        let deadline = self.session.deadline();
        let deadline = wait.until.map_or(deadline, |until| until.min(deadline));
        let read = tokio::select! {
            biased;
            refused = evicted(&mut self.running) => return Err(Why::Refused(refused.into())),
            () = stop => return Err(Why::Stopping),
            read = timeout_at(deadline.into(), read(&mut self.wire, &mut self.input, &self.context.buffers)) => read,
        };
        // After a deadline the caller asks the session what the time means.
        let read = match read {
            Err(_deadline) if wait.bytes == 1 => return Ok(()),
            Err(_deadline) => self.read_gathered(),
            Ok(read) => read,
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Why::Io(error)),
            Ok(0) => Err(Why::Disconnected),
            Ok(bytes) => {
                self.received.increment(bytes as u64);
                if let Some(running) = &mut self.running {
                    running.bytes += bytes as u64;
                }
                Ok(())
            }
        }
    }

    /// What to wait for, with the socket's mark set to it. While no publish runs every byte counts.
    fn wait(&mut self) -> Wait {
        let (Some(bytes), most) = (self.low_water_bytes, self.session.unacknowledged_most()) else {
            return Wait::AT_ONCE;
        };
        let wait = match &self.running {
            Some(running) => running.mark.wait(now(), most),
            None => Wait::AT_ONCE,
        };
        if wait.bytes == bytes {
            return wait;
        }
        match low_water::set(self.wire.tcp(), wait.bytes) {
            Ok(()) => {
                self.low_water_bytes = Some(wait.bytes);
                wait
            }
            Err(error) => {
                tracing::debug!(%error, "cannot set SO_RCVLOWAT");
                self.low_water_bytes = None;
                Wait::AT_ONCE
            }
        }
    }

    /// Reads what is there below the mark. The runtime would not try: nobody told it of any bytes.
    fn read_gathered(&mut self) -> io::Result<usize> {
        let room = self.input.room(&self.context.buffers);
        let bytes = (&*SockRef::from(self.wire.tcp())).read(room)?;
        self.input.received(bytes);
        Ok(bytes)
    }

    /// Acts on all input that is there, then sends the replies in one write.
    async fn process(&mut self) -> Result<(), Why> {
        let read_at = now();
        loop {
            let progress = match self.session.input(read_at, self.input.unused()) {
                Ok(progress) => progress,
                Err(end) => {
                    self.hand_on().await?;
                    return Err(end.into());
                }
            };
            self.input.used(progress.consumed);
            match progress.action {
                None => {
                    self.hand_on().await?;
                    self.input.settle(&self.context.buffers);
                    return self.flush().await;
                }
                Some(Action::Flush) => self.flush().await?,
                Some(Action::Media(media)) => {
                    for tag in media {
                        self.take(read_at, tag).await?;
                    }
                }
                Some(Action::Publish(key)) => self.open(key).await?,
                Some(Action::Unpublish) => {
                    self.hand_on().await?;
                    self.flush().await?;
                    self.finish("unpublished").await;
                }
            }
        }
    }

    /// Takes a tag that was read.
    async fn take(&mut self, read_at: Instant, tag: Tag) -> Result<(), Why> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        running.tags += 1;
        running.mark.heard(read_at, &tag);
        self.uncounted += 1;
        self.tags.push(tag);
        if self.tags.len() < TAGS {
            return Ok(());
        }
        self.hand_on().await
    }

    /// Gives the publisher what was read, all at once: what does not depend on a tag is done once.
    async fn hand_on(&mut self) -> Result<(), Why> {
        let Some(running) = self.running.as_mut().filter(|_| !self.tags.is_empty()) else {
            return Ok(());
        };
        let pushed = running.publisher.push(&self.tags).await;
        self.tags.clear();
        pushed.map_err(|refused| Why::Refused(refused.into()))
    }

    /// Asks for the claim and answers the encoder.
    async fn open(&mut self, key: PublishKey) -> Result<(), Why> {
        let opening = (self.context.door)(key, self.peer);
        let Ok(opened) = timeout_at(self.session.deadline().into(), opening).await else {
            return Err(End::PublishTimeout.into());
        };
        let (uid, publisher) = opened.map_err(Why::Refused)?;
        let span = tracing::Span::current();
        span.record("stream", tracing::field::display(&uid));
        span.record("session", publisher.session());
        tracing::info!("publishing");
        self.running = Some(Running {
            evicted: Box::pin(publisher.eviction()),
            publisher,
            mark: Mark::new(now(), self.context.mark),
            since: now(),
            bytes: 0,
            tags: 0,
            _gauge: Raised::new(metrics::gauge!("cauce_rtmp_publishers")),
        });
        self.session.accept(now());
        Ok(())
    }

    /// The orderly end of a publish: what is open is listed.
    async fn finish(&mut self, reason: &str) {
        if let Some(running) = self.running.take() {
            running.log_end(reason, reason);
            running.publisher.finish().await;
        }
    }

    async fn flush(&mut self) -> Result<(), Why> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.wire.write_all(&output).await?;
            // TLS keeps what the socket does not take at once.
            self.wire.flush().await
        };
        let written = timeout(self.context.write_timeout, write).await;
        written
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Why::Io)
    }

    /// Tells the encoder, releases the claim, logs and closes.
    async fn close(mut self, why: Why) {
        let (reason, text) = match &why {
            Why::End(end) => (end.reason(), end.to_string()),
            Why::Refused(refusal) => (refusal.reason, refusal.text.clone()),
            Why::Stopping => ("restarting", Refused::Restarting.to_string()),
            Why::Disconnected => ("disconnected", "the encoder disconnected".into()),
            Why::Io(error) => ("io", error.to_string()),
        };
        let by_server = !matches!(why, Why::Disconnected | Why::Io(_));
        match &why {
            Why::Refused(refusal) => drop(self.session.refuse(refusal.status, &refusal.text)),
            Why::Stopping => {
                let refusal = Refusal::from(Refused::Restarting);
                drop(self.session.refuse(refusal.status, &refusal.text));
                self.finish(reason).await;
            }
            _ => {}
        }
        if let Some(running) = self.running.take() {
            // Dropped without a goodbye: the grace starts.
            running.log_end(reason, &text);
        } else if by_server {
            tracing::info!(reason, "closed: {text}");
        } else {
            tracing::debug!(reason, "closed: {text}");
        }
        // Without a publish the mark goes down, or what is to be discarded would be waited for.
        self.wait();
        if by_server {
            refused(reason);
            if self.flush().await.is_ok() {
                self.linger().await;
            }
        }
    }

    /// Ends our side and discards what still comes until the encoder has ended its own.
    async fn linger(&mut self) {
        let drained = async {
            self.wire.shutdown().await?;
            loop {
                let bytes = read(&mut self.wire, &mut self.input, &self.context.buffers).await?;
                self.input.used(self.input.unused().len());
                self.input.settle(&self.context.buffers);
                if bytes == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let _ = timeout(LINGER, drained).await;
    }
}

impl Running {
    fn log_end(&self, reason: &str, text: &str) {
        let duration_s = self.since.elapsed().as_secs_f64();
        let (bytes, tags) = (self.bytes, self.tags);
        tracing::info!(reason, bytes, tags, duration_s, "publish ended: {text}");
    }
}

/// Reads what comes next. Waits without a buffer, but for TLS, which reads to know what there is.
async fn read(wire: &mut Wire, input: &mut Input, buffers: &Buffers) -> io::Result<usize> {
    if let Wire::Plain(tcp) = wire {
        tcp.readable().await?;
    }
    let bytes = wire.read(input.room(buffers)).await?;
    input.received(bytes);
    Ok(bytes)
}

/// Resolves when the publisher is put out; never without one.
async fn evicted(running: &mut Option<Running>) -> Refused {
    match running {
        Some(running) => running.evicted.as_mut().await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    Instant::now()
}

/// One step up on a gauge, taken back when dropped.
struct Raised(Gauge);

impl Raised {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
