//! The life of a stream over REST with a real publisher: from an account to a finished recording. It
//! does not know how anything is stored.

use serde_json::{Value, json};

use crate::support::{
    Clip, Encoder, Key, Server, playlist::Poller, rest::call, server::run_json, until,
};

const NONE: Value = Value::Null;

/// A server and somebody who is logged in there.
pub struct Studio {
    pub server: Server,
    pub token: String,
}

impl Studio {
    #[track_caller]
    pub fn start() -> Self {
        Self::of(Server::start())
    }

    #[track_caller]
    pub fn of(server: Server) -> Self {
        let token = account(&server, "ana");
        Self { server, token }
    }

    /// A call of the owner's.
    #[track_caller]
    pub fn call(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        call(self.server.http, &self.token, method, target, body)
    }

    /// A stream as anybody sees it.
    #[track_caller]
    pub fn seen(&self, uid: &str) -> Value {
        let target = format!("/streams/{uid}/");
        let (status, stream) = call(self.server.http, "", "GET", &target, &NONE);
        assert_eq!(status, 200, "{stream}");
        stream
    }

    /// What the owner does to a stream, and the stream then.
    #[track_caller]
    pub fn act(&self, stream: &Key, action: &str) -> (u16, Value) {
        let target = format!("/streams/{}/{action}/", stream.uid);
        self.call("POST", &target, &NONE)
    }

    #[track_caller]
    pub fn make(&self, body: &Value) -> Key {
        let (status, stream) = self.call("POST", "/streams/", body);
        assert_eq!(status, 201, "{stream}");
        key(&stream)
    }

    /// Waits until the stream looks so to anybody.
    #[track_caller]
    pub fn wait(&self, uid: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        until(what, 20, || {
            Some(self.seen(uid)).filter(|stream| condition(stream))
        })
    }

    /// A publisher with this key, and what it has sent.
    #[track_caller]
    pub fn publish(&self, key: &str) -> Encoder {
        let mut encoder = Encoder::publish(self.server.rtmp, "live", key)
            .unwrap_or_else(|status| panic!("refused: {status:?}"));
        encoder.send_all(&Clip::Tiny.tags());
        encoder
    }
}

/// Makes an account and logs in.
#[track_caller]
pub fn account(server: &Server, name: &str) -> String {
    let person = json!({
        "username": name, "email": format!("{name}@test.example"), "password": "correct horse",
    });
    let (status, body) = call(server.http, "", "POST", "/token/?create=true", &person);
    assert_eq!(status, 200, "{body}");
    let (status, body) = call(server.http, "", "POST", "/token/", &person);
    assert_eq!(status, 200, "{body}");
    body["data"]["token"].as_str().unwrap().to_owned()
}

pub fn key(stream: &Value) -> Key {
    let text = |name: &str| stream[name].as_str().unwrap().to_owned();
    Key {
        uid: text("uid"),
        key: text("key"),
    }
}

/// The path of a URL that the server gave.
fn path(url: &Value) -> String {
    let url = url.as_str().unwrap();
    let (_, rest) = url.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

#[test]
fn the_whole_walk() {
    let studio = Studio::start();
    let (status, made) = studio.call("POST", "/streams/", &json!({ "title": "First" }));
    assert_eq!((status, &made["status"]), (201, &json!("pending")));
    let stream = key(&made);
    assert_eq!(
        made["rtmp_url"],
        format!("rtmp://{}/live", studio.server.rtmp)
    );
    assert_eq!(studio.act(&stream, "start"), (200, made.clone()));

    let mut encoder = studio.publish(&stream.key);
    let live = studio.wait(&stream.uid, "video", |stream| stream["video"].is_object());
    assert_eq!(
        (&live["status"], &live["channel"]),
        (&json!("live"), &json!("ana"))
    );
    assert!(
        live["started_at"].is_string() && live["ended_at"].is_null(),
        "{live}"
    );
    assert_eq!(
        (&live["is_paused"], &live["record_status"]),
        (&json!(false), &json!("start"))
    );
    assert!(!live.to_string().contains(&stream.key));
    for name in ["index", "source"] {
        let playlist = studio.server.get(&path(&live["video"][name]));
        assert_eq!(playlist.status, 200);
    }
    let mut viewer = Poller::new(studio.server.http, path(&live["video"]["source"]));
    viewer.segments(1, 20);
    until("a viewer", 20, || {
        // One who fetched once is forgotten after two target durations.
        viewer.poll();
        (studio.seen(&stream.uid)["viewers"] == 1).then_some(())
    });
    until("the thumbnail", 20, || {
        (studio.server.get(&path(&live["thumbnail"])).status == 200).then_some(())
    });
    assert_eq!(studio.act(&stream, "cancel").0, 409);
    let (_, page) = studio.call("GET", "/streams/?status=live&channel=ANA", &NONE);
    assert_eq!(
        (&page["count"], &page["results"][0]["uid"]),
        (&json!(1), &live["uid"])
    );
    let (_, profile) = studio.call("GET", "/channels/ana/stream", &NONE);
    assert_eq!(profile["started_at"], live["started_at"]);

    for _ in 0..2 {
        let (status, paused) = studio.act(&stream, "pause");
        assert_eq!((status, &paused["is_paused"]), (200, &json!(true)));
        assert_eq!(paused["status"], "live");
        assert!(paused["paused_at"].is_string());
    }
    for _ in 0..2 {
        let (status, resumed) = studio.act(&stream, "resume");
        assert_eq!((status, &resumed["is_paused"]), (200, &json!(false)));
        assert_eq!(resumed["paused_at"], NONE);
    }

    for _ in 0..2 {
        let (status, stopped) = studio.act(&stream, "stop");
        assert_eq!((status, &stopped["status"]), (200, &json!("finished")));
        assert_eq!(stopped["ended_reason"], "stopped");
        assert!(stopped["ended_at"].is_string() && stopped["video"].is_object());
        assert_eq!(
            (&stopped["record_status"], &stopped["viewers"]),
            (&json!("start"), &json!(0))
        );
    }
    encoder.wait_closed(10);
    for action in ["start", "pause", "resume", "cancel", "key"] {
        assert_eq!(studio.act(&stream, action).0, 409, "{action}");
    }
    // The encoder that comes back is told why it may not.
    let refused = Encoder::publish(studio.server.rtmp, "live", &stream.key)
        .err()
        .unwrap();
    assert!(refused.description.contains("has ended"), "{refused:?}");
}

#[test]
fn a_changed_key_drops_the_publisher() {
    let studio = Studio::start();
    let stream = studio.make(&json!({}));
    let mut encoder = studio.publish(&stream.key);
    studio.wait(&stream.uid, "live", |stream| stream["status"] == "live");
    let (status, changed) = studio.act(&stream, "key");
    assert_eq!(status, 200);
    let new = key(&changed);
    assert_ne!(new.key, stream.key);
    let told = encoder.wait_closed(10);
    assert!(told.description.contains("key was changed"), "{told:?}");
    assert!(Encoder::publish(studio.server.rtmp, "live", &stream.key).is_err());
    // The same stream goes on with the new one.
    let mut encoder = studio.publish(&new.key);
    assert_eq!(studio.seen(&stream.uid)["status"], "live");

    // The same from another process, within a second or two.
    let rotated = run_json(
        &studio.server.data_dir,
        &["key", "rotate", &stream.uid, "--json"],
    );
    encoder.wait_closed(10);
    assert!(Encoder::publish(studio.server.rtmp, "live", &new.key).is_err());
    studio.publish(rotated["key"].as_str().unwrap());
}

#[test]
fn a_dropped_recording_is_gone() {
    let studio = Studio::start();
    let stream = studio.make(&json!({}));
    let encoder = studio.publish(&stream.key);
    let mut viewer = studio.server.viewer(&stream);
    viewer.segments(2, 20);
    let target = format!("/streams/{}/recording/", stream.uid);
    assert_eq!(studio.call("DELETE", &target, &NONE).0, 409);
    assert_eq!(studio.act(&stream, "stop").0, 200);
    drop(encoder);
    let media = studio.server.data_dir.join("media").join(&stream.uid);
    assert!(media.join("source").exists());
    assert_eq!(studio.call("DELETE", &target, &NONE), (204, NONE));
    let left: Vec<_> = std::fs::read_dir(media.join("source"))
        .map(|files| files.map(|file| file.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
    for name in ["index.m3u8", "source/index.m3u8", "source/recording.ts"] {
        let target = format!("/live/{}/{name}", stream.uid);
        assert_eq!(studio.server.get(&target).status, 404, "{name}");
    }
    let seen = studio.seen(&stream.uid);
    assert_eq!(
        (&seen["video"], &seen["record_status"]),
        (&NONE, &json!("off"))
    );
}

#[test]
fn a_scheduled_stream_is_published_with_its_own_key() {
    let studio = Studio::start();
    let body = json!({ "program_date_time": "2100-01-01T00:00:00Z" });
    let stream = studio.make(&body);
    studio.publish(&stream.key);
    let live = studio.wait(&stream.uid, "live", |stream| stream["status"] == "live");
    assert_eq!(live["is_programed"], true);
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let mut first = crate::support::Process::start(&[]);
    let data = first.keep_data();
    let person = json!({
        "username": "ana", "email": "ana@test.example", "password": "correct horse",
    });
    call(first.http, "", "POST", "/token/?create=true", &person);
    let (_, body) = call(first.http, "", "POST", "/token/", &person);
    let token = body["data"]["token"].as_str().unwrap().to_owned();
    let (status, made) = call(
        first.http,
        &token,
        "POST",
        "/streams/",
        &json!({ "title": "x" }),
    );
    assert_eq!(status, 201);
    first.child.signal("KILL");
    let second = crate::support::Process::restart_in(data.path(), &[]);
    let target = format!("/streams/{}/", made["uid"].as_str().unwrap());
    let (status, seen) = call(second.http, &token, "GET", &target, &NONE);
    assert_eq!(status, 200);
    // The same login, the same key; only the port is another.
    assert_eq!((&seen["key"], &seen["title"]), (&made["key"], &json!("x")));
}
