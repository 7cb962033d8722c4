//! Pause and resume under a real encoder and a viewer that never looks away: the slate comes into the
//! playlist and leaves it, and what was listed decodes from one end to the other. It does not know
//! how a slate is made.

use std::{fs, path::Path, process::Command};

use cauce::{config::Config, live::StreamNow, name::StreamUid};
use serde_json::{Value, json};

use crate::support::{
    Clip, Key, Running, Server, oracle::Media, playlist::Poller, server::run, slots, until,
};

/// A server with a stream of its own.
pub struct Stage {
    pub server: Server,
    pub stream: Key,
    uid: StreamUid,
    pub viewer: Poller,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// On a server changed by `edit`.
    pub fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let server = Server::with(|config| edit(config));
        let stream = server.create();
        Self {
            uid: StreamUid::parse(&stream.uid).unwrap(),
            viewer: server.viewer(&stream),
            server,
            stream,
        }
    }

    /// FFmpeg publishing the clip again and again in real time.
    pub fn encoder(&self, clip: Clip) -> Running {
        Running::ffmpeg(clip, &self.server.publish_url(&self.stream))
    }

    pub fn pause(&self) {
        self.server
            .live(async |live| live.pause(&self.uid).await)
            .unwrap();
    }

    pub fn resume(&self) {
        self.server
            .live(async |live| live.resume(&self.uid).await)
            .unwrap();
    }

    fn now(&self) -> Option<StreamNow> {
        self.server.live(async |live| live.view(&self.uid))
    }

    #[track_caller]
    pub fn wait(&self, what: &str, condition: impl Fn(&StreamNow) -> bool) {
        until(what, 30, || self.now().filter(&condition).map(drop));
    }

    /// Waits for so many updates more.
    #[track_caller]
    pub fn updates(&mut self, count: u64) {
        let end = self.viewer.end();
        self.viewer.reaches(end + count, 40);
    }

    /// Waits for the publisher's media, which is the DISCONTINUITY of that number.
    #[track_caller]
    pub fn returned(&mut self, discontinuity: usize) {
        until("the publisher's media again", 40, || {
            self.viewer.poll();
            (self.viewer.discontinuities() == discontinuity).then_some(())
        });
    }

    /// Which sessions the segments are of, runs of the same one folded.
    pub fn sessions(&self) -> Vec<String> {
        let session = |path: &str| {
            let file = path.rsplit('/').next().unwrap();
            file.split_once('-').unwrap().0.to_owned()
        };
        let mut all: Vec<_> = self
            .viewer
            .seen
            .values()
            .map(|s| session(&s.path))
            .collect();
        all.dedup();
        all
    }

    /// Stops the stream, and waits until its playlist says so.
    #[track_caller]
    pub fn stop(&mut self) {
        let stopped = run(&self.server.data_dir, &["stream", "stop", &self.stream.uid]);
        assert!(stopped.status.success());
        self.viewer.wait("ENDLIST", 20, |p| p.end_list);
    }

    /// Where its playlist is.
    pub fn url(&self) -> String {
        self.server.play_url(&self.stream)
    }

    /// Stops the stream and decodes all that was ever listed.
    #[track_caller]
    pub fn check(mut self) {
        self.stop();
        self.decodes();
    }

    /// Decodes all that was ever listed, without a word of complaint.
    #[track_caller]
    pub fn decodes(&self) {
        let dates: Vec<_> = self.viewer.seen.values().map(|s| s.date_ms).collect();
        assert!(dates.is_sorted(), "{dates:?}");
        let media = Media::new(&self.viewer.concatenated());
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-v", "warning", "-xerror"])
            .args(["-err_detect", "explode", "-i", media.path(), "-map", "0"])
            .args(["-fps_mode", "passthrough", "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}

#[track_caller]
fn pause_once(clip: Clip) {
    let _slot = slots::heavy();
    through_a_pause(Stage::new(), clip).check();
}

/// Live, paused for three updates, live again.
#[track_caller]
pub fn through_a_pause(mut stage: Stage, clip: Clip) -> Stage {
    let _encoder = stage.encoder(clip);
    stage.viewer.segments(2, 60);
    stage.pause();
    stage.wait("the pause", |now| {
        now.paused && now.publishing && now.viewers == 1
    });
    // The open segment, which the pause may have found empty, and slates.
    stage.updates(4);
    assert_eq!(stage.viewer.discontinuities(), 1);
    stage.resume();
    until("the publisher's media again", 40, || {
        stage.viewer.poll();
        (stage.viewer.discontinuities() == 2).then_some(())
    });
    stage.updates(1);
    assert_eq!(stage.viewer.discontinuities(), 2, "one in, one out");
    let [before, slate, after] = &stage.sessions()[..] else {
        panic!("live, slate, live: {:?}", stage.sessions());
    };
    assert!(before == after && before != slate);
    stage
}

#[test]
fn a_pause_of_pictures_and_sound() {
    pause_once(Clip::Plain);
}

#[test]
fn a_pause_of_pictures_that_are_reordered() {
    pause_once(Clip::BFrames);
}

#[test]
fn a_pause_of_pictures_alone() {
    pause_once(Clip::VideoOnly);
}

#[test]
fn a_pause_of_sound_alone() {
    pause_once(Clip::AudioOnly);
}

#[test]
fn a_pause_of_surround_sound() {
    pause_once(Clip::Surround);
}

#[test]
fn the_publisher_leaves_and_returns_while_paused_and_it_is_paused_again() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(2, 60);
    stage.pause();
    drop(encoder);
    stage.wait("the publisher to be gone", |now| !now.publishing);
    stage.updates(3);
    let _encoder = stage.encoder(Clip::Plain);
    stage.wait("its return", |now| now.publishing && now.paused);
    stage.updates(1);
    assert_eq!(stage.viewer.discontinuities(), 1);
    for expected in [2, 4] {
        stage.resume();
        until("the publisher's media again", 40, || {
            stage.viewer.poll();
            (stage.viewer.discontinuities() == expected).then_some(())
        });
        stage.pause();
        stage.pause();
        stage.updates(3);
    }
    stage.check();
}

#[test]
fn resumed_without_a_publisher_the_playlist_goes_on_until_it_returns() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(2, 60);
    stage.pause();
    drop(encoder);
    stage.wait("the publisher to be gone", |now| !now.publishing);
    stage.resume();
    stage.wait("the grace", |now| now.reconnecting && !now.paused);
    stage.updates(3);
    let _encoder = stage.encoder(Clip::Plain);
    until("the publisher's media again", 40, || {
        stage.viewer.poll();
        (stage.viewer.discontinuities() == 2).then_some(())
    });
    stage.updates(1);
    stage.check();
}

#[test]
fn the_picture_changes_its_size_while_paused() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(2, 60);
    stage.pause();
    drop(encoder);
    stage.wait("the publisher to be gone", |now| !now.publishing);
    stage.updates(2);
    let _encoder = stage.encoder(Clip::Small);
    stage.wait("its return", |now| now.publishing && now.paused);
    stage.updates(1);
    assert_eq!(stage.viewer.discontinuities(), 1, "the slate goes on");
    let told = |stage: &Stage| {
        let index = format!("/live/{}/index.m3u8", stage.stream.uid);
        stage.server.get(&index).text()
    };
    assert!(told(&stage).contains("RESOLUTION=640x360"));
    stage.resume();
    stage.returned(2);
    stage.updates(1);
    assert!(
        told(&stage).contains("RESOLUTION=320x180"),
        "{}",
        told(&stage)
    );
    assert_eq!(stage.viewer.discontinuities(), 2);
    stage.check();
}

#[test]
fn a_pause_before_the_first_segment_is_kept_until_the_resume() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let _encoder = stage.encoder(Clip::Plain);
    stage.wait("a publisher", |now| now.publishing);
    stage.pause();
    stage.wait("the pause", |now| now.paused && now.publishing);
    stage.resume();
    stage.viewer.segments(3, 60);
    stage.check();
}

#[test]
fn chromium_goes_on_through_a_pause() {
    let _slot = slots::heavy();
    let sizes = ["320x180", "640x360", "320x180"];
    chromium_goes_on(Stage::new(), Clip::Small, &sizes);
}

/// Chromium plays without an error or a long stall, and shows pictures of these sizes.
#[track_caller]
pub fn chromium_goes_on(mut stage: Stage, clip: Clip, sizes: &[&str]) {
    let _encoder = stage.encoder(clip);
    stage.viewer.segments(3, 60);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let screenshots = target.join("../screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/pause.mjs");
    let page = format!("http://{}/watch/{}", stage.server.http, stage.stream.uid);
    let mut browser = Running::start(Command::new("node").arg(script).args([
        &page,
        screenshots.to_str().unwrap(),
        "30",
    ]));
    let report = |line: &str| serde_json::from_str::<Value>(line).ok();
    browser.line("picture", 120, |line| {
        report(line).filter(|told| told["playing"] == true)
    });
    stage.pause();
    stage.updates(4);
    stage.resume();
    browser.succeeds(150);
    let told = browser.line("report", 1, |line| {
        report(line).filter(|told| told["time"].is_f64())
    });
    assert_eq!(told["sizes"], json!(sizes), "{told}");
    let played = told["time"].as_f64().unwrap() - told["begin"].as_f64().unwrap();
    assert!(played > 20.0, "{told}");
    stage.check();
}
