//! A stream's picture: a key frame decoded, scaled and encoded as JPEG, or a plain card. The
//! only module that names openh264 and jpeg-encoder; it does not know when or where it is shown.

use jpeg_encoder::{ColorType, Encoder};
use openh264::{decoder::Decoder, formats::YUVSource};

/// Widest picture made.
const WIDTH_MAX: usize = 640;
/// JPEG quality.
const QUALITY: u8 = 80;
/// Pictures with more pixels than 4096x2304 are not decoded: a card is cheaper than the memory.
pub(super) const PIXELS_MAX: u64 = 4096 * 2304;

/// The thumbnail of an Annex B access unit, or the card when it cannot be decoded.
pub(super) fn picture(idr: &[u8]) -> Vec<u8> {
    decoded(idr).unwrap_or_else(card)
}

fn decoded(idr: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new().ok()?;
    let now = decoder.decode(idr).ok().flatten();
    if let Some(picture) = now {
        return jpeg(&Planes::of(&picture));
    }
    let late = decoder.flush_remaining().ok()?;
    jpeg(&Planes::of(late.first()?))
}

/// 8-bit 4:2:0, limited range.
struct Planes<'a> {
    width: usize,
    height: usize,
    planes: [&'a [u8]; 3],
    strides: [usize; 3],
}

impl<'a> Planes<'a> {
    fn of(picture: &'a impl YUVSource) -> Self {
        let (width, height) = picture.dimensions();
        let (y, u, v) = picture.strides();
        Self {
            width,
            height,
            planes: [picture.y(), picture.u(), picture.v()],
            strides: [y, u, v],
        }
    }

    /// Mean of a plane over the pixels of one output pixel. `shift` is 1 for chroma.
    fn mean(&self, plane: usize, x: (usize, usize), y: (usize, usize), shift: usize) -> f32 {
        let (left, right) = (x.0 >> shift, (x.1 >> shift).max((x.0 >> shift) + 1));
        let (top, bottom) = (y.0 >> shift, (y.1 >> shift).max((y.0 >> shift) + 1));
        let mut sum = 0u32;
        for row in top..bottom {
            let start = row * self.strides[plane];
            let Some(pixels) = self.planes[plane].get(start + left..start + right) else {
                return 128.0;
            };
            sum += pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
        }
        sum as f32 / ((right - left) * (bottom - top)) as f32
    }
}

/// Scales to at most [`WIDTH_MAX`] by averaging and encodes.
fn jpeg(picture: &Planes<'_>) -> Option<Vec<u8>> {
    let (width, height) = scaled(picture.width, picture.height)?;
    // Encoders that do not say mean BT.709 from 720 lines up and BT.601 below.
    let [rv, gu, gv, bu] = match picture.height {
        720.. => [1.793, 0.213, 0.533, 2.112],
        _ => [1.596, 0.392, 0.813, 2.017],
    };
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        let y = (
            row * picture.height / height,
            (row + 1) * picture.height / height,
        );
        for column in 0..width {
            let x = (
                column * picture.width / width,
                (column + 1) * picture.width / width,
            );
            let luma = (picture.mean(0, x, y, 0) - 16.0) * 1.164;
            let u = picture.mean(1, x, y, 1) - 128.0;
            let v = picture.mean(2, x, y, 1) - 128.0;
            let channels: [f32; 3] = [luma + rv * v, luma - gu * u - gv * v, luma + bu * u];
            // `as` saturates at 0 and 255.
            rgb.extend(channels.map(|channel| channel.round() as u8));
        }
    }
    encoded(&rgb, width, height)
}

fn scaled(width: usize, height: usize) -> Option<(usize, usize)> {
    if width == 0 || height == 0 {
        return None;
    }
    let to = width.min(WIDTH_MAX);
    Some((
        to,
        (height * to / width).clamp(1, 4 * WIDTH_MAX).min(height),
    ))
}

fn encoded(rgb: &[u8], width: usize, height: usize) -> Option<Vec<u8>> {
    let (wide, high) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let mut out = Vec::with_capacity(32 * 1024);
    Encoder::new(&mut out, QUALITY)
        .encode(rgb, wide, high, ColorType::Rgb)
        .ok()?;
    Some(out)
}

/// A plain card: a light triangle, pointing right, on a dark ground.
pub(super) fn card() -> Vec<u8> {
    const WIDTH: usize = 640;
    const HEIGHT: usize = 360;
    let mut rgb = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let from_tip = (y.abs_diff(HEIGHT / 2)) * 2;
            let inside = (265..=385).contains(&x) && x - 265 + from_tip <= 120;
            rgb.extend(if inside {
                [208, 214, 222]
            } else {
                [24, 28, 36]
            });
        }
    }
    encoded(&rgb, WIDTH, HEIGHT).expect("the card's size and pixels are constants that encode")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width and height from the start-of-frame marker.
    fn size(jpeg: &[u8]) -> (usize, usize) {
        let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let word = |n: usize| usize::from(jpeg[at + n]) << 8 | usize::from(jpeg[at + n + 1]);
        (word(7), word(5))
    }

    #[test]
    fn what_cannot_be_decoded_is_a_card() {
        for bad in [&b""[..], b"\0\0\0\x01\x65garbage", &[0xff; 4096]] {
            let picture = picture(bad);
            assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
            assert_eq!(size(&picture), (640, 360));
        }
    }

    #[test]
    fn a_picture_is_scaled_to_640_wide_in_its_shape() {
        let (y, c) = (
            vec![81u8; 1280 * 720],
            (vec![90u8; 640 * 360], vec![240u8; 640 * 360]),
        );
        let planes = Planes {
            width: 1280,
            height: 720,
            planes: [&y, &c.0, &c.1],
            strides: [1280, 640, 640],
        };
        assert_eq!(size(&jpeg(&planes).unwrap()), (640, 360));
        assert_eq!(scaled(320, 240), Some((320, 240)));
        assert_eq!(scaled(1080, 1920), Some((640, 1137)));
        assert_eq!(scaled(4096, 2), Some((640, 1)));
        assert_eq!(scaled(0, 2), None);
    }

    #[test]
    fn an_idr_of_a_real_encoder_is_decoded() {
        let mut encoder = openh264::encoder::Encoder::new().unwrap();
        let grey = openh264::formats::YUVBuffer::from_vec(vec![128; 160 * 96 * 3 / 2], 160, 96);
        let idr = encoder.encode(&grey).unwrap().to_vec();
        assert_eq!(size(&decoded(&idr).unwrap()), (160, 96));
    }
}
