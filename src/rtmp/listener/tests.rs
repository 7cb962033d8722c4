//! Tests of the listener over real sockets. They do not know segments.

use super::*;
use crate::{error::Kind, rtmp::client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A listener on port 0 whose door refuses every key.
struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let refuse: Door = Arc::new(|key, _| {
            let refusal = match key.as_str() {
                "late" => PublishRefusal::Ended,
                _ => PublishRefusal::UnknownKey,
            };
            Box::pin(async move { Err(refusal.into()) })
        });
        Self::with_door(change, refuse).await
    }

    async fn with_door(change: impl FnOnce(&mut Config), door: Door) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let context = Arc::new(Context::new(&config, door));
        let task = tokio::spawn(accept_until(listener.into(), context, stopped));
        Self {
            address,
            stop,
            task,
        }
    }

    async fn refusal_of(&self, app: &str, key: &str) -> String {
        let error = client::publish(self.address, app, key).await.err().unwrap();
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        error.to_string()
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_its_reason() {
    let server = Server::start(|_| {}).await;
    let text = server.refusal_of("live", "nobody").await;
    assert!(text.contains("NetStream.Publish.Denied"), "{text}");
    assert!(text.contains("unknown stream key"), "{text}");
    let text = server.refusal_of("streams/late", "").await;
    assert!(text.contains("this stream has ended"), "{text}");
}

#[tokio::test]
async fn a_wrong_app_is_refused_with_its_reason() {
    let server = Server::start(|_| {}).await;
    let text = server.refusal_of("vod", "nobody").await;
    assert!(text.contains("NetConnection.Connect.Rejected"), "{text}");
}

#[tokio::test]
async fn a_key_that_cannot_be_checked_in_time_ends_the_connection() {
    let never: Door = Arc::new(|_, _| Box::pin(std::future::pending()));
    let shorten = |config: &mut Config| {
        config.limits.rtmp_publish_timeout = Duration::from_millis(50);
    };
    let server = Server::with_door(shorten, never).await;
    let error = client::publish(server.address, "live", "k")
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_half_open_handshake_is_closed() {
    let server = Server::start(|config| {
        config.limits.rtmp_handshake_timeout = Duration::from_millis(50);
    })
    .await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&[3; 700]).await.unwrap();
    let mut all = vec![];
    socket.read_to_end(&mut all).await.unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_the_others_go_on() {
    let server = Server::start(|config| config.limits.rtmp_connections = 1).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(&[3; 1537]).await.unwrap();
    let mut answer = [0; 3073];
    first.read_exact(&mut answer).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
    first.write_all(&[0; 10]).await.unwrap();
    drop(first);
    // The seat is free once the server saw the end; until then newcomers are turned away.
    loop {
        match client::publish(server.address, "live", "k").await {
            Err(error) if error.kind == Kind::Conflict => break,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn the_byte_budget_ends_a_flood() {
    let server = Server::start(|_| {}).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let mut flood = vec![3];
    flood.extend_from_slice(&[0; 2 * 1536]);
    // A message of 8 MiB that never ends.
    flood.extend_from_slice(&[4, 0, 0, 0, 0x80, 0, 0, 9, 1, 0, 0, 0]);
    for _ in 0..10_000 {
        flood.extend_from_slice(&[0; 128]);
        flood.push(0xc4);
    }
    // The server stops reading, so writing may fail: what counts is that it ends.
    let _ = socket.write_all(&flood).await;
    let mut all = vec![];
    let _ = socket.read_to_end(&mut all).await;
    assert!(all.len() <= 3073);
}

#[tokio::test]
async fn an_encoder_that_does_not_read_its_replies_is_closed() {
    let server = Server::start(|config| {
        config.limits.rtmp_preauth_bytes = usize::MAX;
        config.rtmp.idle_timeout = Duration::from_millis(50);
    })
    .await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let mut hello = vec![3];
    hello.extend_from_slice(&[0; 2 * 1536]);
    socket.write_all(&hello).await.unwrap();
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4];
    let flood = ping.repeat(1000);
    // Both directions fill up; only the server's write timeout ends this.
    while socket.write_all(&flood).await.is_ok() {}
}

#[tokio::test]
async fn the_stop_closes_every_connection_and_the_port() {
    let server = Server::start(|_| {}).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&[3; 1537]).await.unwrap();
    socket.read_exact(&mut [0; 3073]).await.unwrap();
    server.stop.send(true).unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
    drop(socket);
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[test]
fn repeated_complaints_are_said_once_in_a_while() {
    let mut complaints = Complaints::default();
    let mut said = 0;
    for _ in 0..100 {
        complaints.say(|| said += 1);
    }
    assert_eq!(said, 1);
}

#[test]
fn every_refusal_is_coded() {
    let status = |refused: Refused| Refusal::from(refused).status;
    assert_eq!(status(Refused::Busy), PublishStatus::BadName);
    assert_eq!(status(Refused::Ended), PublishStatus::Denied);
    assert_eq!(
        status(Refused::Full("disk".into())),
        PublishStatus::Rejected
    );
    let media = segmenter::Refusal::VideoCodec("HEVC".into());
    let refusal = Refusal::from(Refused::from(media));
    assert_eq!(refusal.status, PublishStatus::Rejected);
    assert!(refusal.text.contains("HEVC"));
}
