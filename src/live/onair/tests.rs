//! What is on the air, with the window that lists it: any order of events, and each phase of a
//! pause, on a clock of the test's own.

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
    slate: bool,
    discontinuity: bool,
    /// First PTS, 90 kHz, and EXTINF.
    pts_90k: u64,
    duration_90k: u64,
}

/// A stream: what is on the air, its window, its clock.
struct World {
    air: OnAir,
    window: Window,
    now: Duration,
    /// Of the publisher that is there.
    session: Option<SessionId>,
    slate: SessionId,
    pictures: u32,
    waiting: VecDeque<(Piece, SessionId)>,
    listed: Vec<Listed>,
    last: Option<m3u8_rs::MediaPlaylist>,
}

impl World {
    fn new() -> Self {
        let length = Length {
            segments: 4,
            dvr: Duration::ZERO,
        };
        let config = Config {
            target_ms: 2000,
            max_segment_ms: 10_000,
            segment_bytes: 1 << 20,
        };
        Self {
            air: OnAir::new(config, Counters::default()),
            window: Window::new(length, Counters::default()),
            now: Duration::from_secs(100),
            session: None,
            slate: SessionId::random(),
            pictures: 0,
            waiting: VecDeque::new(),
            listed: Vec::new(),
            last: None,
        }
    }

    fn publish(&mut self) {
        if self.session.is_some() {
            return;
        }
        self.session = Some(SessionId::random());
        self.pictures = 0;
        self.air.publish();
        let head = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
        let header = [&head[..], &SPS, &[1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb]].concat();
        self.air.push(&tag(0, &header), self.now).unwrap();
    }

    fn lose(&mut self) {
        self.air.lost();
        self.collect();
        self.session = None;
        self.update();
    }

    /// Pictures in real time; without a publisher only time.
    fn play(&mut self, pictures: u32) {
        for _ in 0..pictures {
            if self.session.is_some() {
                let first = self.pictures.is_multiple_of(GOP);
                let head = if first { 0x65 } else { 0x41 };
                let payload = [
                    if first { 0x17 } else { 0x27 },
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    2,
                    head,
                    9,
                ];
                let tag = tag(self.pictures * 100, &payload);
                self.pictures += 1;
                self.air.push(&tag, self.now).unwrap();
                self.update();
            }
            self.wait(PICTURE);
        }
    }

    fn pause(&mut self) {
        self.air.pause(self.now);
        self.update();
    }

    fn resume(&mut self) {
        self.air.resume();
        self.update();
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
            if let Aired::Piece(piece) = aired {
                let session = self.session.as_ref().filter(|_| !piece.slate);
                let session = session.unwrap_or(&self.slate).clone();
                self.waiting.push_back((*piece, session));
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
        self.window.push(session, facts, self.now, self.now);
        self.listed.push(Listed {
            at: self.now,
            slate: piece.slate,
            discontinuity: segment.discontinuity,
            pts_90k: first_pts(&segment.body.concat()),
            duration_90k: segment.duration_90k,
        });
    }

    /// RFC 8216 6.2.1 and 6.2.2.
    fn check_playlist(&mut self) {
        let text = self.window.render().unwrap();
        let next = m3u8_rs::parse_media_playlist_res(&text).unwrap();
        for segment in &next.segments {
            assert!(segment.duration.round() as u64 <= next.target_duration);
        }
        if let Some(last) = &self.last {
            assert_eq!(last.target_duration, next.target_duration);
            let gone = (next.media_sequence - last.media_sequence) as usize;
            let tags = last.segments[..gone].iter().filter(|one| one.discontinuity);
            let expected = last.discontinuity_sequence + tags.count() as u64;
            assert_eq!(next.discontinuity_sequence, expected);
            let kept = &last.segments[gone..];
            assert_eq!(kept, &next.segments[..kept.len()]);
            let dates = next
                .segments
                .iter()
                .map(|one| one.program_date_time.unwrap());
            assert!(dates.is_sorted());
        }
        self.last = Some(next);
    }

    /// One DISCONTINUITY in and one out, none in a slate; times that go on; updates in time.
    fn check(&self) {
        let half = TARGET / 2;
        for pair in self.listed.windows(2) {
            let [one, two] = pair else { unreachable!() };
            if one.slate || two.slate {
                assert_eq!(two.discontinuity, one.slate != two.slate);
            }
            let step = two.pts_90k - one.pts_90k;
            assert!((one.duration_90k..one.duration_90k + 20_000).contains(&step));
            // The segment that a pause closes comes together with the slate's first.
            let together = !one.slate && two.slate && one.at == two.at;
            if one.slate || two.slate && !together {
                assert!(two.at >= one.at + half, "too soon");
            }
            if one.slate && two.slate {
                assert!(two.at <= one.at + half + TARGET, "too late");
            }
        }
    }

    /// No time without an update between half and one and a half target durations; a late picture
    /// is forgiven.
    fn check_updates(&self) {
        let mut times: Vec<_> = self.listed.iter().map(|one| one.at).collect();
        times.dedup();
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(
                (TARGET / 2..=TARGET * 3 / 2 + PICTURE).contains(&gap),
                "{gap:?}"
            );
        }
    }
}

/// The first PTS of a segment whose third packet begins a PES packet.
fn first_pts(body: &[u8]) -> u64 {
    let packet = &body[2 * 188..3 * 188];
    let field = if packet[3] & 0x20 != 0 {
        usize::from(packet[4]) + 1
    } else {
        0
    };
    let stamp = packet[4 + field + 9..]
        .first_chunk::<5>()
        .unwrap()
        .map(u64::from);
    let [a, b, c, d, e] = stamp;
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Publish,
    Lose,
    Play(u32),
    Pause,
    Resume,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Publish),
        Just(Event::Lose),
        Just(Event::Pause),
        Just(Event::Resume),
        (1..60u32).prop_map(Event::Play),
        (1..60u32).prop_map(Event::Play),
        (0..9000u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_keeps_the_playlist_whole(
        events in proptest::collection::vec(event(), 1..40)
    ) {
        let mut world = World::new();
        for event in events {
            match event {
                Event::Publish => world.publish(),
                Event::Lose => world.lose(),
                Event::Play(pictures) => world.play(pictures),
                Event::Pause => world.pause(),
                Event::Resume => world.resume(),
                Event::Wait(ms) => world.wait(Duration::from_millis(ms)),
            }
        }
        world.air.end();
        world.collect();
        world.wait(10 * TARGET);
        prop_assert!(world.waiting.is_empty() && world.air.due().is_none());
        world.check();
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
            let slates: Vec<bool> = world.listed.iter().map(|one| one.slate).collect();
            let runs = slates.chunk_by(|a, b| a == b).count();
            assert_eq!(runs, 3, "live, slate, live: {before} {pause}");
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
    assert!(!world.listed.is_empty() && world.listed.iter().all(|one| !one.slate));
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
    assert!(!world.listed.last().unwrap().slate);
}

#[test]
fn after_a_restart_the_slate_comes_with_the_publisher() {
    let mut world = World::new();
    let counters = Counters {
        next_sequence: 7,
        discontinuities: 1,
        target_duration_s: Some(2),
    };
    world.air = OnAir::new(world.air.config.clone(), counters);
    world.pause();
    world.wait(TARGET);
    assert!(world.listed.is_empty());
    world.publish();
    world.play(2 * GOP);
    assert!(world.listed.len() >= 2 && world.listed.iter().all(|one| one.slate));
    assert!(world.listed[0].discontinuity);
}
