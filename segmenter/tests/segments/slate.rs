//! Live media, a slate, live media again, as one viewer gets them: every kind of stream, packet by
//! packet. It does not know when a slate is shown.

use bytes::Bytes;
use segmenter::{
    Resume, Segment, Tag,
    slate::{Slate, Still},
};

use crate::support::*;

/// The IDR of a GOP that is open comes with pictures shown before it, of which only those behind a
/// break go: elsewhere what they need is there.
#[test]
fn behind_a_slate_the_pictures_that_lead_an_idr_are_dropped() {
    let cts = |number: u32| match number {
        0 => 120,
        1..=2 => 0,
        _ => 80,
    };
    let mut tags = vec![video_header(4, PPS)];
    tags.extend((0..100).map(|number| {
        let nal = vec![if number % 50 == 0 { 0x65 } else { 0x41 }, number as u8, 7];
        picture(number * 40, cts(number % 50), 4, &[nal])
    }));
    let all = run(config(), None, &tags);
    assert_eq!(pictures(&all).len(), 100);
    let behind = run(config(), Some(all.resume.clone()), &tags);
    let kept = pictures(&behind);
    assert_eq!(kept.len(), 98, "two of the first GOP, none of the second");
    let first = kept[0].pts_90k;
    assert!(kept.iter().all(|one| ahead(one.pts_90k, first) < 1 << 32));
    assert_eq!(behind.notices.len(), 1, "told once: {:?}", behind.notices);
}

fn card() -> Still {
    let file = include_bytes!("../../../src/live/slate/paused-360.h264");
    Still::parse(&Bytes::from_static(file)).unwrap()
}

/// Live, three slate segments, live; then the same again.
fn paused(tags: &[Tag]) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut resume: Option<Resume> = None;
    for _ in 0..2 {
        let live = run(config(), resume.take(), tags);
        segments.extend(live.segments);
        let tracks = live.tracks.last().unwrap();
        let mut slate = Slate::new(tracks, Some(25.0), &live.resume, &card()).unwrap();
        segments.extend((0..3).map(|_| slate.segment(2000)));
        resume = Some(slate.resume());
    }
    segments.extend(run(config(), resume, tags).segments);
    segments
}

fn check(tags: &[Tag], expected: &str) {
    let segments = paused(tags);
    check_segments(&segments, [0; 4]);
    crate::oracle::agrees(&segments);
    let discontinuities: String = segments
        .iter()
        .map(|one| if one.discontinuity { 'd' } else { '.' })
        .collect();
    assert_eq!(discontinuities, expected);
    for medium in [256, 257] {
        let mut last = 0;
        for unit in segments.iter().flat_map(|one| pes(&packets(&body(one)))) {
            if unit.pid == medium {
                assert!(unit.dts_90k > last, "time goes back on {medium}");
                assert!(unit.dts_90k - last < 180_000, "time jumps on {medium}");
                last = unit.dts_90k;
            }
        }
    }
}

/// Streams of a real encoder: B pictures, real AAC.
#[test]
fn recorded_streams_go_on_too() {
    for (name, expected) in [
        ("av_bframes", "...d..d..d..d.."),
        ("video_only", "...d..d..d..d.."),
        ("audio_only", "...d..d..d..d.."),
    ] {
        let flv = format!("{}/tests/golden/{name}.flv", env!("CARGO_MANIFEST_DIR"));
        check(&crate::golden::tags(&std::fs::read(flv).unwrap()), expected);
    }
}

#[test]
fn time_and_counters_go_on_with_pictures_and_sound() {
    let mut tags = vec![video_header(4, PPS), audio_header(ASC)];
    tags.extend(interleave(video(0, 100, 50, 40), audio(0, 172)));
    check(&tags, "..d..d.d..d.");
}

#[test]
fn time_and_counters_go_on_with_pictures_alone() {
    let mut tags = vec![video_header(4, PPS)];
    tags.extend(video(0, 100, 50, 40));
    check(&tags, "..d..d.d..d.");
}

#[test]
fn time_and_counters_go_on_with_sound_alone() {
    let mut tags = vec![audio_header(ASC)];
    tags.extend(audio(0, 173));
    check(&tags, "..d..d.d..d.");
}
