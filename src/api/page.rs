//! The paginator of every list: `limit`, `offset`, and links to the neighbouring pages. It does not
//! know what is listed.

use serde_json::{Value, json};

use super::{
    reply::{Failure, Reply},
    request::{Request, encode},
};

/// Rows of a page that names no limit.
const LIMIT: u64 = 20;
/// Most rows of a page; a greater `limit` means this one.
const LIMIT_MAX: u64 = 100;

/// Which rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most: 1 to 100.
    pub limit: u64,
    /// Rows before the first, at most 2^63 - 1.
    pub offset: u64,
}

impl Page {
    /// Reads `limit` and `offset`.
    ///
    /// # Errors
    /// 400 for what is no number, negative, or a limit of 0.
    pub fn of(request: &Request) -> Result<Self, Failure> {
        let limit = number(request, "limit", 1)?.unwrap_or(LIMIT);
        Ok(Self {
            limit: limit.min(LIMIT_MAX),
            offset: number(request, "offset", 0)?.unwrap_or(0),
        })
    }

    /// The page: `count` rows in all, `results` those of this page.
    pub fn reply(&self, request: &Request, count: u64, results: Vec<Value>) -> Reply {
        let after = self.offset.saturating_add(self.limit);
        let next = (after < count).then(|| self.link(request, after));
        let before = self.offset.saturating_sub(self.limit);
        let previous = (self.offset > 0).then(|| self.link(request, before));
        let body = json!({
            "count": count, "next": next, "previous": previous, "results": results,
        });
        Reply::b(200, body)
    }

    /// This list from another row on, with every other parameter as it was.
    fn link(&self, request: &Request, offset: u64) -> String {
        let head = &request.head;
        let others = head.query.iter();
        let mut pairs: Vec<_> = others
            .filter(|(name, _)| name != "limit" && name != "offset")
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.push(format!("limit={}", self.limit));
        pairs.push(format!("offset={offset}"));
        format!("{}{}?{}", request.urls.http, head.path, pairs.join("&"))
    }
}

/// A number of the query, at least `least`; `None` when it is not there.
///
/// # Errors
/// 400, naming it.
pub(super) fn number(request: &Request, name: &str, least: u64) -> Result<Option<u64>, Failure> {
    let Some(text) = request.query(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(number) if digits && number < least => Err(Failure::field(
            name,
            format!("Ensure this value is greater than or equal to {least}."),
        )),
        Ok(number) if digits && i64::try_from(number).is_ok() => Ok(Some(number)),
        _ => Err(Failure::field(name, "A valid integer is required.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::request;

    fn page(query: &str) -> Result<Page, Failure> {
        Page::of(&request("GET", &format!("/questions/?{query}"), ""))
    }

    #[test]
    fn limits_are_clamped_and_nonsense_is_refused() {
        let of = |limit, offset| Ok(Page { limit, offset });
        assert_eq!(page(""), of(20, 0));
        assert_eq!(page("limit=&offset="), of(20, 0));
        assert_eq!(page("limit=7&offset=3"), of(7, 3));
        assert_eq!(page("limit=101"), of(100, 0));
        for (query, field) in [
            ("limit=abc", "limit"),
            ("limit=-1", "limit"),
            ("limit=0", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=1.5", "limit"),
            ("offset=-1", "offset"),
            ("offset=99999999999999999999", "offset"),
            ("offset=9223372036854775808", "offset"),
            ("offset=1'--", "offset"),
        ] {
            let Err(Failure::Fields(faults)) = page(query) else {
                unreachable!("{query} was taken");
            };
            assert_eq!(faults[0].0, field, "{query}");
        }
    }

    #[test]
    fn links_keep_the_other_parameters() {
        let asked = request("GET", "/questions/?search=a%26b&limit=2&offset=3", "");
        let page = Page::of(&asked).unwrap();
        let reply = page.reply(&asked, 9, vec![json!(1), json!(2)]);
        let expected = json!({
            "count": 9,
            "next": "http://test.example/questions/?search=a%26b&limit=2&offset=5",
            "previous": "http://test.example/questions/?search=a%26b&limit=2&offset=1",
            "results": [1, 2],
        });
        assert_eq!(*reply.json(), expected);
        let all = page.reply(&request("GET", "/questions", ""), 5, vec![]);
        assert_eq!(all.json()["next"], Value::Null);
        let first = Page {
            limit: 20,
            offset: 0,
        }
        .reply(&asked, 20, vec![]);
        assert_eq!(first.json()["next"], Value::Null);
        assert_eq!(first.json()["previous"], Value::Null);
    }
}
