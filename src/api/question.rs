//! Security questions that an account may answer at its creation. It does not know the answers.

use serde_json::json;

use super::reply::Reply;

/// The questions; a question's number is its place, from 1, and never changes.
const QUESTIONS: [&str; 8] = [
    "What was the name of your first pet?",
    "What is your mother's maiden name?",
    "In which city were you born?",
    "What was the name of your first school?",
    "What was your childhood nickname?",
    "What was the model of your first car?",
    "What is the name of your favourite teacher?",
    "In which city did your parents meet?",
];

/// GET /question/: a bare list.
pub(super) fn list() -> Reply {
    let numbered = QUESTIONS.iter().zip(1..);
    let all: Vec<_> = numbered
        .map(|(question, id)| json!({ "id": id, "question": question }))
        .collect();
    Reply::b(200, all.into())
}

/// The number of a question, given by its number or its words.
pub(super) fn number(text: &str) -> Option<i64> {
    let mut numbered = QUESTIONS.iter().zip(1..);
    numbered
        .find(|(question, id)| **question == text || id.to_string() == text)
        .map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_numbered_from_one() {
        let reply = list();
        assert_eq!(reply.json()[0]["id"], 1);
        for row in reply.json().as_array().unwrap() {
            let id = row["id"].as_i64();
            assert_eq!(number(&row["id"].to_string()), id);
            assert_eq!(number(row["question"].as_str().unwrap()), id);
        }
        assert_eq!(number("0"), None);
        assert_eq!(number("Why?"), None);
    }
}
