//! The segmenter: a state machine that is pushed tags and polled for finished segments. It does
//! not know sequence numbers, names, wall clocks or playlists: those belong to whoever lists.

use bytes::Bytes;

use crate::Tag;

/// Limits and aims of one segmenter, all in media time.
#[derive(Clone, Debug)]
pub struct Config {
    /// `hls.target_duration`.
    pub target_ms: u32,
    /// `hls.max_segment`: the longest first segment that is waited for when no IDR comes.
    pub max_segment_ms: u32,
    /// `limits.segment_bytes`: an open segment larger than this is a [`Refusal::SegmentTooLarge`].
    pub segment_bytes: usize,
}

/// What a later segmenter of the same stream goes on from, so that continuity counters, time and
/// TARGETDURATION carry over a reconnect (media rules 7, 11, 16).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Next 4-bit continuity counter per PID: PAT, PMT, video, audio.
    pub continuity: [u8; 4],
    /// Where output DTS goes on, 33-bit 90 kHz; `None` starts the timeline afresh.
    pub next_dts_90k: Option<u64>,
    /// EXT-X-TARGETDURATION in seconds, once the first segment of the stream fixed it.
    pub target_duration_s: Option<u32>,
}

/// One finished segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Whole TS packets, as a short list of slices.
    pub body: Vec<Bytes>,
    /// Sum of the slices' lengths.
    pub len: usize,
    /// EXTINF: next segment's first DTS less this one's, 90 kHz. Never 0.
    pub duration_90k: u64,
    /// A DISCONTINUITY stands before this segment.
    pub discontinuity: bool,
    /// Opens with an IDR, or has no video (INDEPENDENT-SEGMENTS holds).
    pub independent: bool,
    /// Start of the segment in unwrapped RTMP time, ms: differences between segments of one
    /// session are media time.
    pub start_ms: i64,
    /// EXT-X-TARGETDURATION of the stream, fixed by its first segment.
    pub target_duration_s: u32,
    /// The newest IDR in it as an Annex B access unit (SPS, PPS, slices): what a thumbnail needs.
    pub idr: Option<Bytes>,
    /// Coded pictures in it.
    pub pictures: u32,
}

/// The tracks of a session as its sequence headers told them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// H.264, once its AVCDecoderConfigurationRecord came.
    pub video: Option<VideoTrack>,
    /// AAC, once its AudioSpecificConfig came.
    pub audio: Option<AudioTrack>,
}

/// H.264 as its SPS tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoTrack {
    /// Cropped width in pixels.
    pub width: u32,
    /// Cropped height in pixels.
    pub height: u32,
    /// From VUI timing; `None` when the SPS has none.
    pub fps: Option<f64>,
    /// RFC 6381, like `avc1.64001f`.
    pub codec: String,
}

/// AAC as its AudioSpecificConfig tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioTrack {
    /// Core sampling rate in Hz: one raw frame is 1024 samples of it.
    pub sample_rate: u32,
    /// channelConfiguration, 0 to 7 (7 = 7.1).
    pub channel_configuration: u8,
    /// RFC 6381, like `mp4a.40.2`.
    pub codec: String,
}

/// Something an operator or the streamer should hear of; the stream goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// No IDR came in time and the segment was cut at another access unit (media rule 7).
    CutWithoutIdr {
        /// Length of the segment so cut, ms.
        length_ms: u32,
    },
    /// Timestamps jumped and the timeline was re-anchored (rule 4).
    Jump {
        /// New less expected, ms.
        by_ms: i64,
    },
    /// A backward step was clamped (rule 4).
    Clamped {
        /// How far back, ms.
        by_ms: i64,
    },
    /// Sequence header or parameter sets changed (rule 13).
    ParametersChanged,
    /// A track appeared late (rule 12).
    TrackAdded,
    /// Media dropped, with the reason in words: before a sequence header, before the first IDR,
    /// or a malformed payload.
    Dropped {
        /// Why, for the log and the owner's health.
        reason: &'static str,
    },
}

/// Why a publisher cannot be served; terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not H.264, with the codec's name.
    #[error("video codec {0} is not supported: send H.264")]
    VideoCodec(String),
    /// Not AAC, with the codec's name.
    #[error("audio codec {0} is not supported: send AAC")]
    AudioCodec(String),
    /// The open segment passed `limits.segment_bytes`.
    #[error(
        "a segment grew past limits.segment_bytes ({limit} bytes): send keyframes more often or lower the bitrate"
    )]
    SegmentTooLarge {
        /// The limit in force.
        limit: usize,
    },
}

/// What [`Segmenter::poll`] hands out, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// The tracks became known or changed; comes before the first segment that has them.
    Tracks(Tracks),
    /// A finished segment.
    Segment(Segment),
    /// A health notice.
    Notice(Notice),
}

/// Media tags to segments.
pub struct Segmenter {
    _config: Config,
}

impl Segmenter {
    /// A segmenter for one session; `resume` is what [`Segmenter::finish`] of the stream's last
    /// session returned. With it, the first segment carries a DISCONTINUITY.
    pub fn new(config: Config, _resume: Option<Resume>) -> Self {
        Self { _config: config }
    }

    /// Takes one tag; at most one copy of its payload is made, into the open segment.
    ///
    /// # Errors
    /// A [`Refusal`] is terminal for the session: segments finished so far can still be polled.
    pub fn push(&mut self, _tag: &Tag) -> Result<(), Refusal> {
        todo!()
    }

    /// The next output, if any.
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }

    /// Ends the session: the open segment, if it has media, is closed and can be polled (rule 8).
    pub fn finish(&mut self) -> Resume {
        todo!()
    }

    /// Bytes held by the open segment and anything buffered before it.
    pub fn open_bytes(&self) -> usize {
        todo!()
    }
}
