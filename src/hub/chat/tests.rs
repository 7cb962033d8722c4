//! The chat's rules, with virtual time.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::hub::member::MemberId;

const OWNER: i64 = 1;
const MODERATOR: i64 = 2;

fn at(ms: u64) -> Now {
    Now {
        wall_ms: 1_000_000 + ms as i64,
        mono: Duration::from_millis(ms),
    }
}

fn chat_with(edit: impl FnOnce(&mut Config)) -> Chat {
    let mut config = Config::default();
    edit(&mut config);
    let row = RoomRow {
        stream_id: 1,
        channel_id: Some(1),
        owner_id: Some(OWNER),
        epoch: "e".into(),
        moderators: vec![MODERATOR],
        ..RoomRow::default()
    };
    Chat::new(Rules::of(&config), &row)
}

fn chat() -> Chat {
    chat_with(|config| config.chat.burst = 1000)
}

fn member(chat: &Chat, id: i64) -> Member {
    Member {
        id: MemberId(id as u64),
        user: (id != 0).then(|| User {
            id,
            name: format!("user{id}").into(),
        }),
        role: chat.role(id),
    }
}

fn command(kind: &str, data: &Value) -> Result<Command, Refusal> {
    let raw = RawValue::from_string(data.to_string()).unwrap();
    let mut command = parse(kind, Some(&raw)).unwrap()?;
    if let Some(target) = command.target()
        && let Some(id) = target.name.strip_prefix("user")
    {
        target.user = id.parse().ok().map(|id| (id, target.name.clone()));
    }
    Ok(command)
}

/// What user `id` does at `ms`, in a live stream.
fn act(chat: &mut Chat, ms: u64, id: i64, kind: &str, data: Value) -> Done {
    let member = member(chat, id);
    chat.apply(at(ms), true, false, &member, command(kind, &data)?)
}

fn say(chat: &mut Chat, ms: u64, id: i64, text: &str) -> Done {
    act(chat, ms, id, "chat", json!({ "message": text }))
}

fn code(done: Done) -> ErrorCode {
    done.unwrap_err().code
}

fn frames(effects: &Effects) -> Vec<Value> {
    let events = effects.events.iter();
    events
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect()
}

fn greeting(chat: &Chat, known: Option<Known>) -> Vec<Value> {
    let frames = chat.greet(known.as_ref());
    let parsed = frames
        .iter()
        .map(|frame| serde_json::from_str(frame).unwrap());
    parsed.collect()
}

#[test]
fn a_message_has_the_contracts_shape_and_a_place_in_the_order() {
    let mut chat = chat();
    let (effects, ack) = say(&mut chat, 0, 5, " hola ").unwrap();
    let sent = &frames(&effects)[0];
    let expected = json!({
        "type": "chat",
        "data": { "id": "e-1", "seq": 1, "user": "user5", "message": "hola", "role": "viewer",
            "reply_to": null, "created_at": "1970-01-01T00:16:40.000Z" },
    });
    assert_eq!(*sent, expected);
    assert_eq!((ack.id.as_deref(), ack.seq), (Some("e-1"), Some(1)));
    let reply = json!({ "message": "re", "reply_to": "e-1" });
    let (effects, _) = act(&mut chat, 0, OWNER, "chat", reply).unwrap();
    let sent = &frames(&effects)[0]["data"];
    assert_eq!(
        (&sent["reply_to"], &sent["role"]),
        (&json!("e-1"), &json!("owner"))
    );
    let nothing = json!({ "message": "re", "reply_to": "e-9" });
    assert_eq!(
        code(act(&mut chat, 0, 5, "chat", nothing)),
        ErrorCode::NotFound
    );
}

#[test]
fn what_may_not_be_said_has_its_code() {
    let mut chat = chat_with(|config| {
        config.chat.max_chars = 5;
        config.chat.blocked_words = vec!["bad".into()];
    });
    for (text, expected) in [
        ("123456", ErrorCode::TooLong),
        ("ﷺ", ErrorCode::TooLong),
        ("BAD", ErrorCode::BlockedWord),
        ("  ", ErrorCode::BadMessage),
    ] {
        assert_eq!(code(say(&mut chat, 0, 5, text)), expected, "{text}");
    }
    assert_eq!(code(say(&mut chat, 0, 0, "hi")), ErrorCode::AuthRequired);
    let viewer = member(&chat, 5);
    let hi = command("chat", &json!({ "message": "hi" })).unwrap();
    let done = chat.apply(at(0), false, false, &viewer, hi);
    assert_eq!(code(done), ErrorCode::NotLive);
    for data in [json!({}), json!({ "message": 1 }), json!([]), json!(null)] {
        let refused = command("chat", &data).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadMessage, "{data}");
    }
}

#[test]
fn three_messages_in_two_seconds_and_no_more() {
    let mut chat = chat_with(|_| {});
    for ms in [0, 100, 200] {
        say(&mut chat, ms, 5, "a").unwrap();
    }
    let refused = say(&mut chat, 500, 5, "a").unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert_eq!(refused.retry_after_s, Some(1.5));
    say(&mut chat, 500, 6, "a").unwrap();
    say(&mut chat, 2000, 5, "a").unwrap();
}

#[test]
fn authors_and_staff_edit_and_delete() {
    let mut chat = chat();
    say(&mut chat, 0, 5, "one").unwrap();
    let edit = |text: &str| json!({ "id": "e-1", "message": text });
    assert_eq!(
        code(act(&mut chat, 1, 6, "chat_edit", edit("x"))),
        ErrorCode::Forbidden
    );
    let (effects, _) = act(&mut chat, 1, 5, "chat_edit", edit("two")).unwrap();
    assert_eq!(effects.persist.len(), 1, "one's own is no moderation");
    assert_eq!(frames(&effects)[0]["data"]["message"], "two");
    let id = json!({ "id": "e-1" });
    assert_eq!(
        code(act(&mut chat, 2, 6, "chat_delete", id.clone())),
        ErrorCode::Forbidden
    );
    let (effects, _) = act(&mut chat, 2, MODERATOR, "chat_delete", id.clone()).unwrap();
    assert_eq!(
        frames(&effects)[0],
        json!({ "type": "chat_deleted", "data": { "id": "e-1" } })
    );
    assert!(
        matches!(&effects.persist[1], Persist::Chat(ChatWrite::Audit(audit)) if audit.action == "delete")
    );
    assert_eq!(
        code(act(&mut chat, 3, 5, "chat_delete", id)),
        ErrorCode::NotFound
    );
    let past = &greeting(&chat, None)[0]["data"]["messages"][0];
    assert_eq!(
        (&past["deleted"], &past["message"]),
        (&json!(true), &json!(""))
    );
}

#[test]
fn moderation_is_for_owner_and_moderators_and_spares_them() {
    let mut chat = chat();
    let timeout =
        |user: &str| json!({ "action": "timeout", "user": user, "seconds": 10, "reason": "r" });
    let moderate = "chat_moderate";
    assert_eq!(
        code(act(&mut chat, 0, 5, moderate, timeout("user6"))),
        ErrorCode::Forbidden
    );
    for protected in ["user1", "user2"] {
        let refused = code(act(&mut chat, 0, MODERATOR, moderate, timeout(protected)));
        assert_eq!(refused, ErrorCode::Forbidden, "{protected}");
    }
    act(&mut chat, 0, OWNER, moderate, timeout("user2")).unwrap();
    assert_eq!(
        code(act(&mut chat, 0, OWNER, moderate, timeout("nobody"))),
        ErrorCode::NotFound
    );
    let (effects, _) = act(&mut chat, 0, MODERATOR, moderate, timeout("user5")).unwrap();
    assert!(effects.closes.is_empty());
    let refused = say(&mut chat, 4000, 5, "a").unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after_s),
        (ErrorCode::TimedOut, Some(6.0))
    );
    say(&mut chat, 10_000, 5, "a").unwrap();
    let ban = json!({ "action": "ban", "user": "user5" });
    let (effects, _) = act(&mut chat, 11_000, MODERATOR, moderate, ban).unwrap();
    assert_eq!(
        effects.closes,
        [(To::User("user5".into()), crate::hub::wire::Close::Banned)]
    );
    assert_eq!(code(say(&mut chat, 99_000, 5, "a")), ErrorCode::Banned);
    act(
        &mut chat,
        99_000,
        OWNER,
        moderate,
        json!({ "action": "unban", "user": "user5" }),
    )
    .unwrap();
    say(&mut chat, 99_000, 5, "a").unwrap();
    for bad in [
        json!({ "action": "dance" }),
        json!({ "action": "timeout", "user": "user5" }),
        json!({ "action": "timeout", "user": "user5", "seconds": -1 }),
        json!({ "action": "slow", "seconds": 1e300 }),
        json!({}),
    ] {
        let refused = code(act(&mut chat, 99_000, OWNER, moderate, bad.clone()));
        assert_eq!(refused, ErrorCode::BadMessage, "{bad}");
    }
}

#[test]
fn slow_mode_and_subscribers_only() {
    let mut chat = chat();
    let moderate = "chat_moderate";
    let (effects, _) = act(
        &mut chat,
        0,
        OWNER,
        moderate,
        json!({ "action": "slow", "seconds": 5 }),
    )
    .unwrap();
    let settings = json!({ "slow_s": 5.0, "subscribers_only": false });
    assert_eq!(frames(&effects)[0]["data"], settings);
    say(&mut chat, 0, 5, "a").unwrap();
    let refused = say(&mut chat, 1000, 5, "a").unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after_s),
        (ErrorCode::SlowMode, Some(4.0))
    );
    for ms in [0, 1] {
        say(&mut chat, ms, MODERATOR, "a").unwrap();
    }
    chat.tick(at(5000));
    say(&mut chat, 5000, 5, "a").unwrap();
    act(
        &mut chat,
        5000,
        OWNER,
        moderate,
        json!({ "action": "subscribers_only", "enabled": true }),
    )
    .unwrap();
    assert_eq!(code(say(&mut chat, 20_000, 5, "a")), ErrorCode::Forbidden);
    let subscriber = member(&chat, 5);
    assert!(chat.asks_subscription(&subscriber));
    let hi = command("chat", &json!({ "message": "hi" })).unwrap();
    chat.apply(at(20_000), true, true, &subscriber, hi).unwrap();
    assert_eq!(greeting(&chat, None)[1]["type"], "chat_settings");
}

#[test]
fn a_pinned_message_stays_until_it_is_unpinned_or_deleted() {
    let mut chat = chat_with(|config| {
        config.chat.burst = 1000;
        config.hub.history = 2;
    });
    for n in 0..3 {
        say(&mut chat, n, 5, "a").unwrap();
        if n == 0 {
            let pin = json!({ "action": "pin", "id": "e-1" });
            act(&mut chat, n, OWNER, "chat_moderate", pin).unwrap();
        }
    }
    let greeted = greeting(&chat, None);
    assert_eq!(greeted[0]["data"]["messages"].as_array().unwrap().len(), 2);
    assert_eq!(
        greeted[1]["data"]["message"]["id"], "e-1",
        "beyond the history"
    );
    let (effects, _) = act(&mut chat, 9, OWNER, "chat_delete", json!({ "id": "e-1" })).unwrap();
    assert_eq!(frames(&effects)[1]["data"], json!({ "message": null }));
}

#[test]
fn who_comes_back_gets_what_it_missed_and_nothing_twice() {
    let mut chat = chat_with(|config| {
        config.chat.burst = 1000;
        config.hub.history = 10;
    });
    for n in 0..15 {
        say(&mut chat, n, 5, "a").unwrap();
    }
    act(&mut chat, 20, 5, "chat_delete", json!({ "id": "e-7" })).unwrap();
    let seqs = |since: u64, epoch: &str| -> Vec<u64> {
        let known = Known {
            since,
            epoch: epoch.into(),
        };
        let history = greeting(&chat, Some(known)).remove(0);
        assert_eq!(history["data"]["seq"], 15);
        let messages = history["data"]["messages"].as_array().unwrap().clone();
        messages
            .iter()
            .map(|m| m["seq"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(seqs(12, "e"), [13, 14, 15]);
    assert_eq!(seqs(15, "e"), [0; 0]);
    assert_eq!(seqs(5, "e").len(), 10);
    for (since, epoch) in [(4, "e"), (12, "other"), (16, "e"), (0, "e")] {
        assert_eq!(seqs(since, epoch).len(), 10, "{since} {epoch}");
    }
    let known = Known {
        since: 12,
        epoch: "e".into(),
    };
    let changed = &greeting(&chat, Some(known))[1];
    assert_eq!(changed["type"], "chat_deleted", "a change of what it has");
}

proptest! {
    #[test]
    fn any_frames_keep_the_order_and_the_bounds(
        steps in prop::collection::vec((0u64..3000, 0i64..5, 0usize..6, 1u64..30), 0..120),
    ) {
        let mut chat = chat_with(|config| config.hub.history = 7);
        let (mut ms, mut last) = (0, 0);
        for (step, who, kind, n) in steps {
            ms += step;
            let id = format!("e-{n}");
            let (kind, data) = match kind {
                0 | 1 => ("chat", json!({ "message": "a", "reply_to": null })),
                2 => ("chat_edit", json!({ "id": id, "message": "b" })),
                3 => ("chat_delete", json!({ "id": id })),
                4 => ("chat_moderate", json!({ "action": "pin", "id": id })),
                _ => ("chat_moderate", json!({ "action": "timeout", "user": "user4", "seconds": n })),
            };
            if let Ok((effects, ack)) = act(&mut chat, ms, who, kind, data) {
                prop_assert!(who != 0, "anonymous members write nothing");
                prop_assert!(effects.persist.len() <= 16);
                if let Some(seq) = ack.seq {
                    prop_assert_eq!(seq, last + 1);
                    last = seq;
                }
            }
            chat.tick(at(ms));
            prop_assert!(chat.history.len() <= 7);
            let seqs: Vec<_> = chat.history.iter().map(|row| row.seq).collect();
            prop_assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        }
    }
}
