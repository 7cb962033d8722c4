//! PPS: what slice headers depend on in an H.264 picture parameter set (7.3.2.2). It does not know
//! how parameter sets travel.

use crate::bits::Bits;
use crate::sps::without_emulation;

/// What a picture parameter set tells, up to its slice groups when it has more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pps {
    /// pic_parameter_set_id, 0 to 255.
    pub(crate) id: u32,
    /// seq_parameter_set_id.
    pub(crate) sps_id: u32,
    /// entropy_coding_mode_flag.
    pub(crate) cabac: bool,
    /// bottom_field_pic_order_in_frame_present_flag.
    pub(crate) bottom_order: bool,
    /// weighted_pred_flag.
    pub(crate) weighted: bool,
    /// The quantiser that slices start from, 26 + pic_init_qp_minus26: below 0 with deep samples.
    pub(crate) qp: i64,
    /// deblocking_filter_control_present_flag.
    pub(crate) deblocking: bool,
    /// redundant_pic_cnt_present_flag.
    pub(crate) redundant: bool,
}

impl Pps {
    /// Reads a whole NAL unit, header byte first; `None` when it is no readable PPS, or has slice
    /// groups.
    pub(crate) fn parse(nal: &[u8]) -> Option<Self> {
        if nal.first()? & 0x1f != 8 {
            return None;
        }
        let rbsp = without_emulation(&nal[1..]);
        let mut bits = Bits::new(&rbsp);
        let id = bits.ue().filter(|id| *id < 256)?;
        let sps_id = bits.ue()?;
        let cabac = bits.flag()?;
        let bottom_order = bits.flag()?;
        bits.ue().filter(|more_groups| *more_groups == 0)?;
        bits.ue()?; // num_ref_idx_l0_default_active_minus1
        bits.ue()?; // num_ref_idx_l1_default_active_minus1
        let weighted = bits.flag()?;
        bits.take(2)?; // weighted_bipred_idc
        let qp = 26 + bits.se()?;
        bits.se()?; // pic_init_qs_minus26
        bits.se()?; // chroma_qp_index_offset
        let deblocking = bits.flag()?;
        bits.flag()?; // constrained_intra_pred_flag
        let redundant = bits.flag()?;
        Some(Self {
            id,
            sps_id,
            cabac,
            bottom_order,
            weighted,
            qp,
            deblocking,
            redundant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264's of High profile with CABAC and weighted prediction, and of Constrained Baseline.
    const HIGH: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    const BASELINE: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];

    #[test]
    fn reads_what_x264_writes() {
        let high = Pps::parse(&HIGH).unwrap();
        assert!(high.cabac && high.weighted && high.deblocking && !high.redundant);
        assert_eq!((high.id, high.sps_id), (0, 0));
        let baseline = Pps::parse(&BASELINE).unwrap();
        assert!(!baseline.cabac && !baseline.weighted && baseline.deblocking);
    }

    #[test]
    fn slice_groups_and_truncated_sets_are_refused() {
        // 1 1 0 0 010: two slice groups.
        assert_eq!(Pps::parse(&[0x68, 0b1100_0101, 0xff, 0xff, 0xff]), None);
        for nal in [&HIGH[..3], &BASELINE[..2], &[0x67, 0xeb], &[0x68], &[]] {
            assert_eq!(Pps::parse(nal), None, "{nal:?}");
        }
    }
}
