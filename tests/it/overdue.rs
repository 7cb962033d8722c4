//! Encoders that vanish or fall silent, under a viewer that never looks away: the slate covers them,
//! and their return goes on in the same playlist. It does not know how a slate is made.

use std::time::Duration;

use crate::{
    pause::Stage,
    support::{Clip, slots},
};

/// Updates come in time: RFC 8216 wants one and a half target durations of 2 s, and a viewer on a busy
/// machine may look a second later.
const LONGEST_GAP: Duration = Duration::from_secs(4);

#[track_caller]
fn updates_in_time(stage: &Stage) {
    let gaps = stage.viewer.updated.windows(2).map(|two| two[1] - two[0]);
    let longest = gaps.max().unwrap();
    assert!(longest < LONGEST_GAP, "{longest:?} without an update");
}

#[test]
fn a_killed_encoder_is_covered_until_another_one_comes() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let mut encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(3, 60);
    encoder.kill();
    stage.wait("it is missed", |now| now.reconnecting && !now.publishing);
    // What it left, and slates.
    stage.updates(4);
    assert_eq!(stage.viewer.discontinuities(), 1);
    let _encoder = stage.encoder(Clip::Plain);
    stage.returned(2);
    stage.wait("its return", |now| now.publishing && !now.reconnecting);
    stage.updates(1);
    updates_in_time(&stage);
    let [before, slate, after] = &stage.sessions()[..] else {
        panic!("live, slate, live: {:?}", stage.sessions());
    };
    assert!(before != slate && slate != after && before != after);
    stage.check();
}

#[test]
fn an_encoder_that_stops_is_covered_until_it_goes_on() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let encoder = stage.encoder(Clip::BFrames);
    stage.viewer.segments(3, 60);
    for discontinuities in [2, 4] {
        encoder.signal("STOP");
        stage.wait("silence", |now| now.reconnecting && now.publishing);
        stage.updates(3);
        assert_eq!(stage.viewer.discontinuities(), discontinuities - 1);
        encoder.signal("CONT");
        stage.returned(discontinuities);
        stage.wait("its media", |now| !now.reconnecting);
        stage.updates(2);
    }
    updates_in_time(&stage);
    let [one, slate, two, again, three] = &stage.sessions()[..] else {
        panic!("live, and twice slate and live: {:?}", stage.sessions());
    };
    assert!(one == two && two == three && slate == again && one != slate);
    stage.check();
}

#[test]
fn an_encoder_of_sound_alone_that_stops_is_covered_as_well() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let encoder = stage.encoder(Clip::AudioOnly);
    stage.viewer.segments(3, 60);
    encoder.signal("STOP");
    stage.wait("silence", |now| now.reconnecting && now.publishing);
    stage.updates(2);
    encoder.signal("CONT");
    stage.returned(2);
    stage.updates(1);
    updates_in_time(&stage);
    stage.check();
}
