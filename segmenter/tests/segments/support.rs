//! Support: tags made by hand, and a demuxer written apart from the muxer. It does not know what a
//! test expects of them.

use bytes::Bytes;
use segmenter::{Config, Notice, Output, Refusal, Resume, Segment, Segmenter, Tag, TagKind};

pub const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
pub const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb];
/// AAC-LC, 44.1 kHz, stereo.
pub const ASC: &[u8] = &[0x12, 0x10];

pub fn config() -> Config {
    Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 16 << 20,
    }
}

pub fn tag(kind: TagKind, timestamp_ms: u32, payload: Vec<u8>) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: payload.into(),
    }
}

pub fn avc_record(length_bytes: usize, pps: &[u8]) -> Vec<u8> {
    let mut record = vec![1, 0x64, 0, 0x1f, 0xfc | (length_bytes as u8 - 1), 0xe1, 0];
    record.push(SPS.len() as u8);
    record.extend(SPS);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    record
}

pub fn video_header(length_bytes: usize, pps: &[u8]) -> Tag {
    let mut payload = vec![0x17, 0, 0, 0, 0];
    payload.extend(avc_record(length_bytes, pps));
    tag(TagKind::Video, 0, payload)
}

pub fn picture(ts: u32, cts_ms: i32, length_bytes: usize, nals: &[Vec<u8>]) -> Tag {
    let mut payload = vec![0x27, 1];
    payload.extend(&cts_ms.to_be_bytes()[1..]);
    for nal in nals {
        payload.extend(&(nal.len() as u32).to_be_bytes()[4 - length_bytes..]);
        payload.extend(nal);
    }
    tag(TagKind::Video, ts, payload)
}

pub fn audio_header(asc: &[u8]) -> Tag {
    tag(TagKind::Audio, 0, [&[0xaf, 0], asc].concat())
}

pub fn frame(ts: u32, raw: &[u8]) -> Tag {
    tag(TagKind::Audio, ts, [&[0xaf, 1], raw].concat())
}

/// `count` pictures of one slice, an IDR every `gop`, `step_ms` apart.
pub fn video(from_ms: u32, count: u32, gop: u32, step_ms: u32) -> Vec<Tag> {
    (0..count)
        .map(|number| {
            let head = if number % gop == 0 { 0x65 } else { 0x41 };
            let ts = from_ms.wrapping_add(number * step_ms);
            picture(ts, 0, 4, &[vec![head, 1 + (number % 200) as u8, 7]])
        })
        .collect()
}

pub fn audio(from_ms: u32, count: u32) -> Vec<Tag> {
    let ts = |number: u32| from_ms.wrapping_add((u64::from(number) * 1_024_000 / 44_100) as u32);
    (0..count)
        .map(|number| frame(ts(number), &[1, number as u8]))
        .collect()
}

/// By time, stable; the wire's wrap is not looked at.
pub fn interleave(mut one: Vec<Tag>, two: Vec<Tag>) -> Vec<Tag> {
    one.extend(two);
    one.sort_by_key(|tag| tag.timestamp_ms);
    one
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Run {
    pub segments: Vec<Segment>,
    pub notices: Vec<Notice>,
    pub tracks: Vec<segmenter::Tracks>,
    pub refusal: Option<Refusal>,
    pub resume: Resume,
}

pub fn run(config: Config, resume: Option<Resume>, tags: &[Tag]) -> Run {
    let mut segmenter = Segmenter::new(config, resume).keeping_idrs();
    let mut run = Run::default();
    for tag in tags {
        let result = segmenter.push(tag);
        drain(&mut segmenter, &mut run);
        if let Err(refusal) = result {
            assert_eq!(
                segmenter.push(tag),
                Err(refusal.clone()),
                "a refusal is terminal"
            );
            run.refusal = Some(refusal);
            break;
        }
    }
    run.resume = segmenter.finish();
    drain(&mut segmenter, &mut run);
    assert_eq!(segmenter.open_bytes(), 0);
    run
}

fn drain(segmenter: &mut Segmenter, run: &mut Run) {
    while let Some(output) = segmenter.poll() {
        match output {
            Output::Segment(segment) => run.segments.push(segment),
            Output::Notice(notice) => run.notices.push(notice),
            Output::Tracks(tracks) => run.tracks.push(tracks),
        }
    }
}

pub fn body(segment: &Segment) -> Vec<u8> {
    let body = segment
        .body
        .iter()
        .flat_map(Bytes::as_ref)
        .copied()
        .collect::<Vec<u8>>();
    assert_eq!(body.len(), segment.len);
    body
}

/// One transport packet, taken apart.
#[derive(Clone, Debug)]
pub struct Packet {
    pub pid: u16,
    pub counter: u8,
    pub unit_start: bool,
    pub random_access: bool,
    pub pcr_90k: Option<u64>,
    pub payload: Option<Vec<u8>>,
}

pub fn packets(body: &[u8]) -> Vec<Packet> {
    assert_eq!(body.len() % 188, 0);
    body.chunks(188).map(packet).collect()
}

fn packet(bytes: &[u8]) -> Packet {
    assert_eq!(bytes[0], 0x47);
    let mut at = 4;
    let (mut random_access, mut pcr_90k) = (false, None);
    if bytes[3] & 0x20 != 0 {
        let length = usize::from(bytes[4]);
        if length > 0 {
            random_access = bytes[5] & 0x40 != 0;
            if bytes[5] & 0x10 != 0 {
                let base = bytes[6..10]
                    .iter()
                    .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                pcr_90k = Some(base << 1 | u64::from(bytes[10] >> 7));
            }
        }
        at += 1 + length;
    }
    let payload = bytes[3] & 0x10 != 0;
    assert!(if payload { at < 188 } else { at == 188 });
    Packet {
        pid: u16::from_be_bytes([bytes[1] & 0x1f, bytes[2]]),
        counter: bytes[3] & 15,
        unit_start: bytes[1] & 0x40 != 0,
        random_access,
        pcr_90k,
        payload: payload.then(|| bytes[at..].to_vec()),
    }
}

/// One PES packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pes {
    pub pid: u16,
    pub pts_90k: u64,
    pub dts_90k: u64,
    pub data: Vec<u8>,
}

/// The PES packets of one segment, in order of their first packets.
pub fn pes(packets: &[Packet]) -> Vec<Pes> {
    let mut open: Vec<(u16, Vec<u8>)> = Vec::new();
    for packet in packets
        .iter()
        .filter(|packet| packet.pid == 256 || packet.pid == 257)
    {
        let Some(payload) = &packet.payload else {
            continue;
        };
        if packet.unit_start {
            open.push((packet.pid, payload.clone()));
        } else {
            let (_, data) = open
                .iter_mut()
                .rfind(|(pid, _)| *pid == packet.pid)
                .unwrap();
            data.extend(payload);
        }
    }
    open.into_iter()
        .map(|(pid, data)| parse_pes(pid, &data))
        .collect()
}

fn parse_pes(pid: u16, data: &[u8]) -> Pes {
    assert_eq!(data[..3], [0, 0, 1]);
    let length = usize::from(u16::from_be_bytes([data[4], data[5]]));
    assert_eq!(length, if pid == 256 { 0 } else { data.len() - 6 });
    let time = |at: usize| {
        let part = |index: usize| u64::from(data[at + index]);
        (part(0) >> 1 & 7) << 30
            | part(1) << 22
            | (part(2) >> 1) << 15
            | part(3) << 7
            | part(4) >> 1
    };
    let pts_90k = time(9);
    let dts_90k = if data[7] & 0x40 != 0 {
        time(14)
    } else {
        pts_90k
    };
    Pes {
        pid,
        pts_90k,
        dts_90k,
        data: data[9 + usize::from(data[8])..].to_vec(),
    }
}

/// NAL units of an Annex B access unit with four-byte start codes.
pub fn nals(data: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(data[..4], [0, 0, 0, 1]);
    let starts: Vec<usize> = (0..data.len() - 3)
        .filter(|at| data[*at..*at + 4] == [0, 0, 0, 1])
        .collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| data[start + 4..end].to_vec())
        .collect()
}

/// Raw frames out of ADTS.
pub fn adts_frames(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !data.is_empty() {
        assert_eq!(data[..2], [0xff, 0xf1]);
        let length =
            usize::from(data[3] & 3) << 11 | usize::from(data[4]) << 3 | usize::from(data[5] >> 5);
        frames.push(data[7..length].to_vec());
        data = &data[length..];
    }
    frames
}

/// Everything that holds for every run: tables first, counters unbroken, T constant and never
/// passed, decoding times growing, clock references close together and ahead.
pub fn check_segments(segments: &[Segment], continuity: [u8; 4]) {
    let mut counters = std::collections::BTreeMap::from([
        (0u16, continuity[0]),
        (4096, continuity[1]),
        (256, continuity[2]),
        (257, continuity[3]),
    ]);
    let mut last_dts: Option<u64> = None;
    for segment in segments {
        let packets = packets(&body(segment));
        assert_eq!((packets[0].pid, packets[1].pid), (0, 4096));
        assert_eq!(packets.iter().filter(|packet| packet.pid == 0).count(), 1);
        for packet in &packets {
            let counter = counters.get_mut(&packet.pid).unwrap();
            if packet.payload.is_some() {
                assert_eq!(packet.counter, *counter);
                *counter = (*counter + 1) & 15;
            } else {
                assert_eq!(packet.counter, counter.wrapping_sub(1) & 15);
            }
        }
        let with_video = packets[1].payload.as_ref().unwrap()[13] == 0x1b;
        if with_video {
            check_video(segment, &packets, &mut last_dts);
        }
        check_clock(&packets, if with_video { 256 } else { 257 });
        assert_eq!(segment.target_duration_s, segments[0].target_duration_s);
        assert!((segment.duration_90k + 45_000) / 90_000 <= u64::from(segment.target_duration_s));
        assert!(segment.duration_90k > 0);
    }
}

fn check_video(segment: &Segment, packets: &[Packet], last_dts: &mut Option<u64>) {
    let units = pes(packets);
    let pictures: Vec<&Pes> = units.iter().filter(|unit| unit.pid == 256).collect();
    assert_eq!(pictures.len(), segment.pictures as usize);
    if segment.independent {
        let first = &packets[2];
        assert!(first.pid == 256 && first.random_access && first.pcr_90k.is_some());
        assert_eq!(nals(&pictures[0].data).last().unwrap()[0] & 0x1f, 5);
    }
    for (index, unit) in pictures.iter().enumerate() {
        let nals = nals(&unit.data);
        let kinds: Vec<u8> = nals.iter().map(|nal| nal[0] & 0x1f).collect();
        assert_eq!(nals[0], [9, 0xf0]);
        assert_eq!(kinds.iter().filter(|kind| **kind == 9).count(), 1);
        if kinds.contains(&5) || index == 0 {
            assert_eq!(kinds[1], 7);
            assert_eq!(kinds[2], 8);
        }
        assert!(
            ahead(unit.pts_90k, unit.dts_90k) < 1 << 32,
            "PTS before DTS"
        );
        if let Some(last) = *last_dts {
            let step = ahead(unit.dts_90k, last);
            assert!(step > 0 && step < 1 << 32, "DTS does not grow");
        }
        *last_dts = Some(unit.dts_90k);
    }
}

fn check_clock(packets: &[Packet], pid: u16) {
    let clocks: Vec<u64> = packets
        .iter()
        .filter(|p| p.pid == pid)
        .filter_map(|p| p.pcr_90k)
        .collect();
    for pair in clocks.windows(2) {
        assert!(
            ahead(pair[1], pair[0]) <= 9_000,
            "clock references too far apart"
        );
    }
    assert!(
        packets
            .iter()
            .all(|packet| packet.pid == pid || packet.pcr_90k.is_none())
    );
}

/// How far `one` is ahead of `two` on the 33-bit clock.
pub fn ahead(one: u64, two: u64) -> u64 {
    one.wrapping_sub(two) & ((1 << 33) - 1)
}

pub fn headers() -> Vec<Tag> {
    vec![video_header(4, PPS), audio_header(ASC)]
}

/// Audio and video from `from_ms` on, a GOP a second at 25 fps, without headers.
pub fn media(from_ms: u32, seconds: u32) -> Vec<Tag> {
    interleave(
        video(from_ms, seconds * 25, 25, 40),
        audio(from_ms, seconds * 43),
    )
}

pub fn discontinuities(run: &Run) -> Vec<usize> {
    let marked = run
        .segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| segment.discontinuity);
    marked.map(|(index, _)| index).collect()
}

pub fn kinds(unit: &Pes) -> Vec<u8> {
    nals(&unit.data).iter().map(|nal| nal[0] & 31).collect()
}

pub fn pictures(run: &Run) -> Vec<Pes> {
    let units = run
        .segments
        .iter()
        .flat_map(|segment| pes(&packets(&body(segment))));
    units.filter(|unit| unit.pid == 256).collect()
}

pub fn stream_types(segment: &Segment) -> Vec<u8> {
    let pmt = packets(&body(segment))[1].payload.clone().unwrap();
    let end = 4 + usize::from(pmt[3]) - 4;
    pmt[13..end].chunks(5).map(|stream| stream[0]).collect()
}
