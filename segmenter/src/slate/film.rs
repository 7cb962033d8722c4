//! Film: the operator's own clip, checked and taken apart, to be shown in a loop. It does not know
//! files, nor containers other than FLV's tags.

use bytes::Bytes;

use crate::aac::{AacConfig, AacError};
use crate::avc::{AvcConfig, NAL_IDR, NAL_PPS, NAL_SPS, Nals, nal_type};
use crate::payload::{self, Audio, Unusable, Video};
use crate::segment::{AudioTrack, VideoTrack};
use crate::slate::slice::Slice;
use crate::slate::sound::FRAME_SAMPLES;
use crate::{Tag, TagKind};

/// How much longer than the target duration a segment may be, so that it still rounds to it.
const OVERTIME_90K: i64 = 44_100;
/// A shorter film would be many times in a segment.
const SHORTEST_90K: i64 = 90_000;
/// The longest step between two pictures, and the longest reordering, ms.
const MAX_STEP_MS: i64 = 2_000;

/// A clip in memory: pictures in decoding order, times from the first picture shown on.
#[derive(Debug)]
pub struct Film {
    pub(super) config: AvcConfig,
    pub(super) shots: Vec<Shot>,
    /// Where IDRs are in `shots`; the first is 0.
    pub(super) keys: Vec<usize>,
    length_90k: i64,
    sound: Option<Heard>,
}

/// A picture.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) dts_90k: i64,
    pub(super) pts_90k: i64,
    pub(super) data: Bytes,
    pub(super) idr: bool,
}

/// Its sound.
#[derive(Debug)]
struct Heard {
    config: AacConfig,
    first_90k: i64,
    frames: Vec<Bytes>,
}

impl Film {
    /// Takes a clip's tags: H.264 that begins with an IDR and keeps its parameter sets, and AAC if
    /// there is sound.
    ///
    /// # Errors
    /// In words, what makes the clip unfit.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> Result<Self, String> {
        let mut cutting = Cutting::default();
        for tag in tags {
            match tag.kind {
                TagKind::Video => cutting.video(tag)?,
                TagKind::Audio => cutting.audio(tag)?,
                TagKind::Script => {}
            }
        }
        cutting.finish()
    }

    /// What a playlist would tell of its pictures.
    pub fn track(&self) -> VideoTrack {
        self.config.track()
    }

    /// How long it is, 90 kHz. Never 0.
    pub fn length_90k(&self) -> i64 {
        self.length_90k
    }

    /// The longest time from one IDR to the next, over the loop too, 90 kHz.
    pub fn longest_gop_90k(&self) -> i64 {
        let starts = self.keys.iter().map(|key| self.begin_90k(*key));
        let ends = starts.clone().skip(1).chain([self.length_90k]);
        starts
            .zip(ends)
            .map(|(start, end)| end - start)
            .max()
            .unwrap_or(0)
    }

    /// Bytes of its pictures in so much time, on average.
    pub fn bytes_in(&self, time_90k: i64) -> u64 {
        let bytes: usize = self.shots.iter().map(|shot| shot.data.len()).sum();
        let part = u128::from(time_90k.unsigned_abs()) * bytes as u128;
        u64::try_from(part / u128::from(self.length_90k.unsigned_abs())).unwrap_or(u64::MAX)
    }

    /// Can each segment begin with an IDR and still be no longer than this target duration?
    pub fn fits(&self, target_s: u32) -> bool {
        self.longest_gop_90k() <= i64::from(target_s) * 90_000 + OVERTIME_90K
    }

    /// Whether its sound can stand in for the live track's.
    pub(super) fn sounds_like(&self, live: &AudioTrack) -> bool {
        self.sound.as_ref().is_some_and(|sound| {
            let config = &sound.config;
            let plain = config.object_type == 2 && u64::from(config.frame_samples) == FRAME_SAMPLES;
            plain && config.channel_configuration != 0 && config.track() == *live
        })
    }

    /// The number of the sound's frame that is nearest to a time of the film; below 0 before its
    /// first.
    pub(super) fn frame_at(&self, at_90k: i64) -> i64 {
        let Some(sound) = &self.sound else { return 0 };
        let rate = i64::from(sound.config.sample_rate);
        let samples = (at_90k - sound.first_90k) * rate / 90_000;
        let frame = FRAME_SAMPLES.cast_signed();
        (samples + frame / 2).div_euclid(frame)
    }

    /// A frame of its sound.
    pub(super) fn frame(&self, number: i64) -> Option<Bytes> {
        let number = usize::try_from(number).ok()?;
        self.sound.as_ref()?.frames.get(number).cloned()
    }

    /// How far behind the film's first picture a picture is decoded.
    pub(super) fn begin_90k(&self, shot: usize) -> i64 {
        let first = self.shots.first().map_or(0, |first| first.dts_90k);
        self.shots.get(shot).map_or(0, |shot| shot.dts_90k - first)
    }
}

/// A film in the making.
#[derive(Default)]
struct Cutting {
    video: Option<AvcConfig>,
    audio: Option<AacConfig>,
    /// Wire time of the first picture, and decoding time less it, ms, of the newest.
    clock: Option<(u32, i64)>,
    /// Times in ms yet.
    shots: Vec<Shot>,
    frames: Vec<(u32, Bytes)>,
}

impl Cutting {
    fn video(&mut self, tag: &Tag) -> Result<(), String> {
        match payload::video(&tag.payload).map_err(unusable)? {
            Video::Config(header) => {
                let config = AvcConfig::parse(&header)?;
                if self.video.as_ref().is_some_and(|known| *known != config) {
                    return Err("its H.264 parameters change".into());
                }
                self.video = Some(config);
                Ok(())
            }
            Video::Picture { cts_ms, data } => self.picture(tag.timestamp_ms, cts_ms, data),
            Video::Nothing => Ok(()),
        }
    }

    fn picture(&mut self, wire_ms: u32, cts_ms: i32, data: Bytes) -> Result<(), String> {
        let config = self
            .video
            .as_ref()
            .ok_or("pictures come before their parameter sets")?;
        let (mut coded, mut idr) = (false, false);
        for nal in Nals::new(&data, config.length_bytes)? {
            match nal_type(nal) {
                NAL_IDR => (coded, idr) = (true, true),
                1..=4 => coded = true,
                NAL_SPS | NAL_PPS if !config.sets.contains(nal) => {
                    return Err("its H.264 parameters change".into());
                }
                _ => {}
            }
        }
        if !coded {
            return Ok(());
        }
        if self.shots.is_empty() && !idr {
            return Err("it does not begin with an IDR (a keyframe)".into());
        }
        let (first_ms, newest_ms) = *self.clock.get_or_insert((wire_ms, -1));
        let at_ms = i64::from(wire_ms.wrapping_sub(first_ms).cast_signed());
        let cts_ms = i64::from(cts_ms);
        if at_ms < newest_ms || at_ms - newest_ms > MAX_STEP_MS || cts_ms.abs() > MAX_STEP_MS {
            return Err(format!("the times of its pictures jump at {at_ms} ms"));
        }
        let at_ms = at_ms.max(newest_ms + 1);
        self.clock = Some((first_ms, at_ms));
        self.shots.push(Shot {
            dts_90k: at_ms * 90,
            pts_90k: (at_ms + cts_ms) * 90,
            data,
            idr,
        });
        Ok(())
    }

    fn audio(&mut self, tag: &Tag) -> Result<(), String> {
        match payload::audio(&tag.payload).map_err(unusable)? {
            Audio::Config(header) => {
                let config = AacConfig::parse(&header).map_err(unreadable)?;
                if self.audio.as_ref().is_some_and(|known| *known != config) {
                    return Err("its AAC parameters change".into());
                }
                self.audio = Some(config);
            }
            Audio::Frame(raw) => self.frames.push((tag.timestamp_ms, raw)),
            Audio::Nothing => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Film, String> {
        let config = self.video.ok_or("it has no H.264 pictures")?;
        let (first_ms, _) = self.clock.ok_or("it has no pictures")?;
        let mut shots = self.shots;
        let first_90k = shots.first().map_or(0, |first| first.pts_90k);
        // Pictures shown before the first one need others that are not there.
        shots.retain(|shot| shot.pts_90k >= first_90k);
        if shots.len() > 1 && alike(&config, shots.first(), shots.last()) {
            shots.pop();
        }
        // No picture is shown before it is decoded.
        let late = shots.iter().map(|shot| shot.dts_90k - shot.pts_90k).max();
        let shift = late.unwrap_or(0).max(0);
        for shot in &mut shots {
            shot.dts_90k -= shift + first_90k;
            shot.pts_90k -= first_90k;
        }
        let steps = i64::try_from(shots.len()).unwrap_or(i64::MAX) - 1;
        let (Some(first), Some(last)) = (shots.first(), shots.last()) else {
            return Err("it has no pictures".into());
        };
        if steps < 1 {
            return Err("it has only one picture".into());
        }
        let decoded = last.dts_90k - first.dts_90k;
        let shown = shots.iter().map(|shot| shot.pts_90k).max().unwrap_or(0);
        let length_90k = shown.max(decoded) + (decoded / steps).max(1);
        if length_90k < SHORTEST_90K {
            return Err("it is shorter than a second".into());
        }
        let keys = (0..shots.len()).filter(|index| shots[*index].idr).collect();
        let frames = &self.frames;
        let sound = self.audio.zip(frames.first()).map(|(config, (at_ms, _))| {
            let behind_ms = i64::from(at_ms.wrapping_sub(first_ms).cast_signed());
            Heard {
                config,
                first_90k: behind_ms * 90 - first_90k,
                frames: frames.iter().map(|(_, raw)| raw.clone()).collect(),
            }
        });
        Ok(Film {
            config,
            shots,
            keys,
            length_90k,
            sound,
        })
    }
}

/// Are the two IDRs with one idr_pic_id? Then they may not follow one another (H.264 7.4.3), as the
/// last and the first picture do where the film goes round.
fn alike(config: &AvcConfig, one: Option<&Shot>, other: Option<&Shot>) -> bool {
    let id = |shot: &Shot| {
        let mut nals = Nals::new(&shot.data, config.length_bytes).ok()?;
        let slice = nals.find(|nal| nal_type(nal) == NAL_IDR)?;
        Slice::read(slice, &config.sets).ok().map(|slice| slice.id)
    };
    let ids = one.and_then(id).zip(other.and_then(id));
    ids.is_some_and(|(one, other)| one == other)
}

fn unreadable(error: AacError) -> String {
    match error {
        AacError::Unsupported(name) => format!("{name} is not supported: use AAC-LC"),
        AacError::Malformed(reason) => reason.into(),
    }
}

fn unusable(unusable: Unusable) -> String {
    match unusable {
        Unusable::Refused(refusal) => refusal.to_string(),
        Unusable::Malformed(reason) => reason.into(),
    }
}
