//! What names a person: username, e-mail address, phone number. Each has the text its owner wrote
//! and a key; two with the same key are the same. It does not know who has which.

use unicode_normalization::UnicodeNormalization as _;

/// Fewest and most characters of a username.
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=30;
/// Longest e-mail address and local part, bytes (RFC 5321 4.5.3.1).
const EMAIL_BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
/// Digits of a phone number (E.164 allows 15).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// A username: 3 to 30 letters, digits, `.`, `_` or `-` after NFKC, at least one of them a letter, the
/// first none of `.` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    text: String,
    key: String,
}

/// An e-mail address: what SMTP servers take unquoted, in a domain with a dot or `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    text: String,
    key: String,
}

/// A phone number: 5 to 15 digits, perhaps after `+` and with spaces, dots, dashes and brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    text: String,
    key: String,
}

macro_rules! keyed {
    ($($name:ty),*) => {$(
        impl $name {
            /// As its owner wrote it.
            pub fn as_str(&self) -> &str {
                &self.text
            }
            /// The same for all texts that mean the same.
            pub fn key(&self) -> &str {
                &self.key
            }
        }
    )*};
}
keyed!(Username, Email, Phone);

impl Username {
    /// What is asked of a username, for people.
    pub const RULE: &str = "Enter a valid username: 3 to 30 letters, digits, \".\", \"_\" or \"-\", \
                            with at least one letter, not beginning with \".\" or \"-\".";
    /// Most characters.
    pub const CHARS_MAX: usize = *USERNAME_CHARS.end();

    /// Parses a username; `None` when it has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.nfkc().collect();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = USERNAME_CHARS.contains(&text.chars().count())
            && text.chars().all(allowed)
            && text.chars().any(char::is_alphabetic)
            && !text.starts_with(['.', '-']);
        let key = fold(&text);
        good.then_some(Self { text, key })
    }

    /// The key to look any text up by; what is no username has a key that nobody has.
    pub fn key_of(text: &str) -> String {
        // Longer ones exist nowhere, and are not worth folding.
        Self::parse(text.get(..1024).unwrap_or(text)).map_or_else(String::new, |name| name.key)
    }
}

impl Email {
    /// Parses an address; `None` when it has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c);
        let good_local = (1..=LOCAL_BYTES_MAX).contains(&local.len())
            && local.chars().all(atom)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let good_domain = domain.split('.').all(label)
            && (domain.contains('.') || domain.eq_ignore_ascii_case("localhost"));
        (good_local && good_domain && text.len() <= EMAIL_BYTES_MAX).then(|| Self {
            text: text.to_owned(),
            key: text.to_ascii_lowercase(),
        })
    }
}

impl Phone {
    /// Parses a number; `None` when it has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text.strip_prefix('+').unwrap_or(text);
        let allowed = |c: char| c.is_ascii_digit() || " .-()".contains(c);
        let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
        let good = bare.chars().all(allowed) && text.len() <= 32;
        (good && PHONE_DIGITS.contains(&digits.len())).then(|| Self {
            text: text.to_owned(),
            key: digits,
        })
    }
}

/// Case folding as far as the standard library has it: by way of upper case, where `ß` and `ss` meet.
fn fold(text: &str) -> String {
    text.to_uppercase().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> String {
        Username::parse(text).unwrap().key
    }

    #[test]
    fn usernames_that_look_the_same_are_the_same() {
        assert_eq!(key("Ana"), key("aNA"));
        // Composed and decomposed, full width, German sharp s.
        assert_eq!(key("Jos\u{e9}"), key("jose\u{301}"));
        assert_eq!(key("\u{ff21}\u{ff4e}\u{ff41}"), key("ana"));
        assert_eq!(key("Stra\u{df}e"), key("STRASSE"));
        assert_ne!(key("ana"), key("ana."));
        assert_eq!(Username::parse("\u{ff21}na").unwrap().as_str(), "Ana");
    }

    #[test]
    fn usernames_have_a_form() {
        for good in ["ana", "a.b", "_a_", "名前です", "x-1", &"a".repeat(30)] {
            assert!(Username::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "123",
            "..",
            "-ab",
            ".ab",
            "a b",
            "a/b",
            "a@b",
            "a'b",
            "a\0b",
            "a\u{202e}b",
            "a%2f",
            &"a".repeat(31),
            &"a".repeat(300),
        ] {
            assert_eq!(Username::parse(bad), None, "{bad}");
            assert_eq!(Username::key_of(bad), "", "{bad}");
        }
        assert_eq!(Username::key_of(&"é".repeat(5000)), "");
    }

    #[test]
    fn addresses_have_a_form() {
        for good in ["a@b.example", "A.b+c@x-y.example", "root@localhost"] {
            let email = Email::parse(good).unwrap();
            assert_eq!(email.key(), good.to_lowercase());
        }
        for bad in [
            "",
            "a",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.de",
            "a@b@c.de",
            "a..b@c.de",
            ".a@c.de",
            "a@-b.de",
            "a@b..de",
            "a@b.de\r\nBcc: x@y.de",
            "\"a\"@b.de",
            "<a@b.de>",
            "a@b.de,c@d.de",
        ] {
            assert_eq!(Email::parse(bad), None, "{bad}");
        }
        assert_eq!(Email::parse(&format!("{}@b.example", "a".repeat(65))), None);
    }

    #[test]
    fn phones_are_their_digits() {
        let phone = Phone::parse("+34 (600) 111-222").unwrap();
        assert_eq!(phone.key(), "34600111222");
        assert_eq!(phone.as_str(), "+34 (600) 111-222");
        for bad in ["", "1234", "1+2345", "phone", "12345678901234567", "+"] {
            assert_eq!(Phone::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_username_read_again_is_the_same(text in "\\PC{0,40}") {
            if let Some(name) = Username::parse(&text) {
                prop_assert_eq!(Username::parse(name.as_str()), Some(name.clone()));
                prop_assert_eq!(Username::key_of(&text), name.key());
            }
            let _ = (Email::parse(&text), Phone::parse(&text));
        }
    }
}
