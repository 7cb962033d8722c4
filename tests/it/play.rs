//! Every player that the project promises to serve, for real: FFmpeg, ffprobe, streamlink, VLC,
//! GStreamer and Chromium with hls.js; and the pictures they see are the source's. It does not know
//! how an encoder sends: FFmpeg publishes here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Clip, Encoder, Key, Running, Server, child, count, oracle, server::Site, slots, until,
};

/// How long each player must play, media seconds.
fn seconds() -> u32 {
    count("TEST_PLAY_SECONDS", 6)
}

/// A live stream with some segments behind it, and the encoder that keeps it so.
fn live() -> (Server, Key, Running) {
    let server = Server::with(|config| config.hls.window_segments = 6);
    let stream = server.create();
    let encoder = Running::ffmpeg(Clip::Plain, &server.publish_url(&stream));
    server.viewer(&stream).segments(3, 60);
    (server, stream, encoder)
}

/// A stream that has ended, with all of `clip` in its window.
fn ended(clip: Clip) -> (Server, Key) {
    let server = Server::start();
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&clip.tags());
    encoder.finish();
    stop(&server, &stream);
    (server, stream)
}

fn stop(server: &Site, stream: &Key) {
    let done = crate::support::server::run(&server.data_dir, &["stream", "stop", &stream.uid]);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    server.viewer(stream).wait("ENDLIST", 20, |p| p.end_list);
}

#[test]
fn ffmpeg_sees_the_pictures_that_were_published() {
    let _slot = slots::heavy();
    let (server, stream) = ended(Clip::Plain);
    let url = server.play_url(&stream);
    let source = Clip::Plain.path();
    let source = source.to_str().unwrap();
    assert_eq!(oracle::frames(&url, 'v'), oracle::frames(source, 'v'));
    oracle::same_sound(&oracle::frames(source, 'a'), &oracle::frames(&url, 'a'));
    oracle::decodes(&url);
}

#[test]
fn ffmpeg_plays_live() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let mut player = Running::start(
        Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-v",
                "warning",
                "-xerror",
                "-i",
                &server.play_url(&stream),
            ])
            .args(["-t", &seconds().to_string(), "-f", "null", "-"]),
    );
    player.succeeds(90 + u64::from(seconds()));
}

#[test]
fn ffprobe_names_both_tracks() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let url = server.play_url(&stream);
    assert_eq!(oracle::probe(&url, "codec_name"), ["aac", "h264"]);
}

/// streamlink as tests/run installs it, else the one on the path.
pub fn streamlink() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/streamlink/bin/streamlink");
    if own.exists() {
        own
    } else {
        PathBuf::from("streamlink")
    }
}

#[test]
fn streamlink_plays_live() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.ts");
    let mut player = Running::start(
        Command::new(streamlink())
            .args([
                "--no-config",
                "--loglevel",
                "info",
                "--stream-segmented-duration",
                &seconds().to_string(),
                "--output",
            ])
            .arg(&file)
            .args([&server.play_url(&stream), "best"]),
    );
    player.succeeds(90 + u64::from(seconds()));
    let file = file.to_str().unwrap();
    assert_eq!(
        oracle::probe(file, "codec_name"),
        ["aac", "h264"],
        "{}",
        player.log()
    );
    oracle::decodes(file);
}

#[test]
fn vlc_plays_live() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let home = tempfile::tempdir().unwrap();
    let mut command = child::unprivileged("cvlc", home.path());
    command
        .args([
            "-vv", "--intf", "dummy", "--vout", "dummy", "--aout", "dummy",
        ])
        .args([
            "--play-and-exit",
            "--run-time",
            &seconds().to_string(),
            &server.play_url(&stream),
        ]);
    let mut player = Running::start(&mut command);
    player.succeeds(90 + u64::from(seconds()));
    let log = player.log();
    for proof in ["codec (h264) started", "using audio decoder module"] {
        assert!(log.contains(proof), "no \"{proof}\": {log}");
    }
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| {
            [
                "ts demux error",
                "adaptive error",
                "adaptive demux error",
                "decoder error",
                "discontinuity received",
            ]
            .iter()
            .any(|complaint| line.contains(complaint))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn gstreamer_plays_live() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let pipeline = format!(
        "souphttpsrc location={} ! hlsdemux ! tsdemux name=tracks \
         tracks. ! queue ! h264parse ! avdec_h264 ! fakesink name=pictures silent=false sync=false \
         tracks. ! queue ! aacparse ! avdec_aac ! fakesink name=sounds silent=false sync=false",
        server.play_url(&stream)
    );
    let mut player = Running::start(
        Command::new("gst-launch-1.0")
            .arg("-v")
            .args(pipeline.split_whitespace()),
    );
    // The sinks tell each decoded buffer.
    let (pictures, sounds) = (25 * seconds() as usize, 48_000 / 1024 * seconds() as usize);
    until(
        "decoded pictures and sounds",
        90 + u64::from(seconds()),
        || {
            let log = player.log();
            assert!(player.alive(), "{log}");
            let count = |sink: &str| {
                log.lines()
                    .filter(|l| l.contains(sink) && l.contains("chain "))
                    .count()
            };
            (count("GstFakeSink:pictures") >= pictures && count("GstFakeSink:sounds") >= sounds)
                .then_some(())
        },
    );
    let log = player.log();
    let complaints: Vec<_> = log
        .lines()
        .filter(|l| l.starts_with("WARNING") || l.starts_with("ERROR"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn gstreamer_playbin_plays_to_the_end() {
    let _slot = slots::heavy();
    let (server, stream) = ended(Clip::BFrames);
    let uri = format!("uri={}", server.play_url(&stream));
    let mut player = Running::start(Command::new("gst-launch-1.0").args([
        "playbin",
        &uri,
        "video-sink=fakesink sync=false",
        "audio-sink=fakesink sync=false",
    ]));
    player.succeeds(90 + u64::from(seconds()));
    assert!(player.log().contains("Got EOS"), "{}", player.log());
}

#[test]
fn chromium_plays_live_with_hls_js() {
    let _slot = slots::heavy();
    let (server, stream, _encoder) = live();
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/watch.mjs");
    let mut browser = Running::start(
        Command::new("node")
            .arg(script)
            .arg(format!("http://{}/watch/{}", server.http, stream.uid))
            .arg(screenshots.join("watch.png"))
            .arg(seconds().to_string()),
    );
    browser.succeeds(150 + u64::from(seconds()));
    let log = browser.log();
    let report = log
        .lines()
        .find_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let report = report.unwrap_or_else(|| panic!("no report: {log}"));
    assert_eq!(
        (&report["width"], &report["height"]),
        (&640.into(), &360.into()),
        "{report}"
    );
    assert!(report["totalVideoFrames"].as_u64() > Some(50), "{report}");
}

#[test]
fn the_window_ends_for_viewers_when_the_stream_is_stopped() {
    let (server, stream) = ended(Clip::Tiny);
    server.wait_status(&stream, "finished", 20);
    // Viewers that come late still find the end (rule 19).
    until("the ended window", 5, || {
        let reply = server.get(&Site::media_path(&stream));
        (reply.status == 200 && reply.text().contains("#EXT-X-ENDLIST")).then_some(())
    });
}
