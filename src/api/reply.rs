//! What a call answers: status, content, headers, in the platform's two envelopes; and failures in
//! its words. It does not know which call answers what.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind};

/// Seconds after which a client should ask a database that did not answer again.
const UNAVAILABLE_RETRY_S: u64 = 1;

/// An answer on its way to HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body and its type.
    pub content: Content,
    /// Further headers, lower case. Without a `cache-control` here the answer is not stored anywhere.
    pub headers: Vec<(&'static str, String)>,
}

/// An answer's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// No body.
    Empty,
    /// JSON.
    Json(Value),
    /// A page.
    Html(String),
    /// Bytes of another type.
    Bytes(&'static str, Bytes),
}

impl Reply {
    fn new(status: u16, content: Content) -> Self {
        Self {
            status,
            content,
            headers: vec![],
        }
    }

    /// Envelope A: `{"status": true, "message": ..., "data": ...}`.
    pub fn a(status: u16, message: &str, data: Value) -> Self {
        let body = json!({ "status": true, "message": message, "data": data });
        Self::new(status, Content::Json(body))
    }

    /// Envelope A without data.
    pub fn done(message: &str) -> Self {
        let body = json!({ "status": true, "message": message });
        Self::new(200, Content::Json(body))
    }

    /// Envelope B: the bare object, list or page.
    pub fn b(status: u16, value: Value) -> Self {
        Self::new(status, Content::Json(value))
    }

    /// 204.
    pub fn nothing() -> Self {
        Self::new(204, Content::Empty)
    }

    /// A page.
    pub fn html(status: u16, page: String) -> Self {
        Self::new(status, Content::Html(page))
    }

    /// Bytes of a type that is no text.
    pub fn bytes(content_type: &'static str, bytes: Bytes) -> Self {
        Self::new(200, Content::Bytes(content_type, bytes))
    }

    /// With one more header; `name` is lower case, `value` visible ASCII.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The JSON body, for tests and for whoever wraps an answer; `Null` when it is none.
    pub fn json(&self) -> &Value {
        match &self.content {
            Content::Json(value) => value,
            _ => &Value::Null,
        }
    }
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// 400: `{"field": ["..."]}`, a field in the order of its first fault.
    Fields(Vec<(String, String)>),
    /// 400: `{"non_field_errors": ["..."]}`.
    Whole(String),
    /// `{"detail": "...", "code": "..."}`.
    Detail {
        /// HTTP status.
        status: u16,
        /// For people.
        detail: String,
        /// For programs.
        code: &'static str,
    },
    /// 405; what is allowed, for `Allow`.
    Method {
        /// As sent.
        method: String,
        /// Comma-separated.
        allow: String,
    },
    /// 429 or 503 that passes by itself.
    Later {
        /// HTTP status.
        status: u16,
        /// For people.
        detail: String,
        /// For programs.
        code: &'static str,
        /// For `Retry-After`.
        retry_after_s: u64,
    },
}

impl Failure {
    /// 400 for one field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::Fields(vec![(name.to_owned(), message.into())])
    }

    /// 400 for no field in particular.
    pub fn whole(message: impl Into<String>) -> Self {
        Self::Whole(message.into())
    }

    /// Any status with words and a code.
    pub fn detail(status: u16, detail: impl Into<String>, code: &'static str) -> Self {
        Self::Detail {
            status,
            detail: detail.into(),
            code,
        }
    }

    /// 401: nobody is logged in.
    pub fn anonymous() -> Self {
        let words = "Authentication credentials were not provided.";
        Self::detail(401, words, "not_authenticated")
    }

    /// 403: somebody else is.
    pub fn forbidden() -> Self {
        let words = "You do not have permission to perform this action.";
        Self::detail(403, words, "permission_denied")
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::detail(404, "Not found.", "not_found")
    }

    /// 409: the thing's state does not allow this.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::detail(409, detail, "conflict")
    }

    /// 415.
    pub fn media_type(sent: &str) -> Self {
        let shown: String = sent.chars().take(60).collect();
        let words = format!("Unsupported media type {shown:?} in request.");
        Self::detail(415, words, "unsupported_media_type")
    }

    /// 413: more than `max_bytes`.
    pub fn too_large(max_bytes: usize) -> Self {
        let words = format!("The body is larger than {max_bytes} bytes.");
        Self::detail(413, words, "too_large")
    }

    /// 408: the body did not come in time.
    pub fn too_slow() -> Self {
        Self::detail(408, "The body did not arrive in time.", "timeout")
    }

    /// 429.
    pub fn throttled(retry_after_s: u64) -> Self {
        Self::Later {
            status: 429,
            detail: format!(
                "Request was throttled. Expected available in {retry_after_s} seconds."
            ),
            code: "throttled",
            retry_after_s,
        }
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::Later {
            status: 503,
            detail: "The server cannot do this now: try again.".to_owned(),
            code: "unavailable",
            retry_after_s: UNAVAILABLE_RETRY_S,
        }
    }
}

impl From<Error> for Failure {
    /// The cause goes to the log and not to the client: it can name paths and SQL.
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::NotFound => Self::not_found(),
            Kind::Conflict => Self::conflict("The present state does not allow this."),
            Kind::Unavailable => {
                tracing::error!(%error, "a call could not be answered");
                Self::unavailable()
            }
            Kind::Config | Kind::Internal => {
                tracing::error!(%error, "a call failed");
                Self::detail(500, "An error on the server's side.", "error")
            }
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let detail = |status, detail: String, code| {
            let body = json!({ "detail": detail, "code": code });
            Self::new(status, Content::Json(body))
        };
        match failure {
            Failure::Fields(faults) => Self::new(400, Content::Json(by_field(faults))),
            Failure::Whole(message) => {
                Self::new(400, Content::Json(json!({ "non_field_errors": [message] })))
            }
            Failure::Detail {
                status,
                detail: words,
                code,
            } => {
                let reply = detail(status, words, code);
                match status {
                    401 => reply.header("www-authenticate", "Bearer"),
                    _ => reply,
                }
            }
            Failure::Method { method, allow } => {
                let words = format!("Method {method:?} not allowed.");
                detail(405, words, "method_not_allowed").header("allow", allow)
            }
            Failure::Later {
                status,
                detail: words,
                code,
                retry_after_s,
            } => detail(status, words, code).header("retry-after", retry_after_s.to_string()),
        }
    }
}

fn by_field(faults: Vec<(String, String)>) -> Value {
    let mut fields = Map::new();
    for (name, message) in faults {
        let messages = fields.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(messages) = messages {
            messages.push(Value::String(message));
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes() {
        let a = Reply::a(201, "Made", json!({ "x": 1 }));
        assert_eq!(a.status, 201);
        let expected = json!({ "status": true, "message": "Made", "data": { "x": 1 } });
        assert_eq!(*a.json(), expected);
        let done = json!({ "status": true, "message": "Done" });
        assert_eq!(*Reply::done("Done").json(), done);
        assert_eq!(*Reply::b(200, json!([])).json(), json!([]));
        assert_eq!(Reply::nothing().content, Content::Empty);
    }

    #[test]
    fn failures_have_the_platforms_shapes() {
        let fault = |name: &str, message: &str| (name.to_owned(), message.to_owned());
        let faults = vec![fault("a", "1"), fault("b", "2"), fault("a", "3")];
        let reply = Reply::from(Failure::Fields(faults));
        assert_eq!(reply.status, 400);
        assert_eq!(*reply.json(), json!({ "a": ["1", "3"], "b": ["2"] }));
        let reply = Reply::from(Failure::whole("no"));
        assert_eq!(*reply.json(), json!({ "non_field_errors": ["no"] }));
        let reply = Reply::from(Failure::anonymous());
        assert_eq!(reply.headers, [("www-authenticate", "Bearer".to_owned())]);
        let reply = Reply::from(Failure::throttled(7));
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers, [("retry-after", "7".to_owned())]);
    }

    #[test]
    fn causes_stay_inside() {
        let error = Error::with(Kind::Unavailable, "cannot read /a/b.db", "SELECT secret");
        let reply = Reply::from(Failure::from(error));
        assert_eq!(reply.status, 503);
        let text = reply.json().to_string();
        assert!(!text.contains("SELECT") && !text.contains("b.db"), "{text}");
    }
}
