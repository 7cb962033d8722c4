//! Sound: the audio beside a slate's pictures, frame by frame on a grid of 1024 samples: silence, or
//! the film's own sound where it is coded as the live one is. It does not know pictures or segments.

use std::sync::Arc;

use bytes::Bytes;

use crate::aac::AacConfig;
use crate::segment::AudioTrack;
use crate::slate::film::Film;
use crate::writer::{Frame, Writer};

/// Samples of an AAC-LC frame.
pub(super) const FRAME_SAMPLES: u64 = 1024;

/// Can silence be beside a stream's own picture, in the same coding as its sound? Not where HE-AAC
/// would have to become AAC-LC at half the rate, nor where channels have no plain silence.
pub fn keeps_sound(track: &AudioTrack) -> bool {
    let channels = track.channel_configuration;
    match track.codec.as_str() {
        "mp4a.40.5" => channels == 1,
        "mp4a.40.29" => false,
        _ => silence(channels).0 == channels,
    }
}

/// The audio track of a slate.
#[derive(Debug)]
pub(super) struct Sound {
    config: AacConfig,
    silence: Bytes,
    start_90k: i64,
    frames: u64,
    film: Option<Played>,
}

/// The sound of a film, and where it is.
#[derive(Debug)]
struct Played {
    film: Arc<Film>,
    round: i64,
    next: i64,
}

impl Sound {
    /// Sound like the live `track`'s, from `start_90k` on.
    pub(super) fn beside(track: &AudioTrack, start_90k: i64) -> Option<Self> {
        let (channels, raw) = silence(track.channel_configuration);
        // AAC-LC with the rate written out (14496-3 1.6.2.1): 5, 4, 24, 4 and 3 bits.
        let rate = u64::from(track.sample_rate);
        let bits = 2 << 35 | 15 << 31 | (rate & 0xff_ffff) << 7 | u64::from(channels) << 3;
        let config = AacConfig::parse(&bits.to_be_bytes()[3..]).ok()?;
        Some(Self {
            config,
            silence: Bytes::from_static(raw),
            start_90k,
            frames: 0,
            film: None,
        })
    }

    /// The film's own sound, if it is coded as the live `track` is.
    pub(super) fn of(mut self, film: &Arc<Film>, track: &AudioTrack) -> Self {
        if film.sounds_like(track) {
            self.film = Some(Played {
                film: Arc::clone(film),
                round: -1,
                next: 0,
            });
        }
        self
    }

    /// Frames that last so long, rounded up.
    pub(super) fn frames_in(&self, ms: u64) -> u64 {
        (ms * u64::from(self.config.sample_rate)).div_ceil(FRAME_SAMPLES * 1000)
    }

    /// Where the frames written so far end.
    pub(super) fn end_90k(&self) -> i64 {
        self.frame_90k(self.frames)
    }

    /// Where a frame begins.
    pub(super) fn frame_90k(&self, index: u64) -> i64 {
        let rate = u64::from(self.config.sample_rate.max(1));
        self.start_90k + (index * FRAME_SAMPLES * 90_000 / rate).cast_signed()
    }

    /// Writes the frames that begin before `end_90k`.
    pub(super) fn until(&mut self, end_90k: i64, writer: &mut Writer) {
        loop {
            let pts_90k = self.end_90k();
            if pts_90k >= end_90k {
                return;
            }
            let raw = self.raw(pts_90k - self.start_90k);
            let Some(adts) = self.config.adts(raw.len()) else {
                return;
            };
            self.frames += 1;
            let frame = Frame {
                pts_90k,
                end_90k: self.end_90k(),
                adts,
                program_config: Bytes::new(),
                raw,
            };
            writer.frame(frame, true);
        }
    }

    /// The frame that is heard `at_90k` behind the start.
    fn raw(&mut self, at_90k: i64) -> Bytes {
        let played = self.film.as_mut().and_then(|played| played.raw(at_90k));
        played.unwrap_or_else(|| self.silence.clone())
    }
}

impl Played {
    fn raw(&mut self, at_90k: i64) -> Option<Bytes> {
        let length = self.film.length_90k();
        let round = at_90k / length;
        // Only the start of a round looks for its place: within one, frame follows frame.
        if round != self.round {
            self.round = round;
            self.next = self.film.frame_at(at_90k % length);
        } else {
            self.next += 1;
        }
        self.film.frame(self.next)
    }
}

/// A frame of silence and its channel configuration: stereo where there is no plain one.
fn silence(channel_configuration: u8) -> (u8, &'static [u8]) {
    match channel_configuration {
        1 => (1, &[0x00, 0x00, 0x00, 0x07]),
        3 => (
            3,
            &[0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0xe0],
        ),
        6 => (
            6,
            &[
                0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x23, 0x00, 0x00, 0x00, 0x00,
                0x0c, 0x00, 0x00, 0x00, 0xe0,
            ],
        ),
        7 => (
            7,
            &[
                0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x23, 0x00, 0x00, 0x00, 0x00,
                0x04, 0xa0, 0x00, 0x00, 0x00, 0x01, 0x80, 0x00, 0x00, 0x1c,
            ],
        ),
        _ => (2, &[0x21, 0x00, 0x00, 0x00, 0x00, 0x1c]),
    }
}
