//! FLV: one media tag as RTMP and FLV files carry it, how a file of them is written, and (in
//! [`Reader`]) how it is read. It does not know what is inside a payload.

use bytes::Bytes;

mod fault;
mod reader;

pub use fault::{Fault, FlvError, Part};
pub use reader::{Reader, Tolerated};

/// The largest DataSize that a tag can have: 24 bits.
pub const MAX_DATA_BYTES: usize = 0xFF_FFFF;

const FILE_HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;

/// What a tag carries (FLV tag types 8, 9 and 18; RTMP message types the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Type 8.
    Audio,
    /// Type 9.
    Video,
    /// Type 18: AMF0 data such as onMetaData.
    Script,
}

impl TagKind {
    fn from_code(code: u8) -> Option<Self> {
        match code {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }
}

/// One RTMP media message or FLV tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// What `payload` is.
    pub kind: TagKind,
    /// The wire's 32-bit millisecond counter, which wraps (media rule 1).
    pub timestamp_ms: u32,
    /// The tag body: VIDEODATA or AUDIODATA as in FLV 10.1 E.4.
    pub payload: Bytes,
}

/// Appends the 9-byte file header and the PreviousTagSize that stands before the first tag
/// (FLV 10.1 E.2).
pub fn write_header(out: &mut Vec<u8>, has_audio: bool, has_video: bool) {
    let tracks = u8::from(has_audio) << 2 | u8::from(has_video);
    out.extend_from_slice(b"FLV\x01");
    out.push(tracks);
    out.extend_from_slice(&(FILE_HEADER_BYTES as u32).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// Appends one tag and its PreviousTagSize (FLV 10.1 E.4.1).
///
/// # Errors
/// [`Fault::TooLarge`] at the offset in `out`, which stays as it was, when the payload is longer
/// than [`MAX_DATA_BYTES`].
pub fn write_tag(out: &mut Vec<u8>, tag: &Tag) -> Result<(), FlvError> {
    let size = tag.payload.len();
    if size > MAX_DATA_BYTES {
        let what = Fault::TooLarge {
            claimed: size,
            limit: MAX_DATA_BYTES,
        };
        let offset = out.len() as u64;
        return Err(FlvError { offset, what });
    }
    let [_, s2, s1, s0] = (size as u32).to_be_bytes();
    let [t3, t2, t1, t0] = tag.timestamp_ms.to_be_bytes();
    out.extend_from_slice(&[tag.kind.code(), s2, s1, s0, t2, t1, t0, t3, 0, 0, 0]);
    out.extend_from_slice(&tag.payload);
    out.extend_from_slice(&((size + TAG_HEADER_BYTES) as u32).to_be_bytes());
    Ok(())
}
