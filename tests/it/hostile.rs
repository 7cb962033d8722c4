//! Encoders that lie, break off, fight or attack. After each of them the server serves on and a
//! bystander's stream grows. It does not know HTTP's own abuses: http.rs has those.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use cauce::config::{Config, OnSecondPublisher};
use rml_rtmp::rml_amf0::Amf0Value;
use segmenter::{Tag, TagKind};

use crate::support::{
    Clip, Encoder, Key, Poller, Running, Server, clip, count, encoder::Status, slots, until,
};

/// A server with one honest stream on it.
struct Bystander {
    server: Server,
    encoder: Running,
    viewer: Poller,
}

impl Bystander {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let server = Server::with(|config| {
            config.rtmp.idle_timeout = Duration::from_secs(600);
            edit(config);
        });
        let stream = server.create();
        let encoder = Running::ffmpeg(Clip::Tiny, &server.publish_url(&stream));
        let viewer = server.viewer(&stream);
        let mut bystander = Self {
            server,
            encoder,
            viewer,
        };
        bystander.unharmed();
        bystander
    }

    /// The honest stream still comes through, without a break.
    #[track_caller]
    fn unharmed(&mut self) {
        self.viewer.grows(20);
        assert!(self.encoder.alive(), "put out: {}", self.encoder.log());
        assert_eq!(self.viewer.discontinuities(), 0, "{}", self.viewer.text());
        assert_eq!(self.server.get("/healthz").status, 200);
    }

    fn publish(&self, stream: &Key) -> Result<Encoder, Status> {
        Encoder::publish(self.server.rtmp, "live", &stream.key)
    }
}

/// A refusal in words, by onStatus, as encoders show it to their user.
#[track_caller]
fn told(refusal: &Status, word: &str) {
    assert_eq!(refusal.level, "error", "{refusal:?}");
    let description = refusal.description.to_lowercase();
    assert!(
        description.contains(&word.to_lowercase()),
        "no \"{word}\" in {refusal:?}"
    );
}

#[test]
fn a_wrong_key_is_refused_before_it_starts() {
    let mut b = Bystander::new();
    for key in [
        "AAAAAAAAAAAAAAAAAAAAAA",
        "short",
        "",
        "../../etc/passwd",
        "'; DROP TABLE streams; --",
    ] {
        let refusal = Encoder::publish(b.server.rtmp, "live", key)
            .err()
            .expect("refused");
        assert_eq!(refusal.level, "error", "{key}: {refusal:?}");
        assert!(!refusal.description.is_empty(), "{key}: {refusal:?}");
    }
    // The public name is no key.
    let stream = b.server.create();
    let refusal = Encoder::publish(b.server.rtmp, "live", &stream.uid)
        .err()
        .expect("refused");
    told(&refusal, "key");
    b.unharmed();
}

#[test]
fn a_wrong_application_is_refused() {
    let mut b = Bystander::new();
    let stream = b.server.create();
    let refusal = Encoder::publish(b.server.rtmp, "vod", &stream.key)
        .err()
        .expect("refused");
    assert_eq!(refusal.level, "error", "{refusal:?}");
    b.unharmed();
}

#[test]
fn other_codecs_are_refused_by_name() {
    let mut b = Bystander::new();
    let video = |bytes: &[u8]| (TagKind::Video, bytes.to_vec());
    let audio = |bytes: &[u8]| (TagKind::Audio, bytes.to_vec());
    for (name, (kind, payload)) in [
        ("HEVC", video(&[0x1c, 0, 0, 0, 0, 1, 1, 1])),
        ("HEVC", video(&[0x90, b'h', b'v', b'c', b'1', 1, 1, 1])),
        ("AV1", video(&[0x90, b'a', b'v', b'0', b'1', 0x81, 0, 0])),
        ("MP3", audio(&[0x2f, 0xff, 0xfb, 0x90, 0, 0, 0, 0])),
        ("Speex", audio(&[0xb6, 0, 0, 0, 0, 0, 0, 0])),
        // By their tags H.264 and AAC, but their headers say nothing.
        ("H.264", video(&[0x17, 0, 0, 0, 0, 0xde, 0xad])),
        ("AAC", audio(&[0xaf, 0, 0xff])),
    ] {
        let stream = b.server.create();
        let mut encoder = b.publish(&stream).unwrap();
        // Some encoders send a frame or two before they read the refusal.
        for n in 0..3 {
            encoder.send(&Tag {
                kind,
                timestamp_ms: n * 40,
                payload: payload.clone().into(),
            });
        }
        told(&encoder.wait_closed(20), name);
    }
    b.unharmed();
}

#[test]
fn the_second_publisher_takes_over_but_not_for_ever() {
    let mut b = Bystander::new();
    let stream = b.server.create();
    let mut holder = b.publish(&stream).unwrap();
    holder.send_all(&Clip::Tiny.tags());
    let mut viewer = b.server.viewer(&stream);
    viewer.segments(2, 20);
    for _ in 0..3 {
        let mut next = b.publish(&stream).unwrap();
        told(&holder.wait_closed(20), "another");
        let end = viewer.end();
        next.send_all(&Clip::Tiny.tags());
        viewer.reaches(end + 3, 20);
        holder = next;
    }
    let refusal = b
        .publish(&stream)
        .err()
        .expect("the fourth in 30 s is refused");
    told(&refusal, "encoder");
    assert!(!holder.closed(), "the holder keeps its claim");
    let end = viewer.end();
    holder.send_all(&clip::moved(&Clip::Tiny.tags(), 8000));
    viewer.reaches(end + 4, 20);
    b.unharmed();
}

#[test]
fn the_second_publisher_is_refused_when_so_configured() {
    let mut b = Bystander::with(|c| c.rtmp.on_second_publisher = OnSecondPublisher::Reject);
    let stream = b.server.create();
    let mut holder = b.publish(&stream).unwrap();
    holder.send_all(&Clip::Tiny.tags());
    told(
        &b.publish(&stream).err().expect("refused"),
        "already has a publisher",
    );
    assert!(!holder.closed());
    holder.finish();
    // The claim is free again.
    until("the next publisher", 10, || b.publish(&stream).ok());
    b.unharmed();
}

#[test]
fn a_killed_publisher_can_come_back() {
    let _slot = slots::heavy();
    let mut b = Bystander::new();
    let stream = b.server.create();
    let mut viewer = b.server.viewer(&stream);
    let mut first = Running::ffmpeg(Clip::Tiny, &b.server.publish_url(&stream));
    viewer.segments(2, 60);
    first.kill();
    let _second = Running::ffmpeg(Clip::Tiny, &b.server.publish_url(&stream));
    until("a segment of the second session", 60, || {
        viewer.poll();
        (viewer.discontinuities() == 1).then_some(())
    });
    viewer.grows(30);
    b.unharmed();
}

#[test]
fn a_silent_publisher_loses_its_claim_and_then_its_stream() {
    let server = Server::with(|config| {
        config.rtmp.idle_timeout = Duration::from_secs(1);
        config.hls.reconnect_grace = Duration::from_secs(1);
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    let mut viewer = server.viewer(&stream);
    // The socket stays open, as when a network goes away without a word.
    encoder.wait_closed(20);
    viewer.wait("ENDLIST after the grace", 20, |p| p.end_list);
    server.wait_status(&stream, "finished", 10);
    assert_eq!(server.listed(&stream)["ended_reason"], "publisher_lost");
}

#[test]
fn half_open_handshakes_hold_nobody_up() {
    let mut b = Bystander::with(|c| c.limits.rtmp_handshake_timeout = Duration::from_secs(2));
    let mut held: Vec<_> = (0..200)
        .map(|n| {
            let mut socket = TcpStream::connect(b.server.rtmp).unwrap();
            // Some say nothing, some begin, some stop in the middle of C1.
            socket.write_all(&vec![3; n % 3 * 500]).unwrap();
            socket
        })
        .collect();
    b.unharmed();
    let stream = b.server.create();
    b.publish(&stream).unwrap().finish();
    for socket in &mut held {
        assert!(ends(socket), "a half-open handshake is still held");
    }
    b.unharmed();
}

/// Reads until the server closes.
fn ends(socket: &mut TcpStream) -> bool {
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_handshake_without_a_publish_is_not_held() {
    let mut b = Bystander::with(|c| c.limits.rtmp_publish_timeout = Duration::from_secs(1));
    let mut idle = Encoder::connect(b.server.rtmp);
    idle.wait_closed(20);
    b.unharmed();
}

#[test]
fn connections_are_counted() {
    let mut b = Bystander::with(|c| c.limits.rtmp_connections = 5);
    let mut held: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(b.server.rtmp).unwrap())
        .collect();
    let mut sixth = TcpStream::connect(b.server.rtmp).unwrap();
    assert!(ends(&mut sixth), "over the limit");
    b.unharmed();
    held.clear();
    let stream = b.server.create();
    until("room again", 20, || {
        let mut probe = TcpStream::connect(b.server.rtmp).ok()?;
        probe
            .set_read_timeout(Some(Duration::from_millis(300)))
            .ok()?;
        // Still open after a moment: it was let in.
        let error = probe.read(&mut [0; 1]).err()?;
        (error.kind() == std::io::ErrorKind::WouldBlock).then_some(())
    });
    until("a publisher", 20, || {
        let mut encoder = Encoder::try_connect(b.server.rtmp)?;
        encoder.ask("live", &stream.key);
        encoder.wait_started().ok()
    });
    b.unharmed();
}

/// A chunk header of format 0: chunk stream 4, time 0, this length and type, message stream 1.
fn header(length: u32, type_id: u8) -> Vec<u8> {
    let [_, a, b, c] = length.to_be_bytes();
    vec![4, 0, 0, 0, a, b, c, type_id, 1, 0, 0, 0]
}

#[test]
fn a_message_of_16_mib_is_refused() {
    let mut b = Bystander::new();
    let stream = b.server.create();
    let mut encoder = b.publish(&stream).unwrap();
    encoder.raw(&header(0xff_ffff, 9));
    // The header is enough to be put out; what follows is read at most to be thrown away.
    let chunk = vec![0xc4; 65_536];
    for _ in 0..256 {
        if !encoder.raw(&chunk) {
            break;
        }
    }
    encoder.wait_closed(20);
    b.unharmed();
}

/// Numbers without a pattern, the same each time (xorshift64).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                self.0 as u8
            })
            .collect()
    }
}

#[test]
fn garbage_is_refused_wherever_it_comes() {
    let mut b = Bystander::with(|c| {
        c.limits.rtmp_handshake_timeout = Duration::from_secs(2);
        c.limits.rtmp_publish_timeout = Duration::from_secs(2);
    });
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..count("TEST_GARBAGE_ROUNDS", 20) {
        let mut socket = TcpStream::connect(b.server.rtmp).unwrap();
        let _ = socket.write_all(&noise.bytes(20_000));
        assert!(ends(&mut socket), "garbage instead of a handshake");

        let mut encoder = Encoder::connect(b.server.rtmp);
        encoder.raw(&noise.bytes(300_000));
        encoder.wait_closed(20);
    }
    // Garbage as payloads of well-formed messages, after a publish.
    let stream = b.server.create();
    let mut encoder = b.publish(&stream).unwrap();
    for n in 0..2000 {
        let length = n as usize % 200;
        let type_id = noise.bytes(1)[0] % 24;
        let time_ms = u32::from(noise.bytes(1)[0]);
        // Types 1 and 2 would change how later bytes are read: the raw garbage above has them.
        if type_id > 2 && !encoder.message(type_id, time_ms, 1, noise.bytes(length).into()) {
            break;
        }
    }
    b.unharmed();
}

#[test]
fn a_million_create_streams_are_not_served() {
    let mut b = Bystander::new();
    let mut encoder = Encoder::connect(b.server.rtmp);
    encoder.ask("live", "nothing");
    let mut sent = 0;
    while sent < 1_000_000 && !(sent % 256 == 0 && encoder.closed()) {
        let transaction = f64::from(sent);
        if !encoder.command("createStream", transaction, Amf0Value::Null, vec![], 0) {
            break;
        }
        sent += 1;
    }
    assert!(sent < 1_000_000, "all were served");
    b.unharmed();
}

#[test]
fn a_publisher_cannot_open_streams_without_end_either() {
    let mut b = Bystander::with(|c| c.limits.rtmp_message_streams = 4);
    let stream = b.server.create();
    let mut encoder = b.publish(&stream).unwrap();
    for n in 0..100 {
        encoder.command(
            "createStream",
            100.0 + f64::from(n),
            Amf0Value::Null,
            vec![],
            0,
        );
    }
    let answered = encoder.results().iter().filter(|id| **id >= 100.0).count();
    assert!(answered < 4, "{answered} more were opened");
    b.unharmed();
}

#[test]
fn nested_values_do_not_overflow_anything() {
    let mut b = Bystander::new();
    for opening in [
        &[10, 0, 0, 0, 1][..],
        &[3, 0, 1, b'a'],
        &[8, 0, 0, 0, 1, 0, 1, b'a'],
    ] {
        let mut encoder = Encoder::connect(b.server.rtmp);
        let mut message = vec![2, 0, 7];
        message.extend(b"connect");
        message.extend([0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        message.extend(opening.repeat(20_000));
        encoder.message(20, 0, 0, Bytes::from(message));
        encoder.wait_closed(30);
        b.unharmed();
    }
}

#[test]
fn lying_lengths_are_refused() {
    let mut b = Bystander::new();
    let tags = Clip::Tiny.tags();
    let header = tags
        .iter()
        .find(|t| t.kind == TagKind::Video && clip::is_header(t))
        .unwrap();
    let frame = tags
        .iter()
        .find(|t| t.kind == TagKind::Video && !clip::is_header(t))
        .unwrap();
    // A NAL unit that says it is longer than its message, and a configuration cut short.
    let mut lying = frame.payload.to_vec();
    lying[5..9].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    for payloads in [
        vec![header.payload.to_vec(), lying],
        vec![header.payload[..9].to_vec()],
        vec![vec![0x17], vec![0xaf], vec![]],
    ] {
        let stream = b.server.create();
        let mut encoder = b.publish(&stream).unwrap();
        for payload in payloads {
            let kind = if payload.first() == Some(&0xaf) {
                TagKind::Audio
            } else {
                TagKind::Video
            };
            encoder.send(&Tag {
                kind,
                timestamp_ms: 0,
                payload: payload.into(),
            });
        }
        // Whether it is put out or ignored: nobody else notices.
        b.unharmed();
    }
}

#[test]
fn media_before_its_sequence_headers_is_waited_out() {
    let mut b = Bystander::new();
    let stream = b.server.create();
    let mut encoder = b.publish(&stream).unwrap();
    let tags = Clip::Tiny.tags();
    let bare: Vec<_> = tags
        .iter()
        .filter(|t| !clip::is_header(t))
        .cloned()
        .collect();
    encoder.send_all(&bare);
    assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
    assert!(
        b.server.viewer(&stream).poll().is_none(),
        "nothing can be played yet"
    );
    encoder.send_all(&clip::moved(&tags, 8000));
    b.server.viewer(&stream).segments(2, 20);
    b.unharmed();
}
