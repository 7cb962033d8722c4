//! Slates of every kind of stream: lengths, times, counters.

mod coding;
mod film;

use super::*;
use crate::segment::{AudioTrack, VideoTrack};

fn card(file: &'static [u8]) -> Still {
    Still::parse(&Bytes::from_static(file)).unwrap()
}

fn small() -> Still {
    card(include_bytes!("../../../src/live/slate/paused-360.h264"))
}

fn tracks(video: bool, audio: Option<(u32, u8)>) -> Tracks {
    Tracks {
        video: video.then(|| VideoTrack {
            width: 640,
            height: 360,
            fps: Some(30.0),
            codec: "avc1.42c01f".into(),
        }),
        audio: audio.map(|(sample_rate, channel_configuration)| AudioTrack {
            sample_rate,
            channel_configuration,
            codec: "mp4a.40.2".into(),
        }),
    }
}

fn resume(next_dts_90k: u64) -> Resume {
    Resume {
        continuity: [3, 7, 11, 15],
        next_dts_90k: Some(next_dts_90k),
        target_duration_s: Some(2),
    }
}

/// Continuity counters of a PID over segments, from `first` on.
fn check_counters(segments: &[Segment], pid: u16, first: u8) {
    let mut next = first;
    let body: Vec<u8> = segments.iter().flat_map(|one| one.body.concat()).collect();
    for packet in body.as_chunks::<188>().0 {
        let [_, high, low, control] = *packet.first_chunk().unwrap();
        let payload = control & 0x10 != 0;
        if u16::from_be_bytes([high & 0x1f, low]) == pid && payload {
            assert_eq!(control & 15, next, "of {pid}");
            next = (next + 1) & 15;
        }
    }
}

#[test]
fn segments_are_one_target_duration_long_and_go_on() {
    for fps in [
        None,
        Some(1.0),
        Some(12.5),
        Some(29.97),
        Some(50.0),
        Some(120.0),
    ] {
        for audio in [None, Some((48_000, 2)), Some((44_100, 1))] {
            let mut slate =
                Slate::new(&tracks(true, audio), fps, &resume(1 << 33), &small()).unwrap();
            let segments: Vec<_> = (0..5).map(|_| slate.segment(2000)).collect();
            let frame = 90_000.0 / fps.unwrap_or(30.0).clamp(10.0, 60.0);
            let sum: u64 = segments.iter().map(|one| one.duration_90k).sum();
            assert!((sum as f64 - 900_000.0).abs() <= frame, "{fps:?} {sum}");
            for (n, one) in segments.iter().enumerate() {
                assert!((one.duration_90k as f64 - 180_000.0).abs() <= frame + 1.0);
                assert_eq!((one.discontinuity, one.independent), (n == 0, true));
                assert_eq!(one.len % 188, 0);
                // The last picture is no IDR: none follows another directly, at the exit either.
                assert!(one.idr.is_none() && one.pictures > 1 && one.keyframes == 1);
            }
            for (pid, first) in [(0, 3), (4096, 7), (256, 11), (257, 15)] {
                check_counters(&segments, pid, first);
            }
            let after = slate.resume();
            let gone = after.next_dts_90k.unwrap();
            assert!((900_000..903_000).contains(&gone), "{fps:?} {gone}");
            assert_eq!(after.target_duration_s, Some(2));
        }
    }
}

#[test]
fn shorter_segments_can_be_asked_for_and_longer_ones_not() {
    for audio_only in [false, true] {
        let tracks = tracks(!audio_only, Some((48_000, 2)));
        let mut slate = Slate::new(&tracks, None, &resume(0), &small()).unwrap();
        for (asked_ms, given) in [(0, 22_500), (1000, 90_000), (9000, 180_000)] {
            let length = slate.segment(asked_ms).duration_90k;
            assert!(length.abs_diff(given) <= 3000, "{asked_ms} {length}");
        }
    }
}

#[test]
fn audio_alone_stays_on_its_grid() {
    let mut slate = Slate::new(
        &tracks(false, Some((44_100, 2))),
        None,
        &resume(500),
        &small(),
    )
    .unwrap();
    let frame = 1024 * 90_000 / 44_100 + 1;
    let mut end = 0;
    for n in 1..=50 {
        let segment = slate.segment(2000);
        end += segment.duration_90k;
        assert!(
            (n * 180_000..n * 180_000 + frame).contains(&end),
            "{n} {end}"
        );
        assert_eq!(segment.pictures, 0);
    }
    assert_eq!(slate.resume().next_dts_90k, Some(500 + end));
}

#[test]
fn every_channel_configuration_has_silence() {
    for channels in 0..=7 {
        let audio = tracks(false, Some((48_000, channels)));
        let mut slate = Slate::new(&audio, None, &resume(0), &small()).unwrap();
        let body = slate.segment(2000).body.concat();
        // Behind PAT and PMT: the first PES packet's ADTS header.
        let adts = body[2 * 188..]
            .windows(2)
            .position(|w| w == [0xff, 0xf1])
            .unwrap();
        let header = &body[2 * 188 + adts..];
        let written = (header[2] & 1) << 2 | header[3] >> 6;
        let expected = if [0, 4, 5].contains(&channels) {
            2
        } else {
            channels
        };
        assert_eq!(written, expected);
        assert_eq!(header[2] >> 6, 1, "AAC-LC");
    }
}

#[test]
fn nothing_to_show_gives_no_slate() {
    let both = tracks(true, Some((48_000, 2)));
    assert!(Slate::new(&both, None, &Resume::default(), &small()).is_none());
    assert!(Slate::new(&Tracks::default(), None, &resume(0), &small()).is_none());
}

#[test]
fn a_card_changes_only_to_one_of_its_shape() {
    let lost = card(include_bytes!(
        "../../../src/live/slate/reconnecting-360.h264"
    ));
    let big = card(include_bytes!("../../../src/live/slate/paused-1080.h264"));
    assert_eq!((lost.lines(), big.lines()), (360, 1080));
    let mut slate = Slate::new(&tracks(true, None), None, &resume(0), &small()).unwrap();
    let paused = slate.segment(2000).len;
    slate.show(&big);
    assert_eq!(slate.segment(2000).len, paused);
    slate.show(&lost);
    assert_ne!(slate.segment(2000).len, paused);
}

#[test]
fn what_is_no_card_is_refused() {
    let good = include_bytes!("../../../src/live/slate/paused-360.h264");
    for bad in [
        &b""[..],
        b"\0\0\0\x01\x67",
        &good[..30],
        &[&good[..], good].concat(),
    ] {
        assert!(Still::parse(&Bytes::copy_from_slice(bad)).is_err());
    }
}
