//! Playlists as viewers get them: rendered once per version, compressed once if a viewer wants it so, and
//! what goes with them to whoever delivers. It does not know when they change.

use std::{
    io::Write,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use segmenter::{
    playlist::{Variant, render_multivariant},
    segment::Tracks,
};
use sha2::{Digest, Sha256};

use super::audience::Audience;

/// Rates that encoders mean when what was counted is within 0.5 % of them.
const COMMON_FPS: [f64; 12] = [
    15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0, 120.0,
];

/// Where the multivariant playlist finds the media playlist.
const MEDIA_URI: &str = "source/index.m3u8";

/// A rendered playlist, made once per version.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text.
    pub plain: Bytes,
    /// The text compressed, once somebody asked: see [`Rendered::gzip`].
    pub gzip: OnceLock<Bytes>,
    /// Quoted strong entity tag of `plain`, like `"1f2e-6"`; the gzip variant's ends in `-gz"`.
    pub etag: String,
    /// Quoted strong entity tag of `gzip`.
    pub etag_gzip: String,
    /// When this version was made.
    pub modified: SystemTime,
}

/// What viewers read: immutable, swapped whole.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The multivariant playlist.
    pub multivariant: Arc<Rendered>,
    /// The media playlist of `source`.
    pub media: Rendered,
    /// EXT-X-TARGETDURATION.
    pub target_duration_s: u32,
    /// The playlist has its ENDLIST.
    pub ended: bool,
    /// Seconds that a cache may keep the playlists.
    pub max_age_s: u32,
    /// Whoever delivers this keeps here what its answers begin with; each is written once.
    pub heads: Heads,
    pub(super) audience: Arc<Audience>,
}

/// Beginnings of answers: of two playlists, whole or unchanged, plain or gzip.
pub type Heads = [OnceLock<Box<[u8]>>; 8];

impl Snapshot {
    /// Counts `address` among the viewers: it fetched the media playlist. Takes no lock.
    pub fn seen_by(&self, address: IpAddr) {
        self.audience.seen(address);
    }
}

impl Rendered {
    /// Names the version by its content, so that tags differ whenever bytes do, also across restarts.
    pub(super) fn new(plain: Vec<u8>) -> Self {
        let tag = content_tag(&plain);
        Self {
            plain: plain.into(),
            gzip: OnceLock::new(),
            etag: format!("\"{tag}\""),
            etag_gzip: format!("\"{tag}-gz\""),
            modified: SystemTime::now(),
        }
    }

    /// The same for long ones, which change often: compressed at once, in a sixth of the time for half as
    /// many bytes more.
    pub(super) fn fast(plain: Vec<u8>) -> Self {
        let gzip = compressed(&plain, Compression::fast()).into();
        Self {
            gzip,
            ..Self::new(plain)
        }
    }

    /// The text, compressed when it is first asked for.
    pub fn gzip(&self) -> &Bytes {
        self.gzip
            .get_or_init(|| compressed(&self.plain, Compression::default()))
    }
}

fn compressed(plain: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(512), level);
    encoder
        .write_all(plain)
        .expect("writing into a vector cannot fail");
    let gzip = encoder.finish().expect("writing into a vector cannot fail");
    gzip.into()
}

/// 96 bits of a hash of `bytes`, as hexadecimal digits.
pub(super) fn content_tag(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let hash = Sha256::digest(bytes);
    let mut text = String::with_capacity(24);
    for byte in hash.iter().take(12) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bit rates over a stream's life, for the multivariant playlist.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    peak_bps: u64,
    bytes: u64,
    ticks_90k: u64,
}

impl Rates {
    /// Counts a segment. One much shorter than the target says nothing about the peak (RFC 8216
    /// 4.3.4.2 counts runs of at least half a target duration) unless there is no other.
    pub(super) fn add(&mut self, bytes: u64, duration_90k: u64, target_duration_s: u32) {
        if duration_90k * 2 >= u64::from(target_duration_s) * 90_000 || self.ticks_90k == 0 {
            self.peak_bps = self.peak_bps.max(bps(bytes, duration_90k));
        }
        self.bytes += bytes;
        self.ticks_90k += duration_90k;
    }
}

/// Bits per second.
pub(super) fn bps(bytes: u64, duration_90k: u64) -> u64 {
    let bits = u128::from(bytes) * 8 * 90_000;
    u64::try_from(bits / u128::from(duration_90k.max(1))).unwrap_or(u64::MAX)
}

/// Rounds a bit rate up to 8 steps an octave: never too low for a player's choice, at most 12.5 %
/// too high, and the multivariant playlist stays the same text while the rate wanders.
fn step_up(bps: u64) -> u64 {
    let step = (1 << bps.max(1).ilog2()) / 8;
    bps.next_multiple_of(step.max(1))
}

/// What was counted, or the common rate it is nearly.
pub(super) fn frame_rate(pictures: u32, duration_90k: u64) -> Option<f64> {
    if pictures == 0 || duration_90k == 0 {
        return None;
    }
    let counted = f64::from(pictures) * 90_000.0 / duration_90k as f64;
    let common = COMMON_FPS
        .into_iter()
        .min_by(|a, b| (a - counted).abs().total_cmp(&(b - counted).abs()))
        .filter(|rate| (rate - counted).abs() < rate * 0.005);
    Some(common.unwrap_or((counted * 1000.0).round() / 1000.0))
}

/// The multivariant playlist of a stream with one rendition.
pub(super) fn multivariant(
    tracks: &Tracks,
    rates: Rates,
    counted_fps: Option<f64>,
    independent: bool,
) -> Vec<u8> {
    let video = tracks.video.as_ref();
    let audio = tracks.audio.as_ref();
    let codecs: Vec<&str> = video
        .map(|track| track.codec.as_str())
        .into_iter()
        .chain(audio.map(|track| track.codec.as_str()))
        .collect();
    let average = bps(rates.bytes, rates.ticks_90k);
    let variant = Variant {
        bandwidth: step_up(rates.peak_bps.max(average)),
        average_bandwidth: step_up(average),
        codecs: &codecs,
        resolution: video.map(|track| (track.width, track.height)),
        frame_rate: video.and_then(|track| track.fps.or(counted_fps)),
        uri: MEDIA_URI,
    };
    render_multivariant(&[variant], independent)
}

/// The multivariant playlist `before` with the rates of a whole recording; one that only says where
/// the media is when `before` is empty.
pub(super) fn multivariant_with(before: &[u8], rates: Rates, independent: bool) -> Vec<u8> {
    const INDEPENDENT: &str = "#EXT-X-INDEPENDENT-SEGMENTS";
    const STREAM: &str = "#EXT-X-STREAM-INF:";
    let before = String::from_utf8_lossy(before);
    if !before.contains(STREAM) {
        return multivariant(&Tracks::default(), rates, None, independent);
    }
    let average = bps(rates.bytes, rates.ticks_90k);
    let mut text = String::with_capacity(before.len() + 32);
    for line in before
        .lines()
        .filter(|line| independent || *line != INDEPENDENT)
    {
        let line = match line.strip_prefix(STREAM) {
            None => line.to_owned(),
            Some(attributes) => {
                let is_rate = |item: &&str| {
                    !item.starts_with("BANDWIDTH=") && !item.starts_with("AVERAGE-BANDWIDTH=")
                };
                let others: Vec<&str> = attributes.split(',').filter(is_rate).collect();
                let (peak, mean) = (step_up(rates.peak_bps.max(average)), step_up(average));
                let rates = format!("BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean}");
                let all = std::iter::once(rates.as_str()).chain(others);
                format!("{STREAM}{}", all.collect::<Vec<_>>().join(","))
            }
        };
        text.push_str(&line);
        text.push('\n');
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn tags_tell_versions_and_encodings_apart() {
        let (one, two) = (
            Rendered::new(b"#EXTM3U\n1".to_vec()),
            Rendered::new(b"#EXTM3U\n2".to_vec()),
        );
        assert_ne!(one.etag, two.etag);
        assert_ne!(one.etag, one.etag_gzip);
        assert!(one.etag_gzip.ends_with("-gz\"") && one.etag.starts_with('"'));
        assert_eq!(one.etag, Rendered::new(one.plain.to_vec()).etag);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&one.gzip()[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "#EXTM3U\n1");
    }

    #[test]
    fn steps_are_never_below_and_little_above() {
        for rate in [0, 1, 7, 8, 9, 1000, 999_999, 2_500_000, u64::from(u32::MAX)] {
            let up = step_up(rate);
            assert!(up >= rate && up - rate <= rate / 8, "{rate} -> {up}");
        }
        assert_eq!(step_up(2_110_000), step_up(2_300_000));
    }

    #[test]
    fn a_recording_has_the_rates_of_the_whole_and_the_tracks_of_the_stream() {
        let mut rates = Rates::default();
        rates.add(250_000, 180_000, 2);
        rates.add(1_000_000, 180_000, 2);
        let before = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=1,CODECS=\"avc1.64001f,mp4a.40.2\",\
            RESOLUTION=16x9\nsource/index.m3u8\n";
        let text = |before: &str, independent| {
            let text = multivariant_with(before.as_bytes(), rates, independent);
            String::from_utf8(text).unwrap()
        };
        let (peak, mean) = (step_up(4_000_000), step_up(2_500_000));
        let expected = before.replace(
            "BANDWIDTH=1,AVERAGE-BANDWIDTH=1",
            &format!("BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean}"),
        );
        assert_eq!(text(before, true), expected);
        assert!(!text(before, false).contains("INDEPENDENT"));
        let bare = text("", true);
        assert!(
            bare.contains(&format!("BANDWIDTH={peak}")) && bare.ends_with("source/index.m3u8\n")
        );
    }

    #[test]
    fn a_tiny_last_segment_is_no_peak() {
        let mut rates = Rates::default();
        rates.add(250_000, 180_000, 2);
        rates.add(50_000, 3_600, 2);
        assert_eq!(rates.peak_bps, 1_000_000);
    }

    #[test]
    fn counted_rates_snap_to_common_ones() {
        assert_eq!(frame_rate(50, 180_000), Some(25.0));
        assert_eq!(frame_rate(60, 180_180), Some(29.97));
        assert_eq!(frame_rate(13, 90_000), Some(13.0));
        assert_eq!(frame_rate(0, 90_000), None);
    }
}
