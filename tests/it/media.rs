//! Media of every shape through the whole server: what comes out decodes clean and equals what went
//! in, picture by picture and sound by sound. It does not know players: play.rs has those.

use std::collections::BTreeSet;

use segmenter::{Tag, TagKind};

use crate::support::{
    Clip, Encoder, Key, Poller, Server, clip, oracle,
    server::{self, Site},
    slots,
};

/// Publishes `tags` faster than real time, says goodbye, stops the stream, and gives the viewer that
/// saw all of it.
#[track_caller]
fn through(server: &Server, tags: &[Tag]) -> (Key, Poller) {
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(tags);
    assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
    encoder.finish();
    let viewer = ended(server, &stream);
    (stream, viewer)
}

#[track_caller]
fn ended(server: &Site, stream: &Key) -> Poller {
    let stop = server::run(&server.data_dir, &["stream", "stop", &stream.uid]);
    assert!(
        stop.status.success(),
        "{}",
        String::from_utf8_lossy(&stop.stderr)
    );
    let mut viewer = server.viewer(stream);
    viewer.wait("ENDLIST", 30, |p| p.end_list);
    viewer
}

/// Media seconds between the first and the last tag.
fn length_s(tags: &[Tag]) -> f32 {
    let media = || {
        tags.iter()
            .filter(|t| t.kind != TagKind::Script && !clip::is_header(t))
    };
    let first = media().map(|t| t.timestamp_ms).min().unwrap();
    let last = media().map(|t| t.timestamp_ms).max().unwrap();
    (last - first) as f32 / 1000.0
}

#[test]
fn media_of_every_shape_comes_out_as_it_went_in() {
    let _slot = slots::heavy();
    let server = Server::start();
    for clip in Clip::ODD {
        let tags = clip.tags();
        let (_, viewer) = through(&server, &tags);
        let media = oracle::Media::new(&viewer.concatenated());
        let source = clip.path();
        let source = source.to_str().unwrap();
        println!("{clip:?}: {} segments", viewer.seen.len());

        let mut codecs = vec![];
        codecs.extend(clip.audio().then_some("aac"));
        codecs.extend(clip.video().then_some("h264"));
        assert_eq!(
            oracle::probe(media.path(), "codec_name"),
            codecs,
            "{clip:?}"
        );
        oracle::decodes(media.path());
        if clip.video() {
            let (expected, actual) = (
                oracle::frames(source, 'v'),
                oracle::frames(media.path(), 'v'),
            );
            assert_eq!(actual.len(), expected.len(), "{clip:?}: pictures");
            assert_eq!(actual, expected, "{clip:?}");
        }
        if clip.audio() {
            let expected = oracle::frames(source, 'a');
            oracle::same_sound(&expected, &oracle::frames(media.path(), 'a'));
        }
        assert_eq!(viewer.discontinuities(), 0, "{clip:?}:\n{}", viewer.text());
        let sum: f32 = viewer.seen.values().map(|s| s.duration_s).sum();
        let length = length_s(&tags);
        assert!(
            (sum - length).abs() < 0.3,
            "{clip:?}: EXTINF sums to {sum}, media is {length}"
        );
    }
}

#[test]
fn a_gop_longer_than_the_target_is_not_cut() {
    let server = Server::start();
    let (_, viewer) = through(&server, &Clip::LongGop.tags());
    // 30 s in GOPs of 10 s: three segments, each from IDR to IDR, and T from max_segment (rule 7).
    assert_eq!(viewer.seen.len(), 3, "{}", viewer.text());
    assert!(
        viewer.text().contains("#EXT-X-TARGETDURATION:10\n"),
        "{}",
        viewer.text()
    );
    assert!(
        viewer.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"),
        "{}",
        viewer.text()
    );
}

#[test]
fn a_gop_just_under_the_target_stays_whole() {
    let server = Server::start();
    let (_, viewer) = through(&server, &Clip::Gop48.tags());
    let durations: Vec<_> = viewer.seen.values().map(|s| s.duration_s).collect();
    let (_, but_last) = durations.split_last().unwrap();
    assert!(
        but_last.iter().all(|d| (d - 1.92).abs() < 0.002),
        "{durations:?}"
    );
    assert!(
        viewer.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"),
        "{}",
        viewer.text()
    );
}

#[test]
fn a_change_of_size_is_one_discontinuity() {
    let server = Server::start();
    let mut tags = Clip::Plain.tags();
    let next = tags.last().unwrap().timestamp_ms + 40;
    let second = clip::moved(&Clip::Small.tags(), next);
    tags.extend(second.into_iter().filter(|t| t.kind != TagKind::Script));
    let (_, viewer) = through(&server, &tags);
    assert_eq!(viewer.discontinuities(), 1, "{}", viewer.text());
    // Each side of it has its own size, and nothing is lost on either.
    let split = viewer.seen.values().position(|s| s.discontinuity).unwrap();
    let side = |skip: usize, take: usize| -> Vec<u8> {
        let segments = viewer.seen.values().skip(skip).take(take);
        segments.flat_map(|s| s.body.clone()).collect()
    };
    for (bytes, clip, size) in [
        (side(0, split), Clip::Plain, "640,360"),
        (side(split, usize::MAX), Clip::Small, "320,180"),
    ] {
        let media = oracle::Media::new(&bytes);
        let sizes = oracle::probe(media.path(), "width,height");
        assert!(
            sizes.iter().any(|line| line.starts_with(size)),
            "{clip:?}: {sizes:?}"
        );
        let source = clip.path();
        assert_eq!(
            oracle::frames(media.path(), 'v'),
            oracle::frames(source.to_str().unwrap(), 'v'),
            "{clip:?}"
        );
    }
}

#[test]
fn repeated_sequence_headers_change_nothing() {
    let server = Server::start();
    let mut tags = Clip::Plain.tags();
    let headers: Vec<_> = tags
        .iter()
        .filter(|t| clip::is_header(t))
        .cloned()
        .collect();
    assert_eq!(headers.len(), 2);
    let middle = tags.len() / 2;
    let now = tags[middle].timestamp_ms;
    for header in headers {
        tags.insert(
            middle,
            Tag {
                timestamp_ms: now,
                ..header
            },
        );
    }
    let (_, viewer) = through(&server, &tags);
    assert_eq!(viewer.discontinuities(), 0, "{}", viewer.text());
}

/// A clip whose clock passes `point_ms` half-way must come out as if it did not.
#[track_caller]
fn passes(point_ms: u32) {
    let server = Server::start();
    let tags = Clip::Plain.tags();
    let moved = clip::moved(&tags, point_ms.wrapping_sub(8000));
    let (_, viewer) = through(&server, &moved);
    assert_eq!(viewer.discontinuities(), 0, "{}", viewer.text());
    let sum: f32 = viewer.seen.values().map(|s| s.duration_s).sum();
    assert!((sum - length_s(&tags)).abs() < 0.3, "{sum}");
    let media = oracle::Media::new(&viewer.concatenated());
    let source = Clip::Plain.path();
    oracle::decodes(media.path());
    assert_eq!(
        oracle::frames(media.path(), 'v'),
        oracle::frames(source.to_str().unwrap(), 'v')
    );
}

#[test]
fn extended_timestamps_begin_unnoticed() {
    passes(1 << 24);
}

#[test]
fn the_counter_wraps_unnoticed() {
    passes(0);
}

#[test]
fn a_jump_of_the_clock_is_one_discontinuity() {
    let server = Server::start();
    let tags = Clip::Plain.tags();
    let (before, after): (Vec<_>, Vec<_>) =
        tags.iter().cloned().partition(|t| t.timestamp_ms < 8000);
    let mut jumped = before;
    jumped.extend(clip::moved(&after, 3_600_000));
    let (_, viewer) = through(&server, &jumped);
    assert_eq!(viewer.discontinuities(), 1, "{}", viewer.text());
    let sum: f32 = viewer.seen.values().map(|s| s.duration_s).sum();
    assert!(sum < 17.0, "the hour is in EXTINF: {sum}");
}

#[test]
fn a_second_session_goes_on_where_the_first_ended() {
    let server = Server::start();
    let stream = server.create();
    let tags = Clip::Plain.tags();
    let mut viewer = server.viewer(&stream);
    for session in 1..=3 {
        let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
        encoder.send_all(&tags);
        encoder.finish();
        viewer.segments(8 * session, 30);
    }
    assert_eq!(
        viewer.discontinuities(),
        2,
        "one between each two:\n{}",
        viewer.text()
    );
    let sessions: BTreeSet<_> = viewer
        .seen
        .values()
        .map(|s| {
            s.path
                .rsplit('/')
                .next()
                .unwrap()
                .split('-')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        sessions.len(),
        3,
        "a name of its own for each session: {sessions:?}"
    );
    let dates: Vec<_> = viewer.seen.values().map(|s| s.date_ms).collect();
    assert!(dates.is_sorted(), "{dates:?}");
}

#[test]
fn the_multivariant_playlist_tells_what_is_inside() {
    let server = Server::start();
    let (stream, _) = through(&server, &Clip::Plain.tags());
    let reply = server.get(&format!("/live/{}/index.m3u8", stream.uid));
    assert_eq!(reply.status, 200);
    let text = reply.text();
    let playlist = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect(&text);
    let [variant] = playlist.variants.as_slice() else {
        panic!("one variant:\n{text}")
    };
    let codecs = variant.codecs.as_deref().unwrap();
    assert!(
        codecs.contains("avc1.") && codecs.contains("mp4a.40.2"),
        "{text}"
    );
    let size = variant.resolution.as_ref().unwrap();
    assert_eq!((size.width, size.height), (640, 360), "{text}");
    assert!(
        variant.frame_rate.is_some_and(|f| (f - 25.0).abs() < 0.01),
        "{text}"
    );
    let average = variant.average_bandwidth.unwrap();
    assert!(average > 0 && variant.bandwidth >= average, "{text}");
    let base = format!("/live/{}/index.m3u8", stream.uid);
    let media = crate::support::playlist::resolve(&base, &variant.uri);
    assert_eq!(media, Site::media_path(&stream));

    let (stream, _) = through(&server, &Clip::AudioOnly.tags());
    let text = server
        .get(&format!("/live/{}/index.m3u8", stream.uid))
        .text();
    let playlist = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect(&text);
    assert_eq!(
        playlist.variants[0].codecs.as_deref(),
        Some("mp4a.40.2"),
        "{text}"
    );
    assert!(playlist.variants[0].resolution.is_none(), "{text}");
}

#[test]
fn each_segment_opens_as_players_want_it() {
    let server = Server::start();
    let (_, viewer) = through(&server, &Clip::Plain.tags());
    for seen in viewer.seen.values() {
        let packets: Vec<&[u8]> = seen.body.chunks(188).collect();
        assert!(packets.iter().all(|p| p[0] == 0x47), "{}", seen.path);
        let pid = |n: usize| u16::from_be_bytes([packets[n][1] & 0x1f, packets[n][2]]);
        assert_eq!(pid(0), 0, "{}: PAT first", seen.path);
        assert_ne!(pid(1), pid(2), "{}: PMT second, media third", seen.path);
        // The first picture's bytes: delimiter, parameter sets, IDR (rule 10).
        let first: Vec<u8> = packets[2..12]
            .iter()
            .filter(|p| u16::from_be_bytes([p[1] & 0x1f, p[2]]) == pid(2))
            .flat_map(|p| payload(p).to_vec())
            .collect();
        let types: Vec<u8> = first
            .windows(4)
            .filter(|w| w[..3] == [0, 0, 1] && w[3] & 0x80 == 0)
            .map(|w| w[3] & 0x1f)
            .filter(|t| *t != 6)
            .take(4)
            .collect();
        assert_eq!(types, [9, 7, 8, 5], "{}: AUD, SPS, PPS, IDR", seen.path);
    }
    continuity(&viewer);
}

/// A packet's payload, behind its adaptation field.
fn payload(packet: &[u8]) -> &[u8] {
    match packet[3] >> 4 & 3 {
        1 => &packet[4..],
        3 => packet.get(5 + packet[4] as usize..).unwrap_or(&[]),
        _ => &[],
    }
}

/// Rule 11: counters run on, also from one segment to the next.
#[track_caller]
fn continuity(viewer: &Poller) {
    let mut next = std::collections::HashMap::new();
    for seen in viewer.seen.values() {
        for packet in seen.body.chunks(188) {
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let has_payload = packet[3] & 0x10 != 0;
            let counter = packet[3] & 0x0f;
            if let Some(expected) = next.get(&pid) {
                let want = if has_payload {
                    *expected
                } else {
                    (*expected + 15) % 16
                };
                assert_eq!(counter, want, "{}: PID {pid}", seen.path);
            }
            next.insert(pid, (counter + 1) % 16);
        }
    }
}
