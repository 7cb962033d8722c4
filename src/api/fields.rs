//! Reads a body's fields and collects what is wrong with each, in the words that clients of the
//! platform know. It does not know which fields there are; those that nobody reads are ignored.

use serde_json::{Map, Value};

use super::{
    reply::Failure,
    request::{self, Request},
};

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    max_chars: usize,
    lines: bool,
    trim: bool,
}

impl Text {
    /// One line, white space around it dropped.
    pub const fn line(max_chars: usize) -> Self {
        Self {
            max_chars,
            lines: false,
            trim: true,
        }
    }
    /// Several lines.
    pub const fn lines(max_chars: usize) -> Self {
        Self {
            max_chars,
            lines: true,
            trim: true,
        }
    }
    /// Taken as it is: a password.
    pub const fn exact(max_chars: usize) -> Self {
        Self {
            max_chars,
            lines: false,
            trim: false,
        }
    }
}

/// A body's fields and the faults found so far.
#[derive(Debug)]
pub struct Fields {
    values: Map<String, Value>,
    faults: Vec<(String, String)>,
}

impl Fields {
    /// Reads a JSON object or a form; no body is an object without fields.
    ///
    /// # Errors
    /// 415 for other types, 400 for a body that is not what its type says.
    pub fn read(request: &Request) -> Result<Self, Failure> {
        let values = match request.media_type().as_deref() {
            _ if request.body.is_empty() => Map::new(),
            None | Some("application/json") => object(&request.body)?,
            Some("application/x-www-form-urlencoded") => form(&request.body)?,
            Some(other) => return Err(Failure::media_type(other)),
        };
        Ok(Self {
            values,
            faults: vec![],
        })
    }

    /// A text that must be there; empty when it is not, which [`Fields::finish`] then reports.
    pub fn required(&mut self, name: &str, form: Text) -> String {
        match self.values.get(name) {
            None => self.refuse(name, "This field is required."),
            Some(Value::Null) => self.refuse(name, "This field may not be null."),
            Some(_) => match self.given(name, form) {
                Some(text) if text.is_empty() => self.refuse(name, "This field may not be blank."),
                Some(text) => return text,
                None => {}
            },
        }
        String::new()
    }

    /// A text that may be there: `None` when it is not (or wrong, and reported), empty when it is
    /// null or blank.
    pub fn given(&mut self, name: &str, form: Text) -> Option<String> {
        let text = match self.values.get(name)? {
            Value::Null => return Some(String::new()),
            Value::String(text) => text.clone(),
            // Phones and codes come as numbers from careless clients.
            Value::Number(number) => number.to_string(),
            _ => {
                self.refuse(name, "Not a valid string.");
                return None;
            }
        };
        match check(&text, form) {
            Ok(text) => Some(text),
            Err(fault) => {
                self.refuse(name, fault);
                None
            }
        }
    }

    /// A boolean that may be there; null is as if it were not. Forms write it as text, careless
    /// clients as a number.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let known = match self.values.get(name)? {
            Value::Null => return None,
            Value::Bool(value) => Some(*value),
            Value::Number(number) => match number.as_u64() {
                Some(1) => Some(true),
                Some(0) => Some(false),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if known.is_none() {
            self.refuse(name, "Must be a valid boolean.");
        }
        known
    }

    /// One of `choices`; empty as in [`Fields::given`].
    pub fn choice(&mut self, name: &str, choices: &[&str]) -> Option<String> {
        let text = self.given(name, Text::line(100))?;
        if text.is_empty() || choices.contains(&text.as_str()) {
            return Some(text);
        }
        self.refuse(name, format!("{text:?} is not a valid choice."));
        None
    }

    /// Whether the body names the field at all, also as null.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether the body gives the field anything but null.
    pub fn has_value(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Reports a fault of a field.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push((name.to_owned(), message.into()));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every fault reported.
    pub fn finish(self) -> Result<(), Failure> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Failure::Fields(self.faults))
        }
    }
}

fn check(text: &str, form: Text) -> Result<String, String> {
    let text = if form.trim { text.trim() } else { text };
    if text.contains('\0') {
        return Err("Null characters are not allowed.".into());
    }
    let allowed = |c: char| !c.is_control() || form.lines && matches!(c, '\n' | '\r' | '\t');
    if !text.chars().all(allowed) {
        return Err("Control characters are not allowed.".into());
    }
    if text.chars().count() > form.max_chars {
        return Err(format!(
            "Ensure this field has no more than {} characters.",
            form.max_chars
        ));
    }
    Ok(text.to_owned())
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err(Failure::whole("Invalid data. Expected a dictionary.")),
        // The parser's words repeat nothing of the body but a place in it.
        Err(error) => {
            let words = format!("JSON parse error - {error}");
            Err(Failure::detail(400, words, "parse_error"))
        }
    }
}

fn form(body: &[u8]) -> Result<Map<String, Value>, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Failure::detail(400, "The form is not UTF-8.", "parse_error"))?;
    let pairs = request::pairs(text);
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{request, request_of};

    fn fields(body: &str) -> Fields {
        Fields::read(&request("POST", "/token/", body)).unwrap()
    }

    fn fault(body: &str, read: impl FnOnce(&mut Fields)) -> String {
        let mut fields = fields(body);
        read(&mut fields);
        match fields.finish() {
            Err(Failure::Fields(faults)) => faults[0].1.clone(),
            _ => String::new(),
        }
    }

    #[test]
    fn faults_have_known_words() {
        let required = |fields: &mut Fields| drop(fields.required("a", Text::line(3)));
        for (body, words) in [
            ("{}", "This field is required."),
            (r#"{"a":null}"#, "This field may not be null."),
            (r#"{"a":"  "}"#, "This field may not be blank."),
            (r#"{"a":true}"#, "Not a valid string."),
            (r#"{"a":[]}"#, "Not a valid string."),
            (r#"{"a":{"b":1}}"#, "Not a valid string."),
            (
                r#"{"a":"abcd"}"#,
                "Ensure this field has no more than 3 characters.",
            ),
            (r#"{"a":"a\u0000"}"#, "Null characters are not allowed."),
            (r#"{"a":"a\nb"}"#, "Control characters are not allowed."),
            (r#"{"a":" abc "}"#, ""),
            (r#"{"a":123,"other":{}}"#, ""),
        ] {
            assert_eq!(fault(body, required), words, "{body}");
        }
        let choice = |fields: &mut Fields| drop(fields.choice("a", &["x", "y"]));
        assert_eq!(fault(r#"{"a":"x"}"#, choice), "");
        assert_eq!(
            fault(r#"{"a":"z"}"#, choice),
            "\"z\" is not a valid choice."
        );
        let boolean = |fields: &mut Fields| assert_eq!(fields.boolean("a"), None);
        for bad in ["3", "-1", "1.5", "\"yes\"", "[]"] {
            let body = format!(r#"{{"a":{bad}}}"#);
            assert_eq!(fault(&body, boolean), "Must be a valid boolean.", "{bad}");
        }
    }

    #[test]
    fn absent_blank_and_given_are_three_things() {
        let mut all = fields(r#"{"a":"x","b":null,"c":""}"#);
        let given: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| all.given(name, Text::lines(9)))
            .into();
        assert_eq!(
            given,
            [Some("x".into()), Some("".into()), Some("".into()), None]
        );
        assert!(all.has("b") && !all.has("d"));
        assert_eq!(all.boolean("d"), None);
        let mut all = fields(r#"{"a":null,"b":0,"c":1,"d":"TRUE","e":"0","f":false}"#);
        let known = ["a", "b", "c", "d", "e", "f"].map(|name| all.boolean(name));
        let expected = [
            None,
            Some(false),
            Some(true),
            Some(true),
            Some(false),
            Some(false),
        ];
        assert_eq!(known, expected);
        assert!(all.finish().is_ok(), "null is not given");
        let exact = fields(r#"{"p":" x "}"#).given("p", Text::exact(9));
        assert_eq!(exact.as_deref(), Some(" x "));
    }

    #[test]
    fn bodies_are_json_or_forms() {
        let read = |kind: &str, body: &str| {
            let request = request_of("POST", "/token/", Some(kind), body.as_bytes());
            Fields::read(&request).map(|fields| Value::Object(fields.values).to_string())
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(read(form, "a=b+c").unwrap(), r#"{"a":"b c"}"#);
        assert_eq!(read("Application/JSON", "{\"a\":1}").unwrap(), r#"{"a":1}"#);
        assert_eq!(read("text/plain", "").unwrap(), "{}");
        for (kind, body, status) in [
            ("text/plain", "{}", 415),
            ("multipart/form-data; boundary=x", "--x", 415),
            ("application/json", "{", 400),
            ("application/json", "[]", 400),
            ("application/json", "\"a\"", 400),
            ("application/json", &"[".repeat(60_000), 400),
        ] {
            let reply = super::super::Reply::from(read(kind, body).unwrap_err());
            assert_eq!(reply.status, status, "{kind}");
        }
    }
}
