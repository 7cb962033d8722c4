//! Pace: when segments are listed and when media is overdue, so that a playlist's updates stay between
//! half and one and a half target durations apart (RFC 8216 6.2.1, 6.3.4). Pure: time is an argument;
//! it does not know what is in a segment.

use std::time::Duration;

use crate::live::window::ticks;

/// In tenths of a target duration: so long behind the last update the playlist may wait for the next.
/// The tenth that is left to 1.5 is for pictures and timers that come late.
const PATIENCE_TENTHS: u32 = 14;
/// In twentieths of a target duration behind the last update: media is overdue then if none comes
/// (media rule 25).
const OVERDUE_TWENTIETHS: u32 = 25;
/// The same while media comes, but no segment out of it.
const LATEST_TWENTIETHS: u32 = 29;
/// A live segment that took at least three quarters of its own length to come was made as it came.
const FAST_QUARTERS: (u32, u32) = (3, 4);
/// An open segment may take so much longer than the longest one before it: the network is not even.
const LATE: Duration = Duration::from_millis(200);

/// The clock of a playlist. All times count from the process's origin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    target: Duration,
    /// The last update of the playlist, by this process.
    listed: Option<Duration>,
    /// The last update, done or planned.
    updated: Duration,
    /// Where the slate's media planned so far ends, if it began at its own time.
    media_end: Duration,
    /// How much more media than time the last slate left behind.
    ahead: Duration,
    /// When the media of the open live segment began to come.
    opened: Duration,
    /// The longest live segment.
    longest: Duration,
    /// Live segments keep half a target duration from the last update. Not while an encoder is faster
    /// than time from its beginning on: that is a file being sent, and is listed as it comes.
    paced: bool,
}

impl Pace {
    /// The playlist was updated.
    pub(super) fn listed(&mut self, now: Duration) {
        self.listed = self.listed.max(Some(now));
        self.updated = self.updated.max(now);
    }

    /// A live segment is complete. Answers when it may be listed.
    pub(super) fn live(&mut self, now: Duration, duration_90k: u64, target_s: u32) -> Duration {
        self.target = Duration::from_secs(target_s.into());
        self.longest = self.longest.max(ticks(duration_90k));
        let took = now.saturating_sub(std::mem::replace(&mut self.opened, now));
        let Some(listed) = self.listed else {
            return Duration::ZERO;
        };
        self.paced |= took * FAST_QUARTERS.1 >= ticks(duration_90k) * FAST_QUARTERS.0;
        if self.paced {
            listed + self.target / 2
        } else {
            Duration::ZERO
        }
    }

    /// The playlist will be updated.
    pub(super) fn plan(&mut self, at: Duration) {
        self.updated = self.updated.max(at);
    }

    /// What comes next does not follow the last live segment: from here on updates keep their distance.
    pub(super) fn keep_distance(&mut self) {
        self.paced = true;
    }

    /// A slate begins where media ended.
    pub(super) fn begin(&mut self, media_end: Duration, target_s: u32) {
        self.target = Duration::from_secs(target_s.into());
        self.media_end = media_end + std::mem::take(&mut self.ahead);
    }

    /// When the next slate segment is to be listed: where the media planned so far ends, but not
    /// too soon behind the last update nor too late.
    pub(super) fn due(&self) -> Duration {
        let soonest = self.updated + self.target / 2;
        self.media_end.clamp(soonest, self.latest())
    }

    fn latest(&self) -> Duration {
        self.updated + self.target * PATIENCE_TENTHS / 10
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

    /// When the slate is to take over from media that came `heard` last; `None` while this process
    /// has listed nothing, since then nobody knows for how long viewers have waited.
    ///
    /// An even stream never gets there: its segments are at most 0.49 s longer than the target
    /// duration. While media comes its open segment is given the time that one can take.
    pub(super) fn overdue(&self, heard: Duration) -> Option<Duration> {
        self.listed?;
        let behind = |twentieths| self.updated + self.target * twentieths / 20;
        let latest = behind(LATEST_TWENTIETHS).max(self.opened + self.expected() + LATE);
        let silent = heard + self.silence();
        Some(silent.clamp(behind(OVERDUE_TWENTIETHS), latest))
    }

    /// Media that does not come for so long has stopped.
    pub(super) fn silence(&self) -> Duration {
        self.target / 4
    }

    /// How long a live segment takes.
    fn expected(&self) -> Duration {
        self.target.max(self.longest)
    }

    /// An IDR came at `now`: would the playlist wait too long for its segment?
    pub(super) fn needs_one_more(&self, now: Duration) -> bool {
        self.listed.is_some() && now + self.expected() > self.latest()
    }

    /// The publisher's media is on the air from now on; it begins where the slate's media ends.
    pub(super) fn leave(&mut self, now: Duration) {
        self.ahead = self.media_end.saturating_sub(now);
        self.opened = now;
        self.keep_distance();
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
        let mut late = paced(10_000, 13_000);
        assert_eq!(late.due(), ms(12_800), "no later than that");
        late.plan(ms(10_400));
        assert_eq!(late.due(), ms(13_000));
        assert_eq!(pace.length(ms(15_800)), ms(2000));
        assert_eq!(pace.length(ms(15_000)), ms(1200));
        assert_eq!(pace.length(ms(14_000)), ms(1000));
    }

    #[test]
    fn one_more_comes_only_when_the_live_segment_would_be_late() {
        let mut pace = paced(10_000, 11_000);
        pace.planned(ms(11_000), 180_000);
        assert!(!pace.needs_one_more(ms(11_800)) && pace.needs_one_more(ms(11_801)));
        // Live segments may be longer than the target duration.
        pace.live(ms(10_000), 216_000, 2);
        assert!(!pace.needs_one_more(ms(11_400)) && pace.needs_one_more(ms(11_401)));
        assert!(
            !Pace::default().needs_one_more(ms(99_000)),
            "nothing listed"
        );
    }

    #[test]
    fn a_file_is_listed_as_it_comes_and_live_media_half_a_target_duration_apart() {
        let live = |pace: &mut Pace, now| pace.live(ms(now), 180_000, 2);
        let mut pace = Pace::default();
        assert_eq!(live(&mut pace, 10_000), ms(0));
        pace.listed(ms(10_000));
        for now in [10_100, 11_599] {
            assert_eq!(live(&mut pace, now), ms(0), "in less than 1.5 s");
            pace.listed(ms(now));
        }
        // As it is made, or behind a slate: from then on.
        assert_eq!(live(&mut pace, 13_099), ms(12_599));
        pace.listed(ms(13_099));
        assert_eq!(live(&mut pace, 13_100), ms(14_099));
        let mut pace = paced(10_000, 11_000);
        pace.leave(ms(10_200));
        // What had gathered comes at once: it is listed together.
        for now in [10_300, 10_310, 10_320] {
            assert_eq!(live(&mut pace, now), ms(11_000));
        }
        pace.listed(ms(11_000));
        assert_eq!(live(&mut pace, 11_500), ms(12_000));
    }

    #[test]
    fn overdue_is_silence_first_and_slowness_later() {
        assert_eq!(Pace::default().overdue(ms(0)), None, "nothing listed");
        let mut pace = paced(10_000, 10_000);
        pace.live(ms(10_000), 180_000, 2);
        assert_eq!(pace.overdue(ms(0)), Some(ms(12_500)));
        assert_eq!(pace.overdue(ms(12_000)), Some(ms(12_500)));
        assert_eq!(pace.overdue(ms(12_200)), Some(ms(12_700)));
        assert_eq!(pace.overdue(ms(12_499)), Some(ms(12_900)));
        // The first segment behind a slate is given the time that it takes.
        pace.leave(ms(10_750));
        assert_eq!(pace.overdue(ms(0)), Some(ms(12_500)));
        assert_eq!(pace.overdue(ms(12_499)), Some(ms(12_950)));
        // At 1 s an even stream may list a segment of 1.49 s each time.
        let mut pace = Pace::default();
        pace.listed(ms(5000));
        pace.live(ms(5000), 134_100, 1);
        assert_eq!(pace.overdue(ms(6400)), Some(ms(6650)));
        assert_eq!(pace.overdue(ms(6600)), Some(ms(6690)));
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
