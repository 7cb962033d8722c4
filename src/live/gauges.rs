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

/// The newest segment of each session.
#[derive(Debug, Default)]
pub(super) struct Gauges(Mutex<BTreeMap<StreamUid, Newest>>);

#[derive(Clone, Debug)]
struct Newest {
    tracks: Tracks,
    /// Jumps of the encoder's times in this session.
    gaps: u64,
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
        let newest = |gaps| Newest {
            tracks: tracks.clone(),
            gaps,
            silent: false,
            bitrate_bps: bps(segment.len as u64, segment.duration_90k),
            fps: f64::from(segment.pictures) / seconds,
            keyframe_s: (segment.keyframes > 0).then(|| seconds / f64::from(segment.keyframes)),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(stream) {
            Some(known) => *known = newest(known.gaps),
            None => drop(all.insert(stream.clone(), newest(0))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_lasts_as_long_as_its_session() {
        let gauges = Gauges::default();
        let uid = StreamUid::random();
        let segment = Segment {
            body: vec![],
            len: 500_000,
            duration_90k: 180_000,
            discontinuity: false,
            independent: true,
            start_ms: 0,
            target_duration_s: 2,
            idr: None,
            pictures: 60,
            keyframes: 2,
        };
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
}
