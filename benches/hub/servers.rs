//! The two servers under test, each in processes of its own: ours, and nginx with nchan. It does not
//! know what is measured.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cauce::rtmp::client;
use segmenter::{
    TagKind,
    flv::{MAX_DATA_BYTES, Reader},
};
use tempfile::TempDir;

use crate::sockets::{self, Result};

/// 8 s of 640x360 with a key frame every 2 s.
const CLIP: &[u8] = include_bytes!("../../src/app/demo/clip.flv");
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const PATIENCE: Duration = Duration::from_secs(10);
/// Of text in a message.
const MESSAGE_BYTES: usize = 200;

/// A server with one room.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Of the WebSocket.
    pub path: String,
    says: Says,
    process: Child,
    _directory: TempDir,
}

enum Says {
    Frame(tokio::net::TcpStream),
    Post(tokio::net::TcpStream),
}

impl Server {
    /// Ours, with a live stream whose owner may say as much as it likes.
    pub async fn cauce() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut process = Command::new(
            std::env::var_os("CAUCE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cauce").into()),
        )
        .arg("serve")
        .env_clear()
        .env("CAUCE_DATA_DIR", directory.path())
        .env("CAUCE_HTTP__LISTEN", "127.0.0.1:0")
        .env("CAUCE_RTMP__LISTEN", "127.0.0.1:0")
        .env("CAUCE_LOG__LEVEL", "warn")
        // One host plays all clients, one user says all there is to say, and its encoder has gone.
        .env("CAUCE_LIMITS__SOCKETS_PER_ADDRESS", "20000")
        .env("CAUCE_LIMITS__HUB_SOCKETS_PER_ADDRESS", "20000")
        .env("CAUCE_LIMITS__HUB_FRAMES_PER_S", "10000")
        .env("CAUCE_CHAT__BURST", "10000")
        .env("CAUCE_CHAT__PER", "1s")
        .env("CAUCE_HLS__RECONNECT_GRACE", "1h")
        .stdout(Stdio::piped())
        .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let (http, rtmp) = line
            .trim()
            .strip_prefix("ready http=")
            .and_then(|rest| rest.split_once(" rtmp="))
            .ok_or(line.clone())?;
        let (address, rtmp): (SocketAddr, SocketAddr) = (http.parse()?, rtmp.parse()?);
        let person = r#"{"username":"ana","email":"ana@bench.example","password":"correct horse"}"#;
        post(address, "/token/?create=true", "", person)?;
        let token = field(&post(address, "/token/", "", person)?, "token")?;
        let stream = post(address, "/streams/", &token, r#"{"title":"bench"}"#)?;
        publish(rtmp, &field(&stream, "key")?).await?;
        let path = format!("/ws/streams/{}/", field(&stream, "uid")?);
        let (owner, _) = sockets::open([127, 0, 0, 1].into(), address, &path).await?;
        let login = format!(r#"{{"type":"auth","data":{{"token":"{token}"}}}}"#);
        write(&owner, &frame(&login)).await?;
        Ok(Self {
            name: "cauce",
            address,
            path,
            says: Says::Frame(owner),
            process,
            _directory: directory,
        })
    }

    /// nginx with as many workers as there are cores, and a channel that keeps as many messages.
    pub async fn nchan(members: usize) -> Result<Self> {
        if !Path::new(NCHAN).exists() {
            return Err(format!("{NCHAN} is missing: apt install nginx libnginx-mod-nchan").into());
        }
        let directory = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            "load_module {NCHAN};\nworker_processes auto;\nworker_rlimit_nofile {files};\n\
             pid {dir}/pid;\nerror_log {dir}/error.log crit;\ndaemon off;\n\
             events {{ worker_connections {files}; }}\n\
             http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
             nchan_shared_memory_size 512M; keepalive_requests 1000000;\n\
             server {{ listen {address} backlog=4096;\n\
             location = /sub {{ nchan_subscriber websocket; nchan_channel_id room;\n\
             nchan_subscriber_first_message newest; nchan_websocket_ping_interval 25s; }}\n\
             location = /pub {{ nchan_publisher http; nchan_channel_id room;\n\
             nchan_message_buffer_length 300; }} }} }}\n",
            dir = directory.path().display(),
            files = members + 1000,
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, config)?;
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(directory.path())
            .args(["-g", "user root;"])
            .spawn()?;
        let begin = Instant::now();
        let post = loop {
            match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        post.set_nodelay(true)?;
        Ok(Self {
            name: "nchan",
            address,
            path: "/sub".into(),
            says: Says::Post(post),
            process,
            _directory: directory,
        })
    }

    /// Says a message of 200 bytes; nchan is given all that a frame of ours has around it as well.
    pub async fn say(&self, stamp: &str) -> Result<()> {
        let text = format!("{stamp:x<MESSAGE_BYTES$}");
        let (stream, bytes) = match &self.says {
            Says::Frame(stream) => {
                let chat = format!(r#"{{"type":"chat","data":{{"message":"{text}"}}}}"#);
                (stream, frame(&chat))
            }
            Says::Post(stream) => {
                let chat = format!(
                    r#"{{"type":"chat","data":{{"id":"AAAAAAAAAAAAAAAAAAAAAA-100","seq":100,"user":"ana","message":"{text}","role":"owner","reply_to":null,"created_at":"2026-01-01T00:00:00.000Z"}}}}"#
                );
                let request = format!(
                    "POST /pub HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n{chat}",
                    chat.len()
                );
                (stream, request.into_bytes())
            }
        };
        // The publisher's own answers, which nobody reads.
        let mut waste = [0; 16 * 1024];
        while stream.try_read(&mut waste).is_ok_and(|n| n > 0) {}
        write(stream, &bytes).await
    }

    fn pids(&self) -> Vec<u32> {
        let own = self.process.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        std::iter::once(own).chain(children).collect()
    }

    /// Bytes resident, what is shared counted once.
    pub fn memory(&self) -> u64 {
        let of = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.pids().into_iter().filter_map(of).sum::<u64>() * 1024
    }

    /// Seconds of processor time used.
    pub fn cpu_s(&self) -> f64 {
        const TICKS_PER_S: f64 = 100.0;
        let of = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
        };
        self.pids().into_iter().filter_map(of).sum::<f64>() / TICKS_PER_S
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx' workers end with their master only if it can tell them.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes the stream live: its first two seconds are enough.
async fn publish(rtmp: SocketAddr, key: &str) -> Result<()> {
    let mut publisher = client::publish(rtmp, "live", key).await?;
    let mut reader = Reader::new(MAX_DATA_BYTES);
    reader.feed(Bytes::from_static(CLIP));
    let mut key_frames = 0;
    while let Some(tag) = reader.next_tag()? {
        // FLV E.4.3: frame type 1, codec 7, packet type NALU.
        key_frames += u32::from(tag.kind == TagKind::Video && tag.payload.starts_with(&[0x17, 1]));
        publisher.send(&tag).await?;
        if key_frames == 2 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// A client's text frame; a mask of zeros is a mask (RFC 6455 5.3).
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

async fn write(stream: &tokio::net::TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> Result<String> {
    let login = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{login}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 20") {
        return Err(answer.into());
    }
    Ok(answer)
}

/// The first string field of that name.
fn field(json: &str, name: &str) -> Result<String> {
    let start = json
        .split_once(&format!("\"{name}\":\""))
        .ok_or(format!("no {name}"))?
        .1;
    Ok(start.split('"').next().unwrap_or_default().to_owned())
}

/// The file descriptors that one process may have.
pub fn files_max() -> Result<usize> {
    let limits = fs::read_to_string(PathBuf::from("/proc/self/limits"))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line
        .and_then(|line| line.split_whitespace().nth(3))
        .ok_or("no limit")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}
