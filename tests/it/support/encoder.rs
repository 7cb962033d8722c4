//! A publisher made of rml_rtmp's handshake, chunks and messages, so that the server is spoken to by
//! code that we did not write, and one step at a time. It does not know FLV files or segments.

use std::{
    collections::HashMap,
    io::{Cursor, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    handshake::{Handshake, HandshakeProcessResult, PeerType},
    messages::{MessagePayload, RtmpMessage},
    rml_amf0::{self, Amf0Value},
    time::RtmpTimestamp,
};
use segmenter::{Tag, TagKind};

/// What the server said in an `onStatus` (or `_error`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub level: String,
    pub code: String,
    pub description: String,
}

/// A connection to the server's RTMP port.
pub struct Encoder {
    socket: TcpStream,
    out: ChunkSerializer,
    incoming: ChunkDeserializer,
    /// Every onStatus so far.
    pub statuses: Vec<Status>,
    closed: bool,
    results: Vec<f64>,
}

impl Encoder {
    /// Connects and shakes hands.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server shakes hands")
    }

    /// Connects and shakes hands; `None` when the server does not.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let mut socket = TcpStream::connect(address).ok()?;
        socket.set_nodelay(true).ok()?;
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        socket
            .set_write_timeout(Some(Duration::from_secs(60)))
            .ok()?;
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake.generate_outbound_p0_and_p1().ok()?;
        socket.write_all(&hello).ok()?;
        let mut buffer = [0; 4096];
        loop {
            let n = socket.read(&mut buffer).ok().filter(|n| *n > 0)?;
            match handshake.process_bytes(&buffer[..n]).ok()? {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    socket.write_all(&response_bytes).ok()?;
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    socket.write_all(&response_bytes).ok()?;
                    assert!(remaining_bytes.is_empty(), "nothing was asked yet");
                    break;
                }
            }
        }
        Some(Self {
            socket,
            out: ChunkSerializer::new(),
            incoming: ChunkDeserializer::new(),
            statuses: vec![],
            closed: false,
            results: vec![],
        })
    }

    /// Publishes as encoders do.
    ///
    /// # Errors
    /// What the server refused with; empty when it only closed the connection.
    pub fn publish(address: SocketAddr, app: &str, key: &str) -> Result<Self, Status> {
        let mut encoder = Self::connect(address);
        encoder.ask(app, key);
        encoder.wait_started()?;
        Ok(encoder)
    }

    /// Sends connect, createStream and publish without waiting for their answers.
    pub fn ask(&mut self, app: &str, key: &str) {
        let address = self
            .socket
            .peer_addr()
            .map_or_else(|_| String::new(), |a| a.to_string());
        let text = |s: &str| Amf0Value::Utf8String(s.to_owned());
        let mut object = HashMap::new();
        object.insert("app".to_owned(), text(app));
        object.insert("type".to_owned(), text("nonprivate"));
        object.insert("tcUrl".to_owned(), text(&format!("rtmp://{address}/{app}")));
        self.command("connect", 1.0, Amf0Value::Object(object), vec![], 0);
        self.chunk_size(65_536);
        self.command("releaseStream", 2.0, Amf0Value::Null, vec![text(key)], 0);
        self.command("FCPublish", 3.0, Amf0Value::Null, vec![text(key)], 0);
        self.command("createStream", 4.0, Amf0Value::Null, vec![], 0);
        self.command(
            "publish",
            5.0,
            Amf0Value::Null,
            vec![text(key), text("live")],
            1,
        );
    }

    /// Waits for `NetStream.Publish.Start`.
    ///
    /// # Errors
    /// The refusal.
    pub fn wait_started(&mut self) -> Result<(), Status> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.closed && Instant::now() < deadline {
            self.read(Duration::from_millis(50));
            if self
                .statuses
                .iter()
                .any(|s| s.code == "NetStream.Publish.Start")
            {
                return Ok(());
            }
        }
        Err(self.refusal())
    }

    /// The last onStatus of level error, or an empty one.
    pub fn refusal(&self) -> Status {
        self.statuses
            .iter()
            .rfind(|s| s.level == "error")
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until the server closes the connection, and gives its last words.
    #[track_caller]
    pub fn wait_closed(&mut self, seconds: u64) -> Status {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !self.closed {
            assert!(
                Instant::now() < deadline,
                "still open; it said {:?}",
                self.statuses
            );
            self.read(Duration::from_millis(50));
        }
        self.refusal()
    }

    /// Did the server close? Reads what has arrived, without waiting.
    pub fn closed(&mut self) -> bool {
        self.read(Duration::from_millis(1));
        self.closed
    }

    /// Sends one media tag; false when the server has closed.
    pub fn send(&mut self, tag: &Tag) -> bool {
        let type_id = match tag.kind {
            TagKind::Audio => 8,
            TagKind::Video => 9,
            TagKind::Script => 18,
        };
        let sent = self.message(type_id, tag.timestamp_ms, 1, tag.payload.clone());
        if !sent {
            self.closed();
        }
        sent
    }

    /// Sends all tags as fast as the server takes them; stops early when it closes.
    pub fn send_all(&mut self, tags: &[Tag]) {
        for (n, tag) in tags.iter().enumerate() {
            if !self.send(tag) || (n % 64 == 0 && self.closed()) {
                return;
            }
        }
    }

    /// Says goodbye as encoders do and waits for the server to have read it.
    pub fn finish(mut self) {
        let key = Amf0Value::Number(1.0);
        self.command("deleteStream", 6.0, Amf0Value::Null, vec![key], 0);
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.closed && Instant::now() < deadline {
            self.read(Duration::from_millis(50));
        }
    }

    /// Sends an AMF0 command on a message stream.
    pub fn command(
        &mut self,
        name: &str,
        transaction_id: f64,
        command_object: Amf0Value,
        additional_arguments: Vec<Amf0Value>,
        message_stream_id: u32,
    ) -> bool {
        let message = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id,
            command_object,
            additional_arguments,
        };
        let payload =
            MessagePayload::from_rtmp_message(message, RtmpTimestamp::new(0), message_stream_id);
        self.packet(&payload.unwrap())
    }

    /// Sends any message.
    pub fn message(&mut self, type_id: u8, time_ms: u32, stream_id: u32, data: Bytes) -> bool {
        self.packet(&MessagePayload {
            timestamp: RtmpTimestamp::new(time_ms),
            type_id,
            message_stream_id: stream_id,
            data,
        })
    }

    /// Sends bytes as they are; false when the server has closed.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Transaction ids answered by `_result` so far.
    pub fn results(&mut self) -> &[f64] {
        self.read(Duration::from_millis(50));
        &self.results
    }

    fn chunk_size(&mut self, size: u32) {
        let packet = self
            .out
            .set_max_chunk_size(size, RtmpTimestamp::new(0))
            .unwrap();
        self.raw(&packet.bytes);
    }

    fn packet(&mut self, payload: &MessagePayload) -> bool {
        let packet = self.out.serialize(payload, false, false).unwrap();
        self.raw(&packet.bytes)
    }

    fn read(&mut self, wait: Duration) {
        let mut buffer = [0; 8192];
        self.socket.set_read_timeout(Some(wait)).unwrap();
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(n) => self.take(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while let Some(message) = self.incoming.get_next_message(bytes).unwrap() {
            bytes = &[];
            match (message.type_id, &message.data[..]) {
                (1, &[a, b, c, d]) => {
                    let size = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.incoming.set_max_chunk_size(size).unwrap();
                }
                // Read as plain values: rml_rtmp's own reading panics on commands of one or two.
                (20, data) => self.hear(&rml_amf0::deserialize(&mut Cursor::new(data)).unwrap()),
                _ => {}
            }
        }
    }

    fn hear(&mut self, command: &[Amf0Value]) {
        match command {
            [Amf0Value::Utf8String(name), rest @ ..] if name == "onStatus" || name == "_error" => {
                self.statuses.extend(rest.iter().filter_map(status));
            }
            [
                Amf0Value::Utf8String(name),
                Amf0Value::Number(transaction),
                ..,
            ] if name == "_result" => {
                self.results.push(*transaction);
            }
            _ => {}
        }
    }
}

fn status(value: &Amf0Value) -> Option<Status> {
    let Amf0Value::Object(fields) = value else {
        return None;
    };
    let text = |name: &str| match fields.get(name) {
        Some(Amf0Value::Utf8String(text)) => text.clone(),
        _ => String::new(),
    };
    Some(Status {
        level: text("level"),
        code: text("code"),
        description: text("description"),
    })
}
