//! The words of a question: what is kept of them, how long they are, and when two say the same. It
//! does not know who wrote them.

use unicode_normalization::UnicodeNormalization as _;

use crate::hub::{effects::Refusal, wire::ErrorCode};

/// Text as it is shown: without control characters other than line breaks, trimmed.
///
/// # Errors
/// `bad_message` when nothing is left, `too_long` above `chars_max` characters after NFKC.
pub(super) fn clean(text: &str, chars_max: usize) -> Result<String, Refusal> {
    let kept: String = text
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect();
    let kept = kept.trim();
    if kept.is_empty() {
        return Err(Refusal::new(ErrorCode::BadMessage, "The text is empty."));
    }
    if kept.nfkc().nth(chars_max).is_some() {
        return Err(Refusal::new(
            ErrorCode::TooLong,
            format!("The text is longer than {chars_max} characters."),
        ));
    }
    Ok(kept.to_owned())
}

/// What two texts that ask the same have in common: NFKC, case, white space and the punctuation at
/// the end do not count.
pub(super) fn normal(text: &str) -> String {
    // Upper case first, so that `ß` and `ss`, `σ` and `ς` become the same.
    let folded: String = text
        .nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect();
    let words: Vec<_> = folded.split_whitespace().collect();
    let joined = words.join(" ");
    let bare = joined.trim_end_matches(|c: char| c.is_whitespace() || is_closing(c));
    // "???" is a question too.
    let same = if bare.is_empty() { &joined } else { bare };
    same.to_owned()
}

/// Punctuation that ends a sentence, in the scripts that NFKC leaves it distinct in.
fn is_closing(c: char) -> bool {
    c.is_ascii_punctuation() && !")]}\"'%#$+".contains(c) || "…。¿¡؟۔।؛‽".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_words_are_the_same() {
        let pairs = [
            ("When is the next show?", " when  IS the\nnext show ?! "),
            ("Straße?", "STRASSE"),
            ("ﬁn", "FIN."),
            ("Ｗｈｅｎ", "when"),
            ("ΟΔΟΣ", "οδος"),
            ("cafe\u{301}", "CAFÉ"),
        ];
        for (a, b) in pairs {
            assert_eq!(normal(a), normal(b), "{a} / {b}");
        }
        for (a, b) in [("C", "C#"), ("C", "C++"), ("now", "not now"), ("?", "!")] {
            assert_ne!(normal(a), normal(b), "{a} / {b}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_nfkc() {
        assert_eq!(clean(" a\u{0}b\t\nc ", 4).unwrap(), "ab\nc");
        assert_eq!(clean("ñandú", 5).unwrap(), "ñandú");
        // One character that NFKC writes as 18.
        assert_eq!(clean("\u{fdfa}", 17).unwrap_err().code, ErrorCode::TooLong);
        assert!(clean("cafe\u{301}", 4).is_ok());
        for empty in ["", "  \n ", "\u{7}"] {
            assert_eq!(clean(empty, 9).unwrap_err().code, ErrorCode::BadMessage);
        }
    }

    proptest! {
        #[test]
        fn normal_text_is_its_own_normal_form(text in "\\PC{0,40}") {
            let once = normal(&text);
            prop_assert_eq!(normal(&once), once);
        }
    }
}
