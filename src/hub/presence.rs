//! Who is in a room, as people: one user in many tabs is one, and a page that is loaded again is
//! neither a leave nor a join. Counts are derived from who is there. It does not know what they do.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{
    effects::{Effects, Persist, To},
    member::{Member, MemberId, Now, Role, User},
    wire::{Frame, encode},
};
use crate::db::ChatWrite;

/// `users` goes out at most once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Users in one `users_list`.
const LIST_PAGE: usize = 100;
/// Those remembered who have just left, so that a storm of leaves costs nothing but a flicker.
const GONE_MAX: usize = 10_000;

/// People in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All of them.
    pub count: usize,
    /// Logged in.
    pub authenticated: usize,
    /// Not logged in.
    pub anonymous: usize,
    /// Most at once.
    pub peak: usize,
}

#[derive(Serialize)]
struct Item<'a> {
    username: &'a str,
    role: &'static str,
}

#[derive(Serialize)]
struct List<'a> {
    items: Vec<Item<'a>>,
    next: Option<&'a str>,
}

/// Where a member came from, and how it counts.
#[derive(Clone, Copy, Debug)]
struct Came {
    address: IpAddr,
    user: Option<i64>,
    /// Perhaps the user who just left the same address, who has not logged in again yet.
    hidden_until: Duration,
}

/// Someone who has just left, and may be loading the page again.
#[derive(Clone, Copy, Debug)]
struct Gone {
    address: IpAddr,
    user: Option<i64>,
    until: Duration,
}

/// Someone who was told of the count on joining, and not yet with all others.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    id: MemberId,
    told: Count,
    at: Duration,
}

/// The people of one room.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    here: HashMap<MemberId, Came>,
    gone: Vec<Gone>,
    peak: usize,
    /// What all but the fresh ones were told, and when.
    told: Count,
    told_at: Option<Duration>,
    /// The latest last.
    fresh: VecDeque<Fresh>,
}

impl Presence {
    /// Nobody. `grace`: who is back within it never left. `peak`: most people so far.
    pub fn new(grace: Duration, peak: usize) -> Self {
        Self {
            grace,
            here: HashMap::new(),
            gone: Vec::new(),
            peak,
            told: Count::default(),
            told_at: None,
            fresh: VecDeque::new(),
        }
    }

    /// A socket came, or its user changed; how many there are now.
    pub fn joined(
        &mut self,
        now: Now,
        id: MemberId,
        address: IpAddr,
        user: Option<&User>,
    ) -> Count {
        let user = user.map(|user| user.id);
        let mut hidden_until = Duration::ZERO;
        let newcomer = !self.here.contains_key(&id);
        if let Some(user) = user {
            self.gone.retain(|gone| gone.user != Some(user));
        } else if newcomer {
            let here = |gone: &Gone| gone.address == address && gone.until > now.mono;
            let anonymous = |gone: &Gone| gone.user.is_none() && here(gone);
            if let Some(at) = self.gone.iter().position(anonymous) {
                self.gone.swap_remove(at);
            } else if let Some(gone) = self.gone.iter().find(|gone| here(gone)) {
                hidden_until = gone.until;
            }
        }
        let came = Came {
            address,
            user,
            hidden_until,
        };
        self.here.insert(id, came);
        let count = self.count(now);
        self.peak = count.peak;
        count
    }

    /// A socket left.
    pub fn left(&mut self, now: Now, id: MemberId) {
        let Some(came) = self.here.remove(&id) else {
            return;
        };
        // Who is still here in another tab did not leave.
        let stays = came.user.is_some() && self.here.values().any(|other| other.user == came.user);
        if self.gone.len() < GONE_MAX && came.hidden_until <= now.mono && !stays {
            self.gone.push(Gone {
                address: came.address,
                user: came.user,
                until: now.mono + self.grace,
            });
        }
    }

    /// People now.
    pub fn count(&self, now: Now) -> Count {
        let gone = self.gone.iter().filter(|gone| gone.until > now.mono);
        let here = self
            .here
            .values()
            .filter(|came| came.user.is_some() || came.hidden_until <= now.mono)
            .map(|came| came.user);
        let mut users = HashSet::new();
        let mut anonymous = 0;
        for user in here.chain(gone.map(|gone| gone.user)) {
            match user {
                Some(user) => drop(users.insert(user)),
                None => anonymous += 1,
            }
        }
        let authenticated = users.len();
        let count = authenticated + anonymous;
        Count {
            count,
            authenticated,
            anonymous,
            peak: self.peak.max(count),
        }
    }

    /// What one is told who lost frames.
    pub fn frame(&self, now: Now) -> Frame {
        encode("users", &self.count(now))
    }

    /// What a socket is told that has just come, by the count of [`Presence::joined`]: it is not told
    /// the same again with all others, nor anything within a second.
    pub fn greet(&mut self, now: Now, id: MemberId, told: Count) -> Frame {
        let at = now.mono;
        self.fresh.push_back(Fresh { id, told, at });
        encode("users", &told)
    }

    /// Tells everyone when the count changed, at most once a second.
    pub fn tick(&mut self, now: Now) -> Effects {
        self.gone.retain(|gone| gone.until > now.mono);
        let mut effects = Effects::none();
        let early = self.told_at.is_some_and(|at| now.mono < at + TOLD_EVERY);
        let count = self.count(now);
        if count == self.told {
            self.tell_fresh(now, &mut effects);
            return effects;
        }
        if early {
            return effects;
        }
        if count.peak > self.told.peak {
            let peak = ChatWrite::Peak(count.peak as u64);
            effects.persist.push(Persist::Chat(peak));
        }
        self.told = count;
        self.told_at = Some(now.mono);
        self.fresh
            .retain(|one| one.told == count || now.mono < one.at + TOLD_EVERY);
        let all = if self.fresh.is_empty() {
            To::Everyone
        } else {
            To::AllBut(Arc::new(self.fresh.iter().map(|one| one.id).collect()))
        };
        effects.send(all, encode("users", &count));
        effects
    }

    /// Those who came a second ago or more now know what all others know.
    fn tell_fresh(&mut self, now: Now, effects: &mut Effects) {
        let due = |one: &mut Fresh| now.mono >= one.at + TOLD_EVERY;
        while let Some(one) = self.fresh.pop_front_if(due) {
            if one.told != self.told {
                effects.send(To::Member(one.id), encode("users", &self.told));
            }
        }
    }

    /// Nobody is here, and nobody may be on the way back.
    pub fn is_empty(&self) -> bool {
        self.here.is_empty() && self.gone.is_empty()
    }
}

/// The page of logged-in people after `cursor`, by name.
pub fn list<'a>(members: impl Iterator<Item = &'a Member>, cursor: Option<&str>) -> Frame {
    let mut people: BTreeMap<Arc<str>, Role> = BTreeMap::new();
    for member in members {
        if let Some(user) = &member.user {
            people.insert(user.name.clone(), member.role);
        }
    }
    let after = cursor.unwrap_or("");
    let mut rest = people.iter().filter(|(name, _)| &***name > after);
    let page: Vec<_> = rest.by_ref().take(LIST_PAGE).collect();
    let more = rest.next().is_some();
    let last = page.last().map(|(name, _)| &***name);
    let items = page
        .iter()
        .map(|(username, role)| Item {
            username,
            role: role.as_str(),
        })
        .collect();
    let next = last.filter(|_| more);
    encode("users_list", &List { items, next })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    fn at(ms: u64) -> Now {
        Now {
            wall_ms: 0,
            mono: Duration::from_millis(ms),
        }
    }
    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }
    fn user(id: i64) -> User {
        User {
            id,
            name: format!("user{id}").into(),
        }
    }
    fn numbers(presence: &Presence, ms: u64) -> (usize, usize, usize) {
        let count = presence.count(at(ms));
        (count.authenticated, count.anonymous, count.peak)
    }

    #[test]
    fn one_user_in_three_tabs_is_one_and_anonymous_sockets_are_each_one() {
        let mut presence = Presence::new(GRACE, 0);
        for id in 0..3 {
            presence.joined(at(0), MemberId(id), address(1), Some(&user(7)));
            presence.joined(at(0), MemberId(10 + id), address(1), None);
        }
        assert_eq!(numbers(&presence, 0), (1, 3, 4));
    }

    #[test]
    fn loading_a_page_again_changes_no_number() {
        let mut presence = Presence::new(GRACE, 0);
        presence.joined(at(0), MemberId(1), address(1), Some(&user(7)));
        presence.joined(at(0), MemberId(2), address(2), None);
        let before = presence.count(at(0));
        presence.left(at(100), MemberId(1));
        presence.left(at(100), MemberId(2));
        assert_eq!(presence.count(at(200)), before);
        // Back: the page is anonymous until it logs in.
        presence.joined(at(300), MemberId(3), address(1), None);
        presence.joined(at(300), MemberId(4), address(2), None);
        assert_eq!(presence.count(at(300)), before);
        presence.joined(at(400), MemberId(3), address(1), Some(&user(7)));
        assert_eq!(presence.count(at(400)), before);
        assert_eq!(presence.count(at(9000)), before, "nobody counts twice");
    }

    #[test]
    fn who_closes_one_of_two_tabs_hides_nobody() {
        let mut presence = Presence::new(GRACE, 0);
        for id in 0..2 {
            presence.joined(at(0), MemberId(id), address(1), Some(&user(7)));
        }
        presence.left(at(100), MemberId(1));
        presence.joined(at(200), MemberId(2), address(1), None);
        assert_eq!(numbers(&presence, 200), (1, 1, 2));
        presence.left(at(300), MemberId(0));
        presence.left(at(300), MemberId(2));
        assert_eq!(numbers(&presence, 3300), (0, 0, 2));
    }

    #[test]
    fn who_was_told_on_joining_is_not_told_the_same_or_within_a_second() {
        let mut presence = Presence::new(GRACE, 0);
        let join = |presence: &mut Presence, ms, id| {
            let count = presence.joined(at(ms), MemberId(id), address(1), None);
            presence.greet(at(ms), MemberId(id), count);
        };
        let to = |presence: &mut Presence, ms| {
            let events = presence.tick(at(ms)).events;
            events.into_iter().map(|(to, _)| to).collect::<Vec<_>>()
        };
        let but = |ids: &[u64]| {
            let ids = ids.iter().map(|id| MemberId(*id)).collect();
            vec![To::AllBut(Arc::new(ids))]
        };
        join(&mut presence, 0, 1);
        assert_eq!(to(&mut presence, 250), but(&[1]));
        join(&mut presence, 500, 2);
        join(&mut presence, 600, 3);
        assert_eq!(to(&mut presence, 750), [], "everyone was told just now");
        // The first one knows 1, the second 2, and only the third how many there are.
        assert_eq!(to(&mut presence, 1250), but(&[2, 3]));
        assert_eq!(to(&mut presence, 1500), [To::Member(MemberId(2))]);
        assert_eq!(to(&mut presence, 5000), []);
        presence.left(at(5000), MemberId(1));
        assert_eq!(to(&mut presence, 8000), [To::Everyone]);
    }

    #[test]
    fn who_stays_away_is_gone_after_the_grace() {
        let mut presence = Presence::new(GRACE, 0);
        presence.joined(at(0), MemberId(1), address(1), None);
        presence.left(at(0), MemberId(1));
        assert_eq!(numbers(&presence, 2999), (0, 1, 1));
        assert_eq!(numbers(&presence, 3000), (0, 0, 1));
        assert!(!presence.is_empty());
        presence.tick(at(3000));
        assert!(presence.is_empty());
    }

    #[test]
    fn changes_are_told_at_most_once_a_second() {
        let mut presence = Presence::new(GRACE, 0);
        let told = |presence: &mut Presence, ms| presence.tick(at(ms)).events.len();
        assert_eq!(told(&mut presence, 0), 0, "nothing changed");
        presence.joined(at(0), MemberId(1), address(1), None);
        assert_eq!(told(&mut presence, 10), 1);
        presence.joined(at(20), MemberId(2), address(1), None);
        assert_eq!(told(&mut presence, 30), 0);
        assert_eq!(told(&mut presence, 1010), 1);
        assert_eq!(told(&mut presence, 5000), 0);
    }

    #[test]
    fn the_list_has_pages_of_people() {
        let member = |n: u64| Member {
            id: MemberId(n),
            user: Some(User {
                id: n as i64 / 2,
                name: format!("{:03}", n / 2).into(),
            }),
            role: Role::Viewer,
        };
        let members: Vec<_> = (0..300).map(member).collect();
        let page = |cursor: Option<&str>| {
            let frame = list(members.iter(), cursor);
            serde_json::from_str::<serde_json::Value>(&frame).unwrap()["data"].clone()
        };
        let first = page(None);
        assert_eq!(first["items"].as_array().unwrap().len(), 100);
        assert_eq!(first["next"], "099");
        let second = page(Some("099"));
        assert_eq!(second["items"].as_array().unwrap().len(), 50);
        assert_eq!(second["items"][0]["username"], "100");
        assert!(second["next"].is_null());
    }

    proptest! {
        #[test]
        fn counts_are_those_of_who_is_there_once_all_is_quiet(
            steps in prop::collection::vec((0u64..8, 0u8..4, 0i64..4, 0u64..2000), 0..80),
        ) {
            let mut presence = Presence::new(GRACE, 0);
            let mut here: HashMap<u64, Option<i64>> = HashMap::new();
            let mut ms = 0;
            for (id, last, who, step) in steps {
                ms += step;
                match here.remove(&id) {
                    Some(_) => presence.left(at(ms), MemberId(id)),
                    None => {
                        let user_id = (who > 0).then_some(who);
                        let user = user_id.map(user);
                        presence.joined(at(ms), MemberId(id), address(last), user.as_ref());
                        here.insert(id, user_id);
                    }
                }
                let count = presence.count(at(ms));
                let users: BTreeSet<_> = here.values().flatten().collect();
                prop_assert!(count.authenticated >= users.len());
                prop_assert!(count.peak >= count.count);
            }
            let quiet = at(ms + 3000);
            let count = presence.count(quiet);
            let users: BTreeSet<_> = here.values().flatten().collect();
            prop_assert_eq!(count.authenticated, users.len());
            prop_assert_eq!(count.anonymous, here.values().filter(|u| u.is_none()).count());
        }
    }
}
