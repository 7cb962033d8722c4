//! Skip: the P picture that repeats the one before it, every macroblock skipped (H.264 7.3.3,
//! 7.3.4). It does not know times, nor whose picture it repeats.

use crate::slate::cabac;
use crate::slate::rbsp::{BitWriter, escaped};
use crate::slate::slice::Sets;
use crate::sps::Order;

/// nal_ref_idc 2, coded slice: as a picture that is no reference, wrapped order counts lose some.
const P_SLICE: u8 = 0x41;
/// A P slice, and all slices of the picture are.
const SLICE_TYPE_P: u32 = 5;

/// Makes such pictures.
#[derive(Clone, Debug)]
pub(super) struct SkipPicture {
    sets: Sets,
    /// With CABAC: the slice's data, which is the same in each.
    data: Option<Vec<u8>>,
}

impl SkipPicture {
    /// Pictures that may follow one of these parameter sets.
    pub(super) fn after(sets: &Sets) -> Self {
        let macroblocks = sets.sps.coding.macroblocks;
        Self {
            data: (sets.pps.cabac).then(|| cabac::all_skipped(macroblocks, sets.pps.qp)),
            sets: sets.clone(),
        }
    }

    /// The NAL unit of the picture `number` pictures behind its IDR: one slice.
    pub(super) fn nal(&self, number: u64) -> Vec<u8> {
        let mut out = BitWriter::default();
        self.header(number, &mut out);
        match &self.data {
            Some(data) => {
                while !out.len().is_multiple_of(8) {
                    out.put(1, 1); // cabac_alignment_one_bit
                }
                out.bytes(data);
            }
            None => {
                // mb_skip_run
                out.ue(u32::try_from(self.sets.sps.coding.macroblocks).unwrap_or(0));
                out.put(1, 1); // rbsp_stop_one_bit
            }
        }
        escaped(P_SLICE, &out.into_bytes())
    }

    fn header(&self, number: u64, out: &mut BitWriter) {
        let (coding, pps) = (&self.sets.sps.coding, &self.sets.pps);
        let low = |value: u64, bits: u32| (value & ((1 << bits) - 1)) as u32;
        out.ue(0); // first_mb_in_slice
        out.ue(SLICE_TYPE_P);
        out.ue(pps.id);
        out.put(low(number, coding.frame_num_bits), coding.frame_num_bits);
        if !coding.frames_only {
            out.put(0, 1); // field_pic_flag
        }
        if let Order::Low(bits) = coding.order {
            out.put(low(2 * number, bits), bits);
            if pps.bottom_order {
                out.ue(0); // delta_pic_order_cnt_bottom
            }
        }
        if pps.redundant {
            out.ue(0); // redundant_pic_cnt
        }
        out.put(1, 1); // num_ref_idx_active_override_flag
        out.ue(0); // one reference
        out.put(0, 1); // ref_pic_list_modification_flag_l0
        if pps.weighted {
            // For luma and for chroma: the denominator, and later a flag that says no weight.
            let planes = if coding.luma_only { 1 } else { 2 };
            (0..planes).for_each(|_| out.ue(0));
            out.put(0, planes);
        }
        out.put(0, 1); // adaptive_ref_pic_marking_mode_flag
        if pps.cabac {
            out.ue(0); // cabac_init_idc
        }
        out.ue(0); // slice_qp_delta
        if pps.deblocking {
            out.ue(1); // disable_deblocking_filter_idc
        }
    }
}
