//! A rewind window of four hours: what one of its 7,200 entries costs to render, compress and keep,
//! and what the frame's task has of it. It does not know who reads it.

use std::{hint::black_box, io::Write, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use flate2::{Compression, write::GzEncoder};
use segmenter::playlist::{Entry, MediaPlaylist};

/// 4 h of segments of 2 s.
const ENTRIES: u64 = 7200;

fn push(playlist: &mut MediaPlaylist, n: u64) {
    playlist.push(&Entry {
        duration_90k: 180_000 + n % 7 * 90,
        program_date_time: Duration::from_millis(1_700_000_000_000 + 2000 * n),
        discontinuity: n.is_multiple_of(500),
        independent: true,
        uri: &format!("0k3v9x2m7q-{n}.ts"),
    });
}

fn window() -> MediaPlaylist {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    for n in 0..ENTRIES {
        push(&mut playlist, n);
    }
    playlist
}

fn gzip(text: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder
        .write_all(text)
        .expect("writing into a vector cannot fail");
    encoder.finish().expect("writing into a vector cannot fail")
}

fn dvr(c: &mut Criterion) {
    let playlist = window();
    let mut text = Vec::new();
    playlist.render(&mut text);
    for (name, level) in [
        ("fast", Compression::fast()),
        ("default", Compression::default()),
    ] {
        println!(
            "dvr: {ENTRIES} entries, {} bytes, gzip {name} {} bytes",
            text.len(),
            gzip(&text, level).len()
        );
    }
    c.bench_function("dvr/render_and_gzip_fast", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            black_box(&playlist).freeze().render(&mut out);
            gzip(&out, Compression::fast())
        });
    });
    c.bench_function("dvr/render_and_gzip_default", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            black_box(&playlist).freeze().render(&mut out);
            gzip(&out, Compression::default())
        });
    });
    // What the frame's task does of it: a new entry, the oldest one out, and the hand-over.
    let mut playlist = window();
    let mut n = ENTRIES;
    c.bench_function("dvr/slide_and_freeze", |b| {
        b.iter(|| {
            push(&mut playlist, n);
            playlist.pop_front();
            n += 1;
            playlist.freeze()
        });
    });
    // The same while the one before is still being rendered: the entries are copied once.
    c.bench_function("dvr/slide_and_freeze_while_held", |b| {
        let mut held = playlist.freeze();
        b.iter(|| {
            push(&mut playlist, n);
            playlist.pop_front();
            n += 1;
            held = playlist.freeze();
        });
        black_box(&held);
    });
}

criterion_group!(benches, dvr);
criterion_main!(benches);
