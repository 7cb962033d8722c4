//! Slice: the header of an IDR picture's slice, and the same slice under another idr_pic_id (H.264
//! 7.3.3, 7.4.3). It does not know pictures, nor why two of them must differ.

use crate::avc::{NAL_PPS, NAL_SPS, ParameterSets};
use crate::bits::Bits;
use crate::pps::Pps;
use crate::slate::rbsp::{BitWriter, escaped};
use crate::sps::{Order, Sps, without_emulation};

/// idr_pic_id is at most this.
const HIGHEST_ID: u32 = 65_535;
/// MaxFS of level 6.2 (table A-1).
const MOST_MACROBLOCKS: u64 = 139_264;
/// Baseline, Main, and the High profiles in which inter prediction is allowed.
const PROFILES: [u8; 6] = [66, 77, 100, 110, 122, 244];
/// constraint_set3_flag: in the High profiles above 100 it says that all pictures are intra.
const INTRA_ONLY: u8 = 0x10;

/// The parameter sets of a picture.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    pub(super) sps: Sps,
    pub(super) pps: Pps,
}

impl Sets {
    /// Those that a slice names.
    ///
    /// # Errors
    /// In words, why no all-skip picture can follow such a picture.
    fn of(pps_id: u32, sets: &ParameterSets) -> Result<Self, &'static str> {
        let pps = sets.find(NAL_PPS, pps_id).ok_or("a PPS is missing")?;
        let pps = Pps::parse(pps).ok_or("an unreadable PPS, or slice groups")?;
        let sps = sets
            .find(NAL_SPS, pps.sps_id)
            .ok_or("an SPS is missing")
            .and_then(|sps| Sps::parse(sps).ok_or("an unreadable SPS"))?;
        let coding = &sps.coding;
        let intra = sps.profile > 100 && sps.constraints & INTRA_ONLY != 0;
        if !PROFILES.contains(&sps.profile) || intra || coding.references == 0 {
            return Err("a profile without plain P pictures");
        }
        if coding.macroblocks > MOST_MACROBLOCKS {
            return Err("pictures larger than any level allows");
        }
        if coding.adaptive_fields {
            return Err("interlaced pictures");
        }
        if coding.separate_planes {
            return Err("separate colour planes");
        }
        match coding.order {
            Order::Cycle => return Err("picture order by an expected cycle"),
            Order::Low(17..) => return Err("an impossible SPS"),
            _ if coding.frame_num_bits > 16 => return Err("an impossible SPS"),
            _ => {}
        }
        Ok(Self { sps, pps })
    }
}

/// An IDR slice whose header was read.
#[derive(Debug)]
pub(super) struct Slice {
    header: u8,
    rbsp: Vec<u8>,
    /// Where idr_pic_id begins and ends, bits into `rbsp`.
    id_at: [usize; 2],
    pub(super) id: u32,
    /// first_mb_in_slice.
    pub(super) first: u32,
    pub(super) sets: Sets,
}

impl Slice {
    /// Reads a whole NAL unit of an IDR picture.
    ///
    /// # Errors
    /// In words, what is wrong with it, or why no all-skip picture can follow.
    pub(super) fn read(nal: &[u8], known: &ParameterSets) -> Result<Self, &'static str> {
        let (header, data) = nal.split_first().ok_or("an empty slice")?;
        if header & 0x60 == 0 {
            return Err("an IDR that is no reference");
        }
        // Zeros behind the last byte are not the NAL unit's (B.1).
        let end = data.iter().rposition(|byte| *byte != 0);
        let rbsp = without_emulation(&data[..end.map_or(0, |last| last + 1)]);
        let mut bits = Bits::new(&rbsp);
        let first = bits.clone().ue().unwrap_or(0);
        let (id_at, id, sets) = header_fields(&mut bits, known)?;
        Ok(Self {
            header: *header,
            id_at,
            id,
            first,
            sets,
            rbsp,
        })
    }

    /// The NAL unit under the identifier `id`, whose code must be as long as the present one's or
    /// whole bytes longer: then no other bit moves within its byte, so that what is aligned (CABAC
    /// data, I_PCM samples) stays so.
    pub(super) fn with_id(&self, id: u32) -> Vec<u8> {
        let [begin, end] = self.id_at;
        let mut out = BitWriter::default();
        let (whole, last) = (begin / 8, begin % 8);
        out.bytes(self.rbsp.get(..whole).unwrap_or_default());
        let partial = self.rbsp.get(whole).copied().unwrap_or(0);
        out.put(u32::from(partial) >> (8 - last), last as u32);
        out.ue(id);
        debug_assert!((out.len() - begin).abs_diff(end - begin).is_multiple_of(8));
        let left = (8 - end % 8) % 8;
        let partial = self.rbsp.get(end / 8).copied().unwrap_or(0);
        out.put(u32::from(partial), left as u32);
        out.bytes(self.rbsp.get(end.div_ceil(8)..).unwrap_or_default());
        escaped(self.header, &out.into_bytes())
    }
}

/// Where idr_pic_id stands and what it is, and the parameter sets (7.3.3, 7.3.3.3).
fn header_fields(
    bits: &mut Bits<'_>,
    known: &ParameterSets,
) -> Result<([usize; 2], u32, Sets), &'static str> {
    const CUT: &str = "a truncated slice header";
    let all = bits.left();
    bits.ue().ok_or(CUT)?; // first_mb_in_slice
    if bits.ue().ok_or(CUT)? % 5 != 2 {
        return Err("an IDR of other slices than I");
    }
    let sets = Sets::of(bits.ue().ok_or(CUT)?, known)?;
    let (coding, pps) = (&sets.sps.coding, &sets.pps);
    bits.take(coding.frame_num_bits).ok_or(CUT)?;
    if !coding.frames_only && bits.flag().ok_or(CUT)? {
        return Err("field pictures");
    }
    let begin = all - bits.left();
    let id = bits.ue().ok_or(CUT)?;
    let end = all - bits.left();
    if id >= HIGHEST_ID {
        // The highest has no other of its length.
        return Err("an idr_pic_id that cannot change");
    }
    if let Order::Low(length) = coding.order {
        bits.take(length).ok_or(CUT)?;
        if pps.bottom_order {
            bits.se().ok_or(CUT)?;
        }
    }
    if pps.redundant {
        bits.ue().ok_or(CUT)?;
    }
    // Pictures before it not to be shown, or a long-term reference: both would need another
    // marking of what follows.
    if bits.take(2).ok_or(CUT)? != 0 {
        return Err("an IDR with a marking of its own");
    }
    Ok(([begin, end], id, sets))
}

/// Two identifiers for a picture that has `id` now: codes as [`Slice::with_id`] wants them, both
/// other than `id`. Low ones, which encoders count or alternate through, become much higher.
pub(super) fn other_ids(id: u32) -> [u32; 2] {
    // Codes of the same length are those of 2^n - 1 to 2^(n + 1) - 2.
    let class = (id + 1).ilog2();
    if class < 4 {
        let lowest = (1 << (class + 4)) - 1;
        return [lowest, lowest + 1];
    }
    let (lowest, size) = ((1 << class) - 1, 1 << class);
    [0, 1].map(|more| lowest + (id - lowest + size / 2 + more) % size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_keep_the_alignment() {
        let length = |id: u32| 2 * (id + 1).ilog2() + 1;
        for (id, expected) in [
            (0, [15, 16]),
            (1, [31, 32]),
            (6, [63, 64]),
            (14, [127, 128]),
        ] {
            assert_eq!(other_ids(id), expected);
        }
        for id in 0..HIGHEST_ID {
            let [one, two] = other_ids(id);
            assert!(one != two && one != id && two != id);
            assert!(one < HIGHEST_ID && two < HIGHEST_ID);
            for other in [one, two] {
                let grown = length(other) - length(id);
                assert!(grown == 0 || grown == 8, "{id} {other}");
            }
        }
    }
}
