//! Names, parsed once at the edge: whoever holds one need not check it again. It does not know
//! whether what is named exists.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Characters of a uid or key: 16 bytes in base64url without padding (RFC 4648 section 5).
const TOKEN_CHARS: usize = 22;
/// Longest session or rendition name.
const WORD_CHARS_MAX: usize = 32;
/// Characters of a random session id: 36^10, so that a stream's sessions never meet by chance.
const SESSION_CHARS: usize = 10;
/// What the publisher sends, and so far the only rendition.
const SOURCE: &str = "source";
/// Digits of the largest sequence number, which fits a u64 without an overflow check.
const SEQUENCE_DIGITS_MAX: usize = 19;

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
pub struct Rendition(Cow<'static, str>);

/// `{session}-{sequence}.ts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentName {
    /// The session that made it.
    pub session: SessionId,
    /// Its media sequence number.
    pub sequence: u64,
}

macro_rules! text {
    ($($name:ty: $valid:ident, $random:ident;)*) => {$(
        impl $name {
            /// Parses a name; `None` when it has not its form.
            pub fn parse(text: &str) -> Option<Self> {
                $valid(text).then(|| Self(text.into()))
            }
            /// A new random one.
            pub fn random() -> Self {
                Self($random().into())
            }
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}
text! {
    StreamUid: is_token, random_token;
    StreamKey: is_token, random_token;
    SessionId: is_session, random_session;
}

impl Rendition {
    /// Parses a name; `None` when it has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        // Asked for with every playlist and segment, so it costs no allocation.
        if text == SOURCE {
            return Some(Self::source());
        }
        is_word(text, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
        })
        .then(|| Self(Cow::Owned(text.to_owned())))
    }
    /// `source`.
    pub fn source() -> Self {
        Self(Cow::Borrowed(SOURCE))
    }
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SegmentName {
    /// Parses `{session}-{sequence}.ts`; leading zeros and more than 19 digits are refused, so that
    /// one segment has one name.
    pub fn parse(text: &str) -> Option<Self> {
        let (session, sequence) = text.strip_suffix(".ts")?.split_once('-')?;
        let digits = !sequence.is_empty() && sequence.bytes().all(|b| b.is_ascii_digit());
        let canonical = sequence == "0" || !sequence.starts_with('0');
        if !digits || !canonical || sequence.len() > SEQUENCE_DIGITS_MAX {
            return None;
        }
        Some(Self {
            session: SessionId::parse(session)?,
            sequence: sequence.parse().ok()?,
        })
    }
}

/// Exactly what [`random_token`] writes. Decoding refuses other alphabets, padding and set unused
/// bits in the last character, so that 16 bytes have one name.
fn is_token(text: &str) -> bool {
    text.len() == TOKEN_CHARS
        && !text.starts_with('-')
        && URL_SAFE_NO_PAD
            .decode_slice(text, &mut [0; TOKEN_CHARS])
            .is_ok_and(|bytes| bytes == 16)
}

fn is_session(text: &str) -> bool {
    is_word(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn is_word(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// A leading `-` is drawn again: it would be read as an option on a command line.
fn random_token() -> String {
    loop {
        let token = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        if !token.starts_with('-') {
            return token;
        }
    }
}

fn random_session() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(SESSION_CHARS);
    while text.len() < SESSION_CHARS {
        // 252 = 7 * 36: bytes above it would make the first letters likelier.
        let usable = random_bytes::<16>().into_iter().filter(|byte| *byte < 252);
        let room = SESSION_CHARS - text.len();
        text.extend(
            usable
                .take(room)
                .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])),
        );
    }
    text
}

/// Bytes from the operating system's random source.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

/// A uid is looked up by its text; both have the same hash.
impl Borrow<str> for StreamUid {
    fn borrow(&self) -> &str {
        &self.0
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

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Rendition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_names_have_their_form() {
        for _ in 0..2000 {
            let uid = StreamUid::random();
            assert_eq!(StreamUid::parse(uid.as_str()), Some(uid));
            let session = SessionId::random();
            assert_eq!(session.as_str().len(), SESSION_CHARS);
            assert_eq!(SessionId::parse(session.as_str()), Some(session));
        }
        assert_ne!(StreamUid::random(), StreamUid::random());
    }

    #[test]
    fn a_token_has_one_spelling() {
        assert!(StreamUid::parse("AAAAAAAAAAAAAAAAAAAAAA").is_some());
        assert!(StreamUid::parse("__________-__________w").is_some());
        for bad in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "-AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAA/AAAAAAAAAAA",
            "AAAAAAAAAA+AAAAAAAAAAA",
            "AAAAAAAAAA.AAAAAAAAAAA",
            "AAAAAAAAAA AAAAAAAAAAA",
        ] {
            assert_eq!(StreamUid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_segment_has_one_name() {
        let name = SegmentName::parse("ab1-0.ts").unwrap();
        assert_eq!((name.session.as_str(), name.sequence), ("ab1", 0));
        let largest = "z-9999999999999999999.ts";
        assert_eq!(SegmentName::parse(largest).unwrap().to_string(), largest);
        for bad in [
            "ab1-00.ts",
            "ab1-01.ts",
            "ab1-+1.ts",
            "ab1--1.ts",
            "ab1-.ts",
            "-1.ts",
            "ab1-10000000000000000000.ts",
            "AB1-1.ts",
            "ab1-1.TS",
            "ab1-1",
            "a/b-1.ts",
            "../a-1.ts",
        ] {
            assert_eq!(SegmentName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_key() {
        let key = StreamKey::random();
        assert!(!format!("{key:?}").contains(key.as_str()));
    }

    proptest! {
        #[test]
        fn what_parses_is_shown_as_it_was(text in "\\PC{0,40}") {
            if let Some(name) = SegmentName::parse(&text) {
                prop_assert_eq!(name.to_string(), &*text);
            }
            if let Some(uid) = StreamUid::parse(&text) {
                prop_assert_eq!(uid.to_string(), &*text);
            }
            let _ = (StreamKey::parse(&text), SessionId::parse(&text), Rendition::parse(&text));
        }

        #[test]
        fn segment_names_round_trip(session in "[a-z0-9]{1,32}", sequence in 0..10_u64.pow(19)) {
            let name = SegmentName { session: SessionId::parse(&session).unwrap(), sequence };
            prop_assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn path_characters_are_refused(a in "[a-z0-9]{0,11}", b in "[a-z0-9]{0,11}", c in "[/\\\\.%\0 ]") {
            let text = format!("{a}{c}{b}");
            prop_assert_eq!(StreamUid::parse(&format!("{text:A<22}")), None);
            prop_assert_eq!(SessionId::parse(&text), None);
            prop_assert_eq!(Rendition::parse(&text), None);
            prop_assert_eq!(SegmentName::parse(&format!("{text}-1.ts")), None);
        }
    }
}
