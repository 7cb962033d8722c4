//! Pace: when the segments of a slate are due, so that a playlist's updates stay between half and
//! one and a half target durations apart (RFC 8216 6.2.1, 6.3.4). Pure: time is an argument; it does
//! not know what is in a segment.

use std::time::Duration;

use crate::live::window::ticks;

/// In tenths of a target duration: the first live segment is expected one target duration after
/// its IDR, and the playlist may wait for it this long behind the last slate segment. The tenth
/// that is left to 1.5 is for pictures that come late.
const PATIENCE_TENTHS: u32 = 14;

/// The clock of a slate. All times count from the process's origin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    target: Duration,
    /// The last update of the playlist, done or planned.
    updated: Duration,
    /// Where the media planned so far ends, if it began at its own time.
    media_end: Duration,
    /// How much more media than time the last slate left behind.
    ahead: Duration,
    /// The first live segment behind a slate waits until then.
    floor: Duration,
}

impl Pace {
    /// The playlist was updated.
    pub(super) fn listed(&mut self, now: Duration) {
        self.updated = self.updated.max(now);
    }

    /// A slate begins.
    pub(super) fn begin(&mut self, now: Duration, target_s: u32) {
        self.target = Duration::from_secs(target_s.into());
        self.media_end = now + std::mem::take(&mut self.ahead);
        self.floor = Duration::ZERO;
    }

    /// When the next slate segment is to be listed: where the media planned so far ends, but no
    /// less than half and no more than one and a half target durations behind the last update.
    pub(super) fn due(&self) -> Duration {
        let soonest = self.updated + self.target / 2;
        self.media_end.clamp(soonest, soonest + self.target)
    }

    /// How long the segment that is listed at `due` is to be: a target duration, or less where
    /// media has run ahead of time, as it does a little at the end of each slate.
    pub(super) fn length(&self, due: Duration) -> Duration {
        let wanted = (due + self.target).saturating_sub(self.media_end);
        wanted.clamp(self.target / 2, self.target)
    }

    /// A segment of this length will be listed at `due`.
    pub(super) fn planned(&mut self, due: Duration, duration_90k: u64) {
        // What was missed while the process slept is not made up for.
        let behind = due.saturating_sub(self.target);
        self.media_end = self.media_end.max(behind) + ticks(duration_90k);
        self.updated = self.updated.max(due);
    }

    /// An IDR came at `now`: would the playlist wait too long for its segment?
    pub(super) fn needs_one_more(&self, now: Duration) -> bool {
        now + self.target > self.updated + self.target * PATIENCE_TENTHS / 10
    }

    /// The slate is over; media that comes now begins where its media ends.
    pub(super) fn leave(&mut self, now: Duration) {
        self.ahead = self.media_end.saturating_sub(now);
        self.floor = self.updated + self.target / 2;
    }

    /// When the first live segment behind a slate may be listed; zero for any other.
    pub(super) fn first_live(&mut self) -> Duration {
        std::mem::take(&mut self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn paced(updated: u64, now: u64) -> Pace {
        let mut pace = Pace::default();
        pace.listed(ms(updated));
        pace.begin(ms(now), 2);
        pace
    }

    #[test]
    fn the_first_waits_half_a_target_duration_and_the_next_ones_a_whole() {
        assert_eq!(paced(10_000, 10_100).due(), ms(11_000));
        let mut pace = paced(10_000, 11_500);
        for at in [11_500, 13_500, 15_500] {
            assert_eq!(pace.due(), ms(at));
            pace.planned(ms(at), 180_000);
            pace.listed(ms(at + 5));
        }
    }

    #[test]
    fn what_the_last_slate_left_behind_is_taken_back() {
        let mut pace = paced(10_000, 11_000);
        pace.planned(ms(11_000), 180_000);
        pace.leave(ms(11_200));
        pace.listed(ms(13_200));
        pace.begin(ms(14_000), 2);
        assert_eq!(pace.due(), ms(15_800), "1.8 s were left");
        assert_eq!(pace.length(ms(15_800)), ms(2000));
        assert_eq!(pace.length(ms(15_000)), ms(1200));
        assert_eq!(pace.length(ms(14_000)), ms(1000));
        assert_eq!(pace.first_live(), ms(0));
    }

    #[test]
    fn one_more_comes_only_when_the_live_segment_would_be_late() {
        let mut pace = paced(10_000, 11_000);
        pace.planned(ms(11_000), 180_000);
        assert!(!pace.needs_one_more(ms(11_800)) && pace.needs_one_more(ms(11_801)));
        pace.leave(ms(11_800));
        assert_eq!((pace.first_live(), pace.first_live()), (ms(12_000), ms(0)));
    }

    #[test]
    fn a_sleep_is_not_made_up_for() {
        let mut pace = paced(0, 1000);
        pace.planned(ms(1000), 180_000);
        pace.listed(ms(100_000));
        assert_eq!(pace.due(), ms(101_000));
        pace.planned(ms(101_000), 180_000);
        assert_eq!(pace.due(), ms(102_000));
        pace.planned(ms(102_000), 180_000);
        pace.planned(ms(103_000), 180_000);
        assert!(pace.due() <= ms(105_000));
    }
}
