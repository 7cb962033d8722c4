//! The `search` parameter of lists. It does not know what is searched.

use super::{Failure, Request};

/// Longest text that is searched for, characters.
const CHARS_MAX: usize = 200;

/// What a list is searched for; `None` when for nothing.
///
/// # Errors
/// 400 for a text that is too long, or holds the one character that no text holds.
pub(super) fn search(request: &Request) -> Result<Option<String>, Failure> {
    let Some(text) = request.query("search").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > CHARS_MAX {
        let words = format!("Ensure this value has at most {CHARS_MAX} characters.");
        return Err(Failure::field("search", words));
    }
    // SQLite's LIKE would stop there and find everything.
    if text.contains('\0') {
        return Err(Failure::field("search", "Null characters are not allowed."));
    }
    Ok(Some(text.to_owned()))
}
