//! A tiny HTTP/1.1 client over a plain socket: what is sent is exactly what a test wrote. It does
//! not know redirects, pools or what a reply means.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A reply, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value by its lower-case name; `None` when absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, v)| v.as_str());
        assert!(
            found.next().is_none(),
            "{name} is there twice: {:?}",
            self.headers
        );
        value
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET without extra headers.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, "GET", path, &[])
}

/// One request on its own connection.
#[track_caller]
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    try_send(address, method, path, headers)
        .unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// One request; `None` when the server cannot be reached or answers nothing.
pub fn try_send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Reply> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    parse(&raw(address, request.as_bytes())?, method == "HEAD")
}

/// Sends bytes as they are and reads until the server closes, 15 s at most.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    socket
        .set_read_timeout(Some(Duration::from_secs(15)))
        .ok()?;
    // A refusal may close the socket before everything is sent: what it said still counts.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 65536];
    while let Ok(n @ 1..) = socket.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..n]);
    }
    Some(answer)
}

/// Takes an answer apart; `head` = no body follows whatever the headers say.
pub fn parse(answer: &[u8], head: bool) -> Option<Reply> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply {
        status,
        headers,
        body: answer[end + 4..].to_vec(),
    };
    if head || status == 304 || status == 204 {
        assert!(reply.body.is_empty(), "a body where none may be");
    } else if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = dechunk(&reply.body)?;
    } else if let Some(length) = reply.header("content-length") {
        assert_eq!(
            length.parse::<usize>().ok()?,
            reply.body.len(),
            "a truncated body"
        );
    }
    Some(reply)
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
