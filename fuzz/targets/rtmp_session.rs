//! Arbitrary bytes into a whole session, in arbitrary pieces: never a panic, never more than the
//! caps allow, never stuck. It does not know sockets.
#![no_main]

use std::time::{Duration, Instant};

use cauce_fuzz::rtmp::{
    amf0, chunk,
    command::PublishStatus,
    session::{Action, Limits, Session},
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    chunk: chunk::Limits {
        chunk_streams: 8,
        message_bytes: 1 << 16,
        partial_bytes: 1 << 17,
    },
    amf: amf0::Limits {
        depth: 16,
        values: 1024,
    },
    message_streams: 4,
    preauth_bytes: 1 << 16,
    handshake_timeout: Duration::from_secs(5),
    publish_timeout: Duration::from_secs(15),
    idle_timeout: Duration::from_secs(10),
};

/// Replies of one flush and one more message.
const OUTPUT_BYTES_MAX: usize = 32 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((&shape, bytes)) = bytes.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut session = Session::new(now, 1, LIMITS);
    // Most inputs begin behind the handshake: it is 3 KB that says little.
    if shape & 1 == 0 {
        let mut hello = [0; 1 + 2 * 1536];
        hello[0] = 3;
        session.input(now, &hello).expect("a plain handshake");
        session.take_output();
    }
    let piece = 1 + usize::from(shape >> 2);
    let mut input = vec![];
    for more in bytes.chunks(piece * piece) {
        input.extend_from_slice(more);
        if !feed(&mut session, now, &mut input, shape & 2 == 0) {
            return;
        }
        now += Duration::from_millis(1);
    }
});

/// As the listener does it. False = the session is over.
fn feed(session: &mut Session, now: Instant, input: &mut Vec<u8>, welcome: bool) -> bool {
    loop {
        let before = input.len();
        let Ok(progress) = session.input(now, input) else {
            return false;
        };
        input.drain(..progress.consumed);
        match progress.action {
            None => break,
            Some(Action::Publish(_)) if welcome => session.accept(now),
            Some(Action::Publish(_)) => {
                session.refuse(PublishStatus::Denied, "no");
                return false;
            }
            Some(Action::Media(media)) => {
                assert!(session.is_publishing());
                assert!(media.count() <= before);
            }
            Some(Action::Unpublish) => assert!(!session.is_publishing()),
            Some(Action::Flush) => {}
        }
        assert!(progress.consumed > 0, "every action costs input");
        assert!(session.take_output().len() < OUTPUT_BYTES_MAX);
    }
    assert!(input.len() < chunk::MAX_HEADER_BYTES, "only a header is kept back");
    session.overdue(now).is_none()
}
