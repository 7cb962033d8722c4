//! Arbitrary tags into a segmenter: never a panic, memory under its limit, and every segment is
//! whole TS packets. It does not know RTMP.
//!
//! Input: tags of one byte kind, three bytes time step, two bytes length, payload.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use segmenter::{Config, Output, Segmenter, Tag, TagKind};

const SEGMENT_BYTES: usize = 1 << 20;
const TS_PACKET_BYTES: usize = 188;

fuzz_target!(|bytes: &[u8]| {
    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: SEGMENT_BYTES,
    };
    let mut segmenter = Segmenter::new(config, None);
    let mut timestamp_ms = 0u32;
    let mut rest = bytes;
    while let Some((head, body)) = rest.split_first_chunk::<6>() {
        let kind = match head[0] & 3 {
            0 => TagKind::Audio,
            1 | 2 => TagKind::Video,
            _ => TagKind::Script,
        };
        // Small steps most of the time, any step now and then.
        let step = u32::from_be_bytes([0, head[1], head[2], head[3]]);
        let step = if head[0] & 0x80 == 0 { step & 0xff } else { step << 8 };
        timestamp_ms = timestamp_ms.wrapping_add(step);
        let len = usize::from(u16::from_be_bytes([head[4], head[5]])).min(body.len());
        let tag = Tag {
            kind,
            timestamp_ms,
            payload: Bytes::copy_from_slice(&body[..len]),
        };
        rest = &body[len..];
        if segmenter.push(&tag).is_err() {
            break;
        }
        check(&mut segmenter);
    }
    segmenter.finish();
    check(&mut segmenter);
});

fn check(segmenter: &mut Segmenter) {
    while let Some(output) = segmenter.poll() {
        if let Output::Segment(segment) = output {
            let len: usize = segment.body.iter().map(Bytes::len).sum();
            assert_eq!(len, segment.len);
            assert_eq!(len % TS_PACKET_BYTES, 0);
            assert!(segment.duration_90k > 0);
        }
    }
    // The last access unit may still pass the limit before it is refused.
    assert!(segmenter.open_bytes() <= 2 * SEGMENT_BYTES);
}
