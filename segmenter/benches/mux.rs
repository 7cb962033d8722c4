//! Mux: `Segmenter::push` of a realistic 720p stream against a plain copy of the same bytes, both
//! out of a working set larger than the caches. It does not measure file or network.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use segmenter::{Config, Output, Segmenter, Tag, TagKind};

/// Bytes of payloads gone through before any is seen again.
const WORKING_SET: usize = 256 << 20;
/// 4 Mbit/s at 30 fps with a GOP of 2 s: an IDR of 120 KB, other pictures around 15 KB.
const GOP: u32 = 60;
const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];

fn tag(kind: TagKind, timestamp_ms: u32, payload: Vec<u8>) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: payload.into(),
    }
}

fn headers() -> Vec<Tag> {
    let mut record = vec![
        0x17,
        0,
        0,
        0,
        0,
        1,
        0x64,
        0,
        0x1f,
        0xff,
        0xe1,
        0,
        SPS.len() as u8,
    ];
    record.extend(SPS);
    record.extend([1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb]);
    vec![
        tag(TagKind::Video, 0, record),
        tag(TagKind::Audio, 0, vec![0xaf, 0, 0x11, 0x90]),
    ]
}

/// One GOP with its audio (128 kbit/s at 48 kHz), from `number * 2 s` on.
fn gop(number: u32) -> Vec<Tag> {
    let start = number * 2000;
    let mut tags = Vec::new();
    for picture in 0..GOP {
        let (head, size) = if picture == 0 {
            (0x65, 120_000)
        } else {
            (0x41, 9_000 + picture * 7919 % 12_000)
        };
        let mut payload = vec![0x27, 1, 0, 0, 0];
        payload.extend(size.to_be_bytes());
        payload.push(head);
        payload.resize(payload.len() + size as usize - 1, picture as u8 | 1);
        tags.push(tag(TagKind::Video, start + picture * 100 / 3, payload));
    }
    for frame in 0..94 {
        let mut payload = vec![0xaf, 1];
        payload.resize(343, frame as u8);
        tags.push(tag(TagKind::Audio, start + frame * 64 / 3, payload));
    }
    tags.sort_by_key(|tag| tag.timestamp_ms);
    tags
}

fn bytes(tags: &[Tag]) -> usize {
    tags.iter().map(|tag| tag.payload.len()).sum()
}

fn mux(c: &mut Criterion) {
    let size = bytes(&gop(0));
    let mut gops: Vec<Vec<Tag>> = (0..(WORKING_SET / size) as u32).map(gop).collect();
    let mut group = c.benchmark_group("gop_720p");
    group.throughput(Throughput::Bytes(size as u64));
    // A window of segments is kept, as a live stream keeps it, so that both write to cold memory.
    let kept = WORKING_SET / size / 4;

    let mut targets: Vec<Vec<u8>> = vec![vec![1; size]; kept];
    let mut at = 0;
    group.bench_function("memcpy", |b| {
        b.iter(|| {
            let target = &mut targets[at % kept];
            let mut end = 0;
            for tag in &gops[at % gops.len()] {
                let next = end + tag.payload.len();
                target[end..next].copy_from_slice(&tag.payload);
                end = next;
            }
            black_box(&target);
            at += 1;
        });
    });

    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 16 << 20,
    };
    let mut segmenter = Segmenter::new(config, None);
    for tag in headers() {
        segmenter.push(&tag).expect("the headers are good");
    }
    let round_ms = gops.len() as u32 * 2000;
    let mut window: Vec<Vec<Bytes>> = vec![Vec::new(); kept];
    let mut at = 0;
    group.bench_function("push", |b| {
        b.iter(|| {
            let current = at % gops.len();
            for tag in &mut gops[current] {
                segmenter.push(tag).expect("the stream is good");
                tag.timestamp_ms = tag.timestamp_ms.wrapping_add(round_ms);
            }
            while let Some(output) = segmenter.poll() {
                if let Output::Segment(segment) = output {
                    window[at % kept] = segment.body;
                }
            }
            at += 1;
        });
    });
    group.finish();
}

criterion_group!(benches, mux);
criterion_main!(benches);
