//! `limits.memory_budget` under a hundred streams: what is listed is served and right, and what is
//! held stays within the budget. It does not know which segments are in memory and which on disk.

use std::collections::HashSet;

use crate::support::{
    Clip, Encoder, Poller, Process, Server, clip, oracle, server::Site, slots, until,
};

const STREAMS: usize = 100;
const BUDGET: u64 = 64 << 20;

/// The value of one gauge or counter without labels.
#[track_caller]
fn metric(site: &Site, name: &str) -> u64 {
    let text = site.get("/metrics").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .trim()
        .parse()
        .unwrap();
    value as u64
}

#[track_caller]
fn within_budget(site: &Site) -> u64 {
    let held = metric(site, "cauce_memory_bytes");
    assert!(held <= BUDGET, "{held} bytes held, {BUDGET} allowed");
    held
}

#[test]
fn a_hundred_streams_fit_into_64_mib() {
    let _slot = slots::heavy();
    let server = Process::start(&[
        ("CAUCE_LIMITS__MEMORY_BUDGET", "64MiB"),
        // Each encoder is silent while the other ones send: slates are listed as well, and the media
        // between them must stay listed.
        ("CAUCE_HLS__WINDOW_SEGMENTS", "1000"),
        ("CAUCE_RTMP__IDLE_TIMEOUT", "600s"),
        // The thumbnails of a hundred streams are not what is tested here.
        ("CAUCE_THUMBNAIL__INTERVAL", "3600s"),
    ]);
    let tags = Clip::Plain.tags();
    let volume: usize = tags.iter().map(|tag| tag.payload.len()).sum();
    assert!(
        (STREAMS * volume) as u64 > 2 * BUDGET,
        "the clip is too small to prove anything"
    );

    let mut publishers: Vec<(Encoder, Poller)> = (0..STREAMS)
        .map(|_| {
            let stream = server.create();
            let encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
            (encoder, server.viewer(&stream))
        })
        .collect();
    // Each clip in quarters, so that all streams have an open segment at once.
    for quarter in tags.chunks(tags.len().div_ceil(4)) {
        for (encoder, _) in &mut publishers {
            encoder.send_all(quarter);
            assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
        }
        within_budget(&server);
    }
    for (_, viewer) in &mut publishers {
        viewer.wait("six segments", 60, |p| p.segments.len() >= 6);
    }
    let held = within_budget(&server);
    println!(
        "{held} bytes held of {BUDGET}; {} published",
        STREAMS * volume
    );

    let bodies = publishers
        .iter()
        .flat_map(|(_, viewer)| viewer.seen.values());
    let listed: usize = bodies.map(|seen| seen.body.len()).sum();
    assert!(listed as u64 > BUDGET, "{listed} bytes fit into memory");

    // All that is listed, once more: what came first must be read back from the store by now.
    for (_, viewer) in &publishers {
        for seen in viewer.seen.values() {
            let reply = server.get(&seen.path);
            assert_eq!(reply.status, 200, "{}", seen.path);
            assert!(reply.body == seen.body, "{} is not what it was", seen.path);
        }
        within_budget(&server);
    }
    // The first stream and the last show the clip's pictures, the slate's one, and nothing else.
    let path = Clip::Plain.path();
    let sent: HashSet<String> = oracle::frames(path.to_str().unwrap(), 'v')
        .into_iter()
        .collect();
    for (_, viewer) in [&publishers[0], &publishers[STREAMS - 1]] {
        let media = oracle::Media::new(&viewer.concatenated());
        oracle::decodes(media.path());
        let shown: HashSet<String> = oracle::frames(media.path(), 'v').into_iter().collect();
        assert!(shown.intersection(&sent).count() >= 50, "a GOP at least");
        assert!(shown.difference(&sent).count() <= 1, "{shown:?}");
    }
}

#[test]
fn with_the_memory_backend_the_budget_is_the_store() {
    let server = Server::with(|config| {
        config.storage.backend = cauce::config::Backend::Memory;
        config.limits.memory_budget = 6 << 20;
        config.hls.window_segments = 3;
        config.rtmp.idle_timeout = std::time::Duration::from_secs(600);
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    let mut viewer = server.viewer(&stream);
    let tags = Clip::Plain.tags();
    for round in 0..6_u32 {
        encoder.send_all(&clip::moved(&tags, round * 16_000));
        assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
        // The oldest unlisted segments make room: what is listed is always there.
        viewer.reaches(8 * u64::from(round + 1) - 1, 20);
    }
}

#[test]
fn an_endless_segment_is_refused() {
    let server = Server::with(|config| config.limits.segment_bytes = 64 << 10);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Plain.tags());
    let refusal = encoder.wait_closed(20);
    assert_eq!(refusal.level, "error", "{refusal:?}");
    assert!(!refusal.description.is_empty(), "{refusal:?}");
    until("the server to serve on", 10, || {
        (server.get("/healthz").status == 200).then_some(())
    });
}
