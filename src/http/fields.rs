//! A request's header fields, however they are held: as hyper's map, or as the express way's list
//! of what was read. It does not know what a field means.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Header fields that can be looked up.
pub trait Fields {
    /// The values of all fields of one name, in the order they came.
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// The first of them.
    fn first<'a>(&'a self, name: &'a HeaderName) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// A value as text: visible ASCII, blanks and tabs only; `None` for any other.
pub fn text(value: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let text = value.iter().all(plain).then_some(value)?;
    std::str::from_utf8(text).ok()
}
