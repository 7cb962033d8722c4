//! Tests of the publish session: walks of known encoders and hostile input. They do not know sockets.

use super::*;
use crate::rtmp::amf0::Decoded;
use bytes::Bytes;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    chunk: chunk::Limits {
        chunk_streams: 64,
        message_bytes: 8 << 20,
        partial_bytes: 12 << 20,
    },
    amf: amf0::Limits {
        depth: 16,
        values: 1024,
    },
    message_streams: 8,
    preauth_bytes: 256 << 10,
    handshake_timeout: Duration::from_secs(5),
    publish_timeout: Duration::from_secs(15),
    idle_timeout: Duration::from_secs(10),
};

/// An encoder and the session it talks to, in virtual time.
struct Talk {
    session: Session,
    now: Instant,
    encoder: Writer,
    replies: Reader,
    input: Vec<u8>,
}

/// What came of some input.
#[derive(Debug, Default)]
struct Outcome {
    replies: Vec<Message>,
    keys: Vec<String>,
    tags: Vec<segmenter::Tag>,
    unpublished: usize,
    end: Option<End>,
}

impl Outcome {
    /// Commands among the replies: name, transaction, and the `code` or value of the last argument.
    fn commands(&self) -> Vec<(String, f64, String)> {
        let commands = self.replies.iter().filter(|m| m.kind == kind::COMMAND_AMF0);
        commands
            .map(|message| {
                let Decoded { values, fault } = amf0::decode(&message.payload, LIMITS.amf);
                assert_eq!(fault, None);
                let last = values.last().unwrap();
                let said = match last.property("code") {
                    Some(code) => code.as_str().unwrap().to_owned(),
                    None => format!("{last:?}"),
                };
                let name = values[0].as_str().unwrap().to_owned();
                (name, values[1].as_number().unwrap(), said)
            })
            .collect()
    }

    fn codes(&self) -> Vec<String> {
        self.commands()
            .into_iter()
            .map(|(_, _, said)| said)
            .collect()
    }

    fn description(&self) -> String {
        let last = self.replies.iter().rfind(|m| m.kind == kind::COMMAND_AMF0);
        let values = amf0::decode(&last.unwrap().payload, LIMITS.amf).values;
        let text = values.last().unwrap().property("description").unwrap();
        text.as_str().unwrap().to_owned()
    }
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

impl Talk {
    /// Through the handshake.
    fn new() -> Self {
        let now = Instant::now();
        let mut session = Session::new(now, 1, LIMITS);
        let mut hello = vec![3];
        hello.extend_from_slice(&[0; 2 * 1536]);
        let progress = session.input(now, &hello).unwrap();
        assert_eq!(progress.consumed, hello.len());
        assert_eq!(session.take_output().len(), 1 + 2 * 1536);
        Self {
            session,
            now,
            encoder: Writer::new(),
            replies: Reader::new(LIMITS.chunk),
            input: vec![],
        }
    }

    /// Publishing on message stream 1 with key `k`.
    fn publishing() -> Self {
        let mut talk = Self::new();
        talk.connect("live");
        talk.call("createStream", 4.0, &[Value::Null]);
        let asked = talk.call_on(1, "publish", 5.0, &[Value::Null, text("k"), text("live")]);
        assert_eq!(asked.keys, ["k"]);
        assert!(
            asked.replies.is_empty(),
            "nothing is said before the key is checked"
        );
        talk.session.accept(talk.now);
        assert_eq!(talk.run().codes(), ["NetStream.Publish.Start"]);
        talk
    }

    fn connect(&mut self, app: &str) -> Outcome {
        let object = Value::Object(vec![
            ("app".into(), text(app)),
            ("type".into(), text("nonprivate")),
            ("tcUrl".into(), text("rtmp://somewhere.else:1935/x")),
            (
                "fourCcList".into(),
                Value::StrictArray(vec![text("hvc1"), text("av01")]),
            ),
        ]);
        self.call("connect", 1.0, &[object])
    }

    fn call(&mut self, name: &str, transaction: f64, values: &[Value]) -> Outcome {
        self.call_on(0, name, transaction, values)
    }

    fn call_on(&mut self, stream: u32, name: &str, number: f64, values: &[Value]) -> Outcome {
        let mut body = vec![];
        amf0::encode(&text(name), &mut body);
        amf0::encode(&Value::Number(number), &mut body);
        values
            .iter()
            .for_each(|value| amf0::encode(value, &mut body));
        self.say(kind::COMMAND_AMF0, stream, &body)
    }

    fn say(&mut self, kind: u8, stream: u32, body: &[u8]) -> Outcome {
        self.encoder.message(3, kind, stream, body);
        self.input.extend(self.encoder.take());
        self.run()
    }

    /// Feeds the input as the listener does and collects what comes of it.
    fn run(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let progress = match self.session.input(self.now, &self.input) {
                Ok(progress) => progress,
                Err(end) => {
                    outcome.end = Some(end);
                    break;
                }
            };
            self.input.drain(..progress.consumed);
            match progress.action {
                None => break,
                Some(Action::Flush) => self.hear(&mut outcome),
                Some(Action::Media(media)) => outcome.tags.extend(media),
                Some(Action::Publish(key)) => outcome.keys.push(key.as_str().into()),
                Some(Action::Unpublish) => outcome.unpublished += 1,
            }
        }
        self.hear(&mut outcome);
        outcome
    }

    fn hear(&mut self, outcome: &mut Outcome) {
        let bytes = self.session.take_output();
        let mut rest = &bytes[..];
        loop {
            let progress = self.replies.read(rest).unwrap();
            rest = &rest[progress.consumed..];
            match progress.message {
                Some(message) => outcome.replies.push(message),
                None => break,
            }
        }
        assert!(rest.is_empty(), "replies are whole messages");
    }
}

#[test]
fn connect_is_answered_with_windows_and_success() {
    let mut talk = Talk::new();
    let outcome = talk.connect("live");
    let kinds: Vec<_> = outcome.replies.iter().map(|m| m.kind).collect();
    assert_eq!(
        kinds,
        [
            kind::WINDOW_ACK_SIZE,
            kind::SET_PEER_BANDWIDTH,
            kind::COMMAND_AMF0
        ]
    );
    let commands = outcome.commands();
    assert_eq!(commands[0].0, "_result");
    assert_eq!(commands[0].2, "NetConnection.Connect.Success");
}

/// The order in which each kind of encoder speaks, up to its publish: name, transaction, wants an
/// answer.
#[test]
fn the_walks_of_known_encoders_reach_a_publish() {
    let obs = ["releaseStream", "FCPublish", "createStream"];
    let ffmpeg = ["releaseStream", "FCPublish", "createStream", "_checkbw"];
    let gstreamer = ["releaseStream", "FCPublish", "createStream"];
    let librtmp = ["createStream"];
    let hasty = ["createStream", "createStream", "setPeerInfo"];
    for calls in [&obs[..], &ffmpeg, &gstreamer, &librtmp, &hasty] {
        let mut talk = Talk::new();
        talk.connect("live");
        talk.say(kind::WINDOW_ACK_SIZE, 0, &2_500_000u32.to_be_bytes());
        for (index, call) in calls.iter().enumerate() {
            let number = index as f64 + 2.0;
            let outcome = talk.call(call, number, &[Value::Null, text("k")]);
            assert_eq!(outcome.end, None, "{call}");
            let commands = outcome.commands();
            assert_eq!(commands.len(), 1, "{call}");
            assert_eq!(commands[0].1, number, "{call}");
        }
        let asked = talk.call_on(1, "publish", 9.0, &[Value::Null, text("k"), text("live")]);
        assert_eq!(asked.keys, ["k"]);
        talk.session.accept(talk.now);
        let outcome = talk.run();
        assert_eq!(outcome.replies[0].kind, kind::USER_CONTROL);
        assert_eq!(outcome.codes(), ["NetStream.Publish.Start"]);
        let media = talk.say(kind::VIDEO, 1, &[0x17, 0, 0, 0, 0]);
        assert_eq!(media.tags.len(), 1);
    }
}

#[test]
fn everything_may_come_in_one_piece_and_waits_for_the_answer() {
    let mut talk = Talk::new();
    for (name, number, values) in [
        (
            "connect",
            1.0,
            vec![Value::Object(vec![("app".into(), text("live"))])],
        ),
        ("createStream", 2.0, vec![Value::Null]),
        ("publish", 3.0, vec![Value::Null, text("k")]),
    ] {
        let mut body = vec![];
        amf0::encode(&text(name), &mut body);
        amf0::encode(&Value::Number(number), &mut body);
        values
            .iter()
            .for_each(|value| amf0::encode(value, &mut body));
        let stream = u32::from(name == "publish");
        talk.encoder.message(3, kind::COMMAND_AMF0, stream, &body);
    }
    talk.encoder.message(3, kind::VIDEO, 1, b"early");
    let bytes = talk.encoder.take();
    talk.input.extend(bytes);
    let outcome = talk.run();
    assert_eq!(outcome.keys, ["k"]);
    assert!(outcome.tags.is_empty() && !talk.input.is_empty());
    talk.session.accept(talk.now);
    assert_eq!(talk.run().tags.len(), 1);
}

#[test]
fn keys_stand_in_the_name_or_in_the_app() {
    for (app, name, key) in [
        ("live", "k", "k"),
        ("streams/", "/k/", "k"),
        ("stream", "k?token=x", "k"),
        ("live/k", "", "k"),
        ("live/a", "b", "b"),
        ("live", "", ""),
    ] {
        let mut talk = Talk::new();
        talk.connect(app);
        talk.call("createStream", 2.0, &[Value::Null]);
        let asked = talk.call_on(1, "publish", 3.0, &[Value::Null, text(name)]);
        assert_eq!(asked.keys, [key], "{app} {name}");
    }
}

#[test]
fn keys_do_not_show_in_debug() {
    let key = PublishKey("secret".into());
    assert!(!format!("{:?}", Action::Publish(key)).contains("secret"));
}

#[test]
fn a_wrong_app_is_rejected_before_it_can_publish() {
    let mut talk = Talk::new();
    let outcome = talk.connect("vod");
    assert_eq!(outcome.end, Some(End::WrongApp));
    let commands = outcome.commands();
    assert_eq!(commands[0].0, "_error");
    assert_eq!(commands[0].2, "NetConnection.Connect.Rejected");
    assert!(outcome.description().contains("InvalidApp"));
}

#[test]
fn a_wrong_key_is_refused_before_publish_start() {
    let mut talk = Talk::new();
    talk.connect("live");
    talk.call("createStream", 2.0, &[Value::Null]);
    talk.call_on(1, "publish", 3.0, &[Value::Null, text("k")]);
    let end = talk
        .session
        .refuse(PublishStatus::Denied, "unknown stream key");
    assert_eq!(end, End::Refused("unknown stream key".into()));
    let outcome = talk.run();
    assert_eq!(outcome.codes(), ["NetStream.Publish.Denied"]);
    assert_eq!(outcome.description(), "unknown stream key");
    assert_eq!(outcome.replies[0].stream_id, 1);
}

#[test]
fn an_evicted_publisher_is_told() {
    let mut talk = Talk::publishing();
    talk.session
        .refuse(PublishStatus::Rejected, "another encoder took over");
    let outcome = talk.run();
    assert_eq!(outcome.codes(), ["NetStream.Publish.Rejected"]);
    assert_eq!(outcome.description(), "another encoder took over");
}

#[test]
fn a_publisher_that_breaks_a_cap_is_told() {
    let mut talk = Talk::publishing();
    // A header that announces a message of 16 MiB.
    talk.input
        .extend([6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]);
    let outcome = talk.run();
    assert!(matches!(
        outcome.end,
        Some(End::Chunk(ChunkError::MessageTooLong { .. }))
    ));
    assert_eq!(outcome.codes(), ["NetStream.Publish.Rejected"]);
    assert!(outcome.description().contains("longer than the limit"));
}

#[test]
fn play_is_refused_with_a_reason() {
    let mut talk = Talk::new();
    talk.connect("live");
    let outcome = talk.call_on(1, "play", 3.0, &[Value::Null, text("k")]);
    assert_eq!(outcome.end, Some(End::Play));
    assert_eq!(outcome.codes(), ["NetStream.Play.Failed"]);
    assert!(outcome.description().contains("HLS"));
}

#[test]
fn commands_out_of_order_end_the_session() {
    for name in ["publish", "createStream"] {
        let outcome = Talk::new().call(name, 2.0, &[Value::Null, text("k")]);
        assert!(matches!(outcome.end, Some(End::NotConnected(_))), "{name}");
    }
}

#[test]
fn a_second_publish_on_one_connection_is_refused_and_the_first_goes_on() {
    let mut talk = Talk::publishing();
    talk.call("createStream", 6.0, &[Value::Null]);
    let outcome = talk.call_on(2, "publish", 7.0, &[Value::Null, text("k")]);
    assert_eq!(outcome.codes(), ["NetStream.Publish.BadName"]);
    assert_eq!(talk.say(kind::AUDIO, 1, &[0xaf, 1]).tags.len(), 1);
}

#[test]
fn every_goodbye_unpublishes_once_and_publishing_again_is_legal() {
    let goodbyes: [&[(&str, u32, Value)]; 3] = [
        &[
            ("FCUnpublish", 0, text("k")),
            ("deleteStream", 0, Value::Number(1.0)),
        ],
        &[("deleteStream", 0, Value::Number(1.0))],
        &[("closeStream", 1, Value::Null)],
    ];
    for goodbye in goodbyes {
        let mut talk = Talk::publishing();
        let mut unpublished = 0;
        for (name, stream, value) in goodbye {
            let outcome = talk.call_on(*stream, name, 0.0, &[Value::Null, value.clone()]);
            assert_eq!(outcome.end, None);
            unpublished += outcome.unpublished;
        }
        assert_eq!(unpublished, 1);
        assert!(!talk.session.is_publishing());
        assert!(talk.say(kind::AUDIO, 1, &[0xaf, 1]).tags.is_empty());
        let asked = talk.call_on(1, "publish", 8.0, &[Value::Null, text("again")]);
        assert_eq!(asked.keys, ["again"]);
        talk.session.accept(talk.now);
        assert_eq!(talk.run().codes(), ["NetStream.Publish.Start"]);
    }
}

#[test]
fn calls_without_a_transaction_get_no_answer() {
    let mut talk = Talk::publishing();
    for name in ["FCPublish", "_checkbw", "unknown", "onFCPublish"] {
        let outcome = talk.call(name, 0.0, &[Value::Null]);
        assert!(outcome.replies.is_empty(), "{name}");
    }
}

#[test]
fn deleting_another_stream_changes_nothing() {
    let mut talk = Talk::publishing();
    let outcome = talk.call("deleteStream", 0.0, &[Value::Null, Value::Number(2.0)]);
    assert_eq!(outcome.unpublished, 0);
    assert!(talk.session.is_publishing());
}

#[test]
fn media_before_the_publish_is_dropped_and_metadata_passes_after_it() {
    let mut talk = Talk::new();
    talk.connect("live");
    assert!(talk.say(kind::VIDEO, 1, &[0x17, 1]).tags.is_empty());
    let mut talk = Talk::publishing();
    let body = b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09";
    let outcome = talk.say(kind::DATA_AMF0, 1, body);
    assert_eq!(outcome.tags[0].kind, TagKind::Script);
    assert!(talk.say(kind::DATA_AMF0, 1, &body[..16]).end.is_none());
}

#[test]
fn amf3_commands_are_understood() {
    let mut body = vec![0];
    for value in [text("connect"), Value::Number(1.0)] {
        amf0::encode(&value, &mut body);
    }
    amf0::encode(
        &Value::Object(vec![("app".into(), text("live"))]),
        &mut body,
    );
    let outcome = Talk::new().say(kind::COMMAND_AMF3, 0, &body);
    assert_eq!(outcome.codes(), ["NetConnection.Connect.Success"]);
}

#[test]
fn an_unknown_marker_costs_only_the_rest_of_its_command() {
    let mut talk = Talk::publishing();
    let mut body = vec![];
    for value in [text("_checkbw"), Value::Number(7.0), Value::Null] {
        amf0::encode(&value, &mut body);
    }
    body.extend_from_slice(&[0x7f, 1, 2]);
    let outcome = talk.say(kind::COMMAND_AMF0, 0, &body);
    assert_eq!(outcome.end, None);
    assert_eq!(outcome.commands()[0].1, 7.0);
}

#[test]
fn twenty_thousand_nested_values_end_the_session() {
    let mut body = vec![];
    amf0::encode(&text("connect"), &mut body);
    for _ in 0..20_000 {
        body.extend_from_slice(&[0x0a, 0, 0, 0, 1]);
    }
    let outcome = Talk::new().say(kind::COMMAND_AMF0, 0, &body);
    assert_eq!(outcome.end, Some(End::Amf(amf0::Fault::TooDeep)));
    // As metadata they are not decoded at all.
    let mut talk = Talk::publishing();
    assert_eq!(talk.say(kind::DATA_AMF0, 1, &body).end, None);
}

#[test]
fn message_streams_are_capped_and_freed() {
    let mut talk = Talk::new();
    talk.connect("live");
    for round in 0..100 {
        talk.call("createStream", 2.0, &[Value::Null]);
        let outcome = talk.call("deleteStream", 0.0, &[Value::Null, Value::Number(1.0)]);
        assert_eq!(outcome.end, None, "{round}");
    }
    for _ in 0..LIMITS.message_streams {
        assert_eq!(talk.call("createStream", 2.0, &[Value::Null]).end, None);
    }
    let outcome = talk.call("createStream", 2.0, &[Value::Null]);
    assert_eq!(outcome.end, Some(End::TooManyStreams(8)));
    assert_eq!(outcome.codes(), ["NetConnection.Call.Failed"]);
}

#[test]
fn a_million_create_streams_end_by_the_byte_budget_or_the_cap() {
    let mut talk = Talk::new();
    talk.connect("live");
    let mut pair = vec![];
    for (name, value) in [
        ("createStream", Value::Null),
        ("deleteStream", Value::Number(1.0)),
    ] {
        let mut body = vec![];
        for value in [text(name), Value::Number(2.0), Value::Null, value] {
            amf0::encode(&value, &mut body);
        }
        talk.encoder.message(3, kind::COMMAND_AMF0, 0, &body);
        pair.extend(talk.encoder.take());
    }
    let mut largest_output = 0;
    let flood = pair.repeat(1000);
    let end = (0..1_000_000 / 1000).find_map(|_| {
        talk.input.extend_from_slice(&flood);
        loop {
            match talk.session.input(talk.now, &talk.input) {
                Err(end) => return Some(end),
                Ok(progress) => {
                    talk.input.drain(..progress.consumed);
                    largest_output = largest_output.max(talk.session.take_output().len());
                    progress.action.as_ref()?;
                }
            }
        }
    });
    assert_eq!(end, Some(End::PreauthBytes(LIMITS.preauth_bytes)));
    assert!(largest_output < 2 * FLUSH_BYTES);
}

#[test]
fn the_byte_budget_is_exact_and_ends_with_the_publish() {
    let now = Instant::now();
    let limits = Limits {
        preauth_bytes: 5000,
        ..LIMITS
    };
    let mut session = Session::new(now, 1, limits);
    let mut bytes = vec![3];
    bytes.extend_from_slice(&[0; 2 * 1536]);
    let mut filler = Writer::new();
    filler.message(4, 99, 0, &[0; 4000]);
    bytes.extend(filler.take());
    assert_eq!(session.input(now, &bytes[..5000]).unwrap().consumed, 5000);
    assert_eq!(
        session.input(now, &bytes[5000..]).unwrap_err(),
        End::PreauthBytes(5000)
    );
    let mut talk = Talk::publishing();
    for _ in 0..5 {
        assert_eq!(talk.say(kind::VIDEO, 1, &vec![0; 100_000]).end, None);
    }
}

#[test]
fn pings_are_answered_and_short_ones_too() {
    let mut talk = Talk::new();
    let ping = [&event::PING_REQUEST.to_be_bytes()[..], &[1, 2, 3, 4]].concat();
    let outcome = talk.say(kind::USER_CONTROL, 0, &ping);
    assert_eq!(&outcome.replies[0].payload[..], [0, 7, 1, 2, 3, 4]);
    let outcome = talk.say(kind::USER_CONTROL, 0, &[0, 6, 9]);
    assert_eq!(&outcome.replies[0].payload[..], [0, 7, 9]);
}

#[test]
fn acknowledgements_count_all_bytes_and_wrap() {
    let mut talk = Talk::publishing();
    assert!(
        talk.say(kind::VIDEO, 1, &[0; 5000]).replies.is_empty(),
        "no window, no ack"
    );
    assert_eq!(talk.session.unacknowledged_most(), usize::MAX);
    talk.say(kind::WINDOW_ACK_SIZE, 0, &4000u32.to_be_bytes());
    let before = talk.session.received_bytes;
    let outcome = talk.say(kind::VIDEO, 1, &[0; 5000]);
    let acks: Vec<_> = outcome
        .replies
        .iter()
        .filter(|m| m.kind == kind::ACKNOWLEDGEMENT)
        .map(|m| u32::from_be_bytes(m.payload[..].try_into().unwrap()))
        .collect();
    assert_eq!(acks, [talk.session.received_bytes as u32]);
    assert!(talk.session.received_bytes > before + 5000);
    assert_eq!(talk.session.unacknowledged_most(), 4000);
    talk.say(kind::VIDEO, 1, &[0; 1000]);
    let left = talk.session.unacknowledged_most();
    assert!((2900..3000).contains(&left), "{left}");
    // Past 4 GiB the number wraps and acknowledging goes on.
    talk.session.received_bytes += 1 << 32;
    talk.session.acknowledged_bytes = talk.session.received_bytes;
    let outcome = talk.say(kind::VIDEO, 1, &[0; 5000]);
    let ack = u32::from_be_bytes(outcome.replies[0].payload[..].try_into().unwrap());
    assert_eq!(u64::from(ack) + (1 << 32), talk.session.received_bytes);
}

#[test]
fn a_half_open_handshake_dies_at_its_timeout() {
    let now = Instant::now();
    let mut session = Session::new(now, 1, LIMITS);
    session.input(now, &[3; 1000]).unwrap();
    let deadline = session.deadline();
    assert_eq!(deadline, now + LIMITS.handshake_timeout);
    assert_eq!(session.overdue(deadline - Duration::from_millis(1)), None);
    assert_eq!(session.overdue(deadline), Some(End::HandshakeTimeout));
}

#[test]
fn a_connection_that_never_publishes_dies_at_its_timeout() {
    let mut talk = Talk::new();
    talk.connect("live");
    let deadline = talk.session.deadline();
    assert_eq!(deadline, talk.now + LIMITS.publish_timeout);
    assert_eq!(talk.session.overdue(deadline), Some(End::PublishTimeout));
}

#[test]
fn only_audio_and_video_keep_a_publisher_alive() {
    let mut talk = Talk::publishing();
    let start = talk.now;
    talk.now += Duration::from_secs(9);
    talk.say(kind::AUDIO, 1, &[0xaf, 1]);
    assert_eq!(talk.session.deadline(), start + Duration::from_secs(19));
    talk.now += Duration::from_secs(9);
    talk.say(kind::USER_CONTROL, 0, &[0, 6, 0, 0, 0, 0]);
    talk.say(kind::DATA_AMF0, 1, b"\x02\x00\x01x");
    talk.now += Duration::from_secs(1);
    assert_eq!(talk.session.overdue(talk.now), Some(End::Idle));
    let outcome = talk.run();
    assert_eq!(outcome.codes(), ["NetStream.Publish.Rejected"]);
}

#[test]
fn every_end_has_a_label_and_a_text() {
    let end = Talk::new().session.input(Instant::now(), &[0xff; 100]);
    let end = end.unwrap_err();
    assert_eq!(end.reason(), "chunk");
    assert!(!end.to_string().is_empty());
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(
        messages in prop::collection::vec(
            (prop_oneof![any::<u8>(), Just(20u8), Just(4), Just(22)],
             0..3u32,
             prop::collection::vec(any::<u8>(), 0..200)),
            0..30,
        ),
        publishing in any::<bool>(),
    ) {
        let mut talk = if publishing { Talk::publishing() } else { Talk::new() };
        for (kind, stream, body) in messages {
            if kind == kind::SET_CHUNK_SIZE {
                continue;
            }
            let body = Bytes::from(body);
            if talk.say(kind, stream, &body).end.is_some() {
                break;
            }
        }
    }
}
