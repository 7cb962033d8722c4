//! Bits: a big-endian bit reader with Exp-Golomb codes. It does not know whose headers it reads,
//! nor does it remove emulation prevention.

/// Reads from the most significant bit of the first byte on; every read past the end is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// Bits not yet read.
    pub(crate) fn left(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        if count > 32 || self.left() < count as usize {
            return None;
        }
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// ue(v), H.264 9.1; `None` for values of 2^32 - 1 and more.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1u64 << zeros) - 1 + u64::from(self.take(zeros)?)) as u32)
    }

    /// se(v), H.264 9.1.1.
    pub(crate) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -(code / 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_and_golomb_codes() {
        // 1 | 010 | 011 | 00100 | 00101 | 0000...
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(bits.ue(), Some(0));
        assert_eq!(bits.se(), Some(1));
        assert_eq!(bits.se(), Some(-1));
        assert_eq!(bits.ue(), Some(3));
        assert_eq!(bits.se(), Some(-2));
        assert_eq!(bits.left(), 7);
        assert_eq!(bits.ue(), None);
    }

    #[test]
    fn never_reads_past_the_end() {
        let mut bits = Bits::new(&[0xff]);
        assert_eq!(bits.take(9), None);
        assert_eq!(bits.take(33), None);
        assert_eq!(bits.take(8), Some(0xff));
        assert_eq!(bits.flag(), None);
        assert_eq!(Bits::new(&[0; 8]).ue(), None);
    }
}
