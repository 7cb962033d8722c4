//! The name of an object, parsed once. It does not know what a name stands for or where it leads.

use std::{fmt, sync::Arc};

use crate::Error;

/// Most parts of a key.
const PARTS: usize = 8;
/// Longest part, bytes.
const PART_BYTES: usize = 128;

/// The name of an object: 1 to 8 parts of `[A-Za-z0-9_.-]{1,128}` joined by `/`, no part
/// beginning with a dot. A key that exists can be a path, an URL and an S3 key as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// [`Error::BadKey`] when there are too many parts, or a part is empty, too long, begins with
    /// a dot (temporary names do) or has another character.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.split('/').count() <= PARTS && name.split('/').all(is_part) {
            Ok(Self(name.into()))
        } else {
            // Shown in logs: a hostile name is neither repeated whole nor unescaped.
            let start: String = name.chars().take(64).collect();
            Err(Error::BadKey(start.escape_debug().to_string()))
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when the key is below `prefix`: its first whole parts; "" is above every key.
    pub fn is_under(&self, prefix: &str) -> bool {
        prefix.is_empty()
            || self
                .0
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_part(part: &str) -> bool {
    (1..=PART_BYTES).contains(&part.len())
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_could_leave_the_root() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/../b",
            ".hidden",
            "a/.b",
            "a b",
            "a\\b",
            "a\0",
            "ü",
            "a?b",
            "1/2/3/4/5/6/7/8/9",
        ] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert!(Key::new(&"a".repeat(129)).is_err());
    }

    #[test]
    fn accepts_the_limits() {
        assert!(Key::new(&"a".repeat(128)).is_ok());
        assert!(Key::new("1/2/3/4/5/6/7/8").is_ok());
        assert!(Key::new("AZaz09_-/x.ts").is_ok());
    }

    #[test]
    fn under_means_whole_parts() {
        let key = Key::new("ab/c").unwrap();
        assert!(key.is_under("") && key.is_under("ab"));
        assert!(!key.is_under("a") && !key.is_under("ab/c"));
    }

    proptest! {
        #[test]
        fn a_key_is_its_text_and_stays_below_the_root(text in "\\PC{0,40}|[a./_-]{0,24}") {
            if let Ok(key) = Key::new(&text) {
                prop_assert_eq!(key.as_str(), &text);
                let path = std::path::Path::new(key.as_str());
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }

        #[test]
        fn every_well_formed_name_is_a_key(text in "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}){0,7}") {
            prop_assert!(Key::new(&text).is_ok());
        }
    }
}
