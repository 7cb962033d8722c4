//! What is wrong with a frame's data, in words for whoever wrote the client: which field, and what it
//! must be. It does not know which frames there are.

use serde_json::Value;

/// Most fields that are named when several have the value that does not fit.
const NAMES_MAX: usize = 3;
/// Longest name that is repeated, bytes; ours are shorter.
const NAME_BYTES_MAX: usize = 40;

/// The words for `error`, which serde gave for `text`, a JSON object. No value is repeated.
pub(super) fn words(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    // Without serde's position, which is of no use inside a frame.
    let said = said
        .rsplit_once(" at line ")
        .map_or(&*said, |(what, _)| what);
    if let Some(name) = said.strip_prefix("missing field ") {
        return format!("The field {} is missing.", name.trim_matches('`'));
    }
    if let Some(name) = said.strip_prefix("duplicate field ") {
        return format!("The field {} is there twice.", name.trim_matches('`'));
    }
    let Some((found, expected)) = said.rsplit_once(", expected ") else {
        return "The data is not as expected.".into();
    };
    let mut names = vec![];
    if let Ok(value) = serde_json::from_str(text) {
        collect(&value, "", found, &mut names);
    }
    let which = match names.as_slice() {
        [] => "A field of the data".to_owned(),
        [name] => format!("The field {name}"),
        [some @ .., last] => format!("The field {} or {last}", some.join(", ")),
    };
    format!("{which} must be {}.", form(expected))
}

/// Names the fields below `value` that hold what serde `found`.
fn collect(value: &Value, above: &str, found: &str, names: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let name = format!("{above}{name}");
        if names.len() == NAMES_MAX || name.len() > NAME_BYTES_MAX {
            continue;
        }
        collect(value, &format!("{name}."), found, names);
        if is(value, found) && names.len() < NAMES_MAX {
            names.push(name);
        }
    }
}

/// Whether serde calls `value` so.
fn is(value: &Value, found: &str) -> bool {
    let found = found
        .strip_prefix("invalid type: ")
        .or_else(|| found.strip_prefix("invalid value: "))
        .unwrap_or(found);
    match value {
        Value::Null => matches!(found, "null" | "unit value"),
        Value::Bool(value) => found == format!("boolean `{value}`"),
        Value::Number(value) => {
            found == format!("integer `{value}`") || found == format!("floating point `{value}`")
        }
        Value::String(value) => {
            found == format!("string {value:?}") || found == format!("unknown variant `{value}`")
        }
        Value::Array(_) => found == "sequence",
        Value::Object(_) => found == "map",
    }
}

/// What serde expected, without the names of types.
fn form(expected: &str) -> String {
    match expected {
        "f32" | "f64" => "a number".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on".into(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".into(),
        "a string" | "a boolean" => expected.into(),
        "string or map" | "variant identifier" => "a string".into(),
        _ if expected.contains('`') => expected.replace('`', ""),
        // A struct, by whatever name.
        _ => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Offer,
        Answer,
        Rollback,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        kind: Kind,
        line: Option<u16>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Plain {
        message: String,
        seconds: Option<f64>,
        on: Option<bool>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "action", rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Tagged {
        Slow { seconds: f64 },
        Pin { id: String },
    }

    fn told<T: for<'a> Deserialize<'a> + std::fmt::Debug>(text: &str) -> String {
        words(text, &serde_json::from_str::<T>(text).unwrap_err())
    }

    #[test]
    fn the_field_is_named_and_what_it_must_be() {
        for (text, expected) in [
            ("{}", "The field message is missing."),
            (r#"{"message":7}"#, "The field message must be a string."),
            (r#"{"message":[1]}"#, "The field message must be a string."),
            (
                r#"{"message":{"a":1}}"#,
                "The field message must be a string.",
            ),
            (r#"{"message":null}"#, "The field message must be a string."),
            (
                r#"{"message":"a","message":"b"}"#,
                "The field message is there twice.",
            ),
            (
                r#"{"message":"a","seconds":"1"}"#,
                "The field seconds must be a number.",
            ),
            (
                r#"{"message":"a","on":1.5}"#,
                "The field on must be a boolean.",
            ),
            (
                r#"{"message":"a","inner":"at line 1, expected u8"}"#,
                "The field inner must be an object.",
            ),
            (
                r#"{"message":"a","inner":{"kind":"hack"}}"#,
                "The field inner.kind must be one of offer, answer, rollback.",
            ),
            (
                r#"{"message":"a","inner":{"kind":"offer","line":-1}}"#,
                "The field inner.line must be a whole number from 0 on.",
            ),
            // Which of the two serde meant cannot be known.
            (
                r#"{"message":7,"other":7}"#,
                "The field message or other must be a string.",
            ),
        ] {
            assert_eq!(told::<Plain>(text), expected, "{text}");
        }
    }

    #[test]
    fn also_where_a_field_says_what_the_others_are() {
        for (text, expected) in [
            ("{}", "The field action is missing."),
            (r#"{"action":"x"}"#, "The field action must be slow or pin."),
            (r#"{"action":"pin"}"#, "The field id is missing."),
            (
                r#"{"action":"pin","id":7}"#,
                "The field id must be a string.",
            ),
            (
                r#"{"action":"slow","seconds":true}"#,
                "The field seconds must be a number.",
            ),
        ] {
            assert_eq!(told::<Tagged>(text), expected, "{text}");
        }
    }

    #[test]
    fn no_more_is_repeated_than_helps() {
        let long = "x".repeat(100);
        let text = format!(r#"{{"message":7,"{long}":7,"a":7,"b":7,"c":7}}"#);
        let told = told::<Plain>(&text);
        assert!(told.len() < 100 && !told.contains(&long), "{told}");
    }
}
