//! Recordings as viewers and players meet them: the playlist of the whole stream, the stream as one
//! file, over pauses, reconnects, restarts and stores. It does not know how they are kept.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use cauce::{config::Config, name::StreamUid};
use m3u8_rs::{MediaPlaylist, MediaPlaylistType};

use crate::support::{
    Clip, Encoder, Key, Process, Running, Server,
    bucket::{self, Bucket},
    clip, http, oracle,
    playlist::{Poller, resolve},
    server::{Site, run_json},
    slots, until,
};

/// Shows an ended window for the shortest time: three target durations, 6 s.
fn soon(config: &mut Config) {
    config.limits.ended_window = Duration::from_secs(1);
    config.storage.list_deadline = Duration::from_secs(10);
}

/// The same for the binary.
const SOON: [(&str, &str); 2] = [
    ("CAUCE_LIMITS__ENDED_WINDOW", "1s"),
    ("CAUCE_STORAGE__LIST_DEADLINE", "10s"),
];

fn media(stream: &Key) -> String {
    format!("/live/{}/source/index.m3u8", stream.uid)
}

fn file(stream: &Key) -> String {
    format!("/live/{}/source/recording.ts", stream.uid)
}

fn uid(stream: &Key) -> StreamUid {
    StreamUid::parse(&stream.uid).unwrap()
}

/// FFmpeg publishing a loop in real time.
fn ffmpeg(site: &Site, stream: &Key) -> Running {
    Running::ffmpeg(Clip::Tiny, &site.publish_url(stream))
}

/// Publishes the clip `times` times over and says goodbye.
fn publish(site: &Site, stream: &Key, times: u32) {
    let mut encoder = Encoder::publish(site.rtmp, "live", &stream.key).unwrap();
    for round in 0..times {
        encoder.send_all(&clip::moved(&Clip::Plain.tags(), round * 16_000));
        assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
    }
    encoder.finish();
}

fn stop(server: &Server, stream: &Key) {
    server
        .live(async |live| live.stop(&uid(stream), "stopped").await)
        .unwrap();
}

/// The recording's playlist, as soon as it takes the ended window's place.
fn vod(site: &Site, stream: &Key) -> (MediaPlaylist, String) {
    until("the recording", 40, || {
        let reply = site.get(&media(stream));
        let list = m3u8_rs::parse_media_playlist_res(&reply.body).ok()?;
        list.playlist_type.as_ref()?;
        assert_eq!(list.playlist_type, Some(MediaPlaylistType::Vod));
        assert!(list.end_list);
        assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
        Some((list, reply.text()))
    })
}

/// Number, path and discontinuity of each entry.
fn entries(stream: &Key, list: &MediaPlaylist) -> BTreeMap<u64, (String, bool)> {
    let numbered = (list.media_sequence..).zip(&list.segments);
    let entry = |(n, s): (u64, &m3u8_rs::MediaSegment)| {
        (n, (resolve(&media(stream), &s.uri), s.discontinuity))
    };
    numbered.map(entry).collect()
}

/// The recording lists exactly what `viewer` saw listed, with the same bytes.
#[track_caller]
fn is_what_was_seen(site: &Site, stream: &Key, viewer: &Poller) {
    let (list, text) = vod(site, stream);
    let seen = viewer.seen.iter();
    let seen: BTreeMap<_, _> = seen
        .map(|(n, seen)| (*n, (seen.path.clone(), seen.discontinuity)))
        .collect();
    assert_eq!(entries(stream, &list), seen, "{text}");
    let whole = site.get(&file(stream));
    assert_eq!(whole.status, 200);
    assert!(whole.body == viewer.concatenated(), "not the listed bytes");
    // From a segment as a player that seeks there.
    let (path, _) = &entries(stream, &list)[&(list.media_sequence + 1)];
    assert_eq!(site.get(path).status, 200);
}

/// The URLs of its playlist and of its file.
fn urls(site: &Site, stream: &Key) -> [String; 2] {
    let host = site.http;
    let playlist = format!("http://{host}/live/{}/index.m3u8", stream.uid);
    [playlist, format!("http://{host}{}", file(stream))]
}

#[test]
fn a_pause_and_a_reconnect_are_in_the_recording() {
    let _slot = slots::heavy();
    let server = Server::with(|config| {
        soon(config);
        config.hls.window_segments = 3;
    });
    let stream = server.create();
    let mut encoder = ffmpeg(&server, &stream);
    let mut viewer = server.viewer(&stream);
    viewer.segments(2, 60);
    server
        .live(async |live| live.pause(&uid(&stream)).await)
        .unwrap();
    let paused = viewer.seen.len();
    viewer.segments(paused + 3, 60);
    server
        .live(async |live| live.resume(&uid(&stream)).await)
        .unwrap();
    let resumed = viewer.seen.len();
    viewer.segments(resumed + 3, 60);
    encoder.kill();
    let lost = viewer.seen.len();
    let encoder = ffmpeg(&server, &stream);
    viewer.segments(lost + 2, 60);
    assert_eq!(server.get(&file(&stream)).status, 404, "it is live");
    stop(&server, &stream);
    viewer.wait("ENDLIST", 10, |p| p.end_list);
    assert_eq!(server.get(&file(&stream)).status, 404, "not closed yet");
    drop(encoder);
    assert!(viewer.discontinuities() >= 3 && viewer.seen.len() > 9);
    is_what_was_seen(&server, &stream, &viewer);
    for url in urls(&server, &stream) {
        oracle::decodes(&url);
    }
}

#[test]
fn a_server_killed_again_and_again_leaves_a_whole_recording() {
    let _slot = slots::heavy();
    let mut first = Process::start(&SOON);
    let stream = first.create();
    let mut encoder = ffmpeg(&first, &stream);
    let mut viewer = first.viewer(&stream);
    viewer.segments(3, 60);
    first.child.kill();
    encoder.kill();
    let data = first.keep_data();

    let mut second = Process::restart_in(data.path(), &SOON);
    viewer.moved(second.http);
    let before = viewer.seen.len();
    let encoder = ffmpeg(&second, &stream);
    viewer.segments(before + 6, 60);
    run_json(data.path(), &["stream", "stop", &stream.uid, "--json"]);
    viewer.wait("ENDLIST", 10, |p| p.end_list);
    // Before its recording is closed.
    second.child.kill();
    drop(encoder);

    let third = Process::restart_in(data.path(), &SOON);
    is_what_was_seen(&third, &stream, &viewer);
    drop(third);
    let fourth = Process::restart_in(data.path(), &SOON);
    is_what_was_seen(&fourth, &stream, &viewer);
    // The packets' counters run on over the kill: players take a gap for lost packets.
    let mut counters: [Option<u8>; 1 << 13] = [None; 1 << 13];
    for packet in fourth.get(&file(&stream)).body.chunks(188) {
        let pid = usize::from(packet[1] & 0x1f) << 8 | usize::from(packet[2]);
        let (counter, payload) = (packet[3] & 15, packet[3] & 0x10 != 0);
        let expected = counters[pid].map(|last| (last + u8::from(payload)) & 15);
        assert_eq!(expected.unwrap_or(counter), counter, "PID {pid}");
        counters[pid] = Some(counter);
    }
    // So does time: who seeks in the file would be lost behind a step back.
    let times = oracle::video_times_s(&format!("http://{}{}", fourth.http, file(&stream)));
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let odd: Vec<_> = steps.filter(|step| !(0.01..3.0).contains(step)).collect();
    assert_eq!(odd, [0.0; 0]);
    // No picture is lost: the clip has ten a second.
    let seconds: f32 = viewer.seen.values().map(|seen| seen.duration_s).sum();
    for url in urls(&fourth, &stream) {
        let pictures = oracle::frames(&url, 'v').len();
        let expected = (seconds * 10.0).round() as usize;
        assert!(
            pictures.abs_diff(expected) <= 2,
            "{pictures} of {expected}: {url}"
        );
    }
}

#[test]
fn any_part_of_the_file_can_be_asked_for() {
    let server = Server::with(soon);
    let stream = server.create();
    publish(&server, &stream, 1);
    stop(&server, &stream);
    let (list, _) = vod(&server, &stream);
    assert!(list.segments.len() > 6);
    let path = file(&stream);
    let whole = server.get(&path);
    let len = whole.body.len();
    assert_eq!(whole.header("content-type"), Some("video/mp2t"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
    let etag = whole.header("etag").unwrap();
    let ask =
        |method: &str, headers: &[(&str, &str)]| http::send(server.http, method, &path, headers);
    let head = ask("HEAD", &[]);
    let text = len.to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(text.as_str()))
    );
    for (from, to) in [
        (0, 0),
        (1, len / 2),
        (len / 3, len / 3 + 200_000),
        (len - 1, len - 1),
    ] {
        let range = format!("bytes={from}-{to}");
        let part = ask("GET", &[("Range", &range), ("If-Range", etag)]);
        assert_eq!(part.status, 206, "{range}");
        let told = format!("bytes {from}-{to}/{len}");
        assert_eq!(part.header("content-range"), Some(told.as_str()));
        assert!(part.body == whole.body[from..=to], "{range}");
    }
    let last = ask("GET", &[("Range", "bytes=-188")]);
    assert!(last.body == whole.body[len - 188..]);
    let past = format!("bytes={len}-");
    assert_eq!(ask("GET", &[("Range", &past)]).status, 416);
    assert_eq!(ask("GET", &[("If-None-Match", etag)]).status, 304);
    let other = ask("GET", &[("Range", "bytes=0-0"), ("If-Range", "\"x\"")]);
    assert_eq!((other.status, other.body.len()), (200, len));
    assert_eq!(ask("POST", &[]).status, 405);
    let nobody = path.replace(&stream.uid, "AAAAAAAAAAAAAAAAAAAAAA");
    for absent in [nobody.as_str(), &path.replace("source", "other")] {
        assert_eq!(server.get(absent).status, 404);
    }
}

#[test]
fn a_recording_deleted_during_its_download_ends_it_short() {
    let server = Server::with(soon);
    let stream = server.create();
    publish(&server, &stream, 6);
    stop(&server, &stream);
    vod(&server, &stream);
    let mut socket = TcpStream::connect(server.http).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", file(&stream));
    socket.write_all(request.as_bytes()).unwrap();
    let mut begin = [0; 1024];
    socket.read_exact(&mut begin).unwrap();
    let head = String::from_utf8_lossy(&begin);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().unwrap();
    server
        .live(async |live| live.delete_recording(&uid(&stream)).await)
        .unwrap();
    let mut rest = Vec::new();
    // A reset or an end: either way the client knows that it has not all.
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.len() < length, "{} of {length}", rest.len());
}

#[test]
fn a_bucket_has_the_recording_for_players_that_read_it_without_us() {
    let bucket = Bucket::start();
    let server = Server::with(|config| {
        soon(config);
        bucket::configure(config, bucket.address);
        config.hls.window_segments = 3;
    });
    let stream = server.create();
    publish(&server, &stream, 2);
    stop(&server, &stream);
    let (list, text) = vod(&server, &stream);
    assert_eq!((list.media_sequence, list.segments.len()), (0, 16));
    let at = |name: &str| format!("/{}/{}/{name}", bucket::NAME, stream.uid);
    for name in ["index.m3u8", "source/index.m3u8"] {
        let stored = http::get(bucket.address, &at(name));
        assert_eq!(
            stored.header("content-type"),
            Some("application/vnd.apple.mpegurl")
        );
        assert_eq!(stored.header("cache-control"), Some("public, max-age=60"));
        let served = server.get(&format!("/live/{}/{name}", stream.uid));
        assert_eq!(stored.text(), served.text());
    }
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD"));
    oracle::decodes(&format!("http://{}{}", bucket.address, at("index.m3u8")));
    oracle::decodes(&format!("http://{}{}", server.http, file(&stream)));
}

#[test]
fn with_the_memory_backend_a_recording_lives_as_long_as_the_process() {
    let variables = [SOON[0], SOON[1], ("CAUCE_STORAGE__BACKEND", "memory")];
    let mut first = Process::start(&variables);
    let stream = first.create();
    publish(&first, &stream, 1);
    run_json(&first.data_dir, &["stream", "stop", &stream.uid, "--json"]);
    vod(&first, &stream);
    oracle::decodes(&format!("http://{}{}", first.http, file(&stream)));
    let data = first.keep_data();
    drop(first);
    let second = Process::restart_in(data.path(), &variables);
    until("the end of it", 20, || {
        let reply = second.get(&format!("/streams/{}/", stream.uid));
        reply
            .text()
            .contains(r#""record_status":"failed""#)
            .then_some(())
    });
    assert_eq!(second.get(&media(&stream)).status, 404);
    assert_eq!(second.get(&file(&stream)).status, 404);
}

#[test]
fn a_recording_past_its_time_is_deleted() {
    let variables = [
        SOON[0],
        SOON[1],
        ("CAUCE_STORAGE__RECORDINGS_RETENTION", "8s"),
    ];
    let server = Process::start(&variables);
    let stream = server.create();
    publish(&server, &stream, 1);
    run_json(&server.data_dir, &["stream", "stop", &stream.uid, "--json"]);
    vod(&server, &stream);
    let source = server
        .data_dir
        .join("media")
        .join(&stream.uid)
        .join("source");
    until("the end of its retention", 40, || {
        let left = std::fs::read_dir(&source).map_or(0, Iterator::count);
        (left == 0 && server.get(&media(&stream)).status == 404).then_some(())
    });
    let seen = server.get(&format!("/streams/{}/", stream.uid)).text();
    assert!(
        seen.contains(r#""record_status":"off""#) && seen.contains(r#""video":null"#),
        "{seen}"
    );
}
