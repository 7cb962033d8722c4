//! Writer: pictures and audio frames to PES packets, with delimiters, parameter sets and clock
//! references (media rules 6, 10, 11). It does not know where segments begin or what they last.

use bytes::Bytes;

use crate::avc::{NAL_AUD, NAL_PPS, NAL_SPS, Nals, ParameterSets, nal_type};
use crate::ts::{Muxer, Pid, Start};

/// How far the clock reference runs behind DTS: room for audio that is interleaved late.
pub(crate) const PCR_LEAD_90K: i64 = 63_000;
/// Longest distance of two clock references, 90 kHz: rule 11's 100 ms.
const PCR_INTERVAL_90K: i64 = 9_000;
/// A gap that is not filled with clock references: only a discontinuity has one.
const PCR_GAP_90K: i64 = 10 * 90_000;
/// Frames of one audio PES packet: four share one header and one half-filled last packet, which
/// saves about a sixth of a 128 kbit/s track, and delay it by at most 100 ms.
const AUDIO_PES_FRAMES: usize = 4;
/// Longest audio PES packet, so that its clock references keep rule 11 when there is no video.
const AUDIO_PES_90K: i64 = 9_000;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Start code and an access unit delimiter that allows every slice type.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, NAL_AUD, 0xf0];

/// One access unit, checked and placed.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) dts_90k: i64,
    pub(crate) pts_90k: i64,
    /// The stream's own time.
    pub(crate) at_ms: i64,
    pub(crate) idr: bool,
    /// Parameter sets changed inside it, and it is no IDR: they stay where they are.
    pub(crate) keeps_sets: bool,
    pub(crate) length_bytes: usize,
    pub(crate) data: Bytes,
}

/// One AAC frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) pts_90k: i64,
    pub(crate) end_90k: i64,
    /// ADTS header.
    pub(crate) adts: [u8; 7],
    /// program_config_element, mostly empty.
    pub(crate) program_config: Bytes,
    pub(crate) raw: Bytes,
}

/// The open segment's packets.
#[derive(Debug)]
pub(crate) struct Writer {
    muxer: Muxer,
    clock_pid: Pid,
    pcr_90k: Option<i64>,
    frames: Vec<Frame>,
    frame_bytes: usize,
}

impl Writer {
    pub(crate) fn new(continuity: [u8; 4]) -> Self {
        Self {
            muxer: Muxer::new(continuity),
            clock_pid: Pid::Video,
            pcr_90k: None,
            frames: Vec::with_capacity(AUDIO_PES_FRAMES),
            frame_bytes: 0,
        }
    }

    pub(crate) fn continuity(&self) -> [u8; 4] {
        self.muxer.continuity()
    }

    /// Bytes written and waiting.
    pub(crate) fn len(&self) -> usize {
        self.muxer.len() + self.frame_bytes
    }

    /// Opens a segment: tables first. `fresh`: behind a discontinuity the clock starts anew.
    pub(crate) fn open(&mut self, video: bool, audio: bool, fresh: bool) {
        self.clock_pid = if video { Pid::Video } else { Pid::Audio };
        if fresh {
            self.pcr_90k = None;
        }
        self.muxer.tables(video, audio);
    }

    /// Ends the segment.
    pub(crate) fn close(&mut self) -> Vec<Bytes> {
        self.flush_audio();
        self.muxer.take()
    }

    /// Fills the time up to `dts_90k` with clock references of their own.
    pub(crate) fn advance_clock(&mut self, dts_90k: i64) {
        let Some(last) = self.pcr_90k else { return };
        let wanted = dts_90k - PCR_LEAD_90K;
        if wanted - last > PCR_GAP_90K {
            return;
        }
        let mut at = last;
        while wanted - at > PCR_INTERVAL_90K {
            at += PCR_INTERVAL_90K;
            self.muxer.clock(self.clock_pid, at);
        }
        self.pcr_90k = Some(at);
    }

    /// The clock reference that goes with `dts_90k`: never backwards.
    fn clock(&mut self, dts_90k: i64) -> i64 {
        let wanted = dts_90k - PCR_LEAD_90K;
        let pcr = self.pcr_90k.map_or(wanted, |last| wanted.max(last));
        self.pcr_90k = Some(pcr);
        pcr
    }

    /// Writes an access unit: delimiter, before an IDR (and where a segment opens) the parameter
    /// sets, then its NAL units.
    pub(crate) fn picture(&mut self, picture: &Picture, sets: &ParameterSets, opens: bool) {
        self.advance_clock(picture.dts_90k);
        let start = Start {
            pts_90k: picture.pts_90k,
            dts_90k: (picture.pts_90k != picture.dts_90k).then_some(picture.dts_90k),
            pcr_90k: Some(self.clock(picture.dts_90k)),
            random_access: picture.idr,
        };
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(16);
        pieces.push(&DELIMITER);
        if picture.idr || opens {
            for set in sets.iter() {
                pieces.extend([&START_CODE, set]);
            }
        }
        push_nals(&mut pieces, picture);
        self.muxer.pes(Pid::Video, start, &pieces);
    }

    /// Takes an AAC frame; `follows`: without a gap behind the one before.
    pub(crate) fn frame(&mut self, frame: Frame, follows: bool) {
        let full = self.frames.first().is_some_and(|first| {
            self.frames.len() >= AUDIO_PES_FRAMES || frame.end_90k - first.pts_90k > AUDIO_PES_90K
        });
        if full || !follows {
            self.flush_audio();
        }
        self.frame_bytes += frame.raw.len() + frame.adts.len() + frame.program_config.len();
        self.frames.push(frame);
    }

    fn flush_audio(&mut self) {
        let Some(pts_90k) = self.frames.first().map(|frame| frame.pts_90k) else {
            return;
        };
        let alone = self.clock_pid == Pid::Audio;
        if alone {
            self.advance_clock(pts_90k);
        }
        let pcr_90k = alone.then(|| self.clock(pts_90k));
        let start = Start {
            pts_90k,
            dts_90k: None,
            pcr_90k,
            random_access: alone,
        };
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(3 * AUDIO_PES_FRAMES);
        for frame in &self.frames {
            pieces.extend([&frame.adts[..], &frame.program_config, &frame.raw]);
        }
        self.muxer.pes(Pid::Audio, start, &pieces);
        self.frames.clear();
        self.frame_bytes = 0;
    }
}

/// The access unit's own NAL units, without delimiters and without parameter sets that stand in
/// front of an IDR or are known.
fn push_nals<'a>(pieces: &mut Vec<&'a [u8]>, picture: &'a Picture) {
    let nals = Nals::new(&picture.data, picture.length_bytes)
        .into_iter()
        .flatten();
    for nal in nals {
        let stays = match nal_type(nal) {
            NAL_AUD => false,
            NAL_SPS | NAL_PPS => picture.keeps_sets,
            _ => true,
        };
        if stays {
            pieces.extend([&START_CODE, nal]);
        }
    }
}

/// An IDR as Annex B: parameter sets and slices.
pub(crate) fn annex_b(data: &[u8], length_bytes: usize, sets: &ParameterSets) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 256);
    let nals = Nals::new(data, length_bytes).into_iter().flatten();
    for nal in sets
        .iter()
        .chain(nals.filter(|nal| (1..=5).contains(&nal_type(nal))))
    {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(nal);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(dts_90k: i64) -> Picture {
        let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 1]);
        Picture {
            dts_90k,
            pts_90k: dts_90k,
            at_ms: 0,
            idr: true,
            keeps_sets: false,
            length_bytes: 4,
            data,
        }
    }

    fn frame(pts_90k: i64) -> Frame {
        Frame {
            pts_90k,
            end_90k: pts_90k + 1920,
            adts: [0; 7],
            program_config: Bytes::new(),
            raw: Bytes::from_static(&[1; 100]),
        }
    }

    /// Transport packets written since the last call.
    fn packets(writer: &mut Writer) -> usize {
        writer.close().iter().map(Bytes::len).sum::<usize>() / 188
    }

    #[test]
    fn slow_pictures_get_clock_references_between_them() {
        let mut writer = Writer::new([0; 4]);
        writer.open(true, false, true);
        writer.picture(&picture(100_000), &ParameterSets::default(), true);
        assert_eq!(packets(&mut writer), 3);
        writer.picture(&picture(109_000), &ParameterSets::default(), false);
        assert_eq!(packets(&mut writer), 1, "100 ms are allowed");
        writer.picture(&picture(136_001), &ParameterSets::default(), false);
        assert_eq!(packets(&mut writer), 4, "three more in 300 ms and a bit");
        writer.picture(&picture(90_000_000), &ParameterSets::default(), false);
        assert_eq!(packets(&mut writer), 1, "a gap beyond reason is not filled");
    }

    #[test]
    fn four_frames_share_a_pes_packet_and_a_gap_ends_it() {
        let mut writer = Writer::new([0; 4]);
        writer.open(false, true, true);
        assert_eq!(packets(&mut writer), 2);
        for number in 0..8 {
            writer.frame(frame(100_000 + number * 1920), true);
        }
        assert_eq!(writer.len(), 3 * 188 + 4 * 107);
        writer.frame(frame(200_000), false);
        assert_eq!(writer.len(), 2 * 3 * 188 + 107);
    }

    #[test]
    fn a_thumbnail_has_parameter_sets_and_slices_only() {
        let mut sets = ParameterSets::default();
        sets.merge(&[NAL_PPS, 0xeb]);
        let data = [0, 2, 9, 0xf0, 0, 2, 6, 1, 0, 2, 0x65, 7];
        assert_eq!(
            annex_b(&data, 2, &sets)[..],
            [0, 0, 0, 1, 8, 0xeb, 0, 0, 0, 1, 0x65, 7]
        );
    }
}
