//! Films: which are taken, and how they go round.

use std::collections::BTreeMap;

use super::*;
use crate::slate::film::Film;
use crate::{Tag, TagKind};

const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
const STEREO: [u8; 2] = [0x11, 0x90];

fn tag(kind: TagKind, timestamp_ms: u32, head: &[u8], data: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: [head, data].concat().into(),
    }
}

fn header(pps: u8) -> Tag {
    let head = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
    let record = [&head[..], &SPS, &[1, 0, 4, 0x68, 0xeb, 0xe3, pps]].concat();
    tag(TagKind::Video, 0, &[0x17, 0, 0, 0, 0], &record)
}

fn picture(at_ms: u32, cts_ms: i32, nal: &[u8]) -> Tag {
    let cts = cts_ms.to_be_bytes();
    let head = [0x17, 1, cts[1], cts[2], cts[3], 0, 0, 0, nal.len() as u8];
    tag(TagKind::Video, at_ms, &head, nal)
}

/// Pictures at 25 fps from 10 s on, an IDR every `gop`.
fn pictures(count: u32, gop: u32) -> Vec<Tag> {
    let nal = |number: u32| {
        [
            if number.is_multiple_of(gop) {
                0x65
            } else {
                0x41
            },
            number as u8,
            9,
        ]
    };
    let one = |number| picture(10_000 + number * 40, 0, &nal(number));
    [header(0xcb)]
        .into_iter()
        .chain((0..count).map(one))
        .collect()
}

fn sound(asc: &[u8], count: u32) -> Vec<Tag> {
    let one = |number: u32| {
        let at_ms = 10_000 + number * 1024 / 48;
        tag(TagKind::Audio, at_ms, &[0xaf, 1], &[0x77, number as u8])
    };
    let header = tag(TagKind::Audio, 0, &[0xaf, 0], asc);
    [header].into_iter().chain((0..count).map(one)).collect()
}

fn film(tags: &[Tag]) -> Arc<Film> {
    Arc::new(Film::new(tags).unwrap())
}

fn slate_of(film: &Arc<Film>, audio: Option<(u32, u8)>, target_s: u32) -> Slate {
    let resume = Resume {
        target_duration_s: Some(target_s),
        ..resume(900_000)
    };
    Slate::film(&tracks(true, audio), &resume, film).unwrap()
}

/// PTS and DTS of each picture, in order.
fn times(segments: &[Segment]) -> Vec<(i64, i64)> {
    let time = |at: &[u8]| {
        let byte = |index: usize| i64::from(at[index]);
        (byte(0) >> 1 & 7) << 30
            | byte(1) << 22
            | (byte(2) >> 1) << 15
            | byte(3) << 7
            | byte(4) >> 1
    };
    let body: Vec<u8> = segments.iter().flat_map(|one| one.body.concat()).collect();
    let mut times = Vec::new();
    for packet in body.as_chunks::<188>().0 {
        if packet[1] != 0x41 || packet[2] != 0 {
            continue;
        }
        let pes = &packet[if packet[3] & 0x20 == 0 {
            4
        } else {
            5 + usize::from(packet[4])
        }..];
        let pts = time(&pes[9..]);
        times.push((
            pts,
            if pes[7] & 0x40 == 0 {
                pts
            } else {
                time(&pes[14..])
            },
        ));
    }
    times
}

#[test]
fn a_film_goes_round_and_each_segment_begins_with_an_idr() {
    let film = film(&pictures(125, 50));
    assert_eq!(
        (film.length_90k(), film.longest_gop_90k()),
        (450_000, 180_000)
    );
    let mut slate = slate_of(&film, None, 2);
    let segments: Vec<_> = (0..9).map(|_| slate.segment(2000)).collect();
    let lengths: Vec<_> = segments.iter().map(|one| one.duration_90k / 900).collect();
    assert_eq!(lengths, [200, 200, 100, 200, 200, 100, 200, 200, 100]);
    for (number, one) in segments.iter().enumerate() {
        assert_eq!((one.keyframes, one.discontinuity), (1, number == 0));
    }
    let times = times(&segments);
    assert_eq!(times.len(), 375);
    for (number, (pts, dts)) in times.iter().enumerate() {
        let expected = 900_000 + 3600 * number as i64;
        assert_eq!((*pts, *dts), (expected, expected));
    }
    check_counters(&segments, 256, 11);
    assert_eq!(slate.resume().next_dts_90k, Some(900_000 + 375 * 3600));
}

#[test]
fn longer_segments_take_more_gops_and_shorter_ones_at_least_one() {
    let film = film(&pictures(125, 25));
    let mut slate = slate_of(&film, None, 4);
    let lengths: Vec<_> = [4000, 4000, 2000, 500, 4000]
        .map(|asked| slate.segment(asked).duration_90k / 90_000)
        .to_vec();
    assert_eq!(lengths, [4, 4, 2, 1, 4]);
    // 30000/1001 pictures a second: four GOPs of 0.5005 s are a segment of 2 s.
    let mut tags = vec![header(0xcb)];
    for number in 0..60 {
        let nal = [if number % 15 == 0 { 0x65 } else { 0x41 }, 1];
        tags.push(picture(number * 1001 / 30, 0, &nal));
    }
    let mut slate = slate_of(&Arc::new(Film::new(&tags).unwrap()), None, 2);
    assert_eq!(slate.segment(2000).keyframes, 4);
}

#[test]
fn reordered_pictures_keep_their_order_over_the_loop() {
    let cts = [80, 160, 40, 40, 160, 40, 40];
    let mut tags = vec![header(0xcb)];
    for number in 0..42u32 {
        let nal = [if number % 21 == 0 { 0x65 } else { 0x41 }, number as u8];
        let cts_ms = cts[number as usize % 21 % 7];
        tags.push(picture(number * 40, cts_ms, &nal));
    }
    let film = film(&tags);
    let mut slate = slate_of(&film, None, 2);
    let times = times(&[
        slate.segment(2000),
        slate.segment(2000),
        slate.segment(2000),
    ]);
    assert_eq!(times[0], (900_000, 900_000 - 7200));
    assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert!(times.iter().all(|(pts, dts)| pts >= dts));
    let round = film.length_90k();
    assert_eq!(times[42], (900_000 + round, 900_000 - 7200 + round));
    let shown = times[..42].iter().map(|(pts, _)| *pts).max().unwrap();
    assert!(shown < 900_000 + round, "a round is shown before the next");
}

#[test]
fn pictures_that_need_some_before_the_film_are_left_out() {
    let mut tags = pictures(50, 50);
    tags[1] = picture(10_000, 120, &[0x65, 1]);
    let film = film(&tags);
    // The two whose times are below that of the IDR.
    assert_eq!(film.shots.len(), 48);
    assert!(film.shots.iter().all(|shot| shot.pts_90k >= 0));
}

#[test]
fn where_a_film_goes_round_no_idr_follows_another_of_its_number() {
    let card = include_bytes!("../../../../src/live/slate/paused-360.h264");
    let mut tags = vec![tag(TagKind::Video, 0, &[0x17, 0, 0, 0, 0], card)];
    for number in 0..12 {
        tags.push(tag(TagKind::Video, number * 100, &[0x17, 1, 0, 0, 0], card));
    }
    assert_eq!(film(&tags).shots.len(), 11, "the last would meet the first");
    tags.push(picture(1200, 0, &[0x41, 1]));
    assert_eq!(film(&tags).shots.len(), 12 + 1);
}

#[test]
fn its_own_sound_is_heard_where_it_is_coded_as_the_live_one() {
    let tags = [pictures(50, 50), sound(&STEREO, 90)].concat();
    let film = film(&tags);
    let heard = |audio: (u32, u8)| {
        let mut slate = slate_of(&film, Some(audio), 2);
        let segments: Vec<_> = (0..3).map(|_| slate.segment(2000)).collect();
        check_counters(&segments, 257, 15);
        let body: Vec<u8> = segments.iter().flat_map(|one| one.body.concat()).collect();
        let mut frames = BTreeMap::new();
        // ADTS of two bytes, then the frame's own.
        for at in body.windows(9).filter(|at| at[..2] == [0xff, 0xf1]) {
            if at[7] == 0x77 {
                *frames.entry(at[8]).or_insert(0) += 1;
            }
        }
        frames
    };
    let frames = heard((48_000, 2));
    // Each frame of the film once a round, silence behind its last; those that lie across two TS
    // packets are not looked for here.
    assert!(frames.len() > 85 && frames.keys().max() < Some(&90));
    assert!(frames.values().all(|count| *count <= 3));
    assert!(frames.values().sum::<i32>() > 255);
    // Sound that begins later than the pictures does so in each round.
    let mut late = sound(&STEREO, 60);
    late.iter_mut().for_each(|tag| tag.timestamp_ms += 1000);
    let late = Film::new(&[pictures(50, 50), late].concat()).unwrap();
    assert_eq!((late.frame_at(0), late.frame_at(90_000)), (-47, 0));
    assert!(late.frame(-1).is_none() && late.frame(0).is_some() && late.frame(60).is_none());
    assert!(heard((44_100, 2)).is_empty(), "another rate");
    assert!(heard((48_000, 1)).is_empty(), "other channels");
}

#[test]
fn tracks_are_those_of_the_live_stream() {
    let film = film(&[pictures(50, 50), sound(&STEREO, 90)].concat());
    let mut seen = slate_of(&film, None, 2);
    let body = seen.segment(2000).body.concat();
    assert!(
        !body
            .as_chunks::<188>()
            .0
            .iter()
            .any(|packet| packet[1..3] == [0x41, 1])
    );
    let audio_only = tracks(false, Some((48_000, 2)));
    let mut heard = Slate::film(&audio_only, &resume(0), &film).unwrap();
    let segment = heard.segment(2000);
    assert_eq!(segment.pictures, 0);
    assert!(
        !segment
            .body
            .concat()
            .windows(2)
            .any(|at| at == [0x77, 0x00]),
        "silence"
    );
}

#[test]
fn keyframes_too_rare_for_a_stream_give_no_slate() {
    let film = film(&pictures(100, 100));
    assert!(film.fits(4) && !film.fits(3));
    assert!(Slate::film(&tracks(true, None), &resume(0), &film).is_none());
    // 2.49 s still rounds to 2.
    let film = Film::new(&pictures(62, 62)).unwrap();
    assert!(film.fits(2) && film.bytes_in(180_000) == 62 * 7 * 180_000 / (62 * 3600));
}

#[test]
fn unfit_clips_are_told_why() {
    let good = pictures(50, 50);
    let without = |number: usize| {
        let mut tags = good.clone();
        tags.remove(number);
        tags
    };
    let with = |tag: Tag| [&good[..], &[tag]].concat();
    let jumped = with(picture(30_000, 0, &[0x41, 1]));
    let late = with(picture(12_000, 9000, &[0x41, 1]));
    let changed = with(picture(12_000, 0, &[0x68, 0xeb, 0xe3, 0xcc]));
    let mute = with(tag(TagKind::Audio, 0, &[0xaf, 0], &[0x12]));
    for (tags, why) in [
        (vec![], "it has no H.264 pictures"),
        (vec![header(1)], "it has no pictures"),
        (good[..2].to_vec(), "it has only one picture"),
        (good[..20].to_vec(), "it is shorter than a second"),
        (without(0), "pictures come before their parameter sets"),
        (without(1), "it does not begin with an IDR (a keyframe)"),
        (with(header(0xcc)), "its H.264 parameters change"),
        (changed, "its H.264 parameters change"),
        (jumped, "the times of its pictures jump at 20000 ms"),
        (late, "the times of its pictures jump at 2000 ms"),
        (mute, "truncated AudioSpecificConfig"),
        (
            vec![tag(TagKind::Video, 0, &[0x90], b"hvc1")],
            "video codec HEVC (hvc1) is not supported: send H.264",
        ),
        (
            vec![tag(TagKind::Audio, 0, &[0x2f], &[1])],
            "audio codec MP3 is not supported: send AAC",
        ),
    ] {
        assert_eq!(Film::new(&tags).err().as_deref(), Some(why));
    }
}
