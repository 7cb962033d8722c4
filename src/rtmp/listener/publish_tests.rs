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
