//! Skip: the P picture that repeats the one before it, every macroblock skipped (H.264 7.3.3,
//! 7.3.4). It does not know times, nor whose picture it repeats.

use crate::bits::Bits;
use crate::sps::without_emulation;

/// nal_ref_idc 2, coded slice: as a picture that is no reference, wrapped order counts lose some.
const P_SLICE: u8 = 0x41;
/// A P slice, and all slices of the picture are.
const SLICE_TYPE_P: u32 = 5;

/// What the slice header depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SkipPicture {
    pps_id: u32,
    frame_num_bits: u32,
    /// pic_order_cnt_lsb's length; `None` with pic_order_cnt_type 2, which has none.
    order_bits: Option<u32>,
    frames_only: bool,
    bottom_order: bool,
    redundant: bool,
    weighted: bool,
    deblocking: bool,
    macroblocks: u32,
}

impl SkipPicture {
    /// Reads the two parameter sets, whole NAL units; `None` for what is not handled: profiles
    /// above Main, CABAC, slice groups, order counts of type 1.
    pub(super) fn after(sps: &[u8], pps: &[u8]) -> Option<Self> {
        let sps = without_emulation(sps.get(1..)?);
        let mut bits = Bits::new(&sps);
        if ![66, 77].contains(&bits.take(8)?) {
            return None;
        }
        bits.take(16)?; // constraints, level
        bits.ue()?; // seq_parameter_set_id
        let frame_num_bits = bits.ue().filter(|less| *less <= 12)? + 4;
        let order_bits = match bits.ue()? {
            0 => Some(bits.ue().filter(|less| *less <= 12)? + 4),
            2 => None,
            _ => return None,
        };
        bits.ue().filter(|count| *count > 0)?; // max_num_ref_frames
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let wide = bits.ue().filter(|less| *less < 1100)? + 1;
        let high = bits.ue().filter(|less| *less < 1100)? + 1;
        let frames_only = bits.flag()?;

        let pps = without_emulation(pps.get(1..)?);
        let mut bits = Bits::new(&pps);
        let pps_id = bits.ue().filter(|id| *id < 256)?;
        bits.ue()?; // seq_parameter_set_id
        let cabac = bits.flag()?;
        let bottom_order = bits.flag()?;
        let groups = bits.ue()?;
        if cabac || groups > 0 {
            return None;
        }
        bits.ue()?; // num_ref_idx_l0_default_active_minus1
        bits.ue()?; // num_ref_idx_l1_default_active_minus1
        let weighted = bits.flag()?;
        bits.take(2)?; // weighted_bipred_idc
        for _ in 0..3 {
            bits.se()?; // pic_init_qp, pic_init_qs, chroma_qp_index_offset
        }
        let deblocking = bits.flag()?;
        bits.flag()?; // constrained_intra_pred_flag
        let redundant = bits.flag()?;
        Some(Self {
            pps_id,
            frame_num_bits,
            order_bits,
            frames_only,
            bottom_order,
            redundant,
            weighted,
            deblocking,
            macroblocks: wide * high * if frames_only { 1 } else { 2 },
        })
    }

    /// The NAL unit of the picture `number` pictures behind its IDR.
    pub(super) fn nal(&self, number: u64) -> Vec<u8> {
        let mut out = BitWriter::default();
        let low = |value: u64, bits: u32| (value & ((1 << bits) - 1)) as u32;
        out.ue(0); // first_mb_in_slice
        out.ue(SLICE_TYPE_P);
        out.ue(self.pps_id);
        out.put(low(number, self.frame_num_bits), self.frame_num_bits);
        if !self.frames_only {
            out.put(0, 1); // field_pic_flag
        }
        if let Some(bits) = self.order_bits {
            out.put(low(2 * number, bits), bits);
            if self.bottom_order {
                out.ue(0); // delta_pic_order_cnt_bottom
            }
        }
        if self.redundant {
            out.ue(0); // redundant_pic_cnt
        }
        out.put(1, 1); // num_ref_idx_active_override_flag
        out.ue(0); // one reference
        out.put(0, 1); // ref_pic_list_modification_flag_l0
        if self.weighted {
            out.ue(0); // luma_log2_weight_denom
            out.ue(0); // chroma_log2_weight_denom
            out.put(0, 2); // no weights
        }
        out.put(0, 1); // adaptive_ref_pic_marking_mode_flag
        out.ue(0); // slice_qp_delta
        if self.deblocking {
            out.ue(1); // disable_deblocking_filter_idc
        }
        out.ue(self.macroblocks); // mb_skip_run
        out.put(1, 1); // rbsp_stop_one_bit
        escaped(&out.bytes)
    }
}

/// A NAL unit with emulation prevention (H.264 7.4.1).
fn escaped(rbsp: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(rbsp.len() + 4);
    nal.push(P_SLICE);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

/// Writes from the most significant bit on; the last byte is filled with zeros.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    bits: u32,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << (7 - self.bits % 8);
            }
            self.bits += 1;
        }
    }

    /// ue(v), H.264 9.1, of values below 2^31.
    fn ue(&mut self, value: u32) {
        let code = value + 1;
        let length = code.ilog2();
        self.put(0, length);
        self.put(code, length + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = BitWriter::default();
        for value in [0, 1, 7, 8159, 8160] {
            out.ue(value);
        }
        out.put(5, 3);
        let mut bits = Bits::new(&out.bytes);
        for value in [0, 1, 7, 8159, 8160] {
            assert_eq!(bits.ue(), Some(value));
        }
        assert_eq!(bits.take(3), Some(5));
    }

    #[test]
    fn zeros_are_escaped() {
        assert_eq!(escaped(&[0, 0, 1, 0, 0]), [P_SLICE, 0, 0, 3, 1, 0, 0]);
        assert_eq!(escaped(&[0, 0, 0, 4]), [P_SLICE, 0, 0, 3, 0, 4]);
    }

    #[test]
    fn other_coding_is_refused() {
        let high = [0x67, 100, 0, 31, 0xac];
        assert_eq!(SkipPicture::after(&high, &[0x68, 0xeb]), None);
        assert_eq!(SkipPicture::after(&[0x67, 66], &[0x68]), None);
        assert_eq!(SkipPicture::after(&[], &[]), None);
    }
}
