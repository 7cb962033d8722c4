//! A server that is killed again and again at any moment, under a viewer that never looks away and an
//! encoder that comes back each time. The viewer checks every update (`support::playlist`): numbers
//! that never go back, one segment a number, and no name used twice. It does not know what the server
//! keeps where.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::{
    streams::key,
    support::{
        Clip, Key, Process, Running, count,
        playlist::Poller,
        rest::{account, call},
        server::run,
        slots, until,
    },
};

/// Random enough, and told, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Looks at the playlist for so long.
fn look(viewer: &mut Poller, ms: u64) {
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        viewer.poll();
        std::thread::sleep(Duration::from_millis(25));
    }
}

struct Stage {
    token: String,
    stream: Key,
    viewer: Poller,
    random: Random,
    paused: bool,
}

impl Stage {
    #[track_caller]
    fn act(&mut self, server: &Process, action: &str) {
        let target = format!("/streams/{}/{action}/", self.stream.uid);
        let (status, seen) = call(server.http, &self.token, "POST", &target, &Value::Null);
        assert_eq!(status, 200, "{seen}");
        self.paused = action == "pause";
        assert_eq!(seen["is_paused"], self.paused);
    }

    /// Brings the stream to a moment in which the server dies.
    #[track_caller]
    fn live_on(&mut self, server: &Process, moment: u32) -> Running {
        let encoder = Running::ffmpeg(Clip::Tiny, &server.publish_url(&self.stream));
        if self.paused {
            self.viewer.grows(30);
            self.act(server, "resume");
        }
        match moment % 6 {
            // While the encoder is coming back, or just has.
            0 => {
                let ms = self.random.below(2500);
                look(&mut self.viewer, ms);
            }
            // Just behind a segment.
            1 => self.viewer.grows(30),
            // While paused.
            2 | 4 => {
                self.viewer.grows(30);
                self.act(server, "pause");
                self.viewer.grows(30);
                let ms = self.random.below(2500);
                look(&mut self.viewer, ms);
            }
            // Any time.
            _ => {
                self.viewer.grows(30);
                let ms = self.random.below(2500);
                look(&mut self.viewer, ms);
            }
        }
        encoder
    }
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    let _slot = slots::heavy();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = now.unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut server = Process::start(&[]);
    let token = account(server.http, "ana");
    let (status, made) = call(
        server.http,
        &token,
        "POST",
        "/streams/",
        &json!({ "title": "x" }),
    );
    assert_eq!(status, 201, "{made}");
    let stream = key(&made);
    let mut stage = Stage {
        viewer: server.viewer(&stream),
        token,
        stream,
        random: Random(seed),
        paused: false,
    };
    let mut first = Running::ffmpeg(Clip::Tiny, &server.publish_url(&stage.stream));
    stage.viewer.segments(2, 60);
    first.kill();
    let mut dir = None;
    for kill in 0..count("TEST_KILLS", 12) {
        println!("kill {kill}");
        let mut encoder = stage.live_on(&server, kill);
        let graceful = kill % 6 == 5;
        if graceful {
            server.child.signal("TERM");
            assert_eq!(
                server.child.ended(12).code(),
                Some(0),
                "{}",
                server.child.log()
            );
        } else {
            server.child.kill();
        }
        encoder.kill();
        if dir.is_none() {
            dir = Some(server.keep_data());
        }
        let data = dir.as_ref().unwrap();
        server = Process::restart_in(data.path(), &[]);
        stage.viewer.moved(server.http);
        until("the window of before", 20, || stage.viewer.poll().map(drop));
        stage.viewer.same_bytes();
    }
    let mut encoder = stage.live_on(&server, 1);
    assert!(!stage.viewer.text().contains("ENDLIST"));
    // Each process that listed something began with a DISCONTINUITY.
    assert!(
        stage.viewer.discontinuities() >= 6,
        "{}",
        stage.viewer.text()
    );
    let numbers: Vec<u64> = stage.viewer.seen.keys().copied().collect();
    let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "no number is skipped");
    let dates: Vec<_> = stage.viewer.seen.values().map(|s| s.date_ms).collect();
    assert!(dates.is_sorted(), "{dates:?}");
    let stopped = run(&server.data_dir, &["stream", "stop", &stage.stream.uid]);
    assert!(stopped.status.success());
    stage.viewer.wait("ENDLIST", 20, |p| p.end_list);
    encoder.kill();
}
