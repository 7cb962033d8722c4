//! What each request and each chat message costs before and behind the sockets: a path to its route, a frame to
//! JSON once for a whole room. It does not know sockets.

use std::hint::black_box;

use cauce::{http::route, hub::wire};
use criterion::{Criterion, criterion_group, criterion_main};
use hyper::Method;
use serde_json::json;

const UID: &str = "AAECAwQFBgcICQoLDA0ODw";

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for (name, path) in [
        ("playlist", format!("/live/{UID}/source/index.m3u8")),
        ("segment", format!("/live/{UID}/source/0k3v9x2m7q-1234.ts")),
        ("nothing", format!("/live/{UID}/source/%2e%2e/x")),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| route::parse(&Method::GET, black_box(&path)));
        });
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let chat = json!({
        "id": "1234", "seq": 1234, "user": "somebody", "role": "viewer", "reply_to": null,
        "message": "A message of about the length that people write.", "created_at": "2026-01-02T03:04:05Z",
    });
    criterion.bench_function("encode_chat", |bencher| {
        bencher.iter(|| wire::encode("chat", black_box(&chat)));
    });
}

criterion_group!(benches, paths, frames);
criterion_main!(benches);
