//! A real mail server, and what it received. It does not know what letters say.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{child::Running, wait::until};

/// A running SMTP server.
pub struct Mailbox {
    server: Running,
    port: u16,
}

/// Python with the packages of tests/requirements.txt as tests/run installs them, else the one on
/// the path.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/streamlink/bin/python");
    if own.exists() {
        own
    } else {
        PathBuf::from("python3")
    }
}

impl Mailbox {
    /// Starts it; ready when this returns.
    #[track_caller]
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/smtp/server.py");
        let mut server = Running::start(Command::new(python()).arg(script));
        let port = server.line("ready line", 30, |line| {
            line.strip_prefix("ready ")?.trim().parse().ok()
        });
        Self { server, port }
    }

    /// What `smtp.url` is set to.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The letters so far.
    pub fn letters(&self) -> Vec<Value> {
        let log = self.server.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The text of letter number `index` to `address`, as soon as it is there.
    #[track_caller]
    pub fn text(&self, address: &str, index: usize) -> String {
        self.part(address, index, "text")
    }

    /// The same letter as it came over the wire.
    #[track_caller]
    pub fn raw(&self, address: &str, index: usize) -> String {
        self.part(address, index, "raw")
    }

    #[track_caller]
    fn part(&self, address: &str, index: usize, name: &str) -> String {
        until(&format!("letter {index} to {address}"), 20, || {
            let letters = self.letters();
            let mut theirs = letters.iter().filter(|letter| letter["to"][0] == address);
            let part = theirs.nth(index)?[name].as_str()?;
            Some(part.to_owned())
        })
    }
}
