//! What comes before and beside the muxer: an FLV file to tags, and a segment of a frozen picture. It does not
//! measure files.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use segmenter::{
    Config, Output, Segmenter,
    flv::{MAX_DATA_BYTES, Reader},
    slate::{Slate, Still},
};

/// 8 s of 640x360 with a key frame every 2 s.
const CLIP: &[u8] = include_bytes!("../../src/app/demo/clip.flv");
/// What file mode reads at once.
const CHUNK_BYTES: usize = 256 << 10;

fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flv_reader");
    let clip = Bytes::from_static(CLIP);
    group.throughput(Throughput::Bytes(CLIP.len() as u64));
    group.bench_function("clip", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(MAX_DATA_BYTES);
            let mut tags = 0;
            for start in (0..clip.len()).step_by(CHUNK_BYTES) {
                reader.feed(clip.slice(start..clip.len().min(start + CHUNK_BYTES)));
                while let Some(tag) = reader.next_tag().expect("a whole file") {
                    black_box(tag);
                    tags += 1;
                }
            }
            tags
        });
    });
    group.finish();
}

fn slate(criterion: &mut Criterion) {
    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 16 << 20,
    };
    let mut segmenter = Segmenter::new(config, None).keeping_idrs();
    let (mut tracks, mut idr) = (None, None);
    let mut reader = Reader::new(MAX_DATA_BYTES);
    reader.feed(Bytes::from_static(CLIP));
    while let Some(tag) = reader.next_tag().expect("a whole file") {
        segmenter.push(&tag).expect("a clip that is accepted");
        while let Some(output) = segmenter.poll() {
            match output {
                Output::Tracks(found) => tracks = Some(found),
                Output::Segment(segment) => idr = segment.idr.or(idr),
                Output::Notice(_) => {}
            }
        }
    }
    let (tracks, idr) = (tracks.expect("tracks"), idr.expect("an IDR"));
    criterion.bench_function("freeze", |bencher| {
        bencher.iter(|| Still::freeze(black_box(&idr)).expect("a picture that can be frozen"));
    });
    let still = Still::freeze(&idr).expect("a picture that can be frozen");
    let resume = segmenter.finish();
    let mut slate = Slate::new(&tracks, Some(25.0), &resume, &still).expect("tracks with a slate");
    criterion.bench_function("slate_segment_2s", |bencher| {
        bencher.iter(|| slate.segment(2000));
    });
}

criterion_group!(benches, reader, slate);
criterion_main!(benches);
