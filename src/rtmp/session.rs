//! One encoder's session as a pure state machine: bytes and time in; replies, actions and the
//! reason for its end out. It does not know sockets, who may publish, or where media goes.

use std::{fmt, time::Duration, time::Instant};

use super::{
    amf0::{self, Value},
    chunk::{self, ChunkError, Reader, Writer},
    command::{self, PublishStatus},
    handshake::{Handshake, HandshakeError},
    message::{Command, Content, Media, Message, event, kind},
};
use segmenter::TagKind;

/// Chunk size of what is sent: every reply fits one chunk.
const REPLY_CHUNK_BYTES: u32 = 4096;
/// Acknowledgement window that is asked of the peer, and its bandwidth, in bytes.
const WINDOW_BYTES: u32 = 2_500_000;
/// Replies beyond this are handed out before more input is taken, so that a flood of commands
/// cannot grow the reply buffer.
const FLUSH_BYTES: usize = 16 * 1024;

/// Caps and times of one session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The chunk layer's.
    pub chunk: chunk::Limits,
    /// The command decoder's.
    pub amf: amf0::Limits,
    /// Message streams open at once.
    pub message_streams: usize,
    /// Bytes taken while not publishing.
    pub preauth_bytes: usize,
    /// From the start to the end of the handshake.
    pub handshake_timeout: Duration,
    /// From the start, or from the end of a publish, to an accepted publish.
    pub publish_timeout: Duration,
    /// Without audio and video while publishing.
    pub idle_timeout: Duration,
}

/// The key that an encoder wants to publish with. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishKey(String);

impl PublishKey {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PublishKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishKey(..)")
    }
}

/// What the caller must do before it offers more input.
#[derive(Debug)]
pub enum Action {
    /// Check the key, then call [`Session::accept`] or [`Session::refuse`]. Until then no input is
    /// taken.
    Publish(PublishKey),
    /// Hand these tags on.
    Media(Media),
    /// The encoder said goodbye; it may publish again.
    Unpublish,
    /// Send [`Session::take_output`].
    Flush,
}

/// Why the session is over. The text is for logs; what the encoder is told is in the output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// See [`HandshakeError`].
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// See [`ChunkError`].
    #[error("{0}")]
    Chunk(#[from] ChunkError),
    /// A command hit an AMF0 cap.
    #[error("{0}")]
    Amf(#[from] amf0::Fault),
    /// [`Limits::handshake_timeout`].
    #[error("the handshake was not finished in time")]
    HandshakeTimeout,
    /// [`Limits::publish_timeout`].
    #[error("no publish was accepted in time")]
    PublishTimeout,
    /// [`Limits::idle_timeout`].
    #[error("no audio or video came for rtmp.idle_timeout")]
    Idle,
    /// [`Limits::preauth_bytes`].
    #[error("more than {0} bytes came before an accepted publish")]
    PreauthBytes(usize),
    /// [`Limits::message_streams`].
    #[error("more than {0} message streams were asked for")]
    TooManyStreams(usize),
    /// `connect` to an app that is none of live, stream, streams. Its name may be a key.
    #[error("the application is unknown: use live")]
    WrongApp,
    /// `publish` or `createStream` before `connect`.
    #[error("{0} came before connect")]
    NotConnected(&'static str),
    /// `play`.
    #[error("playing over RTMP is not offered: viewers use HLS")]
    Play,
    /// [`Session::refuse`] was called.
    #[error("publishing was refused: {0}")]
    Refused(String),
}

impl End {
    /// The value of the metric label `reason`: one word of a fixed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Chunk(_) => "chunk",
            Self::Amf(_) => "amf",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::PublishTimeout => "publish_timeout",
            Self::Idle => "idle",
            Self::PreauthBytes(_) => "preauth_bytes",
            Self::TooManyStreams(_) => "message_streams",
            Self::WrongApp => "app",
            Self::NotConnected(_) => "order",
            Self::Play => "play",
            Self::Refused(_) => "refused",
        }
    }
}

/// What [`Session::input`] did.
#[derive(Debug)]
pub struct Progress {
    /// Bytes taken from the input; what is left is offered again, with more bytes.
    pub consumed: usize,
    /// `None` = all input that can be used was used.
    pub action: Option<Action>,
}

enum Phase {
    Handshake(Handshake),
    /// Not publishing, since the instant.
    Waiting(Instant),
    /// A publish on this message stream is being decided; not publishing since the instant.
    Asking(u32, Instant),
    /// Publishing on this message stream; the instant of the last media.
    Publishing(u32, Instant),
}

/// The server's side of one RTMP connection.
pub struct Session {
    limits: Limits,
    started: Instant,
    phase: Phase,
    reader: Reader,
    writer: Writer,
    connected: bool,
    /// A key in the app path, used when `publish` names none.
    app_key: Option<String>,
    streams: Vec<u32>,
    preauth_left: usize,
    /// Bytes since the handshake, and when the last acknowledgement left.
    received_bytes: u64,
    acknowledged_bytes: u64,
    /// The peer's acknowledgement window; 0 until it asks for one.
    window_bytes: u32,
}

impl Session {
    /// A session accepted at `now`; `seed` fills the handshake.
    pub fn new(now: Instant, seed: u64, limits: Limits) -> Self {
        Self {
            limits,
            started: now,
            phase: Phase::Handshake(Handshake::new(seed)),
            reader: Reader::new(limits.chunk),
            writer: Writer::new(),
            connected: false,
            app_key: None,
            streams: vec![],
            preauth_left: limits.preauth_bytes,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: 0,
        }
    }

    /// Takes bytes that came at `now` until there is something to do.
    ///
    /// # Errors
    /// The session is over: send the output, then close. A publisher is told why.
    pub fn input(&mut self, now: Instant, bytes: &[u8]) -> Result<Progress, End> {
        let progress = self.advance(now, bytes);
        if let Err(end) = &progress
            && self.is_publishing()
        {
            self.refuse(PublishStatus::Rejected, &end.to_string());
        }
        progress
    }

    fn advance(&mut self, now: Instant, bytes: &[u8]) -> Result<Progress, End> {
        let mut consumed = 0;
        let action = loop {
            let rest = self.within_budget(&bytes[consumed..])?;
            let budget_ends = consumed + rest.len() < bytes.len();
            let message = match &mut self.phase {
                Phase::Asking(..) => break None,
                Phase::Handshake(handshake) => {
                    let progress = handshake.input(rest, self.writer.raw())?;
                    consumed += progress.consumed;
                    self.spend(progress.consumed);
                    if progress.done {
                        self.phase = Phase::Waiting(self.started);
                        continue;
                    }
                    None
                }
                Phase::Waiting(_) | Phase::Publishing(..) => {
                    let progress = self.reader.read(rest)?;
                    consumed += progress.consumed;
                    self.spend(progress.consumed);
                    self.acknowledge(progress.consumed);
                    progress.message
                }
            };
            let Some(message) = message else {
                if budget_ends {
                    return Err(End::PreauthBytes(self.limits.preauth_bytes));
                }
                break None;
            };
            let action = self.message(now, message)?;
            if action.is_some() {
                break action;
            }
            if self.writer.pending_bytes() >= FLUSH_BYTES {
                break Some(Action::Flush);
            }
        };
        Ok(Progress { consumed, action })
    }

    /// Takes the replies that wait to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.writer.take()
    }

    /// When [`Session::overdue`] is to be asked next.
    pub fn deadline(&self) -> Instant {
        match &self.phase {
            Phase::Handshake(_) => self.started + self.limits.handshake_timeout,
            Phase::Waiting(since) | Phase::Asking(_, since) => *since + self.limits.publish_timeout,
            Phase::Publishing(_, last_media) => *last_media + self.limits.idle_timeout,
        }
    }

    /// The end that time brought, if it did. An idle publisher is told.
    pub fn overdue(&mut self, now: Instant) -> Option<End> {
        if now < self.deadline() {
            return None;
        }
        Some(match self.phase {
            Phase::Handshake(_) => End::HandshakeTimeout,
            Phase::Waiting(_) | Phase::Asking(..) => End::PublishTimeout,
            Phase::Publishing(..) => {
                self.refuse(PublishStatus::Rejected, &End::Idle.to_string());
                End::Idle
            }
        })
    }

    /// Bytes until an acknowledgement is due. An encoder may send no more before it has come.
    pub fn unacknowledged_most(&self) -> usize {
        let since = self.received_bytes - self.acknowledged_bytes;
        match u64::from(self.window_bytes) {
            0 => usize::MAX,
            window => usize::try_from(window.saturating_sub(since)).unwrap_or(usize::MAX),
        }
    }

    /// Whether a publish was accepted and is not over.
    pub fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Publishing(..))
    }

    /// The answer to [`Action::Publish`]: go ahead.
    pub fn accept(&mut self, now: Instant) {
        if let Phase::Asking(id, _) = self.phase {
            self.phase = Phase::Publishing(id, now);
            let begin = [&event::STREAM_BEGIN.to_be_bytes()[..], &id.to_be_bytes()].concat();
            self.writer.message(2, kind::USER_CONTROL, 0, &begin);
            let info = command::info("status", "NetStream.Publish.Start", "publishing");
            command::on_status(&mut self.writer, id, info);
        }
    }

    /// Tells the encoder why it may not publish, or no longer: the answer to [`Action::Publish`],
    /// or the end of a running publish. Send the output, then close.
    pub fn refuse(&mut self, status: PublishStatus, text: &str) -> End {
        let (Phase::Asking(id, _) | Phase::Publishing(id, _)) = self.phase else {
            return End::Refused(text.into());
        };
        let info = command::info("error", status.code(), text);
        command::on_status(&mut self.writer, id, info);
        End::Refused(text.into())
    }

    fn within_budget<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], End> {
        if self.is_publishing() || bytes.is_empty() {
            return Ok(bytes);
        }
        match self.preauth_left {
            0 => Err(End::PreauthBytes(self.limits.preauth_bytes)),
            left => Ok(&bytes[..left.min(bytes.len())]),
        }
    }

    fn spend(&mut self, bytes: usize) {
        if !self.is_publishing() {
            self.preauth_left -= bytes;
        }
    }

    /// Acknowledges once a window is full. The sequence number wraps at 4 GiB (media rule 27).
    fn acknowledge(&mut self, bytes: usize) {
        self.received_bytes += bytes as u64;
        let since = self.received_bytes - self.acknowledged_bytes;
        if self.window_bytes > 0 && since >= u64::from(self.window_bytes) {
            self.acknowledged_bytes = self.received_bytes;
            let sequence = (self.received_bytes as u32).to_be_bytes();
            self.writer.message(2, kind::ACKNOWLEDGEMENT, 0, &sequence);
        }
    }

    fn message(&mut self, now: Instant, message: Message) -> Result<Option<Action>, End> {
        let stream_id = message.stream_id;
        match message.content(self.limits.amf) {
            Content::Media(media) => Ok(self.media(now, media)),
            Content::Command(command) => self.command(now, stream_id, &command),
            Content::WindowAckSize(bytes) => {
                self.window_bytes = bytes;
                Ok(None)
            }
            Content::PingRequest(echo) => {
                let pong = [&event::PING_RESPONSE.to_be_bytes()[..], &echo].concat();
                self.writer.message(2, kind::USER_CONTROL, 0, &pong);
                Ok(None)
            }
            Content::Ignored => Ok(None),
        }
    }

    /// Media counts whatever message stream it names: only one publish runs, and encoders exist
    /// that name another. Before the publish it is dropped, at the cost of the byte budget.
    fn media(&mut self, now: Instant, media: Media) -> Option<Action> {
        let Phase::Publishing(_, last_media) = &mut self.phase else {
            return None;
        };
        if !matches!(&media, Media::Single(tag) if tag.kind == TagKind::Script) {
            *last_media = now;
        }
        Some(Action::Media(media))
    }

    fn command(
        &mut self,
        now: Instant,
        stream_id: u32,
        command: &Command,
    ) -> Result<Option<Action>, End> {
        if let Some(fault) = command.values.fault.filter(|fault| fault.is_cap()) {
            return Err(End::Amf(fault));
        }
        match command.name.as_str() {
            "connect" => self.connect(command)?,
            "createStream" => self.create_stream(command)?,
            "publish" => return self.publish(stream_id, command),
            "play" | "play2" => {
                let info = command::info("error", "NetStream.Play.Failed", &End::Play.to_string());
                command::on_status(&mut self.writer, stream_id, info);
                return Err(End::Play);
            }
            "deleteStream" => {
                let id = command.argument(0).and_then(Value::as_number);
                let id = id.map_or(stream_id, |id| id as u32);
                self.streams.retain(|&open| open != id);
                return Ok(self.unpublish(now, Some(id)));
            }
            "closeStream" => return Ok(self.unpublish(now, Some(stream_id))),
            "FCUnpublish" => {
                command::done(&mut self.writer, command);
                return Ok(self.unpublish(now, None));
            }
            "releaseStream" | "FCPublish" | "_checkbw" | "checkBandwidth" => {
                command::done(&mut self.writer, command);
            }
            name => {
                // Results of calls that were never made, and notices, want no answer.
                if !name.starts_with('_') && !name.starts_with("on") {
                    command::call_failed(&mut self.writer, command, "unknown command");
                }
            }
        }
        Ok(None)
    }

    fn connect(&mut self, command: &Command) -> Result<(), End> {
        let object = command.values.values.first();
        let Some(target) = object.and_then(command::Target::of_connect) else {
            command::error(
                &mut self.writer,
                command,
                "NetConnection.Connect.Rejected",
                "InvalidApp: publish to /live, /stream or /streams",
            );
            return Err(End::WrongApp);
        };
        self.app_key = target.key;
        self.connected = true;
        let window = WINDOW_BYTES.to_be_bytes();
        self.writer.message(2, kind::WINDOW_ACK_SIZE, 0, &window);
        // Limit type 2 = dynamic (RTMP 1.0 section 5.4.5).
        let bandwidth = [&window[..], &[2]].concat();
        self.writer
            .message(2, kind::SET_PEER_BANDWIDTH, 0, &bandwidth);
        self.writer.set_chunk_size(REPLY_CHUNK_BYTES);
        command::connected(&mut self.writer, command);
        Ok(())
    }

    fn create_stream(&mut self, command: &Command) -> Result<(), End> {
        if !self.connected {
            return Err(End::NotConnected("createStream"));
        }
        if self.streams.len() >= self.limits.message_streams {
            let end = End::TooManyStreams(self.limits.message_streams);
            command::call_failed(&mut self.writer, command, &end.to_string());
            return Err(end);
        }
        let id = (1..)
            .find(|id| !self.streams.contains(id))
            .expect("fewer streams are open than u32 has numbers");
        self.streams.push(id);
        command::result(&mut self.writer, command, Value::Number(f64::from(id)));
        Ok(())
    }

    fn publish(&mut self, stream_id: u32, command: &Command) -> Result<Option<Action>, End> {
        if !self.connected {
            return Err(End::NotConnected("publish"));
        }
        let Phase::Waiting(since) = self.phase else {
            let info = command::info(
                "error",
                PublishStatus::BadName.code(),
                "this connection publishes already",
            );
            command::on_status(&mut self.writer, stream_id, info);
            return Ok(None);
        };
        let name = command.argument(0).and_then(Value::as_str).unwrap_or("");
        let key = command::last_segment(name).map(str::to_owned);
        // An empty key is asked about too: the refusal is the authority's.
        let key = key.or_else(|| self.app_key.clone()).unwrap_or_default();
        self.phase = Phase::Asking(stream_id, since);
        Ok(Some(Action::Publish(PublishKey(key))))
    }

    /// Ends the publish if it runs on message stream `id`; `None` = whichever runs.
    fn unpublish(&mut self, now: Instant, id: Option<u32>) -> Option<Action> {
        let Phase::Publishing(publishing, _) = self.phase else {
            return None;
        };
        if id.is_some_and(|id| id != publishing) {
            return None;
        }
        self.phase = Phase::Waiting(now);
        self.preauth_left = self.limits.preauth_bytes;
        let info = command::info("status", "NetStream.Unpublish.Success", "unpublished");
        command::on_status(&mut self.writer, publishing, info);
        Some(Action::Unpublish)
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
