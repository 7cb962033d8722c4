//! Who is connected with whom: every end of a live call with every other, and signals between two of
//! them. It does not know why somebody is on stage.

use super::{
    Ack, Done, Effects, ErrorCode, HOST, Host, Member, MemberId, Now, Payload, Refusal, Role, Seat,
    Stage, To, User, Voice, frame, not_found, too_fast,
};
use crate::hub::turn::TTL_S;

/// A place where sound comes from: the host or a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Host,
    Speaker(u64),
}

impl Voice {
    /// Everyone on stage with the socket that holds the place.
    pub(super) fn ends(&self) -> impl Iterator<Item = (End, Seat)> {
        let host = self.host.iter().map(|host| (End::Host, host.seat));
        let speaking = self.calls.iter().filter(|(_, call)| call.is_speaking());
        host.chain(speaking.map(|(id, call)| (End::Speaker(*id), call.seat)))
    }

    /// The host's end for a first call: the owner's socket that acts, else its newest.
    pub(super) fn choose_host(&mut self, actor: &Member) {
        if self.host.is_some() {
            return;
        }
        let acting = actor.user.clone().filter(|_| actor.role == Role::Owner);
        let acting = acting.map(|user| (actor.id, user));
        let chosen = acting.or_else(|| self.owners.last().cloned());
        self.host = chosen.map(|(member, user)| Host {
            user,
            seat: Seat::Taken(member),
        });
    }

    /// Puts a call on stage, or back after its socket was lost, and connects it with everyone there.
    /// The one that comes is the polite one: those who are connected already need not give way.
    pub(super) fn connect(&mut self, now: Now, id: u64, effects: &mut Effects) {
        self.connected_ever += 1;
        let connected = self.connected_ever;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.stage = Stage::Speaking { connected };
        self.changed = true;
        let Some(seat) = call.seat.member() else {
            return;
        };
        let name = call.name.clone();
        let comer = End::Speaker(id);
        let others: Vec<_> = self
            .ends()
            .filter(|(end, _)| *end != comer)
            .filter_map(|(end, seat)| Some((end, seat.member()?)))
            .collect();
        let peers: Vec<_> = others.iter().map(|(end, _)| *end).collect();
        self.start(now, &name, (comer, seat), &peers, true, effects);
        for other in others {
            self.start(now, &name, other, &[comer], false, effects);
        }
    }

    /// Moves the host's end to a socket and connects it with every speaker.
    pub(super) fn seat_host(
        &mut self,
        now: Now,
        member: MemberId,
        user: User,
        effects: &mut Effects,
    ) {
        let seat = Seat::Taken(member);
        if self.host.as_ref().is_some_and(|host| host.seat == seat) {
            return;
        }
        self.host = Some(Host { user, seat });
        let speakers: Vec<_> = self
            .ends()
            .filter_map(|(end, seat)| Some((end, seat.member()?)))
            .filter(|(end, _)| *end != End::Host)
            .collect();
        for (end, seat) in speakers {
            let name = self.name_and_user(end).0.to_owned();
            self.start(now, &name, (end, seat), &[End::Host], true, effects);
            self.start(now, &name, (End::Host, member), &[end], false, effects);
        }
    }

    /// Tells one end whom to connect to, with TURN credentials of its own.
    fn start(
        &self,
        now: Now,
        call: &str,
        (end, seat): (End, MemberId),
        peers: &[End],
        polite: bool,
        effects: &mut Effects,
    ) {
        let peer = |end: &End| {
            let (id, user) = self.name_and_user(*end);
            frame::Peer { id, user }
        };
        let started = frame::Started {
            call,
            peers: peers.iter().map(peer).collect(),
            polite,
            ice_servers: self
                .turn
                .ice_servers(self.name_and_user(end).1, now.wall_ms),
            ttl: TTL_S,
        };
        effects.send(To::Member(seat), started.frame());
    }

    /// An end's id as a peer, and its username.
    fn name_and_user(&self, end: End) -> (&str, &str) {
        match end {
            End::Host => (HOST, self.host.as_ref().map_or("", |host| &host.user.name)),
            End::Speaker(id) => self
                .calls
                .get(&id)
                .map_or(("", ""), |call| (&call.name, &call.user.name)),
        }
    }

    /// Passes a signal to the one peer that it is for. Both must be on stage, and the call must be
    /// one of the two: to everyone else it does not exist.
    pub(super) fn signal(
        &mut self,
        now: Now,
        sender: MemberId,
        call: &str,
        to: &str,
        payload: &Payload,
    ) -> Done {
        self.signals.take(sender, now.mono).map_err(too_fast)?;
        let mut ends = self.ends();
        let from = ends
            .find(|(_, seat)| seat.member() == Some(sender))
            .map(|(end, _)| end)
            .ok_or_else(not_found)?;
        let mut ends = self.ends();
        let (peer, seat) = ends
            .find(|(end, _)| *end != from && self.name_and_user(*end).0 == to)
            .ok_or_else(not_found)?;
        let receiver = seat.member().ok_or_else(not_found)?;
        let both = [from, peer];
        let named = |end: &End| *end != End::Host && self.name_and_user(*end).0 == call;
        if !both.iter().any(named) {
            return Err(not_found());
        }
        let from_id = self.name_and_user(from).0;
        let frame = frame::signal(self.call_between(both), from_id, payload);
        drop(ends);
        if frame.len() > self.rules.signal_bytes {
            let message = format!("A signal has at most {} bytes.", self.rules.signal_bytes);
            return Err(Refusal::new(ErrorCode::TooLong, message));
        }
        let mut effects = Effects::none();
        effects.send(To::Member(receiver), frame);
        Ok((effects, Ack::default()))
    }

    /// The call that two ends know their connection by: that of whoever came later.
    fn call_between(&self, both: [End; 2]) -> &str {
        let connected = |end: &End| match end {
            End::Host => 0,
            End::Speaker(id) => match self.calls.get(id).map(|call| &call.stage) {
                Some(Stage::Speaking { connected }) => *connected,
                _ => 0,
            },
        };
        let later = both.into_iter().max_by_key(connected);
        later.map_or("", |end| self.name_and_user(end).0)
    }
}
