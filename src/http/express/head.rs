//! A request's head as the express way reads it: nothing is copied, and all that is unusual makes it
//! no such request. Pure: it does not know what is asked for or who answers then.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http_body_util::Empty;
use httparse::{Header, Request, Status};
use hyper::{Method, Request as HyperRequest, header::HeaderName};

use crate::http::fields::Fields;

/// Fields that a head may have here: several times what browsers and caches send.
pub const FIELDS: usize = 48;

/// Fields that change what follows on the connection, or what is answered, in ways that only hyper
/// knows.
const UNUSUAL: [&str; 7] = [
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Room for the fields of one head.
pub type Room<'b> = [MaybeUninit<Header<'b>>; FIELDS];

/// A whole head of HTTP/1.1 without a body.
#[derive(Debug)]
pub struct Head<'b, 'r> {
    /// GET or HEAD.
    pub method: Method,
    /// As sent.
    pub target: &'b str,
    /// The same without the query.
    pub path: &'b str,
    /// The connection ends with the answer.
    pub close: bool,
    /// Bytes up to its end.
    pub len: usize,
    fields: &'r [Header<'b>],
}

impl<'b, 'r> Head<'b, 'r> {
    /// Reads a head from the beginning of `bytes`. `None`: it is not whole, not well formed or not of
    /// the usual kind.
    pub fn parse(bytes: &'b [u8], room: &'r mut Room<'b>) -> Option<Self> {
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(len)) = request.parse_with_uninit_headers(bytes, room) else {
            return None;
        };
        let method = match request.method? {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            _ => return None,
        };
        if request.version != Some(1) {
            return None;
        }
        let close = usual(request.headers)?;
        let target = request.path?;
        Some(Self {
            method,
            target,
            path: path(target)?,
            close,
            len,
            fields: request.headers,
        })
    }

    /// The request as hyper would give it; `None`: hyper would not.
    pub fn to_request(&self) -> Option<HyperRequest<Empty<Bytes>>> {
        let mut request = HyperRequest::builder()
            .method(self.method.clone())
            .uri(self.target);
        for field in self.fields {
            request = request.header(field.name, field.value);
        }
        request.body(Empty::new()).ok()
    }
}

impl Fields for Head<'_, '_> {
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named = |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name.as_str());
        self.fields.iter().filter(named).map(|field| field.value)
    }
}

/// The path of a target, if its query is made of what queries are made of.
fn path(target: &str) -> Option<&str> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&=+,:;@/!$'()*?".contains(&byte);
    query.bytes().all(plain).then_some(path)
}

/// Whether the connection is to be closed; `None` unless there is one Host and nothing unusual.
fn usual(fields: &[Header<'_>]) -> Option<bool> {
    let (mut hosts, mut connections, mut close) = (0, 0, false);
    for field in fields {
        let name = field.name;
        if name.eq_ignore_ascii_case("host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case("connection") {
            connections += 1;
            close = field.value.eq_ignore_ascii_case(b"close");
            if !close && !field.value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if UNUSUAL.iter().any(|one| name.eq_ignore_ascii_case(one)) {
            return None;
        }
    }
    (hosts == 1 && connections <= 1).then_some(close)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(bytes: &[u8]) -> Option<(Method, String, bool, usize)> {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let head = Head::parse(bytes, &mut room)?;
        Some((
            head.method.clone(),
            head.path.to_owned(),
            head.close,
            head.len,
        ))
    }

    #[test]
    fn the_usual_is_read() {
        for (text, method, path, close) in [
            (
                "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
                Method::GET,
                "/a",
                false,
            ),
            (
                "HEAD /a?b=c HTTP/1.1\r\nhost:x\r\nX: y\r\n\r\n",
                Method::HEAD,
                "/a",
                false,
            ),
            (
                "GET /a HTTP/1.1\r\nHOST: x\r\nConnection: Close\r\n\r\n",
                Method::GET,
                "/a",
                true,
            ),
            (
                "\r\nGET /a HTTP/1.1\nHost:\nConnection: keep-alive\n\n",
                Method::GET,
                "/a",
                false,
            ),
        ] {
            let more = format!("{text}GET /next");
            let expected = Some((method, path.to_owned(), close, text.len()));
            assert_eq!(parsed(more.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_unusual_is_not() {
        let many = "X: y\r\n".repeat(FIELDS);
        for text in [
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close, te\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET /a?b#c HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n",
            &format!("GET /a HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        ] {
            assert_eq!(parsed(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_any_spelling_in_their_order() {
        let text = b"GET /a HTTP/1.1\r\nHost: x\r\nACCEPT: a\r\naccept: \xff \r\n\r\n";
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let head = Head::parse(text, &mut room).unwrap();
        let name = hyper::header::ACCEPT;
        assert_eq!(head.values(&name).collect::<Vec<_>>(), [&b"a"[..], b"\xff"]);
        assert_eq!(head.first(&hyper::header::RANGE), None);
        let request = head.to_request().unwrap();
        assert_eq!(request.headers().get_all(&name).iter().count(), 2);
        assert_eq!(
            (request.method(), request.uri().path()),
            (&Method::GET, "/a")
        );
        assert_eq!(request.version(), hyper::Version::HTTP_11);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at in 0usize..60) {
            let _ = parsed(&bytes);
            let mut text = b"GET /live/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec();
            let at = at.min(text.len());
            text.splice(at..at, bytes);
            if let Some((.., len)) = parsed(&text) {
                prop_assert!(len <= text.len());
                // A head that is not whole is never taken for one.
                for end in 0..len {
                    prop_assert_eq!(parsed(&text[..end]), None);
                }
            }
        }
    }
}
