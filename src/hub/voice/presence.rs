//! Sockets that come and go, and what ends by itself: invitations, lost sockets, the stream. It does
//! not know what a client asked for.

use std::time::Duration;

use super::{Effects, LOST_GRACE, Member, MemberId, Now, Role, Seat, Stage, To, Voice, frame};

impl Voice {
    /// A logged-in member came, or a member has logged in. Whoever comes back within the grace has
    /// its calls again, connected anew.
    pub fn arrived(&mut self, now: Now, member: &Member) -> Effects {
        let mut effects = Effects::none();
        let Some(user) = &member.user else {
            return effects;
        };
        if member.role == Role::Owner {
            self.owners.retain(|(id, _)| *id != member.id);
            self.owners.push((member.id, user.clone()));
            let host = self.host.as_ref().and_then(|host| host.seat.member());
            if host.is_none() && self.speaking() > 0 {
                self.seat_host(now, member.id, user.clone(), &mut effects);
            }
        }
        if let Some((id, _)) = self.call_of(user.id) {
            self.sit_again(now, id, member.id, &mut effects);
        }
        self.tell(now, &mut effects);
        effects
    }

    fn sit_again(&mut self, now: Now, id: u64, member: MemberId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Stage::Invited { by, .. } = &call.stage {
            effects.send(To::Member(member), frame::invited(&call.name, by));
            return;
        }
        if !matches!(call.seat, Seat::Lost(_)) {
            return;
        }
        call.seat = Seat::Taken(member);
        if call.is_speaking() {
            self.connect(now, id, effects);
        }
    }

    /// A socket closed, or its login ended. Its calls wait a little for their user.
    pub fn left(&mut self, now: Now, member: MemberId) {
        let lost = Seat::Lost(now.mono + LOST_GRACE);
        self.owners.retain(|(id, _)| *id != member);
        self.signals.forget(&member);
        let seats = self.calls.values_mut().map(|call| &mut call.seat);
        let host = self.host.iter_mut().map(|host| &mut host.seat);
        for seat in seats.chain(host) {
            if *seat == Seat::Taken(member) {
                *seat = lost;
            }
        }
    }

    /// A user may no longer write: its call ends.
    pub fn expel(&mut self, now: Now, user_id: i64) -> Effects {
        let mut effects = Effects::none();
        if let Some((id, _)) = self.call_of(user_id) {
            self.end(id, "removed", &mut effects);
        }
        self.tell(now, &mut effects);
        effects
    }

    /// The stream ended: so does every call.
    pub fn finish(&mut self, now: Now) -> Effects {
        let mut effects = Effects::none();
        let all: Vec<_> = self.calls.keys().copied().collect();
        for id in all {
            self.end(id, "stream_ended", &mut effects);
        }
        self.tell(now, &mut effects);
        effects
    }

    /// When [`Voice::tick`] has something to do, on the monotonic clock.
    pub fn due(&self) -> Option<Duration> {
        let told = self.changed.then(|| self.told.open_at());
        let ends = self.calls.values().filter_map(|call| call.ends_at());
        ends.chain(self.host_ends_at()).chain(told).min()
    }

    /// Ends what has waited long enough, and tells what was held back.
    pub fn tick(&mut self, now: Now) -> Effects {
        let mut effects = Effects::none();
        let over = |at: Option<Duration>| at.is_some_and(|at| at <= now.mono);
        let host_gone = over(self.host_ends_at());
        let ended: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| over(call.ends_at()) || host_gone && call.is_speaking())
            .map(|(id, call)| (*id, matches!(call.stage, Stage::Invited { .. })))
            .collect();
        for (id, was_invited) in ended {
            let reason = if was_invited { "expired" } else { "lost" };
            self.end(id, reason, &mut effects);
        }
        self.tell(now, &mut effects);
        effects
    }

    fn host_ends_at(&self) -> Option<Duration> {
        match self.host.as_ref()?.seat {
            Seat::Lost(until) => Some(until),
            Seat::Open | Seat::Taken(_) => None,
        }
    }
}

impl super::Call {
    /// When it ends if nothing happens.
    fn ends_at(&self) -> Option<Duration> {
        match (&self.stage, self.seat) {
            (Stage::Invited { until, .. }, _) => Some(*until),
            (_, Seat::Lost(until)) => Some(until),
            _ => None,
        }
    }
}
