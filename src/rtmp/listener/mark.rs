//! How many bytes of a publisher are worth a wake-up, and how long fewer of them may wait: the receive
//! low-water mark of its socket. Time is an argument; it does not know the socket.
//!
//! Every read is a wake-up, and wake-ups are what ingest in real time costs. So bytes are left to gather,
//! but not around the next key frame, which ends a segment that viewers wait for.

use std::time::{Duration, Instant};

use segmenter::{Tag, TagKind};

/// Bytes are read as they come from so long before a key frame is expected: it is not expected too late, but
/// by the rounding of times and timers.
const LEAD: Duration = Duration::from_millis(15);
/// And for so long after it, if it does not come. It is found with the next read then.
const OVERDUE: Duration = Duration::from_millis(150);
/// From the first tag on bytes are read as they come until two key frames tell when the next is expected,
/// at most for so long: audio alone has none.
const UNKNOWN: Duration = Duration::from_secs(12);
/// Waits end at one of so many moments in each `rtmp.receive_wait`, together with those of other publishers:
/// the processor is woken once for all of them. Not at one alone, or whoever came next would wait for all.
const MOMENTS: u32 = 8;

/// Caps of what may wait in the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `rtmp.receive_mark`; 1 reads as bytes come.
    pub(super) bytes: usize,
    /// `rtmp.receive_wait`.
    pub(super) wait: Duration,
    /// What [`MOMENTS`] count from; the same for all publishers.
    pub(super) origin: Instant,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// So many bytes,
    pub(super) bytes: usize,
    /// or this time, when all that is there is read. `None` = bytes alone; they are 1 then.
    pub(super) until: Option<Instant>,
}

impl Wait {
    /// For whatever comes.
    pub(super) const AT_ONCE: Self = Self {
        bytes: 1,
        until: None,
    };
}

/// What was seen of one publish.
pub(super) struct Mark {
    limits: Limits,
    since: Instant,
    /// The media time of the newest key frame.
    key_ms: Option<u32>,
    /// The last GOP's length, and that of the one before.
    gop: Option<Duration>,
    gop_before: Option<Duration>,
    /// When media time 0 of this GOP was, or would have been, at the earliest read so far; and the GOP's
    /// before it. What gathered was late by some of its wait, the earliest by the least.
    origin: Option<Instant>,
    origin_before: Option<Instant>,
}

impl Mark {
    /// Of a publish that began at `now`.
    pub(super) fn new(now: Instant, limits: Limits) -> Self {
        Self {
            limits,
            since: now,
            key_ms: None,
            gop: None,
            gop_before: None,
            origin: None,
            origin_before: None,
        }
    }

    /// Takes notice of a tag that was read at `now`.
    pub(super) fn heard(&mut self, now: Instant, tag: &Tag) {
        if tag.kind != TagKind::Video {
            return;
        }
        // FLV 10.1 E.4.3: frame type in the upper half of the first byte, 1 = key frame; the second byte
        // is 0 in a sequence header.
        let is_key =
            matches!(tag.payload[..], [head, kind, ..] if head & 0x70 == 0x10 && kind != 0);
        if is_key {
            self.gop_before = self.gop;
            self.gop = self
                .key_ms
                .map(|before| tag.timestamp_ms.wrapping_sub(before))
                .map(|ms| Duration::from_millis(ms.into()));
            self.key_ms = Some(tag.timestamp_ms);
            self.origin_before = self.origin.take();
        }
        let media = Duration::from_millis(tag.timestamp_ms.into());
        let origin = now.checked_sub(media);
        self.origin = match (self.origin, origin) {
            (Some(before), Some(new)) => Some(before.min(new)),
            (before, new) => before.or(new),
        };
    }

    /// What to wait for at `now`; `most` is how many bytes an encoder sends before it wants an answer.
    pub(super) fn wait(&self, now: Instant, most: usize) -> Wait {
        let bytes = self.limits.bytes.min(most).max(1);
        if bytes == 1 {
            return Wait::AT_ONCE;
        }
        let latest = self.moment(now + self.limits.wait);
        let until = match self.expected() {
            None if now < self.since + UNKNOWN => return Wait::AT_ONCE,
            None => latest,
            Some(key) if now > key + OVERDUE => latest,
            Some(key) => match key.checked_sub(LEAD) {
                Some(until) if until > now => until.min(latest),
                _ => return Wait::AT_ONCE,
            },
        };
        Wait {
            bytes,
            until: Some(until),
        }
    }

    /// The last of the common moments until `latest`.
    fn moment(&self, latest: Instant) -> Instant {
        let step = (self.limits.wait / MOMENTS).as_nanos().max(1);
        let past = latest
            .saturating_duration_since(self.limits.origin)
            .as_nanos()
            % step;
        latest - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
    }

    /// When the next key frame comes if GOPs stay as long as the last one; or the one before, if that was
    /// shorter: one that is long for once is followed by others.
    fn expected(&self) -> Option<Instant> {
        let gop = self.gop?.min(self.gop_before.unwrap_or(Duration::MAX));
        let media = Duration::from_millis(self.key_ms?.into()) + gop;
        let origin = match (self.origin, self.origin_before) {
            (Some(now), Some(before)) => now.min(before),
            (now, before) => now.or(before)?,
        };
        origin.checked_add(media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const BYTES: usize = 65_536;

    fn limits(origin: Instant) -> Limits {
        Limits {
            bytes: BYTES,
            wait: ms(240),
            origin,
        }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn tag(kind: TagKind, timestamp_ms: u32, payload: &'static [u8]) -> Tag {
        Tag {
            kind,
            timestamp_ms,
            payload: Bytes::from_static(payload),
        }
    }

    fn key(timestamp_ms: u32) -> Tag {
        tag(TagKind::Video, timestamp_ms, &[0x17, 1, 0, 0, 0])
    }

    fn other(timestamp_ms: u32) -> Tag {
        tag(TagKind::Video, timestamp_ms, &[0x27, 1, 0, 0, 0])
    }

    /// Key frames at 0 and 2 s, read at once, of a publish that began at the instant.
    fn steady(begin: Instant) -> Mark {
        let mut mark = Mark::new(begin, limits(begin));
        mark.heard(begin, &tag(TagKind::Video, 0, &[0x17, 0, 0, 0, 0]));
        for at_ms in [0, 2000] {
            mark.heard(begin + ms(at_ms), &key(at_ms as u32));
        }
        mark
    }

    const AT_ONCE: Wait = Wait::AT_ONCE;

    #[test]
    fn bytes_gather_between_key_frames_and_not_around_them() {
        let begin = Instant::now();
        let mark = steady(begin);
        let gathering = |at, until| {
            let until = Some(begin + ms(until));
            let bytes = BYTES;
            assert_eq!(
                mark.wait(begin + ms(at), usize::MAX),
                Wait { bytes, until },
                "{at}"
            );
        };
        // Until a multiple of 30 ms, which others wait for too.
        gathering(2001, 2220);
        gathering(2009, 2220);
        gathering(2010, 2250);
        gathering(3600, 3840);
        // Never past the lead.
        gathering(3900, 3985);
        for at in [3985, 3999, 4000, 4149] {
            assert_eq!(mark.wait(begin + ms(at), usize::MAX), AT_ONCE, "{at}");
        }
        // A key frame that does not come is not waited for at that price.
        gathering(4151, 4380);
        gathering(9000, 9240);
    }

    #[test]
    fn what_was_read_late_moves_no_expectation() {
        let begin = Instant::now();
        let mut mark = steady(begin);
        mark.heard(begin + ms(2500), &other(2300));
        mark.heard(begin + ms(3900), &other(3899));
        // The key frame of 4 s was found 200 ms late; the one of 6 s is expected at 6 s.
        mark.heard(begin + ms(4200), &key(4000));
        assert_eq!(mark.wait(begin + ms(5984), usize::MAX).bytes, BYTES);
        assert_eq!(mark.wait(begin + ms(5985), usize::MAX), AT_ONCE);
    }

    #[test]
    fn one_long_gop_moves_no_expectation() {
        let begin = Instant::now();
        let mut mark = steady(begin);
        mark.heard(begin + ms(4100), &key(4100));
        assert_eq!(mark.wait(begin + ms(6084), usize::MAX).bytes, BYTES);
        assert_eq!(mark.wait(begin + ms(6085), usize::MAX), AT_ONCE);
        // Two of them do.
        mark.heard(begin + ms(6200), &key(6200));
        assert_eq!(mark.wait(begin + ms(8284), usize::MAX).bytes, BYTES);
        assert_eq!(mark.wait(begin + ms(8285), usize::MAX), AT_ONCE);
    }

    #[test]
    fn without_key_frames_bytes_gather_after_a_while() {
        let begin = Instant::now();
        let mut mark = Mark::new(begin, limits(begin));
        mark.heard(begin, &tag(TagKind::Audio, 0, &[0xaf, 1, 0]));
        mark.heard(begin, &key(0));
        assert_eq!(mark.wait(begin + UNKNOWN - ms(1), usize::MAX), AT_ONCE);
        let until = Some(begin + UNKNOWN + ms(240));
        assert_eq!(mark.wait(begin + UNKNOWN, usize::MAX).until, until);
    }

    #[test]
    fn an_encoder_that_wants_an_answer_is_read_up_to_there() {
        let begin = Instant::now();
        let mark = steady(begin);
        assert_eq!(mark.wait(begin + ms(2500), 1000).bytes, 1000);
        assert_eq!(mark.wait(begin + ms(2500), 0), AT_ONCE);
    }

    #[test]
    fn a_mark_of_one_byte_is_none() {
        let begin = Instant::now();
        let mut mark = steady(begin);
        mark.limits.bytes = 1;
        assert_eq!(mark.wait(begin + ms(2500), usize::MAX), AT_ONCE);
    }

    #[test]
    fn times_that_jump_are_waited_for_no_longer() {
        let begin = Instant::now();
        let mut mark = steady(begin);
        for at_ms in [u32::MAX, 0, 7, 3_000_000_000] {
            mark.heard(begin + ms(2500), &key(at_ms));
            for at in [2500, 2700, 10_000, 100_000] {
                let now = begin + ms(at);
                let wait = mark.wait(now, usize::MAX);
                assert!(wait.until.is_none_or(|until| until <= now + ms(240)));
            }
        }
    }
}
