//! Reminders of scheduled streams: asked for, taken back, and mailed when the stream goes live. It
//! does not know how mail travels.

use super::{Api, Failure, Reply, Request, stream_view, streams::find};
use crate::{db::now_ms, name::StreamUid};

/// POST /streams/{uid}/reminders/
pub(super) async fn add(api: &Api, request: &Request, uid: &StreamUid) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let row = find(api, uid).await?;
    if !api.db.remind(uid, caller.user_id, now_ms()).await? {
        return Err(Failure::conflict(
            "The stream is not scheduled, or has begun.",
        ));
    }
    let body = stream_view::stream(api, request, &row, Some(caller.user_id));
    Ok(Reply::b(201, body))
}

/// DELETE /streams/{uid}/reminders/
pub(super) async fn forget(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    find(api, uid).await?;
    api.db.forget_reminder(uid, caller.user_id).await?;
    Ok(Reply::nothing())
}
