//! What each encoder sends now, by stream, rendered when Prometheus asks. A series ends with its
//! session: a registry would keep it for ever. It does not know what a segment is made of.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use segmenter::{Segment, segment::Tracks};

use super::{Ingest, snapshot::bps};
use crate::name::StreamUid;

/// A rate above it is a clock's and not a camera's.
const FPS_MAX: f64 = 300.0;

/// The newest segment of each session.
#[derive(Debug, Default)]
pub(super) struct Gauges(Mutex<BTreeMap<StreamUid, Newest>>);

#[derive(Clone, Debug)]
struct Newest {
    tracks: Tracks,
    /// Jumps of the encoder's times in this session.
    gaps: u64,
    /// Pictures of this session that its own frame rate promised and that did not come.
    dropped: Option<u64>,
    /// Share of them in the newest segment.
    missing: f64,
    /// Nothing comes any more.
    silent: bool,
    bitrate_bps: u64,
    fps: f64,
    /// Without a keyframe there is no interval to tell.
    keyframe_s: Option<f64>,
}

impl Gauges {
    pub(super) fn set(&self, stream: &StreamUid, segment: &Segment, tracks: &Tracks) {
        let seconds = segment.duration_90k as f64 / 90_000.0;
        let missing = missing(segment, tracks);
        let newest = |gaps, dropped: Option<u64>| Newest {
            tracks: tracks.clone(),
            gaps,
            dropped: missing.map(|more| dropped.unwrap_or(0) + more),
            missing: missing.map_or(0.0, |more| share(more, segment.pictures)),
            silent: false,
            bitrate_bps: bps(segment.len as u64, segment.duration_90k),
            fps: f64::from(segment.pictures) / seconds,
            keyframe_s: (segment.keyframes > 0).then(|| seconds / f64::from(segment.keyframes)),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(stream) {
            Some(known) => *known = newest(known.gaps, known.dropped),
            None => drop(all.insert(stream.clone(), newest(0, None))),
        }
    }

    /// The encoder's times jumped.
    pub(super) fn jumped(&self, stream: &StreamUid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(stream) {
            known.gaps += 1;
        }
    }

    /// Nothing comes from the encoder until it is [`Gauges::set`] again; its jumps stay counted.
    pub(super) fn silent(&self, stream: &StreamUid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(stream) {
            known.silent = true;
        }
    }

    /// What one encoder sends.
    pub(super) fn ingest(&self, stream: &StreamUid) -> Option<Ingest> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = all.get(stream).filter(|newest| !newest.silent)?;
        let video = newest.tracks.video.as_ref();
        Some(Ingest {
            bitrate_bps: newest.bitrate_bps,
            fps: newest.fps,
            keyframe_s: newest.keyframe_s,
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
            video_codec: video.map(|video| video.codec.clone()),
            audio_codec: newest
                .tracks
                .audio
                .as_ref()
                .map(|audio| audio.codec.clone()),
            gaps: newest.gaps,
            dropped: newest.dropped,
            missing: newest.missing,
        })
    }

    pub(super) fn remove(&self, stream: &StreamUid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(stream);
    }

    /// In Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let all = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut out = String::new();
        let mut family = |name: &str, help: &str, value: fn(&Newest) -> Option<f64>| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (stream, newest) in all.iter().filter(|(_, newest)| !newest.silent) {
                if let Some(value) = value(newest) {
                    let _ = writeln!(out, "{name}{{stream=\"{stream}\"}} {value}");
                }
            }
        };
        family(
            "cauce_ingest_bitrate_bps",
            "Bit rate of a stream's newest segment",
            |newest| Some(newest.bitrate_bps as f64),
        );
        family(
            "cauce_ingest_fps",
            "Pictures a second in a stream's newest segment",
            |newest| Some(newest.fps),
        );
        family(
            "cauce_ingest_keyframe_seconds",
            "Mean time between keyframes in a stream's newest segment",
            |newest| newest.keyframe_s,
        );
        out
    }
}

/// Pictures that the rate in the stream's own parameters (H.264 E.2.1) promises for a segment's time
/// and that are not in it; `None` where it states no rate, or none that a camera has.
fn missing(segment: &Segment, tracks: &Tracks) -> Option<u64> {
    let fps = tracks.video.as_ref()?.fps?;
    let promised = fps * segment.duration_90k as f64 / 90_000.0;
    // Times in milliseconds are a part of a picture off: not a whole one.
    (fps <= FPS_MAX).then(|| (promised - f64::from(segment.pictures)).round().max(0.0) as u64)
}

/// What part of all that should have come `missing` is.
fn share(missing: u64, came: u32) -> f64 {
    missing as f64 / (missing + u64::from(came)).max(1) as f64
}

#[cfg(test)]
mod tests {
    use segmenter::segment::VideoTrack;

    use super::*;

    fn segment(duration_90k: u64, pictures: u32) -> Segment {
        Segment {
            body: vec![],
            len: 500_000,
            duration_90k,
            discontinuity: false,
            independent: true,
            start_ms: 0,
            target_duration_s: 2,
            idr: None,
            pictures,
            keyframes: 2,
        }
    }

    #[test]
    fn a_series_lasts_as_long_as_its_session() {
        let gauges = Gauges::default();
        let uid = StreamUid::random();
        let segment = segment(180_000, 60);
        gauges.set(&uid, &segment, &Tracks::default());
        gauges.jumped(&uid);
        gauges.set(&uid, &segment, &Tracks::default());
        assert_eq!(gauges.ingest(&uid).unwrap().gaps, 1);
        let text = gauges.render();
        for line in [
            format!("cauce_ingest_bitrate_bps{{stream=\"{uid}\"}} 2000000\n"),
            format!("cauce_ingest_fps{{stream=\"{uid}\"}} 30\n"),
            format!("cauce_ingest_keyframe_seconds{{stream=\"{uid}\"}} 1\n"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        gauges.silent(&uid);
        assert!(gauges.ingest(&uid).is_none() && !gauges.render().contains(uid.as_str()));
        gauges.set(&uid, &segment, &Tracks::default());
        assert_eq!(gauges.ingest(&uid).unwrap().gaps, 1);
        gauges.remove(&uid);
        assert!(!gauges.render().contains(uid.as_str()));
    }

    #[test]
    fn what_the_stated_rate_promised_and_what_came() {
        let counted = |fps: Option<f64>, pictures: &[u32]| {
            let (gauges, uid) = (Gauges::default(), StreamUid::random());
            let tracks = Tracks {
                video: Some(VideoTrack {
                    width: 640,
                    height: 360,
                    fps,
                    codec: "avc1.64001f".into(),
                }),
                audio: None,
            };
            for &pictures in pictures {
                // As timestamps in milliseconds have it: a millisecond less than 2 s.
                let segment = segment(179_910, pictures);
                gauges.set(&uid, &segment, &tracks);
            }
            let seen = gauges.ingest(&uid).unwrap();
            (seen.dropped, (seen.missing * 100.0).round())
        };
        let ntsc = 30_000.0 / 1001.0;
        assert_eq!(counted(Some(ntsc), &[60; 30]), (Some(0), 0.0));
        assert_eq!(counted(Some(30.0), &[50, 60, 45]), (Some(25), 25.0));
        // More than was promised makes up for nothing.
        assert_eq!(counted(Some(30.0), &[50, 80]), (Some(10), 0.0));
        for nothing in [None, Some(90_000.0)] {
            assert_eq!(counted(nothing, &[60, 10]), (None, 0.0));
        }
    }
}
