//! Counts what went wrong for an account or an address, and says for how long it has to rest. It
//! does not know what was tried.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures of late, by what they were about.
pub(super) struct Attempts {
    window: Duration,
    entries_max: usize,
    table: Mutex<HashMap<String, Count>>,
}

struct Count {
    failures: usize,
    /// A window after the first failure; then all is forgotten.
    until: Instant,
}

impl Attempts {
    /// Remembers at most `entries_max` subjects for a `window` each.
    pub(super) fn new(window: Duration, entries_max: usize) -> Self {
        Self {
            window,
            entries_max,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds, rounded up, that `subject` has to rest after `max` failures; `None` when it need not.
    pub(super) fn rest_s(&self, subject: &str, max: usize, now: Instant) -> Option<u64> {
        let table = self.lock();
        let count = table.get(subject)?;
        let left = count.until.checked_duration_since(now)?;
        (count.failures >= max && !left.is_zero())
            .then(|| u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX))
    }

    /// One more failure.
    pub(super) fn failed(&self, subject: &str, now: Instant) {
        let mut table = self.lock();
        if table.len() >= self.entries_max && !table.contains_key(subject) {
            table.retain(|_, count| count.until > now);
            // Still full: somebody's failures are forgotten early. Each costs the attacker a hash.
            let victim = table.keys().next().cloned();
            if table.len() >= self.entries_max
                && let Some(victim) = victim
            {
                table.remove(&victim);
            }
        }
        let fresh = Count {
            failures: 0,
            until: now + self.window,
        };
        let count = table.entry(subject.to_owned()).or_insert(fresh);
        if count.until <= now {
            count.failures = 0;
            count.until = now + self.window;
        }
        count.failures += 1;
    }

    /// It went right.
    pub(super) fn clear(&self, subject: &str) {
        self.lock().remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn so_many_failures_end_in_a_rest() {
        let attempts = Attempts::new(WINDOW, 10);
        let start = Instant::now();
        for _ in 0..2 {
            attempts.failed("ana", start);
        }
        assert_eq!(attempts.rest_s("ana", 3, start), None);
        attempts.failed("ana", start);
        assert_eq!(attempts.rest_s("ana", 3, start), Some(60));
        let later = start + Duration::from_millis(59_001);
        assert_eq!(attempts.rest_s("ana", 3, later), Some(1));
        assert_eq!(attempts.rest_s("bob", 3, start), None);
        assert_eq!(attempts.rest_s("ana", 3, start + WINDOW), None);
        attempts.failed("ana", start + WINDOW);
        assert_eq!(attempts.rest_s("ana", 3, start + WINDOW), None);
        attempts.clear("ana");
        assert_eq!(attempts.rest_s("ana", 1, start + WINDOW), None);
    }

    #[test]
    fn it_remembers_so_many_and_no_more() {
        let attempts = Attempts::new(WINDOW, 3);
        let now = Instant::now();
        for subject in 0..10 {
            attempts.failed(&subject.to_string(), now);
        }
        assert_eq!(attempts.lock().len(), 3);
        assert_eq!(attempts.rest_s("9", 1, now), Some(60));
    }
}
