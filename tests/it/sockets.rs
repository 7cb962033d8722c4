//! Rooms under bad members and bad times: who stalls, stops in the middle, floods, loses its token,
//! and a server that ends. The others notice nothing. It does not know how frames look on the wire.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Encoder, Key, Process, rest,
    server::{Site, run},
    socket::{Live, Socket, Tap, stream},
    until,
};

#[test]
fn a_member_that_never_reads_is_cut_and_the_others_get_all() {
    let live = Live::with(&["ana"], |config| {
        config.hub.slow_grace = Duration::from_secs(3);
        config.limits.hub_reload_grace = Duration::ZERO;
        config.hub.queue_bytes = 16 * 1024;
    });
    let (mut ana, mut witness) = (live.member(0), live.anyone(""));
    let mut stalled = Socket::narrow(&live.server, &live.stream.uid, &live.tap);
    let text = "€".repeat(500);
    ana.until("users", |users| users["count"] == 3);
    let mut last = ana.says(&text);
    witness.until("chat", |chat| chat["seq"] == last);
    // Until the one that does not read is cut; the other gets each message, in order.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut cut = false;
    while !cut {
        assert!(Instant::now() < deadline, "never cut");
        last += 1;
        assert_eq!(ana.says(&text), last);
        loop {
            let frame = witness.frame().unwrap();
            cut |= frame["type"] == "users" && frame["data"]["count"] == 2;
            if frame["type"] == "chat" {
                assert_eq!(frame["data"]["seq"], last);
                break;
            }
        }
    }
    // It is still told, if it reads again in time: what was under way, then the reason.
    assert_eq!(stalled.closed().0, 4008);
}

#[test]
fn half_a_frame_is_no_sign_of_life() {
    let live = Live::with(&["ana"], |config| {
        config.limits.hub_ping = Duration::from_millis(200);
        config.limits.hub_reload_grace = Duration::ZERO;
    });
    let (mut half, mut witness) = (live.anyone(""), live.anyone(""));
    half.next("voice_state");
    witness.until("users", |users| users["count"] == 2);
    // A masked text frame of 4,096 bytes of which four come. No ping is answered after it.
    half.send_bytes(b"\x81\xfe\x10\x00\0\0\0\0abcd");
    witness.until("users", |users| users["count"] == 1);
    drop(half);
}

#[test]
fn floods_of_every_type_are_refused_and_disturb_nobody() {
    let live = Live::with(&["ana", "bob"], |config| {
        config.limits.hub_frames_per_s = 50
    });
    let (mut ana, mut witness) = (live.member(0), live.anyone(""));
    let document: Value = serde_json::from_slice(&live.server.get("/asyncapi.json").body).unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    let kinds: Vec<_> = messages
        .keys()
        .filter_map(|name| name.strip_prefix("client_"))
        .collect();
    assert!(kinds.len() > 15, "{kinds:?}");
    for kind in kinds {
        let mut bob = live.member(1);
        let data = json!({ "token": "x", "message": "m", "id": "1", "action": "unpin", "text": "t",
            "vote": 1, "state": "open", "pinned": true, "user": "ana", "call": "1", "muted": true,
            "to": "1", "candidate": null });
        let frame = json!({ "type": kind, "data": data }).to_string();
        for _ in 0..150 {
            assert!(bob.send_raw(frame.as_str().into()), "{kind}");
        }
        let flooded = bob.until("error", |error| error["message"] == "Too many frames.");
        assert!(flooded["retry_after"].as_f64() > Some(0.0), "{flooded}");
        // The socket stays, and reads on.
        let seq = ana.says(kind);
        for socket in [&mut witness, &mut bob] {
            socket.until("chat", |chat| chat["seq"] == seq && chat["message"] == kind);
        }
    }
}

#[test]
fn a_candidate_of_a_megabyte_ends_its_sender_only() {
    let live = Live::with(&["ana", "bob"], |_| {});
    let (mut ana, mut bob) = (live.member(0), live.member(1));
    let call = bob.does("voice_request", json!({}))["id"].clone();
    ana.does("voice_accept", json!({ "call": call }));
    bob.next("voice_started");
    let candidate = json!({ "candidate": "x".repeat(1 << 20) });
    let data = json!({ "call": call, "to": "host", "candidate": candidate });
    let frame = json!({ "type": "voice_signal", "data": data }).to_string();
    // The rest of it may find the socket closed.
    bob.send_raw(Message::text(frame));
    ana.until("voice_ended", |ended| ended["reason"] == "lost");
    ana.says("still here");
}

#[test]
fn a_changed_password_closes_open_sockets() {
    let live = Live::with(&["ana", "bob"], |_| {});
    let (mut bob, mut eve) = (live.member(1), live.anyone(""));
    bob.next("voice_state");
    eve.does("auth", json!({ "token": live.tokens[1] }));
    let new = ["user", "password", "bob", "--password", "another battery 8"];
    let done = run(&live.server.data_dir, &new);
    assert!(done.status.success(), "{done:?}");
    assert_eq!((bob.closed().0, eve.closed().0), (4501, 4501));
    // What another process changed is known everywhere within a second.
    until("the token to be refused", 10, || {
        let answer = live
            .anyone("")
            .ask("auth", json!({ "token": live.tokens[1] }));
        (answer["error_code"] == "auth_required").then_some(())
    });
}

/// A server in a process of its own, with a live stream of ana's.
fn process() -> (Process, Key, Vec<String>, Encoder) {
    let server = Process::start(&VARIABLES);
    let tokens: Vec<_> = ["ana", "bob"]
        .iter()
        .map(|name| rest::account(server.http, name))
        .collect();
    let stream = stream(&server, &tokens[0]);
    let encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    server.wait_status(&stream, "live", 20);
    (server, stream, tokens, encoder)
}

const VARIABLES: [(&str, &str); 5] = [
    ("CAUCE_CHAT__BURST", "1000"),
    ("CAUCE_CHAT__PER", "1ms"),
    ("CAUCE_LIMITS__HUB_FRAMES_PER_S", "1000000"),
    ("CAUCE_RTMP__IDLE_TIMEOUT", "600s"),
    ("CAUCE_LIMITS__HUB_RELOAD_GRACE", "0s"),
];

#[test]
fn a_restart_sends_everyone_away_with_a_time_and_what_was_said_stays() {
    let (mut server, stream, tokens, _encoder) = process();
    let tap = Tap::default();
    let join =
        |site: &Site, who: &str, query: &str| Socket::join(site, &stream.uid, who, query, &tap);
    let mut ana = join(&server, &tokens[0], "");
    let epoch = ana.next("chat_history")["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut bob = join(&server, &tokens[1], "");
    let pinned = bob.does("chat", json!({ "message": "pin me" }))["id"].clone();
    let seq = ana.says("second");
    ana.does("chat_moderate", json!({ "action": "pin", "id": pinned }));
    ana.does("chat_moderate", json!({ "action": "slow", "seconds": 7 }));
    let asked = bob.does("question", json!({ "text": "When?" }))["id"].clone();
    bob.does("question_vote", json!({ "id": asked, "vote": 1 }));
    let timeout = json!({ "action": "timeout", "user": "bob", "seconds": 3600 });
    ana.does("chat_moderate", timeout);
    let others: Vec<_> = (0..20).map(|_| join(&server, "", "")).collect();

    server.child.signal("TERM");
    let mut waits = BTreeSet::new();
    for mut socket in others.into_iter().chain([ana, bob]) {
        let (code, reason) = socket.closed();
        assert_eq!(code, 1012);
        let wait_s: f64 = reason.parse().unwrap();
        assert!((0.5..10.0).contains(&wait_s), "{reason}");
        waits.insert(reason);
    }
    assert!(waits.len() > 5, "spread: {waits:?}");
    assert!(server.child.ended(20).success());

    let _dir = server.keep_data();
    let mut server = Process::restart_in(&server.data_dir, &VARIABLES);
    // Nothing was lost: the sequence goes on, and whoever was here asks for what it missed.
    let mut back = join(
        &server,
        &tokens[1],
        &format!("?since={}&epoch={epoch}", seq - 1),
    );
    let missed = back.next("chat_history");
    assert_eq!(missed["epoch"], epoch);
    assert_eq!(missed["messages"].as_array().unwrap().len(), 1, "{missed}");
    let questions = back.next("questions");
    assert_eq!(
        (
            &questions["items"][0]["id"],
            &questions["items"][0]["votes"]
        ),
        (&asked, &json!(1))
    );
    assert_eq!(back.next("chat_settings")["slow_s"], 7.0);
    assert_eq!(back.next("chat_pinned")["message"]["id"], pinned);
    assert_eq!(back.next("my_votes")["ids"], json!([asked]));
    let _encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    server.wait_status(&stream, "live", 20);
    back.refused("chat", json!({ "message": "hi" }), "timed_out");

    // Killed, nobody knows what was lost: another epoch, and the whole history.
    server.child.kill();
    let mut server = Process::restart_in(&server.data_dir, &VARIABLES);
    let mut back = join(&server, &tokens[1], &format!("?since={seq}&epoch={epoch}"));
    let history = back.next("chat_history");
    assert_ne!(history["epoch"], epoch);
    assert_eq!(
        history["messages"].as_array().unwrap().len(),
        2,
        "{history}"
    );
    assert_eq!(back.next("questions")["items"][0]["id"], asked);
    assert_eq!(back.next("chat_settings")["slow_s"], 7.0);
    assert_eq!(back.next("chat_pinned")["message"]["id"], pinned);
    back.refused("question", json!({ "text": "Why?" }), "timed_out");

    // A ban outlives the process as well.
    let mut ana = join(&server, &tokens[0], "");
    ana.does("chat_moderate", json!({ "action": "ban", "user": "bob" }));
    assert_eq!(back.closed().0, 4503);
    server.child.signal("TERM");
    assert!(server.child.ended(20).success());
    let server = Process::restart_in(&server.data_dir, &VARIABLES);
    let mut back = join(&server, &tokens[1], "");
    back.refused("chat", json!({ "message": "hi" }), "banned");
    back.refused("question", json!({ "text": "Why?" }), "banned");
}

/// Bytes of memory that only this process has.
fn private_bytes(server: &Process) -> u64 {
    let path = format!("/proc/{}/status", server.child.id());
    let text = fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_thousand_joins_and_leaves_at_a_time_leave_nothing_behind() {
    let (server, stream, tokens, _encoder) = process();
    let tap = Tap::default();
    let mut witness = Socket::join(&server, &stream.uid, "", "", &tap);
    let mut ana = Socket::join(&server, &stream.uid, &tokens[0], "", &tap);
    let wave = || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        let own = Tap::default();
                        drop(Socket::join(&server, &stream.uid, "", "", &own));
                    }
                });
            }
        });
    };
    wave();
    let after_one = private_bytes(&server);
    let talking = AtomicBool::new(true);
    thread::scope(|scope| {
        let speaker = scope.spawn(|| {
            while talking.load(Relaxed) {
                let seq = ana.says("on and on");
                witness.until("chat", |chat| chat["seq"] == seq);
            }
        });
        wave();
        wave();
        talking.store(false, Relaxed);
        speaker.join().unwrap();
    });
    witness.until("users", |users| users["count"] == 2);
    let after_three = private_bytes(&server);
    let grown = after_three.saturating_sub(after_one);
    // Of 2,000 sockets more, at 8 KiB each, nothing may stay.
    assert!(grown < 8 << 20, "{after_one} {after_three}");
}

#[test]
fn one_address_one_user_and_one_room_have_so_many_sockets() {
    let live = Live::with(&["ana", "bob"], |config| {
        config.limits.hub_sockets_per_address = 4;
        config.limits.hub_sockets_per_user = 2;
        config.limits.hub_members = 3;
    });
    let mut both = [live.member(0), live.member(0)];
    // In, and not only past their handshake.
    for socket in &mut both {
        socket.next("voice_state");
    }
    assert_eq!(live.member(0).closed().0, 4504);
    let mut third = live.anyone("");
    third.next("voice_state");
    assert_eq!(live.anyone("").closed().0, 1013);
    let other = stream(&live.server, &live.tokens[1]);
    let elsewhere = || Socket::join(&live.server, &other.uid, "", "", &live.tap);
    let mut fourth = elsewhere();
    fourth.next("voice_state");
    assert_eq!(elsewhere().closed().0, 4504);
    // A login on an open socket counts too.
    third.send(&json!({ "type": "auth", "data": { "token": live.tokens[0] } }));
    assert_eq!(third.closed().0, 4504);
}
