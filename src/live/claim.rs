//! When a second publisher may take a stream over (media rule 26). Pure: time is an argument; it
//! does not know who publishes.

use std::{collections::VecDeque, time::Duration};

/// Takeovers of one stream allowed within [`SPAN`].
const TAKEOVERS: usize = 3;
/// What they are counted over.
const SPAN: Duration = Duration::from_secs(30);
/// How long newcomers are refused after one too many.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The recent takeovers of one stream.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    recent: VecDeque<Duration>,
    refused_until: Option<Duration>,
}

impl Takeovers {
    /// Takes a stream over at `now` (since any fixed origin).
    ///
    /// # Errors
    /// How long to wait: two encoders would kick each other for ever.
    pub(super) fn attempt(&mut self, now: Duration) -> Result<(), Duration> {
        if let Some(until) = self.refused_until {
            if now < until {
                return Err(until - now);
            }
            self.refused_until = None;
            self.recent.clear();
        }
        while self.recent.front().is_some_and(|then| *then + SPAN <= now) {
            self.recent.pop_front();
        }
        if self.recent.len() >= TAKEOVERS {
            self.refused_until = Some(now + REFUSED_FOR);
            return Err(REFUSED_FOR);
        }
        self.recent.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_in_thirty_seconds_then_none_for_thirty() {
        let mut takeovers = Takeovers::default();
        for at in [0, 10, 20] {
            assert_eq!(takeovers.attempt(s(at)), Ok(()));
        }
        assert_eq!(takeovers.attempt(s(29)), Err(s(30)));
        assert_eq!(
            takeovers.attempt(s(40)),
            Err(s(19)),
            "asking again does not prolong it"
        );
        assert_eq!(takeovers.attempt(s(59)), Ok(()));
    }

    #[test]
    fn slow_takeovers_go_on_for_ever() {
        let mut takeovers = Takeovers::default();
        for n in 0..100 {
            assert_eq!(takeovers.attempt(s(n * 10)), Ok(()), "{n}");
        }
    }
}
