//! 50 streams of 3 Mbit/s into a bucket of a local S3 server, in real time, over real sockets: how
//! long after a segment's end its PUT arrives, and whether the backlog stays flat. It does not know
//! the server's inside.

use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use cauce::{
    app::App,
    config::{Backend, Config, Hidden},
    name::{StreamKey, StreamUid},
    rtmp::client,
};
use hyper::service::{Service, service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use segmenter::{
    Tag, TagKind,
    flv::{MAX_DATA_BYTES, Reader},
};
use tokio::time::{Instant, sleep, sleep_until};

/// 8 s of 640x360 with a key frame every 2 s.
const CLIP: &[u8] = include_bytes!("../src/app/demo/clip.flv");
const CLIP_MS: u32 = 8000;
const GOP_MS: u32 = 2000;
const STREAMS: u32 = 50;
const BITS_PER_S: u64 = 3_000_000;
const SPAN: Duration = Duration::from_secs(60);
const BUCKET: &str = "media";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
/// `{uid}/{sequence}` -> when.
type Times = Arc<Mutex<HashMap<String, Instant>>>;

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::create_dir_all(directory.path().join("s3").join(BUCKET))?;
    // The S3 server has a thread of its own, as it would have a machine of its own.
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let arrived = Times::default();
    let address = server.block_on(serve(&directory.path().join("s3"), arrived.clone()))?;
    tokio::runtime::Runtime::new()?.block_on(measure(directory.path(), address, arrived))
}

/// A bucket that notes when each segment's PUT arrives.
async fn serve(root: &std::path::Path, arrived: Times) -> Result<SocketAddr> {
    let mut service = S3ServiceBuilder::new(FileSystem::new(root).map_err(|e| format!("{e:?}"))?);
    service.set_auth(SimpleAuth::from_single("bench", "secret"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, arrived) = (service.clone(), arrived.clone());
            tokio::spawn(async move {
                let look = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    if request.method() == hyper::Method::PUT
                        && let Some(name) = segment(request.uri().path())
                    {
                        let mut all = arrived.lock().expect("nothing panics with it");
                        all.entry(name).or_insert_with(Instant::now);
                    }
                    Service::call(&service, request)
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), look).await;
            });
        }
    });
    Ok(address)
}

/// `{uid}/{sequence}` of a segment's path.
fn segment(path: &str) -> Option<String> {
    let (uid, name) = path
        .strip_prefix(&format!("/{BUCKET}/"))?
        .split_once("/source/")?;
    let (_, sequence) = name.strip_suffix(".ts")?.rsplit_once('-')?;
    Some(format!("{uid}/{sequence}"))
}

async fn measure(data: &std::path::Path, s3: SocketAddr, arrived: Times) -> Result<()> {
    let mut config = Config::in_directory(data.join("data"));
    config.storage.backend = Backend::S3;
    config.storage.s3.endpoint = Some(format!("http://{s3}"));
    config.storage.s3.bucket = Some(BUCKET.into());
    config.storage.s3.force_path_style = true;
    config.storage.s3.access_key_id = Some(Hidden("bench".into()));
    config.storage.s3.secret_access_key = Some(Hidden("secret".into()));
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.rtmp.listen = ([127, 0, 0, 1], 0).into();
    config.log.level = "off".into();
    let app = App::start(Arc::new(config)).await?;
    let clip = Arc::new(clip()?);
    let (ended, begin) = (Times::default(), Instant::now() + Duration::from_secs(2));
    let mut publishers = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let (uid, key) = (StreamUid::random(), StreamKey::random());
        let hash = app.secret.key_hash(&key);
        app.db.create_stream(&uid, &hash, "bench", false).await?;
        // Streams do not end their segments at the same moment.
        let begin = begin + Duration::from_millis(u64::from(number * GOP_MS / STREAMS));
        let work = publish(app.rtmp, uid, key, clip.clone(), begin, ended.clone());
        publishers.spawn(work);
    }
    let mut backlog = Vec::new();
    while !publishers.is_empty() {
        tokio::select! {
            Some(done) = publishers.join_next() => done??,
            () = sleep(Duration::from_secs(1)) => backlog.push(backlog_bytes(app.http).await?),
        }
    }
    report(&ended, &arrived, &backlog);
    app.shutdown().await;
    Ok(())
}

/// Publishes in real time and notes when each key frame that ends a segment was handed over.
async fn publish(
    rtmp: SocketAddr,
    uid: StreamUid,
    key: StreamKey,
    clip: Arc<Vec<Tag>>,
    begin: Instant,
    ended: Times,
) -> Result<()> {
    let mut publisher = client::publish(rtmp, "live", key.as_str()).await?;
    let mut gops = 0_u32;
    for round in 0.. {
        for tag in clip.iter() {
            if round > 0 && is_header(tag) {
                continue;
            }
            let timestamp_ms = tag.timestamp_ms + round * CLIP_MS;
            let due = begin + Duration::from_millis(timestamp_ms.into());
            if due > begin + SPAN {
                publisher.finish().await?;
                return Ok(());
            }
            sleep_until(due).await;
            let handed_over = Instant::now();
            publisher
                .send(&Tag {
                    timestamp_ms,
                    ..tag.clone()
                })
                .await?;
            if is_key_frame(tag) {
                if gops > 0 {
                    let name = format!("{uid}/{}", gops - 1);
                    let mut all = ended.lock().expect("nothing panics with it");
                    all.insert(name, handed_over);
                }
                gops += 1;
            }
        }
    }
    Ok(())
}

/// The clip, its pictures filled up to the bit rate.
fn clip() -> Result<Vec<Tag>> {
    let mut reader = Reader::new(MAX_DATA_BYTES);
    reader.feed(Bytes::from_static(CLIP));
    let mut tags = Vec::new();
    while let Some(tag) = reader.next_tag()? {
        if tag.kind != TagKind::Script && tag.timestamp_ms < CLIP_MS {
            tags.push(tag);
        }
    }
    let is_picture = |tag: &Tag| tag.kind == TagKind::Video && tag.payload.get(1) == Some(&1);
    let has: usize = tags.iter().map(|tag| tag.payload.len()).sum();
    let wanted = BITS_PER_S / 8 * u64::from(CLIP_MS) / 1000;
    let pictures = tags.iter().filter(|tag| is_picture(tag)).count();
    let filler = usize::try_from(wanted)?.saturating_sub(has) / pictures;
    for tag in tags.iter_mut().filter(|tag| is_picture(tag)) {
        let mut payload = BytesMut::from(&tag.payload[..]);
        // Filler data (H.264 7.3.2.7), which decoders skip.
        payload.put_u32(u32::try_from(filler)?);
        payload.put_u8(12);
        payload.put_bytes(0xff, filler - 2);
        payload.put_u8(0x80);
        tag.payload = payload.freeze();
    }
    Ok(tags)
}

/// FLV E.4.3: frame type 1, codec 7, packet type NALU.
fn is_key_frame(tag: &Tag) -> bool {
    tag.kind == TagKind::Video && tag.payload.starts_with(&[0x17, 1])
}

fn is_header(tag: &Tag) -> bool {
    tag.payload.get(1) == Some(&0)
}

/// `cauce_archive_backlog_bytes`.
async fn backlog_bytes(http: SocketAddr) -> Result<u64> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(http).await?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("cauce_archive_backlog_bytes "));
    Ok(line.unwrap_or("0").parse::<f64>()? as u64)
}

fn report(ended: &Times, arrived: &Times, backlog: &[u64]) {
    let ended = ended.lock().expect("nothing panics with it");
    let arrived = arrived.lock().expect("nothing panics with it");
    let mut took: Vec<f64> = ended
        .iter()
        .filter_map(|(name, end)| {
            let put = arrived.get(name)?;
            Some(put.saturating_duration_since(*end).as_secs_f64() * 1e3)
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "PUT after a segment's end: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms; {} of {} segments",
        at(0.5),
        at(0.99),
        at(1.0),
        took.len(),
        ended.len(),
    );
    let third = backlog.len() / 3;
    for (name, part) in [
        ("first", &backlog[..third]),
        ("second", &backlog[third..2 * third]),
        ("last", &backlog[2 * third..]),
    ] {
        let mean = part.iter().sum::<u64>() / part.len().max(1) as u64;
        let most = part.iter().max().copied().unwrap_or(0);
        println!(
            "backlog in the {name} third: mean {} KiB, most {} KiB",
            mean >> 10,
            most >> 10
        );
    }
}
