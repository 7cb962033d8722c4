//! Who a room's members are logged in as: logins that come, change, end and are lost, and roles that
//! change with them. It does not know what a login allows.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::Serialize;

use super::{Place, Room};
use crate::hub::{
    effects::{Effects, To},
    member::{Member, MemberId, Now, Role, User},
    wire::{Close, Frame, encode},
};

/// A valid login token's holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: User,
    /// What the account's tokens must carry for this one to stay good.
    pub generation: i64,
    /// When the token's time is over, by the hub's own clock.
    pub expires: Duration,
}

/// Why a member is logged in no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its password was changed, or the account is gone.
    Revoked,
    /// The account was banned.
    Banned,
}

#[derive(Serialize)]
struct Auth<'a> {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Room {
    /// A socket logs in, or in again.
    pub fn login(&mut self, now: Now, id: MemberId, login: Login) -> Effects {
        let mut effects = Effects::none();
        let member = self.member(id, Some(&login));
        let Some(place) = self.places.get_mut(&id) else {
            return effects;
        };
        place.login = Some((login.generation, login.expires));
        if place.member.user != member.user {
            self.voice.left(now, id);
        }
        place.member = member.clone();
        self.presence
            .joined(now, id, place.address, member.user.as_ref());
        effects.send(To::Member(id), auth_frame(&member, None));
        for frame in self.for_role(&member) {
            effects.send(To::Member(id), frame);
        }
        effects.append(self.voice.arrived(now, &member));
        effects
    }

    /// Who moderates was read again.
    pub fn set_moderators(&mut self, moderators: HashSet<i64>) -> Effects {
        self.chat.set_moderators(moderators);
        let mut changed = vec![];
        for place in self.places.values_mut() {
            let Some(user) = &place.member.user else {
                continue;
            };
            let role = self.chat.role(user.id);
            if role != place.member.role {
                place.member.role = role;
                changed.push(place.member.clone());
            }
        }
        let mut effects = Effects::none();
        for member in changed {
            effects.send(To::Member(member.id), auth_frame(&member, None));
            for frame in self.for_role(&member) {
                effects.send(To::Member(member.id), frame);
            }
        }
        effects
    }

    /// Accounts were read again: `lost` says of a user and its token's generation whether the login
    /// holds.
    pub fn recheck(&self, lost: impl Fn(i64, i64) -> Option<Lost>) -> Effects {
        let mut effects = Effects::none();
        for place in self.places.values() {
            let (Some(user), Some((generation, _))) = (&place.member.user, place.login) else {
                continue;
            };
            let close = match lost(user.id, generation) {
                None => continue,
                Some(Lost::Revoked) => Close::Revoked,
                Some(Lost::Banned) => Close::Banned,
            };
            effects.close(To::Member(place.member.id), close);
        }
        effects
    }

    /// Ends logins whose token's time is over; their sockets go on reading.
    pub(super) fn expire(&mut self, now: Now) -> Effects {
        let mut effects = Effects::none();
        let over = |place: &&Place| place.login.is_some_and(|(_, expires)| expires <= now.mono);
        let expired = self.places.values().filter(over);
        for id in expired.map(|place| place.member.id).collect::<Vec<_>>() {
            effects.append(self.expire_one(now, id));
        }
        effects
    }

    fn expire_one(&mut self, now: Now, id: MemberId) -> Effects {
        let mut effects = Effects::none();
        let Some(place) = self.places.get_mut(&id) else {
            return effects;
        };
        place.login = None;
        self.voice.left(now, id);
        place.member.user = None;
        place.member.role = Role::Viewer;
        self.presence.joined(now, id, place.address, None);
        let frame = auth_frame(&place.member, Some("token_expired"));
        effects.send(To::Member(id), frame);
        effects
    }
}

pub(super) fn auth_frame(member: &Member, reason: Option<&'static str>) -> Frame {
    let username: Option<&Arc<str>> = member.user.as_ref().map(|user| &user.name);
    let auth = Auth {
        authenticated: username.is_some(),
        username: username.map(|name| &**name),
        role: username.map(|_| member.role.as_str()),
        reason,
    };
    encode("auth", &auth)
}
