//! Payload: the few bytes before the media in an FLV or RTMP message (FLV 10.1 E.4.2 and E.4.3,
//! Enhanced RTMP v2), and the names of codecs we refuse. It does not know what the media says.

use bytes::Bytes;

use crate::segment::Refusal;

/// What a video message carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Video {
    /// AVCDecoderConfigurationRecord.
    Config(Bytes),
    /// One access unit.
    Picture {
        /// Composition time offset, signed 24 bit.
        cts_ms: i32,
        /// NAL units.
        data: Bytes,
    },
    /// Nothing for us: empty, end of sequence, a command frame, metadata.
    Nothing,
}

/// What an audio message carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    /// AudioSpecificConfig.
    Config(Bytes),
    /// One raw AAC frame.
    Frame(Bytes),
    /// Nothing for us.
    Nothing,
}

/// Why a message gives nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Unusable {
    /// Another codec.
    Refused(Refusal),
    /// In words.
    Malformed(&'static str),
}

/// Reads a VIDEODATA or ExVideoTagHeader.
///
/// # Errors
/// Another codec than H.264, or a truncated header.
pub fn video(payload: &Bytes) -> Result<Video, Unusable> {
    const TRUNCATED: Unusable = Unusable::Malformed("truncated video message");
    let Some(&first) = payload.first() else {
        return Ok(Video::Nothing);
    };
    let command = first >> 4 & 7 == 5;
    if first & 0x80 != 0 {
        return enhanced_video(payload, first & 0x0f, command);
    }
    if first & 0x0f != 7 {
        return Err(Unusable::Refused(Refusal::VideoCodec(video_name(
            first & 0x0f,
        ))));
    }
    if command {
        return Ok(Video::Nothing);
    }
    match payload.get(1).ok_or(TRUNCATED)? {
        0 | 1 if payload.len() < 5 => Err(TRUNCATED),
        0 => Ok(Video::Config(payload.slice(5..))),
        1 => Ok(picture(payload, 2)),
        2 => Ok(Video::Nothing),
        _ => Err(Unusable::Malformed("unknown AVC packet type")),
    }
}

/// A picture whose composition time stands at `at`; the caller checked the length.
fn picture(payload: &Bytes, at: usize) -> Video {
    let data = payload.slice(at + 3..);
    if data.is_empty() {
        return Video::Nothing;
    }
    let cts_ms = i32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], 0]) >> 8;
    Video::Picture { cts_ms, data }
}

fn enhanced_video(payload: &Bytes, packet: u8, command: bool) -> Result<Video, Unusable> {
    const TRUNCATED: Unusable = Unusable::Malformed("truncated video message");
    if packet >= 6 {
        return Err(Unusable::Malformed(
            "Enhanced RTMP multitrack and ModEx are not supported",
        ));
    }
    let code = payload.get(1..5).ok_or(TRUNCATED)?;
    if code != b"avc1" {
        return Err(Unusable::Refused(Refusal::VideoCodec(fourcc_name(code))));
    }
    match packet {
        _ if command => Ok(Video::Nothing),
        0 => Ok(Video::Config(payload.slice(5..))),
        1 if payload.len() < 8 => Err(TRUNCATED),
        1 => Ok(picture(payload, 5)),
        3 if payload.len() > 5 => Ok(Video::Picture {
            cts_ms: 0,
            data: payload.slice(5..),
        }),
        _ => Ok(Video::Nothing),
    }
}

/// Reads an AUDIODATA or ExAudioTagHeader.
///
/// # Errors
/// Another codec than AAC, or a truncated header.
pub fn audio(payload: &Bytes) -> Result<Audio, Unusable> {
    const TRUNCATED: Unusable = Unusable::Malformed("truncated audio message");
    let Some(&first) = payload.first() else {
        return Ok(Audio::Nothing);
    };
    let (packet, media) = match first >> 4 {
        10 => (*payload.get(1).ok_or(TRUNCATED)?, 2),
        9 if first & 0x0f >= 5 => {
            return Err(Unusable::Malformed(
                "Enhanced RTMP multitrack and ModEx are not supported",
            ));
        }
        9 => {
            let code = payload.get(1..5).ok_or(TRUNCATED)?;
            if code != b"mp4a" {
                return Err(Unusable::Refused(Refusal::AudioCodec(fourcc_name(code))));
            }
            (first & 0x0f, 5)
        }
        format => return Err(Unusable::Refused(Refusal::AudioCodec(audio_name(format)))),
    };
    Ok(match packet {
        0 => Audio::Config(payload.slice(media..)),
        1 if payload.len() > media => Audio::Frame(payload.slice(media..)),
        _ => Audio::Nothing,
    })
}

fn video_name(codec: u8) -> String {
    match codec {
        1 => "JPEG",
        2 => "H.263",
        3 | 6 => "Screen Video",
        4 => "VP6",
        5 => "VP6 with alpha",
        12 => "HEVC",
        13 => "AV1",
        _ => return format!("number {codec}"),
    }
    .to_owned()
}

fn audio_name(format: u8) -> String {
    match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        13 => "Opus",
        _ => return format!("number {format}"),
    }
    .to_owned()
}

/// The codec of an Enhanced RTMP FourCC.
fn fourcc_name(code: &[u8]) -> String {
    match code {
        b"hvc1" => "HEVC (hvc1)",
        b"vvc1" => "VVC (vvc1)",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b".mp3" => "MP3",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        _ => return format!("FourCC {}", code.escape_ascii()),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(data: &[u8]) -> Bytes {
        Bytes::copy_from_slice(data)
    }

    fn refused(result: Result<impl std::fmt::Debug, Unusable>) -> String {
        match result {
            Err(Unusable::Refused(refusal)) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_avc_messages() {
        let config = video(&bytes(&[0x17, 0, 0, 0, 0, 1, 2]));
        assert_eq!(config, Ok(Video::Config(bytes(&[1, 2]))));
        let picture = video(&bytes(&[0x27, 1, 0xff, 0xff, 0xd8, 9]));
        assert_eq!(
            picture,
            Ok(Video::Picture {
                cts_ms: -40,
                data: bytes(&[9])
            })
        );
        let ignored: [&[u8]; 5] = [
            &[],
            &[0x17, 2, 0, 0, 0],
            &[0x27, 1, 0, 0, 0],
            &[0x57, 0],
            &[0x17, 2],
        ];
        for payload in ignored {
            assert_eq!(video(&bytes(payload)), Ok(Video::Nothing), "{payload:?}");
        }
        for payload in [
            &[0x17][..],
            &[0x17, 0, 0],
            &[0x17, 1, 0, 0],
            &[0x17, 9, 0, 0, 0],
        ] {
            assert!(
                matches!(video(&bytes(payload)), Err(Unusable::Malformed(_))),
                "{payload:?}"
            );
        }
    }

    #[test]
    fn reads_enhanced_avc_and_aac() {
        let picture = video(&bytes(b"\x91avc1\x00\x00\x50Z"));
        assert_eq!(
            picture,
            Ok(Video::Picture {
                cts_ms: 80,
                data: bytes(b"Z")
            })
        );
        let picture = video(&bytes(b"\xa3avc1Z"));
        assert_eq!(
            picture,
            Ok(Video::Picture {
                cts_ms: 0,
                data: bytes(b"Z")
            })
        );
        assert_eq!(video(&bytes(b"\x90avc1Z")), Ok(Video::Config(bytes(b"Z"))));
        assert_eq!(audio(&bytes(b"\x90mp4aZ")), Ok(Audio::Config(bytes(b"Z"))));
        assert_eq!(audio(&bytes(b"\x91mp4aZ")), Ok(Audio::Frame(bytes(b"Z"))));
        assert!(video(&bytes(b"\x96avc1")).is_err() && audio(&bytes(b"\x95mp4a")).is_err());
    }

    #[test]
    fn names_what_it_refuses() {
        let named = |payload: &[u8], name: &str| {
            let said = refused(video(&bytes(payload)));
            assert_eq!(
                said,
                format!("video codec {name} is not supported: send H.264")
            );
        };
        named(b"\x90hvc1", "HEVC (hvc1)");
        named(b"\x90av01", "AV1");
        named(b"\x90vp09", "VP9");
        named(b"\x90a\0b\x1b", "FourCC a\\x00b\\x1b");
        named(&[0x12], "H.263");
        named(&[0x14], "VP6");
        named(&[0x1c], "HEVC");
        assert!(refused(audio(&bytes(&[0x2f]))).contains("MP3"));
        assert!(refused(audio(&bytes(&[0xb2]))).contains("Speex"));
        assert!(refused(audio(&bytes(b"\x90Opus"))).contains("Opus"));
    }

    #[test]
    fn reads_aac_messages() {
        assert_eq!(audio(&bytes(&[0xaf, 0, 1])), Ok(Audio::Config(bytes(&[1]))));
        assert_eq!(audio(&bytes(&[0xaf, 1, 2])), Ok(Audio::Frame(bytes(&[2]))));
        assert_eq!(audio(&bytes(&[0xaf, 1])), Ok(Audio::Nothing));
        assert_eq!(audio(&bytes(&[])), Ok(Audio::Nothing));
        assert!(audio(&bytes(&[0xaf])).is_err());
    }
}
