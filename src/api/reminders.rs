//! Reminders of scheduled streams: asked for, taken back, and mailed when the stream goes live. It
//! does not know how mail travels.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::{Api, Failure, Reply, Request, letter, stream_view, streams::find};
use crate::{db::now_ms, error::Result as Done, event::Change, name::StreamUid};

/// Reminders that could not be sent, as when the mail queue was full, are looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Letters that reminders leave room for in the mail queue: a login code does not wait for an
/// audience.
const ROOM_FOR_OTHERS: usize = 16;

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

/// Mails reminders as scheduled streams go live. Never returns; drop it to stop.
pub async fn keep_reminding(api: Api) {
    let mut events = api.live.events();
    loop {
        if let Err(error) = send_due(&api).await {
            tracing::warn!(%error, "reminders could not be sent");
        }
        let began = async {
            loop {
                match events.recv().await {
                    Ok(event) if event.change == Change::Live => return,
                    Ok(_) => {}
                    // What was missed is found by looking.
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout(LOOK_AGAIN, began).await;
    }
}

/// Mails what is due as far as the mail queue has room. A reminder is forgotten once its letter is
/// queued, so that it comes once, and after a restart if it was not.
async fn send_due(api: &Api) -> Done<()> {
    while api.mail.room() > ROOM_FOR_OTHERS {
        let due = api.db.due_reminders().await?;
        if due.is_empty() {
            break;
        }
        for reminder in due {
            if api.mail.room() <= ROOM_FOR_OTHERS {
                return Ok(());
            }
            api.mail.send(letter::reminder(&reminder, &api.urls));
            api.db
                .forget_reminder(&reminder.uid, reminder.user_id)
                .await?;
        }
    }
    Ok(())
}
