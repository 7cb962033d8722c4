//! The frames of voice: what clients send, read once, and what they are sent. It does not know who
//! may call whom.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::hub::{
    effects::Refusal,
    turn::IceServer,
    wire::{self, ErrorCode, Frame, encode},
};

/// What a member asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `voice_request`
    Request,
    /// `voice_cancel`
    Cancel,
    /// `voice_invite`: a username
    Invite(String),
    /// `voice_accept`: a call
    Accept(String),
    /// `voice_deny`: a call
    Deny(String),
    /// `voice_hangup`: a call
    HangUp(String),
    /// `voice_mute`
    Mute {
        /// Whose microphone.
        call: String,
        /// Off, or on again.
        muted: bool,
    },
    /// `voice_signal`
    Signal {
        /// Which call.
        call: String,
        /// Which peer.
        to: String,
        /// What it is told.
        payload: Payload,
    },
}

/// What one browser tells the other, and nothing else: other fields are not passed on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// RTCSessionDescriptionInit
    Description(Description),
    /// RTCIceCandidateInit; `None` is the end of candidates.
    Candidate(Option<Candidate>),
}

/// RTCSessionDescriptionInit
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    sdp: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Offer,
    Answer,
    Pranswer,
    Rollback,
}

/// RTCIceCandidateInit
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    #[serde(default)]
    candidate: String,
    #[serde(default)]
    sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    sdp_m_line_index: Option<u16>,
    #[serde(default)]
    username_fragment: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    call: String,
}

#[derive(Deserialize)]
struct Invite {
    user: String,
}

#[derive(Deserialize)]
struct Mute {
    call: String,
    muted: bool,
}

#[derive(Deserialize)]
struct Signal {
    call: String,
    to: String,
    description: Option<Description>,
    // A candidate that is null says that there are no more, and one that is absent says nothing.
    #[serde(default, deserialize_with = "given")]
    candidate: Option<Option<Candidate>>,
}

fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Candidate>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Command {
    /// Reads the data of a frame of type `kind`; `None` when the type is not one of voice's.
    pub fn parse(kind: &str, data: Option<&RawValue>) -> Option<Result<Self, Refusal>> {
        let call = || wire::data::<Call>(data).map(|data| data.call);
        Some(match kind {
            "voice_request" => Ok(Self::Request),
            "voice_cancel" => Ok(Self::Cancel),
            "voice_invite" => wire::data::<Invite>(data).map(|data| Self::Invite(data.user)),
            "voice_accept" => call().map(Self::Accept),
            "voice_deny" => call().map(Self::Deny),
            "voice_hangup" => call().map(Self::HangUp),
            "voice_mute" => {
                wire::data::<Mute>(data).map(|Mute { call, muted }| Self::Mute { call, muted })
            }
            "voice_signal" => wire::data(data).and_then(Self::signal),
            _ => return None,
        })
    }

    fn signal(signal: Signal) -> Result<Self, Refusal> {
        let payload = match (signal.description, signal.candidate) {
            (Some(description), None | Some(None)) => Payload::Description(description),
            (None, Some(candidate)) => Payload::Candidate(candidate),
            _ => {
                let message = "A signal carries a description or a candidate.";
                return Err(Refusal::new(ErrorCode::BadMessage, message));
            }
        };
        Ok(Self::Signal {
            call: signal.call,
            to: signal.to,
            payload,
        })
    }
}

/// One of `voice_queue`'s items.
#[derive(Serialize)]
pub(super) struct Waiting<'a> {
    pub(super) call: &'a str,
    pub(super) user: &'a str,
    pub(super) requested_at: String,
}

/// One of `voice_state`'s speakers.
#[derive(Serialize)]
pub(super) struct Speaker<'a> {
    pub(super) call: &'a str,
    pub(super) user: &'a str,
    pub(super) muted: bool,
}

/// One of `voice_started`'s peers.
#[derive(Serialize)]
pub(super) struct Peer<'a> {
    pub(super) id: &'a str,
    pub(super) user: &'a str,
}

/// `voice_queue`
pub(super) fn queue(items: Vec<Waiting<'_>>) -> Frame {
    #[derive(Serialize)]
    struct Queue<'a> {
        items: Vec<Waiting<'a>>,
    }
    encode("voice_queue", &Queue { items })
}

/// `voice_state`
pub(super) fn state(queue_len: usize, speakers: Vec<Speaker<'_>>) -> Frame {
    #[derive(Serialize)]
    struct State<'a> {
        queue_len: usize,
        speakers: Vec<Speaker<'a>>,
    }
    let state = State {
        queue_len,
        speakers,
    };
    encode("voice_state", &state)
}

/// `voice_invited`
pub(super) fn invited(call: &str, by: &str) -> Frame {
    #[derive(Serialize)]
    struct Invited<'a> {
        call: &'a str,
        by: &'a str,
    }
    encode("voice_invited", &Invited { call, by })
}

/// What one end needs to connect to others.
#[derive(Serialize)]
pub(super) struct Started<'a> {
    pub(super) call: &'a str,
    pub(super) peers: Vec<Peer<'a>>,
    pub(super) polite: bool,
    pub(super) ice_servers: Vec<IceServer>,
    pub(super) ttl: u64,
}

impl Started<'_> {
    /// `voice_started`
    pub(super) fn frame(&self) -> Frame {
        encode("voice_started", self)
    }
}

/// `voice_ended`
pub(super) fn ended(call: &str, reason: &str) -> Frame {
    #[derive(Serialize)]
    struct Ended<'a> {
        call: &'a str,
        reason: &'a str,
    }
    encode("voice_ended", &Ended { call, reason })
}

/// `voice_mute`: the host has muted the speaker, or asks it to unmute.
pub(super) fn mute(call: &str, muted: bool, by: &str) -> Frame {
    #[derive(Serialize)]
    struct Muted<'a> {
        call: &'a str,
        muted: bool,
        by: &'a str,
    }
    encode("voice_mute", &Muted { call, muted, by })
}

/// `voice_signal`
pub(super) fn signal(call: &str, from: &str, payload: &Payload) -> Frame {
    #[derive(Serialize)]
    struct Signal<'a> {
        call: &'a str,
        from: &'a str,
        #[serde(flatten)]
        payload: &'a Payload,
    }
    let signal = Signal {
        call,
        from,
        payload,
    };
    encode("voice_signal", &signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, data: &str) -> Result<Command, ErrorCode> {
        let data: &RawValue = serde_json::from_str(data).unwrap();
        let command = Command::parse(kind, Some(data)).expect("a type of voice");
        command.map_err(|refusal| refusal.code)
    }

    /// A signal's payload as the other end gets it.
    fn relayed(fields: &str) -> Result<String, ErrorCode> {
        let data = format!(r#"{{"call":"1","to":"2",{fields}}}"#);
        match parse("voice_signal", &data)? {
            Command::Signal { payload, .. } => {
                let frame: serde_json::Value =
                    serde_json::from_str(&signal("1", "host", &payload)).unwrap();
                Ok(frame["data"].to_string())
            }
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn signals_pass_on_what_browsers_know_and_nothing_else() {
        assert_eq!(
            relayed(r#""description":{"type":"offer","sdp":"v=0","x":1},"y":2"#).unwrap(),
            r#"{"call":"1","description":{"sdp":"v=0","type":"offer"},"from":"host"}"#
        );
        let candidate =
            r#"{"candidate":"c","sdpMLineIndex":0,"sdpMid":"0","usernameFragment":null}"#;
        assert_eq!(
            relayed(&format!(r#""candidate":{candidate}"#)).unwrap(),
            format!(r#"{{"call":"1","candidate":{candidate},"from":"host"}}"#)
        );
        assert_eq!(
            relayed(r#""candidate":null"#).unwrap(),
            r#"{"call":"1","candidate":null,"from":"host"}"#
        );
    }

    #[test]
    fn signals_that_are_none_are_refused() {
        for fields in [
            r#""x":1"#,
            r#""description":{"type":"hack","sdp":""}"#,
            r#""description":{"sdp":""}"#,
            r#""description":"v=0""#,
            r#""candidate":"c""#,
            r#""candidate":{"candidate":"c","sdpMLineIndex":-1}"#,
            r#""description":{"type":"offer","sdp":""},"candidate":{"candidate":""}"#,
        ] {
            assert_eq!(relayed(fields), Err(ErrorCode::BadMessage), "{fields}");
        }
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("voice_request", "{}"), Ok(Command::Request));
        assert_eq!(
            parse("voice_accept", r#"{"call":"3"}"#),
            Ok(Command::Accept("3".into()))
        );
        for (kind, data) in [
            ("voice_accept", "{}"),
            ("voice_invite", r#"{"user":1}"#),
            ("voice_mute", r#"{"call":"1"}"#),
            ("voice_hangup", "[]"),
        ] {
            assert_eq!(parse(kind, data), Err(ErrorCode::BadMessage), "{kind}");
        }
    }
}
