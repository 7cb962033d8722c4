//! What an owner does to a stream: start, pause, resume, stop, cancel, another key, the end of its
//! recording. It does not know how media is paused or stopped.

use super::{
    Api, Failure, Reply, Request,
    stream_route::Action,
    stream_view,
    streams::{find, find_own},
};
use crate::{
    db::{Status, now_ms},
    live::PauseRefusal,
    name::{StreamKey, StreamUid},
};

/// What becomes of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is done.
    Do,
    /// It is so already, or changes nothing.
    Nothing,
    /// The stream's state does not allow it.
    Refused(&'static str),
}

const ENDED: Verdict = Verdict::Refused("The stream has ended.");
const NOT_BEGUN: Verdict = Verdict::Refused("The stream has not begun.");

/// Whether a stream's state allows an action.
fn judge(action: Action, status: Status) -> Verdict {
    match (action, status) {
        // Publishing starts it.
        (Action::Start, Status::Pending | Status::Live) => Verdict::Nothing,
        (Action::Pause | Action::Resume | Action::Stop, Status::Live) => Verdict::Do,
        (Action::Pause | Action::Resume | Action::Stop, Status::Pending) => NOT_BEGUN,
        (Action::Stop, Status::Finished) | (Action::Cancel, Status::Cancel) => Verdict::Nothing,
        (Action::Cancel, Status::Pending) => Verdict::Do,
        (Action::Cancel, Status::Live) => Verdict::Refused("The stream is live: stop it."),
        (Action::Key, Status::Pending | Status::Live) => Verdict::Do,
        (_, Status::Finished | Status::Cancel) => ENDED,
    }
}

/// POST /streams/{uid}/{action}/: the stream as it is then.
pub(super) async fn act(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
    action: Action,
) -> Result<Reply, Failure> {
    let (row, caller) = find_own(api, request, uid).await?;
    match judge(action, row.status) {
        Verdict::Refused(why) => return Err(Failure::conflict(why)),
        Verdict::Nothing => {}
        Verdict::Do => perform(api, uid, action).await?,
    }
    let row = find(api, uid).await?;
    let body = stream_view::stream(api, request, &row, Some(caller.user_id));
    Ok(Reply::b(200, body))
}

async fn perform(api: &Api, uid: &StreamUid, action: Action) -> Result<(), Failure> {
    // What the state was a moment ago may have changed since: the last word has the write.
    let done = match action {
        Action::Start => true,
        Action::Pause => paused(api.live.pause(uid).await)?,
        Action::Resume => paused(api.live.resume(uid).await)?,
        Action::Stop => {
            api.live.stop(uid, "stopped").await?;
            true
        }
        Action::Cancel => api.db.cancel_stream(uid, now_ms()).await?,
        Action::Key => change_key(api, uid).await?,
    };
    match done {
        true => Ok(()),
        false => {
            let verdict = judge(action, find(api, uid).await?.status);
            match verdict {
                Verdict::Nothing => Ok(()),
                Verdict::Refused(why) => Err(Failure::conflict(why)),
                Verdict::Do => Err(Failure::conflict("The stream changes at this moment.")),
            }
        }
    }
}

fn paused(outcome: Result<(), PauseRefusal>) -> Result<bool, Failure> {
    match outcome {
        Ok(()) => Ok(true),
        Err(PauseRefusal::NotLive) => Ok(false),
        Err(PauseRefusal::Unavailable) => Err(Failure::unavailable()),
    }
}

/// The old key stops working with the commit, and its publisher goes then.
async fn change_key(api: &Api, uid: &StreamUid) -> Result<bool, Failure> {
    let (secret, key) = (api.auth.secret(), StreamKey::random());
    let (hash, sealed) = (secret.key_hash(&key), secret.seal(&key));
    let changed = api.db.change_key(uid, hash, sealed).await?;
    if changed {
        api.live.evict(uid).await;
    }
    Ok(changed)
}

/// DELETE /streams/{uid}/recording/: what is stored of an ended stream goes, but for its thumbnail.
pub(super) async fn drop_recording(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
) -> Result<Reply, Failure> {
    let (row, _) = find_own(api, request, uid).await?;
    // First the row: should the process end here, the next one deletes what is left.
    if !api.db.drop_recording(uid).await? {
        return Err(Failure::conflict("The stream has not ended."));
    }
    if row.has_media {
        api.live.delete_recording(uid).await?;
    }
    Ok(Reply::nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_decides() {
        use Action::{Cancel, Key, Pause, Resume, Start, Stop};
        use Verdict::{Do, Nothing};
        let codes = |action| {
            let statuses = [
                Status::Pending,
                Status::Live,
                Status::Finished,
                Status::Cancel,
            ];
            statuses.map(|status| match judge(action, status) {
                Do => "do",
                Nothing => "200",
                Verdict::Refused(_) => "409",
            })
        };
        assert_eq!(codes(Start), ["200", "200", "409", "409"]);
        assert_eq!(codes(Pause), ["409", "do", "409", "409"]);
        assert_eq!(codes(Resume), ["409", "do", "409", "409"]);
        assert_eq!(codes(Stop), ["409", "do", "200", "409"]);
        assert_eq!(codes(Cancel), ["do", "409", "409", "200"]);
        assert_eq!(codes(Key), ["do", "do", "409", "409"]);
    }
}
