//! Sections whose features come in later versions: their keys are known, checked and kept, so that
//! a file written for a newer cauce is refused for what is missing and nothing else. It does not
//! know which of them are missing: `schema.rs` marks them.

use std::{fmt, path::PathBuf, time::Duration};

/// Text that `Debug` never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// What a paused stream shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Slate {
    /// Where the picture comes from.
    pub mode: SlateMode,
    /// The operator's own clip, for [`SlateMode::File`].
    pub file: Option<PathBuf>,
    /// A pause longer than this ends the stream [4 h].
    pub max_pause: Duration,
}

/// Kinds of slate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlateMode {
    /// The built-in picture.
    Card,
    /// The stream's own last picture.
    Freeze,
    /// `slate.file`.
    File,
}

/// Outgoing mail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Smtp {
    /// Server; may carry a password.
    pub url: Option<Hidden>,
    /// Sender's address.
    pub from: Option<String>,
}

/// Limits of rooms.
#[derive(Clone, Debug, PartialEq)]
pub struct Hub {
    /// A member whose queue is full for so long is cut [5 s].
    pub slow_grace: Duration,
    /// Frames queued for one member [256].
    pub queue_frames: usize,
    /// Bytes queued for one member [256 KiB].
    pub queue_bytes: usize,
    /// Messages kept for those who join [100].
    pub history: usize,
    /// From the end of a stream to the closing of its sockets [30 s].
    pub linger: Duration,
}

/// Chat rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Characters of a message [500].
    pub max_chars: usize,
    /// Messages one user may send in `per` [3].
    pub burst: usize,
    /// See `burst` [2 s].
    pub per: Duration,
    /// Slow mode of new rooms; zero is off [0 s].
    pub slow: Duration,
    /// Words that are refused [none].
    pub blocked_words: Vec<String>,
}

/// Question rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// Whether questions wait for a moderator [false].
    pub moderated: bool,
    /// Characters of a question [300].
    pub max_chars: usize,
    /// One question a user in this time [20 s].
    pub per: Duration,
}

/// Voice calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// STUN servers, `stun:host:port` [none].
    pub ice_servers: Vec<String>,
    /// TURN servers, `turn:host:port` [none].
    pub turn_urls: Vec<String>,
    /// File with the secret shared with the TURN server.
    pub turn_secret_file: Option<PathBuf>,
    /// Speakers at once in one stream [8].
    pub max_speakers: usize,
}

impl Default for Slate {
    fn default() -> Self {
        Self {
            mode: SlateMode::Card,
            file: None,
            max_pause: Duration::from_hours(4),
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            slow_grace: Duration::from_secs(5),
            queue_frames: 256,
            queue_bytes: 256 * 1024,
            history: 100,
            linger: Duration::from_secs(30),
        }
    }
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            max_chars: 500,
            burst: 3,
            per: Duration::from_secs(2),
            slow: Duration::ZERO,
            blocked_words: vec![],
        }
    }
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            moderated: false,
            max_chars: 300,
            per: Duration::from_secs(20),
        }
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            ice_servers: vec![],
            turn_urls: vec![],
            turn_secret_file: None,
            max_speakers: 8,
        }
    }
}
