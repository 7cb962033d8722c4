//! Streams as clients see them, without media. It does not know HTTP.

use serde_json::{Value, json};

use super::{channel_tests::login, testing::Fixture};
use crate::{
    auth::PublishRefusal,
    db::{Status, now_ms},
    name::StreamUid,
};

const NONE: Value = Value::Null;
const LATER: &str = "2100-01-01T10:00:00Z";

async fn make(f: &Fixture, token: &str, body: Value) -> Value {
    let (status, stream) = f.call(token, "POST", "/streams/", body).await;
    assert_eq!(status, 201, "{stream}");
    stream
}

fn path(stream: &Value) -> String {
    format!("/streams/{}/", stream["uid"].as_str().unwrap())
}

fn uid(stream: &Value) -> StreamUid {
    StreamUid::parse(stream["uid"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_stream_is_made_with_every_field() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let stream = make(&f, &ana, json!({ "title": "Hi", "description": "a\nb" })).await;
    let expected = json!({
        "uid": stream["uid"], "key": stream["key"],
        "rtmp_url": "rtmp://test.example:1935/live",
        "channel": "ana", "title": "Hi", "description": "a\nb", "status": "pending",
        "is_paused": false, "paused_at": null, "thumbnail": null, "video": null,
        "websocket": null, "record": true, "record_status": "start", "is_programed": false,
        "program_date_time": null, "created_at": stream["created_at"], "started_at": null,
        "ended_at": null, "ended_reason": null, "viewers": 0,
    });
    assert_eq!(stream, expected);
    let key = stream["key"].as_str().unwrap();
    assert_eq!(key.len(), 22);
    let granted = f.api.auth.authorize_publish(key).await;
    assert_eq!(granted, Ok(uid(&stream)));

    // Its owner sees the key again, and nobody else.
    let (_, bob) = login(&f, "bob").await;
    let (_, own) = f.call(&ana, "GET", &path(&stream), NONE).await;
    assert_eq!(own, expected);
    for token in ["", &bob] {
        let (status, seen) = f.call(token, "GET", &path(&stream), NONE).await;
        assert_eq!(status, 200);
        assert!(!seen.to_string().contains(key), "{seen}");
        assert!(seen.get("key").is_none() && seen.get("rtmp_url").is_none());
        assert_eq!(seen["title"], "Hi");
    }
}

#[tokio::test]
async fn a_channel_has_one_open_stream_beside_scheduled_ones() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let first = make(&f, &ana, json!({})).await;
    let (status, body) = f.call(&ana, "POST", "/streams/", json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!("conflict")));
    let scheduled = json!({ "program_date_time": LATER, "record": false });
    let scheduled = make(&f, &ana, scheduled).await;
    assert_eq!(scheduled["is_programed"], true);
    assert_eq!(scheduled["program_date_time"], "2100-01-01T10:00:00.000Z");
    assert_eq!(scheduled["record_status"], "off");
    // Nothing scheduled becomes a second one.
    let now = json!({ "program_date_time": null });
    assert_eq!(
        f.call(&ana, "PATCH", &path(&scheduled), now.clone())
            .await
            .0,
        409
    );
    let cancel = format!("{}cancel", path(&first));
    assert_eq!(f.call(&ana, "POST", &cancel, NONE).await.0, 200);
    let (status, body) = f.call(&ana, "PATCH", &path(&scheduled), now).await;
    assert_eq!((status, &body["is_programed"]), (200, &json!(false)));
    assert_eq!(f.call(&ana, "POST", "/streams/", json!({})).await.0, 409);
    let later = json!({ "program_date_time": LATER });
    let (_, body) = f.call(&ana, "PATCH", &path(&scheduled), later).await;
    assert_eq!(body["is_programed"], true);
    // A time that has passed is no schedule.
    let past = json!({ "program_date_time": "2001-01-01T00:00:00+01:00" });
    let past = make(&f, &ana, past).await;
    assert_eq!(past["is_programed"], false);
    assert_eq!(past["program_date_time"], "2000-12-31T23:00:00.000Z");
}

#[tokio::test]
async fn bad_input_has_its_answer() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bob").await;
    assert_eq!(f.call("", "POST", "/streams/", json!({})).await.0, 401);
    for (body, field) in [
        (json!({ "title": 1.5, "record": "maybe" }), "record"),
        (json!({ "title": ["x"] }), "title"),
        (json!({ "title": "x".repeat(201) }), "title"),
        (json!({ "title": "a\u{0}b" }), "title"),
        (json!({ "description": "x".repeat(5001) }), "description"),
        (
            json!({ "program_date_time": "tomorrow" }),
            "program_date_time",
        ),
        (json!({ "channel_username": "nobody" }), "channel_username"),
        (
            json!({ "channel_username": "' OR 1=1 --" }),
            "channel_username",
        ),
        (
            json!({ "channel_username": "../../etc/passwd" }),
            "channel_username",
        ),
    ] {
        let (status, answer) = f.call(&ana, "POST", "/streams/", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer[field][0].is_string(), "{body}: {answer}");
    }
    let others = json!({ "channel_username": "BOB" });
    assert_eq!(f.call(&ana, "POST", "/streams/", others).await.0, 403);
    // What was refused was not half made.
    let (_, all) = f.call("", "GET", "/streams/", NONE).await;
    assert_eq!(all["count"], 0);

    let odd = "'; DROP TABLE streams; -- ../../etc/passwd %00 <script>";
    let own = json!({ "channel_username": "Ana", "title": odd });
    let stream = make(&f, &ana, own).await;
    assert_eq!(stream["title"], odd);
    let base = path(&stream);
    for (method, target) in [
        ("PATCH", base.clone()),
        ("POST", format!("{base}start/")),
        ("POST", format!("{base}pause/")),
        ("POST", format!("{base}resume/")),
        ("POST", format!("{base}stop/")),
        ("POST", format!("{base}cancel/")),
        ("POST", format!("{base}key/")),
        ("DELETE", format!("{base}recording/")),
    ] {
        assert_eq!(f.call("", method, &target, NONE).await.0, 401, "{target}");
        assert_eq!(f.call(&bob, method, &target, NONE).await.0, 403, "{target}");
        let unknown = target.replace(stream["uid"].as_str().unwrap(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(
            f.call(&ana, method, &unknown, NONE).await.0,
            404,
            "{unknown}"
        );
    }
    let unknown = "/streams/AAAAAAAAAAAAAAAAAAAAAA/";
    assert_eq!(f.call("", "GET", unknown, NONE).await.0, 404);
}

#[tokio::test]
async fn pending_streams_start_and_are_called_off() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let stream = make(&f, &ana, json!({})).await;
    let act = async |action: &str| {
        let target = format!("{}{action}/", path(&stream));
        f.call(&ana, "POST", &target, NONE).await
    };
    assert_eq!(act("start").await, (200, stream.clone()));
    for action in ["pause", "resume", "stop"] {
        assert_eq!(act(action).await.0, 409, "{action}");
    }
    for _ in 0..2 {
        let (status, body) = act("cancel").await;
        assert_eq!((status, &body["status"]), (200, &json!("cancel")));
        assert_eq!(body["ended_reason"], "cancelled");
        assert!(body["ended_at"].is_string());
    }
    for action in ["start", "pause", "resume", "stop", "key"] {
        assert_eq!(act(action).await.0, 409, "{action}");
    }
    let key = stream["key"].as_str().unwrap();
    let refused = f.api.auth.authorize_publish(key).await;
    assert_eq!(refused, Err(PublishRefusal::Ended));
}

#[tokio::test]
async fn another_key_ends_the_old_one() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let stream = make(&f, &ana, json!({})).await;
    let target = format!("{}key", path(&stream));
    let (status, changed) = f.call(&ana, "POST", &target, NONE).await;
    assert_eq!(status, 200);
    let (old, new) = (
        stream["key"].as_str().unwrap(),
        changed["key"].as_str().unwrap(),
    );
    assert_ne!(old, new);
    let auth = &f.api.auth;
    assert_eq!(
        auth.authorize_publish(old).await,
        Err(PublishRefusal::UnknownKey)
    );
    assert_eq!(auth.authorize_publish(new).await, Ok(uid(&stream)));
    // A claim that was granted for the old key while it changed is not confirmed.
    let late = auth.confirm_publish(old, &uid(&stream)).await;
    assert_eq!(late, Err(PublishRefusal::UnknownKey));
    assert_eq!(auth.confirm_publish(new, &uid(&stream)).await, Ok(()));
}

#[tokio::test]
async fn edits_are_seen_at_once() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let stream = make(&f, &ana, json!({ "title": "a" })).await;
    for title in ["b", "c"] {
        let body = json!({ "title": title, "status": "live", "uid": "x" });
        let (status, edited) = f.call(&ana, "PATCH", &path(&stream), body).await;
        assert_eq!((status, &edited["status"]), (200, &json!("pending")));
        let (_, seen) = f.call("", "GET", &path(&stream), NONE).await;
        assert_eq!(seen["title"], title);
    }
    // The channel's name is part of its streams.
    f.call(
        &ana,
        "PATCH",
        "/channels/ana/",
        json!({ "username": "renamed" }),
    )
    .await;
    let (_, seen) = f.call("", "GET", &path(&stream), NONE).await;
    assert_eq!(seen["channel"], "renamed");
    // What has begun keeps its time; sending back the same changes nothing.
    f.api.db.mark_live(&uid(&stream), now_ms()).await.unwrap();
    let moved = json!({ "program_date_time": LATER });
    assert_eq!(f.call(&ana, "PATCH", &path(&stream), moved).await.0, 409);
    let same = json!({ "title": "d", "program_date_time": null });
    assert_eq!(f.call(&ana, "PATCH", &path(&stream), same).await.0, 200);
}

#[tokio::test]
async fn lists_have_every_filter() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bobadilla").await;
    let one = make(&f, &ana, json!({ "title": "100% pure" })).await;
    let two = make(
        &f,
        &ana,
        json!({ "description": "_under_", "program_date_time": LATER }),
    )
    .await;
    let three = make(&f, &bob, json!({})).await;
    f.api.db.mark_live(&uid(&one), now_ms()).await.unwrap();
    let cancel = format!("{}cancel/", path(&two));
    f.call(&ana, "POST", &cancel, NONE).await;

    let uids = async |query: &str| {
        let (status, body) = f.call("", "GET", &format!("/streams/?{query}"), NONE).await;
        assert_eq!(status, 200, "{query}: {body}");
        let rows = body["results"].as_array().unwrap().clone();
        assert_eq!(body["count"], rows.len(), "{query}");
        rows.iter().map(uid).collect::<Vec<_>>()
    };
    let (one, two, three) = (uid(&one), uid(&two), uid(&three));
    for (query, expected) in [
        ("", &[&three, &two, &one][..]),
        ("channel=Ana", &[&two, &one]),
        ("status=live", &[&one]),
        ("status__in=cancel,live", &[&two, &one]),
        ("status=live&status__in=cancel,live", &[&one]),
        ("search=PURE&channel=ana", &[&one]),
        ("search=%25", &[&one]),
        ("search=nder_", &[&two]),
        ("search=bobadilla", &[&three]),
        (&format!("search={two}"), &[&two]),
    ] {
        let found = uids(query).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for none in [
        "channel=nobody",
        "channel=%27%20OR%201=1%20--",
        "search=%27;--",
        "search=..%2f..%2f",
        "status=live&status__in=cancel",
        "status=finished",
    ] {
        assert!(uids(none).await.is_empty(), "{none}");
    }
    for (query, field) in [
        ("limit=abc", "limit"),
        ("search=%00", "search"),
        ("offset=-1", "offset"),
        ("status=asleep", "status"),
        ("status__in=live,asleep", "status__in"),
        ("status__in=live%27", "status__in"),
    ] {
        let (status, body) = f.call("", "GET", &format!("/streams/?{query}"), NONE).await;
        assert_eq!(status, 400, "{query}");
        assert!(body[field][0].is_string(), "{query}: {body}");
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let mut made = vec![];
    for _ in 0..5 {
        made.push(uid(
            &make(&f, &ana, json!({ "program_date_time": LATER })).await
        ));
    }
    made.reverse();
    let mut seen = vec![];
    let mut target = "/streams/?limit=2&channel=ana".to_owned();
    loop {
        let (_, page) = f.call(&ana, "GET", &target, NONE).await;
        assert_eq!(page["count"], 5);
        let rows = page["results"].as_array().unwrap();
        assert!(
            rows.iter().all(|row| row["key"].is_string()),
            "an owner's own list"
        );
        seen.extend(rows.iter().map(uid));
        match page["next"].as_str() {
            Some(next) => target = next.strip_prefix("http://test.example").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let (_, page) = f
        .call("", "GET", "/streams/?limit=1000&offset=4", NONE)
        .await;
    assert_eq!(page["results"].as_array().unwrap().len(), 1);
    assert_eq!(
        page["previous"],
        "http://test.example/streams/?limit=100&offset=0"
    );
}

#[tokio::test]
async fn reminders_are_for_scheduled_streams() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let (_, bob) = login(&f, "bob").await;
    let plain = make(&f, &ana, json!({})).await;
    let scheduled = make(&f, &ana, json!({ "program_date_time": LATER })).await;
    let target = format!("{}reminders/", path(&scheduled));
    assert_eq!(f.call("", "POST", &target, NONE).await.0, 401);
    for _ in 0..2 {
        let (status, body) = f.call(&bob, "POST", &target, NONE).await;
        assert_eq!((status, &body["uid"]), (201, &scheduled["uid"]));
    }
    let other = format!("{}reminders/", path(&plain));
    assert_eq!(f.call(&bob, "POST", &other, NONE).await.0, 409);
    let db = &f.api.db;
    assert!(db.due_reminders().await.unwrap().is_empty());
    db.mark_live(&uid(&scheduled), now_ms()).await.unwrap();
    let due = db.due_reminders().await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].email.as_str(), due[0].channel.as_str()),
        ("bob@x.example", "ana")
    );
    assert_eq!(f.call(&bob, "POST", &target, NONE).await.0, 409);
    for _ in 0..2 {
        assert_eq!(f.call(&bob, "DELETE", &target, NONE).await.0, 204);
    }
    assert!(db.due_reminders().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_channel_key_takes_what_is_open() {
    let f = Fixture::new().await;
    let (id, key) = f.api.db.sample_user("ana", f.api.auth.secret()).await;
    let row = f.api.db.user(id).await.unwrap().unwrap();
    let ana = f.api.auth.issue(&row, None).token;
    let (auth, db) = (&f.api.auth, &f.api.db);
    let publish = async || auth.authorize_publish(key.as_str()).await;

    make(&f, &ana, json!({ "program_date_time": LATER })).await;
    let pending = uid(&make(&f, &ana, json!({})).await);
    assert_eq!(publish().await, Ok(pending.clone()));
    db.mark_live(&pending, now_ms()).await.unwrap();
    assert_eq!(publish().await, Ok(pending.clone()));
    let lost = db.finish_stream(&pending, "publisher_lost", now_ms());
    assert!(lost.await.unwrap());

    // Nothing open, and the last one was not stopped: a new stream, twenty times the same.
    let new = publish().await.unwrap();
    assert_ne!(new, pending);
    assert_eq!(publish().await, Ok(new.clone()));
    assert_eq!(auth.confirm_publish(key.as_str(), &new).await, Ok(()));
    let row = db.stream_details(&new).await.unwrap().unwrap();
    assert_eq!((row.status, row.record), (Status::Pending, true));
    assert_eq!(row.channel.as_ref().unwrap().username, "ana");

    // After a stop an encoder that comes back by itself is told so, until the owner makes a stream.
    db.mark_live(&new, now_ms()).await.unwrap();
    f.api.live.stop(&new, "stopped").await.unwrap();
    assert_eq!(publish().await, Err(PublishRefusal::Stopped));
    let late = auth.confirm_publish(key.as_str(), &new).await;
    assert_eq!(late, Err(PublishRefusal::Ended));
    let again = uid(&make(&f, &ana, json!({})).await);
    assert_eq!(publish().await, Ok(again));
}

#[tokio::test]
async fn many_encoders_with_one_channel_key_share_a_stream() {
    let f = Fixture::new().await;
    let (_, key) = f.api.db.sample_user("ana", f.api.auth.secret()).await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (auth, key) = (f.api.auth.clone(), key.clone());
        tries.spawn(async move { auth.authorize_publish(key.as_str()).await });
    }
    let mut uids: Vec<_> = tries
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    uids.dedup();
    assert_eq!(uids.len(), 1);
}

#[tokio::test]
async fn a_banned_owner_publishes_nothing() {
    let f = Fixture::new().await;
    let (id, key) = f.api.db.sample_user("ana", f.api.auth.secret()).await;
    let row = f.api.db.user(id).await.unwrap().unwrap();
    let ana = f.api.auth.issue(&row, None).token;
    let stream = make(&f, &ana, json!({})).await;
    f.api.db.sample_ban(id).await;
    for key in [key.as_str(), stream["key"].as_str().unwrap()] {
        let refused = f.api.auth.authorize_publish(key).await;
        assert_eq!(refused, Err(PublishRefusal::Banned));
    }
    let facts = f
        .api
        .db
        .publish_facts(&uid(&stream))
        .await
        .unwrap()
        .unwrap();
    assert!(facts.banned);
}

#[tokio::test]
async fn a_recording_goes_with_its_objects() {
    let f = Fixture::new().await;
    let (_, ana) = login(&f, "ana").await;
    let stream = make(&f, &ana, json!({})).await;
    let target = format!("{}recording/", path(&stream));
    assert_eq!(f.call(&ana, "DELETE", &target, NONE).await.0, 409);
    let uid = uid(&stream);
    f.api.db.mark_live(&uid, now_ms()).await.unwrap();
    let counters = crate::db::Counters {
        next_sequence: 1,
        target_duration_s: Some(2),
        ..Default::default()
    };
    let segment = crate::db::SegmentRow {
        name: crate::name::SegmentName::parse("s-0.ts").unwrap(),
        duration_90k: 180_000,
        date: std::time::Duration::ZERO,
        discontinuity: false,
        discontinuities: 0,
        independent: true,
        bytes: 4,
    };
    let key = storage::Key::new(&format!("{uid}/source/s-0.ts")).unwrap();
    let (store, body) = (&f.api.store, ["ts..".into()]);
    let put = store.put(&key, &body, storage::contract::META);
    put.await.unwrap();
    let saved = f.api.db.save_listed(&uid, counters, vec![segment], 0).await;
    saved.unwrap();
    f.api.live.stop(&uid, "stopped").await.unwrap();
    let ended = loop {
        let (_, seen) = f.call("", "GET", &path(&stream), NONE).await;
        assert!(seen["video"].is_object());
        match seen["record_status"].as_str().unwrap() {
            "start" => tokio::task::yield_now().await,
            _ => break seen,
        }
    };
    assert_eq!(
        (&ended["status"], &ended["record_status"]),
        (&json!("finished"), &json!("done"))
    );
    assert!(ended["video"].is_object());
    for _ in 0..2 {
        assert_eq!(f.call(&ana, "DELETE", &target, NONE).await.0, 204);
    }
    let (_, ended) = f.call("", "GET", &path(&stream), NONE).await;
    assert_eq!(
        (&ended["record"], &ended["record_status"]),
        (&json!(false), &json!("off"))
    );
    assert_eq!(ended["video"], NONE);
    assert!(ended["thumbnail"].is_string());
}
