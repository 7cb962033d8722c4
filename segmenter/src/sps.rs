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
        let chroma = if HIGH_PROFILES.contains(&profile) {
            chroma_format(&mut bits)?
        } else {
            1
        };
        skip_picture_order(&mut bits)?;
        let (width, height) = size(&mut bits, chroma)?;
        let fps = frame_rate(&mut bits);
        Some(Self {
            id,
            profile,
            constraints,
            level,
            width,
            height,
            fps,
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

/// ChromaArrayType, past the bit depths and scaling lists.
fn chroma_format(bits: &mut Bits<'_>) -> Option<u32> {
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
    Some(if separate_planes { 0 } else { format })
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

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    bits.ue()?; // log2_max_frame_num_minus4
    match bits.ue()? {
        0 => drop(bits.ue()?),
        1 => {
            bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue().filter(|count| *count <= 255)? {
                bits.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.ue()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    Some(())
}

/// Width and height less the frame cropping rectangle (H.264 7.4.2.1.1).
fn size(bits: &mut Bits<'_>, chroma: u32) -> Option<(u32, u32)> {
    let blocks_wide = u64::from(bits.ue()?) + 1;
    let map_units_high = u64::from(bits.ue()?) + 1;
    let fields = if bits.flag()? {
        1
    } else {
        bits.flag()?; // mb_adaptive_frame_field_flag
        2
    };
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
    Some((
        side(blocks_wide * 16, crop_x * unit_x)?,
        side(map_units_high * fields * 16, crop_y * unit_y)?,
    ))
}

/// VUI timing; a broken or absent VUI has none.
fn frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    if !bits.flag()? {
        return None;
    }
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
    if !bits.flag()? {
        return None;
    }
    let tick = bits.take(32)?;
    let scale = bits.take(32)?;
    (tick > 0 && scale > 0).then(|| f64::from(scale) / (2.0 * f64::from(tick)))
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
