//! A client of the REST API. It does not know which calls there are.

use std::net::SocketAddr;

use serde_json::Value;

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
