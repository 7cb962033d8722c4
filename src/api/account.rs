//! The fields of an account as bodies bring them, parsed into names and dates. It does not know
//! which call they are for.

use super::{
    fields::{Fields, Text},
    question,
};
use crate::{
    db::Profile,
    person::{Email, Phone, Username},
    time::Date,
};

/// Fewest and most characters of a password.
const PASSWORD_CHARS_MIN: usize = 8;
const PASSWORD_CHARS_MAX: usize = 128;
/// Most characters of what names a user at a login.
const LOGIN_CHARS_MAX: usize = 254;
const GENDERS: [&str; 3] = ["male", "female", "other"];

/// `username`, new.
pub(super) fn username(fields: &mut Fields) -> Option<Username> {
    let text = fields.required("username", Text::line(Username::CHARS_MAX));
    let name = Username::parse(&text);
    if name.is_none() && !text.is_empty() {
        fields.refuse("username", Username::RULE);
    }
    name
}

/// `email`, new.
pub(super) fn email(fields: &mut Fields) -> Option<Email> {
    let text = fields.required("email", Text::line(254));
    let email = Email::parse(&text);
    if email.is_none() && !text.is_empty() {
        fields.refuse("email", "Enter a valid email address.");
    }
    email
}

/// A new password under the name `field`.
pub(super) fn new_password(fields: &mut Fields, field: &str) -> String {
    let text = fields.required(field, Text::exact(PASSWORD_CHARS_MAX));
    if !text.is_empty() && text.chars().count() < PASSWORD_CHARS_MIN {
        let words = format!(
            "This password is too short. It must contain at least {PASSWORD_CHARS_MIN} characters."
        );
        fields.refuse(field, words);
    }
    text
}

/// A password that somebody claims to know.
pub(super) fn password(fields: &mut Fields) -> String {
    fields.required("password", Text::exact(PASSWORD_CHARS_MAX))
}

/// `username` at a login: a username, an e-mail address or a phone number.
pub(super) fn login(fields: &mut Fields) -> String {
    fields.required("username", Text::line(LOGIN_CHARS_MAX))
}

/// Whose password is forgotten: `username` as at a login, or the same under a name of its own.
pub(super) fn forgotten(fields: &mut Fields) -> String {
    for name in ["username", "email", "phone"] {
        if fields.has_value(name) {
            return fields.required(name, Text::line(LOGIN_CHARS_MAX));
        }
    }
    fields.required("username", Text::line(LOGIN_CHARS_MAX))
}

/// The rest of a person, over what is known: fields that are not named stay as they are.
pub(super) fn person(fields: &mut Fields, known: Profile) -> Profile {
    let absent_if_empty = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut to = known;
    if let Some(name) = fields.given("first_name", Text::line(150)) {
        to.first_name = name;
    }
    if let Some(name) = fields.given("last_name", Text::line(150)) {
        to.last_name = name;
    }
    if let Some(country) = fields.given("country", Text::line(100)) {
        to.country = absent_if_empty(country);
    }
    if let Some(gender) = fields.choice("gender", &GENDERS) {
        to.gender = absent_if_empty(gender);
    }
    if let Some(text) = fields.given("phone", Text::line(32)) {
        to.phone = Phone::parse(&text);
        if to.phone.is_none() && !text.is_empty() {
            fields.refuse("phone", "Enter a valid phone number: 5 to 15 digits.");
        }
    }
    if let Some(text) = fields.given("birth_date", Text::line(10)) {
        let date = Date::parse(&text).filter(|date| date.year >= 1900);
        to.birth_date = date.map(|date| date.to_string());
        if to.birth_date.is_none() && !text.is_empty() {
            fields.refuse(
                "birth_date",
                "Date has wrong format. Use one of these formats instead: YYYY-MM-DD, YYYY/MM/DD.",
            );
        }
    }
    to
}

/// Somebody of whom only the address is known.
pub(super) fn stranger(email: Email) -> Profile {
    Profile {
        email,
        phone: None,
        first_name: String::new(),
        last_name: String::new(),
        birth_date: None,
        country: None,
        gender: None,
    }
}

/// `question_1`, `answer_1`, `question_2`, `answer_2`: each question with its answer or neither.
pub(super) fn answers(fields: &mut Fields) -> Vec<(i64, String)> {
    let mut answers = vec![];
    for (question, answer) in [("question_1", "answer_1"), ("question_2", "answer_2")] {
        let asked = fields.given(question, Text::line(200)).unwrap_or_default();
        let answered = fields.given(answer, Text::line(200)).unwrap_or_default();
        match (asked.is_empty(), answered.is_empty()) {
            (true, true) => {}
            (true, false) => fields.refuse(question, "This field is required."),
            (false, true) => fields.refuse(answer, "This field is required."),
            (false, false) => match question::number(&asked) {
                Some(number) => answers.push((number, answered)),
                None => fields.refuse(question, "Not one of the questions of /question/."),
            },
        }
    }
    answers
}

/// Words for fields that somebody else has already.
pub(super) fn taken(names: &[&str]) -> super::Failure {
    let words = |name: &&str| {
        let words = format!("A user with that {name} already exists.");
        ((*name).to_owned(), words)
    };
    super::Failure::Fields(names.iter().map(words).collect())
}
