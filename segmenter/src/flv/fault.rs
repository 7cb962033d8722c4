//! What can be wrong with an FLV file, in words that name the byte. It does not know how to find it.

use std::fmt;

/// What is wrong with a file, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {what}")]
pub struct FlvError {
    /// Offset from the start of the file of the header or tag that is wrong.
    pub offset: u64,
    /// What is wrong with it.
    pub what: Fault,
}

/// What can be wrong with an FLV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file does not begin with `FLV` and a header of at least 9 bytes. Terminal.
    Signature,
    /// Neither the tag's size nor what stands where the next tag should be makes sense: one of the
    /// two lies, so that the next tag cannot be found. Terminal.
    LostSync {
        /// DataSize of the tag.
        claimed: usize,
    },
    /// DataSize is above the reader's limit. The tag is skipped; reading can go on.
    TooLarge {
        /// DataSize of the tag.
        claimed: usize,
        /// The reader's limit.
        limit: usize,
    },
    /// The Filter bit is set: the payload is encrypted. The tag is skipped; reading can go on.
    Encrypted,
    /// The file ends inside the thing named.
    Truncated {
        /// What was being read.
        part: Part,
        /// How many bytes it has by its own account.
        claimed: u64,
        /// How many of them are there.
        present: u64,
    },
}

/// A part of an FLV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file header, with whatever its DataOffset skips.
    FileHeader,
    /// The 11 bytes before a tag's payload.
    TagHeader,
    /// A tag's payload.
    Payload,
    /// The PreviousTagSize after a tag: no media is missing.
    PreviousTagSize,
}

impl Fault {
    /// Whether the reader can be asked for the next tag.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Encrypted)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("not an FLV file"),
            Self::LostSync { claimed } => write!(
                f,
                "tag claims {claimed} bytes but no tag follows them: the file is damaged here"
            ),
            Self::TooLarge { claimed, limit } => {
                write!(
                    f,
                    "tag claims {claimed} bytes, more than the {limit} allowed"
                )
            }
            Self::Encrypted => f.write_str("tag is encrypted"),
            Self::Truncated {
                part,
                claimed,
                present,
            } => {
                let part = match part {
                    Part::FileHeader => "file header",
                    Part::TagHeader => "tag header",
                    Part::Payload => "tag",
                    Part::PreviousTagSize => "tag trailer",
                };
                write!(
                    f,
                    "{part} claims {claimed} bytes but the file ends after {present}"
                )
            }
        }
    }
}
