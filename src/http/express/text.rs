//! An answer's head as text, as hyper writes it. It does not know what is answered.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::http::reply::Answer;

/// A date is not longer than this one, bytes.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The status and the fields of `answer`. What is still to follow is written by [`end`].
pub fn begin(answer: &Answer) -> Vec<u8> {
    let status = answer.status();
    let mut text = Vec::with_capacity(768);
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    text.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// What is said only when it is sent: whether the connection ends, and the time.
pub fn end(text: &mut Vec<u8>, close: bool) {
    if close {
        text.extend_from_slice(b"connection: close\r\n");
    }
    text.extend_from_slice(b"date: ");
    date(text);
    text.extend_from_slice(b"\r\n\r\n");
}

/// The time, written out once a second.
fn date(text: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = RefCell::new((0, DATE.to_owned()));
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    LAST.with_borrow_mut(|(last, date)| {
        if *last != second {
            *last = second;
            *date = httpdate::fmt_http_date(now);
        }
        text.extend_from_slice(date.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Body;

    #[test]
    fn a_head_is_written_as_hyper_writes_it() {
        let mut answer = Answer::new(Body::text("text"));
        crate::http::reply::set(&mut answer, hyper::header::VARY, "Accept-Encoding");
        let mut text = begin(&answer);
        end(&mut text, true);
        let text = String::from_utf8(text).unwrap();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let beginning = "HTTP/1.1 200 OK\r\nvary: Accept-Encoding\r\nconnection: close\r\ndate: ";
        assert!(text.starts_with(beginning), "{text}");
        assert_eq!(text.len(), beginning.len() + date.len() + 4);
        assert!(text.ends_with(" GMT\r\n\r\n"), "{text}");
    }
}
