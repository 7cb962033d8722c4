//! Standby: what must be kept of a session whose media is not shown, so that it can be shown from
//! its next IDR on: the sequence headers (media rules 20, 24). It does not know why it is not shown.

use bytes::Bytes;

use crate::aac::{AacConfig, AacError};
use crate::avc::{AvcConfig, NAL_IDR, Nals, nal_type};
use crate::payload::{self, Audio, Unusable, Video};
use crate::segment::{Refusal, Tracks};
use crate::{Tag, TagKind};

/// The newest sequence headers of a session. Feed it every tag: [`Standby::note`] what is shown, [`Standby::push`]
/// what is not.
#[derive(Debug, Default)]
pub struct Standby {
    video: Option<(Tag, AvcConfig)>,
    audio: Option<(Tag, AacConfig)>,
}

impl Standby {
    /// Checks a tag as a segmenter would, and tells whether a new
    /// [`Segmenter`](crate::Segmenter) that gets [`Standby::headers`] could begin with it: an IDR,
    /// or without a video header any audio frame.
    ///
    /// # Errors
    /// The codec is not supported: terminal.
    pub fn push(&mut self, tag: &Tag) -> Result<bool, Refusal> {
        let refused = |unusable| match unusable {
            Unusable::Refused(refusal) => Err(refusal),
            Unusable::Malformed(_) => Ok(false),
        };
        match tag.kind {
            TagKind::Script => Ok(false),
            TagKind::Video => payload::video(&tag.payload)
                .map(|video| self.video(tag, &video))
                .or_else(refused),
            TagKind::Audio => match payload::audio(&tag.payload) {
                Ok(audio) => self.audio(tag, &audio),
                Err(unusable) => refused(unusable),
            },
        }
    }

    /// Takes notice of a tag that is shown: only a sequence header matters, and whether it is refused is
    /// found by who shows it.
    pub fn note(&mut self, tag: &Tag) {
        let is_header = match tag.kind {
            TagKind::Script => false,
            TagKind::Video => matches!(payload::video(&tag.payload), Ok(Video::Config(_))),
            TagKind::Audio => matches!(payload::audio(&tag.payload), Ok(Audio::Config(_))),
        };
        if is_header {
            let _ = self.push(tag);
        }
    }

    fn video(&mut self, tag: &Tag, video: &Video) -> bool {
        match video {
            Video::Config(header) => {
                if let Ok(config) = AvcConfig::parse(header) {
                    self.video = Some((alone(tag), config));
                }
                false
            }
            Video::Picture { data, .. } => self.video.as_ref().is_some_and(|(_, config)| {
                Nals::new(data, config.length_bytes)
                    .is_ok_and(|mut nals| nals.any(|nal| nal_type(nal) == NAL_IDR))
            }),
            Video::Nothing => false,
        }
    }

    fn audio(&mut self, tag: &Tag, audio: &Audio) -> Result<bool, Refusal> {
        match audio {
            Audio::Config(header) => {
                match AacConfig::parse(header) {
                    Ok(config) => self.audio = Some((alone(tag), config)),
                    Err(AacError::Unsupported(name)) => return Err(Refusal::AudioCodec(name)),
                    Err(AacError::Malformed(_)) => {}
                }
                Ok(false)
            }
            Audio::Frame(_) => Ok(self.video.is_none() && self.audio.is_some()),
            Audio::Nothing => Ok(false),
        }
    }

    /// The newest sequence headers, stamped `timestamp_ms`.
    pub fn headers(&self, timestamp_ms: u32) -> impl Iterator<Item = Tag> {
        let video = self.video.as_ref().map(|(tag, _)| tag);
        let audio = self.audio.as_ref().map(|(tag, _)| tag);
        video.into_iter().chain(audio).map(move |tag| Tag {
            timestamp_ms,
            ..tag.clone()
        })
    }

    /// The tracks that the headers tell of.
    pub fn tracks(&self) -> Tracks {
        Tracks {
            video: self.video.as_ref().map(|(_, config)| config.track()),
            audio: self.audio.as_ref().map(|(_, config)| config.track()),
        }
    }
}

/// The tag with bytes of its own: it is kept for long, and what came with it in one buffer is not.
fn alone(tag: &Tag) -> Tag {
    Tag {
        payload: Bytes::copy_from_slice(&tag.payload),
        ..*tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 26] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];

    fn tag(kind: TagKind, payload: &[u8]) -> Tag {
        Tag {
            kind,
            timestamp_ms: 7,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn header() -> Tag {
        let head = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
        let all = [&head[..], &SPS, &[1, 0, 2, 0x68, 0xeb]].concat();
        tag(TagKind::Video, &all)
    }

    #[test]
    fn a_session_begins_with_an_idr_behind_its_header() {
        let mut standby = Standby::default();
        let idr = tag(TagKind::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 1]);
        let other = tag(TagKind::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, 1]);
        assert_eq!(standby.push(&idr), Ok(false), "no header yet");
        assert_eq!(standby.push(&header()), Ok(false));
        assert_eq!(standby.push(&other), Ok(false));
        assert_eq!(standby.push(&idr), Ok(true));
        assert_eq!(standby.tracks().video.map(|video| video.height), Some(720));
        let headers: Vec<_> = standby.headers(9).collect();
        assert_eq!((headers.len(), headers[0].timestamp_ms), (1, 9));
        let mut shown = Standby::default();
        shown.note(&idr);
        shown.note(&header());
        assert_eq!(shown.tracks(), standby.tracks());
        assert_eq!(shown.push(&idr), Ok(true));
    }

    #[test]
    fn audio_begins_alone_and_bad_codecs_are_refused() {
        let mut standby = Standby::default();
        let (config, frame) = (&[0xaf, 0, 0x12, 0x10], &[0xaf, 1, 0x21]);
        assert_eq!(standby.push(&tag(TagKind::Audio, frame)), Ok(false));
        assert_eq!(standby.push(&tag(TagKind::Audio, config)), Ok(false));
        assert_eq!(standby.push(&tag(TagKind::Audio, frame)), Ok(true));
        assert_eq!(standby.push(&header()), Ok(false));
        assert_eq!(standby.push(&tag(TagKind::Audio, frame)), Ok(false));
        assert_eq!(standby.headers(0).count(), 2);
        for bad in [&[0x2f, 1][..], &[0x22, 0]] {
            let kind = if bad[0] == 0x2f {
                TagKind::Audio
            } else {
                TagKind::Video
            };
            assert!(standby.push(&tag(kind, bad)).is_err(), "{bad:?}");
        }
        assert_eq!(standby.push(&tag(TagKind::Video, &[0x17])), Ok(false));
        assert_eq!(standby.push(&tag(TagKind::Script, &[2])), Ok(false));
    }
}
