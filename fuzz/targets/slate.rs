//! Arbitrary bytes as the picture or the film of a slate: never a panic, and what is made of those
//! that are taken is whole TS packets of bounded size. It does not know players.
//!
//! Input: one byte tells which, then an Annex B access unit, or tags (see `tags`).
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use segmenter::{
    AudioTrack, Resume, Tag, TagKind, Tracks, VideoTrack,
    slate::{Film, Slate, Still},
};

const TS_PACKET_BYTES: usize = 188;
/// Tables, packet headers, clock references and sound of a segment, and the all-skip pictures.
const OVERHEAD_BYTES: usize = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else {
        return;
    };
    let resume = Resume {
        target_duration_s: Some(2),
        ..Resume::default()
    };
    let slate = if which & 1 == 0 {
        let access_unit = Bytes::copy_from_slice(rest);
        let Ok(still) = Still::parse(&access_unit) else {
            return;
        };
        Slate::new(&tracks(), Some(30.0), &resume, &still)
    } else {
        let Ok(film) = Film::new(&tags(rest)) else {
            return;
        };
        assert!(film.longest_gop_90k() <= film.length_90k());
        Slate::film(&tracks(), &resume, &Arc::new(film))
    };
    let Some(mut slate) = slate else { return };
    for _ in 0..3 {
        let segment = slate.segment(2000);
        assert_eq!(segment.len % TS_PACKET_BYTES, 0);
        assert!(segment.duration_90k > 0 && segment.duration_90k < 225_000);
        assert!(segment.pictures > 0 && segment.keyframes > 0);
        // A film's pictures may come again and again in a segment.
        assert!(which & 1 == 1 || segment.len < 4 * rest.len() + OVERHEAD_BYTES);
    }
});

fn tracks() -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            width: 640,
            height: 360,
            fps: Some(30.0),
            codec: "avc1.42c01f".into(),
        }),
        audio: Some(AudioTrack {
            sample_rate: 44_100,
            channel_configuration: 2,
            codec: "mp4a.40.2".into(),
        }),
    }
}

/// One byte kind, one byte time step, two bytes length, payload.
fn tags(mut rest: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut timestamp_ms = 0u32;
    while let Some((head, body)) = rest.split_first_chunk::<4>() {
        let kind = match head[0] & 1 {
            0 => TagKind::Audio,
            _ => TagKind::Video,
        };
        timestamp_ms = timestamp_ms.wrapping_add(u32::from(head[1]));
        let len = usize::from(u16::from_be_bytes([head[2], head[3]])).min(body.len());
        tags.push(Tag {
            kind,
            timestamp_ms,
            payload: Bytes::copy_from_slice(&body[..len]),
        });
        rest = &body[len..];
    }
    tags
}
