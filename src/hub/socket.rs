//! One WebSocket, from the end of its handshake to its close: reads frames, writes the member's
//! queue, pings. Nothing here waits for another member. It does not know what frames mean.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Sink as _, Stream as _, StreamExt as _};
use metrics::counter;
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use super::{
    Inner, Newcomer,
    command::{Command, Inbound},
    effects::{Ack, Refusal},
    hall::Present,
    member::User,
    outbox::Outbox,
    room::Login,
    seats::Seat,
    wire::{self, Close, Envelope, ErrorCode},
};
use crate::{
    auth::{BadToken, Bearer, Identity, NoIdentity},
    config::Config,
    person::Username,
};

/// tungstenite's read buffer, bytes: it is allocated for every socket.
const READ_BUFFER_BYTES: usize = 4096;
/// Written together under load, bytes.
const WRITE_BUFFER_BYTES: usize = 4096;
/// Longest JSON of one character, bytes, and of a message without its text: what a history can take.
const CHAR_BYTES_MAX: usize = 6;
const MESSAGE_BYTES: usize = 1024;
/// Pings without any answer before the socket is given up.
const PINGS_MISSED: u32 = 2;
/// When one who comes during a restart is to come back, seconds.
const RETURN_S: &str = "1.0";
/// Close codes of the protocol itself (RFC 6455 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// What a socket brings next.
enum Event {
    Text(Utf8Bytes),
    Binary,
    /// A ping or pong.
    Alive,
    /// Time to look at the clock, or the queue has a reason to close.
    Due,
    /// The client closed or broke off.
    Gone,
    /// The client broke the protocol.
    Broken(u16),
}

/// A WebSocket with its queue.
struct Link<S> {
    socket: WebSocketStream<S>,
    flushed: bool,
    timer: Pin<Box<Sleep>>,
}

/// Serves `stream` to its end.
pub(super) async fn serve<S>(inner: &Arc<Inner>, stream: S, newcomer: Newcomer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = settings(&inner.config);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut link = Link {
        socket,
        flushed: true,
        timer: Box::pin(sleep_until(Instant::now() + inner.config.limits.hub_ping)),
    };
    let patience = inner.config.hub.slow_grace;
    let (code, reason) = match admit(inner, &newcomer).await {
        Ok((present, seat)) => {
            let mut session = Session::new(inner, present, seat);
            let end = session.run(&mut link).await;
            // The member is gone before its socket is: a closing handshake may take long.
            drop(session);
            match end {
                Some(end) => end,
                None => return,
            }
        }
        Err(close @ Close::Restarting) => (close as u16, RETURN_S.to_owned()),
        Err(close) => (close as u16, String::new()),
    };
    counter!("cauce_hub_closed_total", "code" => code.to_string()).increment(1);
    link.close(code, reason, patience).await;
}

/// A seat and a place in the room.
async fn admit(inner: &Inner, newcomer: &Newcomer) -> Result<(Present, Seat), Close> {
    let seat = inner.seats.take(newcomer.address);
    let mut seat = seat.ok_or(Close::TooMany)?;
    let login = newcomer.login.as_ref();
    if let Some((bearer, _)) = login
        && !seat.belongs_to(bearer.user_id)
    {
        return Err(Close::TooMany);
    }
    let login = login.map(|(bearer, identity)| login_of(inner, bearer, identity));
    let present = inner.enter(newcomer, login).await?;
    Ok((present, seat))
}

/// A login by the hub's own clock, which nobody sets back.
fn login_of(inner: &Inner, bearer: &Bearer, identity: &Identity) -> Login {
    let now = inner.clock.now();
    let left_ms = bearer.exp.saturating_mul(1000).saturating_sub(now.wall_ms);
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    Login {
        user: User {
            id: identity.user_id,
            name: identity.username.as_str().into(),
        },
        generation: bearer.generation,
        expires: now.mono.saturating_add(left),
    }
}

fn settings(config: &Config) -> WebSocketConfig {
    let message = config.chat.max_chars * CHAR_BYTES_MAX + MESSAGE_BYTES;
    let greeting = config.hub.history.saturating_mul(message);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // Never reached: no frame is handed over before the one before is written, except those
        // that fit into WRITE_BUFFER_BYTES.
        .max_write_buffer_size(
            greeting
                .saturating_add(config.hub.queue_bytes)
                .saturating_add(2 * WRITE_BUFFER_BYTES + MESSAGE_BYTES * 1024),
        )
        .max_message_size(Some(config.limits.hub_frame_bytes))
        .max_frame_size(Some(config.limits.hub_frame_bytes))
}

/// What a member is while it is in the room.
struct Session<'a> {
    inner: &'a Inner,
    present: Present,
    seat: Seat,
    pace: Pace,
    ping_at: Instant,
    unanswered: u32,
}

#[derive(Serialize)]
struct Nothing {}

impl<'a> Session<'a> {
    fn new(inner: &'a Inner, present: Present, seat: Seat) -> Self {
        let now = Instant::now();
        Self {
            inner,
            present,
            seat,
            pace: Pace::new(inner.config.limits.hub_frames_per_s, now),
            ping_at: now + inner.config.limits.hub_ping,
            unanswered: 0,
        }
    }

    /// Until the socket is to be closed, with code and reason; `None`: it is gone.
    async fn run<S>(&mut self, link: &mut Link<S>) -> Option<(u16, String)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let outbox = &self.present.outbox;
            let event = std::future::poll_fn(|cx| link.poll(cx, outbox)).await;
            if !matches!(event, Event::Due) {
                self.unanswered = 0;
            }
            match event {
                Event::Text(text) => {
                    if let Err((close, reason)) = self.text(&text).await {
                        return Some((close as u16, reason));
                    }
                }
                Event::Binary => self.refuse(&bad("Frames are text, not binary."), None),
                Event::Alive | Event::Due => {}
                Event::Gone => return None,
                Event::Broken(code) => return Some((code, String::new())),
            }
            if let Some(missed) = self.present.outbox.missed() {
                self.present.catch_up(missed);
            }
            let now = Instant::now();
            if let Some((close, reason)) = self.present.outbox.due(now) {
                return Some((close as u16, reason));
            }
            if now >= self.ping_at {
                if self.unanswered >= PINGS_MISSED {
                    return Some((Close::NoPong as u16, String::new()));
                }
                self.unanswered += 1;
                self.ping_at = now + self.inner.config.limits.hub_ping;
                link.ping();
            }
            // `Link::poll` brings it forward while the queue is full.
            link.timer.as_mut().reset(self.ping_at);
        }
    }

    async fn text(&mut self, text: &str) -> Result<(), (Close, String)> {
        let frame = match Envelope::parse(text) {
            Ok(frame) => frame,
            Err(refusal) => {
                // Counts too: a flood of garbage is a flood.
                let wait = self.pace.take(Instant::now());
                self.refuse(&wait.map_or(refusal, too_fast), None);
                return Ok(());
            }
        };
        if let Some(wait) = self.pace.take(Instant::now()) {
            self.refuse(&too_fast(wait), frame.reference);
            return Ok(());
        }
        let done = match Inbound::parse(&frame) {
            Ok(Inbound::Ping) => {
                let pong = wire::outgoing("pong", &Nothing {}, frame.reference);
                self.present.outbox.push(pong);
                Ok(Ack::default())
            }
            Ok(Inbound::Auth { token }) => self.login(&token).await?,
            Ok(Inbound::Room(command)) => self.command(command).await,
            Err(refusal) => Err(refusal),
        };
        match (done, frame.reference) {
            (Ok(ack), Some(reference)) => {
                let ack = wire::ack(&frame.kind, ack, reference);
                self.present.outbox.push(ack);
            }
            (Ok(_), None) => {}
            (Err(refusal), reference) => self.refuse(&refusal, reference),
        }
        Ok(())
    }

    async fn login(&mut self, token: &str) -> Result<Result<Ack, Refusal>, (Close, String)> {
        let refused = |code, message| Ok(Err(Refusal::new(code, message)));
        match self.inner.auth.bearer(token).await {
            Ok((bearer, identity)) => {
                if !self.seat.belongs_to(bearer.user_id) {
                    return Err((Close::TooMany, String::new()));
                }
                let login = login_of(self.inner, &bearer, &identity);
                let id = self.present.id;
                let hall = &self.present.hall;
                hall.step(|room, now| room.login(now, id, login));
                Ok(Ok(Ack::default()))
            }
            Err(NoIdentity::Token(BadToken::Expired)) => {
                refused(ErrorCode::TokenExpired, "The token has expired.")
            }
            Err(NoIdentity::Token(BadToken::Invalid | BadToken::Revoked)) => {
                refused(ErrorCode::AuthRequired, "The token is not valid.")
            }
            Err(NoIdentity::Unavailable(error)) => {
                tracing::warn!(%error, "a token could not be checked");
                let message = "Tokens cannot be checked now: try again.";
                Ok(Err(Refusal::retry(ErrorCode::AuthRequired, message, 1.0)))
            }
        }
    }

    /// Looks up what the room must know first, and carries the command out.
    async fn command(&mut self, mut command: Command) -> Result<Ack, Refusal> {
        let (id, hall, db) = (self.present.id, &self.present.hall, &self.inner.db);
        let unknown = |error| {
            tracing::warn!(%error, "the database failed a room");
            Refusal::retry(ErrorCode::QueueFull, "The server cannot do this now.", 1.0)
        };
        let mut subscribed = false;
        if let Command::Chat(chat) = &mut command {
            if let Some(target) = chat.target()
                && hall.look(|room, _| room.is_staff(id))
            {
                let key = Username::key_of(&target.name);
                let found = db.user_by_name(&key).await.map_err(unknown)?;
                target.user = found.map(|row| (row.id, row.username));
            }
            if let Some((channel, user)) = hall.look(|room, _| room.asks_subscription(id)) {
                subscribed = db.is_subscriber(channel, user).await.map_err(unknown)?;
            }
        }
        hall.apply(id, subscribed, command)
    }

    fn refuse(&self, refusal: &Refusal, reference: Option<&serde_json::value::RawValue>) {
        counter!("cauce_hub_refused_total").increment(1);
        self.present.outbox.push(wire::error(refusal, reference));
    }
}

fn bad(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

fn too_fast(wait_s: f64) -> Refusal {
    Refusal::retry(ErrorCode::RateLimited, "Too many frames.", wait_s)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Writes what the queue has, then says what comes next.
    fn poll(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Event> {
        outbox.register(cx.waker());
        if let Poll::Ready(Err(error)) = self.poll_write(cx, outbox) {
            return Poll::Ready(broken(&error));
        }
        let now = Instant::now();
        if outbox.due(now).is_some() || outbox.is_caught_up() {
            return Poll::Ready(Event::Due);
        }
        if let Some(at) = outbox.due_at()
            && at > now
            && at < self.timer.deadline()
        {
            self.timer.as_mut().reset(at);
        }
        if let Poll::Ready(next) = Pin::new(&mut self.socket).poll_next(cx) {
            return Poll::Ready(match next {
                Some(Ok(Message::Text(text))) => Event::Text(text),
                Some(Ok(Message::Binary(_))) => Event::Binary,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    // A pong of ours waits to be written.
                    self.flushed = false;
                    Event::Alive
                }
                Some(Ok(Message::Close(_))) | None => Event::Gone,
                Some(Err(error)) => broken(&error),
            });
        }
        self.timer.as_mut().poll(cx).map(|()| Event::Due)
    }

    /// Hands frames over as long as the socket takes them.
    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), Error>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let Some(frame) = outbox.take() else { break };
            self.flushed = false;
            Pin::new(&mut self.socket).start_send(Message::Text(frame))?;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a ping. An error shows at the next write.
    fn ping(&mut self) {
        self.flushed = false;
        let _ = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()));
    }

    /// The closing handshake, as far as the client takes part in it.
    async fn close(mut self, code: u16, reason: String, patience: Duration) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let shake = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(patience, shake).await;
    }
}

/// What a failed read or write says of the client.
fn broken(error: &Error) -> Event {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Event::Broken(TOO_BIG),
        Error::Utf8(_) => Event::Broken(NOT_UTF8),
        Error::Protocol(_) => Event::Broken(PROTOCOL_ERROR),
        _ => Event::Gone,
    }
}

/// How many frames a client may send: `per_s` each second, and twice as many at once.
#[derive(Debug)]
struct Pace {
    per_s: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    fn new(per_s: usize, now: Instant) -> Self {
        let per_s = per_s as f64;
        Self {
            per_s,
            left: 2.0 * per_s,
            at: now,
        }
    }

    /// Takes one; else the seconds until there is one.
    fn take(&mut self, now: Instant) -> Option<f64> {
        let earned = now.duration_since(self.at).as_secs_f64() * self.per_s;
        self.left = (self.left + earned).min(2.0 * self.per_s);
        self.at = now;
        if self.left < 1.0 {
            return Some((1.0 - self.left) / self.per_s);
        }
        self.left -= 1.0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_send_so_many_frames_and_not_more() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        let taken = (0..100).filter(|_| pace.take(start).is_none()).count();
        assert_eq!(taken, 20);
        let wait = pace.take(start).unwrap();
        assert!((0.0..=0.1).contains(&wait));
        assert_eq!(pace.take(start + Duration::from_millis(101)), None);
        assert!(pace.take(start + Duration::from_millis(101)).is_some());
    }
}
