//! A viewer that never looks away: it polls a media playlist and holds every update to RFC 8216
//! 6.2.1 and 6.2.2 and to the media rules. It does not know what is in the segments.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use m3u8_rs::MediaPlaylist;

use super::{http, wait::until};

/// One listed segment, fetched when it was first seen.
#[derive(Clone)]
pub struct Seen {
    pub path: String,
    pub duration_s: f32,
    pub discontinuity: bool,
    /// EXT-X-PROGRAM-DATE-TIME, milliseconds since 1970.
    pub date_ms: i64,
    pub body: Vec<u8>,
}

/// Follows one media playlist.
pub struct Poller {
    address: SocketAddr,
    path: String,
    last: Option<MediaPlaylist>,
    text: String,
    /// Every segment ever listed, by media sequence number.
    pub seen: BTreeMap<u64, Seen>,
    /// When each version of the playlist was seen first.
    pub updated: Vec<Instant>,
}

impl Poller {
    /// A poller of `path`, such as `/live/UID/source/index.m3u8`.
    pub fn new(address: SocketAddr, path: impl Into<String>) -> Self {
        Self {
            address,
            path: path.into(),
            last: None,
            text: String::new(),
            seen: BTreeMap::new(),
            updated: Vec::new(),
        }
    }

    /// The same viewer after the server came back on other ports.
    pub fn moved(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Fetches once; `None` when there is no playlist now.
    #[track_caller]
    pub fn poll(&mut self) -> Option<&MediaPlaylist> {
        let reply = http::try_send(self.address, "GET", &self.path, &[])?;
        if reply.status != 200 {
            return None;
        }
        let text = reply.text();
        if text != self.text || self.last.is_none() {
            let next = m3u8_rs::parse_media_playlist_res(text.as_bytes())
                .unwrap_or_else(|e| panic!("not a media playlist ({e:?}):\n{text}"));
            check_alone(&next, &text);
            if let Some(last) = &self.last {
                check_update(last, &next, &self.text, &text);
            }
            self.updated.push(Instant::now());
            self.fetch_new(&next);
            self.last = Some(next);
            self.text = text;
        }
        self.last.as_ref()
    }

    /// Polls until `condition` holds.
    #[track_caller]
    pub fn wait(
        &mut self,
        what: &str,
        seconds: u64,
        condition: impl Fn(&MediaPlaylist) -> bool,
    ) -> MediaPlaylist {
        until(what, seconds, || {
            self.poll().filter(|p| condition(p)).cloned()
        })
    }

    /// Waits until `count` segments have been listed in all.
    #[track_caller]
    pub fn segments(&mut self, count: usize, seconds: u64) {
        until(
            &format!("{count} segments in {}", self.path),
            seconds,
            || {
                self.poll();
                (self.seen.len() >= count).then_some(())
            },
        );
    }

    /// Waits for media that was not there at the time of the call: for publishers in real time.
    #[track_caller]
    pub fn grows(&mut self, seconds: u64) {
        let end = self.end();
        self.reaches(end + 1, seconds);
    }

    /// The sequence number that comes next; 0 while there is no playlist.
    #[track_caller]
    pub fn end(&mut self) -> u64 {
        self.poll()
            .map_or(0, |p| p.media_sequence + p.segments.len() as u64)
    }

    /// Waits until the sequence number that comes next is at least `end`.
    #[track_caller]
    pub fn reaches(&mut self, end: u64, seconds: u64) {
        until(&format!("number {end} in {}", self.path), seconds, || {
            (self.end() >= end).then_some(())
        });
    }

    /// The text of the last playlist.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All segments seen, one after the other.
    pub fn concatenated(&self) -> Vec<u8> {
        self.seen
            .values()
            .flat_map(|s| s.body.iter().copied())
            .collect()
    }

    /// Everything in the last playlist can be fetched, and is what it was when it was new.
    #[track_caller]
    pub fn same_bytes(&self) {
        let listed = self.last.iter().flat_map(|p| {
            let end = p.media_sequence + p.segments.len() as u64;
            self.seen.range(p.media_sequence..end)
        });
        for (number, seen) in listed {
            let reply = http::get(self.address, &seen.path);
            assert_eq!(reply.status, 200, "{number}: {}", seen.path);
            assert!(
                reply.body == seen.body,
                "{number}: other bytes at {}",
                seen.path
            );
        }
    }

    /// DISCONTINUITY tags seen, whether still listed or not.
    pub fn discontinuities(&self) -> usize {
        self.seen.values().filter(|s| s.discontinuity).count()
    }

    #[track_caller]
    fn fetch_new(&mut self, playlist: &MediaPlaylist) {
        for (sequence, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
            let path = resolve(&self.path, &segment.uri);
            if let Some(seen) = self.seen.get(&sequence) {
                assert_eq!(seen.path, path, "a number is one segment's");
                continue;
            }
            let clash = self.seen.iter().find(|(_, seen)| seen.path == path);
            assert!(clash.is_none(), "{path} was used before");
            let reply = http::get(self.address, &path);
            assert_eq!(
                reply.status, 200,
                "listed but not fetchable (rule 9): {path}"
            );
            assert!(
                !reply.body.is_empty() && reply.body.len().is_multiple_of(188),
                "{path}"
            );
            let date = segment.program_date_time.expect("checked alone");
            self.seen.insert(
                sequence,
                Seen {
                    path,
                    duration_s: segment.duration,
                    discontinuity: segment.discontinuity,
                    date_ms: date.timestamp_millis(),
                    body: reply.body,
                },
            );
        }
    }
}

/// The path of `uri` as listed in the playlist at `base`.
pub fn resolve(base: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        let slash = rest.find('/').expect("a URL with a path");
        return rest[slash..].to_owned();
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let directory = base.rfind('/').map_or("", |slash| &base[..=slash]);
    format!("{directory}{uri}")
}

#[track_caller]
fn check_alone(playlist: &MediaPlaylist, text: &str) {
    assert!(text.starts_with("#EXTM3U\n"), "{text}");
    assert!(text.ends_with('\n') && !text.contains('\r'), "{text:?}");
    for tag in [
        "EXT-X-VERSION",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
    ] {
        assert_eq!(
            text.matches(&format!("#{tag}:")).count(),
            1,
            "{tag} once:\n{text}"
        );
    }
    assert!(
        playlist.version.is_some_and(|v| v >= 3),
        "EXTINF has decimals:\n{text}"
    );
    if !playlist.end_list {
        assert!(
            playlist.playlist_type.is_none(),
            "a live window has no type:\n{text}"
        );
    }
    for segment in &playlist.segments {
        let rounded = segment.duration.round() as u64;
        assert!(
            rounded <= playlist.target_duration,
            "EXTINF over TARGETDURATION:\n{text}"
        );
        assert!(segment.duration > 0.0, "an empty segment:\n{text}");
        assert!(
            segment.program_date_time.is_some(),
            "rule 15, a date each:\n{text}"
        );
    }
}

#[track_caller]
fn check_update(last: &MediaPlaylist, next: &MediaPlaylist, old: &str, new: &str) {
    let both = format!("before:\n{old}\nafter:\n{new}");
    assert!(!last.end_list, "changed after ENDLIST; {both}");
    assert_eq!(
        last.target_duration, next.target_duration,
        "TARGETDURATION changed; {both}"
    );
    assert!(
        next.media_sequence >= last.media_sequence,
        "MEDIA-SEQUENCE went back; {both}"
    );
    let end = |p: &MediaPlaylist| p.media_sequence + p.segments.len() as u64;
    assert!(end(next) >= end(last), "the end went back; {both}");
    let removed = usize::try_from(next.media_sequence - last.media_sequence).unwrap();
    // Segments common to both are the same, tag by tag (RFC 8216 6.2.1).
    for (a, b) in last.segments.iter().skip(removed).zip(&next.segments) {
        assert_eq!(a, b, "a listed segment changed; {both}");
    }
    if removed <= last.segments.len() {
        let gone = last.segments[..removed]
            .iter()
            .filter(|s| s.discontinuity)
            .count() as u64;
        let sequence = next.discontinuity_sequence - last.discontinuity_sequence;
        assert_eq!(sequence, gone, "DISCONTINUITY-SEQUENCE miscounts; {both}");
    } else {
        assert!(
            next.discontinuity_sequence >= last.discontinuity_sequence,
            "{both}"
        );
    }
}
