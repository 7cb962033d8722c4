//! A client of the REST API. It does not know which calls there are.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Reply, parse, raw};

/// One call with a JSON body, or none when it is null; anonymous when `token` is empty.
#[track_caller]
pub fn call(
    address: SocketAddr,
    token: &str,
    method: &str,
    target: &str,
    body: &Value,
) -> (u16, Value) {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !token.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    let reply = exchange(address, method, target, &headers, body.as_bytes());
    let value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    (reply.status, value)
}

/// One request with any body on its own connection.
#[track_caller]
pub fn exchange(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let bytes = [head.as_bytes(), body].concat();
    raw(address, &bytes)
        .and_then(|answer| parse(&answer, method == "HEAD"))
        .unwrap_or_else(|| panic!("no answer to {method} {target}"))
}

/// What a request carries besides its line.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub token: String,
    pub content_type: String,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Sent {
    /// JSON by the holder of `token`; no body for `Null`, nobody for an empty token.
    pub fn json(token: &str, body: &Value) -> Self {
        let bytes = match body {
            Value::Null => vec![],
            body => body.to_string().into_bytes(),
        };
        Self::bytes(token, "application/json", bytes)
    }

    /// Any body.
    pub fn bytes(token: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            token: token.to_owned(),
            content_type: content_type.to_owned(),
            body: body.into(),
            headers: vec![],
        }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Sends one request and reads its answer.
#[track_caller]
pub fn send(address: SocketAddr, method: &str, target: &str, sent: &Sent) -> Reply {
    let bearer = format!("Bearer {}", sent.token);
    let mut headers = vec![];
    if !sent.token.is_empty() {
        headers.push(("Authorization", bearer.as_str()));
    }
    if !sent.body.is_empty() {
        headers.push(("Content-Type", sent.content_type.as_str()));
    }
    let further = sent.headers.iter();
    headers.extend(further.map(|(name, value)| (name.as_str(), value.as_str())));
    exchange(address, method, target, &headers, &sent.body)
}

/// The password of every account of these tests.
pub const PASSWORD: &str = "correct-horse-battery-7";

/// Makes an account and logs in: its token.
#[track_caller]
pub fn account(address: SocketAddr, username: &str) -> String {
    let email = format!("{username}@example.org");
    let new = json!({ "username": username, "email": email, "password": PASSWORD });
    let (status, answer) = call(address, "", "POST", "/token/?create=true", &new);
    assert_eq!(status, 200, "{answer}");
    log_in(address, username)
}

/// Logs in: the token.
#[track_caller]
pub fn log_in(address: SocketAddr, username: &str) -> String {
    let login = json!({ "username": username, "password": PASSWORD });
    let (status, answer) = call(address, "", "POST", "/token/", &login);
    assert_eq!(status, 200, "{answer}");
    answer["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}
