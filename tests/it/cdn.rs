//! CDN delivery: nginx and Varnish as docs/deploy configures them, each with hundreds of viewers on a
//! live stream: what the origin is asked, and what viewers get. It does not know how caches work.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Uri, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::sleep;

use crate::support::{
    Clip, Key, Running, Server, count, http,
    node::{Counter, Counts, Node, free_address},
    server::Site,
    slots, until,
};

const VIEWERS: usize = 200;
/// The target duration of these streams, and with it half of it: the max-age of their playlists.
const TARGET: Duration = Duration::from_secs(2);
const MAX_AGE: Duration = Duration::from_secs(1);
/// What browsers, players and programs write.
const ENCODINGS: [&str; 5] = [
    "gzip, deflate, br, zstd",
    "gzip, deflate, br",
    "gzip",
    "identity",
    "",
];

/// What an answer was.
struct Answer {
    status: u16,
    body: Bytes,
}

/// One client with connections of its own.
#[derive(Clone)]
struct Viewer {
    client: Client<HttpConnector, Empty<Bytes>>,
    node: SocketAddr,
    encoding: &'static str,
}

impl Viewer {
    fn new(node: SocketAddr, number: usize) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            node,
            encoding: ENCODINGS[number % ENCODINGS.len()],
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let uri: Uri = format!("http://{}{path}", self.node).parse().unwrap();
        let mut request = Request::get(uri);
        if !self.encoding.is_empty() {
            request = request.header(header::ACCEPT_ENCODING, self.encoding);
        }
        let request = request.body(Empty::new()).unwrap();
        let answer = self.client.request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let mut body = body.collect().await.unwrap().to_bytes();
        if let Some(coding) = head.headers.get(header::CONTENT_ENCODING) {
            assert_eq!(coding, "gzip");
            assert!(self.encoding.contains("gzip"), "not asked for: {path}");
            let mut plain = vec![];
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .unwrap();
            body = plain.into();
        }
        Answer {
            status: head.status.as_u16(),
            body,
        }
    }
}

/// The names that a media playlist lists, and the number behind the last.
fn names(playlist: &[u8]) -> (Vec<String>, u64) {
    let list = m3u8_rs::parse_media_playlist_res(playlist).unwrap();
    let end = list.media_sequence + list.segments.len() as u64;
    (list.segments.into_iter().map(|s| s.uri).collect(), end)
}

/// When the origin first listed the segments up to a number.
#[derive(Default)]
struct Listed(Mutex<BTreeMap<u64, Instant>>);

impl Listed {
    fn note(&self, end: u64) {
        let mut all = self.0.lock().unwrap();
        all.entry(end).or_insert_with(Instant::now);
    }

    /// How old a playlist up to `end` was at `when`: since when there was a newer one.
    fn age(&self, end: u64, when: Instant) -> Duration {
        let all = self.0.lock().unwrap();
        let newer = all.range(end + 1..).map(|(_, since)| *since).min();
        newer.map_or(Duration::ZERO, |since| {
            when.saturating_duration_since(since)
        })
    }
}

/// What all viewers of a node saw.
#[derive(Default)]
struct Seen {
    oldest: Duration,
    segments: BTreeSet<String>,
    playlists: u64,
    bytes: u64,
    faults: Vec<String>,
}

impl Seen {
    fn fault(&mut self, text: String) {
        if self.faults.len() < 10 {
            self.faults.push(text);
        }
    }
}

/// Watches as a player does until `until`: all that is listed, each segment once, a new look each
/// half target duration.
async fn watch(
    viewer: Viewer,
    base: String,
    until: Instant,
    listed: Arc<Listed>,
    seen: Arc<Mutex<Seen>>,
) {
    let mut had = BTreeSet::new();
    let mut last = 0;
    let index = viewer.get(&format!("{base}/index.m3u8")).await;
    assert_eq!(index.status, 200);
    while Instant::now() < until {
        let asked = Instant::now();
        let playlist = viewer.get(&format!("{base}/source/index.m3u8")).await;
        if playlist.status != 200 {
            let text = format!("a playlist: {}", playlist.status);
            seen.lock().unwrap().fault(text);
            continue;
        }
        let (all, end) = names(&playlist.body);
        let age = listed.age(end, asked);
        {
            let mut seen = seen.lock().unwrap();
            seen.playlists += 1;
            seen.oldest = seen.oldest.max(age);
            if end < last {
                seen.fault(format!("went back from {last} to {end}"));
            }
        }
        last = last.max(end);
        // A newcomer begins three segments before the end.
        for name in all.iter().rev().take(3).rev() {
            if had.insert(name.clone()) {
                let segment = viewer.get(&format!("{base}/source/{name}")).await;
                let mut seen = seen.lock().unwrap();
                seen.segments.insert(name.clone());
                seen.bytes += segment.body.len() as u64;
                if segment.status != 200 || segment.body.len() % 188 != 0 {
                    let text = format!("{name}: {}, {}", segment.status, segment.body.len());
                    seen.fault(text);
                }
            }
        }
        let pause = TARGET / 2;
        sleep(pause.saturating_sub(asked.elapsed())).await;
    }
}

/// How often the parts of a stream were asked for: multivariant, media playlist, segments.
fn requests(counts: &Counts, base: &str) -> (u64, u64, u64) {
    let of = |path: &str| counts.get(path).copied().unwrap_or(0);
    let segments = counts.iter().filter(|(path, _)| path.ends_with(".ts"));
    (
        of(&format!("{base}/index.m3u8")),
        of(&format!("{base}/source/index.m3u8")),
        segments.map(|(_, count)| count).sum(),
    )
}

/// Hundreds of viewers watch a live stream through the node that `start` puts before the counter.
fn crowd(start: impl Fn(SocketAddr) -> Node) {
    let _slot = slots::heavy();
    let server = Server::with(|config| config.hls.window_segments = 6);
    let stream = server.create();
    let _encoder = Running::ffmpeg(Clip::Plain, &server.publish_url(&stream));
    let base = format!("/live/{}", stream.uid);
    let mut first = server.viewer(&stream);
    first.segments(3, 60);
    assert!(first.text().contains("#EXT-X-TARGETDURATION:2\n"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let counter = Counter::before(server.http, &runtime);
    let node = start(counter.address);
    counter.take();

    let listed = Arc::new(Listed::default());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let span = Duration::from_secs(count("TEST_CDN_SECONDS", 20).into());
    let began = Instant::now();
    let until = began + span;
    runtime.block_on(async {
        let origin = Viewer::new(server.http, 0);
        let look = tokio::spawn({
            let (listed, path) = (listed.clone(), format!("{base}/source/index.m3u8"));
            async move {
                loop {
                    listed.note(names(&origin.get(&path).await.body).1);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let mut viewers = tokio::task::JoinSet::new();
        for number in 0..VIEWERS {
            let viewer = Viewer::new(node.address, number);
            let watch = watch(viewer, base.clone(), until, listed.clone(), seen.clone());
            // One half comes all at once, the other at any time.
            let spread = u32::try_from(number % 2 * number).unwrap();
            let late = TARGET / 2 * spread / u32::try_from(VIEWERS).unwrap();
            viewers.spawn(async move {
                sleep(late).await;
                watch.await;
            });
        }
        while let Some(ended) = viewers.join_next().await {
            ended.unwrap();
        }
        look.abort();
    });
    let took = began.elapsed();
    let counts = counter.take();
    let (multivariant, media, segments) = requests(&counts, &base);
    let seen = seen.lock().unwrap();
    println!(
        "{took:?}: viewers had {} playlists and {} bytes of {} segments, the oldest playlist {:?} behind; \
         the origin was asked for {multivariant} + {media} playlists and {segments} segments",
        seen.playlists,
        seen.bytes,
        seen.segments.len(),
        seen.oldest
    );
    assert_eq!(seen.faults, Vec::<String>::new());
    assert!(seen.oldest <= TARGET, "{:?} behind", seen.oldest);
    let wanted = seen.segments.len() as u64;
    assert!(
        wanted >= u64::from(count("TEST_CDN_SECONDS", 20)) / 2 - 1,
        "{wanted}"
    );
    assert!(
        segments * 10 <= wanted * 11,
        "{segments} for {wanted} segments"
    );
    let intervals = took.as_millis().div_ceil(MAX_AGE.as_millis());
    for (what, asked) in [("multivariant", multivariant), ("media", media)] {
        assert!(u128::from(asked) * 10 <= intervals * 11, "{what}: {asked}");
    }
    // It was the node that answered.
    assert!(seen.playlists > 20 * (media + multivariant), "no cache?");
    future(&server, &stream, &node);
}

/// A segment that is asked for before it is there is had within a second of being there.
fn future(server: &Site, stream: &Key, node: &Node) {
    let path = |name: &str| format!("/live/{}/source/{name}", stream.uid);
    let now = server.get(&path("index.m3u8"));
    let (all, end) = names(&now.body);
    let (session, number) = all
        .last()
        .and_then(|name| name.trim_end_matches(".ts").rsplit_once('-'))
        .unwrap();
    assert_eq!(number.parse(), Ok(end - 1));
    let next = format!("{session}-{}.ts", end + 1);
    let mut refused = 0;
    let there = until("a segment to come", 20, || {
        let status = http::get(node.address, &path(&next)).status;
        refused += u32::from(status == 404);
        let text = server.get(&path("index.m3u8")).text();
        text.contains(&next).then(Instant::now)
    });
    assert!(refused > 3, "it was never not there");
    loop {
        let asked = there.elapsed();
        match http::get(node.address, &path(&next)).status {
            200 => break,
            status => assert!(asked <= Duration::from_secs(1), "{status} after {asked:?}"),
        }
    }
}

#[test]
fn nginx_spares_the_origin() {
    crowd(|origin| {
        let address = free_address();
        let changes = [
            ("server 127.0.0.1:8080;", format!("server {origin};")),
            ("listen 80;", format!("listen {address};")),
        ];
        Node::nginx("nginx-cdn.conf", address, &changes)
    });
}

#[test]
fn varnish_spares_the_origin() {
    crowd(|origin| {
        let changes = [
            ("\"8080\"", format!("\"{}\"", origin.port())),
            ("\"127.0.0.1\"", format!("\"{}\"", origin.ip())),
        ];
        Node::varnish(free_address(), &changes)
    });
}
