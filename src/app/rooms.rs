//! What rooms are told of streams: how one is, and how healthy its encoder's stream is. It does not
//! know who is in a room.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    config::Config,
    db::{Db, Status as Stage},
    event::StreamEvent,
    hub::{Health, Hub, Issue, Sources, Status},
    live::{Ingest, Live},
    name::StreamUid,
    time::rfc3339,
};

/// Pictures a second below which motion is seen to jerk.
const FPS_LOW: f64 = 15.0;
/// Above it viewers see that pictures are missing.
const MISSING_SHARE: f64 = 0.05;
/// Below it a picture of television's size falls apart.
const BITRATE_LOW_BPS: u64 = 200_000;

/// Answers the hub's questions.
pub fn sources(config: &Arc<Config>, db: &Db, live: &Live) -> Sources {
    let target_s = config.hls.target_duration.as_secs_f64();
    let (asked, db, ingest) = (live.clone(), db.clone(), live.clone());
    Sources {
        status: Box::new(move |uid| {
            let (live, db) = (asked.clone(), db.clone());
            Box::pin(async move { status(&live, &db, uid).await })
        }),
        health: Box::new(move |uid| ingest.ingest(uid).map(|seen| health(seen, target_s))),
    }
}

/// Tells rooms at once that their stream changed. Ends when `live` does.
pub async fn follow(mut events: Receiver<StreamEvent>, hub: Hub) {
    loop {
        match events.recv().await {
            Ok(event) => hub.refresh(&event.uid).await,
            // Rooms read their stream again each second as well.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn status(live: &Live, db: &Db, uid: StreamUid) -> Option<Status> {
    let row = db.stream_details(&uid).await.ok()??;
    let now = live.view(&uid).unwrap_or_default();
    let is_live = row.status == Stage::Live;
    let playable = match row.status {
        Stage::Live => now.playable,
        Stage::Finished => row.record && row.has_media,
        Stage::Pending | Stage::Cancel => false,
    };
    let reason = match (is_live, now.paused, now.reconnecting) {
        (true, true, _) => Some("paused"),
        (true, false, true) => Some("reconnecting"),
        _ => None,
    };
    Some(Status {
        status: row.status.as_str(),
        is_paused: is_live && now.paused,
        reason,
        started_at: row.started_at_ms.map(rfc3339),
        ended_at: row.ended_at_ms.map(rfc3339),
        playable,
        pictured: playable || row.has_media,
        uid,
    })
}

fn health(seen: Ingest, target_s: f64) -> Health {
    let issues = issues(&seen, target_s);
    Health {
        bitrate_kbps: Some(seen.bitrate_bps as f64 / 1000.0),
        fps: Some(seen.fps),
        keyframe_s: seen.keyframe_s,
        width: seen.width,
        height: seen.height,
        video_codec: seen.video_codec,
        audio_codec: seen.audio_codec,
        gaps: seen.gaps,
        dropped: seen.dropped,
        issues,
    }
}

/// What is wrong, the worst first.
fn issues(seen: &Ingest, target_s: f64) -> Vec<Issue> {
    let found = match seen.video_codec {
        Some(_) => pictures(seen, target_s),
        None => vec![issue(
            "no_video",
            "info",
            "There is no picture.".into(),
            "Add a video source to the encoder if there should be a picture.",
        )],
    };
    let mut found = [found, sound_and_time(seen)].concat();
    found.sort_by_key(|issue| {
        ["error", "warning", "info"]
            .iter()
            .position(|s| *s == issue.severity)
    });
    found
}

fn issue(
    code: &'static str,
    severity: &'static str,
    message: String,
    remedy: &'static str,
) -> Issue {
    Issue {
        code,
        severity,
        message,
        remedy,
    }
}

/// What is wrong with the pictures that come.
fn pictures(seen: &Ingest, target_s: f64) -> Vec<Issue> {
    let keyframes = "Set the encoder's keyframe interval to 2 seconds.";
    let found = [
        seen.keyframe_s.is_none().then(|| {
            let words = "The newest segment has no keyframe: viewers cannot start with it.";
            issue("no_keyframes", "error", words.into(), keyframes)
        }),
        // A little more than the target is the encoder's rounding.
        seen.keyframe_s.filter(|s| *s > target_s * 1.25).map(|s| {
            let words =
                format!("A keyframe comes each {s:.1} s, segments should last {target_s:.1} s.");
            issue("keyframes_rare", "warning", words, keyframes)
        }),
        (seen.fps < FPS_LOW).then(|| {
            issue(
                "fps_low",
                "warning",
                format!("Only {:.1} pictures a second arrive.", seen.fps),
                "Lower the resolution or the encoder's preset, or close other programs.",
            )
        }),
        (seen.missing > MISSING_SHARE).then(|| {
            issue(
                "frames_dropped",
                "warning",
                format!("{:.0} % of the pictures are missing.", seen.missing * 100.0),
                "Lower the bit rate if the upload is too slow, else the encoder's preset or resolution.",
            )
        }),
        (seen.bitrate_bps < BITRATE_LOW_BPS).then(|| {
            issue(
                "bitrate_low",
                "info",
                format!("The bit rate is {} kbit/s.", seen.bitrate_bps / 1000),
                "Check the upload bandwidth, or raise the encoder's bit rate.",
            )
        }),
    ];
    found.into_iter().flatten().collect()
}

/// What is wrong with the rest.
fn sound_and_time(seen: &Ingest) -> Vec<Issue> {
    let found = [
        seen.audio_codec.is_none().then(|| {
            issue(
                "no_audio",
                "info",
                "There is no sound.".into(),
                "Add an audio source to the encoder if there should be sound.",
            )
        }),
        (seen.gaps > 0).then(|| {
            issue(
                "gaps",
                "warning",
                format!("The encoder's times jumped {} times.", seen.gaps),
                "Check the connection to the server and the load of the encoder's computer.",
            )
        }),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Ingest {
        Ingest {
            bitrate_bps: 2_500_000,
            fps: 30.0,
            keyframe_s: Some(2.0),
            width: Some(1280),
            height: Some(720),
            video_codec: Some("avc1.64001f".into()),
            audio_codec: Some("mp4a.40.2".into()),
            gaps: 0,
            dropped: Some(0),
            missing: 0.0,
        }
    }
    fn codes(seen: Ingest) -> Vec<&'static str> {
        let issues = health(seen, 2.0).issues;
        issues.iter().map(|issue| issue.code).collect()
    }

    #[test]
    fn a_good_stream_has_no_issues_and_a_bad_one_says_what_to_do() {
        assert!(codes(seen()).is_empty());
        assert_eq!(health(seen(), 2.0).bitrate_kbps, Some(2500.0));
        let bad = Ingest {
            bitrate_bps: 100_000,
            fps: 5.0,
            keyframe_s: None,
            gaps: 2,
            ..seen()
        };
        let expected = ["no_keyframes", "fps_low", "gaps", "bitrate_low"];
        assert_eq!(codes(bad), expected);
        let rare = Ingest {
            keyframe_s: Some(10.0),
            ..seen()
        };
        assert_eq!(codes(rare), ["keyframes_rare"]);
        let stalling = Ingest {
            dropped: Some(100),
            missing: 0.2,
            ..seen()
        };
        assert_eq!(health(stalling.clone(), 2.0).dropped, Some(100));
        assert_eq!(codes(stalling), ["frames_dropped"]);
        let silent = Ingest {
            video_codec: None,
            audio_codec: None,
            ..seen()
        };
        assert_eq!(codes(silent), ["no_video", "no_audio"]);
    }
}
