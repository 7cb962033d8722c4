//! Properties of every stream: what goes in comes out, whatever the rates, rhythm and clocks. It
//! does not know single incidents: those are scenarios.

use crate::support::*;
use proptest::prelude::*;
use segmenter::{Config, Tag, TagKind};

/// A stream by its numbers.
#[derive(Clone, Debug)]
struct Shape {
    fps_1000: u64,
    gop: u64,
    seconds: u64,
    start_ms: u32,
    length_bytes: usize,
    /// Composition times: none, above zero, below zero.
    reorder: u8,
    audio: Option<usize>,
    seed: u8,
}

/// AudioSpecificConfig, rate: LC 44.1 and 48 kHz stereo, mono, 5.1, HE-AAC with a 24 kHz core.
const AUDIO: [(&[u8], u64); 5] = [
    (&[0x12, 0x10], 44_100),
    (&[0x11, 0x90], 48_000),
    (&[0x11, 0x88], 48_000),
    (&[0x11, 0xb0], 48_000),
    (&[0x2b, 0x11, 0x88, 0x00], 24_000),
];

prop_compose! {
    fn shape()(
        fps_1000 in prop::sample::select(vec![5_000u64, 23_976, 24_000, 25_000, 29_970, 30_000,
            50_000, 60_000, 120_000]),
        gop in 1u64..300,
        seconds in 1u64..14,
        start_ms in prop_oneof![Just(0u32), any::<u32>(), (u32::MAX - 9000)..u32::MAX],
        length_bytes in prop::sample::select(vec![1usize, 2, 4]),
        reorder in 0u8..3,
        audio in prop::option::of(0usize..AUDIO.len()),
        seed in any::<u8>(),
    ) -> Shape {
        Shape { fps_1000, gop, seconds, start_ms, length_bytes, reorder, audio, seed }
    }
}

/// Slices per picture, and raw AAC frames, as the tags carry them.
struct Made {
    tags: Vec<Tag>,
    pictures: Vec<Vec<Vec<u8>>>,
    frames: Vec<Vec<u8>>,
    media_ms: u64,
}

fn make(shape: &Shape) -> Made {
    let count = (shape.seconds * shape.fps_1000 / 1000).max(1);
    let picture_ms = |number: u64| number * 1_000_000 / shape.fps_1000;
    let mut timed: Vec<(u64, Tag)> = Vec::new();
    let (mut pictures, mut frames) = (Vec::new(), Vec::new());
    for number in 0..count {
        let noise = (number as u8).wrapping_mul(31).wrapping_add(shape.seed);
        let head = if number % shape.gop == 0 { 0x65 } else { 0x41 };
        let size = if shape.length_bytes == 1 {
            200
        } else {
            200 + usize::from(noise) * 5
        };
        let mut slice = vec![noise | 1; size];
        slice[0] = head;
        let sei = vec![6, 4, noise | 1, 0x80];
        let units = if noise.is_multiple_of(3) {
            vec![sei, slice]
        } else {
            vec![slice.clone(), slice]
        };
        let cts_ms = match (shape.reorder, number % 3) {
            (1, 1) => 80,
            (2, 2) => -40,
            _ => 0,
        };
        let ts = shape.start_ms.wrapping_add(picture_ms(number) as u32);
        timed.push((
            picture_ms(number),
            picture(ts, cts_ms, shape.length_bytes, &units),
        ));
        pictures.push(units);
    }
    let mut tags = vec![video_header(shape.length_bytes, PPS)];
    if let Some((asc, rate)) = shape.audio.map(|index| AUDIO[index]) {
        tags.push(audio_header(asc));
        for number in 0..shape.seconds * rate / 1024 {
            let raw = vec![number as u8 | 1; 5 + usize::from(number as u8)];
            let at_ms = number * 1_024_000 / rate;
            timed.push((
                at_ms,
                frame(shape.start_ms.wrapping_add(at_ms as u32), &raw),
            ));
            frames.push(raw);
        }
    }
    timed.sort_by_key(|(at_ms, _)| *at_ms);
    tags.extend(timed.into_iter().map(|(_, tag)| tag));
    Made {
        tags,
        pictures,
        frames,
        media_ms: picture_ms(count),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_goes_in_comes_out(shape in shape()) {
        let made = make(&shape);
        let run = run(config(), None, &made.tags);
        prop_assert_eq!(&run.refusal, &None);
        check_segments(&run.segments, [0; 4]);
        let units: Vec<Pes> =
            run.segments.iter().flat_map(|segment| pes(&packets(&body(segment)))).collect();
        let pictures: Vec<Vec<Vec<u8>>> = units.iter().filter(|unit| unit.pid == 256).map(|unit| {
            nals(&unit.data).into_iter().filter(|nal| ![7, 8, 9].contains(&(nal[0] & 31))).collect()
        }).collect();
        prop_assert_eq!(&pictures, &made.pictures);
        let frames: Vec<Vec<u8>> =
            units.iter().filter(|unit| unit.pid == 257).flat_map(|unit| adts_frames(&unit.data)).collect();
        prop_assert_eq!(&frames, &made.frames);
        let listed: u64 = run.segments.iter().map(|segment| segment.duration_90k).sum();
        let frame_90k = 90_000_000 / shape.fps_1000;
        prop_assert!(listed.abs_diff(made.media_ms * 90) <= frame_90k + 90);
        prop_assert!(run.segments.iter().all(|segment| !segment.discontinuity));
        crate::oracle::agrees(&run.segments);
    }

    #[test]
    fn arbitrary_tags_never_panic(tags in prop::collection::vec(any_tag(), 0..120)) {
        let config = Config { target_ms: 500, max_segment_ms: 1500, segment_bytes: 40_000 };
        let run = run(config, None, &tags);
        for segment in &run.segments {
            prop_assert!((segment.duration_90k + 45_000) / 90_000 <= u64::from(segment.target_duration_s));
            prop_assert!(segment.len <= 40_000 && segment.duration_90k > 0);
            pes(&packets(&body(segment)));
        }
    }
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let head = prop_oneof![
        Just(vec![0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 1, 2]),
        Just(vec![0x27, 1, 0xff, 0, 0, 0, 0, 0, 3, 0x41, 1, 2]),
        Just(vec![0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x67]),
        Just(video_header(4, PPS).payload.to_vec()),
        Just(video_header(2, &[0x68, 0xeb]).payload.to_vec()),
        Just(audio_header(ASC).payload.to_vec()),
        Just(audio_header(&[0x11, 0x88]).payload.to_vec()),
        Just(vec![0xaf, 1]),
        Just(b"\x91avc1".to_vec()),
        Just(vec![0x17]),
    ];
    let tail = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(any::<u8>(), 0..600)];
    let time = prop_oneof![4 => 0u32..8000, 1 => any::<u32>()];
    (head, tail, time).prop_map(|(mut payload, tail, ts)| {
        let kind = if matches!(payload[0], 0xaf) {
            TagKind::Audio
        } else {
            TagKind::Video
        };
        payload.extend(tail);
        tag(kind, ts, payload)
    })
}
