//! Arbitrary bytes as an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1) and its SPS:
//! never a panic, and the tracks told of it are sane. It does not know pictures.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use segmenter::{Config, Output, Segmenter, Tag, TagKind};

fuzz_target!(|bytes: &[u8]| {
    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 1 << 20,
    };
    let mut segmenter = Segmenter::new(config, None);
    // FLV VIDEODATA: AVC sequence header, then an IDR that takes it into use.
    let header = [&[0x17, 0, 0, 0, 0][..], bytes].concat();
    let idr = [0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88];
    for payload in [Bytes::from(header), Bytes::copy_from_slice(&idr)] {
        let tag = Tag {
            kind: TagKind::Video,
            timestamp_ms: 0,
            payload,
        };
        if segmenter.push(&tag).is_err() {
            return;
        }
    }
    segmenter.finish();
    while let Some(output) = segmenter.poll() {
        if let Output::Tracks(tracks) = output
            && let Some(video) = tracks.video
        {
            assert!(video.codec.starts_with("avc"));
            assert!(video.fps.is_none_or(|fps| fps.is_finite() && fps > 0.0));
        }
    }
});
