//! So many in any window of a time, for each user. It does not know what is counted.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// The times of what each user did lately.
#[derive(Debug)]
pub(super) struct Rate {
    burst: usize,
    per: Duration,
    taken: HashMap<i64, VecDeque<Duration>>,
}

impl Rate {
    /// `burst` in `per`.
    pub(super) fn new(burst: usize, per: Duration) -> Self {
        Self {
            burst,
            per,
            taken: HashMap::new(),
        }
    }

    /// Counts one, if it is allowed; else how long it is not.
    pub(super) fn take(&mut self, user: i64, now: Duration) -> Result<(), Duration> {
        let taken = self.taken.entry(user).or_default();
        while taken.front().is_some_and(|then| *then + self.per <= now) {
            taken.pop_front();
        }
        match taken.front() {
            Some(oldest) if taken.len() >= self.burst => Err(*oldest + self.per - now),
            _ => {
                taken.push_back(now);
                Ok(())
            }
        }
    }

    /// Forgets users who did nothing in the last window.
    pub(super) fn sweep(&mut self, now: Duration) {
        let per = self.per;
        self.taken
            .retain(|_, taken| taken.back().is_some_and(|last| *last + per > now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_ever_has_more_and_waiting_as_told_suffices(
            steps in prop::collection::vec(0u64..1500, 1..60),
            burst in 1usize..5,
        ) {
            let per = Duration::from_secs(2);
            let mut rate = Rate::new(burst, per);
            let mut now = Duration::ZERO;
            let mut allowed: Vec<Duration> = vec![];
            for step in steps {
                now += Duration::from_millis(step);
                match rate.take(7, now) {
                    Ok(()) => allowed.push(now),
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= per);
                        now += wait;
                        prop_assert_eq!(rate.take(7, now), Ok(()));
                        allowed.push(now);
                    }
                }
                let window = allowed.iter().filter(|then| **then + per > now).count();
                prop_assert!(window <= burst);
            }
            rate.sweep(now + per);
            prop_assert!(rate.taken.is_empty());
        }
    }
}
