//! Decoders that we did not write, asked what a file or URL contains. It does not know where the
//! media came from.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Media on disk for as long as this lives.
pub struct Media {
    _dir: TempDir,
    path: PathBuf,
}

impl Media {
    /// Puts bytes where a decoder can read them.
    pub fn new(bytes: &[u8]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("media.ts");
        fs::write(&path, bytes).unwrap();
        Self { _dir: dir, path }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// MD5 of each decoded frame of one track (`v` or `a`), in order.
#[track_caller]
pub fn frames(input: &str, track: char) -> Vec<String> {
    let map = format!("0:{track}:0");
    let mut command = ffmpeg();
    command.args([
        "-i",
        input,
        "-map",
        &map,
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    text(&mut command)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(',').next())
        .map(|hash| hash.trim().to_owned())
        .collect()
}

/// Decodes everything and fails the test on any complaint of the decoders.
#[track_caller]
pub fn decodes(input: &str) {
    decode(input, &[]);
}

/// Decodes so many seconds of a playlist that nobody ends.
#[track_caller]
pub fn decodes_for(input: &str, seconds: u32) {
    decode(input, &["-t", &seconds.to_string()]);
}

#[track_caller]
fn decode(input: &str, until: &[&str]) {
    let output = ffmpeg()
        .args(["-xerror", "-i", input, "-map", "0"])
        .args(until)
        // Pictures keep their own clock: at 120 fps two would round to one millisecond.
        .args([
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "-1",
            "-f",
            "null",
            "-",
        ])
        .output()
        .expect("ffmpeg is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "ffmpeg on {input}: {said}"
    );
}

/// DTS of each picture in seconds, as they are stored, from ffprobe.
#[track_caller]
pub fn video_times_s(input: &str) -> Vec<f64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0"]);
    command.args(["-show_entries", "packet=dts_time", "-of", "csv=p=0", input]);
    text(&mut command)
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').parse().ok())
        .collect()
}

/// One `codec_name,...` line a stream, from ffprobe.
#[track_caller]
pub fn probe(input: &str, entries: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", &format!("stream={entries}")]);
    command.args(["-of", "csv=p=0", input]);
    let mut lines: Vec<_> = text(&mut command)
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect();
    // A transport stream shows each track once more inside its program.
    lines.sort();
    lines.dedup();
    lines
}

/// `actual` is `expected` from its first, second... or fifth frame on. The first of `actual` is not
/// compared when something is missing before it: an AAC frame's sound overlaps the one before.
#[track_caller]
pub fn same_sound(expected: &[String], actual: &[String]) {
    let found = (0..5).any(|skip| {
        let first = usize::from(skip > 0);
        expected
            .get(skip + first..)
            .is_some_and(|e| Some(e) == actual.get(first..))
    });
    assert!(
        found && !actual.is_empty(),
        "sound differs: {} frames, not {}",
        actual.len(),
        expected.len()
    );
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-nostdin"]);
    command
}

#[track_caller]
fn text(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("installed by tests/run");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
