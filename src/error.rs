//! One error for everything that ends a command or a start: what failed, in words, and its kind.
//! It does not know HTTP statuses or exit codes: `http` and `main` map kinds to them.

use std::fmt;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Configuration or arguments.
    Config,
    /// The named thing does not exist.
    NotFound,
    /// Its state does not allow this.
    Conflict,
    /// Database, storage, sockets or the operating system.
    Unavailable,
    /// A bug in cauce.
    Internal,
}

/// A failure with context.
pub struct Error {
    /// What kind.
    pub kind: Kind,
    /// What was being done, in words for an operator.
    pub context: String,
    /// What caused it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a cause.
    pub fn new(kind: Kind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }
    /// An error with its cause.
    pub fn with(
        kind: Kind,
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(source.into()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_stands_before_the_cause() {
        let inner = Error::new(Kind::Unavailable, "no disk");
        let error = Error::with(Kind::Config, "cannot read a.toml", inner);
        assert_eq!(error.to_string(), "cannot read a.toml: no disk");
        assert_eq!(format!("{error:?}"), "Config: cannot read a.toml: no disk");
    }
}
