//! Still: one encoded picture that can be shown for ever: an IDR, under two identifiers in turns, and
//! the all-skip P pictures behind it. It does not know times, sound or segments.

use bytes::Bytes;

use crate::avc::{AvcConfig, NAL_IDR, Nals, ParameterSets, nal_type};
use crate::segment::Idr;
use crate::slate::sei;
use crate::slate::skip::SkipPicture;
use crate::slate::slice::{Slice, other_ids};

/// Supplemental enhancement information.
const NAL_SEI: u8 = 6;
/// The longest reordering that is believed, 90 kHz: 1 s.
const MAX_REORDER_90K: i64 = 90_000;

/// One encoded picture that slates are made of.
#[derive(Clone, Debug)]
pub struct Still {
    pub(super) sets: ParameterSets,
    /// The picture without its parameter sets, NAL units behind lengths of four bytes; the second
    /// time under another idr_pic_id.
    pub(super) idrs: [Bytes; 2],
    pub(super) skip: SkipPicture,
    pub(super) reorder_90k: i64,
    lines: u32,
}

impl Still {
    /// Takes a picture of its own stream: an Annex B access unit of SPS, PPS and an IDR.
    ///
    /// # Errors
    /// In words, why no all-skip picture can follow it.
    pub fn parse(access_unit: &Bytes) -> Result<Self, &'static str> {
        let config = AvcConfig::parse(access_unit)?;
        Self::freeze(&Idr {
            data: access_unit.clone(),
            length_bytes: config.length_bytes,
            sets: config.sets,
            reorder_90k: 0,
        })
    }

    /// Takes a picture of a live stream, to be shown with the parameter sets and the reordering it
    /// had there.
    ///
    /// # Errors
    /// In words, why no all-skip picture can follow it, or what is wrong with it.
    pub fn freeze(idr: &Idr) -> Result<Self, &'static str> {
        if !(0..=MAX_REORDER_90K).contains(&idr.reorder_90k) {
            return Err("pictures reordered beyond reason");
        }
        let mut slices = Vec::new();
        let mut messages = Vec::new();
        for nal in Nals::new(&idr.data, idr.length_bytes)? {
            match nal_type(nal) {
                NAL_IDR => slices.push(Slice::read(nal, &idr.sets)?),
                NAL_SEI => messages.push(nal),
                1 => return Err("an IDR with other slices beside it"),
                2..=4 => return Err("data partitioning"),
                13..=15 | 19..=21 => return Err("several layers or views, or auxiliary pictures"),
                _ => {}
            }
        }
        let first = slices.first().ok_or("no IDR")?;
        let alike = |slice: &Slice| slice.id == first.id && slice.sets.sps == first.sets.sps;
        let in_order = slices.windows(2).all(|two| two[0].first < two[1].first);
        if !slices.iter().all(alike) || !in_order {
            return Err("slices of several pictures, or out of order");
        }
        let sps = &first.sets.sps;
        let mut before = Vec::new();
        for nal in messages {
            if let Some(kept) = sei::still(nal, sps.coding.pic_struct)? {
                push_nal(&mut before, &kept);
            }
        }
        let idrs = other_ids(first.id).map(|id| {
            let mut data = before.clone();
            for slice in &slices {
                push_nal(&mut data, &slice.with_id(id));
            }
            Bytes::from(data)
        });
        Ok(Self {
            idrs,
            skip: SkipPicture::after(&first.sets),
            reorder_90k: idr.reorder_90k,
            lines: sps.width.min(sps.height),
            sets: idr.sets.clone(),
        })
    }

    /// The shorter side in pixels.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// The access unit `number` pictures behind the start of a segment, and 0 the IDR; `turn` tells
    /// segments apart.
    pub(super) fn picture(&self, turn: u64, number: u64) -> Bytes {
        match number {
            0 => self.idrs[usize::from(turn % 2 == 1)].clone(),
            _ => {
                let mut data = Vec::new();
                push_nal(&mut data, &self.skip.nal(number));
                data.into()
            }
        }
    }
}

/// Appends a NAL unit behind its length in four bytes.
fn push_nal(data: &mut Vec<u8>, nal: &[u8]) {
    data.extend_from_slice(&u32::try_from(nal.len()).unwrap_or(0).to_be_bytes());
    data.extend_from_slice(nal);
}
