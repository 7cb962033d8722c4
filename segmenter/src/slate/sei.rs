//! SEI: which supplemental messages of a picture still hold when it is shown again and again (H.264
//! 7.3.2.3.1, D.1). It does not know pictures.

use crate::slate::rbsp::escaped;
use crate::sps::without_emulation;

/// pic_timing: needed on each picture when the SPS says that there is a pic_struct.
const PIC_TIMING: u32 = 1;
/// How a picture is to be shown: frame packing, orientation, mastering display, content light level,
/// alternative transfer characteristics (HLG).
const SHOWN: [u32; 5] = [45, 47, 137, 144, 147];

/// The NAL unit `nal` with those messages that still hold; `None` when there are none. Captions are
/// not repeated: what was said is said.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn still(nal: &[u8], pic_struct: bool) -> Result<Option<Vec<u8>>, &'static str> {
    let rbsp = without_emulation(nal.get(1..).unwrap_or_default());
    // What ends the payload: a one and zeros.
    let stop = rbsp.iter().rposition(|byte| *byte != 0);
    let mut left = match stop {
        Some(last) if rbsp[last] == 0x80 => &rbsp[..last],
        _ => return Err("an SEI without its end"),
    };
    let mut kept = Vec::new();
    while !left.is_empty() {
        let start = left;
        let kind = number(&mut left)?;
        let size = number(&mut left)? as usize;
        left = left.get(size..).ok_or("an SEI longer than its NAL unit")?;
        if SHOWN.contains(&kind) || kind == PIC_TIMING && pic_struct {
            kept.extend_from_slice(&start[..start.len() - left.len()]);
        }
    }
    if kept.is_empty() {
        return Ok(None);
    }
    kept.push(0x80);
    Ok(Some(escaped(nal[0], &kept)))
}

/// A payload's type or size: 255 for each byte 0xff, and the byte behind them.
fn number(left: &mut &[u8]) -> Result<u32, &'static str> {
    let mut sum = 0u32;
    while let Some((byte, rest)) = left.split_first() {
        *left = rest;
        sum = sum.saturating_add(u32::from(*byte));
        if *byte != 0xff {
            return Ok(sum);
        }
    }
    Err("a truncated SEI")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_go_and_what_tells_of_the_picture_stays() {
        let hlg = [147, 1, 18];
        let captions = [4, 3, 0xb5, 0, 0x31];
        let timing = [1, 1, 0x40];
        let nal = [&[6], &captions[..], &hlg, &timing, &[0x80]].concat();
        let expected = [&[6], &hlg[..], &[0x80]].concat();
        assert_eq!(still(&nal, false), Ok(Some(expected)));
        let expected = [&[6], &hlg[..], &timing, &[0x80]].concat();
        assert_eq!(still(&nal, true), Ok(Some(expected)));
        assert_eq!(
            still(&[&[6], &captions[..], &[0x80]].concat(), true),
            Ok(None)
        );
    }

    #[test]
    fn long_numbers_and_escapes_are_read() {
        let mut nal = vec![6, 5, 0xff, 2];
        nal.extend([7; 257]);
        nal.extend([144, 4, 0, 0, 3, 0, 1, 0x80]);
        let expected = vec![6, 144, 4, 0, 0, 3, 0, 1, 0x80];
        assert_eq!(still(&nal, false), Ok(Some(expected)));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for nal in [
            &[6][..],
            &[6, 0],
            &[6, 4, 9, 1, 0x80],
            &[6, 4, 0x80],
            &[6, 0xff, 0x80],
            &[],
        ] {
            assert!(still(nal, true).is_err(), "{nal:?}");
        }
    }
}
