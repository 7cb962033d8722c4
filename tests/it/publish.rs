//! Every encoder that the project promises to take, for real: FFmpeg, GStreamer, librtmp, rml_rtmp
//! and OBS Studio. It does not know what is in their pictures: play.rs and media.rs compare those.

use std::{fs, path::Path, process::Command};

use crate::support::{
    Clip, Encoder, Key, Running, Server, child, oracle, playlist::Poller, server::Site, slots,
};

/// Segments an encoder must give before it counts as working.
const ENOUGH: usize = 3;

/// The viewer of a stream that has enough segments; what they hold decodes without complaint.
#[track_caller]
fn arrives(server: &Site, stream: &Key, encoder: &mut Running) -> Poller {
    let mut viewer = server.viewer(stream);
    viewer.wait("the first segment", 60, |p| !p.segments.is_empty());
    assert!(encoder.alive(), "the encoder gave up: {}", encoder.log());
    viewer.segments(ENOUGH, 60);
    decodes_as(&viewer, &["aac", "h264"]);
    viewer
}

#[track_caller]
fn decodes_as(viewer: &Poller, codecs: &[&str]) {
    let media = oracle::Media::new(&viewer.concatenated());
    assert_eq!(oracle::probe(media.path(), "codec_name"), codecs);
    oracle::decodes(media.path());
}

#[test]
fn ffmpeg_publishes() {
    let _slot = slots::heavy();
    let server = Server::start();
    let stream = server.create();
    let mut ffmpeg = Running::ffmpeg(Clip::Plain, &server.publish_url(&stream));
    let mut viewer = arrives(&server, &stream, &mut ffmpeg);
    let video = oracle::Media::new(&viewer.concatenated());
    let size = oracle::probe(video.path(), "width,height");
    assert!(
        size.iter().any(|line| line.starts_with("640,360")),
        "{size:?}"
    );

    // FFmpeg says goodbye when it is told to end: everything it sent is listed, nothing is ended.
    ffmpeg.signal("INT");
    ffmpeg.ended(20);
    let before = viewer.seen.len();
    viewer.segments(before + 1, 20);
    assert!(
        !viewer.text().contains("ENDLIST"),
        "the grace has just begun"
    );
}

/// GStreamer with one of its two RTMP sinks.
fn gstreamer(sink: &str) -> Running {
    let pipeline = format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=50 ! h264parse \
         ! flvmux name=mux streamable=true ! {sink} \
         audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux."
    );
    Running::start(
        Command::new("gst-launch-1.0")
            .arg("-e")
            .args(pipeline.split_whitespace()),
    )
}

#[test]
fn gstreamer_rtmp2sink_publishes() {
    let _slot = slots::heavy();
    let server = Server::start();
    let stream = server.create();
    let mut sink = gstreamer(&format!(
        "rtmp2sink location={}",
        server.publish_url(&stream)
    ));
    arrives(&server, &stream, &mut sink);
}

#[test]
fn librtmp_publishes() {
    let _slot = slots::heavy();
    let server = Server::start();
    let stream = server.create();
    // GStreamer's older sink is librtmp, the library behind rtmpdump and old encoders.
    let mut sink = gstreamer(&format!(
        "rtmpsink location={}",
        server.publish_url(&stream)
    ));
    arrives(&server, &stream, &mut sink);
}

#[test]
fn rml_rtmp_publishes() {
    let server = Server::start();
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Plain.tags());
    let mut viewer = server.viewer(&stream);
    viewer.segments(ENOUGH, 30);
    encoder.finish();
    viewer.segments(8, 30);
    decodes_as(&viewer, &["aac", "h264"]);
}

#[test]
fn every_spelling_of_the_address_is_taken() {
    let server = Server::start();
    let tags = Clip::Tiny.tags();
    for (app, suffix) in [
        ("live", ""),
        ("stream", ""),
        ("streams", ""),
        ("live/", ""),
        ("live//", ""),
        ("live?who=me", ""),
        ("live", "/"),
        ("live", "?token=1&b"),
    ] {
        let stream = server.create();
        let key = format!("{}{suffix}", stream.key);
        let mut encoder = Encoder::publish(server.rtmp, app, &key)
            .unwrap_or_else(|status| panic!("{app} + key{suffix}: {status:?}"));
        encoder.send_all(&tags);
        server.viewer(&stream).segments(1, 20);
    }
    // The key in the application's path and nothing as the stream's name.
    let stream = server.create();
    let app = format!("live/{}", stream.key);
    let mut encoder = Encoder::publish(server.rtmp, &app, "").expect("a key in the app path");
    encoder.send_all(&tags);
    server.viewer(&stream).segments(1, 20);
}

/// Writes OBS's files under `home` from the templates beside this file.
fn obs_home(home: &Path, server: &Site, stream: &Key) {
    let config = home.join(".config/obs-studio");
    let profile = config.join("basic/profiles/cauce");
    let scenes = config.join("basic/scenes");
    fs::create_dir_all(&profile).unwrap();
    fs::create_dir_all(&scenes).unwrap();
    let service = include_str!("obs/service.json")
        .replace("@SERVER@", &format!("rtmp://{}/live", server.rtmp))
        .replace("@KEY@", &stream.key);
    fs::write(config.join("global.ini"), include_str!("obs/global.ini")).unwrap();
    fs::write(profile.join("basic.ini"), include_str!("obs/basic.ini")).unwrap();
    fs::write(profile.join("service.json"), service).unwrap();
    fs::write(scenes.join("cauce.json"), include_str!("obs/scenes.json")).unwrap();
}

#[test]
fn obs_studio_publishes() {
    let _slot = slots::heavy();
    let server = Server::start();
    let stream = server.create();
    let home = tempfile::tempdir().unwrap();
    obs_home(home.path(), &server, &stream);
    let (_x, display) = child::x_server();
    let mut command = child::unprivileged("obs", home.path());
    command
        .env("DISPLAY", display)
        .env("LIBGL_ALWAYS_SOFTWARE", "1");
    command.args([
        "--multi",
        "--startstreaming",
        "--profile",
        "cauce",
        "--collection",
        "cauce",
    ]);
    let mut obs = Running::start(&mut command);
    let viewer = arrives(&server, &stream, &mut obs);
    let media = oracle::Media::new(&viewer.concatenated());
    let size = oracle::probe(media.path(), "width,height");
    assert!(
        size.iter().any(|line| line.starts_with("640,360")),
        "{size:?}"
    );
}
