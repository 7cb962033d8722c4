//! Boundaries: opening a segment with what waits for its place, closing it, breaking off. It does
//! not decide where they lie.

use bytes::Bytes;

use super::{Assembly, Open, Opening, VIDEO_OVERDUE_90K};
use crate::input::AudioInput;
use crate::segment::{Notice, Output, Resume, Segment, Tracks};

impl Assembly {
    pub(super) fn open(&mut self, start_90k: i64, at_ms: i64, opening: Opening) {
        let began = self.tracks != Tracks::default();
        let with_video = self.tracks.video.is_some() || opening != Opening::Audio;
        let independent = opening == Opening::Idr || !with_video;
        let mut changed = false;
        if let (Some(video), true) = (&mut self.video, independent) {
            changed |= video.adopt();
        }
        changed |= self.audio.as_mut().is_some_and(AudioInput::adopt);
        let tracks = Tracks {
            video: self
                .video
                .as_ref()
                .filter(|_| with_video)
                .map(|video| video.config.track()),
            audio: self.audio.as_ref().map(|audio| audio.config.track()),
        };
        let added = tracks.video.is_some() != self.tracks.video.is_some()
            || tracks.audio.is_some() != self.tracks.audio.is_some();
        for (happened, notice) in [
            (changed, Notice::ParametersChanged),
            (added, Notice::TrackAdded),
        ] {
            if began && happened {
                self.discontinuity = true;
                self.outputs.push_back(Output::Notice(notice));
            }
        }
        self.writer
            .open(with_video, tracks.audio.is_some(), self.discontinuity);
        if tracks != self.tracks {
            self.outputs.push_back(Output::Tracks(tracks.clone()));
            self.tracks = tracks;
        }
        self.broken_90k = None;
        self.open = Some(Open {
            start_90k,
            start_ms: at_ms,
            discontinuity: std::mem::take(&mut self.discontinuity),
            independent,
            pictures: 0,
            keyframes: 0,
            idr: None,
            told_clamp: false,
        });
    }

    /// Ends the open segment where the next one begins.
    pub(super) fn close(&mut self, end_90k: i64) {
        let body = self.writer.close();
        let Some(open) = self.open.take() else { return };
        let longest = self.cutter.longest_90k();
        let length = end_90k - open.start_90k;
        // EXTINF may not pass T: time that nothing covers is a discontinuity.
        self.discontinuity |= length > longest;
        let duration = length.clamp(1, longest);
        let target_duration_s = self.cutter.target_duration_s(duration);
        self.outputs.push_back(Output::Segment(Segment {
            len: body.iter().map(Bytes::len).sum(),
            body,
            duration_90k: duration.cast_unsigned(),
            discontinuity: open.discontinuity,
            independent: open.independent,
            start_ms: open.start_ms,
            target_duration_s,
            idr: open.idr,
            pictures: open.pictures,
            keyframes: open.keyframes,
        }));
    }

    /// Ends the open segment with what there is; the next one follows a discontinuity.
    pub(super) fn break_off(&mut self) {
        if let Some(held) = self.held.take() {
            self.write(&held);
        }
        if let Some(open) = &self.open {
            let end_90k = self.media_end_90k().unwrap_or(open.start_90k);
            self.broken_90k = Some(end_90k);
            self.close(end_90k);
        }
        self.discontinuity |= self.tracks != Tracks::default();
        self.last_idr_90k = None;
    }

    /// Where the media written so far ends: with its last picture, unless video pauses.
    fn media_end_90k(&self) -> Option<i64> {
        let video = self.last_dts_90k.map(|last| last + self.picture_90k);
        match (
            video.filter(|_| self.tracks.video.is_some()),
            self.audio_end_90k,
        ) {
            (Some(video), Some(audio)) if audio > video + VIDEO_OVERDUE_90K => Some(audio),
            (Some(video), _) => Some(video),
            (None, audio) => audio,
        }
    }

    /// Ends the session.
    pub(crate) fn finish(&mut self) -> Resume {
        self.break_off();
        self.early.clear();
        let end_90k = self
            .media_end_90k()
            .max(self.audio_end_90k)
            .max(self.shown_until_90k);
        Resume {
            continuity: self.writer.continuity(),
            next_dts_90k: end_90k
                .map(|end| end.cast_unsigned() & ((1 << 33) - 1))
                .or(self.resume_dts_90k),
            target_duration_s: self.cutter.fixed_s(),
        }
    }
}
