//! Playlist text (RFC 8216): entries rendered once, then concatenated. It does not know where
//! segments are stored or served.

use std::time::Duration;

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
    /// Relative URI.
    pub uri: &'a str,
}

/// A sliding media playlist. MEDIA-SEQUENCE and DISCONTINUITY-SEQUENCE only grow.
pub struct MediaPlaylist {
    _private: (),
}

impl MediaPlaylist {
    /// An empty window whose next entry has `media_sequence` and `discontinuity_sequence`.
    pub fn new(
        _target_duration_s: u32,
        _media_sequence: u64,
        _discontinuity_sequence: u64,
    ) -> Self {
        todo!()
    }
    /// Appends an entry. `independent: false` takes INDEPENDENT-SEGMENTS away for good.
    pub fn push(&mut self, _entry: &Entry<'_>) {
        todo!()
    }
    /// Removes the oldest entry, keeping both sequences right.
    pub fn pop_front(&mut self) {
        todo!()
    }
    /// Entries now listed.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of the first entry.
    pub fn media_sequence(&self) -> u64 {
        todo!()
    }
    /// Discontinuity sequence of the first entry.
    pub fn discontinuity_sequence(&self) -> u64 {
        todo!()
    }
    /// EXT-X-ENDLIST from now on.
    pub fn end(&mut self) {
        todo!()
    }
    /// The playlist's text, appended to `out`.
    pub fn render(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}

/// One rendition of a multivariant playlist (RFC 8216 4.3.4.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Variant<'a> {
    /// Peak bits per second over any segment.
    pub bandwidth: u64,
    /// Mean bits per second.
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

/// The multivariant playlist's text.
pub fn render_multivariant(_variants: &[Variant<'_>], _independent: bool) -> Vec<u8> {
    todo!()
}
