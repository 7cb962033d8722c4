//! Playlist text (RFC 8216): entries rendered once, then concatenated. It does not know where
//! segments are stored or served.

use std::{collections::VecDeque, fmt::Write as _, sync::Arc, time::Duration};

#[cfg(test)]
mod tests;

/// Bytes of removed entries that are always worth keeping rather than moving the rest.
const DEAD_FRONT_FLOOR: usize = 4096;
/// The longest header that [`MediaPlaylist::render`] writes, with room to spare.
const HEADER_BYTES: usize = 256;
/// The last instant that RFC 3339 can write, in ms since the Unix epoch.
const LAST_INSTANT_MS: u128 = 253_402_300_799_999;

/// One entry of a media playlist.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// EXTINF, 90 kHz.
    pub duration_90k: u64,
    /// EXT-X-PROGRAM-DATE-TIME of its first picture: time since the Unix epoch.
    pub program_date_time: Duration,
    /// EXT-X-DISCONTINUITY before it.
    pub discontinuity: bool,
    /// Opens with an IDR or has no video.
    pub independent: bool,
    /// Relative URI, without line breaks.
    pub uri: &'a str,
}

/// How a media playlist may change, which is what EXT-X-PLAYLIST-TYPE tells (RFC 8216 4.3.3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaylistKind {
    /// Entries come and go: never carries EXT-X-PLAYLIST-TYPE (media rule 15).
    #[default]
    Sliding,
    /// Entries are only added.
    Event,
    /// Complete: nothing changes any more.
    Vod,
}

/// The extent of one entry in the shared text.
struct Span {
    bytes: usize,
    discontinuity: bool,
}

/// A sliding media playlist. MEDIA-SEQUENCE and DISCONTINUITY-SEQUENCE only grow.
pub struct MediaPlaylist {
    /// What it lists now.
    now: Frozen,
    spans: VecDeque<Span>,
}

/// A media playlist as it was at one moment, to be rendered elsewhere and later. Taking one copies no
/// entries; while it is held, the next change of the playlist copies them once.
#[derive(Clone)]
pub struct Frozen {
    target_duration_s: u32,
    media_sequence: u64,
    discontinuity_sequence: u64,
    independent: bool,
    ended: bool,
    kind: PlaylistKind,
    /// Entries as text, one after the other, behind `dead` bytes of removed ones.
    text: Arc<String>,
    dead: usize,
}

impl MediaPlaylist {
    /// An empty window whose next entry has `media_sequence` and `discontinuity_sequence`.
    pub fn new(target_duration_s: u32, media_sequence: u64, discontinuity_sequence: u64) -> Self {
        Self {
            now: Frozen {
                target_duration_s,
                media_sequence,
                discontinuity_sequence,
                independent: true,
                ended: false,
                kind: PlaylistKind::Sliding,
                text: Arc::default(),
                dead: 0,
            },
            spans: VecDeque::new(),
        }
    }

    /// The same playlist, with INDEPENDENT-SEGMENTS gone for good unless `independent`: for one
    /// that goes on from an earlier playlist of the stream, with that one's
    /// [`MediaPlaylist::independent`].
    #[must_use]
    pub fn with_independent(mut self, independent: bool) -> Self {
        self.now.independent &= independent;
        self
    }

    /// The same playlist, of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: PlaylistKind) -> Self {
        self.now.kind = kind;
        self
    }

    /// Appends an entry. `independent: false` takes INDEPENDENT-SEGMENTS away for good.
    pub fn push(&mut self, entry: &Entry<'_>) {
        debug_assert!(!entry.uri.contains(['\r', '\n']), "a URI is one line");
        self.now.independent &= entry.independent;
        let text = Arc::make_mut(&mut self.now.text);
        let before = text.len();
        if entry.discontinuity {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        text.push_str("#EXT-X-PROGRAM-DATE-TIME:");
        text.push_str(&rfc3339_ms(entry.program_date_time));
        // 1 s = 90,000 ticks = 10^6 us. A tick is 11 us, so rounding to the nearest microsecond
        // never carries a duration across the half second that TARGETDURATION is judged by.
        let micros = (u128::from(entry.duration_90k) * 100 + 4) / 9;
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let uri = entry.uri;
        writeln!(text, "\n#EXTINF:{seconds}.{fraction:06},\n{uri}")
            .expect("writing to a String cannot fail");
        self.spans.push_back(Span {
            bytes: text.len() - before,
            discontinuity: entry.discontinuity,
        });
    }

    /// Removes the oldest entry, keeping both sequences right.
    pub fn pop_front(&mut self) {
        let Some(span) = self.spans.pop_front() else {
            return;
        };
        let now = &mut self.now;
        now.media_sequence += 1;
        now.discontinuity_sequence += u64::from(span.discontinuity);
        now.dead += span.bytes;
        // Moving what lives only when at least as much is dead keeps removal at constant cost.
        if now.dead >= DEAD_FRONT_FLOOR && now.dead >= now.text.len() - now.dead {
            Arc::make_mut(&mut now.text).drain(..now.dead);
            now.dead = 0;
        }
    }

    /// Entries now listed.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the first entry.
    pub fn media_sequence(&self) -> u64 {
        self.now.media_sequence
    }

    /// EXT-X-DISCONTINUITY-SEQUENCE: the start value plus the DISCONTINUITY tags removed since. A
    /// tag before the first listed entry is not in it yet (RFC 8216 6.2.2).
    pub fn discontinuity_sequence(&self) -> u64 {
        self.now.discontinuity_sequence
    }

    /// DISCONTINUITY tags now listed: with [`MediaPlaylist::discontinuity_sequence`], what a
    /// playlist starts from that goes on after this one's last entry.
    pub fn discontinuities(&self) -> usize {
        self.spans.iter().filter(|span| span.discontinuity).count()
    }

    /// Whether INDEPENDENT-SEGMENTS still holds: no entry ever pushed opened without an IDR.
    pub fn independent(&self) -> bool {
        self.now.independent
    }

    /// EXT-X-ENDLIST from now on.
    pub fn end(&mut self) {
        self.now.ended = true;
    }

    /// The playlist's text, appended to `out`: one header and one copy of the entries.
    pub fn render(&self, out: &mut Vec<u8>) {
        self.now.render(out);
    }

    /// The playlist as it is now, to be rendered elsewhere.
    pub fn freeze(&self) -> Frozen {
        self.now.clone()
    }
}

impl Frozen {
    /// The playlist's text, appended to `out`.
    pub fn render(&self, out: &mut Vec<u8>) {
        let entries = &self.text.as_bytes()[self.dead..];
        out.reserve(HEADER_BYTES + entries.len());
        out.extend_from_slice(b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:");
        push_decimal(out, u64::from(self.target_duration_s));
        out.extend_from_slice(b"\n#EXT-X-MEDIA-SEQUENCE:");
        push_decimal(out, self.media_sequence);
        out.extend_from_slice(b"\n#EXT-X-DISCONTINUITY-SEQUENCE:");
        push_decimal(out, self.discontinuity_sequence);
        out.push(b'\n');
        match self.kind {
            PlaylistKind::Sliding => {}
            PlaylistKind::Event => out.extend_from_slice(b"#EXT-X-PLAYLIST-TYPE:EVENT\n"),
            PlaylistKind::Vod => out.extend_from_slice(b"#EXT-X-PLAYLIST-TYPE:VOD\n"),
        }
        if self.independent {
            out.extend_from_slice(b"#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        out.extend_from_slice(entries);
        if self.ended {
            out.extend_from_slice(b"#EXT-X-ENDLIST\n");
        }
    }
}

/// One rendition of a multivariant playlist (RFC 8216 4.3.4.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Variant<'a> {
    /// Peak bits per second over any segment.
    pub bandwidth: u64,
    /// Mean bits per second; 0 when not known.
    pub average_bandwidth: u64,
    /// RFC 6381 codecs, video first.
    pub codecs: &'a [&'a str],
    /// Width and height, with video.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second, with video.
    pub frame_rate: Option<f64>,
    /// Relative URI of the media playlist.
    pub uri: &'a str,
}

/// The multivariant playlist's text. What a variant does not know is left out, except BANDWIDTH,
/// which the format requires.
pub fn render_multivariant(variants: &[Variant<'_>], independent: bool) -> Vec<u8> {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:3\n");
    if independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    for variant in variants {
        push_variant(&mut text, variant).expect("writing to a String cannot fail");
    }
    text.into_bytes()
}

fn push_variant(text: &mut String, variant: &Variant<'_>) -> std::fmt::Result {
    write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={}", variant.bandwidth)?;
    if variant.average_bandwidth > 0 {
        write!(text, ",AVERAGE-BANDWIDTH={}", variant.average_bandwidth)?;
    }
    if !variant.codecs.is_empty() {
        write!(text, ",CODECS=\"{}\"", variant.codecs.join(","))?;
    }
    if let Some((width, height)) = variant.resolution {
        write!(text, ",RESOLUTION={width}x{height}")?;
    }
    // An SPS can claim any ratio, so a rate that is no rate is left out.
    if let Some(rate) = variant.frame_rate.filter(|r| r.is_finite() && *r > 0.0) {
        write!(text, ",FRAME-RATE={rate:.3}")?;
    }
    writeln!(text, "\n{}", variant.uri)
}

/// RFC 3339 in UTC with milliseconds, rounded to the nearest. Instants past the year 9999, which
/// the format cannot write, are held at its last millisecond.
pub fn rfc3339_ms(since_epoch: Duration) -> String {
    let ms = ((since_epoch.as_nanos() + 500_000) / 1_000_000).min(LAST_INSTANT_MS);
    let ms = u64::try_from(ms).expect("the last instant fits");
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
pub fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, a year ends with its leap day and months follow one formula; an era
    // is the 400 years (146,097 days) after which the calendar repeats.
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, carry) = match month_from_march {
        0..=9 => (month_from_march + 3, 0),
        _ => (month_from_march - 9, 1),
    };
    (era * 400 + year_of_era + carry, month, day)
}

/// Appends `value` in decimal; the formatter would cost more than the rest of a short playlist.
fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}
