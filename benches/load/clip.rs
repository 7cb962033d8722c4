//! An FLV file as RTMP messages that are ready to be sent but for their time. It does not know sockets.

use std::{fs, time::Duration};

use bytes::Bytes;
use segmenter::{
    TagKind,
    flv::{MAX_DATA_BYTES, Reader},
};

use crate::Result;

/// What OBS Studio and librtmp send.
pub const CHUNK_BYTES: usize = 4096;

/// One message in chunks.
#[derive(Clone)]
pub struct Message {
    /// From the clip's beginning.
    pub at_ms: u32,
    pub is_key_frame: bool,
    /// With a full header, whose time is to be written.
    pub bytes: Vec<u8>,
}

/// Sequence headers, and the media that is repeated behind them.
#[derive(Clone)]
pub struct Clip {
    pub headers: Vec<Message>,
    pub media: Vec<Message>,
    /// From the beginning to that of the next repeat.
    pub length_ms: u32,
    pub gop: Duration,
}

impl Clip {
    pub fn open(path: &str) -> Result<Self> {
        let mut reader = Reader::new(MAX_DATA_BYTES);
        reader.feed(Bytes::from(fs::read(path)?));
        let (mut headers, mut media, mut pictures, mut keys) = (vec![], vec![], vec![], vec![]);
        while let Some(tag) = reader.next_tag()? {
            let payload = &tag.payload;
            let at_ms = tag.timestamp_ms;
            let is_video = match tag.kind {
                TagKind::Video => true,
                TagKind::Audio => false,
                TagKind::Script => continue,
            };
            // FLV E.4.2 and E.4.3: packet type 0 is a sequence header, frame type 1 a key frame.
            let is_header = payload.get(1) == Some(&0);
            let is_key = is_video && payload.starts_with(&[0x17, 1]);
            if is_video && payload.get(1) == Some(&2) {
                continue;
            }
            let message = Message {
                at_ms,
                is_key_frame: is_key,
                bytes: chunks(is_video, payload),
            };
            if is_header {
                headers.push(message);
                continue;
            }
            if is_video {
                pictures.push(at_ms);
            }
            if is_key {
                keys.push(at_ms);
            }
            media.push(message);
        }
        let [.., before, last] = pictures[..] else {
            return Err("the clip has no pictures".into());
        };
        let length_ms = last + (last - before).max(33);
        let length_ms = length_ms.div_ceil(100) * 100;
        media.retain(|message| message.at_ms < length_ms);
        let gop_ms = keys.get(1).copied().unwrap_or(length_ms);
        Ok(Self {
            headers,
            media,
            length_ms,
            gop: Duration::from_millis(gop_ms.into()),
        })
    }
}

/// A message on stream 1 with a full header (RTMP 1.0 section 5.3.1.2.1), time 0.
fn chunks(is_video: bool, payload: &[u8]) -> Vec<u8> {
    let (chunk_stream, kind) = if is_video { (6, 9) } else { (4, 8) };
    message(chunk_stream, kind, 1, payload, CHUNK_BYTES)
}

/// Any message in chunks of `chunk_bytes`.
pub fn message(
    chunk_stream: u8,
    kind: u8,
    stream: u32,
    payload: &[u8],
    chunk_bytes: usize,
) -> Vec<u8> {
    let mut out = vec![chunk_stream, 0, 0, 0];
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend_from_slice(&stream.to_le_bytes());
    for (n, chunk) in payload.chunks(chunk_bytes).enumerate() {
        if n > 0 {
            out.push(0xc0 | chunk_stream);
        }
        out.extend_from_slice(chunk);
    }
    out
}
