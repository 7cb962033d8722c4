//! The stage in any order of commands, departures and waits. It does not know WebRTC.

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::config;

fn rules() -> Rules {
    Rules {
        max_speakers: 2,
        queue: 3,
        signal_bytes: 4096,
        signal_burst: 10,
    }
}

fn voice() -> Voice {
    let stun = config::Voice {
        ice_servers: vec!["stun:a.example".into()],
        ..config::Voice::default()
    };
    Voice::new(rules(), Turn::open(&stun).unwrap())
}

/// `socket` of user `socket / 10`: 10 and 11 are two tabs of one person. User 1 is the owner, 2 a
/// moderator.
fn member(socket: u64) -> Member {
    let id = (socket / 10).cast_signed();
    Member {
        id: MemberId(socket),
        user: Some(user(id)),
        role: match id {
            1 => Role::Owner,
            2 => Role::Moderator,
            _ => Role::Viewer,
        },
    }
}

fn user(id: i64) -> User {
    User {
        id,
        name: format!("user{id}").into(),
    }
}

fn at(ms: u64) -> Now {
    Now {
        wall_ms: ms.cast_signed(),
        mono: Duration::from_millis(ms),
    }
}

fn find(name: &str) -> Option<User> {
    let id = name.strip_prefix("user")?.parse().ok()?;
    (id < 10).then(|| user(id))
}

fn try_do(voice: &mut Voice, ms: u64, socket: u64, command: Command) -> Done {
    let room = Room {
        is_live: true,
        find: &find,
    };
    voice.apply(at(ms), &room, &member(socket), command)
}

/// Does it and gives what sockets other than through `voice_state` and `voice_queue` get.
fn ok(voice: &mut Voice, ms: u64, socket: u64, command: Command) -> Vec<(To, Value)> {
    told(&try_do(voice, ms, socket, command).unwrap().0)
}

fn refused(voice: &mut Voice, ms: u64, socket: u64, command: Command) -> ErrorCode {
    try_do(voice, ms, socket, command).unwrap_err().code
}

fn told(effects: &Effects) -> Vec<(To, Value)> {
    let frames = effects
        .events
        .iter()
        .map(|(to, frame)| (to.clone(), json(frame)));
    frames
        .filter(|(_, frame)| frame["type"] != "voice_state" && frame["type"] != "voice_queue")
        .collect()
}

fn json(frame: &Frame) -> Value {
    serde_json::from_str(frame).unwrap()
}

fn invite(name: &str) -> Command {
    Command::Invite(name.into())
}
fn accept(call: &str) -> Command {
    Command::Accept(call.into())
}
fn hang_up(call: &str) -> Command {
    Command::HangUp(call.into())
}
fn mute(call: &str, muted: bool) -> Command {
    Command::Mute {
        call: call.into(),
        muted,
    }
}
fn signal(call: &str, to: &str, sdp: &str) -> Command {
    let data = json!({"call": call, "to": to, "description": {"type": "offer", "sdp": sdp}});
    let data: Box<RawValue> = serde_json::from_value(data).unwrap();
    Command::parse("voice_signal", Some(&data))
        .unwrap()
        .unwrap()
}

fn socket(id: u64) -> To {
    To::Member(MemberId(id))
}

fn started(call: &str, peers: Value, polite: bool) -> Value {
    json!({"type": "voice_started", "data": {
        "call": call, "peers": peers, "polite": polite,
        "ice_servers": [{"urls": ["stun:a.example"]}], "ttl": 21600,
    }})
}

fn ended(call: &str, reason: &str) -> Value {
    json!({"type": "voice_ended", "data": {"call": call, "reason": reason}})
}

/// The owner at socket 10, and user 3 on stage at socket 30 by call "1".
fn with_one_speaker() -> Voice {
    let mut voice = voice();
    voice.arrived(at(0), &member(10));
    ok(&mut voice, 0, 30, Command::Request);
    ok(&mut voice, 0, 10, accept("1"));
    voice
}

#[test]
fn a_raised_hand_is_let_in() {
    let mut voice = voice();
    voice.arrived(at(0), &member(10));
    let (effects, ack) = try_do(&mut voice, 7000, 30, Command::Request).unwrap();
    assert_eq!(ack, Ack::id("1"));
    let frames: Vec<_> = effects
        .events
        .iter()
        .map(|(to, f)| (to.clone(), json(f)))
        .collect();
    assert_eq!(
        frames,
        [
            (
                To::Staff,
                json!({"type": "voice_queue", "data": {"items": [
                {"call": "1", "user": "user3", "requested_at": "1970-01-01T00:00:07.000Z"}]}})
            ),
            (
                To::Everyone,
                json!({"type": "voice_state", "data": {
                "queue_len": 1, "speakers": []}})
            ),
        ]
    );
    // Raising it again changes nothing.
    assert_eq!(
        try_do(&mut voice, 7000, 31, Command::Request).unwrap().1,
        Ack::id("1")
    );
    assert_eq!(
        refused(&mut voice, 7000, 30, accept("1")),
        ErrorCode::Forbidden
    );
    assert_eq!(
        ok(&mut voice, 8000, 10, accept("1")),
        [
            (
                socket(30),
                started("1", json!([{"id": "host", "user": "user1"}]), true)
            ),
            (
                socket(10),
                started("1", json!([{"id": "1", "user": "user3"}]), false)
            ),
        ]
    );
    let state = json(&voice.greet(&member(40))[0]);
    let speakers = json!([{"call": "1", "user": "user3", "muted": false}]);
    assert_eq!(state["data"], json!({"queue_len": 0, "speakers": speakers}));
    assert_eq!(voice.greet(&member(40)).len(), 1);
    assert_eq!(voice.greet(&member(20)).len(), 2);
}

#[test]
fn an_invitation_goes_to_every_tab_and_one_accepts() {
    let mut voice = voice();
    voice.arrived(at(0), &member(10));
    let frame = json!({"type": "voice_invited", "data": {"call": "1", "by": "user2"}});
    let sent = ok(&mut voice, 0, 20, invite("user3"));
    assert_eq!(sent, [(To::User("user3".into()), frame.clone())]);
    // A tab that comes later learns of it.
    let late = told(&voice.arrived(at(1), &member(31)));
    assert_eq!(late, [(socket(31), frame)]);
    assert_eq!(
        refused(&mut voice, 2, 40, accept("1")),
        ErrorCode::Forbidden
    );
    let sent = ok(&mut voice, 2, 31, accept("1"));
    assert_eq!(sent[0].0, socket(31));
    // The owner is the host though a moderator invited.
    assert_eq!(sent[1].0, socket(10));
    for code in [
        (invite("user99"), ErrorCode::NotFound),
        (invite("user1"), ErrorCode::BadMessage),
    ] {
        assert_eq!(refused(&mut voice, 3, 20, code.0), code.1);
    }
    assert_eq!(
        refused(&mut voice, 3, 30, invite("user4")),
        ErrorCode::Forbidden
    );
}

#[test]
fn invitations_are_denied_and_expire() {
    let mut voice = voice();
    ok(&mut voice, 0, 10, invite("user3"));
    let denied = ok(&mut voice, 1, 30, Command::Deny("1".into()));
    assert!(denied.contains(&(To::Staff, ended("1", "denied"))));
    ok(&mut voice, 1000, 10, invite("user3"));
    assert!(told(&voice.tick(at(60_999))).is_empty());
    assert_eq!(voice.due(), Some(Duration::from_secs(61)));
    let expired = told(&voice.tick(at(61_000)));
    assert!(expired.contains(&(To::User("user3".into()), ended("2", "expired"))));
    assert_eq!(
        refused(&mut voice, 61_000, 30, accept("2")),
        ErrorCode::NotFound
    );
}

#[test]
fn speakers_are_connected_each_with_each() {
    let mut voice = with_one_speaker();
    ok(&mut voice, 1, 40, Command::Request);
    assert_eq!(
        ok(&mut voice, 1, 10, accept("2")),
        [
            (
                socket(40),
                started(
                    "2",
                    json!([{"id": "host", "user": "user1"}, {"id": "1", "user": "user3"}]),
                    true
                )
            ),
            (
                socket(10),
                started("2", json!([{"id": "2", "user": "user4"}]), false)
            ),
            (
                socket(30),
                started("2", json!([{"id": "2", "user": "user4"}]), false)
            ),
        ]
    );
    // The stage is full.
    ok(&mut voice, 1, 50, Command::Request);
    assert_eq!(
        refused(&mut voice, 1, 10, accept("3")),
        ErrorCode::QueueFull
    );
    assert_eq!(
        refused(&mut voice, 1, 10, invite("user6")),
        ErrorCode::QueueFull
    );
    // Between two speakers either call is good; the later one's is passed on.
    for call in ["1", "2"] {
        let sent = ok(&mut voice, 2, 30, signal(call, "2", "v=0"));
        let data = json!({"call": "2", "from": "1",
                          "description": {"type": "offer", "sdp": "v=0"}});
        assert_eq!(
            sent,
            [(socket(40), json!({"type": "voice_signal", "data": data}))]
        );
    }
    let sent = ok(&mut voice, 3, 40, hang_up("2"));
    assert_eq!(
        sent,
        [
            (socket(10), ended("2", "hangup")),
            (socket(30), ended("2", "hangup")),
            (To::User("user4".into()), ended("2", "hangup")),
        ]
    );
    assert_eq!(
        refused(&mut voice, 3, 30, signal("2", "2", "")),
        ErrorCode::NotFound
    );
}

#[test]
fn signals_go_between_the_two_ends_and_nowhere_else() {
    let mut voice = with_one_speaker();
    assert_eq!(
        ok(&mut voice, 1, 30, signal("1", "host", "v=0"))[0].0,
        socket(10)
    );
    assert_eq!(
        ok(&mut voice, 1, 10, signal("1", "1", "v=0"))[0].0,
        socket(30)
    );
    for (from, call, to) in [
        // A stranger, another tab, oneself, nobody, another call.
        (40, "1", "host"),
        (31, "1", "host"),
        (30, "1", "1"),
        (30, "1", "7"),
        (30, "7", "host"),
        (30, "host", "host"),
    ] {
        let code = refused(&mut voice, 1, from, signal(call, to, ""));
        assert_eq!(code, ErrorCode::NotFound, "{from} {call} {to}");
    }
    let long = "x".repeat(4096);
    assert_eq!(
        refused(&mut voice, 1, 10, signal("1", "1", &long)),
        ErrorCode::TooLong
    );
}

#[test]
fn signals_have_a_pace() {
    let mut voice = with_one_speaker();
    for _ in 0..10 {
        ok(&mut voice, 1, 30, signal("1", "host", ""));
    }
    let refusal = try_do(&mut voice, 1, 30, signal("1", "host", "")).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.retry_after_s),
        (ErrorCode::RateLimited, Some(0.05))
    );
    ok(&mut voice, 1, 10, signal("1", "1", ""));
    ok(&mut voice, 51, 30, signal("1", "host", ""));
}

#[test]
fn commands_have_a_pace_and_the_queue_an_end() {
    let mut voice = voice();
    for socket in [30, 40, 50] {
        ok(&mut voice, 0, socket, Command::Request);
    }
    assert_eq!(
        refused(&mut voice, 0, 60, Command::Request),
        ErrorCode::QueueFull
    );
    for _ in 1..COMMANDS_BURST {
        ok(&mut voice, 0, 30, Command::Request);
    }
    assert_eq!(
        refused(&mut voice, 0, 30, Command::Cancel),
        ErrorCode::RateLimited
    );
    ok(&mut voice, 500, 30, Command::Cancel);
    ok(&mut voice, 500, 60, Command::Request);
}

#[test]
fn the_state_is_told_once_in_a_time() {
    let mut voice = voice();
    assert_eq!(
        try_do(&mut voice, 0, 30, Command::Request)
            .unwrap()
            .0
            .events
            .len(),
        2
    );
    assert_eq!(
        try_do(&mut voice, 1, 40, Command::Request)
            .unwrap()
            .0
            .events
            .len(),
        0
    );
    assert_eq!(voice.due(), Some(TOLD_EVERY));
    let effects = voice.tick(at(250));
    assert_eq!(json(&effects.events[1].1)["data"]["queue_len"], 2);
    assert_eq!(voice.due(), None);
}

#[test]
fn the_host_mutes_and_only_asks_to_unmute() {
    let mut voice = with_one_speaker();
    let muted =
        |voice: &Voice| json(&voice.greet(&member(40))[0])["data"]["speakers"][0]["muted"].clone();
    let frame = |muted| {
        json!({"type": "voice_mute",
                               "data": {"call": "1", "muted": muted, "by": "user1"}})
    };
    assert_eq!(
        ok(&mut voice, 1, 10, mute("1", true)),
        [(socket(30), frame(true))]
    );
    assert_eq!(muted(&voice), true);
    assert_eq!(
        ok(&mut voice, 1, 10, mute("1", false)),
        [(socket(30), frame(false))]
    );
    assert_eq!(muted(&voice), true);
    assert!(ok(&mut voice, 1, 30, mute("1", false)).is_empty());
    assert_eq!(muted(&voice), false);
    assert_eq!(
        refused(&mut voice, 1, 40, mute("1", true)),
        ErrorCode::Forbidden
    );
}

#[test]
fn a_lost_speaker_may_come_back_and_is_given_up() {
    let mut voice = with_one_speaker();
    voice.left(at(1000), MemberId(30));
    assert_eq!(
        refused(&mut voice, 1000, 10, signal("1", "1", "")),
        ErrorCode::NotFound
    );
    assert!(told(&voice.tick(at(5999))).is_empty());
    let back = told(&voice.arrived(at(5999), &member(32)));
    let to: Vec<_> = back.iter().map(|(to, _)| to.clone()).collect();
    assert_eq!(to, [socket(32), socket(10)]);
    voice.tick(at(6999));
    voice.left(at(7000), MemberId(32));
    assert_eq!(voice.due(), Some(Duration::from_secs(12)));
    let gone = told(&voice.tick(at(12_000)));
    assert!(gone.contains(&(socket(10), ended("1", "lost"))), "{gone:?}");
    assert_eq!(voice.due(), None);
}

#[test]
fn a_lost_host_may_come_back_and_ends_every_call() {
    let mut voice = with_one_speaker();
    voice.left(at(0), MemberId(10));
    let back = told(&voice.arrived(at(100), &member(11)));
    assert_eq!(
        back,
        [
            (
                socket(30),
                started("1", json!([{"id": "host", "user": "user1"}]), true)
            ),
            (
                socket(11),
                started("1", json!([{"id": "1", "user": "user3"}]), false)
            ),
        ]
    );
    voice.left(at(200), MemberId(11));
    let gone = told(&voice.tick(at(5200)));
    assert_eq!(gone, [(To::User("user3".into()), ended("1", "lost"))]);
}

#[test]
fn the_owner_takes_the_hosts_end_to_another_page() {
    let mut voice = with_one_speaker();
    voice.arrived(at(1), &member(11));
    let moved = ok(&mut voice, 1, 11, accept("1"));
    let to: Vec<_> = moved.iter().map(|(to, _)| to.clone()).collect();
    assert_eq!(to, [socket(30), socket(11)]);
    assert_eq!(
        ok(&mut voice, 1, 30, signal("1", "host", ""))[0].0,
        socket(11)
    );
    assert_eq!(
        refused(&mut voice, 1, 10, signal("1", "1", "")),
        ErrorCode::NotFound
    );
}

#[test]
fn what_ends_from_outside() {
    let mut voice = with_one_speaker();
    let expelled = told(&voice.expel(at(1), 3));
    assert!(expelled.contains(&(To::User("user3".into()), ended("1", "removed"))));
    ok(&mut voice, 1, 40, Command::Request);
    let finished = told(&voice.finish(at(2)));
    assert_eq!(
        finished,
        [(To::User("user4".into()), ended("2", "stream_ended"))]
    );
    let over = Room {
        is_live: false,
        find: &find,
    };
    let nobody = Member {
        user: None,
        ..member(50)
    };
    let code = |voice: &mut Voice, member: &Member| {
        let refusal = voice.apply(at(3), &over, member, Command::Request);
        refusal.unwrap_err().code
    };
    assert_eq!(code(&mut voice, &member(50)), ErrorCode::NotLive);
    assert_eq!(code(&mut voice, &nobody), ErrorCode::AuthRequired);
}

#[derive(Clone, Debug)]
enum Step {
    Do(u64, Command),
    Arrive(u64),
    Leave(u64),
    Expel(i64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let socket = (1_u64..7, 0_u64..2).prop_map(|(user, tab)| user * 10 + tab);
    let call = (1_u64..12).prop_map(|id| id.to_string());
    let peer = prop_oneof![Just(HOST.to_owned()), call.clone()];
    let command = prop_oneof![
        4 => Just(Command::Request),
        1 => Just(Command::Cancel),
        2 => (1_i64..7).prop_map(|id| invite(&format!("user{id}"))),
        6 => call.clone().prop_map(Command::Accept),
        1 => call.clone().prop_map(Command::Deny),
        1 => call.clone().prop_map(Command::HangUp),
        1 => (call.clone(), any::<bool>()).prop_map(|(call, muted)| mute(&call, muted)),
        6 => (call, peer).prop_map(|(call, to)| signal(&call, &to, "")),
    ];
    let step = prop_oneof![
        10 => (socket.clone(), command).prop_map(|(who, command)| Step::Do(who, command)),
        2 => socket.clone().prop_map(Step::Arrive),
        2 => socket.prop_map(Step::Leave),
        1 => (1_i64..7).prop_map(Step::Expel),
        1 => (0_u64..8000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #[test]
    fn any_order_of_commands_keeps_the_rules(steps in steps()) {
        let mut voice = voice();
        let mut now = 0;
        for step in steps {
            let before = voice.calls.clone();
            let effects = match step {
                Step::Do(who, command) => {
                    let is_signal = matches!(command, Command::Signal { .. });
                    let done = try_do(&mut voice, now, who, command);
                    let effects = done.unwrap_or_default().0;
                    if is_signal {
                        // At most one socket, on stage, and not the sender's.
                        prop_assert!(effects.events.len() <= 1);
                        for (to, _) in &effects.events {
                            let To::Member(id) = to else { unreachable!("{to:?}") };
                            prop_assert!(id.0 != who);
                            for end in [*id, MemberId(who)] {
                                prop_assert!(voice.ends().any(|(_, s)| s == Seat::Taken(end)));
                            }
                        }
                    }
                    effects
                }
                Step::Arrive(socket) => voice.arrived(at(now), &member(socket)),
                Step::Leave(socket) => {
                    voice.left(at(now), MemberId(socket));
                    Effects::none()
                }
                Step::Expel(user) => voice.expel(at(now), user),
                Step::Wait(ms) => {
                    now += ms;
                    voice.tick(at(now))
                }
            };
            prop_assert!(voice.speaking() <= 2);
            prop_assert!(voice.calls.len() - voice.speaking() <= 3);
            prop_assert!(voice.speaking() > 0 || voice.host.is_none());
            let mut users: Vec<_> = voice.calls.values().map(|call| call.user.id).collect();
            users.sort_unstable();
            users.dedup();
            prop_assert_eq!(users.len(), voice.calls.len(), "one call a user");
            for (id, call) in &before {
                // A call that is over is told to its user; one that is on stage stays there.
                let over = !voice.calls.contains_key(id);
                let told = effects.events.iter().any(|(to, frame)| {
                    *to == To::User(call.user.name.clone()) && json(frame)["type"] == "voice_ended"
                });
                prop_assert_eq!(over, told);
                let stays = voice.calls.get(id).is_none_or(|now| now.is_speaking());
                prop_assert!(!call.is_speaking() || stays);
            }
            // Of a pair that connects one is polite.
            let polite: Vec<_> = told(&effects).into_iter()
                .filter(|(_, frame)| frame["type"] == "voice_started")
                .map(|(_, frame)| {
                    let peers = frame["data"]["peers"].as_array().unwrap().len();
                    (frame["data"]["polite"] == true, peers)
                })
                .collect();
            let sum = |polite_wanted| -> usize {
                polite.iter().filter(|(p, _)| *p == polite_wanted).map(|(_, peers)| peers).sum()
            };
            prop_assert_eq!(sum(true), sum(false));
        }
    }
}
