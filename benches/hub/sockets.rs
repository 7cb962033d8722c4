//! Thousands of WebSockets in one thread, as light as can be so that the server is what is measured.
//! It does not know which server it talks to: it counts what carries a [`stamp`].

use std::{
    cell::{Cell, RefCell},
    error::Error,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Notify,
    task::{JoinHandle, spawn_local},
    time::sleep,
};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Sockets of one source address: each address has so many ports only.
const EACH_ADDRESS: usize = 5000;
/// Handshakes at once.
const CONNECTING: usize = 200;
const READ_BYTES: usize = 256 * 1024;
/// Handshakes refused for want of a place in the listener's queue are tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Where a message's number stands, and within how many bytes of its beginning.
const SEQ: &[u8] = b"\"seq\":";
const CHAT_HEAD: usize = 120;

/// What a message says: its number and when it was sent.
pub fn stamp(number: u64, began: Instant) -> String {
    format!("#{number}@{}#", began.elapsed().as_micros())
}

/// What all sockets saw.
pub struct Seen {
    began: Instant,
    buffer: RefCell<Vec<u8>>,
    pub deliveries: Cell<u64>,
    pub missing: Cell<u64>,
    pub resyncs: Cell<u64>,
    pub closed: Cell<u64>,
    pub open: Cell<usize>,
    pub latencies_us: RefCell<Vec<u32>>,
    pub progress: Notify,
    /// `progress` is told at so many deliveries.
    pub wanted: Cell<u64>,
}

impl Seen {
    pub fn new(began: Instant) -> Rc<Self> {
        Rc::new(Self {
            began,
            buffer: RefCell::new(vec![0; READ_BYTES]),
            deliveries: Cell::new(0),
            missing: Cell::new(0),
            resyncs: Cell::new(0),
            closed: Cell::new(0),
            open: Cell::new(0),
            latencies_us: RefCell::default(),
            progress: Notify::new(),
            wanted: Cell::new(u64::MAX),
        })
    }

    /// Until so many deliveries were counted; false when they do not come in time.
    pub async fn reaches(&self, deliveries: u64, patience: Duration) -> bool {
        let reached = async {
            while self.deliveries.get() < deliveries {
                self.wanted.set(deliveries);
                self.progress.notified().await;
            }
        };
        tokio::time::timeout(patience, reached).await.is_ok()
    }

    /// The `percent` of the latencies so far, which are forgotten.
    pub fn latency_ms(&self, percents: &[f64]) -> Vec<f64> {
        let mut all = self.latencies_us.take();
        all.sort_unstable();
        let at = |percent: &f64| {
            let index = (all.len() as f64 * percent / 100.0) as usize;
            all.get(index.min(all.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0)
        };
        percents
            .iter()
            .map(|percent| f64::from(at(percent)) / 1000.0)
            .collect()
    }
}

/// What a member is told to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Read,
    /// Reads no more.
    Stall,
    /// Breaks off, and comes back after so long with what it knows.
    Return(Duration),
    Leave,
}

/// One socket.
pub struct Member {
    order: Rc<(Cell<Order>, Notify)>,
    task: JoinHandle<()>,
}

impl Member {
    pub fn order(&self, order: Order) {
        self.order.0.set(order);
        self.order.1.notify_one();
    }
}

/// Opens `count` sockets of `path`.
pub async fn crowd(
    server: SocketAddr,
    path: &str,
    count: usize,
    seen: &Rc<Seen>,
) -> Result<Vec<Member>> {
    let gate = Rc::new(tokio::sync::Semaphore::new(CONNECTING));
    let path: Rc<str> = path.into();
    let members = (0..count).map(|n| {
        let order = Rc::new((Cell::new(Order::Read), Notify::new()));
        let (gate, path, seen, told) = (gate.clone(), path.clone(), seen.clone(), order.clone());
        let task = spawn_local(async move {
            let mut one = One {
                source: Ipv4Addr::from(0x7f00_0002 + (n / EACH_ADDRESS) as u32),
                server,
                path,
                seen,
                order: told,
                rest: vec![],
                last: None,
                seq: 0,
                epoch: String::new(),
            };
            one.live(&gate).await;
        });
        Member { order, task }
    });
    let members: Vec<_> = members.collect();
    let begin = Instant::now();
    while seen.open.get() < count {
        if begin.elapsed() > Duration::from_secs(120) {
            return Err(format!("only {} of {count} sockets opened", seen.open.get()).into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(members)
}

/// Closes all.
pub async fn leave(members: Vec<Member>) {
    for member in &members {
        member.order(Order::Leave);
    }
    for member in members {
        let _ = member.task.await;
    }
}

struct One {
    source: Ipv4Addr,
    server: SocketAddr,
    path: Rc<str>,
    seen: Rc<Seen>,
    order: Rc<(Cell<Order>, Notify)>,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// The number of the last message.
    last: Option<u64>,
    /// What a member says when it comes back.
    seq: u64,
    epoch: String,
}

impl One {
    async fn live(&mut self, gate: &tokio::sync::Semaphore) {
        loop {
            let query = match self.last {
                Some(_) => format!("?since={}&epoch={}", self.seq, self.epoch),
                None => String::new(),
            };
            let permit = gate.acquire().await;
            let stream = loop {
                match open(self.source, self.server, &format!("{}{query}", self.path)).await {
                    Ok((stream, rest)) => {
                        self.rest = rest;
                        break stream;
                    }
                    Err(_) => sleep(RETRY).await,
                }
            };
            drop(permit);
            self.seen.open.set(self.seen.open.get() + 1);
            let first = std::mem::take(&mut self.rest);
            let mut lost = self.take(&stream, &first);
            while !lost && self.order.0.get() == Order::Read {
                tokio::select! {
                    ready = stream.readable() => lost = ready.is_err() || self.read(&stream),
                    () = self.order.1.notified() => {}
                }
            }
            while self.order.0.get() == Order::Stall {
                self.order.1.notified().await;
            }
            self.seen.open.set(self.seen.open.get() - 1);
            drop(stream);
            match self.order.0.get() {
                Order::Return(after) => {
                    self.order.0.set(Order::Read);
                    sleep(after).await;
                }
                Order::Leave => return,
                Order::Read | Order::Stall => {
                    self.seen.closed.set(self.seen.closed.get() + 1);
                    return;
                }
            }
        }
    }

    /// Reads what is there; true: the socket is at its end.
    fn read(&mut self, stream: &TcpStream) -> bool {
        let seen = self.seen.clone();
        let mut buffer = seen.buffer.borrow_mut();
        match stream.try_read(&mut buffer) {
            Ok(0) => true,
            Ok(n) => self.take(stream, &buffer[..n]),
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    fn take(&mut self, stream: &TcpStream, bytes: &[u8]) -> bool {
        if self.rest.is_empty() {
            let (used, closed) = self.frames(stream, bytes);
            self.rest.extend_from_slice(&bytes[used..]);
            return closed;
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        let (used, closed) = self.frames(stream, &whole);
        self.rest.extend_from_slice(&whole[used..]);
        closed
    }

    /// Whole frames; bytes used, and whether the server closes.
    fn frames(&mut self, stream: &TcpStream, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some((opcode, head, length)) = header(&bytes[at..]) {
            let Some(payload) = bytes.get(at + head..at + head + length) else {
                break;
            };
            at += head + length;
            match opcode {
                1 => self.text(payload),
                8 => return (at, true),
                9 => {
                    let mut pong = vec![0x8a, 0x80 | length as u8, 0, 0, 0, 0];
                    pong.extend_from_slice(payload);
                    // One that does not fit is one of two.
                    let _ = stream.try_write(&pong);
                }
                _ => {}
            }
        }
        (at, false)
    }

    fn text(&mut self, payload: &[u8]) {
        let head = &payload[..payload.len().min(24)];
        if head.starts_with(b"{\"type\":\"resync\"") {
            self.seen.resyncs.set(self.seen.resyncs.get() + 1);
        }
        let history = head.starts_with(b"{\"type\":\"chat_history\"");
        if history && let Some(epoch) = after(payload, b"\"epoch\":\"") {
            let end = epoch.iter().position(|b| *b == b'"').unwrap_or(0);
            self.epoch = String::from_utf8_lossy(&epoch[..end]).into_owned();
        }
        // What was said before this member's first coming is none of its deliveries.
        let old = history && self.last.is_none();
        let mut rest = payload;
        while let Some(at) = rest.iter().position(|b| *b == b'#') {
            rest = &rest[at + 1..];
            let Some((number, sent_us, tail)) = parse(rest) else {
                break;
            };
            rest = tail;
            if old {
                self.last = Some(number);
            } else {
                self.message(number, (!history).then_some(sent_us));
            }
        }
        let seq = if history {
            last_after(payload, SEQ)
        } else if head.starts_with(b"{\"type\":\"chat\"") {
            after(&payload[..payload.len().min(CHAT_HEAD)], SEQ).and_then(digits)
        } else {
            None
        };
        self.seq = seq.unwrap_or(self.seq);
    }

    fn message(&mut self, number: u64, sent_us: Option<u64>) {
        let seen = &self.seen;
        match self.last {
            // It was said before this member came, or it had it before it went.
            Some(last) if number <= last => return,
            Some(last) => seen.missing.set(seen.missing.get() + number - last - 1),
            None => {}
        }
        self.last = Some(number);
        seen.deliveries.set(seen.deliveries.get() + 1);
        if let Some(sent_us) = sent_us {
            let took = (seen.began.elapsed().as_micros() as u64).saturating_sub(sent_us);
            seen.latencies_us.borrow_mut().push(took as u32);
        }
        if seen.deliveries.get() >= seen.wanted.get() {
            seen.wanted.set(u64::MAX);
            seen.progress.notify_one();
        }
    }
}

/// Opcode, bytes of the header, bytes of the payload (RFC 6455 5.2; a server does not mask).
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, ..] = *bytes else {
        return None;
    };
    let (head, length) = match second & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        short => (2, usize::from(short)),
    };
    Some((first & 0xf, head, length))
}

/// `number@micros#` and what follows.
fn parse(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let at = bytes.iter().position(|b| *b == b'@')?;
    let end = at + bytes[at..].iter().position(|b| *b == b'#')?;
    Some((
        number(&bytes[..at])?,
        number(&bytes[at + 1..end])?,
        &bytes[end + 1..],
    ))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn digits(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().position(|b| !b.is_ascii_digit())?;
    number(&bytes[..end])
}

fn after<'a>(bytes: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = bytes
        .windows(what.len())
        .position(|window| window == what)?;
    Some(&bytes[at + what.len()..])
}

fn last_after(bytes: &[u8], what: &[u8]) -> Option<u64> {
    let at = bytes
        .windows(what.len())
        .rposition(|window| window == what)?;
    digits(&bytes[at + what.len()..])
}

/// The handshake; what came after it is given too.
pub async fn open(
    source: Ipv4Addr,
    server: SocketAddr,
    path: &str,
) -> Result<(TcpStream, Vec<u8>)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    if stream.try_write(ask.as_bytes())? != ask.len() {
        return Err("a short write".into());
    }
    let mut answer = vec![];
    loop {
        stream.readable().await?;
        let mut piece = [0; 4096];
        match stream.try_read(&mut piece) {
            Ok(0) => return Err("closed in the handshake".into()),
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            if !answer.starts_with(b"HTTP/1.1 101") {
                return Err(String::from_utf8_lossy(&answer).into_owned().into());
            }
            let rest = answer.split_off(at + 4);
            return Ok((stream, rest));
        }
    }
}
