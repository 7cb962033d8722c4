//! The chunk reader: bytes of a publisher to whole messages, at one allocation and one copy each.
//! It does not know sockets: reads are slices of one buffer.

use std::hint::black_box;

use cauce::rtmp::{
    chunk::{Limits, Reader, Writer},
    message::kind,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LIMITS: Limits = Limits {
    chunk_streams: 64,
    message_bytes: 8 << 20,
    partial_bytes: 12 << 20,
};
/// What a socket read returns at most.
const READ_BYTES: usize = 64 << 10;
const MESSAGES: usize = 256;

/// A second or so of media: video of `video_bytes`, and audio after each picture.
fn publisher(chunk_bytes: u32, video_bytes: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.set_chunk_size(chunk_bytes);
    let (video, audio) = (vec![0x27; video_bytes], vec![0xaf; 340]);
    for _ in 0..MESSAGES / 2 {
        writer.message(6, kind::VIDEO, 1, &video);
        writer.message(4, kind::AUDIO, 1, &audio);
    }
    writer.take()
}

/// Messages in `bytes`, read as the listener reads them.
fn read(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(LIMITS);
    let (mut start, mut end, mut messages) = (0, 0, 0);
    while end < bytes.len() {
        end = (end + READ_BYTES).min(bytes.len());
        loop {
            let progress = reader
                .read(&bytes[start..end])
                .expect("our own writer's bytes");
            start += progress.consumed;
            match progress.message {
                Some(message) => {
                    black_box(message);
                    messages += 1;
                }
                None => break,
            }
        }
    }
    messages
}

fn chunk_reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk_reader");
    // librtmp and OBS Studio use 4096, FFmpeg 60,000, and 128 is where everybody begins.
    for (chunk_bytes, video_bytes) in [
        (128, 12_000),
        (4096, 12_000),
        (4096, 60_000),
        (60_000, 60_000),
    ] {
        let bytes = publisher(chunk_bytes, video_bytes);
        assert_eq!(read(&bytes), MESSAGES);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let id = BenchmarkId::new(format!("chunk {chunk_bytes}"), video_bytes);
        group.bench_with_input(id, &bytes, |bencher, bytes| bencher.iter(|| read(bytes)));
    }
    group.finish();
}

/// What the machine copies between two buffers of the same size: the ceiling.
fn memcpy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memcpy");
    for video_bytes in [12_000, 60_000] {
        let source = publisher(4096, video_bytes);
        let mut target = vec![0; source.len()];
        group.throughput(Throughput::Bytes(source.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(video_bytes), |bencher| {
            bencher.iter(|| {
                target.copy_from_slice(black_box(&source));
                black_box(&mut target);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, chunk_reader, memcpy);
criterion_main!(benches);
