//! FLV: one media tag as RTMP and FLV files carry it, and an incremental reader of FLV files.
//! It does not know what is inside a payload.

use bytes::Bytes;

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
