//! The frames of questions: what clients send, read once, and what they are sent. It does not know
//! which question may become what.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Question, State};
use crate::{
    hub::{
        effects::Refusal,
        wire::{self, ErrorCode, Frame, encode},
    },
    time::rfc3339,
};

/// What a member asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `question`
    Ask {
        /// As sent.
        text: String,
        /// Hide the author from all but the owner.
        anonymous: bool,
    },
    /// `question_vote`
    Vote {
        /// Which question.
        id: u64,
        /// Whether the vote is to stand.
        stands: bool,
    },
    /// `question_state`
    Move {
        /// Which question.
        id: u64,
        /// What it becomes.
        to: State,
        /// The answer in writing, if it is answered so.
        answer: Option<String>,
    },
    /// `question_pin`
    Pin {
        /// Which question.
        id: u64,
        /// Whether it stands above the others.
        pinned: bool,
    },
}

#[derive(Deserialize)]
struct Ask {
    text: String,
    anonymous: Option<bool>,
}

#[derive(Deserialize)]
struct Vote {
    id: String,
    vote: i64,
}

#[derive(Deserialize)]
struct Move {
    id: String,
    state: String,
    answer: Option<String>,
}

#[derive(Deserialize)]
struct Pin {
    id: String,
    pinned: bool,
}

impl Command {
    /// Reads the data of a frame of type `kind`; `None` when the type is not one of questions'.
    pub fn parse(kind: &str, data: Option<&RawValue>) -> Option<Result<Self, Refusal>> {
        Some(match kind {
            "question" => wire::data::<Ask>(data).map(|Ask { text, anonymous }| Self::Ask {
                text,
                anonymous: anonymous.unwrap_or(false),
            }),
            "question_vote" => wire::data(data).and_then(Self::vote),
            "question_state" => wire::data(data).and_then(Self::to_state),
            "question_pin" => wire::data::<Pin>(data).and_then(|Pin { id, pinned }| {
                let id = number(&id)?;
                Ok(Self::Pin { id, pinned })
            }),
            _ => return None,
        })
    }

    fn vote(Vote { id, vote }: Vote) -> Result<Self, Refusal> {
        let stands = match vote {
            1 => true,
            0 => false,
            _ => return Err(bad("A vote is 1 or 0.")),
        };
        let id = number(&id)?;
        Ok(Self::Vote { id, stands })
    }

    fn to_state(Move { id, state, answer }: Move) -> Result<Self, Refusal> {
        let to = State::parse(&state)
            .ok_or_else(|| bad("A state is open, live, answered or dismissed."))?;
        let id = number(&id)?;
        Ok(Self::Move { id, to, answer })
    }
}

/// Ids are texts on the wire and numbers inside; one that was never given names nothing.
fn number(id: &str) -> Result<u64, Refusal> {
    let digits = id.bytes().all(|b| b.is_ascii_digit()) && !id.starts_with('0');
    let number = id.parse().ok().filter(|_| digits);
    number.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no such question."))
}

fn bad(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

/// A question as frames carry it.
#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    text: &'a str,
    user: Option<&'a str>,
    votes: usize,
    state: &'static str,
    answer: Option<&'a str>,
    answered_offset_s: Option<f64>,
    pinned: bool,
    duplicate_of: Option<String>,
    created_at: String,
}

impl<'a> Shown<'a> {
    fn of(question: &'a Question, to_owner: bool) -> Self {
        let row = &question.row;
        Self {
            id: row.id.to_string(),
            text: &row.text,
            user: (to_owner || !row.anonymous).then_some(&*row.author),
            votes: question.voters.len(),
            state: question.state.as_str(),
            answer: row.answer.as_deref(),
            answered_offset_s: row.answered_offset_s,
            pinned: row.pinned,
            duplicate_of: row.duplicate_of.map(|id| id.to_string()),
            created_at: rfc3339(row.created_at_ms),
        }
    }
}

/// `question` or `question_updated`.
pub(super) fn one(kind: &str, question: &Question, to_owner: bool) -> Frame {
    encode(kind, &Shown::of(question, to_owner))
}

/// `questions`
pub(super) fn list(questions: &[&Question], to_owner: bool) -> Frame {
    #[derive(Serialize)]
    struct List<'a> {
        items: Vec<Shown<'a>>,
    }
    let items = questions.iter();
    let items = items.map(|q| Shown::of(q, to_owner)).collect();
    encode("questions", &List { items })
}

/// `my_votes`
pub(super) fn my_votes(ids: Vec<String>) -> Frame {
    #[derive(Serialize)]
    struct Ids {
        ids: Vec<String>,
    }
    encode("my_votes", &Ids { ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, data: &str) -> Result<Command, ErrorCode> {
        let data: &RawValue = serde_json::from_str(data).unwrap();
        let command = Command::parse(kind, Some(data)).expect("a type of questions");
        command.map_err(|refusal| refusal.code)
    }

    #[test]
    fn frames_are_read_and_unknown_fields_ignored() {
        assert_eq!(
            parse("question", r#"{"text":"Why?","anonymous":true,"x":[1]}"#),
            Ok(Command::Ask {
                text: "Why?".into(),
                anonymous: true
            })
        );
        assert_eq!(
            parse("question_vote", r#"{"id":"7","vote":0}"#),
            Ok(Command::Vote {
                id: 7,
                stands: false
            })
        );
        assert_eq!(
            parse("question_state", r#"{"id":"7","state":"answered"}"#),
            Ok(Command::Move {
                id: 7,
                to: State::Answered,
                answer: None
            })
        );
        assert!(Command::parse("chat", None).is_none());
    }

    #[test]
    fn what_is_not_as_expected_is_refused() {
        for (kind, data) in [
            ("question", "{}"),
            ("question", r#"{"text":7}"#),
            ("question_vote", r#"{"id":"1","vote":2}"#),
            ("question_vote", r#"{"id":"1","vote":true}"#),
            ("question_vote", r#"{"id":1,"vote":1}"#),
            ("question_state", r#"{"id":"1","state":"closed"}"#),
            ("question_pin", r#"{"id":"1"}"#),
        ] {
            assert_eq!(parse(kind, data), Err(ErrorCode::BadMessage), "{data}");
        }
        for id in ["", "x", "-1", "+1", "01", "99999999999999999999"] {
            let data = format!(r#"{{"id":"{id}","vote":1}}"#);
            assert_eq!(parse("question_vote", &data), Err(ErrorCode::NotFound));
        }
    }
}
