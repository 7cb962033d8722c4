//! What is read back from a segment's packets: its tracks, of which a slate is made after a restart, the time
//! at which it ends, and its first key frame, for a thumbnail. Pure; it does not know which segment it is.

use bytes::Bytes;
use segmenter::{Tracks, aac::AacConfig, avc::AvcConfig};

/// Bytes looked at of a first access unit or frame: parameter sets stand at its beginning.
const LOOKED_AT_BYTES: usize = 16 * 1024;

/// The beginning of the first PES packet of one kind.
#[derive(Default)]
struct First {
    pid: Option<u16>,
    data: Vec<u8>,
    whole: bool,
}

impl First {
    fn take(&mut self, pid: u16, begins: bool, payload: &[u8]) {
        match self.pid {
            None if begins => {
                self.pid = Some(pid);
                let header = payload.get(8).map_or(0, |&bytes| usize::from(bytes));
                self.data.extend(payload.get(9 + header..).unwrap_or(&[]));
            }
            Some(own) if own == pid && !self.whole => {
                self.whole = begins || self.data.len() >= LOOKED_AT_BYTES;
                if !self.whole {
                    self.data.extend(payload);
                }
            }
            _ => {}
        }
    }
}

/// The tracks of a segment that begins with parameter sets, as ours do. `None` when one of them
/// cannot be read.
pub(super) fn tracks(ts: &[u8]) -> Option<Tracks> {
    let (mut video, mut audio) = (First::default(), First::default());
    for packet in ts.chunks_exact(188) {
        let Some((pid, begins, payload)) = payload(packet) else {
            continue;
        };
        let id = payload.get(3).copied().unwrap_or(0);
        let pes = begins && payload.starts_with(&[0, 0, 1]);
        let is = |first: &First, ids: std::ops::RangeInclusive<u8>| {
            first.pid == Some(pid) || pes && ids.contains(&id)
        };
        if is(&video, 0xe0..=0xef) {
            video.take(pid, begins, payload);
        } else if is(&audio, 0xc0..=0xdf) {
            audio.take(pid, begins, payload);
        }
    }
    let mut tracks = Tracks::default();
    if video.pid.is_some() {
        tracks.video = Some(AvcConfig::parse(&Bytes::from(video.data)).ok()?.track());
    }
    if audio.pid.is_some() {
        tracks.audio = Some(adts(&audio.data)?.track());
    }
    (tracks != Tracks::default()).then_some(tracks)
}

/// Where what follows a segment of this length goes on: 33-bit DTS behind its first one, which is the
/// picture's where it has pictures. `None` when no PES packet can be read.
pub(super) fn end_90k(ts: &[u8], duration_90k: u64) -> Option<u64> {
    let mut first = None;
    for packet in ts.chunks_exact(188) {
        let Some((_, true, pes)) = payload(packet) else {
            continue;
        };
        match pes.get(3) {
            Some(0xe0..=0xef) => {
                first = dts_90k(pes);
                break;
            }
            Some(0xc0..=0xdf) if first.is_none() => first = dts_90k(pes),
            _ => {}
        }
    }
    Some(first?.wrapping_add(duration_90k) & ((1 << 33) - 1))
}

/// The first access unit that needs no other, as Annex B; of a segment in slices of whole packets.
pub(super) fn key_frame(body: &[Bytes]) -> Option<Vec<u8>> {
    let mut picture = First::default();
    let packets = body.iter().flat_map(|slice| slice.chunks_exact(188));
    for packet in packets {
        let Some((pid, begins, payload)) = payload(packet) else {
            continue;
        };
        let is_video = matches!(payload, [0, 0, 1, 0xe0..=0xef, ..]);
        match picture.pid {
            None if begins && is_video && random_access(packet) => picture.take(pid, true, payload),
            Some(own) if own == pid && begins => break,
            Some(own) if own == pid => picture.data.extend(payload),
            _ => {}
        }
    }
    picture.pid.map(|_| picture.data)
}

/// random_access_indicator (13818-1 2.4.3.5).
fn random_access(packet: &[u8]) -> bool {
    matches!(packet, [_, _, _, flags, length, field, ..] if flags & 0x20 != 0 && *length > 0 && field & 0x40 != 0)
}

/// DTS of a PES packet, or its PTS where that is the same (13818-1 2.4.3.6).
fn dts_90k(pes: &[u8]) -> Option<u64> {
    if !pes.starts_with(&[0, 0, 1]) {
        return None;
    }
    let at = match pes.get(7)? >> 6 {
        0b10 => 9,
        0b11 => 14,
        _ => return None,
    };
    let bits = pes.get(at..at + 5)?;
    let of = |range: std::ops::Range<usize>| {
        let bytes = bits[range].iter();
        bytes.fold(0, |all, byte| all << 8 | u64::from(*byte)) >> 1 & 0x7fff
    };
    Some(u64::from(bits[0] >> 1 & 7) << 30 | of(1..3) << 15 | of(3..5))
}

/// PID, whether a PES packet or table begins in it, and payload (13818-1 2.4.3.2).
fn payload(packet: &[u8]) -> Option<(u16, bool, &[u8])> {
    let [0x47, high, low, flags, ..] = *packet else {
        return None;
    };
    let at = match flags >> 4 & 3 {
        1 => 4,
        3 => 5 + usize::from(*packet.get(4)?),
        _ => return None,
    };
    let pid = u16::from_be_bytes([high & 0x1f, low]);
    Some((pid, high & 0x40 != 0, packet.get(at..)?))
}

/// The AudioSpecificConfig of an ADTS frame (14496-3 1.A.2.2.1, 1.6.2.1).
fn adts(frame: &[u8]) -> Option<AacConfig> {
    let [0xff, sync, one, two, ..] = *frame else {
        return None;
    };
    if sync & 0xf6 != 0xf0 {
        return None;
    }
    let (object, rate) = (u16::from(one >> 6) + 1, u16::from(one >> 2 & 15));
    let channels = u16::from((one & 1) << 2 | two >> 6);
    let config = object << 11 | rate << 7 | channels << 3;
    AacConfig::parse(&config.to_be_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use segmenter::{Config, Output, Resume, Segmenter, Tag, TagKind};

    use super::*;

    const SPS: [u8; 26] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];

    /// What a segmenter tells of its tracks, and the segment it makes.
    fn made(video: bool, audio: Option<[u8; 2]>) -> (Tracks, Vec<u8>) {
        let config = Config {
            target_ms: 2000,
            max_segment_ms: 10_000,
            segment_bytes: 1 << 20,
        };
        let mut segmenter = Segmenter::new(config, None);
        let mut push = |kind, payload: &[u8]| {
            let payload = Bytes::copy_from_slice(payload);
            let tag = Tag {
                kind,
                timestamp_ms: 0,
                payload,
            };
            segmenter.push(&tag).unwrap();
        };
        if video {
            let head = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
            let header = [&head[..], &SPS, &[1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb]].concat();
            push(TagKind::Video, &header);
            push(TagKind::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 9]);
        }
        if let Some([one, two]) = audio {
            push(TagKind::Audio, &[0xaf, 0, one, two]);
            push(TagKind::Audio, &[0xaf, 1, 0x21, 0, 0, 0, 0, 0x1c]);
        }
        segmenter.finish();
        let (mut told, mut body) = (Tracks::default(), vec![]);
        while let Some(output) = segmenter.poll() {
            match output {
                Output::Tracks(tracks) => told = tracks,
                Output::Segment(segment) => body.extend(segment.body.concat()),
                Output::Notice(_) => {}
            }
        }
        (told, body)
    }

    #[test]
    fn what_a_segment_was_made_of_is_read_back() {
        // 48 kHz stereo, 44.1 kHz mono, 48 kHz 5.1.
        for audio in [
            None,
            Some([0x11, 0x90]),
            Some([0x12, 0x08]),
            Some([0x11, 0xb0]),
        ] {
            for video in [true, false] {
                let (told, body) = made(video, audio);
                if told != Tracks::default() {
                    assert_eq!(tracks(&body), Some(told));
                }
            }
        }
        assert_eq!(tracks(&[]), None);
        let (_, mut body) = made(true, Some([0x11, 0x90]));
        // Without its sync word the sound is unknown, and a slate without it would be wrong.
        let at = body
            .windows(2)
            .position(|pair| pair == [0xff, 0xf1])
            .unwrap();
        body[at + 1] = 0;
        assert_eq!(tracks(&body), None);
    }

    #[test]
    fn a_segments_end_is_where_the_next_one_goes_on() {
        let head = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
        let video = [&head[..], &SPS, &[1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb]].concat();
        let picture = [0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 9];
        // Shown 80 ms after it is decoded: what counts is when it is decoded.
        let later = [0x17, 1, 0, 0, 80, 0, 0, 0, 2, 0x65, 9];
        let (sound, frame) = ([0xaf, 0, 0x11, 0x90], [0xaf, 1, 0x21, 0, 0, 0, 0, 0x1c]);
        for start in [0, 126_000, 0x1_2345_6789, (1 << 33) - 3000] {
            for (kind, header, media) in [
                (TagKind::Video, &video[..], &picture[..]),
                (TagKind::Video, &video, &later),
                (TagKind::Audio, &sound, &frame),
            ] {
                let config = Config {
                    target_ms: 2000,
                    max_segment_ms: 10_000,
                    segment_bytes: 1 << 20,
                };
                let resume = Resume {
                    next_dts_90k: Some(start),
                    ..Resume::default()
                };
                let mut segmenter = Segmenter::new(config, Some(resume));
                for (timestamp_ms, payload) in [(0, header), (0, media), (40, media)] {
                    let payload = Bytes::copy_from_slice(payload);
                    let tag = Tag {
                        kind,
                        timestamp_ms,
                        payload,
                    };
                    segmenter.push(&tag).unwrap();
                }
                let after = segmenter.finish();
                let mut last = None;
                while let Some(output) = segmenter.poll() {
                    if let Output::Segment(segment) = output {
                        last = Some(segment);
                    }
                }
                let last = last.unwrap();
                let end = end_90k(&last.body.concat(), last.duration_90k);
                if media == later {
                    assert_eq!(end, Some((start + last.duration_90k) % (1 << 33)));
                } else {
                    assert_eq!(end, after.next_dts_90k, "{kind:?} from {start}");
                }
            }
        }
        assert_eq!(end_90k(&[], 1), None);
    }

    #[test]
    fn a_segments_key_frame_is_read_back_over_its_slices() {
        let (_, body) = made(true, Some([0x11, 0x90]));
        let start = [0, 0, 0, 1];
        let delimiter = [9, 0xf0];
        let sets: [&[u8]; 2] = [&SPS, &[0x68, 0xeb, 0xe3, 0xcb]];
        let wanted = [&delimiter[..], sets[0], sets[1], &[0x65, 9]]
            .map(|nal| [&start[..], nal].concat())
            .concat();
        for packets in 1..4 {
            let slices: Vec<Bytes> = body
                .chunks(188 * packets)
                .map(Bytes::copy_from_slice)
                .collect();
            assert_eq!(key_frame(&slices), Some(wanted.clone()));
        }
        let (_, sound) = made(false, Some([0x11, 0x90]));
        assert_eq!(key_frame(&[sound.into()]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_stored_it_does_not_panic(
            at in any::<prop::sample::Index>(), byte: u8, len in any::<prop::sample::Index>(),
        ) {
            let (_, mut body) = made(true, Some([0x11, 0x90]));
            *at.get_mut(&mut body) = byte;
            body.truncate(len.index(body.len()));
            tracks(&body);
            end_90k(&body, u64::MAX);
            key_frame(&[body.into()]);
        }
    }
}
