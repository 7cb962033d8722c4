//! Real players that keep watching while a stream is paused and resumed: none of them stops, stalls or
//! complains. It does not know how a slate is made.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    pause::Stage,
    play::streamlink,
    support::{Clip, Running, child, count, oracle, slots},
};

/// Target durations that a pause takes: 20 s.
const PAUSED: u64 = 10;
/// And the media between two of them.
const BETWEEN: u64 = 4;
/// What a viewer is not to see: longer, and hls.js calls it stalled.
const STALL_MS_MAX: f64 = 1000.0;

/// Live, paused and live again, so many times.
fn pauses(stage: &mut Stage, times: u32, paused: u64) {
    for _ in 0..times {
        stage.pause();
        stage.updates(paused);
        stage.resume();
        stage.updates(BETWEEN);
    }
}

#[test]
fn chromium_never_stalls_however_often_a_stream_is_paused() {
    let _slot = slots::heavy();
    let times = count("TEST_PAUSES", 3);
    let mut stage = Stage::new();
    let _encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(3, 60);
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    std::fs::create_dir_all(&screenshots).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/pause.mjs");
    let page = format!("http://{}/watch/{}", stage.server.http, stage.stream.uid);
    let seconds = u64::from(times) * 2 * (PAUSED + BETWEEN);
    let mut browser = Running::start(Command::new("node").arg(script).args([
        &page,
        screenshots.to_str().unwrap(),
        &seconds.to_string(),
    ]));
    let report = |line: &str| serde_json::from_str::<Value>(line).ok();
    browser.line("picture", 120, |line| {
        report(line).filter(|told| told["playing"] == true)
    });
    pauses(&mut stage, times, PAUSED);
    browser.succeeds(120);
    let told = browser.line("report", 1, |line| {
        report(line).filter(|told| told["time"].is_f64())
    });
    println!("{told}");
    let played = told["time"].as_f64().unwrap() - told["begin"].as_f64().unwrap();
    assert!(played > 0.9 * seconds as f64, "{told}");
    assert!(told["stall_ms"].as_f64().unwrap() <= STALL_MS_MAX, "{told}");
    stage.check();
}

#[test]
fn every_other_player_goes_on_through_a_pause() {
    let _slot = slots::heavy();
    let mut stage = Stage::new();
    let _encoder = stage.encoder(Clip::Plain);
    stage.viewer.segments(4, 60);
    let url = stage.url();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("streamlink.ts");

    let mut ffmpeg = Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-v", "warning", "-xerror"])
            .args(["-err_detect", "explode", "-i", &url, "-f", "null", "-"]),
    );
    let mut streamlink = Running::start(
        Command::new(streamlink())
            .args(["--no-config", "--loglevel", "info", "--output"])
            .arg(&file)
            .args([&url, "best"]),
    );
    let start_vlc = || {
        let mut vlc = child::unprivileged("cvlc", home.path());
        vlc.args([
            "-vv", "--intf", "dummy", "--vout", "dummy", "--aout", "dummy",
        ]);
        Running::start(vlc.args(["--play-and-exit", &url]))
    };
    let mut vlc = start_vlc();
    let pipeline = format!(
        "souphttpsrc location={url} ! hlsdemux ! tsdemux name=tracks \
         tracks. ! queue ! h264parse ! avdec_h264 ! fakesink sync=false \
         tracks. ! queue ! aacparse ! avdec_aac ! fakesink sync=false",
    );
    let mut gstreamer =
        Running::start(Command::new("gst-launch-1.0").args(pipeline.split_whitespace()));

    stage.updates(2);
    pauses(&mut stage, 1, 4);
    for player in [&mut ffmpeg, &mut streamlink, &mut vlc, &mut gstreamer] {
        assert!(player.alive(), "{}", player.log());
    }
    // They follow it to its end.
    stage.stop();
    for player in [&mut ffmpeg, &mut streamlink, &mut vlc, &mut gstreamer] {
        player.succeeds(60);
    }
    stage.decodes();
    assert_eq!(ffmpeg.log(), "");
    let file = file.to_str().unwrap();
    assert_eq!(oracle::probe(file, "codec_name"), ["aac", "h264"]);
    oracle::decodes(file);
    let complaints = |log: &str, of: &[&str]| -> Vec<String> {
        let lines = log.lines();
        let bad = lines.filter(|line| of.iter().any(|complaint| line.contains(complaint)));
        bad.map(str::to_owned).collect()
    };
    // It says of any DISCONTINUITY that what it writes will be incoherent; it was not.
    let said = complaints(&streamlink.log(), &["[error]", "[warning]"]);
    let expected = said
        .iter()
        .filter(|line| line.contains("a stream discontinuity"));
    assert_eq!((expected.count(), said.len()), (2, 2), "{said:?}");
    let faults = [
        "ts demux error",
        "adaptive error",
        "adaptive demux error",
        "decoder error",
        "timestamp conversion failed",
    ];
    assert_eq!(complaints(&vlc.log(), &faults), [""; 0]);
    // Pictures come late by the stream's fault or for want of a processor. The stream's fault is there
    // again when the ended stream is played once more.
    let late = ["picture is too late"];
    if !complaints(&vlc.log(), &late).is_empty() {
        let mut again = start_vlc();
        again.succeeds(90);
        assert_eq!(complaints(&again.log(), &late), [""; 0]);
        assert_eq!(complaints(&again.log(), &faults), [""; 0]);
    }
    assert_eq!(complaints(&gstreamer.log(), &["WARNING", "ERROR"]), [""; 0]);
}
