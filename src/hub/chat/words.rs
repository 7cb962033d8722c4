//! Text as it is kept, counted and searched for blocked words. It does not know what is done with a
//! message that has one.

use unicode_normalization::UnicodeNormalization as _;

/// Words that a message may not contain, as they are compared.
#[derive(Clone, Debug, Default)]
pub struct BlockedWords(Vec<String>);

impl BlockedWords {
    /// As configured: `chat.blocked_words`.
    pub fn new(words: &[String]) -> Self {
        let folded = words.iter().map(|word| fold(word));
        Self(folded.filter(|word| !word.is_empty()).collect())
    }

    /// Whether one of them stands in `text` as a word: whatever the case, the width of letters, and
    /// invisible characters within it.
    pub fn found_in(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let text = fold(text);
        self.0.iter().any(|word| contains_word(&text, word))
    }
}

/// The text as it is kept: composed (NFC), without control characters and outer space. NFKC would
/// change what people wrote, such as `x²`.
pub(super) fn plain(text: &str) -> String {
    let visible = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.nfc().filter(visible).collect();
    text.trim().to_owned()
}

/// Characters after NFKC, as the limit counts them.
pub(super) fn count(text: &str) -> usize {
    text.nfkc().count()
}

/// What makes two spellings the same: NFKC and case folded, without invisible characters.
fn fold(text: &str) -> String {
    let wide: String = text.nfkc().collect();
    let folded = wide.to_uppercase().to_lowercase();
    let words = folded.nfkc().filter(|c| !is_invisible(*c));
    words.collect::<String>().trim().to_owned()
}

/// Characters that show nothing and would cut a word in two for the comparison only.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !joins(before, word.chars().next()) && !joins(word.chars().next_back(), after)
    })
}

/// Whether two neighbours belong to one word. Scripts that write without spaces have no such bond.
fn joins(left: Option<char>, right: Option<char>) -> bool {
    let bound = |c: char| c.is_alphanumeric() && !('\u{2e80}'..='\u{d7ff}').contains(&c);
    matches!((left, right), (Some(left), Some(right)) if bound(left) && bound(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_word_is_found_however_it_is_written() {
        let words = ["Spam", "straße", "mala palabra", "禁止", " "].map(str::to_owned);
        let blocked = BlockedWords::new(&words);
        for text in [
            "spam",
            "SPAM!",
            "(spam)",
            "a spam b",
            "ｓｐａｍ",
            "s\u{200b}pam",
            "STRASSE",
            "una MALA palabra.",
            "这是禁止的",
        ] {
            assert!(blocked.found_in(text), "{text}");
        }
        for text in ["spammer", "antispam", "mala", "", "sp am"] {
            assert!(!blocked.found_in(text), "{text}");
        }
        assert!(!BlockedWords::new(&[]).found_in("spam"));
    }

    #[test]
    fn text_keeps_what_people_wrote() {
        assert_eq!(plain(" x² \u{7}ﬁ\n"), "x² ﬁ");
        assert_eq!(plain("e\u{301}"), "é");
        assert_eq!(plain("\u{0}\u{1b} "), "");
        assert_eq!(count("ﷺ"), 18);
        assert_eq!(count("👩‍👩‍👧"), 5);
    }
}
