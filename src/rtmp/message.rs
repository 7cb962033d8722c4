//! RTMP messages as they leave the chunk layer, and what each type's payload says. It does not
//! know sessions: what a message means there is `session`'s.

use bytes::Bytes;
use segmenter::{Tag, TagKind};

use super::amf0::{self, Decoded};

/// Message type ids (RTMP 1.0 sections 5.4, 6.2 and 7.1).
pub mod kind {
    #![allow(missing_docs)]
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA_AMF0: u8 = 18;
    pub const COMMAND_AMF0: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// User control events (RTMP 1.0 section 7.1.7).
pub mod event {
    #![allow(missing_docs)]
    pub const STREAM_BEGIN: u16 = 0;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Message stream id.
    pub stream_id: u32,
    /// Absolute time in ms, 32 bits, wrapping.
    pub timestamp_ms: u32,
    /// The body.
    pub payload: Bytes,
}

/// A message's content, as far as a server needs it.
#[derive(Clone, Debug)]
pub enum Content {
    /// The peer wants an acknowledgement each time so many bytes came.
    WindowAckSize(u32),
    /// The peer wants this echoed.
    PingRequest(Bytes),
    /// A command.
    Command(Command),
    /// Audio, video or data; several when the message was an aggregate.
    Media(Media),
    /// Nothing that a server acts on, or too short to read.
    Ignored,
}

/// An AMF0 command: name, transaction, command object, arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name, such as `connect`.
    pub name: String,
    /// What the answer must carry; 0 wants none.
    pub transaction: f64,
    /// The command object (or null) and the arguments, as far as they could be decoded.
    pub values: Decoded,
}

impl Command {
    /// Argument `index`, not counting the command object.
    pub fn argument(&self, index: usize) -> Option<&amf0::Value> {
        self.values.values.get(index + 1)
    }
}

/// The tags of one message, in order.
#[derive(Clone, Debug)]
pub enum Media {
    /// One tag.
    Single(Tag),
    /// The rest of an aggregate message.
    Aggregate(Aggregate),
}

impl Iterator for Media {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        match self {
            Self::Aggregate(rest) => rest.next(),
            Self::Single(_) => {
                let Self::Single(tag) = std::mem::replace(self, Self::Aggregate(Aggregate::EMPTY))
                else {
                    return None;
                };
                Some(tag)
            }
        }
    }
}

/// An aggregate message (RTMP 1.0 section 7.1.6): FLV tags with their back pointers.
#[derive(Clone, Debug)]
pub struct Aggregate {
    rest: Bytes,
    timestamp_ms: u32,
    /// Time of the first tag: the others are relative to it.
    first_ms: Option<u32>,
}

impl Aggregate {
    const EMPTY: Self = Self {
        rest: Bytes::new(),
        timestamp_ms: 0,
        first_ms: None,
    };
    /// FLV 10.1 E.4.1: type, 24-bit size, 24+8-bit time, 24-bit stream id.
    const HEADER_BYTES: usize = 11;
}

impl Iterator for Aggregate {
    type Item = Tag;

    /// The next tag; ends at the first that is truncated or of an unknown type.
    fn next(&mut self) -> Option<Tag> {
        let head = self.rest.get(..Self::HEADER_BYTES)?;
        let size = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let time_ms = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        let kind = tag_kind(head[0])?;
        if self.rest.len() - Self::HEADER_BYTES < size {
            return None;
        }
        let mut body = self.rest.split_off(Self::HEADER_BYTES);
        self.rest = body.split_off(size);
        // The back pointer; the last one may be missing.
        let _ = self.rest.split_to(self.rest.len().min(4));
        let first = *self.first_ms.get_or_insert(time_ms);
        Some(Tag {
            kind,
            timestamp_ms: self.timestamp_ms.wrapping_add(time_ms.wrapping_sub(first)),
            payload: body,
        })
    }
}

impl Message {
    /// Reads the payload.
    pub fn content(self, limits: amf0::Limits) -> Content {
        match self.kind {
            kind::WINDOW_ACK_SIZE => match self.payload.first_chunk() {
                Some(&size) => Content::WindowAckSize(u32::from_be_bytes(size)),
                None => Content::Ignored,
            },
            kind::USER_CONTROL => match self.payload.first_chunk() {
                Some(&code) if u16::from_be_bytes(code) == event::PING_REQUEST => {
                    let echoed = self.payload.len().min(6);
                    Content::PingRequest(self.payload.slice(2..echoed))
                }
                _ => Content::Ignored,
            },
            kind::COMMAND_AMF0 => command(&self.payload, limits),
            // AMF3 commands are AMF0 behind one byte unless that byte says otherwise.
            kind::COMMAND_AMF3 if self.payload.first() == Some(&0) => {
                command(&self.payload[1..], limits)
            }
            kind::AUDIO => self.into_media(TagKind::Audio),
            kind::VIDEO => self.into_media(TagKind::Video),
            kind::DATA_AMF0 => self.into_script(0),
            kind::DATA_AMF3 if self.payload.first() == Some(&0) => self.into_script(1),
            kind::AGGREGATE => Content::Media(Media::Aggregate(Aggregate {
                rest: self.payload,
                timestamp_ms: self.timestamp_ms,
                first_ms: None,
            })),
            _ => Content::Ignored,
        }
    }

    fn into_media(self, kind: TagKind) -> Content {
        Content::Media(Media::Single(Tag {
            kind,
            timestamp_ms: self.timestamp_ms,
            payload: self.payload,
        }))
    }

    /// A data message from byte `skip` on, without the `@setDataFrame` that asks to keep it: what
    /// is left is what an FLV file holds. The rest is not decoded here.
    fn into_script(mut self, skip: usize) -> Content {
        const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
        let mut body = self.payload.split_off(skip);
        if body.starts_with(SET_DATA_FRAME) {
            body = body.split_off(SET_DATA_FRAME.len());
        }
        Content::Media(Media::Single(Tag {
            kind: TagKind::Script,
            timestamp_ms: self.timestamp_ms,
            payload: body,
        }))
    }
}

fn tag_kind(id: u8) -> Option<TagKind> {
    match id {
        kind::AUDIO => Some(TagKind::Audio),
        kind::VIDEO => Some(TagKind::Video),
        kind::DATA_AMF0 => Some(TagKind::Script),
        _ => None,
    }
}

fn command(body: &[u8], limits: amf0::Limits) -> Content {
    let mut decoded = amf0::decode(body, limits);
    let mut values = std::mem::take(&mut decoded.values).into_iter();
    let Some(amf0::Value::String(name)) = values.next() else {
        return match decoded.fault {
            Some(fault) if fault.is_cap() => Content::Command(Command {
                name: String::new(),
                transaction: 0.0,
                values: decoded,
            }),
            _ => Content::Ignored,
        };
    };
    let transaction = match values.next() {
        Some(amf0::Value::Number(number)) => number,
        _ => 0.0,
    };
    decoded.values = values.collect();
    Content::Command(Command {
        name,
        transaction,
        values: decoded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: amf0::Limits = amf0::Limits {
        depth: 16,
        values: 1024,
    };

    fn message(kind: u8, payload: &[u8]) -> Message {
        Message {
            kind,
            stream_id: 1,
            timestamp_ms: 1000,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn tags(message: Message) -> Vec<Tag> {
        match message.content(LIMITS) {
            Content::Media(media) => media.collect(),
            other => panic!("not media: {other:?}"),
        }
    }

    #[test]
    fn short_control_messages_are_ignored() {
        for kind in 0..=255 {
            for len in 0..4 {
                let content = message(kind, &[0; 4][..len]).content(LIMITS);
                assert!(!matches!(content, Content::WindowAckSize(_)));
            }
        }
        let ping = message(kind::USER_CONTROL, &[0, 6]);
        assert!(matches!(ping.content(LIMITS), Content::PingRequest(b) if b.is_empty()));
    }

    #[test]
    fn set_data_frame_is_taken_off_and_a_lone_one_is_harmless() {
        let body = b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09";
        let got = tags(message(kind::DATA_AMF0, body));
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].kind, TagKind::Script);
        assert!(got[0].payload.starts_with(b"\x02\x00\x0aonMetaData\x08"));
        let amf3 = [&[0][..], body].concat();
        assert_eq!(
            tags(message(kind::DATA_AMF3, &amf3))[0].payload,
            got[0].payload
        );
        assert!(
            tags(message(kind::DATA_AMF0, &body[..16]))[0]
                .payload
                .is_empty()
        );
    }

    #[test]
    fn aggregates_are_split_with_times_relative_to_the_first() {
        let tag = |kind: u8, ms: u32, body: &[u8]| {
            let (size, time) = ((body.len() as u32).to_be_bytes(), ms.to_be_bytes());
            let mut out = vec![kind];
            out.extend_from_slice(&size[1..]);
            out.extend_from_slice(&time[1..]);
            out.push(time[0]);
            out.extend_from_slice(&[0, 0, 0]);
            out.extend_from_slice(body);
            out.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
            out
        };
        let body = [tag(9, 500, b"abc"), tag(8, 523, b"d"), tag(18, 523, b"")].concat();
        let got = tags(message(kind::AGGREGATE, &body));
        let seen: Vec<_> = got
            .iter()
            .map(|t| (t.kind, t.timestamp_ms, &t.payload[..]))
            .collect();
        assert_eq!(
            seen,
            [
                (TagKind::Video, 1000, &b"abc"[..]),
                (TagKind::Audio, 1023, b"d"),
                (TagKind::Script, 1023, b"")
            ]
        );
        for cut in 0..body.len() {
            assert!(tags(message(kind::AGGREGATE, &body[..cut])).len() <= 3);
        }
    }

    #[test]
    fn commands_keep_what_could_be_decoded() {
        let body = b"\x02\x00\x07publish\x00\x40\x10\0\0\0\0\0\0\x05\x02\x00\x01k\x7fjunk";
        let Content::Command(command) = message(kind::COMMAND_AMF0, body).content(LIMITS) else {
            panic!("a command")
        };
        assert_eq!(
            (command.name.as_str(), command.transaction),
            ("publish", 4.0)
        );
        assert_eq!(command.argument(0), Some(&amf0::Value::String("k".into())));
        assert_eq!(command.argument(1), None);
    }
}
