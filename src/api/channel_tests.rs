//! Channels and subscribers as clients see them. It does not know HTTP.

use serde_json::{Value, json};

use super::testing::Fixture;

/// An account with its channel, logged in: id and token.
pub(super) async fn login(f: &Fixture, name: &str) -> (i64, String) {
    let (id, _key) = f.api.db.sample_user(name, f.api.auth.secret()).await;
    let row = f.api.db.user(id).await.unwrap().unwrap();
    (id, f.api.auth.issue(&row, None).token)
}

const NONE: Value = Value::Null;

#[tokio::test]
async fn a_channel_is_shown_to_anybody() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (status, body) = f.call("", "GET", "/channels/ANA", NONE).await;
    assert_eq!(status, 200);
    assert_eq!(body["status"], true);
    assert_eq!(body["message"], "Channel Retrieve Successful");
    let expected = json!({
        "username": "ana", "name": "ana", "description": "", "author": "ana", "photo": null,
        "instagram": null, "facebook": null, "twitter": null, "tiktok": null,
        "subscriptions_count": 0,
        "created_at": "1970-01-01T00:00:00.001Z", "updated_at": "1970-01-01T00:00:00.001Z",
    });
    assert_eq!(body["data"], expected);
    let (_, own) = f.call(&ana, "GET", "/channels/ana/", NONE).await;
    assert_eq!(own["data"]["i_subscribed"], false);
    for unknown in ["bob", "%27%20OR%201=1%20--", "..%2f..%2fetc", "a%00b"] {
        let (status, body) = f
            .call("", "GET", &format!("/channels/{unknown}/"), NONE)
            .await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!("not_found")),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn the_automatic_channel_is_taken_over_once() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bob").await;
    let wanted = json!({ "username": "Ana.Live", "name": "Ana's", "twitter": "@ana" });
    assert_eq!(
        f.call("", "POST", "/channels/", wanted.clone()).await.0,
        401
    );
    let (status, body) = f.call(&ana, "POST", "/channels/", wanted.clone()).await;
    assert_eq!(
        (status, &body["message"]),
        (201, &json!("Channel Created Successful"))
    );
    let data = &body["data"];
    assert_eq!(
        (&data["username"], &data["author"]),
        (&json!("Ana.Live"), &json!("ana"))
    );
    assert_eq!(data["twitter"], "@ana");
    assert_ne!(data["updated_at"], data["created_at"]);
    // Whatever the fields: there is nothing left to take over.
    for body in [wanted, json!({}), json!({ "username": 7 })] {
        assert_eq!(f.call(&ana, "POST", "/channels/", body).await.0, 409);
    }
    assert_eq!(f.call("", "GET", "/channels/ana/", NONE).await.0, 404);

    // Without another username it keeps the account's.
    let (_, eva) = login(&f, "eva").await;
    let (status, body) = f.call(&eva, "POST", "/channels/", json!({})).await;
    assert_eq!((status, body["username"].is_null()), (400, true), "{body}");
    let unnamed = json!({ "username": null, "name": "Eva's" });
    let (status, body) = f.call(&eva, "POST", "/channels/", unnamed).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(body["data"]["username"], "eva");
    assert_eq!(body["data"]["name"], "Eva's");

    // Another's name is no new name, whatever its case.
    let taken = json!({ "username": "ANA.live", "name": "x" });
    let (status, body) = f.call(&bob, "POST", "/channels/", taken).await;
    assert_eq!(status, 400);
    assert!(body["username"][0].is_string(), "{body}");
}

#[tokio::test]
async fn what_is_wrong_with_a_channel_is_said_by_field() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({ "username": "", "name": "x" }), "username"),
        (json!({ "username": "ana" }), "name"),
        (
            json!({ "username": "a".repeat(300), "name": "x" }),
            "username",
        ),
        (json!({ "username": "a/b", "name": "x" }), "username"),
        (
            json!({ "username": "ana", "name": "x".repeat(101) }),
            "name",
        ),
        (json!({ "username": "ana", "name": ["x"] }), "name"),
        (
            json!({ "username": "ana", "name": "x", "tiktok": "javascript:alert(1)" }),
            "tiktok",
        ),
        (
            json!({ "username": "ana", "name": "x", "description": "y".repeat(5001) }),
            "description",
        ),
    ] {
        let (status, answer) = f.call(&ana, "POST", "/channels/", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer[field][0].is_string(), "{body}: {answer}");
    }
    // Nothing of it was written.
    let whole = json!({ "username": "ana", "name": "'; DROP TABLE channels; --" });
    let (status, body) = f.call(&ana, "POST", "/channels/", whole).await;
    assert_eq!(status, 201);
    assert_eq!(body["data"]["name"], "'; DROP TABLE channels; --");
}

#[tokio::test]
async fn owners_edit_and_others_do_not() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bob").await;
    let edit = json!({ "description": "Live from home", "unknown": 1 });
    assert_eq!(
        f.call("", "PATCH", "/channels/ana/", edit.clone()).await.0,
        401
    );
    assert_eq!(
        f.call(&bob, "PATCH", "/channels/ana/", edit.clone())
            .await
            .0,
        403
    );
    assert_eq!(
        f.call(&bob, "PATCH", "/channels/eve/", edit.clone())
            .await
            .0,
        404
    );
    let (status, body) = f.call(&ana, "PATCH", "/channels/ana/", edit).await;
    assert_eq!(
        (status, &body["data"]["description"]),
        (200, &json!("Live from home"))
    );
    assert_eq!(body["data"]["name"], "ana");
    // PUT wants all that a channel must have.
    let (status, body) = f
        .call(&ana, "PUT", "/channels/ana/", json!({ "name": "A" }))
        .await;
    assert_eq!(status, 400, "{body}");
    let whole = json!({ "username": "ana2", "name": "A", "description": null });
    let (status, body) = f.call(&ana, "PUT", "/channels/ana/", whole).await;
    assert_eq!((status, &body["data"]["username"]), (200, &json!("ana2")));
    assert_eq!(body["data"]["description"], "");
    let (_, body) = f
        .call(
            &ana,
            "PATCH",
            "/channels/ana2/",
            json!({ "username": "bob" }),
        )
        .await;
    assert!(body["username"][0].is_string(), "{body}");
    let edited = json!({ "username": "x.y", "name": "x" });
    assert_eq!(f.call(&ana, "POST", "/channels/", edited).await.0, 409);
}

#[tokio::test]
async fn channels_are_listed_and_searched() {
    let f = Fixture::new().await;
    for name in ["carl", "ana", "bob"] {
        login(&f, name).await;
    }
    let names = async |target: &str| {
        let (status, body) = f.call("", "GET", target, NONE).await;
        assert_eq!(status, 200, "{target}");
        let rows = body["data"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("/channels/").await, ["ana", "bob", "carl"]);
    assert_eq!(names("/channels/?search=AR").await, ["carl"]);
    for none in ["%25", "_", "%27", "%5C", "zz"] {
        assert!(
            names(&format!("/channels?search={none}")).await.is_empty(),
            "{none}"
        );
    }
    let long = format!("/channels/?search={}", "x".repeat(201));
    assert_eq!(f.call("", "GET", &long, NONE).await.0, 400);
}

#[tokio::test]
async fn subscribing_twice_is_subscribing_once() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bob").await;
    let path = "/channels/ana/subscribers/";
    assert_eq!(f.call("", "POST", path, NONE).await.0, 401);
    assert_eq!(
        f.call(&bob, "POST", "/channels/eve/subscribers/", NONE)
            .await
            .0,
        404
    );
    let (status, first) = f.call(&bob, "POST", path, NONE).await;
    assert_eq!(
        (status, &first["message"]),
        (201, &json!("Channel Subscribe Successful"))
    );
    assert_eq!(
        (&first["data"]["username"], &first["data"]["type"]),
        (&json!("bob"), &json!("free"))
    );
    let (status, again) = f.call(&bob, "POST", path, json!({})).await;
    assert_eq!((status, &again["data"]), (201, &first["data"]));
    f.call(&ana, "POST", path, NONE).await;

    let (_, list) = f.call("", "GET", path, NONE).await;
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.contains(&first["data"]));
    let seen = async |token: &str| {
        let (_, body) = f.call(token, "GET", "/channels/ana/", NONE).await;
        (
            body["data"]["subscriptions_count"].clone(),
            body["data"]["i_subscribed"].clone(),
        )
    };
    assert_eq!(seen(&bob).await, (json!(2), json!(true)));
    for _ in 0..2 {
        let (status, body) = f.call(&bob, "DELETE", path, NONE).await;
        assert_eq!((status, body), (204, NONE));
    }
    assert_eq!(seen(&bob).await, (json!(1), json!(false)));
    assert_eq!(seen("").await, (json!(1), NONE));
}

#[tokio::test]
async fn the_permanent_key_is_its_owners() {
    let f = Fixture::new().await;
    let (id, key) = f.api.db.sample_user("ana", f.api.auth.secret()).await;
    let row = f.api.db.user(id).await.unwrap().unwrap();
    let ana = f.api.auth.issue(&row, None).token;
    let (_, bob) = login(&f, "bob").await;
    assert_eq!(f.call("", "GET", "/channels/ana/stream", NONE).await.0, 401);
    assert_eq!(
        f.call(&bob, "GET", "/channels/ana/stream", NONE).await.0,
        403
    );
    let (status, body) = f.call(&ana, "GET", "/channels/ana/stream/", NONE).await;
    let expected = json!({
        "rtmp_url": "rtmp://test.example:1935/live", "key": key.as_str(), "started_at": null,
    });
    assert_eq!((status, body), (200, expected));
}
