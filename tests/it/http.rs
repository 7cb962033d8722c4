//! Delivery as CDNs and players rely on it: every header of the contract's table, conditional and
//! range requests, both versions of HTTP. It does not know media, and leaves refusals to refusals.rs.

use std::{io::Read, process::Command, time::Duration};

use cauce::config::Config;

use crate::support::{
    Clip, Encoder, Key, Server,
    http::{Reply, raw, send},
    server::Site,
    until,
};

/// A live stream that gets no more media, so that its playlist stays as it is.
pub struct Fixture {
    pub server: Server,
    pub stream: Key,
    pub segment: String,
    _encoder: Encoder,
}

/// Publishes it.
pub fn fixture() -> Fixture {
    fixture_with(|_| {})
}

/// The same on a server changed by `edit`.
pub fn fixture_with(edit: impl FnOnce(&mut Config)) -> Fixture {
    let server = Server::with(|config| {
        config.rtmp.idle_timeout = Duration::from_secs(600);
        edit(config);
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Plain.tags());
    let mut viewer = server.viewer(&stream);
    viewer.segments(7, 30);
    // The slate is another issue; until then a quiet publisher changes nothing any more.
    let segment = viewer.seen.values().next().unwrap().path.clone();
    Fixture {
        server,
        stream,
        _encoder: encoder,
        segment,
    }
}

impl Fixture {
    /// Both playlists' paths.
    pub fn playlists(&self) -> [String; 2] {
        [
            format!("/live/{}/index.m3u8", self.stream.uid),
            Site::media_path(&self.stream),
        ]
    }

    #[track_caller]
    pub fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.server.http, "GET", path, headers)
    }
}

/// What holds for every answer under /live.
#[track_caller]
fn for_everyone(reply: &Reply) {
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("*"),
        "{reply:?}"
    );
    assert_eq!(reply.header("timing-allow-origin"), Some("*"), "{reply:?}");
    let exposed = reply
        .header("access-control-expose-headers")
        .unwrap_or_default();
    assert!(
        exposed.contains("Content-Range") && exposed.contains("Date"),
        "{reply:?}"
    );
    assert!(reply.header("set-cookie").is_none(), "{reply:?}");
    assert!(reply.header("date").is_some(), "{reply:?}");
}

#[track_caller]
fn strong(etag: Option<&str>) -> String {
    let etag = etag.expect("an ETag");
    assert!(
        etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'),
        "{etag}"
    );
    etag.to_owned()
}

#[test]
fn playlists_have_their_headers() {
    let f = fixture();
    for path in f.playlists() {
        let reply = f.ask(&path, &[]);
        assert_eq!(reply.status, 200, "{path}");
        for_everyone(&reply);
        assert_eq!(
            reply.header("content-type"),
            Some("application/vnd.apple.mpegurl")
        );
        assert_eq!(
            reply.header("cache-control"),
            Some("public, max-age=1"),
            "half of T = 2 s"
        );
        assert_eq!(
            reply.header("vary").map(str::to_lowercase).as_deref(),
            Some("accept-encoding")
        );
        assert!(
            reply
                .header("last-modified")
                .is_some_and(|d| d.ends_with(" GMT")),
            "{reply:?}"
        );
        assert!(reply.header("content-encoding").is_none());
        strong(reply.header("etag"));
    }
}

#[test]
fn a_playlist_answers_conditional_requests() {
    let f = fixture();
    for path in f.playlists() {
        let reply = f.ask(&path, &[]);
        let etag = strong(reply.header("etag"));
        let modified = reply.header("last-modified").unwrap();
        let list = format!("\"other\", {etag}");
        for (name, value) in [
            ("If-None-Match", etag.as_str()),
            ("If-None-Match", list.as_str()),
            ("If-None-Match", "*"),
            ("If-Modified-Since", modified),
        ] {
            let again = f.ask(&path, &[(name, value)]);
            assert_eq!(again.status, 304, "{name}: {value}");
            for_everyone(&again);
            assert_eq!(again.header("etag"), Some(etag.as_str()), "{name}: {value}");
            assert_eq!(again.header("cache-control"), reply.header("cache-control"));
        }
        for (name, value) in [
            ("If-None-Match", "\"other\""),
            ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("If-Modified-Since", "yesterday"),
        ] {
            assert_eq!(
                f.ask(&path, &[(name, value)]).status,
                200,
                "{name}: {value}"
            );
        }
        // An entity tag that does not match outweighs the date (RFC 9110 13.1.3).
        let both = [
            ("If-None-Match", "\"other\""),
            ("If-Modified-Since", modified),
        ];
        assert_eq!(f.ask(&path, &both).status, 200);
    }
}

#[test]
fn a_playlist_has_a_gzip_variant_of_its_own() {
    let f = fixture();
    for path in f.playlists() {
        let plain = f.ask(&path, &[]);
        let gzip = f.ask(&path, &[("Accept-Encoding", "br, gzip;q=0.8")]);
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(
            gzip.header("vary").map(str::to_lowercase).as_deref(),
            Some("accept-encoding")
        );
        let etag = strong(gzip.header("etag"));
        assert!(etag.ends_with("-gz\""), "{etag}");
        assert_ne!(Some(etag.as_str()), plain.header("etag"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(gzip.body.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, plain.text());
        let again = f.ask(
            &path,
            &[("Accept-Encoding", "gzip"), ("If-None-Match", &etag)],
        );
        assert_eq!(again.status, 304);
        for refused in ["gzip;q=0", "identity", "br"] {
            let reply = f.ask(&path, &[("Accept-Encoding", refused)]);
            assert!(
                reply.header("content-encoding").is_none(),
                "Accept-Encoding: {refused}"
            );
        }
    }
}

#[test]
fn segments_have_their_headers() {
    let f = fixture();
    let reply = f.ask(&f.segment, &[("Accept-Encoding", "gzip")]);
    assert_eq!(reply.status, 200);
    for_everyone(&reply);
    assert_eq!(reply.header("content-type"), Some("video/mp2t"));
    assert_eq!(
        reply.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert!(
        reply.header("content-encoding").is_none(),
        "never compressed"
    );
    assert_eq!(
        reply.header("content-length"),
        Some(reply.body.len().to_string().as_str())
    );
    let etag = strong(reply.header("etag"));
    let again = f.ask(&f.segment, &[("If-None-Match", &etag)]);
    assert_eq!(again.status, 304);
    for_everyone(&again);
}

#[test]
fn head_says_what_get_would() {
    let f = fixture();
    let mut paths = f.playlists().to_vec();
    paths.push(f.segment.clone());
    for path in paths {
        let get = f.ask(&path, &[]);
        let head = send(f.server.http, "HEAD", &path, &[]);
        assert_eq!(head.status, 200, "{path}");
        for name in [
            "content-type",
            "content-length",
            "etag",
            "cache-control",
            "last-modified",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
}

#[test]
fn segments_answer_ranges() {
    let f = fixture();
    let whole = f.ask(&f.segment, &[]);
    let length = whole.body.len();
    let last = length - 1;
    for (range, from, to) in [
        ("bytes=0-99".to_owned(), 0, 99),
        ("bytes=100-".to_owned(), 100, last),
        ("bytes=-188".to_owned(), length - 188, last),
        (format!("bytes=5-{}", length * 2), 5, last),
        (format!("bytes=-{}", length * 2), 0, last),
        (format!("bytes={last}-{last}"), last, last),
    ] {
        let part = f.ask(&f.segment, &[("Range", &range)]);
        assert_eq!(part.status, 206, "{range}");
        for_everyone(&part);
        let said = format!("bytes {from}-{to}/{length}");
        assert_eq!(part.header("content-range"), Some(said.as_str()), "{range}");
        assert!(part.body == whole.body[from..=to], "{range}");
    }
    for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
        let none = f.ask(&f.segment, &[("Range", &range)]);
        assert_eq!(none.status, 416, "{range}");
        for_everyone(&none);
        assert_eq!(
            none.header("content-range"),
            Some(format!("bytes */{length}").as_str())
        );
    }
    // What is not a byte range is ignored (RFC 9110 14.2).
    for range in ["bytes=9-3", "bytes=x", "lines=1-2", "bytes="] {
        let reply = f.ask(&f.segment, &[("Range", range)]);
        assert_eq!((reply.status, reply.body.len()), (200, length), "{range}");
    }
    let etag = strong(whole.header("etag"));
    for (condition, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
        let reply = f.ask(
            &f.segment,
            &[("Range", "bytes=0-9"), ("If-Range", condition)],
        );
        assert_eq!(reply.status, status, "If-Range: {condition}");
    }
}

#[test]
fn browsers_may_ask_from_anywhere() {
    let f = fixture();
    for path in [f.segment.clone(), Site::media_path(&f.stream)] {
        let reply = send(
            f.server.http,
            "OPTIONS",
            &path,
            &[
                ("Origin", "https://example.org"),
                ("Access-Control-Request-Method", "GET"),
                ("Access-Control-Request-Headers", "range"),
            ],
        );
        assert!(matches!(reply.status, 200 | 204), "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let allowed = reply
            .header("access-control-allow-headers")
            .unwrap_or_default();
        assert!(allowed.to_lowercase().contains("range"), "{reply:?}");
    }
}

#[test]
fn http_2_is_spoken_by_prior_knowledge() {
    let f = fixture();
    let output = Command::new("curl")
        .args([
            "-sS",
            "--http2-prior-knowledge",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code} %{size_download}",
        ])
        .arg(format!("http://{}{}", f.server.http, f.segment))
        .output()
        .expect("curl is installed by tests/run");
    let size = f.ask(&f.segment, &[]).body.len();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("2 200 {size}")
    );
}

#[test]
fn a_connection_serves_many_requests() {
    let f = fixture();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = raw(f.server.http, (request + last).as_bytes()).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 200").count(), 21);
}

#[test]
fn the_thumbnail_is_a_small_jpeg() {
    let f = fixture();
    let path = format!("/live/{}/thumbnail.jpg", f.stream.uid);
    let reply = until("a thumbnail", 30, || {
        let reply = f.server.get(&path);
        (reply.status == 200).then_some(reply)
    });
    for_everyone(&reply);
    assert_eq!(reply.header("content-type"), Some("image/jpeg"));
    assert!(
        reply
            .header("cache-control")
            .is_some_and(|c| c.contains("max-age=10")),
        "{reply:?}"
    );
    let (width, height) = jpeg_size(&reply.body).expect("a JPEG");
    assert!(width <= 640 && width > 0 && height > 0, "{width}x{height}");
    assert_eq!(
        width * 9,
        height * 16,
        "the picture's own shape: {width}x{height}"
    );
}

/// Width and height from the frame header (ITU-T T.81 B.2.2).
fn jpeg_size(jpeg: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    jpeg.starts_with(&[0xff, 0xd8]).then_some(())?;
    loop {
        let head = jpeg.get(at..at + 9)?;
        if matches!(head[1], 0xc0..=0xc2) {
            let pair = |n: usize| u32::from(u16::from_be_bytes([head[n], head[n + 1]]));
            return Some((pair(7), pair(5)));
        }
        at += 2 + usize::from(u16::from_be_bytes([head[2], head[3]]));
    }
}
