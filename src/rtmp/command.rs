//! What commands say and how they are answered: the connect target, results, errors and onStatus.
//! It does not know which command is allowed when.

use super::{
    amf0::{self, Value},
    chunk::Writer,
    message::{Command, kind},
};

/// Applications that may be published to; they are one and the same.
const APPS: [&str; 3] = ["live", "stream", "streams"];
/// Chunk stream of connection-level replies.
const CONNECTION_CHUNK_STREAM: u8 = 3;
/// Chunk stream of replies on a message stream.
const STREAM_CHUNK_STREAM: u8 = 5;

/// How a refused publish is coded. Encoders tell them apart: GStreamer maps `BadName` to "busy" and
/// `Denied` to "not authorized"; OBS Studio closes at `Denied` and `Rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishStatus {
    /// The stream is taken by another publisher.
    BadName,
    /// The key is not accepted.
    Denied,
    /// Everything else: unsupported media, a full or stopping server, a lost claim.
    Rejected,
}

impl PublishStatus {
    /// The `code` of the onStatus.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Denied => "NetStream.Publish.Denied",
            Self::Rejected => "NetStream.Publish.Rejected",
        }
    }
}

/// Where a `connect` goes: a known application, and a key if the path goes on.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Secret.
    pub key: Option<String>,
}

impl Target {
    /// Reads `app`, or the path of `tcUrl` when there is no `app`. `None` = another application.
    pub fn of_connect(object: &Value) -> Option<Self> {
        let text = |name| object.property(name).and_then(Value::as_str);
        let app = text("app").filter(|app| !app.is_empty());
        app.or_else(|| text("tcUrl").and_then(url_path))
            .and_then(Self::parse)
    }

    /// Parses an application path such as `live`, `/live/`, `live//KEY` or `live?query`.
    fn parse(path: &str) -> Option<Self> {
        let mut segments = segments(path);
        APPS.contains(&segments.next()?).then(|| Self {
            key: segments.last().map(str::to_owned),
        })
    }
}

/// The last segment of a stream name without its query: the key, however it was put.
pub fn last_segment(name: &str) -> Option<&str> {
    segments(name).last()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.split('?').next().unwrap_or("");
    path.split('/').filter(|segment| !segment.is_empty())
}

/// What follows the host in a URL.
fn url_path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split_once('/').map(|(_, path)| path)
}

/// An information object (RTMP 1.0 section 7.2.2).
pub fn info(level: &str, code: &str, description: &str) -> Value {
    Value::Object(vec![
        ("level".into(), Value::String(level.into())),
        ("code".into(), Value::String(code.into())),
        ("description".into(), Value::String(description.into())),
    ])
}

/// `onStatus` on a message stream.
pub fn on_status(writer: &mut Writer, stream_id: u32, info: Value) {
    let values = [
        Value::String("onStatus".into()),
        Value::Number(0.0),
        Value::Null,
        info,
    ];
    send(writer, STREAM_CHUNK_STREAM, stream_id, &values);
}

/// `_result` with a null command object.
pub fn result(writer: &mut Writer, command: &Command, value: Value) {
    reply(writer, command, "_result", Value::Null, value);
}

/// `_result` to a call that has nothing to do here, unless the caller wants no answer.
pub fn done(writer: &mut Writer, command: &Command) {
    if wants_answer(command) {
        result(writer, command, Value::Undefined);
    }
}

/// `_error` to a call that this server does not do, unless the caller wants no answer.
pub fn call_failed(writer: &mut Writer, command: &Command, description: &str) {
    if wants_answer(command) {
        error(writer, command, "NetConnection.Call.Failed", description);
    }
}

/// `_error` with an information object.
pub fn error(writer: &mut Writer, command: &Command, code: &str, description: &str) {
    let info = info("error", code, description);
    reply(writer, command, "_error", Value::Null, info);
}

/// The answer to `connect`. `fourCcList` and other capabilities are not answered in kind: what is
/// not announced is not used.
pub fn connected(writer: &mut Writer, command: &Command) {
    let server = Value::Object(vec![
        ("fmsVer".into(), Value::String("FMS/3,5,7,7009".into())),
        ("capabilities".into(), Value::Number(31.0)),
        ("mode".into(), Value::Number(1.0)),
    ]);
    let mut info = info("status", "NetConnection.Connect.Success", "connected");
    if let Value::Object(properties) = &mut info {
        properties.push(("objectEncoding".into(), Value::Number(0.0)));
    }
    reply(writer, command, "_result", server, info);
}

/// Transaction 0 asks for none (RTMP 1.0 section 7.2.1.2).
fn wants_answer(command: &Command) -> bool {
    command.transaction != 0.0
}

fn reply(writer: &mut Writer, command: &Command, name: &str, object: Value, value: Value) {
    let transaction = Value::Number(command.transaction);
    let values = [Value::String(name.into()), transaction, object, value];
    send(writer, CONNECTION_CHUNK_STREAM, 0, &values);
}

fn send(writer: &mut Writer, chunk_stream: u8, stream_id: u32, values: &[Value]) {
    let mut payload = vec![];
    for value in values {
        amf0::encode(value, &mut payload);
    }
    writer.message(chunk_stream, kind::COMMAND_AMF0, stream_id, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(app: &str) -> Option<Option<String>> {
        Target::parse(app).map(|target| target.key)
    }

    #[test]
    fn known_applications_in_every_spelling() {
        for app in [
            "live",
            "stream",
            "streams",
            "/live",
            "live/",
            "//live//",
            "live?a=/b",
        ] {
            assert_eq!(key_of(app), Some(None), "{app}");
        }
        for app in ["", "/", "?live", "Live", "vod", "livex", "key/live"] {
            assert_eq!(key_of(app), None, "{app}");
        }
    }

    #[test]
    fn the_key_may_stand_in_the_application_path() {
        for app in ["live/k", "/live//k/", "live/_definst_/k", "streams/k?x=y"] {
            assert_eq!(key_of(app), Some(Some("k".into())), "{app}");
        }
    }

    #[test]
    fn stream_names_are_read_leniently() {
        for name in ["k", "/k", "k/", "live//k", "k?x=y/z"] {
            assert_eq!(last_segment(name), Some("k"), "{name}");
        }
        assert_eq!(last_segment("?x"), None);
    }

    #[test]
    fn the_application_is_taken_from_tc_url_when_app_is_missing() {
        let connect = |name: &str, value: &str| {
            let object = Value::Object(vec![(name.into(), Value::String(value.into()))]);
            Target::of_connect(&object).is_some()
        };
        assert!(connect("tcUrl", "rtmp://any.host:99/live"));
        assert!(connect("app", "live"));
        assert!(!connect("tcUrl", "rtmp://any.host"));
        assert!(!connect("tcUrl", "live"));
        assert!(!connect("other", "live"));
    }
}
