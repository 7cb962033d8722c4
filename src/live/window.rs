//! What a stream's media playlist lists, what it listed before, and its numbers. Pure: it does not
//! know clocks (time is an argument), bytes, or whether anything is stored.

use std::{collections::VecDeque, time::Duration};

use segmenter::playlist::{Entry, Frozen, MediaPlaylist};

use crate::{
    db::Counters,
    name::{SegmentName, SessionId},
};

/// Within a session a date follows the one before it by its duration; at a DISCONTINUITY it jumps
/// to the wall clock when that is so much later.
const DATE_JUMP: Duration = Duration::from_secs(1);

/// How long a window is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// At least so many segments.
    pub segments: usize,
    /// At least so much media.
    pub dvr: Duration,
}

/// What a segment adds to a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// EXTINF, 90 kHz.
    pub duration_90k: u64,
    /// A DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// It opens with an IDR, or has no video.
    pub independent: bool,
    /// EXT-X-TARGETDURATION, fixed by the stream's first segment.
    pub target_duration_s: u32,
}

/// A segment as a stored playlist lists it.
#[derive(Clone, Debug)]
pub(super) struct Restored {
    pub name: SegmentName,
    pub facts: Facts,
    /// EXT-X-PROGRAM-DATE-TIME, since the Unix epoch.
    pub date: Duration,
    /// DISCONTINUITY tags before it, its own not included.
    pub discontinuities: u64,
}

struct Listed {
    name: SegmentName,
    duration_90k: u64,
    /// Duration of the longest playlist it was in.
    longest_90k: u64,
}

struct Removed {
    name: SegmentName,
    /// Since the process's origin of time.
    until: Duration,
}

/// The sliding window of one media playlist.
pub(super) struct Window {
    length: Length,
    counters: Counters,
    playlist: Option<MediaPlaylist>,
    listed: VecDeque<Listed>,
    listed_90k: u64,
    removed: Vec<Removed>,
    session: Option<SessionId>,
    /// Where the newest segment ends, since the Unix epoch.
    next_date: Option<Duration>,
    /// Where it begins.
    newest_date: Duration,
}

impl Window {
    /// An empty window that goes on from `counters`.
    pub(super) fn new(length: Length, counters: Counters) -> Self {
        Self {
            length,
            counters,
            playlist: None,
            listed: VecDeque::new(),
            listed_90k: 0,
            removed: Vec::new(),
            session: None,
            next_date: None,
            newest_date: Duration::ZERO,
        }
    }

    /// The window that listed `entries` last, which follow each other without a gap; what is too
    /// old for its length is not listed again.
    pub(super) fn restore(length: Length, target_duration_s: u32, entries: &[Restored]) -> Self {
        let Some(first) = entries.first() else {
            return Self::new(length, Counters::default());
        };
        let first = Counters {
            next_sequence: first.name.sequence,
            discontinuities: first.discontinuities,
            target_duration_s: Some(target_duration_s),
        };
        let mut window = Self::new(length, first);
        for entry in entries {
            window.append(entry.name.clone(), entry.date, entry.facts);
        }
        while window.slides() {
            window.pop_front(Duration::ZERO);
        }
        window.removed.clear();
        let total = window.listed_90k;
        for entry in &mut window.listed {
            entry.longest_90k = total;
        }
        window
    }

    /// Never lowers a number: what the database knows beyond the playlist.
    pub(super) fn raise(&mut self, counters: Counters) {
        let own = &mut self.counters;
        own.next_sequence = own.next_sequence.max(counters.next_sequence);
        own.discontinuities = own.discontinuities.max(counters.discontinuities);
        own.target_duration_s = own.target_duration_s.or(counters.target_duration_s);
    }

    /// The name of the next segment of `session`.
    pub(super) fn next_name(&self, session: &SessionId) -> SegmentName {
        SegmentName {
            session: session.clone(),
            sequence: self.counters.next_sequence,
        }
    }

    /// Lists the segment that [`Window::next_name`] named and slides; answers what left the window.
    /// `now` counts from the process's origin, `wall` from the Unix epoch: both when it finished.
    pub(super) fn push(
        &mut self,
        session: &SessionId,
        facts: Facts,
        now: Duration,
        wall: Duration,
    ) -> Vec<SegmentName> {
        let date = self.date(session, facts, wall);
        self.append(self.next_name(session), date, facts);
        let mut left = Vec::new();
        while self.slides() {
            left.extend(self.pop_front(now));
        }
        let total = self.listed_90k;
        for entry in &mut self.listed {
            entry.longest_90k = entry.longest_90k.max(total);
        }
        left
    }

    fn append(&mut self, name: SegmentName, date: Duration, facts: Facts) {
        let counters = &mut self.counters;
        let target = *counters
            .target_duration_s
            .get_or_insert(facts.target_duration_s);
        let playlist = self.playlist.get_or_insert_with(|| {
            MediaPlaylist::new(target, counters.next_sequence, counters.discontinuities)
        });
        playlist.push(&Entry {
            duration_90k: facts.duration_90k,
            program_date_time: date,
            discontinuity: facts.discontinuity,
            independent: facts.independent,
            uri: &name.to_string(),
        });
        counters.next_sequence += 1;
        counters.discontinuities += u64::from(facts.discontinuity);
        self.listed_90k += facts.duration_90k;
        self.newest_date = date;
        self.next_date = Some(date + ticks(facts.duration_90k));
        self.session = Some(name.session.clone());
        self.listed.push_back(Listed {
            name,
            duration_90k: facts.duration_90k,
            longest_90k: self.listed_90k,
        });
    }

    /// Long enough without its first segment? RFC 8216 6.2.2: never less than three target
    /// durations are left.
    fn slides(&self) -> bool {
        let target = Duration::from_secs(self.target_duration_s().into());
        self.listed.front().is_some_and(|first| {
            let rest = ticks(self.listed_90k - first.duration_90k);
            self.listed.len() > self.length.segments.max(1)
                && rest >= self.length.dvr.max(3 * target)
        })
    }

    /// Takes the first segment off the list; it stays fetchable for its duration and that of the
    /// longest playlist it was in (RFC 8216 6.2.2, media rule 18).
    pub(super) fn pop_front(&mut self, now: Duration) -> Option<SegmentName> {
        let first = self.listed.pop_front()?;
        if let Some(playlist) = &mut self.playlist {
            playlist.pop_front();
        }
        self.listed_90k -= first.duration_90k;
        self.removed.push(Removed {
            name: first.name.clone(),
            until: now + ticks(first.duration_90k + first.longest_90k),
        });
        Some(first.name)
    }

    fn date(&self, session: &SessionId, facts: Facts, wall: Duration) -> Duration {
        let start = wall.saturating_sub(ticks(facts.duration_90k));
        let Some(next) = self.next_date else {
            return start;
        };
        if self.session.as_ref() != Some(session) {
            return next.max(start);
        }
        if facts.discontinuity && start > next + DATE_JUMP {
            return start;
        }
        next
    }

    /// Keeps `name`, which is not listed, fetchable until `until`.
    pub(super) fn keep(&mut self, name: SegmentName, until: Duration) {
        self.removed.push(Removed { name, until });
    }

    /// Removed segments whose time is over by `now`; they are told once.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<SegmentName> {
        let over = self.removed.extract_if(.., |gone| gone.until <= now);
        over.map(|gone| gone.name).collect()
    }

    /// EXT-X-ENDLIST from now on.
    pub(super) fn end(&mut self) {
        if let Some(playlist) = &mut self.playlist {
            playlist.end();
        }
    }

    /// The end of an ended window: nothing is listed any more. Answers what was.
    pub(super) fn retire(&mut self, now: Duration) -> Vec<SegmentName> {
        let mut left = Vec::new();
        while let Some(name) = self.pop_front(now) {
            left.push(name);
        }
        self.playlist = None;
        left
    }

    /// Nothing is listed and nothing that was can be fetched any more.
    pub(super) fn forget(&mut self) {
        self.playlist = None;
        self.listed.clear();
        self.listed_90k = 0;
        self.removed.clear();
    }

    /// The media playlist's text, or `None` when nothing is listed.
    pub(super) fn render(&self) -> Option<Vec<u8>> {
        let playlist = self.playlist.as_ref().filter(|list| !list.is_empty())?;
        let mut text = Vec::with_capacity(256 + 128 * self.listed.len());
        playlist.render(&mut text);
        Some(text)
    }

    /// The media playlist as it is now, to be rendered elsewhere.
    pub(super) fn freeze(&self) -> Option<Frozen> {
        let playlist = self.playlist.as_ref().filter(|list| !list.is_empty())?;
        Some(playlist.freeze())
    }

    /// How many segments are listed.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// EXT-X-PROGRAM-DATE-TIME of the newest segment, since the Unix epoch.
    pub(super) fn newest_date(&self) -> Duration {
        self.newest_date
    }

    /// Number of the oldest segment that can be fetched, else of the next one.
    pub(super) fn oldest(&self) -> u64 {
        let listed = self.listed.front().map(|entry| entry.name.sequence);
        let removed = self.removed.iter().map(|gone| gone.name.sequence);
        let oldest = removed.chain(listed).min();
        oldest.unwrap_or(self.counters.next_sequence)
    }

    /// Numbers of the next segment.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// EXT-X-TARGETDURATION, 0 before the first segment.
    pub(super) fn target_duration_s(&self) -> u32 {
        self.counters.target_duration_s.unwrap_or(0)
    }

    /// Listed media.
    pub(super) fn duration(&self) -> Duration {
        ticks(self.listed_90k)
    }

    /// Names now listed or still fetchable.
    pub(super) fn fetchable(&self) -> impl Iterator<Item = &SegmentName> {
        self.names()
            .chain(self.removed.iter().map(|gone| &gone.name))
    }

    /// Names now listed, oldest first.
    pub(super) fn names(&self) -> impl Iterator<Item = &SegmentName> {
        self.listed.iter().map(|entry| &entry.name)
    }

    /// Nothing is listed and nothing removed is fetchable.
    pub(super) fn is_over(&self) -> bool {
        self.listed.is_empty() && self.removed.is_empty()
    }
}

/// 90 kHz ticks as time, to the nanosecond below.
pub(super) fn ticks(ticks_90k: u64) -> Duration {
    let (seconds, rest) = (ticks_90k / 90_000, ticks_90k % 90_000);
    Duration::new(seconds, (rest * 100_000 / 9) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn length(segments: usize) -> Length {
        Length {
            segments,
            dvr: Duration::ZERO,
        }
    }

    fn session(id: &str) -> SessionId {
        SessionId::parse(id).unwrap()
    }

    fn facts(seconds: u64) -> Facts {
        Facts {
            duration_90k: seconds * 90_000,
            discontinuity: false,
            independent: true,
            target_duration_s: 2,
        }
    }

    fn list(window: &Window) -> m3u8_rs::MediaPlaylist {
        m3u8_rs::parse_media_playlist_res(&window.render().unwrap()).unwrap()
    }

    fn filled(segments: u64) -> Window {
        let mut window = Window::new(length(6), Counters::default());
        for n in 1..=segments {
            window.push(&session("a"), facts(2), s(n * 2), s(1000 + n * 2));
        }
        window
    }

    #[test]
    fn slides_and_keeps_what_it_removed_for_its_time() {
        let mut window = filled(6);
        assert_eq!(list(&window).segments.len(), 6);
        let left = window.push(&session("a"), facts(2), s(14), s(1014));
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].sequence, list(&window).media_sequence), (0, 1));
        // Its 2 s and the 12 s of the longest playlist that viewers saw it in.
        assert!(
            window
                .expire(s(14 + 14) - Duration::from_nanos(1))
                .is_empty()
        );
        assert_eq!(window.expire(s(28)), left);
        assert!(window.expire(s(99)).is_empty(), "told once");
    }

    #[test]
    fn never_shorter_than_three_target_durations_nor_the_dvr_window() {
        let mut window = Window::new(length(1), Counters::default());
        for n in 1..10 {
            window.push(&session("a"), facts(1), s(n), s(n));
        }
        assert_eq!(window.duration(), s(6));
        let dvr = Length {
            segments: 6,
            dvr: s(30),
        };
        let mut window = Window::new(dvr, Counters::default());
        for n in 1..100 {
            window.push(&session("a"), facts(2), s(n * 2), s(n * 2));
        }
        assert_eq!(window.duration(), s(30));
    }

    #[test]
    fn numbers_go_on_from_the_counters() {
        let counters = Counters {
            next_sequence: 100,
            discontinuities: 7,
            target_duration_s: Some(4),
        };
        let mut window = Window::new(length(6), counters);
        let mut first = facts(2);
        first.discontinuity = true;
        window.push(&session("b"), first, s(2), s(2));
        let list = list(&window);
        assert_eq!(list.media_sequence, 100);
        assert_eq!(list.discontinuity_sequence, 7);
        assert_eq!(
            list.target_duration, 4,
            "fixed by the stream's first segment"
        );
        assert_eq!(window.counters().next_sequence, 101);
        assert_eq!(window.counters().discontinuities, 8);
        assert_eq!(window.next_name(&session("b")).to_string(), "b-101.ts");
    }

    #[test]
    fn dates_follow_durations_and_never_go_back() {
        let mut window = Window::new(length(6), Counters::default());
        let dates = |window: &Window| -> Vec<i64> {
            let dates = list(window).segments.into_iter();
            dates
                .map(|entry| entry.program_date_time.unwrap().timestamp())
                .collect()
        };
        window.push(&session("a"), facts(2), s(2), s(1002));
        // Late or early, the next follows by the duration.
        window.push(&session("a"), facts(2), s(9), s(1009));
        // A new session that would overlap begins at the end of the last.
        let mut first = facts(2);
        first.discontinuity = true;
        window.push(&session("b"), first, s(9), s(1003));
        // One after a pause begins when it began.
        window.push(&session("c"), first, s(60), s(1060));
        // A jump within a session goes with the wall clock.
        window.push(&session("c"), first, s(90), s(1090));
        // A change of tracks does not jump.
        window.push(&session("c"), first, s(92), s(1092));
        assert_eq!(dates(&window), [1000, 1002, 1004, 1058, 1088, 1090]);
    }

    #[test]
    fn a_restored_window_renders_the_same_and_goes_on() {
        let window = filled(8);
        let told = list(&window);
        let entries: Vec<_> = told
            .segments
            .iter()
            .map(|entry| Restored {
                name: SegmentName::parse(&entry.uri).unwrap(),
                facts: facts(2),
                date: Duration::from_millis(
                    entry.program_date_time.unwrap().timestamp_millis() as u64
                ),
                discontinuities: told.discontinuity_sequence,
            })
            .collect();
        let mut again = Window::restore(length(6), 2, &entries);
        assert_eq!(again.render(), window.render());
        let shorter = Window::restore(length(3), 2, &entries);
        assert_eq!((shorter.len(), shorter.oldest()), (3, 5));
        assert_eq!(again.counters(), window.counters());
        let left = again.push(&session("b"), facts(2), s(2), s(5000));
        assert_eq!(left[0].sequence, 2);
    }

    #[test]
    fn an_ended_window_is_over_when_its_time_is() {
        let mut window = filled(6);
        window.end();
        assert!(list(&window).end_list);
        assert_eq!(window.retire(s(100)).len(), 6);
        assert!(window.render().is_none() && !window.is_over());
        assert_eq!(window.expire(s(114)).len(), 6);
        assert!(window.is_over());
    }
}
