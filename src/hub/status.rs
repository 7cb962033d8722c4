//! What a room tells of its stream. It does not know how a stream comes to be so.

use serde::Serialize;

use super::wire::{Frame, encode};
use crate::{event::Urls, name::StreamUid};

/// A stream as its room shows it; times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which stream.
    pub uid: StreamUid,
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
    /// There is something to play.
    pub playable: bool,
    /// There is a picture.
    pub pictured: bool,
}

#[derive(Serialize)]
struct Video {
    index: String,
    source: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    uid: &'a str,
    status: &'static str,
    is_paused: bool,
    reason: Option<&'static str>,
    started_at: Option<&'a str>,
    ended_at: Option<&'a str>,
    video: Option<Video>,
    thumbnail: Option<String>,
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
    /// Pictures that the stream's own frame rate promised in this session and that did not come.
    pub dropped: Option<u64>,
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

    /// For everyone who came by the name `site`, like `https://live.example`.
    pub fn frame(&self, site: &str) -> Frame {
        let urls = Urls {
            http: site.to_owned(),
            rtmp: String::new(),
        };
        let shown = Shown {
            uid: self.uid.as_str(),
            status: self.status,
            is_paused: self.is_paused,
            reason: self.reason,
            started_at: self.started_at.as_deref(),
            ended_at: self.ended_at.as_deref(),
            video: self.playable.then(|| Video {
                index: urls.playlist(&self.uid),
                source: urls.media(&self.uid),
            }),
            thumbnail: self.pictured.then(|| urls.thumbnail(&self.uid)),
        };
        encode("status", &shown)
    }
}

impl Health {
    /// For the owner.
    pub fn frame(&self) -> Frame {
        encode("health", self)
    }
}
