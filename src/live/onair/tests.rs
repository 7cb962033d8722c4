//! What is on the air, with the window that lists it: any order of events, and each phase of a
//! pause, on a clock of the test's own.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use segmenter::TagKind;

use super::*;
use crate::{
    live::window::{Facts, Length, Window},
    name::SessionId,
};

const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
/// One picture's length, and pictures from one IDR to the next: a target duration.
const PICTURE: Duration = Duration::from_millis(100);
const GOP: u32 = 20;
const TARGET: Duration = Duration::from_secs(2);

fn tag(timestamp_ms: u32, payload: &[u8]) -> Tag {
    Tag {
        kind: TagKind::Video,
        timestamp_ms,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// What was listed, one after the other.
struct Listed {
    at: Duration,
    /// Which process listed it.
    life: u32,
    /// The publisher's session; `None`: the slate.
    session: Option<SessionId>,
    discontinuity: bool,
    /// First PTS, 90 kHz, and EXTINF.
    pts_90k: u64,
    duration_90k: u64,
    /// Listed at the end, whatever time it was.
    at_the_end: bool,
}

impl Listed {
    fn slate(&self) -> bool {
        self.session.is_none()
    }
}

/// A stream: what is on the air, its window, its clock.
struct World {
    air: OnAir,
    window: Window,
    now: Duration,
    /// The wall clock less [`World::now`].
    wall: Duration,
    life: u32,
    paused: bool,
    /// Of the publisher that is there.
    session: Option<SessionId>,
    slate: SessionId,
    pictures: u32,
    /// What the publisher sends from one IDR to the next.
    gop: u32,
    /// As lifecycle and rooms are told.
    silent: bool,
    waiting: VecDeque<(Piece, SessionId)>,
    listed: Vec<Listed>,
    last: Option<m3u8_rs::MediaPlaylist>,
    names: HashMap<String, u64>,
    /// What was listed last.
    tracks: Tracks,
}

fn config() -> Config {
    Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 1 << 20,
    }
}

const LENGTH: Length = Length {
    segments: 4,
    dvr: Duration::ZERO,
};

impl World {
    fn new() -> Self {
        Self {
            air: OnAir::new(config(), Counters::default()),
            window: Window::new(LENGTH, Counters::default()),
            now: Duration::from_secs(100),
            wall: Duration::from_secs(1_000_000),
            life: 0,
            paused: false,
            session: None,
            slate: SessionId::random(),
            pictures: 0,
            gop: GOP,
            silent: false,
            waiting: VecDeque::new(),
            listed: Vec::new(),
            last: None,
            names: HashMap::new(),
            tracks: Tracks::default(),
        }
    }

    fn publish(&mut self) {
        if self.session.is_some() {
            return;
        }
        self.session = Some(SessionId::random());
        self.pictures = 0;
        self.air.publish();
        self.header(&SPS);
        self.update();
    }

    fn header(&mut self, sps: &[u8]) {
        let head = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
        let header = [&head[..], sps, &[1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb]].concat();
        self.air.push(&tag(0, &header), self.now).unwrap();
    }

    fn lose(&mut self) {
        self.air.lost(self.now);
        self.collect();
        self.session = None;
        self.update();
    }

    /// Another publisher takes the stream.
    fn replace(&mut self) {
        self.lose();
        self.publish();
    }

    /// One picture, without its time.
    fn picture(&mut self) {
        let first = self.pictures.is_multiple_of(self.gop);
        let head = if first { 0x65 } else { 0x41 };
        let kind = if first { 0x17 } else { 0x27 };
        let payload = [kind, 1, 0, 0, 0, 0, 0, 0, 2, head, 9];
        let tag = tag(self.pictures * 100, &payload);
        self.pictures += 1;
        self.air.push(&tag, self.now).unwrap();
        self.update();
    }

    /// Pictures in real time; without a publisher only time.
    fn play(&mut self, pictures: u32) {
        self.play_at(pictures, PICTURE);
    }

    /// A picture each `step`.
    fn play_at(&mut self, pictures: u32, step: Duration) {
        for _ in 0..pictures {
            if self.session.is_some() {
                self.picture();
            }
            self.wait(step);
        }
    }

    /// Nothing comes for so many pictures' time, and then all of them at once. Who begins so is
    /// faster than time, and is listed as it comes: so before the first segment they are lost.
    fn stall(&mut self, pictures: u32) {
        self.wait(PICTURE * pictures);
        let life = self.listed.last().map(|one| one.life);
        let come = self.session.is_some() && life == Some(self.life);
        for _ in 0..if come { pictures } else { 0 } {
            self.picture();
        }
    }

    fn pause(&mut self) {
        // `live` asks once.
        if !std::mem::replace(&mut self.paused, true) {
            self.air.pause(self.now);
            self.update();
        }
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.air.resume(self.now);
            self.update();
        }
    }

    /// The process is killed, and another one goes on `after` that. Without its playlist it has the
    /// numbers alone, and leaves some out.
    fn crash(&mut self, after: Duration, playlist: bool) {
        self.waiting.clear();
        let mut counters = self.window.counters();
        if !playlist {
            if counters.next_sequence > 0 {
                counters.next_sequence += 3;
            }
            self.window = Window::new(LENGTH, counters);
        }
        self.air = OnAir::new(config(), counters);
        self.life += 1;
        self.silent = false;
        self.session = None;
        self.slate = SessionId::random();
        self.now += after;
        if playlist && counters.next_sequence > 0 {
            let tracks = Some(self.tracks.clone());
            self.air.recall(tracks, [0; 4], None, self.now);
        }
        if self.paused {
            self.air.pause(self.now);
            self.update();
        }
    }

    /// SIGTERM, and the next process.
    fn restart(&mut self, after: Duration) {
        self.end();
        self.crash(after, true);
    }

    /// Everything is listed now, and nothing more comes.
    fn end(&mut self) {
        self.air.end(self.now);
        self.collect();
        for (piece, _) in &mut self.waiting {
            piece.not_before = Duration::ZERO;
        }
        let before = self.listed.len();
        self.update();
        for one in &mut self.listed[before..] {
            one.at_the_end = true;
        }
        assert_eq!(self.air.due(), None);
    }

    /// Lets time pass, doing what is due on the way.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let waiting = self.waiting.front().map(|(piece, _)| piece.not_before);
            let due = self.air.due().into_iter().chain(waiting).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.air.tick(self.now);
            self.update();
        }
        self.now = end;
    }

    fn collect(&mut self) {
        while let Some(aired) = self.air.poll() {
            match aired {
                Aired::Piece(piece) => {
                    let session = self.session.as_ref().filter(|_| !piece.slate);
                    let session = session.unwrap_or(&self.slate).clone();
                    self.waiting.push_back((*piece, session));
                }
                Aired::Tracks(tracks) => self.tracks = tracks,
                Aired::Silent => self.silent = true,
                Aired::Returned => self.silent = false,
                Aired::Notice(_) | Aired::CardInstead(_) => {}
            }
        }
    }

    fn update(&mut self) {
        self.collect();
        let before = self.listed.len();
        while self
            .waiting
            .front()
            .is_some_and(|(next, _)| next.not_before <= self.now)
        {
            let (piece, session) = self.waiting.pop_front().unwrap();
            self.list(&piece, &session);
        }
        if self.listed.len() > before {
            self.air.listed(self.now);
            self.check_playlist();
        }
    }

    fn list(&mut self, piece: &Piece, session: &SessionId) {
        let segment = &piece.segment;
        let facts = Facts {
            duration_90k: segment.duration_90k,
            discontinuity: segment.discontinuity,
            independent: segment.independent,
            target_duration_s: segment.target_duration_s,
        };
        let name = self.window.next_name(session);
        let used = self.names.insert(name.to_string(), name.sequence);
        assert_eq!(used, None, "a name is used once");
        self.window
            .push(session, facts, self.now, self.wall + self.now);
        self.listed.push(Listed {
            at: self.now,
            life: self.life,
            session: Some(session.clone()).filter(|_| !piece.slate),
            discontinuity: segment.discontinuity,
            pts_90k: first_pts(&segment.body.concat()),
            duration_90k: segment.duration_90k,
            at_the_end: false,
        });
    }

    /// RFC 8216 6.2.1 and 6.2.2.
    fn check_playlist(&mut self) {
        let text = self.window.render().unwrap();
        let next = m3u8_rs::parse_media_playlist_res(&text).unwrap();
        assert!(!next.end_list);
        for (segment, number) in next.segments.iter().zip(next.media_sequence..) {
            assert!(segment.duration.round() as u64 <= next.target_duration);
            assert_eq!(self.names[&segment.uri], number);
        }
        let dates = next.segments.iter().map(|one| one.program_date_time);
        assert!(dates.clone().all(|date| date.is_some()) && dates.is_sorted());
        if let Some(last) = &self.last {
            assert_eq!(last.target_duration, next.target_duration);
            let gone = (next.media_sequence - last.media_sequence) as usize;
            if let Some(left) = last.segments.get(..gone) {
                let tags = left.iter().filter(|one| one.discontinuity);
                let expected = last.discontinuity_sequence + tags.count() as u64;
                assert_eq!(next.discontinuity_sequence, expected);
                let kept = &last.segments[gone..];
                assert_eq!(kept, &next.segments[..kept.len()]);
            } else {
                // The old list was lost: its tags count as removed.
                let tags = last.segments.iter().filter(|one| one.discontinuity);
                let expected = last.discontinuity_sequence + tags.count() as u64;
                assert!(next.discontinuity_sequence >= expected);
            }
        }
        self.last = Some(next);
    }

    /// One DISCONTINUITY into and out of a slate and wherever the session or the process changes,
    /// none elsewhere; times that go on.
    fn check(&self) {
        for pair in self.listed.windows(2) {
            let [one, two] = pair else { unreachable!() };
            let follows = one.life == two.life;
            let changes = !follows || one.session != two.session;
            assert_eq!(two.discontinuity, changes, "at {:?}", two.at);
            let step = two.pts_90k.wrapping_sub(one.pts_90k);
            if follows {
                assert!((one.duration_90k..one.duration_90k + 20_000).contains(&step));
            }
        }
    }

    /// No update but between half and one and a half target durations behind the one before, while
    /// a process lives; a late picture is forgiven.
    fn check_updates(&self) {
        let listed = self.listed.iter().filter(|one| !one.at_the_end);
        let mut times: Vec<_> = listed.map(|one| (one.life, one.at)).collect();
        times.dedup();
        for pair in times.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let gap = pair[1].1 - pair[0].1;
            assert!(
                (TARGET / 2..=TARGET * 3 / 2 + PICTURE).contains(&gap),
                "{gap:?} at {:?}",
                pair[1].1
            );
        }
    }

    /// Whether slates were listed, runs of the same folded.
    fn runs(&self) -> Vec<bool> {
        let mut slates: Vec<bool> = self.listed.iter().map(Listed::slate).collect();
        slates.dedup();
        slates
    }
}

/// The first PTS of a segment.
fn first_pts(body: &[u8]) -> u64 {
    let begins = |packet: &&[u8]| packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0;
    let payload = |packet: &[u8]| {
        let field = match packet[3] & 0x20 {
            0 => 0,
            _ => usize::from(packet[4]) + 1,
        };
        packet[4 + field..].to_vec()
    };
    let mut begun = body.chunks_exact(188).filter(begins).map(payload);
    let pes = begun.find(|pes| pes.starts_with(&[0, 0, 1])).unwrap();
    let [a, b, c, d, e] = pes[9..].first_chunk::<5>().unwrap().map(u64::from);
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Publish,
    Lose,
    Replace,
    Play(u32),
    /// Pictures at half the speed.
    Slow(u32),
    Stall(u32),
    /// With a publisher it is silent meanwhile.
    Wait(u64),
    Pause,
    Resume,
    /// Milliseconds until the next process, and whether it finds the playlist.
    Crash(u64, bool),
    Restart(u64),
    /// Of the wall clock, in seconds.
    Step(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Publish),
        2 => Just(Event::Lose),
        1 => Just(Event::Replace),
        2 => Just(Event::Pause),
        2 => Just(Event::Resume),
        5 => (1..60u32).prop_map(Event::Play),
        1 => (1..30u32).prop_map(Event::Slow),
        2 => (1..60u32).prop_map(Event::Stall),
        3 => (0..9000u64).prop_map(Event::Wait),
        1 => (0..5000u64, prop::bool::weighted(0.8)).prop_map(|(ms, found)| Event::Crash(ms, found)),
        1 => (0..5000u64).prop_map(Event::Restart),
        1 => (-4000..4000i64).prop_map(Event::Step),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish => self.publish(),
            Event::Lose => self.lose(),
            Event::Replace => self.replace(),
            Event::Play(pictures) => self.play(pictures),
            Event::Slow(pictures) => self.play_at(pictures, PICTURE * 2),
            Event::Stall(pictures) => self.stall(pictures),
            Event::Wait(ms) => self.wait(Duration::from_millis(ms)),
            Event::Pause => self.pause(),
            Event::Resume => self.resume(),
            Event::Crash(ms, playlist) => self.crash(Duration::from_millis(ms), playlist),
            Event::Restart(ms) => self.restart(Duration::from_millis(ms)),
            Event::Step(seconds) => {
                let step = Duration::from_secs(seconds.unsigned_abs());
                self.wall = if seconds < 0 {
                    self.wall.saturating_sub(step)
                } else {
                    self.wall + step
                };
            }
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_events_keeps_the_playlist_whole(
        events in proptest::collection::vec(event(), 1..40)
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.check();
        world.check_updates();
        // A stop: what waits is listed at once.
        world.end();
        world.wait(10 * TARGET);
        prop_assert!(world.waiting.is_empty() && world.air.due().is_none());
        world.check();
        world.window.end();
        let ended = world.window.render().map(|text| String::from_utf8(text).unwrap());
        prop_assert!(ended.is_none_or(|text| text.ends_with("#EXT-X-ENDLIST\n")));
    }
}

#[test]
fn at_every_phase_a_pause_is_one_way_in_and_one_out_and_updates_keep_coming() {
    for before in 0..GOP {
        for pause in 0..3 * GOP {
            let mut world = World::new();
            world.publish();
            world.play(3 * GOP + 1 + before);
            world.pause();
            world.play(pause);
            world.resume();
            world.play(4 * GOP);
            world.check();
            world.check_updates();
            assert_eq!(world.runs(), [false, true, false], "{before} {pause}");
        }
    }
}

#[test]
fn pauses_one_after_the_other_do_not_run_ahead_of_time() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP);
    for n in 0..30 {
        world.pause();
        world.play(7 + n);
        world.resume();
        world.play(2 * GOP + 13);
    }
    world.check();
    world.check_updates();
    let media: u64 = world.listed.iter().map(|one| one.duration_90k).sum();
    let ahead =
        Duration::from_millis(media / 90).saturating_sub(world.now - Duration::from_secs(100));
    assert!(ahead < 2 * TARGET, "{ahead:?}");
}

#[test]
fn before_the_first_segment_a_pause_shows_nothing() {
    let mut world = World::new();
    world.publish();
    world.pause();
    world.play(2 * GOP);
    assert!(world.listed.is_empty() && world.air.due().is_none());
    world.resume();
    world.play(3 * GOP);
    assert!(!world.listed.is_empty() && world.listed.iter().all(|one| !one.slate()));
    assert!(!world.listed[0].discontinuity);
}

#[test]
fn a_publisher_may_leave_and_return_while_paused() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP);
    world.pause();
    world.play(5);
    world.lose();
    world.wait(3 * TARGET);
    world.publish();
    world.play(GOP);
    world.resume();
    world.play(3 * GOP);
    world.check();
    world.check_updates();
    assert_eq!(
        world.listed.iter().filter(|one| one.discontinuity).count(),
        2
    );
}

#[test]
fn resumed_without_a_publisher_the_slate_goes_on_until_its_idr() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP);
    world.pause();
    world.lose();
    world.wait(TARGET);
    world.resume();
    world.wait(3 * TARGET);
    world.publish();
    world.play(3 * GOP);
    world.check();
    world.check_updates();
    assert_eq!(
        world.listed.iter().filter(|one| one.discontinuity).count(),
        2
    );
    assert!(!world.listed.last().unwrap().slate());
}

#[test]
fn after_a_restart_the_slate_comes_with_the_publisher() {
    let mut world = World::new();
    let counters = Counters {
        next_sequence: 7,
        discontinuities: 1,
        target_duration_s: Some(2),
    };
    world.air = OnAir::new(config(), counters);
    world.window = Window::new(LENGTH, counters);
    world.pause();
    world.wait(TARGET);
    assert!(world.listed.is_empty());
    world.publish();
    world.play(2 * GOP);
    assert!(world.listed.len() >= 2 && world.listed.iter().all(|one| one.slate()));
    assert!(world.listed[0].discontinuity);
}

#[test]
fn at_every_phase_silence_brings_the_slate_in_time_and_an_idr_ends_it() {
    for before in 0..GOP {
        for silence in [13, 24, 25, 26, 31, 40, 77] {
            let mut world = World::new();
            world.publish();
            world.play(3 * GOP + 1 + before);
            let last = world.listed.last().unwrap().at;
            world.wait(PICTURE * silence);
            let overdue = world.now >= last + TARGET * 5 / 4;
            assert_eq!((world.silent, world.air.is_waiting()), (overdue, overdue));
            if overdue {
                let slate = world.listed.iter().find(|one| one.slate()).unwrap();
                assert_eq!(slate.at, last + TARGET * 5 / 4);
            }
            world.play(4 * GOP);
            assert!(!world.silent && !world.air.is_waiting());
            world.check();
            world.check_updates();
            // Without it the media that went on came late, and may have been too late as well.
            let once = world.runs() == [false, true, false];
            assert!(
                once || world.runs() == [false] && !overdue,
                "{before} {silence}"
            );
        }
    }
}

#[test]
fn at_every_phase_a_lost_publisher_is_covered_until_its_return() {
    for before in 0..GOP {
        for absence in 0..3 * GOP {
            let mut world = World::new();
            world.publish();
            world.play(3 * GOP + 1 + before);
            world.lose();
            world.wait(PICTURE * absence);
            world.publish();
            world.play(4 * GOP);
            assert!(!world.air.is_waiting() && !world.silent);
            world.check();
            world.check_updates();
            // Who is back at once is one DISCONTINUITY; a slate makes two.
            let slates = world.runs().contains(&true);
            assert!(slates || absence <= 17, "{before} {absence}");
            assert!(!slates || absence >= 9, "{before} {absence}");
            let marks = world.listed.iter().filter(|one| one.discontinuity);
            assert_eq!(marks.count(), 1 + usize::from(slates), "{before} {absence}");
        }
    }
}

#[test]
fn whoever_never_returns_is_waited_for_with_the_slate() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP + 7);
    world.lose();
    assert!(world.air.is_waiting());
    world.wait(30 * TARGET);
    world.check();
    world.check_updates();
    let slates = world.listed.iter().filter(|one| one.slate()).count();
    assert!((28..=30).contains(&slates), "{slates}");
}

#[test]
fn long_or_uneven_gops_are_not_silence() {
    for gop in [4, 15, 19, 24, 27, 33, 44, 50, 104] {
        let mut world = World::new();
        world.gop = gop;
        world.publish();
        for n in 0..300 {
            world.play(n % 7);
            // The network's unevenness.
            world.stall(3);
        }
        assert!(world.listed.len() > 8);
        assert_eq!(world.runs(), [false], "{gop}");
        assert!(world.listed.iter().all(|one| !one.discontinuity), "{gop}");
    }
}

#[test]
fn media_that_comes_too_slowly_alternates_with_the_slate() {
    let mut world = World::new();
    world.publish();
    world.play(2 * GOP + 1);
    world.play_at(6 * GOP, PICTURE * 2);
    assert!(world.runs().len() > 4);
    world.check();
    world.check_updates();
}

#[test]
fn before_the_first_segment_silence_shows_nothing() {
    let mut world = World::new();
    world.publish();
    world.play(GOP / 2);
    world.wait(10 * TARGET);
    assert!(world.listed.is_empty() && world.air.due().is_none() && !world.air.is_waiting());
    world.play(3 * GOP);
    assert_eq!(world.runs(), [false]);
}

#[test]
fn sound_goes_on_without_pictures_and_is_media() {
    let mut world = World::new();
    world.publish();
    let sound = |payload: &[u8], ms: u32| Tag {
        kind: TagKind::Audio,
        timestamp_ms: ms,
        payload: Bytes::copy_from_slice(payload),
    };
    // 48 kHz, stereo: a frame is 21 1/3 ms.
    world
        .air
        .push(&sound(&[0xaf, 0, 0x11, 0x90], 0), world.now)
        .unwrap();
    let mut frames = 0;
    let mut play = |world: &mut World, pictures: u32, seen: bool| {
        for _ in 0..pictures {
            if seen {
                world.picture();
            } else {
                world.pictures += 1;
            }
            while frames * 64 / 3 < world.pictures * 100 {
                let frame = sound(&[0xaf, 1, 0x21, 0, 0, 0, 0, 0x1c], frames * 64 / 3);
                world.air.push(&frame, world.now).unwrap();
                frames += 1;
            }
            world.update();
            world.wait(PICTURE);
        }
    };
    play(&mut world, 3 * GOP, true);
    play(&mut world, 5 * GOP, false);
    assert_eq!(world.runs(), [false]);
    assert!(!world.air.is_waiting() && world.now < world.listed.last().unwrap().at + 2 * TARGET);
    world.wait(2 * TARGET);
    assert!(world.air.is_waiting());
    play(&mut world, 3 * GOP, true);
    assert_eq!(world.runs(), [false, true, false]);
}

#[test]
fn paused_and_resumed_in_silence_it_is_one_slate() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP + 3);
    world.wait(2 * TARGET);
    assert!(world.air.is_waiting());
    world.pause();
    assert!(!world.air.is_waiting());
    world.wait(2 * TARGET);
    world.resume();
    assert!(
        world.air.is_waiting() && world.silent,
        "still nothing comes"
    );
    world.wait(TARGET);
    world.play(4 * GOP);
    // Resumed while media comes, and then it stops before its next IDR.
    world.pause();
    world.play(GOP + 1);
    world.resume();
    assert!(!world.air.is_waiting());
    world.play(3);
    world.wait(3 * TARGET);
    assert!(world.air.is_waiting() && world.silent);
    world.play(3 * GOP);
    world.check();
    world.check_updates();
    assert_eq!(world.runs(), [false, true, false, true, false]);
}

#[test]
fn a_restart_while_paused_goes_on_with_the_slate_where_it_finds_the_tracks() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP);
    world.pause();
    world.wait(TARGET);
    world.crash(TARGET, true);
    let before = world.listed.len();
    world.wait(5 * TARGET);
    assert!(world.listed.len() >= before + 5);
    assert_eq!(world.runs(), [false, true]);
    world.resume();
    assert!(world.air.is_waiting());
    world.wait(TARGET);
    world.publish();
    world.play(3 * GOP);
    world.check();
    world.check_updates();
    assert_eq!(world.runs(), [false, true, false]);
}

#[test]
fn who_does_not_return_after_a_restart_is_covered() {
    let mut world = World::new();
    world.publish();
    world.play(3 * GOP);
    world.restart(TARGET);
    let before = world.listed.len();
    world.wait(TARGET * 3 - PICTURE);
    assert_eq!(world.listed.len(), before);
    world.wait(5 * TARGET);
    assert!(world.listed.len() >= before + 5);
    world.publish();
    world.play(3 * GOP);
    world.check();
    world.check_updates();
    assert_eq!(world.runs(), [false, true, false]);
}

#[test]
fn who_returns_after_a_restart_is_one_discontinuity() {
    for absence in [0, 10, 40, 59] {
        let mut world = World::new();
        world.publish();
        world.play(3 * GOP + 5);
        world.crash(TARGET, true);
        world.wait(PICTURE * absence);
        world.publish();
        world.play(3 * GOP);
        world.check();
        assert_eq!(world.runs(), [false], "{absence}");
    }
}

#[test]
fn a_clock_that_steps_back_an_hour_moves_no_date_back() {
    let mut world = World::new();
    world.publish();
    let hour = Duration::from_secs(3600);
    // `check_playlist` compares dates with each update.
    world.play(3 * GOP);
    world.wall -= hour;
    world.play(3 * GOP);
    world.pause();
    world.wait(2 * TARGET);
    world.wall += 2 * hour;
    world.resume();
    world.play(3 * GOP);
    world.wall -= hour;
    world.replace();
    world.play(3 * GOP);
    world.crash(TARGET, true);
    world.wall -= hour;
    world.publish();
    world.play(3 * GOP);
    world.check();
    let told = world.last.unwrap();
    let wall = (world.wall + world.now).as_secs().cast_signed();
    let date = told.segments.last().unwrap().program_date_time.unwrap();
    assert!(date.timestamp() > wall + 3600, "it waits for the clock");
}
