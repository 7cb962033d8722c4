//! SPS: picture size, frame rate and codec string out of an H.264 sequence parameter set
//! (H.264 7.3.2.1.1, E.1.1). It does not know how parameter sets travel.

use crate::bits::Bits;

/// What a sequence parameter set tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// seq_parameter_set_id, 0 to 31.
    pub id: u8,
    /// profile_idc.
    pub profile: u8,
    /// Constraint flags with the reserved bits below them.
    pub constraints: u8,
    /// level_idc.
    pub level: u8,
    /// Cropped width in pixels.
    pub width: u32,
    /// Cropped height in pixels.
    pub height: u32,
    /// Frames per second from VUI timing.
    pub fps: Option<f64>,
    /// What slice headers depend on.
    pub(crate) coding: Coding,
}

/// What the headers of slices, and pictures made for them, depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    /// Of frame_num; more than 16 in a broken one.
    pub(crate) frame_num_bits: u32,
    pub(crate) order: Order,
    /// max_num_ref_frames.
    pub(crate) references: u32,
    /// Of a frame.
    pub(crate) macroblocks: u64,
    /// frame_mbs_only_flag.
    pub(crate) frames_only: bool,
    /// mb_adaptive_frame_field_flag.
    pub(crate) adaptive_fields: bool,
    /// ChromaArrayType is 0.
    pub(crate) luma_only: bool,
    /// separate_colour_plane_flag.
    pub(crate) separate_planes: bool,
    /// pic_struct_present_flag.
    pub(crate) pic_struct: bool,
}

/// pic_order_cnt_type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// 0: slices carry so many low bits of it; more than 16 in a broken one.
    Low(u32),
    /// 1: an expected cycle.
    Cycle,
    /// 2: the order of decoding.
    Decoding,
}

/// The largest side taken: level 6.2 allows 16,880 luma samples.
const MAX_SIDE: u32 = 16_880;
/// Profiles that carry chroma_format_idc and what follows it.
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

impl Sps {
    /// Reads a whole NAL unit, header byte first; `None` when it is no readable SPS.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal.first()? & 0x1f != 7 {
            return None;
        }
        let rbsp = without_emulation(&nal[1..]);
        let mut bits = Bits::new(&rbsp);
        let profile = bits.take(8)? as u8;
        let constraints = bits.take(8)? as u8;
        let level = bits.take(8)? as u8;
        let id = bits.ue().filter(|id| *id < 32)? as u8;
        let (chroma, separate_planes) = if HIGH_PROFILES.contains(&profile) {
            chroma_format(&mut bits)?
        } else {
            (1, false)
        };
        let frame_num_bits = bits.ue()?.saturating_add(4);
        let order = picture_order(&mut bits)?;
        let references = bits.ue()?;
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let size = size(&mut bits, chroma)?;
        let vui = Vui::read(&mut bits);
        Some(Self {
            id,
            profile,
            constraints,
            level,
            width: size.width,
            height: size.height,
            fps: vui.fps,
            coding: Coding {
                frame_num_bits,
                order,
                references,
                macroblocks: size.macroblocks,
                frames_only: size.frames_only,
                adaptive_fields: size.adaptive_fields,
                luma_only: chroma == 0,
                separate_planes,
                pic_struct: vui.pic_struct,
            },
        })
    }

    /// RFC 6381 3.3, like `avc1.64001f`.
    pub fn codec(&self) -> String {
        format!(
            "avc1.{:02x}{:02x}{:02x}",
            self.profile, self.constraints, self.level
        )
    }
}

/// Removes each emulation_prevention_three_byte (H.264 7.4.1).
pub(crate) fn without_emulation(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut zeros = 0;
    for &byte in data {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// ChromaArrayType and separate_colour_plane_flag, past the bit depths and scaling lists.
fn chroma_format(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    let format = bits.ue().filter(|format| *format <= 3)?;
    let separate_planes = format == 3 && bits.flag()?;
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.flag()?; // qpprime_y_zero_transform_bypass_flag
    if bits.flag()? {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((if separate_planes { 0 } else { format }, separate_planes))
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn picture_order(bits: &mut Bits<'_>) -> Option<Order> {
    match bits.ue()? {
        0 => Some(Order::Low(bits.ue()?.saturating_add(4))),
        1 => {
            bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue().filter(|count| *count <= 255)? {
                bits.se()?;
            }
            Some(Order::Cycle)
        }
        2 => Some(Order::Decoding),
        _ => None,
    }
}

/// Of a frame.
struct Size {
    /// Width and height less the frame cropping rectangle (H.264 7.4.2.1.1).
    width: u32,
    height: u32,
    macroblocks: u64,
    frames_only: bool,
    adaptive_fields: bool,
}

fn size(bits: &mut Bits<'_>, chroma: u32) -> Option<Size> {
    let blocks_wide = u64::from(bits.ue()?) + 1;
    let map_units_high = u64::from(bits.ue()?) + 1;
    let frames_only = bits.flag()?;
    let adaptive_fields = !frames_only && bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    bits.flag()?; // direct_8x8_inference_flag
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.flag()? {
        crop_x = u64::from(bits.ue()?) + u64::from(bits.ue()?);
        crop_y = u64::from(bits.ue()?) + u64::from(bits.ue()?);
    }
    let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
    let unit_y = fields * if chroma == 1 { 2 } else { 1 };
    let side = |length: u64, crop: u64| {
        let cropped = u32::try_from(length.checked_sub(crop)?).ok()?;
        (1..=MAX_SIDE).contains(&cropped).then_some(cropped)
    };
    Some(Size {
        width: side(blocks_wide * 16, crop_x * unit_x)?,
        height: side(map_units_high * fields * 16, crop_y * unit_y)?,
        macroblocks: blocks_wide
            .saturating_mul(map_units_high)
            .saturating_mul(fields),
        frames_only,
        adaptive_fields,
    })
}

/// The video usability information (H.264 E.1.1); a broken one tells what stands before the break.
#[derive(Default)]
struct Vui {
    fps: Option<f64>,
    pic_struct: bool,
}

impl Vui {
    fn read(bits: &mut Bits<'_>) -> Self {
        let mut vui = Self::default();
        let _ = vui.fill(bits);
        vui
    }

    fn fill(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if !bits.flag()? {
            return None;
        }
        skip_picture_signal(bits)?;
        if bits.flag()? {
            let tick = bits.take(32)?;
            let scale = bits.take(32)?;
            if tick > 0 && scale > 0 {
                self.fps = Some(f64::from(scale) / (2.0 * f64::from(tick)));
            }
            bits.flag()?; // fixed_frame_rate_flag
        }
        let mut buffers = false;
        for _ in 0..2 {
            if bits.flag()? {
                skip_buffer(bits)?;
                buffers = true;
            }
        }
        if buffers {
            bits.flag()?; // low_delay_hrd_flag
        }
        self.pic_struct = bits.flag()?;
        Some(())
    }
}

/// hrd_parameters (H.264 E.1.2).
fn skip_buffer(bits: &mut Bits<'_>) -> Option<()> {
    let more = bits.ue().filter(|count| *count < 32)?;
    bits.take(8)?; // scales
    for _ in 0..=more {
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
    }
    bits.take(20)?; // lengths of times
    Some(())
}

/// What stands before the VUI's timing.
fn skip_picture_signal(bits: &mut Bits<'_>) -> Option<()> {
    if bits.flag()? && bits.take(8)? == 255 {
        bits.take(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.take(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.take(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?; // chroma sample locations
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};

    /// x264 1280x720 High at 25 fps, and 160x90 (cropped) Constrained Baseline at 30 fps.
    const SAMPLES: [&[u8]; 2] = [
        &[
            0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00,
            0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
        ],
        &[
            0x67, 0x42, 0xc0, 0x0b, 0xda, 0x0a, 0x37, 0xe4, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
            0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x50, 0xa6, 0x58,
        ],
    ];

    #[test]
    fn agrees_with_h264_reader() {
        for nal in SAMPLES {
            let ours = Sps::parse(nal).unwrap();
            let oracle = RefNal::new(nal, &[], true);
            let theirs = SeqParameterSet::from_bits(oracle.rbsp_bits()).unwrap();
            assert_eq!(
                theirs.pixel_dimensions().unwrap(),
                (ours.width, ours.height)
            );
            assert_eq!(theirs.fps(), ours.fps);
            assert_eq!(theirs.rfc6381().to_string().to_lowercase(), ours.codec());
        }
        assert_eq!(Sps::parse(SAMPLES[0]).unwrap().codec(), "avc1.64001f");
        assert_eq!(Sps::parse(SAMPLES[0]).unwrap().width, 1280);
    }

    #[test]
    fn truncation_never_panics() {
        for nal in SAMPLES {
            for length in 0..nal.len() {
                let _ = Sps::parse(&nal[..length]);
            }
        }
        assert_eq!(Sps::parse(&[]), None);
        assert_eq!(Sps::parse(&[0x68, 0x64]), None);
        assert_eq!(Sps::parse(&[0x67; 5]), None);
    }
}
