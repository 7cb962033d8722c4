//! The listener with the real authority and registry behind it: what a publisher hears.

use super::*;
use crate::{
    auth::Secret,
    config::OnSecondPublisher,
    db::Db,
    error::{Error, Kind},
    name::StreamKey,
    rtmp::client::{self, ClientPublisher},
};
use bytes::Bytes;
use segmenter::{Tag, TagKind};

struct Server {
    address: SocketAddr,
    uid: StreamUid,
    key: StreamKey,
    live: Live,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        change(&mut config);
        let config = Arc::new(config);
        let db = Db::open(&dir.path().join("cauce.db"), 64).unwrap();
        let secret = Secret::load_or_create(&dir.path().join("jwt.key")).unwrap();
        let (uid, key) = (StreamUid::random(), StreamKey::random());
        db.create_stream(&uid, &secret.key_hash(&key), "a test", false)
            .await
            .unwrap();
        let store = Arc::new(storage::memory::Memory::new(64 << 20));
        let live = Live::start(config.clone(), store, db.clone())
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let auth = Auth::new(db, secret, &config);
        let task = tokio::spawn(serve(listener.into(), config, auth, live.clone(), stopped));
        Self {
            address,
            uid,
            key,
            live,
            stop,
            task,
            _dir: dir,
        }
    }

    async fn publish(&self) -> Result<ClientPublisher, Error> {
        client::publish(self.address, "live", self.key.as_str()).await
    }
}

fn assert_refused(error: &Error, text: &str) {
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let server = Server::start(|_| {}).await;
    for key in ["", "short", StreamKey::random().as_str()] {
        let error = client::publish(server.address, "live", key)
            .await
            .err()
            .unwrap();
        assert_refused(&error, "unknown stream key");
    }
}

#[tokio::test]
async fn a_publisher_that_left_without_a_goodbye_may_come_back() {
    let server = Server::start(|config| {
        config.rtmp.on_second_publisher = OnSecondPublisher::Replace;
    })
    .await;
    drop(server.publish().await.unwrap());
    server.publish().await.unwrap().finish().await.unwrap();
    server.publish().await.unwrap();
}

#[tokio::test]
async fn a_second_publisher_replaces_the_first_which_is_told() {
    let server = Server::start(|_| {}).await;
    let mut first = server.publish().await.unwrap();
    let _second = server.publish().await.unwrap();
    assert_refused(
        &first.ended().await,
        "another encoder took this stream over",
    );
}

#[tokio::test]
async fn a_second_publisher_is_rejected_when_so_configured() {
    let server = Server::start(|config| {
        config.rtmp.on_second_publisher = OnSecondPublisher::Reject;
    })
    .await;
    let _first = server.publish().await.unwrap();
    let error = server.publish().await.err().unwrap();
    assert_refused(&error, "NetStream.Publish.BadName");
}

#[tokio::test]
async fn unsupported_codecs_are_refused_by_name() {
    let server = Server::start(|_| {}).await;
    let refused = [
        (TagKind::Video, &b"\x90hvc1\0\0\0"[..], "HEVC"),
        (TagKind::Audio, &b"\x2f\xff\xfb\x90"[..], "MP3"),
        (TagKind::Audio, &b"\xb2\0\0\0"[..], "Speex"),
    ];
    for (kind, payload, name) in refused {
        let mut publisher = server.publish().await.unwrap();
        let tag = Tag {
            kind,
            timestamp_ms: 0,
            payload: Bytes::from_static(payload),
        };
        publisher.send(&tag).await.unwrap();
        assert_refused(&publisher.ended().await, name);
    }
}

#[tokio::test]
async fn an_idle_publisher_is_closed_and_told() {
    let server = Server::start(|config| {
        config.rtmp.idle_timeout = Duration::from_millis(100);
    })
    .await;
    let mut publisher = server.publish().await.unwrap();
    assert_refused(&publisher.ended().await, "no audio or video");
}

#[tokio::test]
async fn a_stopped_stream_puts_its_publisher_out_and_refuses_the_key() {
    let server = Server::start(|_| {}).await;
    let mut publisher = server.publish().await.unwrap();
    server.live.stop(&server.uid, "stopped").await.unwrap();
    assert_refused(&publisher.ended().await, "this stream has ended");
    let error = server.publish().await.err().unwrap();
    assert_refused(&error, "this stream has ended");
}

#[tokio::test]
async fn the_stop_puts_publishers_out() {
    let server = Server::start(|_| {}).await;
    let mut publisher = server.publish().await.unwrap();
    server.stop.send(true).unwrap();
    assert_refused(&publisher.ended().await, "the server is restarting");
    drop(publisher);
    server.task.await.unwrap();
}

/// Nothing is read by time alone in such a test.
const NEVER: Duration = Duration::from_secs(3600);

fn video(timestamp_ms: u32, frame: u8, bytes: usize) -> Tag {
    let mut payload = vec![frame, 1, 0, 0, 0];
    payload.resize(bytes.max(5), 0);
    Tag {
        kind: TagKind::Video,
        timestamp_ms,
        payload: payload.into(),
    }
}

/// What ends the publish once it is read.
fn unsupported() -> Tag {
    Tag {
        kind: TagKind::Video,
        timestamp_ms: 3_600_100,
        payload: Bytes::from_static(b"\x90hvc1\0\0\0"),
    }
}

impl Server {
    /// With a publisher whose bytes gather: its next key frame is expected in an hour.
    async fn gathering(change: impl FnOnce(&mut Config)) -> (Self, ClientPublisher) {
        let server = Self::start(|config| {
            config.rtmp.receive_wait = NEVER;
            config.rtmp.idle_timeout = NEVER;
            change(config);
        })
        .await;
        let mut publisher = server.publish().await.unwrap();
        for at_ms in [0, 3_600_000] {
            publisher.send(&video(at_ms, 0x17, 5)).await.unwrap();
        }
        (server, publisher)
    }
}

#[tokio::test]
async fn bytes_are_read_when_the_mark_is_reached() {
    let (server, mut publisher) = Server::gathering(|_| {}).await;
    publisher.send(&unsupported()).await.unwrap();
    let mark = Config::default().rtmp.receive_mark;
    // Refused in the middle of it, the rest has no reader.
    let _ = publisher.send(&video(3_600_101, 0x27, 2 * mark)).await;
    assert_refused(&publisher.ended().await, "HEVC");
    drop(server);
}

#[tokio::test]
async fn fewer_bytes_are_read_after_the_wait() {
    let change = |config: &mut Config| {
        config.rtmp.receive_mark = 1 << 20;
        config.rtmp.receive_wait = Duration::from_millis(20);
    };
    let (_server, mut publisher) = Server::gathering(change).await;
    publisher.send(&unsupported()).await.unwrap();
    assert_refused(&publisher.ended().await, "HEVC");
}

#[tokio::test]
async fn a_mark_of_one_byte_waits_for_nothing() {
    let (_server, mut publisher) = Server::gathering(|config| config.rtmp.receive_mark = 1).await;
    publisher.send(&unsupported()).await.unwrap();
    assert_refused(&publisher.ended().await, "HEVC");
}

#[tokio::test]
async fn more_than_the_receive_buffer_flows_over_a_large_mark() {
    let (_server, mut publisher) =
        Server::gathering(|config| config.rtmp.receive_mark = 1 << 20).await;
    for n in 0..40 {
        let picture = video(3_600_001 + n, 0x27, 1 << 20);
        publisher.send(&picture).await.unwrap();
    }
    publisher.finish().await.unwrap();
}

#[tokio::test]
async fn a_publisher_that_leaves_while_bytes_gather_is_noticed() {
    let (server, publisher) = Server::gathering(|config| {
        config.rtmp.on_second_publisher = OnSecondPublisher::Reject;
    })
    .await;
    drop(publisher);
    // Its claim is free once the server saw the end.
    while server.publish().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_goodbye_ends_a_publish_whose_bytes_gather() {
    let (server, publisher) = Server::gathering(|_| {}).await;
    publisher.finish().await.unwrap();
    server.publish().await.unwrap();
}

#[tokio::test]
async fn a_publisher_whose_bytes_gather_is_put_out_at_once() {
    let (server, mut first) = Server::gathering(|_| {}).await;
    let mut second = server.publish().await.unwrap();
    assert_refused(
        &first.ended().await,
        "another encoder took this stream over",
    );
    for at_ms in [0, 3_600_000] {
        second.send(&video(at_ms, 0x17, 5)).await.unwrap();
    }
    server.stop.send(true).unwrap();
    assert_refused(&second.ended().await, "the server is restarting");
}

#[tokio::test]
async fn silence_ends_a_publish_whose_bytes_would_gather() {
    let change = |config: &mut Config| config.rtmp.idle_timeout = Duration::from_millis(100);
    let (_server, mut publisher) = Server::gathering(change).await;
    assert_refused(&publisher.ended().await, "no audio or video");
}
