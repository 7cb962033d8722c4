//! Source clips, made once by FFmpeg's own generators and kept under `target/`. It does not know who
//! publishes them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use segmenter::{Tag, TagKind};

/// A kind of source; each is a file of its own.
#[derive(Clone, Copy, Debug)]
pub enum Clip {
    /// 640x360, 25 fps, GOP of 2 s, 48 kHz stereo, 16 s: what most tests publish.
    Plain,
    /// A different picture size, for a change in mid-stream.
    Small,
    AudioOnly,
    VideoOnly,
    BFrames,
    Mono44100,
    Surround,
    Fps5,
    Fps120,
    /// One IDR in 10 s.
    LongGop,
    /// 48 frames at 25 fps: 1.92 s, just under the target.
    Gop48,
    /// 160x90 at 10 fps, a few KB/s: for many streams at once.
    Tiny,
}

impl Clip {
    /// All kinds, for tests that go through them.
    pub const ODD: [Self; 9] = [
        Self::AudioOnly,
        Self::VideoOnly,
        Self::BFrames,
        Self::Mono44100,
        Self::Surround,
        Self::Fps5,
        Self::Fps120,
        Self::LongGop,
        Self::Gop48,
    ];

    /// Does it have pictures?
    pub fn video(self) -> bool {
        !matches!(self, Self::AudioOnly)
    }

    /// Does it have sound?
    pub fn audio(self) -> bool {
        !matches!(self, Self::VideoOnly)
    }

    /// Size, frames a second, frames a GOP, seconds, B-frames.
    fn picture(self) -> (&'static str, u32, u32, u32, u32) {
        match self {
            Self::Small => ("320x180", 25, 50, 8, 0),
            Self::BFrames => ("640x360", 25, 50, 12, 3),
            Self::Fps5 => ("320x180", 5, 10, 16, 0),
            Self::Fps120 => ("320x180", 120, 240, 8, 0),
            Self::LongGop => ("320x180", 25, 250, 30, 0),
            Self::Gop48 => ("320x180", 25, 48, 20, 0),
            Self::Tiny => ("160x90", 10, 20, 8, 0),
            Self::Plain | Self::VideoOnly => ("640x360", 25, 50, 16, 0),
            _ => ("320x180", 25, 50, 12, 0),
        }
    }

    /// Sample rate and channels.
    fn sound(self) -> (u32, u32) {
        match self {
            Self::Mono44100 => (44_100, 1),
            Self::Surround => (48_000, 6),
            _ => (48_000, 2),
        }
    }

    /// The FLV file; made when it is not there yet.
    pub fn path(self) -> PathBuf {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("media");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{self:?}-2.flv"));
        let lock = File::create(dir.join(format!("{self:?}.lock"))).unwrap();
        lock.lock().unwrap();
        if !path.exists() {
            let unfinished = dir.join(format!("{self:?}.part"));
            self.make(&unfinished);
            fs::rename(unfinished, &path).unwrap();
        }
        path
    }

    fn make(self, path: &Path) {
        let (size, fps, gop, seconds, bframes) = self.picture();
        let (rate, channels) = self.sound();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-y"]);
        if self.video() {
            ffmpeg.args([
                "-f",
                "lavfi",
                "-i",
                &format!("testsrc2=size={size}:rate={fps}"),
            ]);
        }
        if self.audio() {
            ffmpeg.args([
                "-f",
                "lavfi",
                "-i",
                &format!("sine=frequency=440:sample_rate={rate}"),
            ]);
            ffmpeg.args(["-c:a", "aac", "-b:a", "96k", "-ac", &channels.to_string()]);
            // Its noise depends on every frame decoded before: a lost first frame would change all.
            ffmpeg.args(["-aac_pns", "0"]);
        }
        if self.video() {
            let gop = gop.to_string();
            ffmpeg.args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
            ]);
            ffmpeg.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
            ffmpeg.args(["-bf", &bframes.to_string()]);
        }
        let output = ffmpeg
            .args(["-t", &seconds.to_string(), "-f", "flv"])
            .arg(path)
            .output()
            .expect("ffmpeg is installed by tests/run");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Its media tags, for the test's own encoder.
    pub fn tags(self) -> Vec<Tag> {
        tags(&self.path())
    }
}

/// The media tags of an FLV file.
pub fn tags(path: &Path) -> Vec<Tag> {
    let file = Bytes::from(fs::read(path).unwrap());
    let mut tags = Vec::new();
    let mut at = 13;
    while at + 11 <= file.len() {
        let head = &file[at..at + 11];
        let size = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let timestamp_ms = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        let kind = match head[0] {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            _ => TagKind::Script,
        };
        let payload = file.slice(at + 11..at + 11 + size);
        tags.push(Tag {
            kind,
            timestamp_ms,
            payload,
        });
        at += 11 + size + 4;
    }
    // FFmpeg ends the picture track with an end-of-sequence tag: a loop has no use for it.
    tags.retain(|tag| !(tag.kind == TagKind::Video && tag.payload.get(1) == Some(&2)));
    tags
}

/// Is it a sequence header of either track?
pub fn is_header(tag: &Tag) -> bool {
    tag.kind != TagKind::Script && tag.payload.get(1) == Some(&0)
}

/// `tags` moved by `offset_ms` on the wrapping 32-bit counter.
pub fn moved(tags: &[Tag], offset_ms: u32) -> Vec<Tag> {
    tags.iter()
        .map(|tag| Tag {
            timestamp_ms: tag.timestamp_ms.wrapping_add(offset_ms),
            ..tag.clone()
        })
        .collect()
}
