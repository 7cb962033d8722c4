//! Slate: segments for a stream that has no media of its own (media rules 20 to 23): one encoded
//! picture again and again, or a film in a loop, with sound beside it. It does not know why it is
//! shown or when segments are due; what it shows is handed in.
//!
//! A still picture is an IDR and then all-skip P pictures at the live frame rate: a sparse picture
//! would stall players at the live edge. Audio is one AAC-LC frame of silence again and again at the
//! live rate, on a 1024-sample grid, or the film's own sound where it is coded like the live one.

mod cabac;
mod film;
mod rbsp;
mod reel;
mod sei;
mod skip;
mod slice;
mod sound;
mod still;

use std::sync::Arc;

use bytes::Bytes;

pub use film::Film;
pub use sound::keeps_sound;
pub use still::Still;

use crate::segment::{Resume, Segment, Tracks};
use crate::writer::{Picture, Writer};
use reel::Reel;
use sound::Sound;

/// First time given out when nothing went before, 90 kHz; see `assembly`.
const FIRST_90K: i64 = 126_000;
/// Times are 33 bits (13818-1 2.4.3.7).
const WRAP_90K: i64 = 1 << 33;
/// Slowest and fastest still, pictures in 1000 s: slower ones would leave the segment's length to
/// chance, and the cards' level allows no faster ones.
const FPS_MILLI: std::ops::RangeInclusive<u64> = 10_000..=60_000;
/// Shortest segment made: more than a frame of any rate.
const SHORTEST_MS: u64 = 250;
/// How much longer than asked for a film's segment may be, 90 kHz: keyframes of 30000/1001 pictures
/// a second are a little late for whole seconds.
const LENIENCE_90K: i64 = 9_000;

/// What is seen.
#[derive(Debug)]
enum Seen {
    Nothing,
    Still(Box<Shown>),
    Film(Reel),
}

/// A still, and how much of it was shown.
#[derive(Debug)]
struct Shown {
    still: Still,
    fps_milli: u64,
    start_90k: i64,
    pictures: u64,
    segments: u64,
}

/// A slate that goes on until nobody asks for the next segment.
#[derive(Debug)]
pub struct Slate {
    writer: Writer,
    seen: Seen,
    sound: Option<Sound>,
    target_s: u32,
    start_90k: i64,
    /// Where the segments made so far were meant to end.
    until_ms: u64,
}

impl Slate {
    /// A slate with the tracks of a stream, behind what `resume` tells of. `fps` is the live frame
    /// rate. The audio has the live rate and channels; HE-AAC becomes AAC-LC at its core rate, and
    /// channel configurations that have no plain silence become stereo, which players take behind
    /// the DISCONTINUITY. `None` before a first segment fixed the target duration, or without a
    /// track.
    pub fn new(tracks: &Tracks, fps: Option<f64>, resume: &Resume, still: &Still) -> Option<Self> {
        let mut slate = Self::heard(tracks, resume)?;
        let fps = fps.filter(|fps| fps.is_finite()).unwrap_or(30.0);
        let fps_milli = (fps * 1000.0).round().clamp(0.0, 1e6) as u64;
        if tracks.video.is_some() {
            slate.seen = Seen::Still(Box::new(Shown {
                still: still.clone(),
                fps_milli: fps_milli.clamp(*FPS_MILLI.start(), *FPS_MILLI.end()),
                start_90k: slate.start_90k,
                pictures: 0,
                segments: 0,
            }));
        }
        slate.if_any()
    }

    /// A slate that shows a film, with its sound where that is coded like the live one; its
    /// pictures keep their own rate. `None` as with [`Slate::new`], and when the film's IDRs are
    /// too rare for the target duration.
    pub fn film(tracks: &Tracks, resume: &Resume, film: &Arc<Film>) -> Option<Self> {
        let mut slate = Self::heard(tracks, resume)?;
        if !film.fits(slate.target_s) {
            return None;
        }
        if tracks.video.is_some() {
            slate.seen = Seen::Film(Reel::new(Arc::clone(film), slate.start_90k));
            let sound = slate.sound.take().zip(tracks.audio.as_ref());
            slate.sound = sound.map(|(sound, live)| sound.of(film, live));
        }
        slate.if_any()
    }

    fn heard(tracks: &Tracks, resume: &Resume) -> Option<Self> {
        let start_90k = resume
            .next_dts_90k
            .map_or(FIRST_90K, |next| next.cast_signed() % WRAP_90K + WRAP_90K);
        let live = tracks.audio.as_ref();
        Some(Self {
            writer: Writer::new(resume.continuity),
            seen: Seen::Nothing,
            sound: live.and_then(|live| Sound::beside(live, start_90k)),
            target_s: resume.target_duration_s?.max(1),
            start_90k,
            until_ms: 0,
        })
    }

    fn if_any(self) -> Option<Self> {
        let silent = self.sound.is_none() && matches!(self.seen, Seen::Nothing);
        (!silent).then_some(self)
    }

    /// Shows another still from the next segment on: one with the same parameter sets, so that no
    /// DISCONTINUITY is needed. One of another shape changes nothing.
    pub fn show(&mut self, still: &Still) {
        if let Seen::Still(shown) = &mut self.seen
            && shown.still.sets == still.sets
        {
            shown.still = still.clone();
        }
    }

    /// EXT-X-TARGETDURATION, seconds.
    pub fn target_s(&self) -> u32 {
        self.target_s
    }

    /// The next segment, `length_ms` long but for a part of a frame, and never longer than the
    /// target duration; the first one follows a DISCONTINUITY. A film's segments end at its IDRs,
    /// and may be up to 0.49 s longer than the target duration.
    pub fn segment(&mut self, length_ms: u32) -> Segment {
        let first = self.until_ms == 0;
        let longest = u64::from(self.target_s) * 1000;
        let length_ms = u64::from(length_ms).clamp(SHORTEST_MS, longest);
        self.until_ms += length_ms;
        let with_video = !matches!(self.seen, Seen::Nothing);
        self.writer.open(with_video, self.sound.is_some(), first);
        let began = self.now_90k();
        let pictures = match &mut self.seen {
            Seen::Nothing => Vec::new(),
            Seen::Still(shown) => shown.next(self.until_ms),
            Seen::Film(reel) => reel.next(length_ms.cast_signed() * 90 + LENIENCE_90K),
        };
        for picture in &pictures {
            self.write(picture);
        }
        let end_90k = match (&self.seen, &self.sound) {
            (Seen::Nothing, Some(sound)) => sound.frame_90k(sound.frames_in(self.until_ms)),
            _ => self.now_90k(),
        };
        if let Some(sound) = &mut self.sound {
            sound.until(end_90k, &mut self.writer);
        }
        if with_video {
            self.writer.advance_clock(end_90k - self.reorder_90k());
        }
        let body = self.writer.close();
        let keyframes = pictures.iter().filter(|picture| picture.idr).count();
        Segment {
            len: body.iter().map(Bytes::len).sum(),
            body,
            duration_90k: (self.now_90k() - began).max(1).cast_unsigned(),
            discontinuity: first,
            independent: true,
            start_ms: (began - self.start_90k) / 90,
            target_duration_s: self.target_s,
            idr: None,
            pictures: u32::try_from(pictures.len()).unwrap_or(u32::MAX),
            keyframes: u32::try_from(keyframes).unwrap_or(u32::MAX),
        }
    }

    /// What goes on behind the segments made so far.
    pub fn resume(&self) -> Resume {
        let audio = self.sound.as_ref().map(Sound::end_90k);
        let end_90k = audio.unwrap_or(i64::MIN).max(self.now_90k());
        Resume {
            continuity: self.writer.continuity(),
            next_dts_90k: Some((end_90k % WRAP_90K).cast_unsigned()),
            target_duration_s: Some(self.target_s),
        }
    }

    /// Where the next segment begins to be shown.
    fn now_90k(&self) -> i64 {
        match (&self.seen, &self.sound) {
            (Seen::Still(shown), _) => shown.next_90k(),
            (Seen::Film(reel), _) => reel.now_90k(),
            (Seen::Nothing, Some(sound)) => sound.end_90k(),
            (Seen::Nothing, None) => self.start_90k,
        }
    }

    /// How much later than decoded pictures are shown: as in the live stream, whose decoder waits
    /// for so many more.
    fn reorder_90k(&self) -> i64 {
        match &self.seen {
            Seen::Nothing => 0,
            Seen::Still(shown) => shown.still.reorder_90k,
            Seen::Film(reel) => reel.reorder_90k(),
        }
    }

    /// Writes a picture behind the sound that is heard before it.
    fn write(&mut self, picture: &Picture) {
        let at_90k = picture.dts_90k + self.reorder_90k();
        if let Some(sound) = &mut self.sound {
            sound.until(at_90k, &mut self.writer);
        }
        let sets = match &self.seen {
            Seen::Nothing => return,
            Seen::Still(shown) => &shown.still.sets,
            Seen::Film(reel) => &reel.film.config.sets,
        };
        self.writer.picture(picture, sets, false);
    }
}

impl Shown {
    /// When the next picture is shown.
    fn next_90k(&self) -> i64 {
        self.start_90k + (self.pictures * 90_000_000 / self.fps_milli).cast_signed()
    }

    /// The pictures of the segment that ends `until_ms` behind the start.
    fn next(&mut self, until_ms: u64) -> Vec<Picture> {
        let last = (until_ms * self.fps_milli).div_ceil(1_000_000);
        self.segments += 1;
        let count = last.saturating_sub(self.pictures);
        let one = |number| {
            let pts_90k = self.next_90k();
            self.pictures += 1;
            let data = self.still.picture(self.segments, number);
            Picture {
                dts_90k: pts_90k - self.still.reorder_90k,
                pts_90k,
                at_ms: 0,
                idr: number == 0,
                keeps_sets: false,
                length_bytes: 4,
                data,
            }
        };
        (0..count).map(one).collect()
    }
}

#[cfg(test)]
mod tests;
