//! Timeline: the wire's wrapping milliseconds to one growing time, and the audio sample clock
//! (media rules 1, 4 and 5). It does not know what is sent at those times.

/// A step of more than this, either way, is a jump (media rule 4).
pub const JUMP_MS: i64 = 3000;
/// How far audio timestamps may part from the sample clock before it follows them (rule 5).
pub const DRIFT_BOUND_90K: i64 = 80 * 90;

/// Whose timestamp it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// H.264.
    Video,
    /// AAC.
    Audio,
}

/// Where a timestamp came to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Milliseconds on the stream's own time: unwrapped, never backwards within a medium, and
    /// with jumps taken out.
    pub at_ms: i64,
    /// The timestamp jumped by so much, and time was anchored anew.
    pub jump_ms: Option<i64>,
    /// The timestamp stepped back by so much, and the last one stands instead.
    pub clamped_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    wire_ms: u32,
    at_ms: i64,
    /// Number of jumps the anchor has seen.
    epoch: u64,
    /// The newest time given out.
    newest_ms: i64,
}

/// One clock for both media. Each keeps its own anchor, so that after a jump the tags of the
/// other one that still carry the old time fall into place, and it joins with its first new one.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    anchors: [Option<Anchor>; 2],
}

impl Timeline {
    /// Places a timestamp; after a jump it goes `step_ms` behind the newest one.
    pub fn place(&mut self, medium: Medium, wire_ms: u32, step_ms: i64) -> Placed {
        let [own, other] = match medium {
            Medium::Video => [self.anchors[0], self.anchors[1]],
            Medium::Audio => [self.anchors[1], self.anchors[0]],
        };
        let placed = match own.or(other) {
            None => (0, i64::from(wire_ms), Placed::default()),
            Some(any) => place_beside(own, other, any, wire_ms, step_ms),
        };
        let (epoch, at_ms, mut placed) = placed;
        let floor = own.map_or(i64::MIN, |own| own.newest_ms);
        placed.at_ms = at_ms.max(floor);
        placed.clamped_ms = (at_ms < floor).then(|| floor - at_ms);
        let index = usize::from(medium == Medium::Audio);
        self.anchors[index] = Some(Anchor {
            wire_ms,
            at_ms,
            epoch,
            newest_ms: placed.at_ms,
        });
        placed
    }
}

/// Epoch and time of a timestamp by the anchors there are.
fn place_beside(
    own: Option<Anchor>,
    other: Option<Anchor>,
    any: Anchor,
    wire_ms: u32,
    step_ms: i64,
) -> (u64, i64, Placed) {
    let by = |anchor: Anchor| {
        let step = wire_ms.wrapping_sub(anchor.wire_ms).cast_signed();
        (anchor.epoch, anchor.at_ms.saturating_add(i64::from(step)))
    };
    let newest = own
        .into_iter()
        .chain(other)
        .map(|anchor| anchor.newest_ms)
        .max();
    let newest = newest.unwrap_or(any.newest_ms);
    // After a jump of little more than the bound both anchors seem to fit: the new one must fit
    // well to be joined.
    if let (Some(own), Some(other)) = (own, other)
        && other.epoch > own.epoch
        && (by(other).1 - newest).abs() <= JUMP_MS / 2
    {
        let (epoch, at_ms) = by(other);
        return (epoch, at_ms, Placed::default());
    }
    let floor = own.map_or(newest, |own| own.newest_ms);
    for (epoch, at_ms) in own.into_iter().chain(other).map(by) {
        if (floor - JUMP_MS..=newest + JUMP_MS).contains(&at_ms) {
            return (epoch, at_ms, Placed::default());
        }
    }
    let expected = newest + step_ms;
    let jump_ms = Some(by(any).1 - expected);
    let epoch = own
        .into_iter()
        .chain(other)
        .map(|anchor| anchor.epoch)
        .max()
        .unwrap_or(0)
        + 1;
    (
        epoch,
        expected,
        Placed {
            jump_ms,
            ..Placed::default()
        },
    )
}

/// Times of AAC frames, counted in samples: 1024/44100 s is not 23 ms (rule 5).
#[derive(Clone, Debug)]
pub struct SampleClock {
    sample_rate: u32,
    frame_samples: u32,
    anchor_90k: i64,
    /// Frames since the anchor, below `sample_rate`.
    frames: u32,
    last_90k: Option<i64>,
}

impl SampleClock {
    /// A clock that starts with the first frame it sees. Neither argument is 0.
    pub fn new(sample_rate: u32, frame_samples: u32) -> Self {
        Self {
            sample_rate,
            frame_samples,
            anchor_90k: 0,
            frames: 0,
            last_90k: None,
        }
    }

    /// The clock of changed parameters: anchored anew, and still never backwards.
    pub fn changed(&self, sample_rate: u32, frame_samples: u32) -> Self {
        let last_90k = self.last_90k;
        Self {
            sample_rate,
            frame_samples,
            anchor_90k: i64::MIN / 4,
            frames: 0,
            last_90k,
        }
    }

    /// Length of one frame, 90 kHz, rounded down.
    pub fn frame_90k(&self) -> i64 {
        i64::from(self.frame_samples) * 90_000 / i64::from(self.sample_rate)
    }

    /// The time of the next frame, which carries timestamp `stamp_90k`, and whether it follows
    /// the one before without a gap. Times strictly increase.
    pub fn next(&mut self, stamp_90k: i64) -> (i64, bool) {
        let elapsed = i64::from(self.frames) * i64::from(self.frame_samples) * 90_000;
        let mut at_90k = self.anchor_90k + elapsed / i64::from(self.sample_rate);
        let last = self.last_90k;
        let follows = last.is_some() && (stamp_90k - at_90k).abs() <= DRIFT_BOUND_90K;
        if !follows {
            at_90k = last.map_or(stamp_90k, |last| stamp_90k.max(last + 1));
            self.anchor_90k = at_90k;
            self.frames = 0;
        }
        self.frames += 1;
        // sample_rate frames last a whole number of ticks: moving the anchor loses nothing.
        if self.frames == self.sample_rate {
            self.anchor_90k += i64::from(self.frame_samples) * 90_000;
            self.frames = 0;
        }
        self.last_90k = Some(at_90k);
        (at_90k, follows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Medium::{Audio, Video};

    #[test]
    fn unwraps_at_2_to_the_32() {
        let mut timeline = Timeline::default();
        let start = u32::MAX - 50;
        for step in 0..10u32 {
            let placed = timeline.place(Video, start.wrapping_add(step * 40), 40);
            let at_ms = i64::from(start) + i64::from(step) * 40;
            assert_eq!(
                placed,
                Placed {
                    at_ms,
                    ..Placed::default()
                }
            );
        }
        assert_eq!(timeline.place(Audio, 0, 23).at_ms, 1 << 32);
    }

    #[test]
    fn clamps_small_backward_steps() {
        let mut timeline = Timeline::default();
        timeline.place(Video, 1000, 40);
        let back = timeline.place(Video, 900, 40);
        assert_eq!(
            (back.at_ms, back.clamped_ms, back.jump_ms),
            (1000, Some(100), None)
        );
        assert_eq!(
            timeline.place(Video, 1040, 40),
            Placed {
                at_ms: 1040,
                ..Placed::default()
            }
        );
    }

    #[test]
    fn backward_steps_do_not_add_up_unseen() {
        let mut timeline = Timeline::default();
        timeline.place(Video, 100_000, 40);
        let jumps = (1..8).filter(|step| {
            timeline
                .place(Video, 100_000 - step * 1000, 40)
                .jump_ms
                .is_some()
        });
        assert_eq!(jumps.count(), 1);
    }

    #[test]
    fn anchors_anew_after_a_jump_and_keeps_the_media_together() {
        for (jump, expected) in [
            (3_600_000i64, 3_600_000 - 20),
            (-50_000, -50_020),
            (3021, 3001),
        ] {
            let mut timeline = Timeline::default();
            timeline.place(Video, 60_000, 40);
            timeline.place(Audio, 60_010, 23);
            let at = |ms: i64| u32::try_from(ms + jump).unwrap();
            let video = timeline.place(Video, at(60_030), 40);
            assert_eq!(
                (video.at_ms, video.jump_ms),
                (60_050, Some(expected)),
                "{jump}"
            );
            // A late tag of the old time, then the first of the new one.
            assert_eq!(timeline.place(Audio, 60_033, 23).at_ms, 60_033);
            let audio = timeline.place(Audio, at(60_056), 23);
            assert_eq!((audio.at_ms, audio.jump_ms), (60_076, None), "{jump}");
            assert_eq!(timeline.place(Video, at(60_070), 40).at_ms, 60_090);
        }
    }

    #[test]
    fn a_medium_that_pauses_while_the_other_goes_on_does_not_jump() {
        let mut timeline = Timeline::default();
        timeline.place(Video, 0, 40);
        for step in 0..500 {
            assert_eq!(timeline.place(Audio, step * 23, 23).jump_ms, None);
        }
        assert_eq!(timeline.place(Video, 11_500, 40).jump_ms, None);
    }

    #[test]
    fn the_sample_clock_does_not_drift_in_an_hour_and_follows_a_gap() {
        let mut clock = SampleClock::new(44_100, 1024);
        for frame in 0..160_000i64 {
            let exact = frame * 1024 * 90_000 / 44_100;
            let stamp = frame * 1024 * 1000 / 44_100 * 90;
            assert_eq!(clock.next(stamp), (exact, frame > 0));
        }
        let (last, _) = clock.next(160_000 * 1024 * 90_000 / 44_100);
        assert_eq!(clock.next(last + 45_000), (last + 45_000, false));
        assert_eq!(clock.next(0), (last + 45_001, false), "never backwards");
    }
}
