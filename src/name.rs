//! Names, parsed once at the edge: whoever holds one need not check it again. It does not know
//! whether what is named exists.

use std::{fmt, sync::Arc};

/// The public name of a stream: 16 random bytes, base64url, 22 characters, never beginning with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamUid(Arc<str>);

/// The secret that publishes to a stream; same form as [`StreamUid`]. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(Arc<str>);

/// One continuous publish of a stream: `[a-z0-9]{1,32}`, never used twice within a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

/// A rendition: `[a-z0-9_]{1,32}`; `source` is what the publisher sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rendition(Arc<str>);

/// `{session}-{sequence}.ts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentName {
    /// The session that made it.
    pub session: SessionId,
    /// Its media sequence number.
    pub sequence: u64,
}

macro_rules! text {
    ($($t:ty),*) => {$(
        impl $t {
            /// Parses a name; `None` when it has not its form.
            pub fn parse(_text: &str) -> Option<Self> { todo!() }
            /// A new random one.
            pub fn random() -> Self { todo!() }
            /// Its text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
    )*};
}
text!(StreamUid, StreamKey, SessionId);

impl Rendition {
    /// Parses a name; `None` when it has not its form.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }
    /// `source`.
    pub fn source() -> Self {
        Self("source".into())
    }
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SegmentName {
    /// Parses `{session}-{sequence}.ts`; leading zeros and more than 19 digits are refused, so that
    /// one segment has one name.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.ts", self.session.as_str(), self.sequence)
    }
}

impl fmt::Display for StreamUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(..)")
    }
}
