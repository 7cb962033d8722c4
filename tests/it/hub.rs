//! Rooms from outside, with another WebSocket implementation (`tests/hub/room.py`). It does not know
//! how the server works inside.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cauce::config::Config;
use serde_json::{Value, json};

use crate::support::{
    Clip, Encoder, Key, Running, Server, http,
    server::{Site, run},
    socket::Live,
};

/// Python with `websocket-client`, as tests/run installs it, else the one on the path.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/streamlink/bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// A client that plays a scenario in a room, with the tokens of `ana`, its owner, and of `bob`.
pub fn client(scenario: &str, url: &str, tokens: &Value) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub/room.py");
    let mut command = Command::new(python());
    command
        .arg(script)
        .args([scenario, url, &tokens.to_string()]);
    command
}

/// A server with an owner, a viewer, and a stream of the owner's.
struct Room {
    server: Server,
    stream: Key,
    tokens: Value,
}

impl Room {
    fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let server = Server::with(edit);
        let token = |name: &str| {
            let email = format!("{name}@example.org");
            let account = json!({ "username": name, "email": email, "password": "correct horse" });
            let made = post(&server, "/token/?create=true", "", &account);
            assert_eq!(made["status"], true, "{made}");
            let login = post(&server, "/token/", "", &account);
            login["data"]["token"].as_str().unwrap().to_owned()
        };
        let (ana, bob) = (token("ana"), token("bob"));
        let made = post(&server, "/streams/", &ana, &json!({ "title": "t" }));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let stream = Key {
            uid: text("uid"),
            key: text("key"),
        };
        let tokens = json!({ "ana": ana, "bob": bob });
        Self {
            server,
            stream,
            tokens,
        }
    }

    fn live(edit: impl FnOnce(&mut Config)) -> (Self, Encoder) {
        let room = Self::with(edit);
        let encoder = Encoder::publish(room.server.rtmp, "live", &room.stream.key).unwrap();
        room.server.wait_status(&room.stream, "live", 20);
        (room, encoder)
    }

    fn url(&self) -> String {
        format!("ws://{}/ws/streams/{}/", self.server.http, self.stream.uid)
    }

    fn client(&self, scenario: &str) -> Running {
        Running::start(&mut client(scenario, &self.url(), &self.tokens))
    }

    #[track_caller]
    fn play(&self, scenario: &str) {
        let mut client = self.client(scenario);
        client.line(scenario, 60, |line| (line == "done").then_some(()));
    }
}

fn post(site: &Site, path: &str, token: &str, body: &Value) -> Value {
    let body = body.to_string();
    let login = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\n{login}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        site.http,
        body.len(),
    );
    let answer = http::raw(site.http, request.as_bytes()).unwrap();
    let reply = http::parse(&answer, false).unwrap();
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn who_may_come_in() {
    Room::with(|_| {}).play("doors");
}

#[test]
fn a_chat_opens_with_its_stream() {
    Room::with(|_| {}).play("pending");
}

#[test]
fn people_talk_and_are_moderated() {
    let (room, _encoder) = Room::live(|_| {});
    room.play("chat");
    let path = format!("/streams/{}/chat/", room.stream.uid);
    let page: Value = serde_json::from_slice(&room.server.get(&path).body).unwrap();
    assert_eq!(page["count"], 3, "{page}");
    assert_eq!(page["results"][0]["deleted"], true);
}

#[test]
fn bad_input_is_answered_and_disturbs_nobody() {
    let (room, _encoder) = Room::live(|_| {});
    room.play("hostile");
}

#[test]
fn a_crowd_comes_and_goes() {
    Room::with(|config| {
        config.limits.hub_reload_grace = Duration::ZERO;
        config.limits.sockets_per_address = 20_000;
    })
    .play("crowd");
}

#[test]
fn a_socket_that_answers_no_ping_is_given_up() {
    let room = Room::with(|config| config.limits.hub_ping = Duration::from_millis(200));
    room.play("silent");
}

#[test]
fn the_end_of_a_stream_closes_its_room() {
    let (room, _encoder) = Room::live(|config| config.hub.linger = Duration::from_millis(500));
    let mut client = room.client("wait_closed");
    client.line("in", 20, |line| (line == "in").then_some(()));
    let stop = format!("/streams/{}/stop/", room.stream.uid);
    let owner = room.tokens["ana"].as_str().unwrap();
    post(&room.server, &stop, owner, &json!({}));
    client.line("4510", 20, |line| {
        line.starts_with("closed 4510").then_some(())
    });
}

#[test]
fn a_banned_account_closes_its_sockets() {
    let room = Room::with(|_| {});
    let mut banned = room.client("wait_closed");
    banned.line("in", 20, |line| (line == "in").then_some(()));
    let done = run(&room.server.data_dir, &["user", "ban", "bob"]);
    assert!(done.status.success(), "{done:?}");
    banned.line("4503", 20, |line| {
        line.starts_with("closed 4503").then_some(())
    });
}

#[test]
fn every_line_of_the_page_works_from_a_tool() {
    let live = Live::with(&["ana", "bob", "cleo"], |_| {});
    // Health is told while media comes.
    let _encoder = Running::ffmpeg(Clip::Tiny, &live.server.publish_url(&live.stream));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = format!("/ws/streams/{}/", live.stream.uid);
    let tokens = json!({ "ana": live.tokens[0], "bob": live.tokens[1], "cleo": live.tokens[2] });
    let mut tool = Running::start(
        Command::new(python())
            .arg(root.join("tests/hub/page.py"))
            .arg(format!("ws://{}{path}", live.server.http))
            .arg(tokens.to_string())
            .arg(root.join("docs/websocket.md")),
    );
    let sent = tool.line("end", 90, |line| {
        line.strip_prefix("sent ").map(str::to_owned)
    });
    let document: Value = serde_json::from_slice(&live.server.get("/asyncapi.json").body).unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    let mut promised: Vec<_> = messages
        .keys()
        .filter_map(|m| m.strip_prefix("client_"))
        .collect();
    promised.sort_unstable();
    assert_eq!(sent.split(' ').collect::<Vec<_>>(), promised);
    tool.succeeds(20);
}
