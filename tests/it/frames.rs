//! Holds the running rooms against their own AsyncAPI document: every type of frame in its direction,
//! and none beside them; every error code. It does not know what the frames mean.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    Clip, Running, rest,
    socket::{Live, Socket, Tap, stream},
};

/// Validates all frames against the schema of their type; gives the names of those seen.
fn validate(document: &Value, tap: &Tap) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (from_server, frame) in tap.lock().unwrap().iter() {
        let side = if *from_server { "server" } else { "client" };
        let name = format!("{side}_{}", frame["type"].as_str().unwrap());
        let message = &document["components"]["messages"][&name];
        let mut schema = message["payload"].clone();
        assert!(schema.is_object(), "{name} is not documented: {frame}");
        schema["components"] = document["components"].clone();
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let faults: Vec<_> = validator
            .iter_errors(frame)
            .map(|e| e.to_string())
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {frame}");
        seen.insert(name);
    }
    seen
}

fn names(document: &Value, pointer: &str) -> BTreeSet<String> {
    let all = document
        .pointer(pointer)
        .and_then(Value::as_object)
        .unwrap();
    all.keys().cloned().collect()
}

#[test]
fn every_frame_is_as_documented() {
    let live = Live::with(&["ana", "bob", "cleo", "mia"], |config| {
        config.questions.moderated = true;
        config.questions.per = Duration::ZERO;
        config.chat.blocked_words = vec!["spam".into()];
        config.limits.voice_queue = 1;
        config.hub.slow_grace = Duration::from_secs(60);
        config.hub.queue_bytes = 16 * 1024;
        config.hub.linger = Duration::ZERO;
    });
    // Health is told while media comes.
    let _encoder = Running::ffmpeg(Clip::Tiny, &live.server.publish_url(&live.stream));
    let document: Value = serde_json::from_slice(&live.server.get("/asyncapi.json").body).unwrap();
    chat(&live);
    moderation(&live);
    questions(&live);
    voice(&live);
    slow_reader(&live);
    expired(&live);
    ended(&live);

    let seen = validate(&document, &live.tap);
    let promised = names(&document, "/components/messages");
    assert_eq!(seen, promised, "frames documented and seen");
    let channel = names(&document, "/channels/stream/messages");
    assert_eq!(channel, promised, "messages of the channel");
    let frames = live.tap.lock().unwrap();
    let codes: BTreeSet<_> = frames
        .iter()
        .filter_map(|(_, f)| f["data"]["error_code"].as_str())
        .collect();
    let promised = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    let promised: BTreeSet<_> = promised.iter().filter_map(Value::as_str).collect();
    assert_eq!(codes, promised, "error codes documented and seen");
}

fn chat(live: &Live) {
    let (mut ana, mut bob, mut eve) = (live.member(0), live.member(1), live.anyone(""));
    for first in [
        "auth",
        "status",
        "users",
        "chat_history",
        "questions",
        "voice_state",
    ] {
        assert_eq!(eve.frame().unwrap()["type"], first);
    }
    ana.next("health");
    ana.send(&json!({ "type": "ping", "data": {} }));
    ana.next("pong");
    eve.refused("chat", json!({ "message": "hi" }), "auth_required");
    eve.refused("auth", json!({ "token": "x" }), "auth_required");
    eve.does("auth", json!({ "token": live.tokens[2] }));
    eve.refused("users_list", json!({}), "forbidden");
    ana.send(&json!({ "type": "users_list", "data": { "cursor": "" }, "ref": { "any": [1] } }));
    assert_eq!(ana.next("users_list")["items"].as_array().unwrap().len(), 3);

    let ack = bob.does("chat", json!({ "message": "hola", "reply_to": null }));
    let said = eve.until("chat", |chat| chat["id"] == ack["id"]);
    let answer = ana.does(
        "chat",
        json!({ "message": "hola, bob", "reply_to": said["id"] }),
    );
    eve.until("chat", |chat| chat["reply_to"] == said["id"]);
    bob.does("chat_edit", json!({ "id": ack["id"], "message": "buenas" }));
    eve.until("chat_edited", |chat| chat["message"] == "buenas");
    ana.does("chat_delete", json!({ "id": answer["id"] }));
    eve.until("chat_deleted", |chat| chat["id"] == answer["id"]);
    bob.refused("chat_delete", json!({ "id": answer["id"] }), "not_found");
    bob.refused("chat", json!({ "message": "x".repeat(501) }), "too_long");
    bob.refused("chat", json!({ "message": "SPAM!" }), "blocked_word");
    let mut late = live.anyone("");
    let history = late.next("chat_history");
    assert_eq!(history["messages"][0]["message"], "buenas");
    assert_eq!(history["messages"][1]["deleted"], true);

    assert!(bob.send_raw(r#"{"type":"chat","data":7,"ref":"r"}"#.into()));
    assert_eq!(bob.next("error")["error_code"], "bad_message");
    bob.refused(
        "chat",
        json!({ "message": "hi", "reply_to": "nobody-1" }),
        "not_found",
    );
    let pending = stream(&live.server, &live.tokens[1]);
    let token = &live.tokens[1];
    let mut early = Socket::join(&live.server, &pending.uid, token, "", &live.tap);
    early.refused("chat", json!({ "message": "hi" }), "not_live");
}

fn moderation(live: &Live) {
    let (mut ana, mut bob, mut mia) = (live.member(0), live.member(1), live.member(3));
    let mia_is = json!({ "username": "mia" });
    let path = "/channels/ana/moderators/";
    let (status, _) = rest::call(live.server.http, &live.tokens[0], "POST", path, &mia_is);
    assert_eq!(status, 201);
    mia.until("auth", |auth| auth["role"] == "moderator");
    let id = bob.does("chat", json!({ "message": "pin me" }))["id"].clone();
    mia.does("chat_moderate", json!({ "action": "pin", "id": id }));
    bob.until("chat_pinned", |pinned| pinned["message"]["id"] == id);
    mia.does("chat_moderate", json!({ "action": "unpin" }));
    bob.until("chat_pinned", |pinned| pinned["message"].is_null());
    mia.does(
        "chat_moderate",
        json!({ "action": "subscribers_only", "enabled": true }),
    );
    bob.until("chat_settings", |settings| {
        settings["subscribers_only"] == true
    });
    bob.refused("chat", json!({ "message": "hi" }), "forbidden");
    mia.does(
        "chat_moderate",
        json!({ "action": "subscribers_only", "enabled": false }),
    );
    ana.does("chat_moderate", json!({ "action": "slow", "seconds": 60 }));
    bob.says("one");
    let slow = bob.refused("chat", json!({ "message": "two" }), "slow_mode");
    assert!(slow["retry_after"].as_f64() > Some(1.0), "{slow}");
    ana.does("chat_moderate", json!({ "action": "slow", "seconds": 0 }));
    let timeout = json!({ "action": "timeout", "user": "bob", "seconds": 60, "reason": "rest" });
    ana.does("chat_moderate", timeout);
    bob.refused("chat", json!({ "message": "hi" }), "timed_out");
    ana.does("chat_moderate", json!({ "action": "unban", "user": "bob" }));
    bob.says("back");
    ana.does(
        "chat_moderate",
        json!({ "action": "ban", "user": "bob", "reason": "enough" }),
    );
    assert_eq!(bob.closed().0, 4503);
    let mut bob = live.member(1);
    bob.refused("chat", json!({ "message": "hi" }), "banned");
    ana.does("chat_moderate", json!({ "action": "unban", "user": "bob" }));
}

fn questions(live: &Live) {
    let (mut ana, mut bob, mut cleo) = (live.member(0), live.member(1), live.member(2));
    let asked = json!({ "text": "When?", "anonymous": true });
    let id = bob.does("question", asked.clone())["id"].clone();
    bob.refused("question", asked, "duplicate");
    let held = ana.until("question", |question| question["id"] == id);
    assert_eq!(
        (&held["state"], &held["user"]),
        (&json!("pending"), &json!("bob"))
    );
    ana.does("question_state", json!({ "id": id, "state": "open" }));
    let open = cleo.until("question", |question| question["id"] == id);
    assert!(open["user"].is_null(), "{open}");
    cleo.does("question_vote", json!({ "id": id, "vote": 1 }));
    ana.until("question_updated", |question| question["votes"] == 1);
    ana.does("question_pin", json!({ "id": id, "pinned": true }));
    ana.does("question_state", json!({ "id": id, "state": "live" }));
    let now = json!({ "id": id, "state": "answered", "answer": "Now" });
    ana.does("question_state", now);
    cleo.until("question_updated", |question| question["answer"] == "Now");
    cleo.refused(
        "question_pin",
        json!({ "id": id, "pinned": false }),
        "forbidden",
    );
    let mut again = live.member(2);
    assert_eq!(again.next("questions")["items"][0]["id"], id);
    assert_eq!(again.next("my_votes")["ids"], json!([id]));
}

fn voice(live: &Live) {
    let (mut ana, mut bob, mut cleo) = (live.member(0), live.member(1), live.member(2));
    // One raised hand is all that waits here.
    let call = bob.does("voice_request", json!({}))["id"].clone();
    ana.until("voice_queue", |queue| queue["items"][0]["call"] == call);
    cleo.refused("voice_request", json!({}), "queue_full");
    bob.does("voice_cancel", json!({}));
    bob.until("voice_ended", |ended| ended["reason"] == "cancelled");
    let call = cleo.does("voice_request", json!({}))["id"].clone();
    ana.does("voice_deny", json!({ "call": call }));
    cleo.until("voice_ended", |ended| ended["reason"] == "denied");

    let call = ana.does("voice_invite", json!({ "user": "Bob" }))["id"].clone();
    bob.until("voice_invited", |invited| invited["call"] == call);
    bob.does("voice_accept", json!({ "call": call }));
    let started = bob.until("voice_started", |started| started["call"] == call);
    let peer = started["peers"][0]["id"].clone();
    ana.next("voice_started");
    let sdp = json!({ "type": "offer", "sdp": "v=0" });
    let offer = json!({ "call": call, "to": peer, "description": sdp });
    bob.send(&json!({ "type": "voice_signal", "data": offer }));
    let heard = ana.next("voice_signal");
    assert_eq!((&heard["from"], &heard["description"]), (&call, &sdp));
    let candidate = json!({ "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host",
        "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "u" });
    for candidate in [candidate, Value::Null] {
        let answer = json!({ "call": call, "to": call, "candidate": candidate });
        ana.send(&json!({ "type": "voice_signal", "data": answer }));
        bob.until("voice_signal", |signal| signal["candidate"] == candidate);
    }
    // A stranger to the call, a peer that is none, and more than a signal may be.
    let to = |to: &Value| json!({ "call": call, "to": to, "description": sdp });
    cleo.refused("voice_signal", to(&peer), "not_found");
    bob.refused("voice_signal", to(&json!("99")), "not_found");
    let long = json!({ "type": "offer", "sdp": "x".repeat(14_000) });
    let long = json!({ "call": call, "to": peer, "description": long });
    bob.refused("voice_signal", long, "too_long");

    ana.does("voice_mute", json!({ "call": call, "muted": true }));
    bob.until("voice_mute", |mute| mute["muted"] == true);
    cleo.until("voice_state", |state| state["speakers"][0]["muted"] == true);
    bob.does("voice_hangup", json!({ "call": call }));
    ana.until("voice_ended", |ended| ended["reason"] == "hangup");
    bob.refused("voice_signal", to(&peer), "not_found");
}

/// One that reads nothing for a while: frames are left out, and it is brought up to date.
fn slow_reader(live: &Live) {
    let (mut ana, mut witness) = (live.member(0), live.anyone(""));
    let mut slow = Socket::narrow(&live.server, &live.stream.uid, &live.tap);
    // 500 characters of three bytes: what socket buffers hold is overrun soon.
    let text = "€".repeat(500);
    let mut last = 0;
    for _ in 0..600 {
        last = ana.says(&text);
        witness.until("chat", |chat| chat["seq"] == last);
    }
    assert!(slow.next("resync")["missed"].as_u64() > Some(0));
    let history = slow.until("chat_history", |history| history["seq"] == last);
    assert_eq!(history["messages"].as_array().unwrap().len(), 100);
}

/// A token whose time ends on an open socket, and a flood.
fn expired(live: &Live) {
    let short = Live::with(&["dan"], |config| {
        config.auth.token_ttl = Duration::from_secs(1);
        config.limits.hub_frames_per_s = 50;
    });
    let mut dan = short.anyone("");
    let token = rest::log_in(short.server.http, "dan");
    dan.does("auth", json!({ "token": token }));
    let ended = dan.until("auth", |auth| auth["reason"] == "token_expired");
    assert_eq!(ended["authenticated"], false);
    dan.refused("chat", json!({ "message": "hi" }), "auth_required");
    dan.refused("auth", json!({ "token": token }), "token_expired");
    let renewed = rest::log_in(short.server.http, "dan");
    dan.does("auth", json!({ "token": renewed }));
    for _ in 0..200 {
        dan.send(&json!({ "type": "ping", "data": {} }));
    }
    dan.until("error", |error| error["error_code"] == "rate_limited");
    live.tap
        .lock()
        .unwrap()
        .append(&mut short.tap.lock().unwrap());
}

fn ended(live: &Live) {
    let mut bob = live.member(1);
    let path = |what: &str| format!("/streams/{}/{what}/", live.stream.uid);
    for (what, field, value) in [
        ("pause", "reason", json!("paused")),
        ("stop", "status", json!("finished")),
    ] {
        let owner = &live.tokens[0];
        let (status, _) = rest::call(live.server.http, owner, "POST", &path(what), &Value::Null);
        assert_eq!(status, 200);
        bob.until("status", |status| status[field] == value);
    }
    assert_eq!(bob.closed().0, 4510);
}
