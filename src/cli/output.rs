//! How answers reach standard output. It does not know what they say.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// For people; empty prints nothing.
    pub text: String,
    /// For `--json`; `None` when the answer is no data.
    pub json: Option<Value>,
    /// Whether the exit code is 0.
    pub ok: bool,
}

impl Answer {
    /// Nothing more to say.
    pub fn none() -> Self {
        Self {
            text: String::new(),
            json: None,
            ok: true,
        }
    }
    /// An answer in both forms.
    pub fn data(text: String, json: Value) -> Self {
        Self {
            text,
            json: Some(json),
            ok: true,
        }
    }
    /// The form that was asked for.
    pub fn show(&self, as_json: bool) -> String {
        match &self.json {
            Some(json) if as_json => json.to_string(),
            _ => self.text.clone(),
        }
    }
}

/// Prints one line, or nothing for empty text. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// Standard output cannot be written: a full disk, say.
pub fn say(to: &mut impl Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Columns under their titles, as wide as their widest cell.
pub(super) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(titles[column].len())
    };
    let widths: Vec<_> = (0..titles.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut titles.iter().copied())];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines.join("\n")
}

/// Text of unknown origin for a terminal: no control characters, which could move its cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert!(say(&mut Broken(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(say(&mut Broken(ErrorKind::StorageFull), "x").is_err());
        assert!(say(&mut Broken(ErrorKind::StorageFull), "").is_ok());
        let mut out = Vec::new();
        say(&mut out, "x").unwrap();
        assert_eq!(out, b"x\n");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [
            vec!["aé".into(), "b".into()],
            vec!["c".into(), "long".into()],
        ];
        let expected = "X   TITLE\naé  b\nc   long";
        assert_eq!(table(&["X", "TITLE"], &rows), expected);
        assert_eq!(table(&["X", "TITLE"], &[]), "X  TITLE");
        assert_eq!(printable("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }
}
