//! A room's members, roles and logins, with virtual time.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::hub::{command::Inbound, member::User, wire::Envelope};
use crate::name::StreamUid;

fn at(ms: u64) -> Now {
    Now {
        wall_ms: 0,
        mono: Duration::from_millis(ms),
    }
}

fn status(word: &'static str) -> Status {
    Status {
        uid: StreamUid::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
        status: word,
        is_paused: false,
        reason: None,
        started_at: None,
        ended_at: None,
        playable: word == "live",
        pictured: false,
    }
}

fn room(edit: impl FnOnce(&mut Config)) -> Room {
    let mut config = Config::default();
    edit(&mut config);
    let row = RoomRow {
        channel_id: Some(1),
        owner_id: Some(1),
        epoch: "e".into(),
        moderators: vec![2],
        ..RoomRow::default()
    };
    Room::new(&Rules::of(&config), &row, status("live"), at(0))
}

fn login(id: i64, expires_ms: u64) -> Login {
    Login {
        user: User {
            id,
            name: format!("user{id}").into(),
        },
        generation: 0,
        expires: Duration::from_millis(expires_ms),
    }
}

fn join(room: &mut Room, id: u64, login: Option<Login>) -> Vec<Value> {
    let address = IpAddr::from([192, 0, 2, 1]);
    let from = (address, "http://a".into());
    let effects = room.join(at(0), MemberId(id), from, login, None).unwrap();
    parsed(&effects)
}

fn parsed(effects: &Effects) -> Vec<Value> {
    let events = effects.events.iter();
    events
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect()
}

fn list(room: &mut Room, now: Now, id: u64) -> Result<Vec<Value>, ErrorCode> {
    let command = Command::UsersList { cursor: None };
    let done = room.apply(now, MemberId(id), false, command);
    done.map(|(effects, _)| parsed(&effects))
        .map_err(|refusal| refusal.code)
}

#[test]
fn a_newcomer_is_told_all_in_order() {
    let mut room = room(|_| {});
    let told = join(&mut room, 1, Some(login(1, 1000)));
    let kinds: Vec<_> = told
        .iter()
        .map(|frame| frame["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..4], ["auth", "status", "users", "chat_history"]);
    let auth = json!({ "authenticated": true, "username": "user1", "role": "owner" });
    assert_eq!(told[0]["data"], auth);
    let video = json!({
        "index": "http://a/live/AAAAAAAAAAAAAAAAAAAAAA/index.m3u8",
        "source": "http://a/live/AAAAAAAAAAAAAAAAAAAAAA/source/index.m3u8",
    });
    assert_eq!(told[1]["data"]["video"], video);
    assert_eq!(told[2]["data"]["count"], 1);
    let told = join(&mut room, 2, None);
    assert_eq!(told[0]["data"], json!({ "authenticated": false }));
}

#[test]
fn an_expired_login_reads_on_and_writes_no_more() {
    let mut room = room(|_| {});
    join(&mut room, 1, Some(login(2, 1000)));
    assert!(list(&mut room, at(999), 1).is_ok());
    assert_eq!(list(&mut room, at(1000), 1), Err(ErrorCode::TokenExpired));
    let told = parsed(&room.tick(at(1000)));
    let auth = json!({ "authenticated": false, "reason": "token_expired" });
    assert_eq!(told.last().unwrap()["data"], auth);
    assert_eq!(list(&mut room, at(1001), 1), Err(ErrorCode::AuthRequired));
    let told = parsed(&room.login(at(1002), MemberId(1), login(2, 9000)));
    assert_eq!(told[0]["data"]["role"], "moderator");
    assert!(list(&mut room, at(1003), 1).is_ok());
}

#[test]
fn roles_follow_the_list_of_moderators() {
    let mut room = room(|_| {});
    join(&mut room, 1, Some(login(3, 9000)));
    assert_eq!(list(&mut room, at(0), 1), Err(ErrorCode::Forbidden));
    let told = parsed(&room.set_moderators([3].into()));
    assert_eq!(told[0]["data"]["role"], "moderator");
    assert!(list(&mut room, at(0), 1).is_ok());
    assert!(room.set_moderators([3].into()).events.is_empty());
}

#[test]
fn a_ban_ends_the_call() {
    let mut room = room(|_| {});
    join(&mut room, 1, Some(login(1, 9000)));
    join(&mut room, 3, Some(login(3, 9000)));
    let mut act = |id, command| {
        let (effects, _) = room.apply(at(1), MemberId(id), false, command).unwrap();
        parsed(&effects)
    };
    act(3, Command::Voice(voice::Command::Request));
    let ban = chat::Moderation::Ban {
        user: chat::Target {
            name: "user3".into(),
            user: Some((3, "user3".into())),
        },
        reason: None,
    };
    let told = act(1, Command::Chat(chat::Command::Moderate(ban)));
    let ended = told.iter().find(|frame| frame["type"] == "voice_ended");
    assert_eq!(ended.unwrap()["data"]["reason"], "removed");
}

#[test]
fn lost_accounts_are_closed_with_their_code() {
    let mut room = room(|_| {});
    for id in 1..4 {
        join(&mut room, id as u64, Some(login(id, 9000)));
    }
    let effects = room.recheck(|user, _| match user {
        1 => Some(Lost::Banned),
        2 => Some(Lost::Revoked),
        _ => None,
    });
    let mut closes: Vec<_> = effects
        .closes
        .iter()
        .map(|(_, close)| *close as u16)
        .collect();
    closes.sort_unstable();
    assert_eq!(closes, [4501, 4503]);
}

#[test]
fn the_end_is_told_and_closes_after_the_linger() {
    let mut room = room(|config| config.hub.linger = Duration::from_secs(30));
    join(&mut room, 1, None);
    let told = parsed(&room.set_status(at(1000), status("finished")));
    assert_eq!(told[0]["data"]["status"], "finished");
    assert!(
        room.set_status(at(1000), status("finished"))
            .events
            .is_empty()
    );
    assert!(room.tick(at(30_999)).closes.is_empty());
    let closes = room.tick(at(31_000)).closes;
    assert_eq!(closes, [(To::Everyone, Close::Ended)]);
}

#[test]
fn a_full_room_takes_nobody() {
    let mut room = room(|config| config.limits.hub_members = 1);
    join(&mut room, 1, None);
    let from = (IpAddr::from([192, 0, 2, 2]), "http://a".into());
    let refused = room.join(at(0), MemberId(2), from, None, None);
    assert_eq!(refused.unwrap_err(), Close::Overloaded);
    room.leave(at(0), MemberId(1));
    room.tick(at(9000));
    assert!(room.is_empty());
}

#[test]
fn a_newcomer_is_first_told_what_the_contract_names() {
    let mut room = room(|_| {});
    join(&mut room, 1, Some(login(1, 9000)));
    for action in [
        json!({ "action": "slow", "seconds": 5 }),
        json!({ "action": "subscribers_only", "enabled": true }),
    ] {
        let frame = json!({ "type": "chat_moderate", "data": action }).to_string();
        let frame = Envelope::parse(&frame).unwrap();
        let Ok(Inbound::Room(command)) = Inbound::parse(&frame) else {
            panic!("no command: {frame:?}");
        };
        room.apply(at(0), MemberId(1), false, command).unwrap();
    }
    let told = join(&mut room, 2, Some(login(2, 9000)));
    let kinds: Vec<_> = told.iter().map(|frame| &frame["type"]).collect();
    let named = [
        "auth",
        "status",
        "users",
        "chat_history",
        "questions",
        "voice_state",
        "voice_queue",
    ];
    assert_eq!(kinds[..7], named);
    assert_eq!(kinds[7..], ["chat_settings", "my_votes"]);
}
