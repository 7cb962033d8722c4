//! What happens to rooms without any socket's doing: time, and what others changed in the database
//! (moderators, bans, passwords, streams). It does not know what rooms do with it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval};

use super::{Inner, effects::To, hall::Hall, room::Lost};
use crate::error::Result;

/// How often rooms are told the time.
const TICK: Duration = Duration::from_millis(250);
/// How often the database is read again, in ticks.
const READ_TICKS: u64 = 4;
/// How often owners are told their encoder's health, in ticks.
const HEALTH_TICKS: u64 = 8;

/// Never returns.
pub(super) async fn run(inner: &Arc<Inner>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1u64.. {
        ticks.tick().await;
        for hall in inner.open_halls() {
            hall.step(|room, now| room.tick(now));
            let people = hall.look(|room, now| room.people(now));
            inner.audience.set_people(&hall.uid, people);
            if hall.shut_if_empty() {
                inner.forget(&hall);
            }
        }
        if n % READ_TICKS == 0
            && let Err(error) = read_again(inner).await
        {
            tracing::warn!(%error, "rooms could not be brought up to date");
        }
        if n % HEALTH_TICKS == 0 {
            tell_health(inner);
        }
    }
}

async fn read_again(inner: &Inner) -> Result<()> {
    let halls = inner.open_halls();
    gauge!("cauce_hub_rooms").set(halls.len() as f64);
    if halls.is_empty() {
        return Ok(());
    }
    let channel = |hall: &Arc<Hall>| hall.look(|room, _| room.channel_id());
    let channels: HashSet<i64> = halls.iter().filter_map(channel).collect();
    let moderators = inner
        .db
        .moderator_ids(channels.into_iter().collect())
        .await?;
    let users: HashSet<i64> = halls
        .iter()
        .flat_map(|hall| hall.look(|room, _| room.users()))
        .collect();
    let asked = users.clone();
    let standings = inner.db.standings(users.into_iter().collect()).await?;
    for hall in &halls {
        if let Some(ids) = channel(hall).and_then(|id| moderators.get(&id)) {
            let ids = ids.iter().copied().collect();
            hall.step(|room, _| room.set_moderators(ids));
        }
        hall.step(|room, _| {
            room.recheck(|user, generation| match standings.get(&user) {
                // One who logged in meanwhile is looked at the next time.
                None => asked.contains(&user).then_some(Lost::Revoked),
                Some(standing) if standing.banned => Some(Lost::Banned),
                Some(standing) if standing.generation != generation || !standing.active => {
                    Some(Lost::Revoked)
                }
                Some(_) => None,
            })
        });
        inner.refresh(&hall.uid).await;
    }
    Ok(())
}

fn tell_health(inner: &Inner) {
    for hall in inner.open_halls() {
        if hall.look(|room, _| room.has_owner() && room.status().is_live())
            && let Some(health) = (inner.sources.health)(&hall.uid)
        {
            hall.tell(To::Owner, health.frame());
        }
    }
}
