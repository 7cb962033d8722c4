//! Slate: segments that repeat one encoded picture, with silence beside it, where a stream has no
//! media of its own (media rules 20 to 23). It does not know why it is shown or when segments are
//! due; the picture is handed in.
//!
//! A segment is the picture as an IDR and then all-skip P pictures at the live frame rate: a
//! sparse picture would stall players at the live edge. Audio is one AAC-LC frame of silence again
//! and again at the live rate, on a 1024-sample grid.

mod silence;
mod skip;

use bytes::Bytes;

use crate::aac::AacConfig;
use crate::avc::{AvcConfig, NAL_IDR, NAL_PPS, NAL_SPS, Nals, nal_type};
use crate::segment::{AudioTrack, Resume, Segment, Tracks};
use crate::writer::{Frame, Picture, Writer};
use skip::SkipPicture;

/// First time given out when nothing went before, 90 kHz; see `assembly`.
const FIRST_90K: i64 = 126_000;
/// Times are 33 bits (13818-1 2.4.3.7).
const WRAP_90K: i64 = 1 << 33;
/// Samples of an AAC-LC frame.
const FRAME_SAMPLES: u64 = 1024;
/// Slowest and fastest slate, pictures in 1000 s: slower ones would leave the segment's length to
/// chance, and the cards' level allows no faster ones.
const FPS_MILLI: std::ops::RangeInclusive<u64> = 10_000..=60_000;

/// Shortest segment made: more than a frame of any rate.
const SHORTEST_MS: u64 = 250;

/// One encoded picture that slates are made of.
#[derive(Clone, Debug)]
pub struct Card {
    config: AvcConfig,
    idr: Bytes,
    skip: SkipPicture,
}

impl Card {
    /// Takes an Annex B access unit: SPS, PPS and an IDR in one slice, CAVLC, without slice groups.
    ///
    /// # Errors
    /// In words, why no all-skip picture can follow it.
    pub fn parse(access_unit: &Bytes) -> Result<Self, &'static str> {
        let config = AvcConfig::parse(access_unit)?;
        let nals: Vec<&[u8]> = Nals::new(access_unit, config.length_bytes)?.collect();
        let one = |kind: u8| {
            let mut of_kind = nals.iter().filter(|nal| nal_type(nal) == kind);
            let first = of_kind.next().ok_or("a card lacks a NAL unit")?;
            match of_kind.next() {
                None => Ok(*first),
                Some(_) => Err("a card has more than one SPS, PPS or slice"),
            }
        };
        let skip = SkipPicture::after(one(NAL_SPS)?, one(NAL_PPS)?)
            .ok_or("a card's coding is not the simple one")?;
        let idr = with_length(one(NAL_IDR)?);
        Ok(Self { config, idr, skip })
    }

    /// The shorter side in pixels.
    pub fn lines(&self) -> u32 {
        self.config.sps.width.min(self.config.sps.height)
    }
}

/// A NAL unit behind its length in four bytes.
fn with_length(nal: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(4 + nal.len());
    out.extend_from_slice(&u32::try_from(nal.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(nal);
    out.into()
}

/// The silent track.
#[derive(Debug)]
struct Silence {
    config: AacConfig,
    raw: Bytes,
    sample_rate: u64,
}

impl Silence {
    fn beside(track: &AudioTrack) -> Option<Self> {
        let (channels, raw) = silence::frame(track.channel_configuration);
        // AAC-LC with the rate written out (14496-3 1.6.2.1): 5, 4, 24, 4 and 3 bits.
        let rate = u64::from(track.sample_rate);
        let bits = 2 << 35 | 15 << 31 | (rate & 0xff_ffff) << 7 | u64::from(channels) << 3;
        Some(Self {
            config: AacConfig::parse(&bits.to_be_bytes()[3..]).ok()?,
            raw: Bytes::from_static(raw),
            sample_rate: rate,
        })
    }
}

/// A slate that goes on until nobody asks for the next segment.
#[derive(Debug)]
pub struct Slate {
    writer: Writer,
    card: Option<Card>,
    silence: Option<Silence>,
    fps_milli: u64,
    target_s: u32,
    start_90k: i64,
    /// Where the segments made so far were meant to end.
    until_ms: u64,
    pictures: u64,
    frames: u64,
}

impl Slate {
    /// A slate with the tracks of a stream, behind what `resume` tells of. `fps` is the live frame
    /// rate. The audio has the live rate and channels; HE-AAC becomes AAC-LC at its core rate, and
    /// channel configurations that have no plain silence become stereo, which players take behind
    /// the DISCONTINUITY. `None` before a first segment fixed the target duration, or without a
    /// track.
    pub fn new(tracks: &Tracks, fps: Option<f64>, resume: &Resume, card: &Card) -> Option<Self> {
        let target_s = resume.target_duration_s?;
        let silence = tracks.audio.as_ref().and_then(Silence::beside);
        let card = tracks.video.is_some().then(|| card.clone());
        if silence.is_none() && card.is_none() {
            return None;
        }
        let fps = fps.filter(|fps| fps.is_finite()).unwrap_or(30.0);
        let fps_milli = (fps * 1000.0).round().clamp(0.0, 1e6) as u64;
        let start_90k = resume
            .next_dts_90k
            .map_or(FIRST_90K, |next| next.cast_signed() % WRAP_90K + WRAP_90K);
        Some(Self {
            writer: Writer::new(resume.continuity),
            card,
            silence,
            fps_milli: fps_milli.clamp(*FPS_MILLI.start(), *FPS_MILLI.end()),
            target_s: target_s.max(1),
            start_90k,
            until_ms: 0,
            pictures: 0,
            frames: 0,
        })
    }

    /// Shows another picture from the next segment on: one with the same parameter sets, so that
    /// no DISCONTINUITY is needed. A card of another shape changes nothing.
    pub fn show(&mut self, card: &Card) {
        if let Some(shown) = &mut self.card
            && shown.config == card.config
        {
            *shown = card.clone();
        }
    }

    /// EXT-X-TARGETDURATION, seconds.
    pub fn target_s(&self) -> u32 {
        self.target_s
    }

    /// The next segment, `length_ms` long but for a part of a frame, and never longer than the
    /// target duration; the first one follows a DISCONTINUITY.
    pub fn segment(&mut self, length_ms: u32) -> Segment {
        let first = self.until_ms == 0;
        let longest = u64::from(self.target_s) * 1000;
        self.until_ms += u64::from(length_ms).clamp(SHORTEST_MS, longest);
        self.writer
            .open(self.card.is_some(), self.silence.is_some(), first);
        let (began, pictures) = (self.now_90k(), self.pictures);
        if self.card.is_some() {
            let last = (self.until_ms * self.fps_milli).div_ceil(1_000_000);
            for number in 0..last.saturating_sub(pictures) {
                self.silence_until(self.picture_90k(self.pictures));
                self.picture(number);
            }
            self.silence_until(self.picture_90k(self.pictures));
            self.writer.advance_clock(self.picture_90k(self.pictures));
        } else if let Some(silence) = &self.silence {
            let last = (self.until_ms * silence.sample_rate).div_ceil(FRAME_SAMPLES * 1000);
            self.silence_until(self.frame_90k(last));
        }
        let body = self.writer.close();
        Segment {
            len: body.iter().map(Bytes::len).sum(),
            body,
            duration_90k: (self.now_90k() - began).max(1).cast_unsigned(),
            discontinuity: first,
            independent: true,
            start_ms: (began - self.start_90k) / 90,
            target_duration_s: self.target_s,
            idr: None,
            pictures: u32::try_from(self.pictures - pictures).unwrap_or(u32::MAX),
            // The first picture of each segment is an IDR.
            keyframes: u32::from(self.pictures > pictures),
        }
    }

    /// What goes on behind the segments made so far.
    pub fn resume(&self) -> Resume {
        let audio = self.silence.as_ref().map(|_| self.frame_90k(self.frames));
        let end_90k = audio.unwrap_or(i64::MIN).max(self.now_90k());
        Resume {
            continuity: self.writer.continuity(),
            next_dts_90k: Some((end_90k % WRAP_90K).cast_unsigned()),
            target_duration_s: Some(self.target_s),
        }
    }

    /// Where the next segment begins.
    fn now_90k(&self) -> i64 {
        match self.card {
            Some(_) => self.picture_90k(self.pictures),
            None => self.frame_90k(self.frames),
        }
    }

    fn picture_90k(&self, index: u64) -> i64 {
        self.start_90k + (index * 90_000_000 / self.fps_milli).cast_signed()
    }

    fn frame_90k(&self, index: u64) -> i64 {
        let rate = self.silence.as_ref().map_or(1, |audio| audio.sample_rate);
        self.start_90k + (index * FRAME_SAMPLES * 90_000 / rate.max(1)).cast_signed()
    }

    /// Writes the segment's picture of this number: 0 is the IDR.
    fn picture(&mut self, number: u64) {
        let at_90k = self.picture_90k(self.pictures);
        let Some(card) = &self.card else { return };
        let data = match number {
            0 => card.idr.clone(),
            _ => with_length(&card.skip.nal(number)),
        };
        let picture = Picture {
            dts_90k: at_90k,
            pts_90k: at_90k,
            at_ms: 0,
            idr: number == 0,
            keeps_sets: false,
            length_bytes: 4,
            data,
        };
        self.writer.picture(&picture, &card.config.sets, false);
        self.pictures += 1;
    }

    /// Writes the silent frames that begin before `end_90k`.
    fn silence_until(&mut self, end_90k: i64) {
        while let Some(silence) = &self.silence {
            let pts_90k = self.frame_90k(self.frames);
            let Some(adts) = silence.config.adts(silence.raw.len()) else {
                return;
            };
            if pts_90k >= end_90k {
                return;
            }
            let frame = Frame {
                pts_90k,
                end_90k: self.frame_90k(self.frames + 1),
                adts,
                program_config: Bytes::new(),
                raw: silence.raw.clone(),
            };
            self.writer.frame(frame, true);
            self.frames += 1;
        }
    }
}

#[cfg(test)]
mod tests;
