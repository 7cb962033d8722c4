//! How often something may be done: so many at once, then one in a time, for each of many. It does
//! not know what is done or what a refusal says.
//!
//! One number a key: the time at which all that was taken is paid back (the "theoretical arrival
//! time" of the generic cell rate algorithm). A key that owes nothing is forgotten. Chat messages
//! have a window instead (`chat::rate`): "3 in 2 seconds" is said of any 2 seconds.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// Keys remembered before those that owe nothing are looked for.
const SWEEP_AT_LEAST: usize = 64;

/// `burst` at once, and one more after each `every`.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    every: Duration,
    slack: Duration,
}

impl Rate {
    /// See the type.
    pub fn new(burst: u32, every: Duration) -> Self {
        Self {
            every,
            slack: every.saturating_mul(burst.saturating_sub(1)),
        }
    }

    /// So many each second, and twice as many at once.
    pub fn per_s(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        Self::new(count.saturating_mul(2), Duration::from_secs(1) / count)
    }

    /// Seconds until one more may be, for one who has paid at `paid`.
    fn wait_s(self, paid: Duration, now: Duration) -> Option<f64> {
        let free_at = paid.saturating_sub(self.slack);
        (free_at > now).then(|| (free_at - now).as_secs_f64())
    }

    /// When one more is paid back.
    fn count(self, paid: Duration, now: Duration) -> Duration {
        paid.max(now).saturating_add(self.every)
    }
}

/// A rate for one.
#[derive(Debug)]
pub struct Meter {
    rate: Rate,
    paid: Duration,
}

impl Meter {
    /// Owes nothing.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            paid: Duration::ZERO,
        }
    }

    /// Counts one if it is allowed. `now` never goes back.
    ///
    /// # Errors
    /// Seconds until it is.
    pub fn take(&mut self, now: Duration) -> Result<(), f64> {
        if let Some(seconds) = self.rate.wait_s(self.paid, now) {
            return Err(seconds);
        }
        self.paid = self.rate.count(self.paid, now);
        Ok(())
    }
}

/// A rate for each of many.
#[derive(Debug)]
pub struct Pace<K> {
    rate: Rate,
    paid: HashMap<K, Duration>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Pace<K> {
    /// `burst` at once, and one more after each `every`.
    pub fn new(burst: u32, every: Duration) -> Self {
        Self {
            rate: Rate::new(burst, every),
            paid: HashMap::new(),
            sweep_at: SWEEP_AT_LEAST,
        }
    }

    /// Seconds until `key` may go on; `None` when it may now. `now` never goes back.
    pub fn wait_s(&self, key: &K, now: Duration) -> Option<f64> {
        self.rate.wait_s(*self.paid.get(key)?, now)
    }

    /// Counts one, whether it was allowed or not.
    pub fn count(&mut self, key: K, now: Duration) {
        if self.paid.len() >= self.sweep_at {
            self.paid.retain(|_, paid| *paid > now);
            self.sweep_at = (self.paid.len() * 2).max(SWEEP_AT_LEAST);
        }
        let paid = self.paid.entry(key).or_insert(now);
        *paid = self.rate.count(*paid, now);
    }

    /// Counts one if it is allowed.
    ///
    /// # Errors
    /// Seconds until it is.
    pub fn take(&mut self, key: K, now: Duration) -> Result<(), f64> {
        match self.wait_s(&key, now) {
            Some(seconds) => Err(seconds),
            None => {
                self.count(key, now);
                Ok(())
            }
        }
    }

    /// Forgets what `key` owes: it will not come back.
    pub fn forget(&mut self, key: &K) {
        self.paid.remove(key);
    }
}

/// One broadcast in a time: the first at once, later ones together when the time is over.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    open_at: Duration,
}

impl Throttle {
    /// At most one in `every`.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            open_at: Duration::ZERO,
        }
    }

    /// Whether a broadcast may go now; if so it counts as sent.
    pub fn passes(&mut self, now: Duration) -> bool {
        let open = now >= self.open_at;
        if open {
            self.open_at = now.saturating_add(self.every);
        }
        open
    }

    /// When the next may go.
    pub fn open_at(&self) -> Duration {
        self.open_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_burst_then_one_in_a_time() {
        let mut pace = Pace::new(3, ms(1000));
        for _ in 0..3 {
            assert_eq!(pace.take("a", ms(50)), Ok(()));
        }
        assert_eq!(pace.take("a", ms(50)), Err(1.0));
        assert_eq!(pace.take("a", ms(1049)), Err(0.001));
        assert_eq!(pace.take("b", ms(1049)), Ok(()));
        assert_eq!(pace.take("a", ms(1050)), Ok(()));
        assert_eq!(pace.take("a", ms(1050)), Err(1.0));
        pace.forget(&"a");
        assert_eq!(pace.take("a", ms(1050)), Ok(()));
    }

    #[test]
    fn a_client_may_send_so_many_frames_and_not_more() {
        let mut meter = Meter::new(Rate::per_s(10));
        let taken = (0..100).filter(|_| meter.take(ms(5)).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(meter.take(ms(5)), Err(0.1));
        assert_eq!(meter.take(ms(105)), Ok(()));
        assert_eq!(meter.take(ms(105)), Err(0.1));
    }

    #[test]
    fn no_time_is_no_limit() {
        let mut pace = Pace::new(1, Duration::ZERO);
        assert!((0..100).all(|_| pace.take(1, ms(5)).is_ok()));
    }

    #[test]
    fn keys_that_owe_nothing_are_forgotten() {
        let mut pace = Pace::new(1, ms(10));
        for n in 0..100_000_u64 {
            pace.count(n, ms(n));
        }
        assert!(pace.paid.len() <= SWEEP_AT_LEAST, "{}", pace.paid.len());
    }

    #[test]
    fn a_throttle_lets_the_first_pass() {
        let mut throttle = Throttle::new(ms(250));
        assert!(throttle.passes(ms(0)));
        assert!(!throttle.passes(ms(249)));
        assert_eq!(throttle.open_at(), ms(250));
        assert!(throttle.passes(ms(400)));
        assert_eq!(throttle.open_at(), ms(650));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate(steps in proptest::collection::vec(0_u64..400, 1..200)) {
            let (burst, every) = (4_u32, 100_u64);
            let mut pace = Pace::new(burst, ms(every));
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                match pace.take((), ms(now)) {
                    Ok(()) => taken += 1,
                    // Whoever waits as long as told is let through.
                    Err(seconds) => prop_assert_eq!(
                        pace.wait_s(&(), ms(now) + Duration::from_secs_f64(seconds)), None),
                }
                prop_assert!(taken <= u64::from(burst) + now / every);
            }
        }
    }
}
