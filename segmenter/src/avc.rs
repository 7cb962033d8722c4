//! AVC: the decoder configuration record, NAL units inside a tag, and the parameter sets in force
//! (ISO/IEC 14496-15 5.3.3, H.264 7.3.1). It does not know about time, segments or packets.

use bytes::Bytes;

use crate::segment::VideoTrack;
use crate::sps::Sps;

/// Coded slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// Sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// Picture parameter set.
pub const NAL_PPS: u8 = 8;
/// Access unit delimiter.
pub const NAL_AUD: u8 = 9;
/// The largest parameter set taken from inside a picture: real ones have tens of bytes.
const MAX_SET_BYTES: usize = 4096;

/// nal_unit_type of a NAL unit; 0 (unspecified) when it is empty.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

/// An AVCDecoderConfigurationRecord.
#[derive(Clone, Debug, PartialEq)]
pub struct AvcConfig {
    /// Bytes of each NAL unit's length, 1 to 4.
    pub length_bytes: usize,
    /// SPS and PPS.
    pub sets: ParameterSets,
    /// What the first SPS tells.
    pub sps: Sps,
}

impl AvcConfig {
    /// Reads a record; parameter sets with start codes instead of a record are tolerated.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(record: &Bytes) -> Result<Self, &'static str> {
        let mut sets = ParameterSets::default();
        let mut length_bytes = 4;
        if starts_with_code(record) {
            for nal in AnnexB::new(record) {
                sets.merge(nal);
            }
        } else {
            if record.first() != Some(&1) {
                return Err("AVC sequence header of an unknown version");
            }
            length_bytes = usize::from(record.get(4).ok_or(TRUNCATED)? & 3) + 1;
            let mut at = 5;
            for mask in [0x1f, 0xff] {
                let count = record.get(at).ok_or(TRUNCATED)? & mask;
                at += 1;
                for _ in 0..count {
                    let size = record.get(at..at + 2).ok_or(TRUNCATED)?;
                    let size = usize::from(u16::from_be_bytes([size[0], size[1]]));
                    sets.merge(record.get(at + 2..at + 2 + size).ok_or(TRUNCATED)?);
                    at += 2 + size;
                }
            }
        }
        let first = sets
            .sps
            .first()
            .ok_or("AVC sequence header without an SPS")?;
        let sps = Sps::parse(&first.nal).ok_or("AVC sequence header with an unreadable SPS")?;
        Ok(Self {
            length_bytes,
            sets,
            sps,
        })
    }

    /// What a playlist tells of the track.
    pub fn track(&self) -> VideoTrack {
        VideoTrack {
            width: self.sps.width,
            height: self.sps.height,
            fps: self.sps.fps,
            codec: self.sps.codec(),
        }
    }

    /// Takes over an SPS or PPS found inside a picture; true when it changed something.
    pub fn merge(&mut self, nal: &[u8]) -> bool {
        let changed = self.sets.merge(nal);
        if changed && let Some(sps) = self.sets.sps.first().and_then(|set| Sps::parse(&set.nal)) {
            self.sps = sps;
        }
        changed
    }
}

const TRUNCATED: &str = "truncated AVC sequence header";

/// The SPS and PPS in force, one per identifier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterSets {
    sps: Vec<ParameterSet>,
    pps: Vec<ParameterSet>,
}

#[derive(Clone, Debug, PartialEq)]
struct ParameterSet {
    id: u32,
    nal: Bytes,
}

impl ParameterSets {
    /// NAL units in sending order: every SPS, then every PPS.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.sps.iter().chain(&self.pps).map(|set| set.nal.as_ref())
    }

    /// True when `nal` is one of the sets, byte for byte.
    pub fn contains(&self, nal: &[u8]) -> bool {
        self.iter().any(|known| known == nal)
    }

    /// The set of `kind`, [`NAL_SPS`] or [`NAL_PPS`], with this identifier.
    pub(crate) fn find(&self, kind: u8, id: u32) -> Option<&[u8]> {
        let list = if kind == NAL_SPS {
            &self.sps
        } else {
            &self.pps
        };
        let set = list.iter().find(|set| set.id == id)?;
        Some(&set.nal)
    }

    /// Adds a set or replaces the one with its identifier; true when that changed something.
    /// Anything else than a readable SPS or PPS of plausible size is left out.
    pub fn merge(&mut self, nal: &[u8]) -> bool {
        if nal.len() > MAX_SET_BYTES {
            return false;
        }
        let (list, id) = match nal_type(nal) {
            NAL_SPS => (&mut self.sps, Sps::parse(nal).map(|sps| u32::from(sps.id))),
            NAL_PPS => (&mut self.pps, pps_id(nal)),
            _ => return false,
        };
        let Some(id) = id else { return false };
        match list.iter_mut().find(|set| set.id == id) {
            Some(set) if set.nal == nal => false,
            Some(set) => {
                set.nal = Bytes::copy_from_slice(nal);
                true
            }
            None => {
                list.push(ParameterSet {
                    id,
                    nal: Bytes::copy_from_slice(nal),
                });
                true
            }
        }
    }
}

/// pic_parameter_set_id, 0 to 255 (H.264 7.4.2.2).
fn pps_id(nal: &[u8]) -> Option<u32> {
    // At most eight zero bits lead an identifier below 256: no emulation prevention in there.
    crate::bits::Bits::new(nal.get(1..)?)
        .ue()
        .filter(|id| *id < 256)
}

/// The NAL units of one tag's payload.
pub struct Nals<'a>(Form<'a>);

enum Form<'a> {
    Lengths { data: &'a [u8], length_bytes: usize },
    Codes(AnnexB<'a>),
}

impl<'a> Nals<'a> {
    /// Splits `data` by lengths of `length_bytes`, or by start codes when it begins with one and
    /// its lengths do not add up. Empty units are left out.
    ///
    /// # Errors
    /// In words, when a length passes the end.
    pub fn new(data: &'a [u8], length_bytes: usize) -> Result<Self, &'static str> {
        let coded = starts_with_code(data);
        // Three empty units of one-byte lengths are less likely than a start code.
        if (!coded || length_bytes > 1) && lengths_add_up(data, length_bytes) {
            return Ok(Self(Form::Lengths { data, length_bytes }));
        }
        if coded {
            return Ok(Self(Form::Codes(AnnexB::new(data))));
        }
        Err("a NAL unit's length passes the end of its tag")
    }
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Form::Codes(codes) => codes.next(),
            Form::Lengths { data, length_bytes } => loop {
                let (nal, rest) = split_length(data, *length_bytes)?;
                *data = rest;
                if !nal.is_empty() {
                    return Some(nal);
                }
            },
        }
    }
}

fn split_length(data: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_at_checked(length_bytes)?;
    let length = length
        .iter()
        .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

fn lengths_add_up(mut data: &[u8], length_bytes: usize) -> bool {
    while !data.is_empty() {
        let Some((_, rest)) = split_length(data, length_bytes) else {
            return false;
        };
        data = rest;
    }
    true
}

fn starts_with_code(data: &[u8]) -> bool {
    data.starts_with(&[0, 0, 1]) || data.starts_with(&[0, 0, 0, 1])
}

/// NAL units between start codes, without trailing zero bytes (H.264 B.1).
struct AnnexB<'a>(&'a [u8]);

impl<'a> AnnexB<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self(after_code(data).map_or(&[], |(_, rest)| rest))
    }
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.0.is_empty() {
            let (mut nal, rest) = after_code(self.0).unwrap_or((self.0, &[]));
            self.0 = rest;
            while let [head @ .., 0] = nal {
                nal = head;
            }
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    }
}

/// What stands before the first start code and what after it.
fn after_code(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.windows(3).position(|window| window == [0, 0, 1])?;
    Some((&data[..at], &data[at + 3..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 26] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: [u8; 4] = [0x68, 0xeb, 0xe3, 0xcb];

    fn record() -> Vec<u8> {
        let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, SPS.len() as u8];
        record.extend(SPS);
        record.extend([1, 0, PPS.len() as u8]);
        record.extend(PPS);
        record
    }

    fn split(data: &[u8], length_bytes: usize) -> Vec<&[u8]> {
        Nals::new(data, length_bytes).unwrap().collect()
    }

    #[test]
    fn reads_a_record() {
        let config = AvcConfig::parse(&record().into()).unwrap();
        assert_eq!(config.length_bytes, 4);
        assert_eq!(config.sets.iter().collect::<Vec<_>>(), [&SPS[..], &PPS[..]]);
        let track = config.track();
        assert_eq!(
            (track.width, track.height, track.fps),
            (1280, 720, Some(25.0))
        );
        assert_eq!(track.codec, "avc1.64001f");
    }

    #[test]
    fn reads_parameter_sets_with_start_codes() {
        let mut data = vec![0, 0, 0, 1];
        data.extend(SPS);
        data.extend([0, 0, 1]);
        data.extend(PPS);
        let config = AvcConfig::parse(&data.into()).unwrap();
        assert_eq!(config.sets.iter().count(), 2);
    }

    #[test]
    fn a_truncated_record_is_an_error() {
        let record = record();
        for length in 0..record.len() {
            assert!(
                AvcConfig::parse(&record[..length].to_vec().into()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn splits_every_length_size_and_skips_empty_units() {
        assert_eq!(split(&[2, 1, 2, 0, 1, 3], 1), [&[1, 2][..], &[3]]);
        assert_eq!(split(&[0, 2, 1, 2, 0, 0, 0, 1, 3], 2), [&[1, 2][..], &[3]]);
        assert_eq!(
            split(&[0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3], 4),
            [&[1, 2][..], &[3]]
        );
        assert!(Nals::new(&[0, 0, 0, 9, 1], 4).is_err());
        assert!(Nals::new(&[0, 0, 0], 4).is_err());
        assert!(split(&[], 4).is_empty());
    }

    #[test]
    fn tolerates_start_codes_but_believes_lengths_that_add_up() {
        let coded = [
            0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 7, 7, 0, 0, 0, 1, 0x65, 8,
        ];
        for length_bytes in 1..=4 {
            let want = [&[9, 0xf0][..], &[0x65, 7, 7], &[0x65, 8]];
            assert_eq!(split(&coded, length_bytes), want);
        }
        let mut long = vec![0, 0, 1, 2];
        long.extend([0x41; 258]);
        assert_eq!(split(&long, 4), [&[0x41; 258][..]]);
        assert_eq!(split(&[0, 0, 0, 1, 0x0a], 4), [&[0x0a][..]]);
    }

    #[test]
    fn merges_parameter_sets_by_identifier() {
        let mut config = AvcConfig::parse(&record().into()).unwrap();
        assert!(!config.merge(&SPS) && !config.merge(&PPS));
        assert!(!config.merge(&[0x65, 1]) && !config.merge(&[0x68]));
        let changed = [0x68, 0xeb, 0xe3, 0xcc];
        assert!(config.merge(&changed) && !config.sets.contains(&PPS));
        assert!(
            config.merge(&[0x68, 0x5a, 1]),
            "another identifier is added"
        );
        assert_eq!(config.sets.iter().count(), 3);
        let mut huge = vec![0x68, 0xeb];
        huge.resize(MAX_SET_BYTES + 1, 1);
        assert!(!config.merge(&huge));
    }
}
