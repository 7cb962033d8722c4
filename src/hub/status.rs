//! What a room tells of its stream. It does not know how a stream comes to be so.

use serde::Serialize;

use super::wire::{Frame, encode};

/// Where playlists are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Video {
    /// The multivariant playlist.
    pub index: String,
    /// The media playlist of what the publisher sends.
    pub source: String,
}

/// A stream as its room shows it; times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Which stream.
    pub uid: String,
    /// pending, live, finished or cancel.
    pub status: &'static str,
    /// The slate is shown.
    pub is_paused: bool,
    /// null, paused or reconnecting.
    pub reason: Option<&'static str>,
    /// When it first went live.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// null until there is something to play.
    pub video: Option<Video>,
    /// The newest picture.
    pub thumbnail: Option<String>,
}

/// What the encoder sends, and what should be done about it; for the owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Of the newest segment, kilobits a second.
    pub bitrate_kbps: Option<f64>,
    /// Pictures a second.
    pub fps: Option<f64>,
    /// Mean time between keyframes.
    pub keyframe_s: Option<f64>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// As `CODECS` writes it.
    pub video_codec: Option<String>,
    /// As `CODECS` writes it.
    pub audio_codec: Option<String>,
    /// Breaks in the encoder's times in this session.
    pub gaps: u64,
    /// What is wrong.
    pub issues: Vec<Issue>,
}

/// Something wrong with what the encoder sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// For programs.
    pub code: &'static str,
    /// info, warning or error.
    pub severity: &'static str,
    /// For people.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Status {
    /// Chat and voice are open.
    pub fn is_live(&self) -> bool {
        self.status == "live"
    }

    /// It will not come back.
    pub fn is_over(&self) -> bool {
        matches!(self.status, "finished" | "cancel")
    }

    /// For everyone.
    pub fn frame(&self) -> Frame {
        encode("status", self)
    }
}

impl Health {
    /// For the owner.
    pub fn frame(&self) -> Frame {
        encode("health", self)
    }
}
