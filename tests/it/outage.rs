//! An S3 server that is away while many streams are live: what viewers see, what waits for it, and
//! what is in the bucket when it is back. It does not know how the server decides what to write.

use std::time::{Duration, Instant};

use crate::support::{
    Clip, Encoder, Key, Server,
    bucket::{self, Bucket, Proxy},
    clip, count,
    playlist::Poller,
    server::Site,
    slots, until,
};

/// Streams in real time, two seconds at a time, by one thread.
struct Streams {
    keys: Vec<Key>,
    encoders: Vec<Encoder>,
    gops: Vec<Vec<segmenter::Tag>>,
    began: Instant,
    sent: u32,
}

const GOP: Duration = Duration::from_secs(2);
const CLIP_MS: u32 = 8000;

impl Streams {
    fn publish(server: &Site, number: u32) -> Self {
        let keys: Vec<_> = (0..number).map(|_| server.create()).collect();
        let encoders = keys
            .iter()
            .map(|key| Encoder::publish(server.rtmp, "live", &key.key).unwrap())
            .collect();
        let mut gops: Vec<Vec<segmenter::Tag>> = vec![];
        for tag in Clip::Tiny.tags() {
            let gop = (tag.timestamp_ms / 2000) as usize;
            gops.resize_with(gops.len().max(gop + 1), Vec::new);
            gops[gop].push(tag);
        }
        gops.truncate(4);
        Self {
            keys,
            encoders,
            gops,
            began: Instant::now(),
            sent: 0,
        }
    }

    /// Sends what is due by now.
    fn send_due(&mut self) {
        while self.began + GOP * self.sent <= Instant::now() {
            let (round, gop) = (self.sent / 4, self.sent as usize % 4);
            let tags = clip::moved(&self.gops[gop], round * CLIP_MS);
            for encoder in &mut self.encoders {
                encoder.send_all(&tags);
                assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
            }
            self.sent += 1;
        }
    }
}

fn backlog_bytes(server: &Site) -> f64 {
    let text = server.get("/metrics").text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("cauce_archive_backlog_bytes "));
    value.unwrap().parse().unwrap()
}

#[test]
fn many_streams_live_through_an_outage_of_the_bucket() {
    const LIMIT: u64 = 4 << 20;
    let _slot = slots::heavy();
    let bucket = Bucket::start();
    let proxy = Proxy::before(bucket.address, |_| {});
    let server = Server::with(|config| {
        bucket::configure(config, proxy.address);
        config.limits.store_deadline = Duration::from_secs(2);
        config.limits.archive_bytes = LIMIT;
    });
    let number = count("TEST_OUTAGE_STREAMS", 10);
    let mut streams = Streams::publish(&server, number);
    let mut viewers: Vec<Poller> = streams.keys.iter().map(|key| server.viewer(key)).collect();
    let files = bucket.files();
    let stored = |key: &Key| {
        let path = format!("{}/source/index.m3u8", key.uid);
        bucket::listed(&files, &path).map_or((0, 0), |listed| listed)
    };
    until("each stream in the bucket", 60, || {
        streams.send_due();
        streams
            .keys
            .iter()
            .all(|key| stored(key).1 > 1)
            .then_some(())
    });

    proxy.down(true);
    let before: Vec<u64> = streams.keys.iter().map(|key| stored(key).1).collect();
    let span = Duration::from_secs(count("TEST_OUTAGE_SECONDS", 8).into());
    let began = Instant::now();
    let (mut most, mut degraded) = (0.0_f64, false);
    while began.elapsed() < span {
        streams.send_due();
        // What was sent a segment ago is listed, whatever the bucket does.
        let listed = u64::from(streams.sent).saturating_sub(2);
        for viewer in &mut viewers {
            viewer.reaches(listed, 10);
        }
        most = most.max(backlog_bytes(&server));
        let ready = server.get("/readyz");
        assert_eq!(ready.status, 200);
        degraded |= ready.text().contains("degraded");
    }
    assert!(degraded, "an outage that nobody was told of");
    assert!(
        most > 0.0 && most <= (LIMIT * u64::from(number)) as f64,
        "{most}"
    );
    let reached: Vec<u64> = viewers.iter_mut().map(Poller::end).collect();
    assert!(reached.iter().zip(&before).all(|(now, then)| now > then));

    proxy.down(false);
    until("everything in the bucket", 60, || {
        streams.send_due();
        let mut all = streams.keys.iter().zip(&reached);
        all.all(|(key, end)| stored(key).1 >= *end).then_some(())
    });
    for key in &streams.keys {
        assert_eq!(stored(key).0, 0, "something was lost");
    }
    until("well again, with nothing waiting", 30, || {
        streams.send_due();
        let well = server.get("/readyz").text() == r#"{"status":"ok"}"#;
        (well && backlog_bytes(&server) < most).then_some(())
    });
}
