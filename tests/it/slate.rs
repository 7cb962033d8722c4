//! `slate.mode` through a real server: the stream's own picture and the operator's clip take the
//! place of the publisher's media and leave it. It does not know other slates: pause.rs has the card.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cauce::config::SlateMode;

use crate::{
    pause::{Stage, chromium_goes_on, through_a_pause},
    support::{Clip, Running, oracle, server::cauce, slots},
};

fn freezing() -> Stage {
    Stage::with(|config| config.slate.mode = SlateMode::Freeze)
}

fn showing(file: PathBuf) -> Stage {
    Stage::with(|config| {
        config.slate.mode = SlateMode::File;
        config.slate.file = Some(file);
    })
}

/// A clip of 320x180 made by FFmpeg; its name tells the container.
#[track_caller]
fn clip(dir: &Path, name: &str, options: &str) -> PathBuf {
    let path = dir.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25"])
        .args(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"])
        .args(["-t", "3", "-ac", "2", "-aac_pns", "0"])
        .args(options.split_whitespace())
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    path
}

const H264: &str = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -pix_fmt yuv420p -c:a aac";

impl Stage {
    /// The media of the slate, which is not of the first segment's session.
    fn slate(&self) -> oracle::Media {
        let name = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split_once('-').map(|(session, _)| session.to_owned())
        };
        let mut seen = self.viewer.seen.values();
        let first = name(&seen.next().unwrap().path);
        let bodies = seen.filter(|one| name(&one.path) != first);
        oracle::Media::new(&bodies.flat_map(|one| one.body.clone()).collect::<Vec<_>>())
    }
}

#[test]
fn a_pause_freezes_the_publishers_own_picture() {
    let _slot = slots::heavy();
    let mut stage = through_a_pause(freezing(), Clip::BFrames);
    let slate = stage.slate();
    let mut frozen = oracle::frames(slate.path(), 'v');
    assert!(frozen.len() >= 3 * 50, "{}", frozen.len());
    frozen.dedup();
    assert_eq!(frozen.len(), 1, "one picture");
    let source = Clip::BFrames.path();
    let source = oracle::frames(source.to_str().unwrap(), 'v');
    assert!(source.contains(&frozen[0]), "it is one of the publisher's");
    stage.stop();
    let all = oracle::Media::new(&stage.viewer.concatenated());
    let all = oracle::frames(all.path(), 'v').len();
    assert_eq!(seen_by_gstreamer(&stage.url()), all);
    stage.decodes();
}

/// How many pictures GStreamer's HLS client decodes of a playlist that has ended.
#[track_caller]
fn seen_by_gstreamer(url: &str) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("pictures");
    let pipeline = format!(
        "souphttpsrc location={url} ! hlsdemux ! tsdemux name=tracks \
         tracks. ! queue ! h264parse ! avdec_h264 ! videoscale ! videoconvert ! \
         video/x-raw,format=GRAY8,width=64,height=36 ! filesink location={} \
         tracks. ! queue ! aacparse ! avdec_aac ! fakesink",
        raw.display()
    );
    let mut player = Running::start(
        Command::new("gst-launch-1.0")
            .arg("-q")
            .args(pipeline.split_whitespace()),
    );
    player.succeeds(120);
    fs::metadata(&raw).unwrap().len() as usize / (64 * 36)
}

#[test]
fn chromium_goes_on_through_a_frozen_picture() {
    let _slot = slots::heavy();
    chromium_goes_on(freezing(), Clip::BFrames, &["640x360"]);
}

#[test]
fn the_operators_clip_goes_round_though_its_file_is_gone() {
    let _slot = slots::heavy();
    let dir = tempfile::tempdir().unwrap();
    let file = clip(dir.path(), "clip.ts", H264);
    let stage = showing(file.clone());
    let shown = oracle::frames(file.to_str().unwrap(), 'v');
    let sound = oracle::frames(file.to_str().unwrap(), 'a');
    fs::remove_file(&file).unwrap();
    let stage = through_a_pause(stage, Clip::Plain);
    let slate = stage.slate();
    assert_eq!(
        oracle::probe(slate.path(), "codec_type,width"),
        ["audio", "video,320"]
    );
    let seen = oracle::frames(slate.path(), 'v');
    assert!(seen.len() > shown.len(), "more than one round");
    let round = shown.iter().cycle();
    assert!(seen.iter().zip(round).all(|(seen, shown)| seen == shown));
    // The clip's sound is coded like the stream's. The first frame behind another differs.
    let heard = oracle::frames(slate.path(), 'a');
    let own = heard.iter().filter(|frame| sound.contains(frame)).count();
    assert!(
        own * 10 > heard.len() * 8,
        "{own} of {} frames",
        heard.len()
    );
    stage.check();
}

#[test]
fn beside_a_clip_with_other_sound_there_is_silence() {
    let _slot = slots::heavy();
    let dir = tempfile::tempdir().unwrap();
    let file = clip(dir.path(), "clip.flv", &format!("{H264} -ar 44100 -ac 1"));
    let stage = through_a_pause(showing(file), Clip::Plain);
    let mut heard = oracle::frames(stage.slate().path(), 'a');
    heard.dedup();
    assert_eq!(heard.len(), 1, "every frame is the same");
    stage.check();
}

#[test]
fn an_unfit_clip_is_told_in_one_line_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("noise.ts"), [7; 3000]).unwrap();
    let whole = fs::read(clip(dir.path(), "good.ts", H264)).unwrap();
    // From the middle of a GOP on: the tables come again, an IDR does not begin it.
    fs::write(
        path("cut.ts"),
        [&whole[..3 * 188], &whole[100 * 188..]].concat(),
    )
    .unwrap();
    fs::write(path("short.ts"), &whole[..100 * 188 + 77]).unwrap();
    clip(dir.path(), "rare.flv", &H264.replace("-g 25", "-g 250"));
    clip(
        dir.path(),
        "hevc.ts",
        "-c:v libx265 -x265-params log-level=none -c:a aac",
    );
    clip(
        dir.path(),
        "mp3.flv",
        &H264.replace("-c:a aac", "-ar 44100 -c:a libmp3lame"),
    );
    for (name, limit, expected) in [
        ("absent.ts", "64MiB", "No such file"),
        ("noise.ts", "64MiB", "neither FLV nor MPEG-TS"),
        (
            "cut.ts",
            "64MiB",
            "does not begin with parameter sets and an IDR",
        ),
        ("short.ts", "64MiB", ""),
        ("rare.flv", "64MiB", "its keyframes are up to 3"),
        ("hevc.ts", "64MiB", "H265 is not supported"),
        ("mp3.flv", "64MiB", "audio codec MP3 is not supported"),
        ("good.ts", "64KiB", "larger than limits.slate_file_bytes"),
    ] {
        for command in ["serve", "check"] {
            let mut cauce = cauce(dir.path());
            cauce.env("CAUCE_SLATE__MODE", "file");
            cauce.env("CAUCE_SLATE__FILE", path(name));
            cauce.env("CAUCE_LIMITS__SLATE_FILE_BYTES", limit);
            let output = cauce.arg(command).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{name}: {said}");
            let mut lines = said.lines().filter(|line| line.contains("slate.file: "));
            let line = lines.next().unwrap_or_else(|| panic!("{name}: {said}"));
            assert!(line.contains(expected) && line.contains(name), "{line}");
            assert!(
                lines.next().is_none() && !said.contains("panicked"),
                "{said}"
            );
        }
    }
    let output = cauce(dir.path())
        .env("CAUCE_SLATE__MODE", "file")
        .env("CAUCE_SLATE__FILE", path("good.ts"))
        .arg("check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("320x180"),
        "{said}"
    );
}
