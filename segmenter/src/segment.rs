//! The segmenter: a state machine that is pushed tags and polled for finished segments. It does
//! not know sequence numbers, names, wall clocks or playlists: those belong to whoever lists.

use std::fmt;

use bytes::Bytes;

use crate::aac::{AacConfig, AacError};
use crate::assembly::Assembly;
use crate::avc::{AvcConfig, ParameterSets};
use crate::payload::{self, Audio, Unusable, Video};
use crate::timeline::Medium;
use crate::writer::annex_b;
use crate::{Tag, TagKind};

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
    /// Start of the segment in unwrapped RTMP time without its jumps, ms: differences between
    /// segments of one session are media time.
    pub start_ms: i64,
    /// EXT-X-TARGETDURATION of the stream, fixed by its first segment.
    pub target_duration_s: u32,
    /// The newest IDR in it, for a [`Segmenter::keeping_idrs`]: what freezing needs.
    pub idr: Option<Idr>,
    /// Coded pictures in it.
    pub pictures: u32,
    /// IDRs among them.
    pub keyframes: u32,
}

/// An IDR with the parameter sets that were in force. It shares the tag's payload; only
/// [`Idr::annex_b`] copies.
#[derive(Clone, Debug)]
pub struct Idr {
    pub(crate) data: Bytes,
    pub(crate) length_bytes: usize,
    pub(crate) sets: ParameterSets,
    /// How much later than decoded it is shown, 90 kHz: what reordering costs.
    pub(crate) reorder_90k: i64,
}

impl Idr {
    /// The access unit in Annex B: SPS, PPS, slices.
    pub fn annex_b(&self) -> Bytes {
        annex_b(&self.data, self.length_bytes, &self.sets)
    }
}

/// The tracks of a session as its sequence headers told them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// H.264, once its AVCDecoderConfigurationRecord came.
    pub video: Option<VideoTrack>,
    /// AAC, once its AudioSpecificConfig came.
    pub audio: Option<AudioTrack>,
}

impl fmt::Display for Tracks {
    /// As an operator reads it: `avc1.64001f 1280x720 30.00 fps, mp4a.40.2 48000 Hz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(video) = &self.video {
            write!(f, "{} {}x{}", video.codec, video.width, video.height)?;
            if let Some(fps) = video.fps {
                write!(f, " {fps:.2} fps")?;
            }
        }
        if let Some(audio) = &self.audio {
            let comma = if self.video.is_some() { ", " } else { "" };
            write!(f, "{comma}{} {} Hz", audio.codec, audio.sample_rate)?;
        }
        if *self == Self::default() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
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
    /// The first H.264 sequence header is none: nothing behind it could be shown.
    #[error("the H.264 sequence header cannot be read: {0}")]
    VideoHeader(&'static str),
    /// The first AAC sequence header is none.
    #[error("the AAC sequence header cannot be read: {0}")]
    AudioHeader(&'static str),
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

/// Pictures looked at before the first segment opens, to learn how far composition times go below
/// zero; they are held anyway, since no segment is finished before its end.
const START_PICTURES: u32 = 8;
/// Media time to wait for the second track's sequence header.
const START_WAIT_MS: u32 = 1000;
/// What a waiting message counts besides its payload, so that empty ones are bounded too.
const MESSAGE_BYTES: usize = 64;

/// One message's media, its header read.
#[derive(Debug)]
enum Media {
    Video(Video),
    Audio(Audio),
}

/// Messages held until it is known which tracks there are.
#[derive(Debug, Default)]
struct Start {
    messages: Vec<(u32, Media)>,
    bytes: usize,
    first_ms: Option<u32>,
    video: bool,
    audio: bool,
    pictures: u32,
}

impl Start {
    /// Takes a message; true when waiting is over.
    fn take(&mut self, wire_ms: u32, media: Media, limit: usize) -> bool {
        let (bytes, timed) = match &media {
            Media::Video(Video::Config(data)) => {
                self.video = true;
                (data.len(), false)
            }
            Media::Audio(Audio::Config(data)) => {
                self.audio = true;
                (data.len(), false)
            }
            Media::Video(Video::Picture { data, .. }) => {
                self.pictures += 1;
                (data.len(), true)
            }
            Media::Audio(Audio::Frame(data)) => (data.len(), true),
            Media::Video(Video::Nothing) | Media::Audio(Audio::Nothing) => return false,
        };
        self.bytes += bytes + MESSAGE_BYTES;
        self.messages.push((wire_ms, media));
        let elapsed = |first: u32| wire_ms.wrapping_sub(first).cast_signed().unsigned_abs();
        let waited = timed && elapsed(*self.first_ms.get_or_insert(wire_ms)) >= START_WAIT_MS;
        let known = self.video && self.audio && self.pictures >= START_PICTURES;
        known || waited || self.bytes >= limit
    }
}

/// Media tags to segments.
#[derive(Debug)]
pub struct Segmenter {
    limit: usize,
    start: Option<Start>,
    assembly: Assembly,
    refused: Option<Refusal>,
}

impl Segmenter {
    /// A segmenter for one session; `resume` is what [`Segmenter::finish`] of the stream's last
    /// session returned. With it, the first segment carries a DISCONTINUITY.
    pub fn new(config: Config, resume: Option<Resume>) -> Self {
        Self {
            limit: config.segment_bytes,
            start: Some(Start::default()),
            assembly: Assembly::new(&config, resume),
            refused: None,
        }
    }

    /// The same, whose segments tell their newest IDR. That keeps the message it came in, and whatever
    /// shares its memory, for a segment's length.
    #[must_use]
    pub fn keeping_idrs(mut self) -> Self {
        self.assembly.keep_idrs = true;
        self
    }

    /// Takes one tag; at most one copy of its payload is made, into the open segment. Outputs
    /// gather until they are polled: poll after each push.
    ///
    /// # Errors
    /// A [`Refusal`] is terminal for the session: segments finished so far can still be polled.
    pub fn push(&mut self, tag: &Tag) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        let result = self.take(tag);
        if let Err(refusal) = &result {
            self.refused = Some(refusal.clone());
        }
        result
    }

    fn take(&mut self, tag: &Tag) -> Result<(), Refusal> {
        let (medium, media) = match tag.kind {
            TagKind::Video => (
                Medium::Video,
                payload::video(&tag.payload).map(Media::Video),
            ),
            TagKind::Audio => (
                Medium::Audio,
                payload::audio(&tag.payload).map(Media::Audio),
            ),
            TagKind::Script => return Ok(()),
        };
        let media = match media {
            Ok(media) => media,
            Err(Unusable::Refused(refusal)) => return Err(refusal),
            Err(Unusable::Malformed(reason)) => {
                self.assembly.drop_told(medium, reason);
                return Ok(());
            }
        };
        self.check_header(&media)?;
        let Some(start) = &mut self.start else {
            return self.assemble(tag.timestamp_ms, &media);
        };
        if start.take(tag.timestamp_ms, media, self.limit) {
            return self.begin();
        }
        Ok(())
    }

    /// A header that is broken is refused where it is the track's first, and dropped where there is
    /// one to go on with.
    fn check_header(&self, media: &Media) -> Result<(), Refusal> {
        match media {
            Media::Video(Video::Config(header)) if !self.assembly.has(Medium::Video) => {
                let parsed = AvcConfig::parse(header);
                parsed.map(drop).map_err(Refusal::VideoHeader)
            }
            Media::Audio(Audio::Config(header)) => match AacConfig::parse(header) {
                Err(AacError::Unsupported(name)) => Err(Refusal::AudioCodec(name)),
                Err(AacError::Malformed(reason)) if !self.assembly.has(Medium::Audio) => {
                    Err(Refusal::AudioHeader(reason))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Ends the wait: the first header of each track counts for everything held, then the media
    /// goes its way.
    fn begin(&mut self) -> Result<(), Refusal> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        let (mut video, mut audio) = (false, false);
        for (_, media) in &start.messages {
            match media {
                Media::Video(Video::Config(header)) if !video => {
                    video = true;
                    self.assembly.video_header(header);
                }
                Media::Audio(Audio::Config(header)) if !audio => {
                    audio = true;
                    self.assembly.audio_header(header)?;
                }
                Media::Video(Video::Picture { cts_ms, .. }) => self.assembly.expect_cts(*cts_ms),
                _ => {}
            }
        }
        for (wire_ms, media) in &start.messages {
            self.assemble(*wire_ms, media)?;
        }
        Ok(())
    }

    fn assemble(&mut self, wire_ms: u32, media: &Media) -> Result<(), Refusal> {
        match media {
            Media::Video(Video::Config(header)) => self.assembly.video_header(header),
            Media::Video(Video::Picture { cts_ms, data }) => {
                self.assembly.picture(wire_ms, *cts_ms, data)?;
            }
            Media::Audio(Audio::Config(header)) => self.assembly.audio_header(header)?,
            Media::Audio(Audio::Frame(raw)) => self.assembly.frame(wire_ms, raw)?,
            Media::Video(Video::Nothing) | Media::Audio(Audio::Nothing) => {}
        }
        Ok(())
    }

    /// The next output, if any.
    pub fn poll(&mut self) -> Option<Output> {
        self.assembly.outputs.pop_front()
    }

    /// Ends the session: the open segment, if it has media, is closed and can be polled (rule 8).
    pub fn finish(&mut self) -> Resume {
        if self.refused.is_none()
            && let Err(refusal) = self.begin()
        {
            self.refused = Some(refusal);
        }
        self.assembly.finish()
    }

    /// Bytes held by the open segment and anything buffered before it.
    pub fn open_bytes(&self) -> usize {
        self.assembly.open_bytes() + self.start.as_ref().map_or(0, |start| start.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_told_in_one_line() {
        let mut tracks = Tracks::default();
        assert_eq!(tracks.to_string(), "nothing");
        tracks.audio = Some(AudioTrack {
            sample_rate: 44_100,
            channel_configuration: 2,
            codec: "mp4a.40.2".into(),
        });
        assert_eq!(tracks.to_string(), "mp4a.40.2 44100 Hz");
        tracks.video = Some(VideoTrack {
            width: 1280,
            height: 720,
            fps: Some(30_000.0 / 1001.0),
            codec: "avc1.64001f".into(),
        });
        let line = "avc1.64001f 1280x720 29.97 fps, mp4a.40.2 44100 Hz";
        assert_eq!(tracks.to_string(), line);
    }
}
