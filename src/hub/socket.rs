//! One member's session, from the end of its handshake to its close: frames are read, paced and
//! answered, pings sent. Nothing here waits for another member. It does not know what frames mean,
//! or how they are written.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Inner, Newcomer,
    command::{Command, Inbound},
    effects::{Ack, Refusal},
    hall::Present,
    link::{Event, Link},
    member::User,
    pace::{Meter, Rate},
    room::Login,
    seats::Seat,
    wire::{self, Close, Envelope, ErrorCode},
};
use crate::{
    auth::{BadToken, Bearer, Identity, NoIdentity},
    person::Username,
};

/// Pings without any answer before the socket is given up.
const PINGS_MISSED: u32 = 2;
/// When one who comes during a restart is to come back, seconds.
const RETURN_S: &str = "1.0";

/// Serves `stream` to its end.
pub(super) async fn serve<S>(inner: &Arc<Inner>, stream: S, newcomer: Newcomer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut link = Link::new(stream, inner.config.limits.hub_frame_bytes).await;
    let patience = inner.config.hub.slow_grace;
    // What is done rarely is put aside: the rest is what a quiet socket costs.
    let admitted = Box::pin(admit(inner, newcomer)).await;
    let (code, reason) = match admitted {
        Ok((present, seat)) => {
            let mut session = Session::new(inner, present, seat);
            let end = session.run(&mut link).await;
            // The member is gone before its socket is: a closing handshake may take long.
            drop(session);
            match end {
                Some(end) => end,
                None => return Box::pin(link.part(patience)).await,
            }
        }
        Err(close @ Close::Restarting) => (close as u16, RETURN_S.to_owned()),
        Err(close) => (close as u16, String::new()),
    };
    counter!("cauce_hub_closed_total", "code" => code.to_string()).increment(1);
    Box::pin(link.close(code, reason, patience)).await;
}

/// A seat and a place in the room.
async fn admit(inner: &Inner, newcomer: Newcomer) -> Result<(Present, Seat), Close> {
    let seat = inner.seats.take(newcomer.address);
    let mut seat = seat.ok_or(Close::TooMany)?;
    let login = newcomer.login.as_ref();
    if let Some((bearer, _)) = login
        && !seat.belongs_to(bearer.user_id)
    {
        return Err(Close::TooMany);
    }
    let login = login.map(|(bearer, identity)| login_of(inner, bearer, identity));
    let present = inner.enter(&newcomer, login).await?;
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

/// What a member is while it is in the room.
struct Session<'a> {
    inner: &'a Inner,
    present: Present,
    seat: Seat,
    frames: Meter,
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
            frames: Meter::new(Rate::per_s(inner.config.limits.hub_frames_per_s)),
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
            let event = link.next(&self.present.outbox, self.ping_at).await;
            if !matches!(event, Event::Due) {
                self.unanswered = 0;
            }
            match event {
                Event::Text(text) => {
                    if let Err((close, reason)) = Box::pin(self.text(&text)).await {
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
        }
    }

    async fn text(&mut self, text: &str) -> Result<(), (Close, String)> {
        let frame = match Envelope::parse(text) {
            Ok(frame) => frame,
            Err((refusal, reference)) => {
                // Counts too: a flood of garbage is a flood.
                let paced = self.frames.take(self.inner.clock.now().mono);
                self.refuse(&paced.map_or_else(too_fast, |()| refusal), reference);
                return Ok(());
            }
        };
        if let Err(wait) = self.frames.take(self.inner.clock.now().mono) {
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
