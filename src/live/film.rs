//! `slate.file`: the operator's clip, read whole and checked at start, so that what happens to the
//! file later changes nothing. It does not know how the clip is shown.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use mpeg2ts::{
    es::StreamType,
    ts::{ReadTsPacket, TsPacketReader, TsPayload},
};
use segmenter::{Tag, TagKind, avc::AvcConfig, flv::Reader, slate::Film};

use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

/// Bytes of a transport packet, which all begin with the same one.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Bytes of an ADTS header without CRC.
const ADTS: usize = 7;

/// Reads and checks the clip of `slate.file`.
///
/// # Errors
/// One line naming the key and the file: it cannot be read, is larger than
/// `limits.slate_file_bytes`, is no FLV or MPEG-TS with H.264 and AAC, or has too rare keyframes.
pub(super) fn read(config: &Config, path: &Path) -> Result<Film> {
    let wrong = |what: String| {
        let line = format!("slate.file: {}: {what}", path.display());
        Error::new(Kind::Config, line)
    };
    let bytes = load(path, config.limits.slate_file_bytes).map_err(wrong)?;
    let film = if bytes.starts_with(b"FLV") {
        flv(bytes).and_then(|tags| Film::new(&tags))
    } else if bytes.first() == Some(&SYNC) && matches!(bytes.get(PACKET), None | Some(&SYNC)) {
        transport_stream(&bytes).and_then(|tags| Film::new(&tags))
    } else {
        Err("it is neither FLV nor MPEG-TS".into())
    };
    let film = film.map_err(wrong)?;
    let target = config.hls.target_duration;
    let target_s = u32::try_from(target.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    if !film.fits(target_s) {
        let gop = Duration::from_millis((film.longest_gop_90k() / 90).unsigned_abs());
        return Err(wrong(format!(
            "its keyframes are up to {gop:?} apart: expected at most hls.target_duration, which is \
             {target:?}, since each segment begins with one"
        )));
    }
    let limit = config.limits.segment_bytes;
    if film.bytes_in(i64::from(target_s) * 90_000) > limit as u64 {
        return Err(wrong(format!(
            "its bitrate makes segments larger than limits.segment_bytes, {limit} bytes"
        )));
    }
    Ok(film)
}

/// One line of what the clip is.
pub(super) fn describe(film: &Film) -> String {
    let track = film.track();
    let length = Duration::from_millis((film.length_90k() / 90).unsigned_abs());
    format!(
        "{length:?} of {} {}x{}",
        track.codec, track.width, track.height
    )
}

fn load(path: &Path, limit: usize) -> Result<Bytes, String> {
    let failed = |error: io::Error| error.to_string();
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is no file".into());
    }
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > limit {
        return Err(format!(
            "it is larger than limits.slate_file_bytes, {limit} bytes"
        ));
    }
    Ok(bytes.into())
}

fn flv(bytes: Bytes) -> Result<Vec<Tag>, String> {
    let mut reader = Reader::new(bytes.len());
    reader.feed(bytes);
    let mut tags = Vec::new();
    while let Some(tag) = reader.next_tag().map_err(|fault| fault.to_string())? {
        tags.push(tag);
    }
    Ok(tags)
}

/// An elementary stream being put together.
struct Track {
    pid: u16,
    kind: TagKind,
    /// Presentation and decoding time of the open PES packet, 90 kHz.
    times: Option<(u64, u64)>,
    data: BytesMut,
    told: bool,
}

/// Takes a transport stream apart into what FLV would have carried.
fn transport_stream(bytes: &[u8]) -> Result<Vec<Tag>, String> {
    let mut reader = TsPacketReader::new(bytes);
    let mut tracks: Vec<Track> = Vec::new();
    let mut tags = Vec::new();
    while let Some(packet) = reader.read_ts_packet().map_err(|error| error.reason)? {
        let pid = packet.header.pid.as_u16();
        let track = tracks.iter_mut().find(|track| track.pid == pid);
        match (packet.payload, track) {
            (Some(TsPayload::Pmt(pmt)), _) => {
                for es in pmt.es_info {
                    let kind = match es.stream_type {
                        StreamType::H264 => TagKind::Video,
                        StreamType::AdtsAac => TagKind::Audio,
                        other => {
                            return Err(format!("{other:?} is not supported: use H.264 and AAC"));
                        }
                    };
                    let pid = es.elementary_pid.as_u16();
                    if tracks.iter().all(|track| track.kind != kind) {
                        tracks.push(Track::new(pid, kind));
                    } else if tracks.iter().all(|track| track.pid != pid) {
                        return Err("it has more than one picture or sound track".into());
                    }
                }
            }
            (Some(TsPayload::PesStart(pes)), Some(track)) => {
                track.finish(&mut tags)?;
                let pts = pes.header.pts.map(|pts| pts.as_u64());
                let dts = pes.header.dts.map(|dts| dts.as_u64());
                track.times = pts.map(|pts| (pts, dts.unwrap_or(pts)));
                track.data.extend_from_slice(&pes.data);
            }
            (Some(TsPayload::PesContinuation(data)), Some(track)) => {
                track.data.extend_from_slice(&data);
            }
            _ => {}
        }
    }
    for track in &mut tracks {
        track.finish(&mut tags)?;
    }
    Ok(tags)
}

impl Track {
    fn new(pid: u16, kind: TagKind) -> Self {
        Self {
            pid,
            kind,
            times: None,
            data: BytesMut::new(),
            told: false,
        }
    }

    /// Ends the open PES packet.
    fn finish(&mut self, tags: &mut Vec<Tag>) -> Result<(), String> {
        let data = self.data.split().freeze();
        let Some((pts, dts)) = self.times.take() else {
            return Ok(());
        };
        match self.kind {
            TagKind::Video => {
                let timestamp_ms = millis(dts);
                let cts = millis(pts).wrapping_sub(timestamp_ms).to_be_bytes();
                if !std::mem::replace(&mut self.told, true) {
                    // Parameter sets with start codes do for a record.
                    AvcConfig::parse(&data).map_err(
                        |_| "it does not begin with parameter sets and an IDR (a keyframe)",
                    )?;
                    tags.push(tag(self.kind, timestamp_ms, &[0x17, 0, 0, 0, 0], &data));
                }
                tags.push(tag(
                    self.kind,
                    timestamp_ms,
                    &[0x17, 1, cts[1], cts[2], cts[3]],
                    &data,
                ));
                Ok(())
            }
            _ => self.frames(&data, pts, tags),
        }
    }

    /// AAC frames out of their ADTS (14496-3 1.A.2).
    fn frames(&mut self, mut data: &[u8], pts: u64, tags: &mut Vec<Tag>) -> Result<(), String> {
        let mut samples = 0;
        while let Some(head) = data.first_chunk::<ADTS>() {
            if head[0] != 0xff || head[1] & 0xf6 != 0xf0 {
                return Err("its AAC is not in ADTS".into());
            }
            let length = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3;
            let length = length | usize::from(head[5] >> 5);
            let start = if head[1] & 1 == 1 { ADTS } else { ADTS + 2 };
            if head[6] & 3 != 0 {
                return Err("it has more than one AAC frame behind an ADTS header".into());
            }
            let index = head[2] >> 2 & 15;
            let at = pts + samples * 90_000 / u64::from(rate(index)?);
            samples += 1024;
            if !std::mem::replace(&mut self.told, true) {
                // Object type, index of the rate, channels: 5, 4 and 4 bits.
                let channels = (head[2] & 1) << 2 | head[3] >> 6;
                let config = [
                    ((head[2] >> 6) + 1) << 3 | index >> 1,
                    (index & 1) << 7 | channels << 3,
                ];
                tags.push(tag(self.kind, millis(at), &[0xaf, 0], &config));
            }
            let raw = data.get(start..length).ok_or("its AAC is cut off")?;
            tags.push(tag(self.kind, millis(at), &[0xaf, 1], raw));
            data = &data[length..];
        }
        Ok(())
    }
}

/// Hz of a samplingFrequencyIndex.
fn rate(index: u8) -> Result<u32, String> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let rate = RATES.get(usize::from(index)).copied();
    rate.ok_or_else(|| "its AAC has an impossible rate".into())
}

/// Milliseconds, rounded; a clip that runs over the 33-bit wrap jumps.
fn millis(at_90k: u64) -> u32 {
    u32::try_from((at_90k + 45) / 90).unwrap_or(u32::MAX)
}

fn tag(kind: TagKind, timestamp_ms: u32, head: &[u8], data: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: [head, data].concat().into(),
    }
}

#[cfg(test)]
mod tests;
