//! A request as calls read it: what it asks for, from whom, with which words. Parsed once, before
//! its body is read. It does not know HTTP's library.

use std::net::IpAddr;

use bytes::Bytes;

use super::{
    reply::Failure,
    route::{self, Call},
};
use crate::event::Urls;

/// What a request's first line asks for.
#[derive(Clone, Debug)]
pub struct Head {
    /// The operation.
    pub call: Call,
    /// The path as sent, percent-encoded.
    pub path: String,
    /// The query's pairs, decoded, in their order.
    pub query: Vec<(String, String)>,
}

/// A whole request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks for.
    pub head: Head,
    /// The Authorization header. Never logged.
    pub authorization: Option<String>,
    /// The Content-Type header.
    pub content_type: Option<String>,
    /// The Accept header.
    pub accept: Option<String>,
    /// The Accept-Language header.
    pub accept_language: Option<String>,
    /// The body, within its limit.
    pub body: Bytes,
    /// The client, also behind a trusted proxy.
    pub client: IpAddr,
    /// How this client reaches the server.
    pub urls: Urls,
}

impl Head {
    /// Reads method, path and query as sent. A trailing slash is optional and changes nothing.
    ///
    /// # Errors
    /// 404, 405.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, Failure> {
        let parts = parts(path).ok_or_else(Failure::not_found)?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        Ok(Self {
            call: route::parse(method, &parts)?,
            path: path.to_owned(),
            query: pairs(query.unwrap_or_default()),
        })
    }

    /// What the path can be asked, for OPTIONS; empty when it is nothing.
    pub fn allowed(path: &str) -> String {
        let parts = parts(path).unwrap_or_default();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        route::allowed(&parts)
    }
}

impl Request {
    /// The value of a query parameter; of several the last.
    pub fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.query.iter().rev();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter says yes: `true` or `1`.
    pub fn asks(&self, name: &str) -> bool {
        self.query(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// The token of `Authorization: Bearer`; `None` without one and for other schemes.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_deref()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The body's media type in lower case, without parameters; `None` when none was sent.
    pub fn media_type(&self) -> Option<String> {
        let sent = self.content_type.as_deref()?;
        let bare = sent.split(';').next().unwrap_or_default();
        Some(bare.trim().to_ascii_lowercase()).filter(|bare| !bare.is_empty())
    }
}

/// A path's decoded parts; an encoded slash stays inside its part. `None` for what is no path: bytes
/// that are no UTF-8, broken percent-encoding, empty parts in the middle.
fn parts(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|part| decode(part, false).filter(|part| !part.is_empty()))
        .collect()
}

/// A query's or form's pairs (application/x-www-form-urlencoded). What cannot be decoded keeps U+FFFD.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let lossy = |text: &str| String::from_utf8_lossy(&octets(text, true).0).into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (lossy(name), lossy(value))
        })
        .collect()
}

/// Percent-encodes for a query's value or a path's part: all but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str, plus: bool) -> Option<String> {
    let (bytes, clean) = octets(text, plus);
    String::from_utf8(bytes).ok().filter(|_| clean)
}

/// The bytes that percent-encoded text stands for (RFC 3986 2.1), and whether each `%` had its two
/// digits; one that has not stands for itself. `plus` is a space in queries and forms.
fn octets(text: &str, plus: bool) -> (Vec<u8>, bool) {
    let bytes = text.as_bytes();
    let digit = |at: usize| {
        let byte = bytes.get(at).copied()?;
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (mut out, mut clean, mut at) = (Vec::with_capacity(bytes.len()), true, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => {
                clean &= byte != b'%';
                out.push(byte);
            }
        }
    }
    (out, clean)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(path: &str) -> Option<String> {
        parts(path).map(|parts| parts.join("|"))
    }

    #[test]
    fn a_trailing_slash_changes_nothing() {
        assert_eq!(shown("/users/ana"), Some("users|ana".into()));
        assert_eq!(shown("/users/ana/"), Some("users|ana".into()));
        for none in ["/", "//", "/users//ana", "/users/ana//", "", "*"] {
            assert_eq!(shown(none), None, "{none}");
        }
    }

    #[test]
    fn encoded_characters_stay_in_their_part() {
        assert_eq!(shown("/users/..%2F..%2fx/"), Some("users|../../x".into()));
        assert_eq!(shown("/users/a+b%20c"), Some("users|a+b c".into()));
        assert_eq!(shown("/users/%C3%B1"), Some("users|ñ".into()));
        for none in ["/users/%ff", "/users/%", "/users/%zz", "/users/%f"] {
            assert_eq!(shown(none), None, "{none}");
        }
    }

    #[test]
    fn queries_are_read_as_forms_are() {
        let read = pairs("a=1&b=x+y%26z&c&=d&&a=%ff%");
        let flat: Vec<_> = read.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        assert_eq!(flat, ["a:1", "b:x y&z", "c:", ":d", "a:\u{fffd}%"]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(text in "\\PC{0,30}") {
            prop_assert_eq!(decode(&encode(&text), false), Some(text.clone()));
            let read = pairs(&format!("{}={}", encode("a"), encode(&text)));
            prop_assert_eq!(read, vec![("a".to_owned(), text)]);
        }

        #[test]
        fn arbitrary_lines_never_panic(path in ".{0,60}", query in ".{0,60}") {
            let _ = Head::parse("GET", &path, Some(&query));
            let _ = Head::allowed(&path);
        }
    }
}
