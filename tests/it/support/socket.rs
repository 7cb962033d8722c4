//! A member of a room, whose every frame is kept. It does not know what the frames mean.

use std::{
    collections::VecDeque,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket, client::IntoClientRequest, client::client, protocol::CloseFrame,
};

use super::{Encoder, Key, Server, rest, server::Site};

/// A frame that does not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// All frames of some sockets: whether the server sent it, and the frame.
pub type Tap = Arc<Mutex<Vec<(bool, Value)>>>;

/// One member.
pub struct Socket {
    ws: WebSocket<TcpStream>,
    tap: Tap,
    asked: u64,
    /// Frames that came before an answer that was waited for.
    passed: VecDeque<Value>,
}

impl Socket {
    /// Joins; anonymous with an empty token. `query` begins with `?` unless it is empty.
    #[track_caller]
    pub fn join(site: &Site, uid: &str, token: &str, query: &str, tap: &Tap) -> Self {
        let stream = TcpStream::connect(site.http).unwrap();
        Self::over(stream, site.http, uid, token, query, tap)
    }

    /// Joins with a receive buffer so small that what is not read stays with the server.
    #[track_caller]
    pub fn narrow(site: &Site, uid: &str, tap: &Tap) -> Self {
        let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        raw.set_recv_buffer_size(4096).unwrap();
        raw.connect(&SockAddr::from(site.http)).unwrap();
        Self::over(raw.into(), site.http, uid, "", "", tap)
    }

    #[track_caller]
    fn over(
        stream: TcpStream,
        address: SocketAddr,
        uid: &str,
        token: &str,
        query: &str,
        tap: &Tap,
    ) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{address}/ws/streams/{uid}/{query}");
        let mut request = url.into_client_request().unwrap();
        if !token.is_empty() {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
        }
        let (ws, _) = client(request, stream).expect("the server opens the socket");
        Self {
            ws,
            tap: tap.clone(),
            asked: 0,
            passed: VecDeque::new(),
        }
    }

    /// Sends a frame that is as documented.
    #[track_caller]
    pub fn send(&mut self, frame: &Value) {
        self.tap.lock().unwrap().push((false, frame.clone()));
        self.ws.send(Message::text(frame.to_string())).unwrap();
    }

    /// Sends anything; false when the server does not take it any more.
    pub fn send_raw(&mut self, message: Message) -> bool {
        self.ws.send(message).is_ok()
    }

    /// Bytes past the protocol.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.ws.get_mut().write_all(bytes).unwrap();
    }

    /// The next frame; `Err` is the code and reason of the server's close.
    #[track_caller]
    pub fn frame(&mut self) -> Result<Value, (u16, String)> {
        match self.passed.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read(),
        }
    }

    #[track_caller]
    fn read(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.ws.read() {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    self.tap.lock().unwrap().push((true, frame.clone()));
                    return Ok(frame);
                }
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    return Err((code.into(), reason.to_string()));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Err(Error::ConnectionClosed) => panic!("closed twice"),
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// The data of the next frame of a type that `wanted` likes; others before it are passed over.
    #[track_caller]
    pub fn until(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let frame = self
                .frame()
                .unwrap_or_else(|end| panic!("{end:?}, not {kind}"));
            if frame["type"] == kind && wanted(&frame["data"]) {
                return frame["data"].clone();
            }
        }
        panic!("no {kind}");
    }

    /// The next frame of a type.
    #[track_caller]
    pub fn next(&mut self, kind: &str) -> Value {
        self.until(kind, |_| true)
    }

    /// Sends a frame with a `ref` and gives what it is answered: `ack`'s or `error`'s data. What came
    /// before it is still to be read.
    #[track_caller]
    pub fn ask(&mut self, kind: &str, data: Value) -> Value {
        self.asked += 1;
        let reference = json!(self.asked);
        self.send(&json!({ "type": kind, "data": data, "ref": reference }));
        loop {
            let frame = self
                .read()
                .unwrap_or_else(|end| panic!("{end:?} for {kind}"));
            let answer = frame["type"] == "ack" || frame["type"] == "error";
            if answer && frame["ref"] == reference {
                return frame["data"].clone();
            }
            self.passed.push_back(frame);
        }
    }

    /// [`Socket::ask`], which must be accepted.
    #[track_caller]
    pub fn does(&mut self, kind: &str, data: Value) -> Value {
        let answer = self.ask(kind, data);
        assert_eq!(answer["type"], kind, "{answer}");
        answer
    }

    /// [`Socket::ask`], which must be refused with this code.
    #[track_caller]
    pub fn refused(&mut self, kind: &str, data: Value, code: &str) -> Value {
        let answer = self.ask(kind, data);
        assert_eq!(answer["error_code"], code, "{kind}: {answer}");
        answer
    }

    /// Says something, as soon as the database keeps up with it; its sequence number.
    #[track_caller]
    pub fn says(&mut self, message: &str) -> u64 {
        loop {
            let answer = self.ask("chat", json!({ "message": message }));
            if answer["error_code"] == "queue_full" {
                let wait = answer["retry_after"].as_f64().unwrap();
                std::thread::sleep(Duration::from_secs_f64(wait));
                continue;
            }
            assert_eq!(answer["type"], "chat", "{answer}");
            return answer["seq"].as_u64().unwrap();
        }
    }

    /// Waits for the server's close: code and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Err(end) = self.frame() {
                return end;
            }
        }
        panic!("not closed");
    }
}

/// A new stream of the owner `token` belongs to.
#[track_caller]
pub fn stream(site: &Site, token: &str) -> Key {
    let title = json!({ "title": "t" });
    let (status, made) = rest::call(site.http, token, "POST", "/streams/", &title);
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Key {
        uid: text("uid"),
        key: text("key"),
    }
}

/// A server with the accounts `names`, of whom the first owns a live stream; their tokens in order.
pub struct Live {
    pub stream: Key,
    pub tokens: Vec<String>,
    pub tap: Tap,
    _encoder: Encoder,
    // Last: the encoder goes before its server.
    pub server: Server,
}

impl Live {
    #[track_caller]
    pub fn with(names: &[&str], edit: impl FnOnce(&mut cauce::config::Config)) -> Self {
        let server = Server::with(|config| {
            config.rtmp.idle_timeout = Duration::from_secs(600);
            // Frames come faster here than people write them.
            config.limits.hub_frames_per_s = 1_000_000;
            config.chat.per = Duration::from_millis(1);
            config.chat.burst = 1000;
            edit(config);
        });
        let account = |name: &&str| rest::account(server.http, name);
        let tokens: Vec<_> = names.iter().map(account).collect();
        let stream = stream(&server, &tokens[0]);
        let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
        encoder.send_all(&super::Clip::Plain.tags());
        server.wait_status(&stream, "live", 20);
        Self {
            stream,
            tokens,
            tap: Tap::default(),
            _encoder: encoder,
            server,
        }
    }

    /// A socket of the account number `who`.
    #[track_caller]
    pub fn member(&self, who: usize) -> Socket {
        let token = &self.tokens[who];
        Socket::join(&self.server, &self.stream.uid, token, "", &self.tap)
    }

    /// A socket of nobody.
    #[track_caller]
    pub fn anyone(&self, query: &str) -> Socket {
        Socket::join(&self.server, &self.stream.uid, "", query, &self.tap)
    }
}
