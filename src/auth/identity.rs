//! Who holds a token, as long as the account allows it: a small memory of accounts in front of the
//! database. It does not know how tokens are signed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long an account is remembered. What this process changes is forgotten at once; this bounds
/// how late a change by another one, such as `cauce user ban`, is seen.
const REMEMBERED: Duration = Duration::from_secs(1);

/// A logged-in user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user_id: i64,
    /// Its present name.
    pub username: String,
}

/// What decides about an account's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) username: String,
    pub(super) generation: i64,
    pub(super) may_log_in: bool,
}

/// Accounts asked for lately.
pub(super) struct Known {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts what was forgotten, so that an answer read before is not kept after.
    epoch: u64,
    users: HashMap<i64, (Instant, Standing)>,
}

impl Known {
    /// Remembers at most `max` accounts.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account, or the epoch to give to [`Known::keep`] with what the database says.
    pub(super) fn find(&self, user_id: i64, now: Instant) -> Result<Standing, u64> {
        let state = self.lock();
        match state.users.get(&user_id) {
            Some((until, standing)) if *until > now => Ok(standing.clone()),
            _ => Err(state.epoch),
        }
    }

    pub(super) fn keep(&self, epoch: u64, user_id: i64, standing: &Standing, now: Instant) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        if state.users.len() >= self.max {
            state.users.retain(|_, (until, _)| *until > now);
        }
        if state.users.len() < self.max {
            state
                .users
                .insert(user_id, (now + REMEMBERED, standing.clone()));
        }
    }

    /// Something about the account changed.
    pub(super) fn forget(&self, user_id: i64) {
        let mut state = self.lock();
        state.epoch += 1;
        state.users.remove(&user_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(generation: i64) -> Standing {
        Standing {
            username: "ana".into(),
            generation,
            may_log_in: true,
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let known = Known::new(10);
        let now = Instant::now();
        let epoch = known.find(1, now).unwrap_err();
        known.forget(1);
        known.keep(epoch, 1, &standing(0), now);
        let epoch = known.find(1, now).unwrap_err();
        known.keep(epoch, 1, &standing(1), now);
        assert_eq!(known.find(1, now), Ok(standing(1)));
        assert!(known.find(1, now + REMEMBERED).is_err());
    }

    #[test]
    fn it_remembers_so_many_and_no_more() {
        let known = Known::new(2);
        let now = Instant::now();
        for user in 0..5 {
            known.keep(0, user, &standing(0), now);
        }
        assert_eq!(known.lock().users.len(), 2);
        known.keep(0, 9, &standing(0), now + REMEMBERED);
        assert_eq!(known.lock().users.len(), 1);
    }
}
