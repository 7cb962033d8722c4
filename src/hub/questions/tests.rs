//! Questions in any order of commands. It does not know the database or sockets.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::hub::member::MemberId;

fn rules() -> Rules {
    Rules {
        moderated: false,
        chars_max: 300,
        per: Duration::from_secs(20),
        kept: 500,
        blocked: BlockedWords::new(&["spam".to_owned()]),
    }
}

fn member(id: u64, role: Role) -> Member {
    let name = match role {
        Role::Owner => "owner".to_owned(),
        Role::Moderator => "mod".to_owned(),
        Role::Viewer => format!("user{id}"),
    };
    Member {
        id: MemberId(id),
        user: Some(User {
            id: id.cast_signed(),
            name: name.into(),
        }),
        role,
    }
}

fn owner() -> Member {
    member(1, Role::Owner)
}
fn moderator() -> Member {
    member(2, Role::Moderator)
}
fn viewer(id: u64) -> Member {
    member(id, Role::Viewer)
}

/// The stream has run for this long, in milliseconds.
fn at(ms: u64) -> Now {
    Now {
        wall_ms: 1_000_000 + ms.cast_signed(),
        mono: Duration::from_millis(ms),
    }
}
const STARTED: Option<i64> = Some(1_000_000);

fn ask(text: &str, anonymous: bool) -> Command {
    Command::Ask {
        text: text.into(),
        anonymous,
    }
}
fn vote(id: u64, stands: bool) -> Command {
    Command::Vote { id, stands }
}
fn to(id: u64, to: State, answer: Option<&str>) -> Command {
    Command::Move {
        id,
        to,
        answer: answer.map(str::to_owned),
    }
}

fn json(frame: &Frame) -> Value {
    serde_json::from_str(frame).unwrap()
}

/// Does a member get what is sent there?
fn reaches(to: &To, member: &Member) -> bool {
    match to {
        To::Member(id) => *id == member.id,
        To::Everyone => true,
        To::Staff => member.role.is_staff(),
        To::Viewers => !member.role.is_staff(),
        To::Moderators => member.role == Role::Moderator,
        To::Owner => member.role == Role::Owner,
        To::AllBut(ids) => !ids.contains(&member.id),
        To::User(name) => member.user.as_ref().is_some_and(|user| user.name == *name),
    }
}

/// Type, author and state of each frame that a member gets.
fn seen(effects: &Effects, member: &Member) -> Vec<(String, Value, String)> {
    let frames = effects.events.iter().filter(|(to, _)| reaches(to, member));
    frames
        .map(|(_, frame)| {
            let frame = json(frame);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let data = &frame["data"];
            (
                text(&frame["type"]),
                data["user"].clone(),
                text(&data["state"]),
            )
        })
        .collect()
}

fn one(kind: &str, user: Value, state: &str) -> Vec<(String, Value, String)> {
    vec![(kind.into(), user, state.into())]
}

fn ok(questions: &mut Questions, ms: u64, member: &Member, command: Command) -> Effects {
    questions.apply(at(ms), STARTED, member, command).unwrap().0
}
fn refused(questions: &mut Questions, ms: u64, member: &Member, command: Command) -> ErrorCode {
    let refusal = questions.apply(at(ms), STARTED, member, command);
    refusal.unwrap_err().code
}

#[test]
fn blocked_words_are_no_questions() {
    let mut questions = Questions::new(rules(), vec![], 0);
    let code = refused(&mut questions, 0, &viewer(9), ask("Why no SPAM?", false));
    assert_eq!(code, ErrorCode::BlockedWord);
    // The refused one does not count.
    ok(
        &mut questions,
        0,
        &viewer(9),
        ask("Why no spammers?", false),
    );
}

#[test]
fn a_question_is_asked_shown_and_answered() {
    let mut questions = Questions::new(rules(), vec![], 0);
    let effects = ok(&mut questions, 0, &viewer(9), ask(" When? ", false));
    assert_eq!(
        json(&effects.events[0].1),
        json!({"type": "question", "data": {
            "id": "1", "text": "When?", "user": "user9", "votes": 0, "state": "open",
            "answer": null, "answered_offset_s": null, "pinned": false, "duplicate_of": null,
            "created_at": "1970-01-01T00:16:40.000Z",
        }})
    );
    assert_eq!(effects.events.len(), 1);
    ok(&mut questions, 5_000, &owner(), to(1, State::Live, None));
    // The answer begins when the question comes on screen.
    let effects = ok(
        &mut questions,
        9_000,
        &moderator(),
        to(1, State::Answered, None),
    );
    let answered = json(&effects.events[0].1);
    assert_eq!(answered["type"], "question_updated");
    assert_eq!(answered["data"]["answered_offset_s"], 5.0);
    let again = to(1, State::Answered, Some("At nine."));
    let effects = ok(&mut questions, 9_500, &owner(), again);
    let answered = json(&effects.events[0].1);
    assert_eq!(answered["data"]["answer"], "At nine.");
    assert_eq!(answered["data"]["answered_offset_s"], Value::Null);
    let Some(Persist::Question(QuestionWrite::Save(row))) = effects.persist.last() else {
        unreachable!("{:?}", effects.persist);
    };
    assert_eq!(
        (row.state.as_str(), row.answer.as_deref()),
        ("answered", Some("At nine."))
    );
}

#[test]
fn a_held_question_is_seen_by_staff_until_it_is_opened() {
    let moderated = Rules {
        moderated: true,
        ..rules()
    };
    let mut questions = Questions::new(moderated, vec![], 0);
    let (ana, bea) = (viewer(9), viewer(10));
    let effects = ok(&mut questions, 0, &ana, ask("Why?", true));
    assert_eq!(seen(&effects, &ana), []);
    assert_eq!(
        seen(&effects, &owner()),
        one("question", json!("user9"), "pending")
    );
    assert_eq!(
        seen(&effects, &moderator()),
        one("question", Value::Null, "pending")
    );
    let listed = |questions: &Questions, member: &Member| {
        json(&questions.greet(member)[0])["data"]["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(listed(&questions, &bea), 0);
    assert_eq!(listed(&questions, &moderator()), 1);
    assert_eq!(
        refused(&mut questions, 0, &bea, vote(1, true)),
        ErrorCode::NotFound
    );
    let effects = ok(&mut questions, 1, &moderator(), to(1, State::Open, None));
    // New to viewers, known to staff.
    assert_eq!(seen(&effects, &bea), one("question", Value::Null, "open"));
    assert_eq!(
        seen(&effects, &owner()),
        one("question_updated", json!("user9"), "open")
    );
    assert_eq!(listed(&questions, &bea), 1);
    let effects = ok(&mut questions, 2, &owner(), to(1, State::Dismissed, None));
    assert_eq!(
        seen(&effects, &bea),
        one("question_updated", Value::Null, "dismissed")
    );
    assert_eq!(listed(&questions, &bea), 0);
    // Staff need no permission.
    let effects = ok(&mut questions, 3, &owner(), ask("Mine?", false));
    assert_eq!(
        seen(&effects, &bea),
        one("question", json!("owner"), "open")
    );
}

#[test]
fn the_same_words_point_to_the_first() {
    let quick = Rules {
        per: Duration::ZERO,
        ..rules()
    };
    let mut questions = Questions::new(quick, vec![], 0);
    ok(&mut questions, 0, &viewer(9), ask("When is it?", false));
    for (id, text) in [(10, "WHEN  is it"), (11, "when is it ??")] {
        let effects = ok(&mut questions, 0, &viewer(id), ask(text, false));
        assert_eq!(json(&effects.events[0].1)["data"]["duplicate_of"], "1");
    }
    let again = ask("when is it", false);
    assert_eq!(
        refused(&mut questions, 0, &viewer(11), again),
        ErrorCode::Duplicate
    );
}

#[test]
fn one_question_in_a_time() {
    let mut questions = Questions::new(rules(), vec![], 0);
    ok(&mut questions, 0, &viewer(9), ask("One?", false));
    let refusal = questions.apply(at(5_000), STARTED, &viewer(9), ask("Two?", false));
    let refusal = refusal.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.retry_after_s),
        (ErrorCode::RateLimited, Some(15.0))
    );
    ok(&mut questions, 5_000, &viewer(10), ask("Two?", false));
    // What was refused cost nothing.
    let long = "x".repeat(301);
    assert_eq!(
        refused(&mut questions, 20_000, &viewer(9), ask(&long, false)),
        ErrorCode::TooLong
    );
    ok(&mut questions, 20_000, &viewer(9), ask(&long[1..], false));
}

#[test]
fn who_may_do_what() {
    let mut questions = Questions::new(rules(), vec![], 0);
    let nobody = Member {
        user: None,
        ..viewer(3)
    };
    assert_eq!(
        refused(&mut questions, 0, &nobody, ask("?", false)),
        ErrorCode::AuthRequired
    );
    ok(&mut questions, 0, &viewer(9), ask("Why?", false));
    let pin = Command::Pin {
        id: 1,
        pinned: true,
    };
    for command in [to(1, State::Live, None), pin.clone()] {
        assert_eq!(
            refused(&mut questions, 0, &viewer(9), command),
            ErrorCode::Forbidden
        );
    }
    let effects = ok(&mut questions, 0, &moderator(), pin.clone());
    assert_eq!(json(&effects.events[0].1)["data"]["pinned"], true);
    assert!(ok(&mut questions, 0, &moderator(), pin).events.is_empty());
    ok(&mut questions, 0, &owner(), to(1, State::Answered, None));
    for state in [State::Pending, State::Open, State::Live, State::Dismissed] {
        let code = refused(&mut questions, 0, &owner(), to(1, state, None));
        assert_eq!(code, ErrorCode::BadMessage, "{state:?}");
    }
    for command in [
        vote(7, true),
        to(7, State::Open, None),
        Command::Pin {
            id: 7,
            pinned: true,
        },
    ] {
        assert_eq!(
            refused(&mut questions, 0, &owner(), command),
            ErrorCode::NotFound
        );
    }
}

#[test]
fn votes_go_out_together() {
    let mut questions = Questions::new(rules(), vec![], 0);
    ok(&mut questions, 0, &viewer(9), ask("Why?", false));
    let votes = |effects: &Effects| json(&effects.events[0].1)["data"]["votes"].clone();
    assert_eq!(
        votes(&ok(&mut questions, 1000, &viewer(10), vote(1, true))),
        1
    );
    assert_eq!(questions.due(), None);
    for id in 11..20 {
        let effects = ok(&mut questions, 1001, &viewer(id), vote(1, true));
        assert!(effects.events.is_empty());
        assert_eq!(effects.persist.len(), 1);
    }
    // The same vote again is no vote.
    assert!(
        ok(&mut questions, 1001, &viewer(10), vote(1, true))
            .persist
            .is_empty()
    );
    assert_eq!(questions.due(), Some(Duration::from_millis(1250)));
    assert!(questions.tick(at(1249)).events.is_empty());
    assert_eq!(votes(&questions.tick(at(1250))), 10);
    assert_eq!(questions.due(), None);
    assert_eq!(
        json(&questions.greet(&viewer(10))[1])["data"]["ids"],
        json!(["1"])
    );
    assert_eq!(
        json(&questions.recognise(&viewer(9))[0])["data"]["ids"],
        json!([])
    );
}

#[test]
fn votes_have_a_pace() {
    let mut questions = Questions::new(rules(), vec![], 0);
    ok(&mut questions, 0, &viewer(9), ask("Why?", false));
    for n in 0..VOTES_BURST {
        ok(&mut questions, 0, &viewer(10), vote(1, n % 2 == 0));
    }
    assert_eq!(
        refused(&mut questions, 0, &viewer(10), vote(1, true)),
        ErrorCode::RateLimited
    );
    ok(&mut questions, 500, &viewer(10), vote(1, true));
}

#[test]
fn a_full_room_lets_go_of_what_is_wanted_least() {
    let small = Rules {
        kept: 3,
        per: Duration::ZERO,
        ..rules()
    };
    let mut questions = Questions::new(small, vec![], 0);
    for n in 1..=3 {
        ok(&mut questions, 0, &viewer(9), ask(&format!("{n}?"), false));
    }
    ok(
        &mut questions,
        0,
        &owner(),
        Command::Pin {
            id: 1,
            pinned: true,
        },
    );
    ok(&mut questions, 0, &viewer(10), vote(3, true));
    ok(&mut questions, 0, &viewer(9), ask("4?", false));
    assert_eq!(
        questions.kept.keys().copied().collect::<Vec<_>>(),
        [1, 3, 4]
    );
    assert_eq!(
        refused(&mut questions, 0, &owner(), vote(2, true)),
        ErrorCode::NotFound
    );
}

#[test]
fn the_list_for_joiners_fits_a_queue() {
    let quick = Rules {
        per: Duration::ZERO,
        ..rules()
    };
    let mut questions = Questions::new(quick, vec![], 0);
    for n in 0..500 {
        let text = format!("{n}{}", "\u{1f600}".repeat(290));
        ok(&mut questions, 0, &viewer(9), ask(&text, false));
    }
    let list = &questions.greet(&viewer(9))[0];
    assert!(list.len() < 128 * 1024, "{}", list.len());
    assert!(!json(list)["data"]["items"].as_array().unwrap().is_empty());
}

#[test]
fn a_restart_goes_on() {
    let mut questions = Questions::new(rules(), vec![], 0);
    let asked = ok(&mut questions, 0, &viewer(9), ask("Why?", true));
    let Some(Persist::Question(QuestionWrite::Save(row))) = asked.persist.first() else {
        unreachable!("{:?}", asked.persist);
    };
    let mut questions = Questions::new(rules(), vec![(row.clone(), vec![4, 5])], 7);
    let listed = json(&questions.greet(&owner())[0]);
    assert_eq!(listed["data"]["items"][0]["votes"], 2);
    assert_eq!(listed["data"]["items"][0]["user"], "user9");
    let effects = ok(&mut questions, 0, &viewer(10), ask("WHY", false));
    let asked = json(&effects.events[0].1);
    assert_eq!(
        (&asked["data"]["id"], &asked["data"]["duplicate_of"]),
        (&json!("8"), &json!("1"))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Do(u64, Command),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = prop::sample::select(vec![
        State::Pending,
        State::Open,
        State::Live,
        State::Answered,
        State::Dismissed,
    ]);
    let id = 1_u64..8;
    let command = prop_oneof![
        ("[ab]{1,2}[?!]?", any::<bool>()).prop_map(|(text, anonymous)| ask(&text, anonymous)),
        (id.clone(), any::<bool>()).prop_map(|(id, stands)| vote(id, stands)),
        (id.clone(), state, any::<bool>()).prop_map(|(id, state, words)| to(
            id,
            state,
            words.then_some("Yes.")
        )),
        (id, any::<bool>()).prop_map(|(id, pinned)| Command::Pin { id, pinned }),
    ];
    let step = prop_oneof![
        4 => (1_u64..6, command).prop_map(|(who, command)| Step::Do(who, command)),
        1 => (0_u64..3000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn any_order_of_commands_keeps_the_rules(moderated: bool, steps in steps()) {
        let rules = Rules { moderated, per: Duration::from_secs(1), kept: 5, ..rules() };
        let mut questions = Questions::new(rules, vec![], 0);
        let members = [owner(), moderator(), viewer(3), viewer(4), viewer(5)];
        let mut now = 0;
        for step in steps {
            let before = questions.kept.clone();
            let effects = match step {
                Step::Wait(ms) => {
                    now += ms;
                    questions.tick(at(now))
                }
                Step::Do(who, command) => {
                    let member = &members[usize::try_from(who - 1).unwrap()];
                    questions.apply(at(now), STARTED, member, command).unwrap_or_default().0
                }
            };
            prop_assert!(questions.kept.len() <= 5);
            for (id, question) in &questions.kept {
                // A state only moves along the arrows.
                if let Some(old) = before.get(id) {
                    prop_assert!(old.state == question.state || old.state.may_become(question.state));
                    prop_assert!(old.voters.len().abs_diff(question.voters.len()) <= 1);
                }
                prop_assert_eq!(&question.row.state, question.state.as_str());
                // The first of its kind is never a duplicate itself.
                let first = question.row.duplicate_of.and_then(|first| questions.kept.get(&first));
                prop_assert!(first.is_none_or(|q| q.row.duplicate_of.is_none() && q.row.id < *id));
            }
            for (to, frame) in &effects.events {
                let data = &json(frame)["data"];
                let id: u64 = data["id"].as_str().unwrap().parse().unwrap();
                let row = before.get(&id).or(questions.kept.get(&id)).map(|q| &q.row).unwrap();
                for member in members.iter().filter(|member| reaches(to, member)) {
                    // Who is hidden is known to the owner alone; what waits, to staff alone.
                    let named = data["user"].is_string();
                    prop_assert_eq!(named, !row.anonymous || member.role == Role::Owner);
                    prop_assert!(member.role.is_staff() || data["state"] != "pending");
                }
            }
            // Nobody gets two frames of one change.
            for member in members.iter().filter(|_| effects.persist.len() == 1) {
                let mut ids: Vec<_> = effects.events.iter()
                    .filter(|(to, _)| reaches(to, member))
                    .map(|(_, frame)| json(frame)["data"]["id"].to_string())
                    .collect();
                let all = ids.len();
                ids.sort();
                ids.dedup();
                prop_assert_eq!(ids.len(), all);
            }
        }
    }
}
