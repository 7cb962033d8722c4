//! Subscribers of a channel. It does not know what they are told.

use serde_json::{Value, json};

use super::{Api, Failure, Reply, Request, channels::find};
use crate::{
    db::{Subscriber, now_ms},
    time::rfc3339,
};

/// GET /channels/{username}/subscribers/
pub(super) async fn list(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let caller = api.caller(request).await?;
    let channel = find(api, name, caller.as_ref()).await?;
    let rows = api.db.subscribers(channel.id).await?;
    let rows: Vec<_> = rows.iter().map(shown).collect();
    Ok(Reply::a(200, "Subscribers Listed Successful", rows.into()))
}

/// POST: a second time changes nothing and is answered the same.
pub(super) async fn subscribe(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let channel = find(api, name, Some(&caller)).await?;
    let subscribed = api.db.subscribe(channel.id, caller.user_id, now_ms());
    let row = subscribed.await?;
    Ok(Reply::a(201, "Channel Subscribe Successful", shown(&row)))
}

/// DELETE: also when there is no subscription.
pub(super) async fn unsubscribe(
    api: &Api,
    request: &Request,
    name: &str,
) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let channel = find(api, name, Some(&caller)).await?;
    api.db.unsubscribe(channel.id, caller.user_id).await?;
    Ok(Reply::nothing())
}

fn shown(row: &Subscriber) -> Value {
    let since = rfc3339(row.created_at_ms);
    json!({
        "username": row.username,
        "type": "free",
        "created_at": since,
        "updated_at": since,
    })
}
