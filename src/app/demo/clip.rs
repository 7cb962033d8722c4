//! The sample clip, and its playing in a loop at the pace of its timestamps. It does not know where
//! the tags go. `make-clip.sh` made the file.

use std::time::Duration;

use bytes::Bytes;
use segmenter::{Tag, TagKind, flv::Reader};
use tokio::time::{Instant, sleep_until};

use crate::error::{Error, Kind, Result};

const FILE: &[u8] = include_bytes!("clip.flv");
/// From one round to the next: a whole number of pictures, GOPs and AAC frames.
const LENGTH_MS: u32 = 8000;
/// AVCPacketType and AACPacketType of a sequence header (FLV 10.1 E.4.2.1, E.4.3.1).
const SEQUENCE_HEADER: u8 = 0;
/// AVCPacketType of the end of a sequence.
const END_OF_SEQUENCE: u8 = 2;

/// A clip taken apart.
pub struct Clip {
    /// Metadata and sequence headers.
    headers: Vec<Tag>,
    /// Pictures and sound of one round, in the file's order.
    media: Vec<Tag>,
}

impl Clip {
    /// The clip in the program.
    ///
    /// # Errors
    /// Never for the file that a test has read.
    pub fn built_in() -> Result<Self> {
        let broken = |error| Error::with(Kind::Internal, "the built-in clip", error);
        let mut reader = Reader::new(FILE.len());
        reader.feed(Bytes::from_static(FILE));
        let mut clip = Self {
            headers: vec![],
            media: vec![],
        };
        while let Some(tag) = reader.next_tag().map_err(broken)? {
            match (tag.kind, tag.payload.get(1)) {
                (TagKind::Script, _) | (_, Some(&SEQUENCE_HEADER)) => clip.headers.push(tag),
                (TagKind::Video, Some(&END_OF_SEQUENCE)) | (_, None) => {}
                _ => clip.media.push(tag),
            }
        }
        reader.finish().map_err(broken)?;
        if clip.media.is_empty() {
            return Err(Error::new(Kind::Internal, "the built-in clip has no media"));
        }
        Ok(clip)
    }
}

/// Where in the endless repetition of a clip the publisher is. Timestamps go on over rounds, and over
/// connections.
pub struct Player {
    clip: Clip,
    /// Which tag is next.
    index: usize,
    /// What is added to timestamps, ms; not wrapped.
    offset_ms: u64,
    began: Instant,
}

impl Player {
    /// From the clip's beginning, now.
    pub fn new(clip: Clip) -> Self {
        Self {
            clip,
            index: 0,
            offset_ms: 0,
            began: Instant::now(),
        }
    }

    /// What a new connection sends first. What was due while there was none is left out: play goes
    /// on with the round that begins next.
    pub fn begin(&mut self) -> Vec<Tag> {
        let late = self.began.elapsed() > Duration::from_millis(self.due_ms());
        if late && (self.index > 0 || self.offset_ms > 0) {
            self.index = 0;
            self.offset_ms += u64::from(LENGTH_MS);
            self.began = Instant::now() - Duration::from_millis(self.offset_ms);
        }
        let stamp = |tag: &Tag| self.stamped(tag.clone(), 0);
        self.clip.headers.iter().map(stamp).collect()
    }

    /// The next tag, when its time has come.
    pub async fn next(&mut self) -> Tag {
        sleep_until(self.began + Duration::from_millis(self.due_ms())).await;
        let tag = self.clip.media[self.index].clone();
        let own_ms = tag.timestamp_ms;
        let tag = self.stamped(tag, own_ms);
        self.index += 1;
        if self.index == self.clip.media.len() {
            self.index = 0;
            self.offset_ms += u64::from(LENGTH_MS);
        }
        tag
    }

    /// When the next tag is due, from the beginning.
    fn due_ms(&self) -> u64 {
        self.offset_ms + u64::from(self.clip.media[self.index].timestamp_ms)
    }

    /// The wire's timestamps wrap after 49 days (media rule 1).
    fn stamped(&self, mut tag: Tag, own_ms: u32) -> Tag {
        tag.timestamp_ms = (self.offset_ms as u32).wrapping_add(own_ms);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_loops_cleanly() {
        let clip = Clip::built_in().unwrap();
        assert_eq!(clip.headers.len(), 3, "metadata and two sequence headers");
        let of = |kind| clip.media.iter().filter(move |tag| tag.kind == kind);
        let length_ms = u64::from(LENGTH_MS);
        assert_eq!(of(TagKind::Video).count() as u64 * 40, length_ms);
        // 1024 samples at 48 kHz are 64/3 ms.
        assert_eq!(of(TagKind::Audio).count() as u64 * 64 / 3, length_ms);
        let keys = of(TagKind::Video).filter(|tag| tag.payload[0] >> 4 == 1);
        assert_eq!(keys.count(), 4);
        assert!(FILE.len() < 600_000);
    }

    #[tokio::test(start_paused = true)]
    async fn timestamps_go_on_over_rounds_in_real_time() {
        let mut player = Player::new(Clip::built_in().unwrap());
        let start = Instant::now();
        player.begin();
        let mut last = [None::<u32>; 2];
        let tags = player.clip.media.len() * 3;
        for _ in 0..tags {
            let tag = player.next().await;
            let now_ms = start.elapsed().as_millis() as u32;
            assert!(now_ms.abs_diff(tag.timestamp_ms) < 150, "{now_ms}");
            let (track, longest_ms) = match tag.kind {
                TagKind::Video => (0, 40),
                _ => (1, 23),
            };
            if let Some(last) = last[track] {
                let step_ms = tag.timestamp_ms - last;
                assert!((1..=longest_ms).contains(&step_ms), "{step_ms}");
            }
            last[track] = Some(tag.timestamp_ms);
        }
        assert!(start.elapsed() > Duration::from_secs(23));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_begins_with_a_key_frame_and_now() {
        let mut player = Player::new(Clip::built_in().unwrap());
        player.begin();
        let mut last = 0;
        for _ in 0..20 {
            last = player.next().await.timestamp_ms;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        let headers = player.begin();
        assert!(headers.iter().all(|tag| tag.timestamp_ms > last));
        let before = Instant::now();
        let tag = player.next().await;
        assert_eq!(tag.payload[0] >> 4, 1, "a key frame");
        assert!(before.elapsed() < Duration::from_millis(1));
    }
}
