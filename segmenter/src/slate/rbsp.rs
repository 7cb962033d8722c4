//! RBSP: writing what NAL units hold (H.264 7.4.1, 9.1): bits, Exp-Golomb codes, emulation
//! prevention. It does not know whose headers it writes.

/// A NAL unit: its header byte and its payload with emulation prevention.
pub(super) fn escaped(header: u8, rbsp: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(rbsp.len() + rbsp.len() / 64 + 8);
    nal.push(header);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    // cabac_zero_word: the last byte may not be zero.
    if zeros > 1 {
        nal.push(3);
    }
    nal
}

/// Writes from the most significant bit on; the last byte is filled with zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    /// What was written so far.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bits written so far.
    pub(super) fn len(&self) -> usize {
        self.bits
    }

    /// The lowest `count` bits of `value`, at most 32.
    pub(super) fn put(&mut self, value: u32, count: u32) {
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

    /// ue(v) of values below 2^31.
    pub(super) fn ue(&mut self, value: u32) {
        let code = value + 1;
        let length = code.ilog2();
        self.put(0, length);
        self.put(code, length + 1);
    }

    /// Whole bytes, where a byte begins.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert!(self.bits.is_multiple_of(8));
        self.bytes.extend_from_slice(bytes);
        self.bits += 8 * bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::Bits;
    use crate::sps::without_emulation;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = BitWriter::default();
        for value in [0, 1, 7, 8159, 8160, 65_534] {
            out.ue(value);
        }
        out.put(5, 3);
        let bytes = out.into_bytes();
        let mut bits = Bits::new(&bytes);
        for value in [0, 1, 7, 8159, 8160, 65_534] {
            assert_eq!(bits.ue(), Some(value));
        }
        assert_eq!(bits.take(3), Some(5));
    }

    #[test]
    fn zeros_are_escaped() {
        assert_eq!(escaped(9, &[0, 0, 1, 1]), [9, 0, 0, 3, 1, 1]);
        assert_eq!(escaped(9, &[0, 0, 0, 4]), [9, 0, 0, 3, 0, 4]);
        assert_eq!(escaped(9, &[4, 0, 0]), [9, 4, 0, 0, 3]);
        assert_eq!(
            escaped(9, &[4, 0, 0, 0, 0]),
            [9, 4, 0, 0, 3, 0, 0, 3],
            "two cabac_zero_words"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn escaping_comes_undone_and_leaves_no_start_code(
            rbsp in prop::collection::vec(prop_oneof![Just(0u8), 0u8..5, any::<u8>()], 0..200),
            words in 0usize..3,
        ) {
            // cabac_zero_words may stand behind the end, and no other zeros.
            let mut rbsp = rbsp;
            rbsp.push(1);
            rbsp.extend(vec![0; 2 * words]);
            let nal = escaped(0x65, &rbsp);
            prop_assert_eq!(&without_emulation(&nal[1..]), &rbsp);
            prop_assert!(nal.windows(3).all(|three| three[..2] != [0, 0] || three[2] >= 3));
            prop_assert!(nal.last() != Some(&0));
        }
    }
}
