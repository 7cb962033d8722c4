//! A stream as JSON, from its row and from what is live of it. It does not know where either
//! came from.

use serde_json::{Value, json};

use super::{Api, Request};
use crate::{
    db::{Recorded, Status, StreamDetails},
    live::StreamNow,
    name::StreamKey,
    time::rfc3339,
};

/// A stream as `viewer` (a user, or nobody) may see it: its key and where to publish are for its
/// owner alone.
pub(super) fn stream(
    api: &Api,
    request: &Request,
    row: &StreamDetails,
    viewer: Option<i64>,
) -> Value {
    let now = match row.status {
        Status::Live => api.live.view(&row.uid),
        _ => None,
    };
    let mut now = now.unwrap_or_default();
    now.viewers = now.viewers.max(api.audience.people(&row.uid) as u64);
    let mut value = public(request, row, now);
    if owns(row, viewer) {
        let sealed = row.key_sealed.as_deref().unwrap_or_default();
        let key = api.auth.secret().open(sealed, &row.key);
        value["key"] = json!(key.as_ref().map(StreamKey::as_str));
        value["rtmp_url"] = json!(request.urls.rtmp_server());
    }
    value
}

/// Whether a user owns the stream; what belongs to no channel is nobody's.
pub(super) fn owns(row: &StreamDetails, user_id: Option<i64>) -> bool {
    let owner_id = row.channel.as_ref().map(|channel| channel.owner_id);
    owner_id.is_some() && owner_id == user_id
}

fn public(request: &Request, row: &StreamDetails, now: StreamNow) -> Value {
    let urls = &request.urls;
    let playable = match row.status {
        Status::Live => now.playable,
        // The window with its ENDLIST first, the recording from then on.
        Status::Finished => row.record && row.has_media && row.recorded != Some(Recorded::Failed),
        Status::Pending | Status::Cancel => false,
    };
    let video = playable
        .then(|| json!({ "index": urls.playlist(&row.uid), "source": urls.media(&row.uid) }));
    let thumbnail = (playable || row.has_media).then(|| urls.thumbnail(&row.uid));
    let time = |ms: Option<i64>| ms.map(rfc3339);
    json!({
        "uid": row.uid.as_str(),
        "channel": row.channel.as_ref().map(|channel| &channel.username),
        "title": row.title,
        "description": row.description,
        "status": row.status.as_str(),
        "is_paused": now.paused,
        "paused_at": time(now.paused_at_ms),
        "thumbnail": thumbnail,
        "video": video,
        "websocket": (row.status == Status::Live).then(|| urls.websocket(&row.uid)),
        "record": row.record,
        "record_status": record_status(row),
        "is_programed": row.is_programed,
        "program_date_time": time(row.program_date_time_ms),
        "created_at": rfc3339(row.created_at_ms),
        "started_at": time(row.started_at_ms),
        "ended_at": time(row.ended_at_ms),
        "ended_reason": row.ended_reason,
        "viewers": now.viewers,
    })
}

/// `start` until the recording is closed, which is when the window's ENDLIST has had its time.
/// `failed` is also what a stream has that ended without a segment: there is nothing to play.
fn record_status(row: &StreamDetails) -> &'static str {
    match row.status {
        _ if !row.record => "off",
        Status::Pending | Status::Live => "start",
        Status::Finished if row.has_media => row.recorded.map_or("start", Recorded::as_str),
        Status::Finished | Status::Cancel => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::testing::request, name::StreamUid};

    fn row(status: Status, record: bool, has_media: bool) -> StreamDetails {
        StreamDetails {
            status,
            record,
            has_media,
            ..StreamDetails::sample(StreamUid::random())
        }
    }

    fn shown(row: &StreamDetails, playable: bool) -> Value {
        let now = StreamNow {
            playable,
            ..StreamNow::default()
        };
        public(&request("GET", "/streams/", ""), row, now)
    }

    #[test]
    fn there_is_video_while_there_is_something_to_play() {
        for (status, record, media, playable, video) in [
            (Status::Pending, true, false, false, false),
            (Status::Live, true, false, false, false),
            (Status::Live, false, true, true, true),
            (Status::Finished, true, true, false, true),
            (Status::Finished, false, true, false, false),
            (Status::Finished, true, false, false, false),
            (Status::Cancel, true, false, false, false),
        ] {
            let row = row(status, record, media);
            let value = shown(&row, playable);
            assert_eq!(value["video"].is_object(), video, "{value}");
            assert_eq!(value["thumbnail"].is_string(), media, "{value}");
        }
        let row = row(Status::Live, true, true);
        let base = format!("http://test.example/live/{}", row.uid);
        let value = shown(&row, true);
        assert_eq!(value["video"]["index"], format!("{base}/index.m3u8"));
        assert_eq!(
            value["video"]["source"],
            format!("{base}/source/index.m3u8")
        );
        assert_eq!(value["thumbnail"], format!("{base}/thumbnail.jpg"));
    }

    #[test]
    fn the_recording_has_its_status() {
        use Recorded::{Done, Failed};
        for (status, record, media, recorded, expected) in [
            (Status::Pending, true, false, None, "start"),
            (Status::Live, true, true, None, "start"),
            (Status::Live, false, true, None, "off"),
            (Status::Finished, true, true, None, "start"),
            (Status::Finished, true, true, Some(Done), "done"),
            (Status::Finished, true, true, Some(Failed), "failed"),
            (Status::Finished, true, false, None, "failed"),
            (Status::Finished, false, true, Some(Done), "off"),
            (Status::Cancel, true, false, None, "failed"),
        ] {
            let mut row = row(status, record, media);
            row.recorded = recorded;
            assert_eq!(record_status(&row), expected);
            let ended = status == Status::Finished;
            let plays = ended && record && media && recorded != Some(Failed);
            assert_eq!(shown(&row, false)["video"].is_object(), plays);
        }
    }

    #[test]
    fn what_belongs_to_nobody_has_no_owner() {
        let row = row(Status::Pending, true, false);
        assert!(!owns(&row, None) && !owns(&row, Some(0)));
    }
}
