//! What listing costs: rendering windows of 6 and 1,800 entries, and moving a window on by one. It
//! does not know who reads the text.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use segmenter::playlist::{Entry, MediaPlaylist};

fn push(playlist: &mut MediaPlaylist, n: u64) {
    playlist.push(&Entry {
        duration_90k: 180_000,
        program_date_time: Duration::from_millis(1_700_000_000_000 + 2000 * n),
        discontinuity: false,
        independent: true,
        uri: &format!("0k3v9x2m7q-{n}.ts"),
    });
}

fn window(entries: u64) -> MediaPlaylist {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    for n in 0..entries {
        push(&mut playlist, n);
    }
    playlist
}

fn render(c: &mut Criterion) {
    for entries in [6, 1800] {
        let playlist = window(entries);
        let mut out = Vec::new();
        c.bench_function(&format!("render/{entries}"), |b| {
            b.iter(|| {
                out.clear();
                playlist.render(black_box(&mut out));
            });
        });
        c.bench_function(&format!("render_fresh/{entries}"), |b| {
            b.iter(|| {
                let mut out = Vec::new();
                playlist.render(&mut out);
                out
            });
        });
    }
}

fn slide(c: &mut Criterion) {
    for entries in [6, 1800] {
        let mut playlist = window(entries);
        let mut n = entries;
        c.bench_function(&format!("slide/{entries}"), |b| {
            b.iter(|| {
                push(&mut playlist, n);
                playlist.pop_front();
                n += 1;
            });
        });
    }
}

criterion_group!(benches, render, slide);
criterion_main!(benches);
