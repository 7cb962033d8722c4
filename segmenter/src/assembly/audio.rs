//! Audio's way into segments: what waits for an IDR, and when audio itself ends a segment. It does
//! not know ADTS fields or packets.

use bytes::Bytes;

use super::{Assembly, MAX_EARLY_FRAMES, Opening, VIDEO_OVERDUE_90K};
use crate::segment::Refusal;
use crate::timeline::Medium;
use crate::writer::Frame;

const TOO_LONG: &str = "an AAC frame too long for ADTS";

impl Assembly {
    /// Takes one AAC frame.
    pub(crate) fn frame(&mut self, wire_ms: u32, raw: &Bytes) -> Result<(), Refusal> {
        let Some(audio) = &self.audio else {
            self.drop_told(Medium::Audio, "audio before its sequence header");
            return Ok(());
        };
        if audio.config.adts(raw.len()).is_none() {
            self.drop_told(Medium::Audio, TOO_LONG);
            return Ok(());
        }
        let frame_ms = audio.clock.frame_90k() / 90;
        let placed = self.timeline.place(Medium::Audio, wire_ms, frame_ms);
        self.heed(placed);
        let video = self.tracks.video.is_some();
        let awaits_idr = self.video.is_some() && (video || self.origin.is_none());
        if self.open.is_none() && awaits_idr {
            if self.origin.is_none() || !self.waited_enough_at(placed.at_ms) {
                self.keep_early(placed.at_ms, raw);
                return Ok(());
            }
            self.early.clear();
        } else if self.open.is_some() && self.audio_waits() {
            if video {
                self.drop_told(
                    Medium::Audio,
                    "audio with new parameters before the next IDR",
                );
                return Ok(());
            }
            self.break_off();
        }
        self.place_frame(placed.at_ms, raw)
    }

    fn waited_enough_at(&mut self, at_ms: i64) -> bool {
        let at_90k = self.time_90k(at_ms);
        self.waited_enough(at_90k)
    }

    /// Keeps audio that may be heard after the IDR that is awaited.
    fn keep_early(&mut self, at_ms: i64, raw: &Bytes) {
        if self.early.len() == MAX_EARLY_FRAMES {
            self.early.pop_front();
            self.drop_told(Medium::Audio, "audio before the IDR");
        }
        self.early.push_back((at_ms, raw.clone()));
    }

    /// Times the frame, ends and opens segments where audio has to, and writes it.
    pub(super) fn place_frame(&mut self, at_ms: i64, raw: &Bytes) -> Result<(), Refusal> {
        let stamp_90k = self.time_90k(at_ms);
        if self.open.is_none() {
            self.open(stamp_90k, at_ms, Opening::Audio);
        }
        let with_video = self.tracks.video.is_some();
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        let frame_90k = audio.clock.frame_90k();
        let before = self
            .origin
            .is_some_and(|(_, origin)| stamp_90k + frame_90k <= origin);
        if with_video && before {
            self.drop_told(Medium::Audio, "audio before the first IDR");
            return Ok(());
        }
        let Some(adts) = audio.config.adts(raw.len()) else {
            self.drop_told(Medium::Audio, TOO_LONG);
            return Ok(());
        };
        let (pts_90k, follows) = audio.clock.next(stamp_90k);
        let program_config = audio.program_config.clone();
        let end_90k = pts_90k + frame_90k;
        if with_video {
            self.audio_beside_video(pts_90k, end_90k, at_ms);
        } else {
            self.audio_alone(pts_90k, end_90k, at_ms);
        }
        self.check_room(raw.len() + adts.len() + program_config.len())?;
        self.told_drop[1] = None;
        self.audio_end_90k = Some(end_90k);
        let frame = Frame {
            pts_90k,
            end_90k,
            adts,
            program_config,
            raw: raw.clone(),
        };
        self.writer.frame(frame, follows);
        Ok(())
    }

    /// While video pauses, audio moves the clock on and ends segments that grow too long.
    fn audio_beside_video(&mut self, pts_90k: i64, end_90k: i64, at_ms: i64) {
        if self
            .last_dts_90k
            .is_some_and(|last| pts_90k - last <= VIDEO_OVERDUE_90K)
        {
            return;
        }
        if let Some(held) = self.held.take() {
            self.write(&held);
        }
        let start_90k = self.open.as_ref().map_or(end_90k, |open| open.start_90k);
        if self.cutter.overdue(end_90k - start_90k) {
            self.cut_without_idr(pts_90k);
            self.open(pts_90k, at_ms, Opening::Audio);
        }
        self.writer.advance_clock(pts_90k - VIDEO_OVERDUE_90K);
    }

    fn audio_alone(&mut self, pts_90k: i64, end_90k: i64, at_ms: i64) {
        let Some(start_90k) = self.open.as_ref().map(|open| open.start_90k) else {
            return;
        };
        let length = pts_90k - start_90k;
        if length > self.cutter.longest_90k() {
            self.break_off();
        } else if self.cutter.ends_at_audio(length) || self.cutter.overdue(end_90k - start_90k) {
            self.close(pts_90k);
        }
        if self.open.is_none() {
            self.open(pts_90k, at_ms, Opening::Audio);
        }
    }
}
