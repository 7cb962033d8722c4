//! Viewers of one stream on connections that stay open: the playlist each second, with the tag of the last
//! one and gzip, and every second time the newest segment. It does not know which server answers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// Few, because they share the cores with the server; each asks for one thing at a time.
const THREADS: usize = 4;
/// Between two playlists of one viewer.
const PLAYLIST_EVERY: Duration = Duration::from_secs(1);
/// Segments among playlists.
const SEGMENT_EVERY: u32 = 2;
/// A server that does not answer for so long is broken.
const PATIENCE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 256 << 10;

/// What all viewers had.
#[derive(Default)]
pub struct Seen {
    pub playlists: u64,
    /// Of them without a body.
    pub unchanged: u64,
    pub segments: u64,
    pub bytes: u64,
    /// From a playlist's due time to its whole answer, milliseconds.
    pub took_ms: Vec<f64>,
}

/// What they are and ask for.
pub struct Audience {
    pub http: SocketAddr,
    pub playlist: String,
    pub count: usize,
    pub lasting: Duration,
}

impl Audience {
    /// Returns when all have seen enough. They come within the first second.
    pub fn watch(&self) -> Result<Seen> {
        let mut groups: Vec<Vec<Viewer>> = (0..THREADS).map(|_| vec![]).collect();
        for n in 0..self.count {
            groups[n % THREADS].push(Viewer {
                socket: None,
                at: PLAYLIST_EVERY.mul_f64(n as f64 / self.count as f64),
                turn: (n / THREADS) as u32 % SEGMENT_EVERY,
                tag: String::new(),
                newest: String::new(),
            });
        }
        let begin = Instant::now();
        let seen = thread::scope(|scope| {
            let threads: Vec<_> = groups
                .into_iter()
                .map(|group| scope.spawn(move || self.group(group, begin)))
                .collect();
            let seen = threads.into_iter().map(|thread| thread.join());
            seen.collect::<Vec<_>>()
        });
        let mut all = Seen::default();
        for one in seen {
            let one = one.map_err(|_| "a thread of viewers panicked")??;
            all.playlists += one.playlists;
            all.unchanged += one.unchanged;
            all.segments += one.segments;
            all.bytes += one.bytes;
            all.took_ms.extend(one.took_ms);
        }
        Ok(all)
    }

    /// Some viewers in turn, each when it is due.
    fn group(&self, mut viewers: Vec<Viewer>, begin: Instant) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut answer = Answer::default();
        for round in 0.. {
            if PLAYLIST_EVERY * round >= self.lasting {
                break;
            }
            for viewer in &mut viewers {
                let due = begin + PLAYLIST_EVERY * round + viewer.at;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                viewer.playlist(self, &mut answer, &mut seen)?;
                seen.took_ms.push(due.elapsed().as_secs_f64() * 1e3);
                if (round + viewer.turn) % SEGMENT_EVERY == 0 {
                    viewer.segment(self, &mut answer, &mut seen)?;
                }
            }
        }
        Ok(seen)
    }
}

struct Viewer {
    /// From the first playlist on.
    socket: Option<TcpStream>,
    /// When in each second, and in which of the seconds a segment.
    at: Duration,
    turn: u32,
    tag: String,
    newest: String,
}

impl Viewer {
    fn playlist(&mut self, of: &Audience, answer: &mut Answer, seen: &mut Seen) -> Result<()> {
        let path = &of.playlist;
        let known = match &self.tag[..] {
            "" => String::new(),
            tag => format!("If-None-Match: {tag}\r\n"),
        };
        answer.read(self.ask(of.http, path, &known)?)?;
        seen.playlists += 1;
        seen.bytes += answer.body.len() as u64;
        match answer.status {
            304 => seen.unchanged += 1,
            200 => {
                self.tag = answer.header("etag").unwrap_or_default().to_owned();
                let mut text = String::new();
                match answer.header("content-encoding") {
                    Some("gzip") => {
                        flate2::read::GzDecoder::new(answer.body()).read_to_string(&mut text)?
                    }
                    _ => answer.body().read_to_string(&mut text)?,
                };
                let last = text
                    .lines()
                    .rfind(|line| !line.is_empty() && !line.starts_with('#'));
                self.newest = last.ok_or("an empty playlist")?.to_owned();
            }
            status => return Err(format!("{path}: {status}").into()),
        }
        Ok(())
    }

    fn segment(&mut self, of: &Audience, answer: &mut Answer, seen: &mut Seen) -> Result<()> {
        let folder = of
            .playlist
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let path = format!("{folder}/{}", self.newest);
        answer.read(self.ask(of.http, &path, "")?)?;
        if answer.status != 200 {
            return Err(format!("{path}: {}", answer.status).into());
        }
        seen.segments += 1;
        seen.bytes += answer.body.len() as u64;
        Ok(())
    }

    /// One request in one send; where its answer comes.
    fn ask(&mut self, http: SocketAddr, path: &str, more: &str) -> Result<&mut TcpStream> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: load\r\nAccept-Encoding: gzip\r\n{more}\r\n");
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(http)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket
            }
        };
        socket.write_all(request.as_bytes())?;
        Ok(self.socket.insert(socket))
    }
}

/// The last answer; its memory is used again.
#[derive(Default)]
struct Answer {
    status: u16,
    head: String,
    buffer: Vec<u8>,
    body: Range<usize>,
}

impl Answer {
    /// Reads an answer with a length. The buffer only grows: zeroing it each time would cost the
    /// server's cores.
    fn read(&mut self, socket: &mut TcpStream) -> Result<()> {
        self.buffer.resize(self.buffer.len().max(READ_BYTES), 0);
        let mut filled = 0;
        let head_bytes = loop {
            filled += some(socket, &mut self.buffer[filled..])?;
            let head = &self.buffer[..filled];
            if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
        };
        self.head = String::from_utf8_lossy(&self.buffer[..head_bytes]).into_owned();
        let status = self.head.get(9..12).and_then(|text| text.parse().ok());
        self.status = status.ok_or("no status line")?;
        let length = match self.status {
            304 => 0,
            _ => self.header("content-length").ok_or("no length")?.parse()?,
        };
        self.body = head_bytes..head_bytes + length;
        self.buffer.resize(self.buffer.len().max(self.body.end), 0);
        while filled < self.body.end {
            filled += some(socket, &mut self.buffer[filled..self.body.end])?;
        }
        Ok(())
    }

    fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The next bytes, at least one.
fn some(socket: &mut TcpStream, room: &mut [u8]) -> Result<usize> {
    match socket.read(room)? {
        0 => Err("the server closed the connection, or its head is too long".into()),
        read => Ok(read),
    }
}
