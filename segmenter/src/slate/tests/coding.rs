//! Pictures of any coding, against a parser that we did not write: the identifier is all that
//! changes in an IDR, and what follows it is read as a P picture of skipped macroblocks.

use h264_reader::{
    Context,
    nal::{
        Nal, RefNal,
        pps::PicParameterSet,
        slice::{DecRefPicMarking, NumRefIdxActive, PicOrderCountLsb, SliceFamily, SliceHeader},
        sps::SeqParameterSet,
    },
    rbsp::BitRead,
};
use proptest::prelude::*;

use crate::avc::{NAL_PPS, NAL_SPS, ParameterSets};
use crate::segment::Idr;
use crate::slate::Still;
use crate::slate::rbsp::{BitWriter, escaped};
use crate::slate::skip::SkipPicture;
use crate::slate::slice::{Slice, other_ids};
use crate::sps::without_emulation;

/// How an encoder codes.
#[derive(Clone, Debug)]
struct Coding {
    profile: u8,
    frame_num_bits: u32,
    /// pic_order_cnt_lsb's length; `None`: type 2.
    order_bits: Option<u32>,
    wide: u32,
    high: u32,
    frames_only: bool,
    set_id: u32,
    pps_id: u32,
    cabac: bool,
    bottom_order: bool,
    weighted: bool,
    /// pic_init_qp_minus26 as its code.
    qp_code: u32,
    deblocking: bool,
    redundant: bool,
    id: u32,
    first: u32,
    data: Vec<u8>,
}

prop_compose! {
    fn coding()(
        (profile, frames_only) in (prop::sample::select(vec![66u8, 77, 100]), any::<bool>()),
        (frame_num_bits, order_bits) in (4u32..=16, prop::option::of(4u32..=16)),
        (wide, high) in (1u32..121, 1u32..69),
        (set_id, pps_id) in (0u32..32, 0u32..256),
        flags in any::<[bool; 5]>(),
        qp_code in 0u32..51,
        id in prop_oneof![0u32..20, 0u32..65_535],
        first in 0u32..8000,
        data in prop::collection::vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 1..80),
    ) -> Coding {
        let [cabac, bottom_order, weighted, deblocking, redundant] = flags;
        Coding {
            profile, frame_num_bits, order_bits, wide, high, frames_only, set_id, pps_id, cabac,
            bottom_order, weighted, qp_code, deblocking, redundant, id, first, data,
        }
    }
}

impl Coding {
    fn sps(&self) -> Vec<u8> {
        let mut out = BitWriter::default();
        out.put(u32::from(self.profile), 8);
        out.put(62, 16); // no constraints, level 6.2
        out.ue(self.set_id);
        if self.profile == 100 {
            out.ue(1); // 4:2:0
            out.ue(0);
            out.ue(0); // 8 bits
            out.put(0, 2); // no bypass, no scaling lists
        }
        out.ue(self.frame_num_bits - 4);
        match self.order_bits {
            Some(bits) => {
                out.ue(0);
                out.ue(bits - 4);
            }
            None => out.ue(2),
        }
        out.ue(1); // one reference
        out.put(0, 1);
        out.ue(self.wide - 1);
        out.ue(self.high - 1);
        out.put(u32::from(self.frames_only), 1);
        if !self.frames_only {
            out.put(0, 1); // never fields in a frame
        }
        out.put(0b1001, 4); // 8x8 inference, no cropping, no VUI, stop
        escaped(0x67, &out.into_bytes())
    }

    fn pps(&self) -> Vec<u8> {
        let mut out = BitWriter::default();
        out.ue(self.pps_id);
        out.ue(self.set_id);
        out.put(u32::from(self.cabac), 1);
        out.put(u32::from(self.bottom_order), 1);
        for _ in 0..3 {
            out.ue(0); // slice groups, references
        }
        out.put(u32::from(self.weighted), 1);
        out.put(0, 2);
        out.ue(self.qp_code);
        out.ue(0);
        out.ue(0);
        out.put(u32::from(self.deblocking), 1);
        out.put(0, 1);
        out.put(u32::from(self.redundant), 1);
        out.put(1, 1);
        escaped(0x68, &out.into_bytes())
    }

    /// An IDR slice, and where its identifier ends, bits into the payload.
    fn slice(&self) -> (Vec<u8>, usize) {
        let mut out = BitWriter::default();
        out.ue(self.first);
        out.ue(7);
        out.ue(self.pps_id);
        out.put(0, self.frame_num_bits);
        if !self.frames_only {
            out.put(0, 1);
        }
        out.ue(self.id);
        let end = out.len();
        if let Some(bits) = self.order_bits {
            out.put(0, bits);
            if self.bottom_order {
                out.ue(0);
            }
        }
        if self.redundant {
            out.ue(0);
        }
        out.put(0, 2); // marking
        out.ue(0); // slice_qp_delta
        if self.deblocking {
            out.ue(1);
        }
        for byte in &self.data {
            out.put(u32::from(*byte), 8);
        }
        out.put(1, 1);
        (escaped(0x65, &out.into_bytes()), end)
    }

    fn sets(&self) -> ParameterSets {
        let mut sets = ParameterSets::default();
        assert!(sets.merge(&self.sps()) && sets.merge(&self.pps()));
        sets
    }

    fn context(&self) -> Context {
        let mut context = Context::new();
        let sps = self.sps();
        let sps = RefNal::new(&sps, &[], true);
        context.put_seq_param_set(SeqParameterSet::from_bits(sps.rbsp_bits()).unwrap());
        let pps = self.pps();
        let pps = RefNal::new(&pps, &[], true);
        let pps = PicParameterSet::from_bits(&context, pps.rbsp_bits()).unwrap();
        context.put_pic_param_set(pps);
        context
    }
}

fn oracle(context: &Context, nal: &[u8]) -> SliceHeader {
    let nal = RefNal::new(nal, &[], true);
    let header = nal.header().unwrap();
    let (slice, _, _) =
        SliceHeader::from_bits(context, &mut nal.rbsp_bits(), header, None).unwrap();
    slice
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_but_the_identifier_changes(coding in coding()) {
        let (sets, context) = (coding.sets(), coding.context());
        let (nal, end) = coding.slice();
        let slice = Slice::read(&nal, &sets).unwrap();
        prop_assert_eq!(slice.id, coding.id);
        prop_assert_eq!(slice.with_id(coding.id), nal.clone(), "the same identifier, the same bytes");
        let mut before = oracle(&context, &nal);
        prop_assert_eq!(before.idr_pic_id.take(), Some(coding.id));
        let old = without_emulation(&nal[1..]);
        for id in other_ids(coding.id) {
            let nal = slice.with_id(id);
            let mut after = oracle(&context, &nal);
            prop_assert_eq!(after.idr_pic_id.take(), Some(id));
            prop_assert_eq!(format!("{before:?}"), format!("{after:?}"));
            let new = without_emulation(&nal[1..]);
            let grown = new.len() - old.len();
            prop_assert!(grown <= 1);
            // Every bit behind the identifier is where it was within its byte.
            let (at, mask) = (end / 8, 0xff >> (end % 8));
            prop_assert_eq!(old[at] & mask, new[at + grown] & mask);
            prop_assert_eq!(&old[at + 1..], &new[at + grown + 1..]);
        }
    }

    #[test]
    fn skipped_pictures_are_read_as_such(coding in coding(), number in 1u64..100_000) {
        let (sets, context) = (coding.sets(), coding.context());
        let (nal, _) = coding.slice();
        let slice = Slice::read(&nal, &sets).unwrap();
        let skip = SkipPicture::after(&slice.sets).nal(number);
        prop_assert_eq!(skip[0], 0x41);
        let read = oracle(&context, &skip);
        prop_assert_eq!(read.slice_type.family, SliceFamily::P);
        prop_assert_eq!(read.first_mb_in_slice, 0);
        prop_assert_eq!(u64::from(read.frame_num), number % (1 << coding.frame_num_bits));
        let lsb = coding.order_bits.map(|bits| (2 * number % (1 << bits)) as u32);
        prop_assert_eq!(read.pic_order_cnt_lsb, lsb.map(|pic_order_cnt_lsb| {
            match coding.bottom_order {
                true => PicOrderCountLsb::FieldsAbsolute {
                    pic_order_cnt_lsb,
                    delta_pic_order_cnt_bottom: 0,
                },
                false => PicOrderCountLsb::Frame(pic_order_cnt_lsb),
            }
        }));
        let one = matches!(
            read.num_ref_idx_active,
            Some(NumRefIdxActive::P { num_ref_idx_l0_active_minus1: 0 })
        );
        prop_assert!(one);
        prop_assert!(matches!(read.dec_ref_pic_marking, Some(DecRefPicMarking::SlidingWindow)));
        prop_assert_eq!(read.pred_weight_table.is_some(), coding.weighted);
        prop_assert_eq!(read.cabac_init_idc, coding.cabac.then_some(0));
        prop_assert_eq!(read.disable_deblocking_filter_idc, u8::from(coding.deblocking));
        if !coding.cabac {
            check_skip_run(&coding, &skip);
        }
    }

    /// Anything at all is taken or refused, and never ends in a panic.
    #[test]
    fn whatever_comes_is_no_panic(
        coding in coding(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut parts = [coding.sps(), coding.pps(), coding.slice().0];
        for (at, value) in &flips {
            let part = &mut parts[at.index(3)];
            let place = at.index(part.len());
            part[place] = *value;
        }
        let cut = cut.index(parts[2].len() + 1);
        let mut sets = ParameterSets::default();
        sets.merge(&parts[0]);
        sets.merge(&parts[1]);
        let slice = &parts[2][..cut];
        let mut data = (slice.len() as u32).to_be_bytes().to_vec();
        data.extend(slice);
        let idr = Idr { data: data.into(), length_bytes: 4, sets, reorder_90k: 0 };
        if let Ok(still) = Still::freeze(&idr) {
            prop_assert!(still.picture(0, 7).len() > 4);
        }
    }
}

/// What stands before the data is known to end where one run of all macroblocks begins.
fn check_skip_run(coding: &Coding, skip: &[u8]) {
    let macroblocks = coding.wide * coding.high * if coding.frames_only { 1 } else { 2 };
    let mut end = BitWriter::default();
    end.ue(macroblocks);
    end.put(1, 1);
    let expected = end.len();
    let nal = RefNal::new(skip, &[], true);
    let all = without_emulation(&skip[1..]).len() * 8;
    let mut bits = nal.rbsp_bits();
    // The stop bit and the zeros behind it are the last of it.
    let zeros = without_emulation(&skip[1..])
        .last()
        .unwrap()
        .trailing_zeros() as usize;
    for _ in 0..all - zeros - expected {
        bits.read_bit("header").unwrap();
    }
    assert_eq!(bits.read_ue("mb_skip_run").unwrap(), macroblocks);
    assert!(bits.read_bit("stop").unwrap());
}

/// What the give-up list names, one thing at a time.
#[test]
fn what_cannot_be_frozen_says_why() {
    let sets = |sps: &[u8], pps: &[u8]| {
        let mut sets = ParameterSets::default();
        sets.merge(sps);
        sets.merge(pps);
        sets
    };
    let good = Coding {
        profile: 77,
        frame_num_bits: 4,
        order_bits: Some(6),
        wide: 20,
        high: 12,
        frames_only: true,
        set_id: 0,
        pps_id: 0,
        cabac: true,
        bottom_order: false,
        weighted: false,
        qp_code: 0,
        deblocking: true,
        redundant: false,
        id: 0,
        first: 0,
        data: vec![1, 2, 3],
    };
    let freeze = |nals: &[&[u8]], sets: ParameterSets| {
        let mut data = Vec::new();
        for nal in nals {
            data.extend((nal.len() as u32).to_be_bytes());
            data.extend(*nal);
        }
        let reorder_90k = 0;
        let idr = Idr {
            data: data.into(),
            length_bytes: 4,
            sets,
            reorder_90k,
        };
        Still::freeze(&idr).map(|_| ())
    };
    let (sps, pps, (slice, _)) = (good.sps(), good.pps(), good.slice());
    let known = || sets(&sps, &pps);
    assert_eq!(freeze(&[&slice], known()), Ok(()));
    assert_eq!(freeze(&[&[6, 4, 1, 7, 0x80], &slice], known()), Ok(()));
    for (nals, sets, why) in [
        (
            &[&slice[..]][..],
            ParameterSets::default(),
            "a PPS is missing",
        ),
        (&[&slice], sets(&[], &pps), "an SPS is missing"),
        (&[], known(), "no IDR"),
        (&[&[0x65]], known(), "a truncated slice header"),
        (
            &[&[0x05, 0x88, 0x84]],
            known(),
            "an IDR that is no reference",
        ),
        (
            &[&slice, &[0x41, 1]],
            known(),
            "an IDR with other slices beside it",
        ),
        (&[&[0x42, 1], &slice], known(), "data partitioning"),
        (
            &[&slice, &[0x6e, 1]],
            known(),
            "several layers or views, or auxiliary pictures",
        ),
        (
            &[&slice, &[0x74, 1]],
            known(),
            "several layers or views, or auxiliary pictures",
        ),
        (&[&[6, 4, 9], &slice], known(), "an SEI without its end"),
        (
            &[
                &slice,
                &Coding {
                    id: 1,
                    first: 9,
                    ..good.clone()
                }
                .slice()
                .0,
            ],
            known(),
            "slices of several pictures, or out of order",
        ),
        (
            &[&Coding {
                id: 65_535,
                ..good.clone()
            }
            .slice()
            .0],
            known(),
            "an idr_pic_id that cannot change",
        ),
    ] {
        assert_eq!(freeze(nals, sets), Err(why));
    }
    // Extended profile; High 10 Intra is 110 with constraint_set3_flag.
    let mut extended = sps.clone();
    extended[1] = 88;
    let why = Err("a profile without plain P pictures");
    assert_eq!(freeze(&[&slice], sets(&extended, &pps)), why);
    let mut field = BitWriter::default();
    for value in [0, 7, 0] {
        field.ue(value);
    }
    field.put(1, 5);
    let field = escaped(0x65, &field.into_bytes());
    let paff = Coding {
        frames_only: false,
        ..good
    };
    let known = sets(&paff.sps(), &paff.pps());
    assert!(known.find(NAL_SPS, 0).is_some() && known.find(NAL_PPS, 0).is_some());
    assert_eq!(freeze(&[&field], known), Err("field pictures"));
}
