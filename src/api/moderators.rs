//! Moderators of a channel, whom its owner names. It does not know what moderators may do.

use serde_json::{Value, json};

use super::{Api, Failure, Fields, Reply, Request, Text, channels::find};
use crate::{
    db::{Channel, Moderator, UserRow, now_ms},
    person::Username,
    time::rfc3339,
};

/// Longest username that is looked at, characters.
const NAME_CHARS_MAX: usize = 150;

/// GET /channels/{username}/moderators/
pub(super) async fn list(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let channel = own(api, request, name).await?;
    let rows = api.db.moderators(channel.id).await?;
    let rows: Vec<_> = rows.iter().map(shown).collect();
    Ok(Reply::a(200, "Moderators Listed Successful", rows.into()))
}

/// POST: a second time changes nothing and is answered the same.
pub(super) async fn add(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let channel = own(api, request, name).await?;
    let user = named(api, request).await?;
    if user.id == channel.owner_id {
        return Err(Failure::field(
            "username",
            "The owner moderates the channel anyway.",
        ));
    }
    let added = api.db.add_moderator(channel.id, user.id, now_ms());
    added.await?;
    let rows = api.db.moderators(channel.id).await?;
    let row = rows.iter().find(|row| row.user_id == user.id);
    let row = row.ok_or_else(Failure::not_found)?;
    Ok(Reply::a(201, "Moderator Added Successful", shown(row)))
}

/// DELETE: also when the user was none.
pub(super) async fn remove(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let channel = own(api, request, name).await?;
    let user = named(api, request).await?;
    api.db.remove_moderator(channel.id, user.id).await?;
    Ok(Reply::nothing())
}

/// The channel of this name and of who asks: else 401, 404, 403.
async fn own(api: &Api, request: &Request, name: &str) -> Result<Channel, Failure> {
    let caller = api.require(request).await?;
    let channel = find(api, name, Some(&caller)).await?;
    match channel.owner_id == caller.user_id {
        true => Ok(channel),
        false => Err(Failure::forbidden()),
    }
}

/// The user whom the body names, or the query of a request without one.
async fn named(api: &Api, request: &Request) -> Result<UserRow, Failure> {
    let username = match request.query("username") {
        Some(username) if request.body.is_empty() => username.to_owned(),
        _ => {
            let mut fields = Fields::read(request)?;
            let username = fields.required("username", Text::line(NAME_CHARS_MAX));
            fields.finish()?;
            username
        }
    };
    let user = api.db.user_by_name(&Username::key_of(&username)).await?;
    user.ok_or_else(|| Failure::field("username", "There is no such user."))
}

fn shown(row: &Moderator) -> Value {
    json!({ "username": row.username, "created_at": rfc3339(row.created_at_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{channel_tests::login, testing::Fixture};

    const PATH: &str = "/channels/ana/moderators/";

    #[tokio::test]
    async fn the_owner_names_moderators() {
        let f = Fixture::new().await;
        let (_, ana) = login(&f, "ana").await;
        let (_, bob) = login(&f, "bob").await;
        let none = Value::Null;
        assert_eq!(f.call("", "GET", PATH, none.clone()).await.0, 401);
        assert_eq!(f.call(&bob, "GET", PATH, none.clone()).await.0, 403);
        assert_eq!(
            f.call(&bob, "POST", PATH, json!({ "username": "bob" }))
                .await
                .0,
            403
        );
        for _ in 0..2 {
            let (status, body) = f
                .call(&ana, "POST", PATH, json!({ "username": "BOB" }))
                .await;
            assert_eq!((status, &body["data"]["username"]), (201, &json!("bob")));
        }
        let (_, body) = f.call(&ana, "GET", PATH, none.clone()).await;
        assert_eq!(body["data"].as_array().unwrap().len(), 1);
        for wrong in [
            json!({}),
            json!({ "username": "x" }),
            json!({ "username": "ana" }),
        ] {
            let (status, body) = f.call(&ana, "POST", PATH, wrong).await;
            assert_eq!(status, 400, "{body}");
            assert!(body["username"].is_array());
        }
        let gone = f
            .call(&ana, "DELETE", PATH, json!({ "username": "bob" }))
            .await;
        assert_eq!(gone.0, 204);
        let (_, body) = f.call(&ana, "GET", PATH, none).await;
        assert_eq!(body["data"], json!([]));
    }
}
