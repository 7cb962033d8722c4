//! A small publishing client over rml_rtmp, for `cauce demo`, tests and benches: an implementation
//! that we did not write, on the other end of the wire. The only file that names rml_rtmp outside
//! tests; it does not know where its tags come from.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    handshake::{Handshake, HandshakeProcessResult, PeerType},
    messages::{MessagePayload, PeerBandwidthLimitType, RtmpMessage, UserControlEventType},
    rml_amf0::Amf0Value,
    time::RtmpTimestamp,
};
use segmenter::{Tag, TagKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::error::{Error, Kind, Result};

/// From the first packet to an accepted publish.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long [`ClientPublisher::finish`] waits for the server to close.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Chunk size that is announced and used, in bytes.
const CHUNK_BYTES: u32 = 65_536;
/// Room for one read, in bytes: servers say little.
const READ_BYTES: usize = 4096;

/// Publishes to `rtmp://addr/app` with `key`; returns once the server accepted.
///
/// # Errors
/// [`Kind::Conflict`] with the server's own words when it refuses, [`Kind::Unavailable`] when it
/// cannot be reached or is not understood.
pub async fn publish(addr: SocketAddr, app: &str, key: &str) -> Result<ClientPublisher> {
    timeout(CONNECT_TIMEOUT, ClientPublisher::open(addr, app, key))
        .await
        .unwrap_or_else(|_| Err(unavailable("the RTMP server did not answer in time", None)))
}

/// A connection that publishes.
pub struct ClientPublisher {
    socket: TcpStream,
    serializer: ChunkSerializer,
    deserializer: ChunkDeserializer,
    stream_id: u32,
    key: String,
    /// What waits to be written.
    output: BytesMut,
    received_bytes: u32,
    acknowledged_bytes: u32,
    window_bytes: u32,
}

/// What the server said that the caller may wait for.
enum Heard {
    /// `_result` of a transaction, with its last argument.
    Result(f64, Option<Amf0Value>),
    /// `onStatus` of level "status", with its code.
    Status(String),
}

impl ClientPublisher {
    async fn open(addr: SocketAddr, app: &str, key: &str) -> Result<Self> {
        let socket = TcpStream::connect(addr).await.map_err(|error| {
            Error::with(
                Kind::Unavailable,
                format!("cannot connect to {addr}"),
                error,
            )
        })?;
        // Not serious: only latency is lost.
        let _ = socket.set_nodelay(true);
        let mut client = Self {
            socket,
            serializer: ChunkSerializer::new(),
            deserializer: ChunkDeserializer::new(),
            stream_id: 0,
            key: key.to_owned(),
            output: BytesMut::new(),
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: 0,
        };
        let early = client.shake_hands().await?;
        client.hear(&early)?;
        client.connect(addr, app).await?;
        client.request_publish().await?;
        Ok(client)
    }

    /// Sends one tag; its timestamp goes on the wire as it is. Waits while the socket is full.
    ///
    /// # Errors
    /// [`Kind::Conflict`] with the server's words once it put this publisher out,
    /// [`Kind::Unavailable`] when the connection is lost.
    pub async fn send(&mut self, tag: &Tag) -> Result<()> {
        let (type_id, data) = match tag.kind {
            TagKind::Audio => (8, tag.payload.clone()),
            TagKind::Video => (9, tag.payload.clone()),
            TagKind::Script => (18, set_data_frame(&tag.payload)),
        };
        self.queue(&MessagePayload {
            timestamp: RtmpTimestamp::new(tag.timestamp_ms),
            type_id,
            message_stream_id: self.stream_id,
            data,
        })?;
        self.write_out().await
    }

    /// Listens until the server ends the connection, and says why it did: what a publisher that
    /// has nothing to send waits for. Errors are as those of [`ClientPublisher::send`].
    pub async fn ended(&mut self) -> Error {
        loop {
            match self.read_some().await {
                Ok(0) => return unavailable("the server closed the connection", None),
                Ok(_) => {}
                Err(error) => return error,
            }
            if let Err(error) = self.write_out().await {
                return error;
            }
        }
    }

    /// Says goodbye and waits until the server closed the connection.
    ///
    /// # Errors
    /// As [`ClientPublisher::send`].
    pub async fn finish(mut self) -> Result<()> {
        let (stream_id, key) = (self.stream_id, self.key.clone());
        self.command("FCUnpublish", 6.0, vec![Amf0Value::Utf8String(key)], 0)?;
        let id = Amf0Value::Number(f64::from(stream_id));
        self.command("deleteStream", 7.0, vec![id], 0)?;
        self.write_out().await?;
        // A server that closed first is no failure here.
        let _ = self.socket.shutdown().await;
        let closed = async {
            loop {
                match self.read_some().await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind == Kind::Conflict => return Err(error),
                    Err(_) => return Ok(()),
                }
            }
        };
        timeout(FINISH_TIMEOUT, closed).await.unwrap_or(Ok(()))
    }

    /// Returns what came after the handshake.
    async fn shake_hands(&mut self) -> Result<Vec<u8>> {
        let failed = |error| unavailable("RTMP handshake", Some(error));
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake
            .generate_outbound_p0_and_p1()
            .map_err(|e| failed(e.into()))?;
        self.output.extend_from_slice(&hello);
        let mut bytes = [0; READ_BYTES];
        loop {
            self.socket
                .write_all_buf(&mut self.output)
                .await
                .map_err(|e| failed(e.into()))?;
            let len = self.socket.read(&mut bytes).await;
            let len = len.map_err(|e| failed(e.into()))?;
            if len == 0 {
                return Err(unavailable("the server closed during the handshake", None));
            }
            match handshake.process_bytes(&bytes[..len]) {
                Ok(HandshakeProcessResult::InProgress { response_bytes }) => {
                    self.output.extend_from_slice(&response_bytes);
                }
                Ok(HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                }) => {
                    self.output.extend_from_slice(&response_bytes);
                    return Ok(remaining_bytes);
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    async fn connect(&mut self, addr: SocketAddr, app: &str) -> Result<()> {
        let text = |text: &str| Amf0Value::Utf8String(text.to_owned());
        let object = HashMap::from([
            ("app".to_owned(), text(app)),
            ("type".to_owned(), text("nonprivate")),
            ("flashVer".to_owned(), text("FMLE/3.0 (compatible; cauce)")),
            ("tcUrl".to_owned(), text(&format!("rtmp://{addr}/{app}"))),
        ]);
        let message = RtmpMessage::Amf0Command {
            command_name: "connect".into(),
            transaction_id: 1.0,
            command_object: Amf0Value::Object(object),
            additional_arguments: vec![],
        };
        self.queue_message(message, 0)?;
        self.wait_for(|heard| matches!(heard, Heard::Result(1.0, _)))
            .await?;
        let packet = self
            .serializer
            .set_max_chunk_size(CHUNK_BYTES, RtmpTimestamp::new(0))
            .map_err(|error| unavailable("RTMP chunk size", Some(error.into())))?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }

    async fn request_publish(&mut self) -> Result<()> {
        let key = Amf0Value::Utf8String(self.key.clone());
        self.command("releaseStream", 2.0, vec![key.clone()], 0)?;
        self.command("FCPublish", 3.0, vec![key.clone()], 0)?;
        self.command("createStream", 4.0, vec![], 0)?;
        let heard = self
            .wait_for(|heard| matches!(heard, Heard::Result(4.0, _)))
            .await?;
        let Heard::Result(_, Some(Amf0Value::Number(id))) = heard else {
            return Err(unavailable(
                "createStream was answered without a number",
                None,
            ));
        };
        self.stream_id = id as u32;
        let live = Amf0Value::Utf8String("live".into());
        self.command("publish", 5.0, vec![key, live], self.stream_id)?;
        self.wait_for(|heard| matches!(heard, Heard::Status(c) if c == "NetStream.Publish.Start"))
            .await?;
        Ok(())
    }

    fn command(
        &mut self,
        name: &str,
        transaction_id: f64,
        additional_arguments: Vec<Amf0Value>,
        stream_id: u32,
    ) -> Result<()> {
        let message = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id,
            command_object: Amf0Value::Null,
            additional_arguments,
        };
        self.queue_message(message, stream_id)
    }

    fn queue_message(&mut self, message: RtmpMessage, stream_id: u32) -> Result<()> {
        let payload = message
            .into_message_payload(RtmpTimestamp::new(0), stream_id)
            .map_err(|error| unavailable("RTMP message", Some(error.into())))?;
        self.queue(&payload)
    }

    fn queue(&mut self, payload: &MessagePayload) -> Result<()> {
        let packet = self
            .serializer
            .serialize(payload, false, false)
            .map_err(|error| unavailable("RTMP chunk", Some(error.into())))?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }

    /// Writes the output while listening, so that neither side waits for the other's full buffer.
    async fn write_out(&mut self) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        while !self.output.is_empty() {
            let (mut reader, mut writer) = self.socket.split();
            let read = tokio::select! {
                biased;
                read = reader.read(&mut bytes) => read,
                written = writer.write_buf(&mut self.output) => match written {
                    Ok(_) => continue,
                    // The reason may wait to be read.
                    Err(_) => reader.read(&mut bytes).await,
                },
            };
            match read {
                Ok(len) if len > 0 => drop(self.hear(&bytes[..len])?),
                Ok(_) => return Err(unavailable("the server closed the connection", None)),
                Err(error) => return Err(unavailable("RTMP connection", Some(error.into()))),
            }
        }
        Ok(())
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Heard) -> bool) -> Result<Heard> {
        self.write_out().await?;
        let mut bytes = [0; READ_BYTES];
        loop {
            let len = self.read_into(&mut bytes).await?;
            if len == 0 {
                return Err(unavailable("the server closed the connection", None));
            }
            let heard = self.hear(&bytes[..len])?;
            if let Some(found) = heard.into_iter().find(&wanted) {
                return Ok(found);
            }
        }
    }

    async fn read_some(&mut self) -> Result<usize> {
        let mut bytes = [0; READ_BYTES];
        let len = self.read_into(&mut bytes).await?;
        self.hear(&bytes[..len])?;
        Ok(len)
    }

    async fn read_into(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let read = self.socket.read(bytes).await;
        read.map_err(|error| unavailable("RTMP connection", Some(error.into())))
    }

    /// Takes bytes from the server: answers pings, acknowledges, collects results.
    fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Heard>> {
        self.received_bytes = self.received_bytes.wrapping_add(bytes.len() as u32);
        let mut heard = vec![];
        let mut input = bytes;
        loop {
            let read = self.deserializer.get_next_message(input);
            input = &[];
            let read = read.map_err(|error| unavailable("RTMP chunk", Some(error.into())))?;
            let Some(payload) = read else { break };
            let message = payload
                .to_rtmp_message()
                .map_err(|error| unavailable("RTMP message", Some(error.into())))?;
            heard.extend(self.message(message)?);
        }
        let unacknowledged = self.received_bytes.wrapping_sub(self.acknowledged_bytes);
        if self.window_bytes > 0 && unacknowledged >= self.window_bytes {
            self.acknowledged_bytes = self.received_bytes;
            let sequence_number = self.received_bytes;
            self.queue_message(RtmpMessage::Acknowledgement { sequence_number }, 0)?;
        }
        Ok(heard)
    }

    fn message(&mut self, message: RtmpMessage) -> Result<Option<Heard>> {
        match message {
            RtmpMessage::SetChunkSize { size } => {
                self.deserializer
                    .set_max_chunk_size(size as usize)
                    .map_err(|error| unavailable("RTMP chunk size", Some(error.into())))?;
            }
            RtmpMessage::WindowAcknowledgement { size } => self.window_bytes = size,
            RtmpMessage::SetPeerBandwidth {
                size,
                limit_type: PeerBandwidthLimitType::Hard | PeerBandwidthLimitType::Dynamic,
            } => self.queue_message(RtmpMessage::WindowAcknowledgement { size }, 0)?,
            RtmpMessage::UserControl {
                event_type: UserControlEventType::PingRequest,
                timestamp,
                ..
            } => {
                let pong = RtmpMessage::UserControl {
                    event_type: UserControlEventType::PingResponse,
                    stream_id: None,
                    buffer_length: None,
                    timestamp,
                };
                self.queue_message(pong, 0)?;
            }
            RtmpMessage::Amf0Command {
                command_name,
                transaction_id,
                mut additional_arguments,
                ..
            } => {
                return command_heard(&command_name, transaction_id, additional_arguments.pop());
            }
            _ => {}
        }
        Ok(None)
    }
}

/// An error or an `onStatus` of level "error" is the server's refusal.
fn command_heard(name: &str, transaction: f64, last: Option<Amf0Value>) -> Result<Option<Heard>> {
    let text = |name: &str| match &last {
        Some(Amf0Value::Object(properties)) => match properties.get(name) {
            Some(Amf0Value::Utf8String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let refused = || {
        let context = format!(
            "the server refused ({}): {}",
            text("code"),
            text("description")
        );
        Err(Error::new(Kind::Conflict, context))
    };
    match name {
        "_error" => refused(),
        "onStatus" if text("level") == "error" => refused(),
        "onStatus" => Ok(Some(Heard::Status(text("code")))),
        "_result" => Ok(Some(Heard::Result(transaction, last))),
        _ => Ok(None),
    }
}

/// `@setDataFrame` and the script data of an FLV file.
fn set_data_frame(script: &[u8]) -> Bytes {
    const PREFIX: &[u8] = b"\x02\x00\x0d@setDataFrame";
    let mut data = BytesMut::with_capacity(PREFIX.len() + script.len());
    data.put_slice(PREFIX);
    data.put_slice(script);
    data.freeze()
}

fn unavailable(context: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let context = context.to_owned();
    Error {
        kind: Kind::Unavailable,
        context,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::{
        amf0, chunk,
        command::PublishStatus,
        session::{Action, Limits, Session},
    };
    use std::time::Instant;
    use tokio::net::TcpListener;

    const LIMITS: Limits = Limits {
        chunk: chunk::Limits {
            chunk_streams: 64,
            message_bytes: 8 << 20,
            partial_bytes: 12 << 20,
        },
        amf: amf0::Limits {
            depth: 16,
            values: 1024,
        },
        message_streams: 8,
        preauth_bytes: 256 << 10,
        handshake_timeout: Duration::from_secs(5),
        publish_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(10),
    };

    /// Serves one connection: welcomes any key, collects tags until the encoder ends, or puts it
    /// out after `tags_max` of them.
    async fn serve_one(listener: TcpListener, tags_max: usize) -> Vec<Tag> {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut session = Session::new(Instant::now(), 1, LIMITS);
        let (mut input, mut tags) = (BytesMut::new(), vec![]);
        loop {
            loop {
                let progress = session.input(Instant::now(), &input).unwrap();
                let _ = input.split_to(progress.consumed);
                match progress.action {
                    None => break,
                    Some(Action::Publish(_)) => session.accept(Instant::now()),
                    Some(Action::Media(media)) => tags.extend(media),
                    Some(Action::Unpublish | Action::Flush) => {}
                }
            }
            let put_out = tags.len() >= tags_max;
            if put_out {
                session.refuse(PublishStatus::Rejected, "enough");
            }
            socket.write_all(&session.take_output()).await.unwrap();
            if put_out || socket.read_buf(&mut input).await.unwrap() == 0 {
                break;
            }
        }
        socket.shutdown().await.unwrap();
        // Whatever is still on its way, so that closing does not reset the connection.
        while socket.read_buf(&mut input).await.is_ok_and(|len| len > 0) {
            input.clear();
        }
        tags
    }

    async fn server(tags_max: usize) -> (SocketAddr, tokio::task::JoinHandle<Vec<Tag>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, tokio::spawn(serve_one(listener, tags_max)))
    }

    fn tag(kind: TagKind, timestamp_ms: u32, payload: Vec<u8>) -> Tag {
        Tag {
            kind,
            timestamp_ms,
            payload: payload.into(),
        }
    }

    #[tokio::test]
    async fn tags_arrive_as_they_were_sent() {
        let (address, server) = server(usize::MAX).await;
        let mut client = publish(address, "live", "k").await.unwrap();
        let mut sent = vec![tag(
            TagKind::Script,
            0,
            b"\x02\x00\x0aonMetaData\x05".to_vec(),
        )];
        // Across the edge of extended timestamps, and longer than a chunk.
        for n in 0..200u32 {
            let at = 0xff_ffff - 100 + n;
            sent.push(tag(TagKind::Video, at, vec![n as u8; 1 + n as usize * 700]));
            sent.push(tag(TagKind::Audio, at, vec![0xaf; 1 + n as usize % 3]));
        }
        for tag in &sent {
            client.send(tag).await.unwrap();
        }
        client.finish().await.unwrap();
        let seen = server.await.unwrap();
        let plain = |tags: &[Tag]| -> Vec<_> {
            tags.iter()
                .map(|t| (t.kind, t.timestamp_ms, t.payload.clone()))
                .collect()
        };
        assert_eq!(plain(&seen), plain(&sent));
    }

    #[tokio::test]
    async fn a_publisher_that_is_put_out_hears_why() {
        let (address, _server) = server(3).await;
        let mut client = publish(address, "live", "k").await.unwrap();
        let error = loop {
            let video = tag(TagKind::Video, 0, vec![0x17; 100_000]);
            if let Err(error) = client.send(&video).await {
                break error;
            }
        };
        assert_eq!(error.kind, Kind::Conflict);
        assert!(error.to_string().contains("enough"), "{error}");
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = publish(address, "live", "k").await.err().unwrap();
        assert_eq!(error.kind, Kind::Unavailable);
    }
}
