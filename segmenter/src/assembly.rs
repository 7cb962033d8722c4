//! Assembly: media in tag order to segments: what opens one, what ends it, what is dropped (media
//! rules 4, 7, 8, 12, 13). It does not know FLV headers, packets, names or sequence numbers.

mod audio;
mod boundary;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::aac::AacError;
use crate::cut::Cutter;
use crate::input::{AudioInput, VideoInput};
use crate::segment::{Config, Idr, Notice, Output, Refusal, Resume, Tracks};
use crate::timeline::{Medium, Placed, Timeline};
use crate::writer::{Picture, Writer};

/// First time given out, 90 kHz: 1.4 s, so that no clock reference is below zero (rule 6).
const FIRST_90K: i64 = 126_000;
/// Largest learned DTS shift: a longer reordering than any level allows at 24 fps.
const MAX_SHIFT_90K: i64 = 2 * 90_000;
/// Audio that is so far ahead of video means that video pauses.
const VIDEO_OVERDUE_90K: i64 = 45_000;
/// Length of a picture until two of them told.
const FIRST_PICTURE_90K: i64 = 3_600;
/// Audio frames kept while an IDR is awaited: they may be heard after it.
const MAX_EARLY_FRAMES: usize = 64;
/// TS packets and PES headers around an access unit, at most, besides 4 bytes in 184.
const PES_OVERHEAD_BYTES: usize = 4 * 188;

/// What a segment opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Idr,
    /// Another picture.
    Picture,
    Audio,
}

/// The open segment.
#[derive(Debug)]
struct Open {
    start_90k: i64,
    start_ms: i64,
    discontinuity: bool,
    independent: bool,
    pictures: u32,
    keyframes: u32,
    idr: Option<Idr>,
    told_clamp: bool,
}

/// Media to segments, once it is known which tracks there are.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) outputs: VecDeque<Output>,
    /// Whether segments tell their newest IDR.
    pub(crate) keep_idrs: bool,
    cutter: Cutter,
    timeline: Timeline,
    writer: Writer,
    limit: usize,
    video: Option<VideoInput>,
    audio: Option<AudioInput>,
    /// What the PMT declares.
    tracks: Tracks,
    /// Stream time and output time of the first unit.
    origin: Option<(i64, i64)>,
    base_90k: i64,
    /// Subtracted from every DTS so that negative composition times keep PTS >= DTS.
    shift_90k: i64,
    open: Option<Open>,
    /// The newest picture, written when the next one tells how long it lasts.
    held: Option<Picture>,
    early: VecDeque<(i64, Bytes)>,
    discontinuity: bool,
    /// Behind a break, when its IDR is shown: pictures that are decoded after it and shown before
    /// it need others that are gone.
    began_90k: Option<i64>,
    /// Where media broke off, while an IDR is awaited.
    broken_90k: Option<i64>,
    last_dts_90k: Option<i64>,
    last_idr_90k: Option<i64>,
    picture_90k: i64,
    audio_end_90k: Option<i64>,
    /// End of the picture that is shown last: with reordering, behind the last DTS.
    shown_until_90k: Option<i64>,
    resume_dts_90k: Option<u64>,
    told_drop: [Option<&'static str>; 2],
}

impl Assembly {
    pub(crate) fn new(config: &Config, resume: Option<Resume>) -> Self {
        let discontinuity = resume.is_some();
        let resume = resume.unwrap_or_default();
        // A resumed 33-bit time may be small because it wrapped: arithmetic stays above zero.
        let base_90k = resume.next_dts_90k.map_or(FIRST_90K, |next| {
            (next & ((1 << 33) - 1)).cast_signed() + (1 << 33)
        });
        Self {
            outputs: VecDeque::new(),
            keep_idrs: false,
            cutter: Cutter::new(
                config.target_ms,
                config.max_segment_ms,
                resume.target_duration_s,
            ),
            timeline: Timeline::default(),
            writer: Writer::new(resume.continuity),
            limit: config.segment_bytes,
            video: None,
            audio: None,
            tracks: Tracks::default(),
            origin: None,
            base_90k,
            shift_90k: 0,
            open: None,
            held: None,
            early: VecDeque::new(),
            discontinuity,
            began_90k: None,
            broken_90k: None,
            last_dts_90k: None,
            last_idr_90k: None,
            picture_90k: FIRST_PICTURE_90K,
            audio_end_90k: None,
            shown_until_90k: None,
            resume_dts_90k: resume.next_dts_90k,
            told_drop: [None; 2],
        }
    }

    /// Bytes held by the open segment.
    pub(crate) fn open_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.data.len());
        let idr = self.open.as_ref().and_then(|open| open.idr.as_ref());
        let early: usize = self.early.iter().map(|(_, raw)| raw.len()).sum();
        self.writer.len() + held + idr.map_or(0, |idr| idr.data.len()) + early
    }

    /// Learns the composition times of the pictures that come first.
    pub(crate) fn expect_cts(&mut self, cts_ms: i32) {
        let needed = (-i64::from(cts_ms) * 90).min(MAX_SHIFT_90K);
        self.shift_90k = self.shift_90k.max(needed);
    }

    /// Whether the track's sequence header is known.
    pub(crate) fn has(&self, medium: Medium) -> bool {
        match medium {
            Medium::Video => self.video.is_some(),
            Medium::Audio => self.audio.is_some(),
        }
    }

    pub(crate) fn video_header(&mut self, header: &Bytes) {
        let result = match &mut self.video {
            Some(video) => video.header(header),
            None => VideoInput::new(header).map(|video| self.video = Some(video)),
        };
        if let Err(reason) = result {
            self.drop_told(Medium::Video, reason);
        }
    }

    pub(crate) fn audio_header(&mut self, header: &Bytes) -> Result<(), Refusal> {
        let result = match &mut self.audio {
            Some(audio) => audio.header(header),
            None => AudioInput::new(header).map(|audio| self.audio = Some(audio)),
        };
        match result {
            Ok(()) => Ok(()),
            Err(AacError::Unsupported(name)) => Err(Refusal::AudioCodec(name)),
            Err(AacError::Malformed(reason)) => {
                self.drop_told(Medium::Audio, reason);
                Ok(())
            }
        }
    }

    /// Takes one access unit.
    pub(crate) fn picture(
        &mut self,
        wire_ms: u32,
        cts_ms: i32,
        data: &Bytes,
    ) -> Result<(), Refusal> {
        let Some(video) = &mut self.video else {
            self.drop_told(Medium::Video, "video before its sequence header");
            return Ok(());
        };
        let seen = match video.inspect(data) {
            Ok(seen) => seen,
            Err(reason) => {
                self.drop_told(Medium::Video, reason);
                return Ok(());
            }
        };
        if !seen.picture {
            video.learn(data, seen);
            self.drop_told(Medium::Video, "a video message without a picture");
            return Ok(());
        }
        let placed = self
            .timeline
            .place(Medium::Video, wire_ms, self.picture_90k / 90);
        self.heed(placed);
        if self.origin.is_none() && !seen.idr {
            self.drop_told(Medium::Video, "video before the first IDR");
            return Ok(());
        }
        let (dts_90k, pts_90k) = self.video_times(placed.at_ms, cts_ms);
        if self.leads(seen.idr, pts_90k) {
            self.drop_told(Medium::Video, "pictures that need some before the break");
            return Ok(());
        }
        if let Some(held) = self.held.take() {
            self.settle(&held, dts_90k, seen.idr);
        }
        let Some(video) = &mut self.video else {
            return Ok(());
        };
        let keeps_sets = video.learn(data, seen);
        let picture = Picture {
            dts_90k,
            pts_90k,
            at_ms: placed.at_ms,
            idr: seen.idr,
            keeps_sets,
            length_bytes: video.config.length_bytes,
            data: data.clone(),
        };
        self.place_picture(picture)
    }

    /// Is it a leading picture of the IDR that media began with behind a break? Players stop with
    /// an error at one. The first that is none is the end of them.
    fn leads(&mut self, idr: bool, pts_90k: i64) -> bool {
        let leads = !idr && self.began_90k.is_some_and(|began| pts_90k < began);
        if !leads {
            self.began_90k = None;
        }
        leads
    }

    /// DTS and PTS, 90 kHz.
    fn video_times(&mut self, at_ms: i64, cts_ms: i32) -> (i64, i64) {
        self.expect_cts(cts_ms);
        let (shift, base) = (self.shift_90k, self.base_90k);
        self.origin.get_or_insert((at_ms, base + shift));
        let at_90k = self.time_90k(at_ms);
        let floor = self.last_dts_90k.map_or(i64::MIN, |last| last + 1);
        let dts_90k = (at_90k - shift).max(floor);
        (dts_90k, (at_90k + i64::from(cts_ms) * 90).max(dts_90k))
    }

    /// Output time of stream time; the first unit sets the origin.
    fn time_90k(&mut self, at_ms: i64) -> i64 {
        let (origin_ms, origin_90k) = *self.origin.get_or_insert((at_ms, self.base_90k));
        origin_90k + (at_ms - origin_ms) * 90
    }

    /// Ends the segment before the picture where it must, and holds or writes it.
    fn place_picture(&mut self, picture: Picture) -> Result<(), Refusal> {
        let dts_90k = picture.dts_90k;
        if picture.idr {
            if let Some(last) = self.last_idr_90k {
                self.cutter.gop_ended(dts_90k - last);
            }
            self.last_idr_90k = Some(dts_90k);
        }
        if let Some(open) = &self.open {
            let length = dts_90k - open.start_90k;
            let changed = picture.idr && self.changes_wait();
            if length > self.cutter.longest_90k() {
                self.break_off();
            } else if changed || picture.idr && self.cutter.ends_at_idr(length) {
                self.writer.advance_clock(dts_90k);
                self.close(dts_90k);
            }
        }
        let opens = self.open.is_none();
        if opens && !picture.idr && !self.waited_enough(dts_90k) {
            self.drop_told(Medium::Video, "video before the next IDR");
            return Ok(());
        }
        self.check_room(picture.data.len())?;
        if let Some(last) = self.last_dts_90k
            && dts_90k - last <= 90_000
        {
            self.picture_90k = dts_90k - last;
        }
        self.last_dts_90k = Some(dts_90k);
        self.shown_until_90k = self
            .shown_until_90k
            .max(Some(picture.pts_90k + self.picture_90k));
        self.told_drop[0] = None;
        if opens {
            self.open_at_picture(&picture)
        } else {
            self.held = Some(picture);
            Ok(())
        }
    }

    /// Writes the held picture, now that the next one's DTS is known; where that would make the
    /// segment too long it ends before the held one (rule 7).
    fn settle(&mut self, held: &Picture, next_90k: i64, next_is_idr: bool) {
        if let Some(open) = &self.open {
            let length = next_90k - open.start_90k;
            let reaches = next_is_idr && length <= self.cutter.longest_90k();
            if self.cutter.overdue(length) && !reaches && held.dts_90k > open.start_90k {
                if held.idr {
                    self.writer.advance_clock(held.dts_90k);
                    self.close(held.dts_90k);
                } else {
                    self.cut_without_idr(held.dts_90k);
                }
                let opening = if held.idr {
                    Opening::Idr
                } else {
                    Opening::Picture
                };
                self.open(held.dts_90k, held.at_ms, opening);
            }
        }
        self.write(held);
    }

    fn cut_without_idr(&mut self, end_90k: i64) {
        let start_90k = self.open.as_ref().map_or(end_90k, |open| open.start_90k);
        let length_ms = u32::try_from((end_90k - start_90k) / 90).unwrap_or(u32::MAX);
        self.outputs
            .push_back(Output::Notice(Notice::CutWithoutIdr { length_ms }));
        self.writer.advance_clock(end_90k);
        self.close(end_90k);
    }

    fn write(&mut self, picture: &Picture) {
        let (Some(open), Some(video)) = (&mut self.open, &self.video) else {
            return;
        };
        let sets = &video.config.sets;
        self.writer.picture(picture, sets, open.pictures == 0);
        open.pictures = open.pictures.saturating_add(1);
        if picture.idr {
            open.keyframes = open.keyframes.saturating_add(1);
            open.idr = self.keep_idrs.then(|| Idr {
                data: picture.data.clone(),
                length_bytes: picture.length_bytes,
                sets: sets.clone(),
                reorder_90k: picture.pts_90k - picture.dts_90k,
            });
        }
    }

    /// Behind a break a picture without IDR opens a segment only when none came for so long that
    /// the playlist would stall.
    fn waited_enough(&mut self, dts_90k: i64) -> bool {
        let Some(broken) = self.broken_90k else {
            return false;
        };
        let length = dts_90k - broken;
        if !self.cutter.overdue(length) {
            return false;
        }
        let length_ms = u32::try_from(length / 90).unwrap_or(u32::MAX);
        self.outputs
            .push_back(Output::Notice(Notice::CutWithoutIdr { length_ms }));
        true
    }

    fn open_at_picture(&mut self, picture: &Picture) -> Result<(), Refusal> {
        let opening = if picture.idr {
            Opening::Idr
        } else {
            Opening::Picture
        };
        let broken = self.discontinuity && picture.idr;
        self.open(picture.dts_90k, picture.at_ms, opening);
        self.began_90k = broken.then_some(picture.pts_90k);
        self.write(picture);
        for (at_ms, raw) in std::mem::take(&mut self.early) {
            let frame_ms = self
                .audio
                .as_ref()
                .map_or(0, |audio| audio.clock.frame_90k() / 90);
            if at_ms + frame_ms <= picture.at_ms {
                self.drop_told(Medium::Audio, "audio before the first IDR");
            } else {
                self.place_frame(at_ms, &raw)?;
            }
        }
        Ok(())
    }

    /// Tells of jumps and clamps; a jump ends the segment (rule 4).
    fn heed(&mut self, placed: Placed) {
        if let Some(by_ms) = placed.jump_ms {
            self.outputs
                .push_back(Output::Notice(Notice::Jump { by_ms }));
            self.break_off();
        }
        if let (Some(by_ms), Some(open)) = (placed.clamped_ms, &mut self.open)
            && !std::mem::replace(&mut open.told_clamp, true)
        {
            self.outputs
                .push_back(Output::Notice(Notice::Clamped { by_ms }));
        }
    }

    /// Tells once why media of this kind is dropped, until some is taken again.
    pub(crate) fn drop_told(&mut self, medium: Medium, reason: &'static str) {
        let told = &mut self.told_drop[usize::from(medium == Medium::Audio)];
        if told.replace(reason) != Some(reason) {
            self.outputs
                .push_back(Output::Notice(Notice::Dropped { reason }));
        }
    }

    fn audio_waits(&self) -> bool {
        let unknown = self.tracks.audio.is_none();
        self.audio
            .as_ref()
            .is_some_and(|audio| audio.next.is_some() || unknown)
    }

    /// Something waits for the next IDR to come into force.
    fn changes_wait(&self) -> bool {
        let video = self
            .video
            .as_ref()
            .is_some_and(|video| video.next.is_some());
        video || self.tracks.video.is_none() || self.audio_waits()
    }

    fn check_room(&self, bytes: usize) -> Result<(), Refusal> {
        let held = self.held.as_ref().map_or(0, |held| held.data.len());
        let packets = bytes
            .saturating_add(bytes / 32)
            .saturating_add(PES_OVERHEAD_BYTES);
        let limit = self.limit;
        match (self.writer.len() + held).saturating_add(packets) > limit {
            true => Err(Refusal::SegmentTooLarge { limit }),
            false => Ok(()),
        }
    }
}
