//! The chunk layer (RTMP 1.0 section 5.3): bytes to whole messages under caps, and replies to
//! chunks. It does not know what messages mean, except the two that change the layer itself: Set
//! Chunk Size and Abort.

use bytes::BytesMut;

use super::message::{Message, kind};

/// Chunk size before anybody changed it (section 5.4.1).
const DEFAULT_CHUNK_BYTES: usize = 128;
/// Timestamps of this value are followed by 32 more bits (section 5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;
/// Payloads are cut out of blocks of this length, so that a message costs no allocation of its own; longer
/// ones than half of it have one. A half-received message may hold its block: at most so much for each
/// of [`Limits::chunk_streams`].
const BLOCK_BYTES: usize = 32 * 1024;
/// Largest header: 3 bytes basic, 11 bytes message header, 4 bytes extended timestamp.
pub const MAX_HEADER_BYTES: usize = 18;

/// Caps on one connection's chunk layer (media rule 28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chunk streams that may be opened.
    pub chunk_streams: usize,
    /// Length of one message in bytes.
    pub message_bytes: usize,
    /// Announced lengths of all half-received messages together, in bytes.
    pub partial_bytes: usize,
}

/// Why the byte stream cannot be read on; all are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// [`Limits::chunk_streams`].
    #[error("more than {0} chunk streams")]
    TooManyStreams(usize),
    /// [`Limits::message_bytes`].
    #[error("a message of {len} bytes is longer than the limit of {limit}")]
    MessageTooLong {
        /// Its announced length.
        len: usize,
        /// The limit in force.
        limit: usize,
    },
    /// [`Limits::partial_bytes`].
    #[error("half-received messages add up to more than {0} bytes")]
    TooMuchPartial(usize),
    /// A type 2 or 3 chunk on a chunk stream that has no earlier header to inherit from.
    #[error("chunk stream {0} continues a message that never began")]
    NothingToContinue(u32),
    /// Set Chunk Size of 0 or above 2^31 - 1.
    #[error("chunk size {0} is not allowed")]
    BadChunkSize(u32),
}

/// What [`Reader::read`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// A whole message; `None` = everything that could be used was consumed. What is left over is
    /// part of a header: fewer than [`MAX_HEADER_BYTES`] bytes, to be offered again with more.
    pub message: Option<Message>,
}

/// Reassembles messages.
///
/// A message's payload has room for its announced length from its first chunk on, and is copied once, from
/// the input straight into it. Announced lengths count against [`Limits::partial_bytes`] from the first
/// chunk on, so the address space of liars is bounded; large allocations that are never written
/// to cost no resident memory.
pub struct Reader {
    limits: Limits,
    chunk_bytes: usize,
    streams: Vec<Stream>,
    /// The chunk whose payload is being received: index into `streams`, bytes to come.
    current: Option<(usize, usize)>,
    partial_bytes: usize,
    /// What is left of the newest block; nothing is written in it.
    block: BytesMut,
}

/// One chunk stream: the last header, and the message under way.
struct Stream {
    id: u32,
    timestamp_ms: u32,
    /// The last timestamp field: absolute after type 0, else the delta.
    field: u32,
    extended: bool,
    len: usize,
    kind: u8,
    stream_id: u32,
    /// `Some` from a message's first chunk to its last; `capacity` is `len`.
    partial: Option<BytesMut>,
}

/// A parsed chunk header, not yet applied.
struct Header {
    format: u8,
    id: u32,
    /// Bytes of the basic and message header.
    bytes: usize,
}

impl Reader {
    /// A reader at the start of the chunk stream, right after the handshake.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            streams: vec![],
            current: None,
            partial_bytes: 0,
            block: BytesMut::new(),
        }
    }

    /// Announced lengths of the messages under way, in bytes: at most [`Limits::partial_bytes`].
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Takes bytes until a message is whole or the input is used up.
    ///
    /// # Errors
    /// A [`ChunkError`] is terminal: where the next chunk begins is no longer known.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, ChunkError> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let Some((index, left)) = self.current else {
                match self.begin_chunk(rest)? {
                    Some(header_bytes) => consumed += header_bytes,
                    None => break,
                }
                continue;
            };
            let taken = left.min(rest.len());
            let stream = &mut self.streams[index];
            if let Some(partial) = &mut stream.partial {
                partial.extend_from_slice(&rest[..taken]);
            }
            consumed += taken;
            if taken < left {
                self.current = Some((index, left - taken));
                break;
            }
            self.current = None;
            if let Some(message) = self.finish_message(index)? {
                return Ok(Progress {
                    consumed,
                    message: Some(message),
                });
            }
        }
        Ok(Progress {
            consumed,
            message: None,
        })
    }

    /// Reads one chunk header and prepares for its payload. `None` = more bytes are needed.
    fn begin_chunk(&mut self, input: &[u8]) -> Result<Option<usize>, ChunkError> {
        let Some(header) = parse_header(input) else {
            return Ok(None);
        };
        let found = self.streams.iter().position(|s| s.id == header.id);
        if found.is_none() {
            // Type 1 opens a stream too: librtmp pings that way.
            if header.format > 1 {
                return Err(ChunkError::NothingToContinue(header.id));
            }
            if self.streams.len() >= self.limits.chunk_streams {
                return Err(ChunkError::TooManyStreams(self.limits.chunk_streams));
            }
        }
        let (field, len) = read_fields(&header, input);
        if let Some(len) = len
            && len > self.limits.message_bytes
        {
            let limit = self.limits.message_bytes;
            return Err(ChunkError::MessageTooLong { len, limit });
        }
        let previous = found.map(|index| &self.streams[index]);
        let extra = &input[header.bytes..];
        let Some(timestamp) = extended_timestamp(field, previous, extra) else {
            return Ok(None);
        };
        let index = found.unwrap_or_else(|| {
            self.streams.push(Stream::new(header.id));
            self.streams.len() - 1
        });
        self.apply(index, &header, &timestamp, input)?;
        Ok(Some(header.bytes + timestamp.extra_bytes))
    }

    /// Updates the chunk stream's header, begins a message if none is under way.
    fn apply(
        &mut self,
        index: usize,
        header: &Header,
        timestamp: &Timestamp,
        input: &[u8],
    ) -> Result<(), ChunkError> {
        let stream = &mut self.streams[index];
        if header.format < 3 {
            // A new header in mid-message: the peer gave the old message up.
            if stream.partial.take().is_some() {
                self.partial_bytes -= stream.len;
            }
            stream.field = timestamp.field;
            stream.extended = timestamp.extended;
        }
        let message_header = &input[header.bytes - message_header_bytes(header.format)..];
        if header.format < 2 {
            stream.len = be24(&message_header[3..]) as usize;
            stream.kind = message_header[6];
        }
        if header.format == 0 {
            let id = &message_header[7..11];
            stream.stream_id = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
        }
        if stream.partial.is_none() {
            stream.timestamp_ms = match header.format {
                0 => stream.field,
                // After type 0 a type 3 repeats its timestamp as the delta (section 5.3.1.2.4).
                _ => stream.timestamp_ms.wrapping_add(stream.field),
            };
            let partial_bytes = self.partial_bytes + stream.len;
            if partial_bytes > self.limits.partial_bytes {
                return Err(ChunkError::TooMuchPartial(self.limits.partial_bytes));
            }
            self.partial_bytes = partial_bytes;
            stream.partial = Some(room(&mut self.block, stream.len));
        }
        let received = stream.partial.as_ref().map_or(0, BytesMut::len);
        let left = (stream.len - received).min(self.chunk_bytes);
        self.current = Some((index, left));
        Ok(())
    }

    /// Hands out the message of stream `index` if it is whole and not the layer's own.
    fn finish_message(&mut self, index: usize) -> Result<Option<Message>, ChunkError> {
        let stream = &mut self.streams[index];
        let Some(payload) = stream.partial.take_if(|p| p.len() == stream.len) else {
            return Ok(None);
        };
        self.partial_bytes -= stream.len;
        let message = Message {
            kind: stream.kind,
            stream_id: stream.stream_id,
            timestamp_ms: stream.timestamp_ms,
            payload: payload.freeze(),
        };
        let argument = message
            .payload
            .first_chunk()
            .copied()
            .map(u32::from_be_bytes);
        match (message.kind, argument) {
            (kind::SET_CHUNK_SIZE, Some(size)) => {
                if size == 0 || size > i32::MAX as u32 {
                    return Err(ChunkError::BadChunkSize(size));
                }
                self.chunk_bytes = size as usize;
                Ok(None)
            }
            (kind::ABORT, Some(id)) => {
                self.abort(id);
                Ok(None)
            }
            (kind::SET_CHUNK_SIZE | kind::ABORT, None) => Ok(None),
            _ => Ok(Some(message)),
        }
    }

    fn abort(&mut self, id: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|s| s.id == id)
            && stream.partial.take().is_some()
        {
            self.partial_bytes -= stream.len;
        }
    }
}

impl Stream {
    fn new(id: u32) -> Self {
        Self {
            id,
            timestamp_ms: 0,
            field: 0,
            extended: false,
            len: 0,
            kind: 0,
            stream_id: 0,
            partial: None,
        }
    }
}

/// Room for a payload of `len` bytes, out of `block` if it is short.
fn room(block: &mut BytesMut, len: usize) -> BytesMut {
    if len > BLOCK_BYTES / 2 {
        return BytesMut::with_capacity(len);
    }
    if block.capacity() < len {
        // The same block again if no message of it is left.
        block.reserve(BLOCK_BYTES);
    }
    let rest = block.split_off(len);
    std::mem::replace(block, rest)
}

/// Basic header (section 5.3.1.1) and the length of the message header after it.
fn parse_header(input: &[u8]) -> Option<Header> {
    let first = *input.first()?;
    let (id, basic_bytes) = match first & 0x3f {
        0 => (64 + u32::from(*input.get(1)?), 2),
        1 => (
            64 + u32::from(*input.get(1)?) + 256 * u32::from(*input.get(2)?),
            3,
        ),
        id => (u32::from(id), 1),
    };
    let format = first >> 6;
    let bytes = basic_bytes + message_header_bytes(format);
    (input.len() >= bytes).then_some(Header { format, id, bytes })
}

fn message_header_bytes(format: u8) -> usize {
    match format {
        0 => 11,
        1 => 7,
        2 => 3,
        _ => 0,
    }
}

/// Timestamp field and message length, as far as this format has them.
fn read_fields(header: &Header, input: &[u8]) -> (Option<u32>, Option<usize>) {
    let fields = &input[header.bytes - message_header_bytes(header.format)..header.bytes];
    let field = (header.format < 3).then(|| be24(fields));
    let len = (header.format < 2).then(|| be24(&fields[3..]) as usize);
    (field, len)
}

/// A timestamp field with its extension.
struct Timestamp {
    field: u32,
    extended: bool,
    /// Bytes that the extension took.
    extra_bytes: usize,
}

/// Resolves the extended timestamp; `None` = more bytes are needed.
///
/// Types 0 to 2 carry it when their field says so, a delta in types 1 and 2. Type 3 chunks of such
/// a chunk stream should repeat it, and encoders exist that do not (srs#4356): four bytes equal to
/// the last value are taken for the repetition, anything else for payload.
fn extended_timestamp(
    field: Option<u32>,
    previous: Option<&Stream>,
    extra: &[u8],
) -> Option<Timestamp> {
    match field {
        Some(EXTENDED) => extra.first_chunk().map(|&value| Timestamp {
            field: u32::from_be_bytes(value),
            extended: true,
            extra_bytes: 4,
        }),
        Some(field) => Some(Timestamp {
            field,
            extended: false,
            extra_bytes: 0,
        }),
        None => {
            let (field, extended) = previous.map_or((0, false), |s| (s.field, s.extended));
            let expected = field.to_be_bytes();
            let seen = &extra[..extra.len().min(4)];
            let repeats = extended && expected.starts_with(seen);
            if repeats && seen.len() < 4 {
                return None;
            }
            Some(Timestamp {
                field,
                extended,
                extra_bytes: if repeats { 4 } else { 0 },
            })
        }
    }
}

fn be24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

/// Writes messages as chunks into one buffer, so that small replies leave in one write.
pub struct Writer {
    chunk_bytes: usize,
    out: Vec<u8>,
}

impl Writer {
    /// A writer at the start of the chunk stream.
    pub fn new() -> Self {
        Self {
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            out: vec![],
        }
    }

    /// Bytes written and not yet taken.
    pub fn pending_bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes what was written.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The buffer itself, for what precedes chunks: the handshake.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Announces and uses larger chunks.
    pub fn set_chunk_size(&mut self, chunk_bytes: u32) {
        self.message(2, kind::SET_CHUNK_SIZE, 0, &chunk_bytes.to_be_bytes());
        self.chunk_bytes = chunk_bytes as usize;
    }

    /// One message at time 0 on chunk stream `id` (2 to 63), with a full header: replies are rare,
    /// and some clients misread compressed ones.
    pub fn message(&mut self, id: u8, kind: u8, stream_id: u32, payload: &[u8]) {
        debug_assert!((2..64).contains(&id) && payload.len() < EXTENDED as usize);
        self.out.push(id);
        self.out.extend_from_slice(&[0, 0, 0]);
        self.out
            .extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.out.push(kind);
        self.out.extend_from_slice(&stream_id.to_le_bytes());
        for (index, piece) in payload.chunks(self.chunk_bytes).enumerate() {
            if index > 0 {
                self.out.push(0xc0 | id);
            }
            self.out.extend_from_slice(piece);
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
