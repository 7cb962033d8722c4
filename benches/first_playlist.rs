//! From the end of a stream's first GOP to its first playable playlist, over real sockets: the
//! time from sending the key frame that ends the GOP to the answer that lists its segment. It does
//! not know the server's inside.

use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cauce::{
    app::App,
    config::{Backend, Config},
    name::{StreamKey, StreamUid},
    rtmp::client,
};
use segmenter::{
    Tag, TagKind,
    flv::{MAX_DATA_BYTES, Reader},
};

/// 8 s of 640x360 with a key frame every 2 s.
const CLIP: &[u8] = include_bytes!("../src/app/demo/clip.flv");
const RUNS: usize = 30;
/// A stream that is not listed by then is a bug, not a slow run.
const PATIENCE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for backend in [Backend::Disk, Backend::Memory] {
        let mut took = runtime.block_on(measure(backend))?;
        took.sort_unstable();
        println!(
            "first playlist, {backend:?}: median {:.1} ms, longest {:.1} ms of {RUNS} runs",
            took[RUNS / 2].as_secs_f64() * 1e3,
            took[RUNS - 1].as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

async fn measure(backend: Backend) -> Result<Vec<Duration>> {
    let directory = tempfile::tempdir()?;
    let mut config = Config::in_directory(directory.path().to_owned());
    config.storage.backend = backend;
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.rtmp.listen = ([127, 0, 0, 1], 0).into();
    config.log.level = "off".into();
    let app = App::start(Arc::new(config)).await?;
    let tags = first_gop()?;
    let mut took = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        took.push(once(&app, &tags).await?);
    }
    app.shutdown().await;
    Ok(took)
}

/// The tags of the first GOP and the key frame that ends it.
fn first_gop() -> Result<Vec<Tag>> {
    let mut reader = Reader::new(MAX_DATA_BYTES);
    reader.feed(Bytes::from_static(CLIP));
    let mut tags = Vec::new();
    while let Some(tag) = reader.next_tag()? {
        let ends = is_key_frame(&tag) && tag.timestamp_ms > 0;
        tags.push(tag);
        if ends {
            break;
        }
    }
    Ok(tags)
}

/// FLV E.4.3: frame type 1, codec 7, packet type NALU.
fn is_key_frame(tag: &Tag) -> bool {
    tag.kind == TagKind::Video && tag.payload.starts_with(&[0x17, 1])
}

async fn once(app: &App, tags: &[Tag]) -> Result<Duration> {
    let (uid, key) = (StreamUid::random(), StreamKey::random());
    let hash = app.secret.key_hash(&key);
    app.db.create_stream(&uid, &hash, "bench", false).await?;
    let mut publisher = client::publish(app.rtmp, "live", key.as_str()).await?;
    let (last, gop) = tags.split_last().ok_or("an empty clip")?;
    for tag in gop {
        publisher.send(tag).await?;
    }
    // The server has read the GOP by now, as it would have in real time.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let path = format!("/live/{uid}/source/index.m3u8");
    let http = app.http;
    let begin = Instant::now();
    publisher.send(last).await?;
    tokio::task::spawn_blocking(move || until_listed(http, &path))
        .await?
        .map_err(|error| error.to_string())?;
    let took = begin.elapsed();
    publisher.finish().await?;
    Ok(took)
}

/// Asks on one connection until the playlist is there.
fn until_listed(http: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(http)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let begin = Instant::now();
    let mut answer = [0; 4096];
    while begin.elapsed() < PATIENCE {
        write!(socket, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let len = socket.read(&mut answer)?;
        if answer[..len].starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}
