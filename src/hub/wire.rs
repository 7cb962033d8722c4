//! The frames' outside: the envelope `{"type", "data", "ref"}`, error codes and close codes. It does
//! not know what any frame means: each feature parses and writes its own `data`.

mod fault;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::effects::{Ack, Refusal};

/// An encoded frame; clones share its bytes.
pub type Frame = Utf8Bytes;

/// Longest `ref` that is echoed, bytes.
const REF_BYTES_MAX: usize = 256;

/// Why a frame was refused, as `error_code` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Writing needs a login; or a token is no token.
    AuthRequired,
    /// The token's time is over.
    TokenExpired,
    /// The role does not allow it.
    Forbidden,
    /// Banned from this channel.
    Banned,
    /// Silenced for a time.
    TimedOut,
    /// Too many in a short time.
    RateLimited,
    /// The room is in slow mode.
    SlowMode,
    /// More characters than allowed.
    TooLong,
    /// Contains a word that is not allowed.
    BlockedWord,
    /// The same was there already.
    Duplicate,
    /// Not understood.
    BadMessage,
    /// The stream is not live.
    NotLive,
    /// No room for more.
    QueueFull,
    /// Names nothing that exists.
    NotFound,
}

/// Close codes: 4000-4499 ask to come back with backoff, 4500-4999 not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Close {
    /// The server restarts; the reason is the seconds to wait.
    Restarting = 1012,
    /// A limit of the room or the server.
    Overloaded = 1013,
    /// The member takes its frames too slowly.
    TooSlow = 4008,
    /// Two pings went without an answer.
    NoPong = 4012,
    /// The login token was revoked.
    Revoked = 4501,
    /// Banned from this channel or account.
    Banned = 4503,
    /// More sockets of one user or address than allowed.
    TooMany = 4504,
    /// The stream has ended.
    Ended = 4510,
}

/// What every client frame has around its data.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// `type`.
    pub kind: String,
    /// `data`; `{}` when it is left out.
    pub data: Option<&'a RawValue>,
    /// `ref`, echoed as it came.
    pub reference: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: T,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct AckData<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    error_code: ErrorCode,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
}

impl<'a> Envelope<'a> {
    /// Reads a text frame.
    ///
    /// # Errors
    /// `bad_message`: no JSON object with a `type`. With the `ref`, where there is one to echo.
    pub fn parse(text: &'a str) -> Result<Self, (Refusal, Option<&'a RawValue>)> {
        let shapeless = || bad("A frame is one JSON object {\"type\": ..., \"data\": {...}}.");
        let raw: RawEnvelope<'a> = serde_json::from_str(text).map_err(|_| (shapeless(), None))?;
        if raw.reference.is_some_and(|r| r.get().len() > REF_BYTES_MAX) {
            return Err((bad("The ref is too long."), None));
        }
        let kind = raw.kind.map(|kind| serde_json::from_str(kind.get()));
        let Some(Ok(kind)) = kind else {
            return Err((shapeless(), raw.reference));
        };
        Ok(Self {
            kind,
            data: raw.data,
            reference: raw.reference,
        })
    }

    /// The data as a type of its feature.
    ///
    /// # Errors
    /// `bad_message`, naming the field.
    pub fn data<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        data(self.data)
    }
}

/// Reads a frame's `data`; one that was left out is `{}`. Unknown fields are ignored.
///
/// # Errors
/// `bad_message`, naming the field.
pub fn data<'a, T: Deserialize<'a>>(data: Option<&'a RawValue>) -> Result<T, Refusal> {
    let text = data.map_or("{}", RawValue::get);
    // Serde would take a list for an object with these values.
    if !text.starts_with('{') {
        return Err(bad("The data must be an object."));
    }
    serde_json::from_str(text)
        .map_err(|error| Refusal::new(ErrorCode::BadMessage, fault::words(text, &error)))
}

fn bad(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

/// Encodes an event, once for all who get it.
pub fn encode(kind: &str, data: &impl Serialize) -> Frame {
    outgoing(kind, data, None)
}

/// What a frame with a `ref` is answered once it was accepted.
pub fn ack(kind: &str, ack: Ack, reference: &RawValue) -> Frame {
    let data = AckData {
        kind,
        id: ack.id,
        seq: ack.seq,
    };
    outgoing("ack", &data, Some(reference))
}

/// What a frame is answered that was not accepted.
pub fn error(refusal: &Refusal, reference: Option<&RawValue>) -> Frame {
    let data = ErrorData {
        error_code: refusal.code,
        message: &refusal.message,
        retry_after: refusal.retry_after_s.map(|s| (s * 1000.0).ceil() / 1000.0),
    };
    outgoing("error", &data, reference)
}

/// [`encode`], with the client's `ref`.
pub fn outgoing(kind: &str, data: &impl Serialize, reference: Option<&RawValue>) -> Frame {
    let frame = Outgoing {
        kind,
        data,
        reference,
    };
    serde_json::to_string(&frame)
        .expect("frames are structs and lists of plain values")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_a_good_type_is_refused_by_its_ref() {
        for (frame, reference) in [
            (r#"{"type":5,"ref":"r"}"#, Some("\"r\"")),
            (r#"{"ref":7,"data":{}}"#, Some("7")),
            (r#"{"type":null}"#, None),
            ("[1]", None),
            ("nonsense", None),
        ] {
            let (refusal, told) = Envelope::parse(frame).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::BadMessage);
            assert_eq!(told.map(RawValue::get), reference, "{frame}");
        }
        let long = format!(r#"{{"type":"chat","ref":"{}"}}"#, "x".repeat(REF_BYTES_MAX));
        assert!(Envelope::parse(&long).unwrap_err().1.is_none());
    }
}
