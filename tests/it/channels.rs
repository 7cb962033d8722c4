//! A channel's permanent key with a real publisher, and channels from the command line. It does not
//! know how keys are kept.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    streams::Studio,
    support::{
        Encoder, Server,
        server::{run, run_json},
        until,
    },
};

const NONE: Value = Value::Null;

#[track_caller]
fn channel_key(studio: &Studio) -> String {
    let (status, body) = studio.call("GET", "/channels/ana/stream/", &NONE);
    assert_eq!(status, 200, "{body}");
    body["key"].as_str().unwrap().to_owned()
}

#[track_caller]
fn live(studio: &Studio) -> Vec<String> {
    let (_, page) = studio.call("GET", "/streams/?status=live&channel=ana", &NONE);
    let rows = page["results"].as_array().unwrap();
    let uid = |row: &Value| row["uid"].as_str().unwrap().to_owned();
    rows.iter().map(uid).collect()
}

#[test]
fn a_channel_key_opens_binds_and_returns() {
    let studio = Studio::start();
    let key = channel_key(&studio);
    let scheduled = studio.make(&json!({ "program_date_time": "2100-01-01T00:00:00Z" }));

    // Nothing is open: a new stream, and never the scheduled one.
    let encoder = studio.publish(&key);
    let first = until("a live stream", 10, || live(&studio).pop());
    assert_ne!(first, scheduled.uid);
    // Back within the grace: the same one.
    drop(encoder);
    let mut encoder = studio.publish(&key);
    assert_eq!(live(&studio), std::slice::from_ref(&first));

    // Stopped: the encoder that reconnects by itself is told so.
    let (status, _) = studio.call("POST", &format!("/streams/{first}/stop/"), &NONE);
    assert_eq!(status, 200);
    encoder.wait_closed(10);
    for _ in 0..3 {
        let refused = Encoder::publish(studio.server.rtmp, "live", &key)
            .err()
            .unwrap();
        assert!(refused.description.contains("was stopped"), "{refused:?}");
    }
    assert!(live(&studio).is_empty());
    // Until the owner makes another, which the key then binds to.
    let next = studio.make(&json!({ "title": "Again" }));
    let _encoder = studio.publish(&key);
    assert_eq!(until("live again", 10, || live(&studio).pop()), next.uid);
}

#[test]
fn after_a_lost_publisher_a_channel_key_opens_anew() {
    let studio = Studio::of(Server::with(|c| {
        c.hls.reconnect_grace = Duration::from_millis(200);
    }));
    let key = channel_key(&studio);
    drop(studio.publish(&key));
    let first = until("the stream to end", 10, || {
        let (_, page) = studio.call("GET", "/streams/?status=finished", &NONE);
        let row = &page["results"][0];
        row["uid"]
            .as_str()
            .map(|uid| (uid.to_owned(), row["ended_reason"].clone()))
    });
    assert_eq!(first.1, "publisher_lost");
    let _encoder = studio.publish(&key);
    assert_ne!(until("a live stream", 10, || live(&studio).pop()), first.0);
}

#[test]
fn streams_of_a_channel_are_made_on_the_command_line() {
    let studio = Studio::start();
    let data = &studio.server.data_dir;
    let arguments = [
        "stream",
        "create",
        "--channel",
        "Ana",
        "--title",
        "cli",
        "--json",
    ];
    let made = run_json(data, &arguments);
    let target = format!("/streams/{}/", made["uid"].as_str().unwrap());
    let (status, seen) = studio.call("GET", &target, &NONE);
    assert_eq!((status, &seen["channel"]), (200, &json!("ana")));
    assert_eq!(seen["key"], made["key"]);
    let second = run(data, &arguments);
    assert_eq!(second.status.code(), Some(1));
    let unknown = run(data, &["stream", "create", "--channel", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no channel nobody"));
}

#[test]
fn a_ban_puts_the_publisher_out() {
    let studio = Studio::start();
    let permanent = channel_key(&studio);
    let stream = studio.make(&json!({}));
    let mut encoder = studio.publish(&stream.key);
    run_json(&studio.server.data_dir, &["user", "ban", "ana", "--json"]);
    let told = encoder.wait_closed(10);
    assert!(told.description.contains("banned"), "{told:?}");
    let refused = Encoder::publish(studio.server.rtmp, "live", &stream.key)
        .err()
        .unwrap();
    assert!(
        refused.description.contains("may not publish"),
        "{refused:?}"
    );
    let refused = Encoder::publish(studio.server.rtmp, "live", &permanent);
    assert!(refused.is_err());
}
