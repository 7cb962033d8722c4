//! AAC: the AudioSpecificConfig and the ADTS header before each frame (ISO/IEC 14496-3 1.6.2.1,
//! 1.A.2.2). It does not know about time or packets.

use crate::bits::Bits;
use crate::segment::AudioTrack;

/// samplingFrequencyIndex to Hz (14496-3 table 1.18).
const RATES: [u32; 13] = [
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
];
/// Length of an ADTS header without CRC.
pub const ADTS_BYTES: usize = 7;
/// aac_frame_length has 13 bits.
const MAX_ADTS_FRAME_BYTES: usize = 8191;

/// An AudioSpecificConfig.
#[derive(Clone, Debug, PartialEq)]
pub struct AacConfig {
    /// Core audio object type, 1 to 4 (2 = LC).
    pub object_type: u8,
    /// Core sampling rate in Hz.
    pub sample_rate: u32,
    /// Samples of the core in one frame: 1024, or 960 with frameLengthFlag.
    pub frame_samples: u32,
    /// channelConfiguration, 0 to 7; 0 means that `program_config` tells.
    pub channel_configuration: u8,
    /// Spectral band replication signalled: HE-AAC.
    pub sbr: bool,
    /// Parametric stereo signalled: HE-AAC v2.
    pub ps: bool,
    /// With channel configuration 0: the program_config_element as the first element of a raw
    /// data block, byte-aligned, since ADTS has no other place for it. Else empty.
    pub program_config: Vec<u8>,
    sampling_index: u8,
}

/// Why an AudioSpecificConfig is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AacError {
    /// An MPEG-4 audio object type that ADTS cannot carry, by name.
    Unsupported(String),
    /// In words.
    Malformed(&'static str),
}

const TRUNCATED: AacError = AacError::Malformed("truncated AudioSpecificConfig");

impl AacConfig {
    /// Reads an AudioSpecificConfig; HE-AAC is recognised in its hierarchical and in its backward
    /// compatible form. A rate without an index gets the nearest one in ADTS and keeps its clock.
    ///
    /// # Errors
    /// [`AacError`].
    pub fn parse(config: &[u8]) -> Result<Self, AacError> {
        let mut bits = Bits::new(config);
        let mut object_type = object_type(&mut bits).ok_or(TRUNCATED)?;
        let sample_rate = sample_rate(&mut bits).ok_or(TRUNCATED)?;
        let channels = bits.take(4).ok_or(TRUNCATED)? as u8;
        let (mut sbr, mut ps) = (object_type == 5 || object_type == 29, object_type == 29);
        if sbr {
            self::sample_rate(&mut bits).ok_or(TRUNCATED)?;
            object_type = self::object_type(&mut bits).ok_or(TRUNCATED)?;
        }
        if !(1..=4).contains(&object_type) {
            return Err(AacError::Unsupported(object_name(object_type)));
        }
        if !(RATES[12]..=RATES[0]).contains(&sample_rate) {
            return Err(AacError::Malformed(
                "AudioSpecificConfig with an impossible sampling rate",
            ));
        }
        if channels > 7 {
            return Err(AacError::Malformed(
                "AudioSpecificConfig with more channels than ADTS has",
            ));
        }
        let short = bits.flag().ok_or(TRUNCATED)?;
        if bits.flag().ok_or(TRUNCATED)? {
            bits.take(14).ok_or(TRUNCATED)?; // coreCoderDelay
        }
        bits.flag().ok_or(TRUNCATED)?; // extensionFlag: nothing follows for types 1 to 4
        let program_config = match channels {
            0 => program_config(&mut bits, config.len()).ok_or(TRUNCATED)?,
            _ => Vec::new(),
        };
        if !sbr {
            (sbr, ps) = sync_extension(&mut bits).unwrap_or((false, false));
        }
        Ok(Self {
            object_type: object_type as u8,
            sample_rate,
            frame_samples: if short { 960 } else { 1024 },
            channel_configuration: channels,
            sbr,
            ps,
            program_config,
            sampling_index: nearest_index(sample_rate),
        })
    }

    /// What a playlist tells of the track.
    pub fn track(&self) -> AudioTrack {
        let object_type = match (self.ps, self.sbr) {
            (true, _) => 29,
            (false, true) => 5,
            (false, false) => self.object_type,
        };
        AudioTrack {
            sample_rate: self.sample_rate,
            channel_configuration: self.channel_configuration,
            codec: format!("mp4a.40.{object_type}"),
        }
    }

    /// The header of a raw frame of `raw_bytes`; [`Self::program_config`] goes between the two.
    /// `None` when the frame is too long for ADTS.
    pub fn adts(&self, raw_bytes: usize) -> Option<[u8; ADTS_BYTES]> {
        let length = ADTS_BYTES + self.program_config.len();
        let length = length
            .checked_add(raw_bytes)
            .filter(|all| *all <= MAX_ADTS_FRAME_BYTES)?;
        let channels = self.channel_configuration;
        Some([
            0xff,
            0xf1, // MPEG-4, no CRC
            (self.object_type - 1) << 6 | self.sampling_index << 2 | channels >> 2,
            (channels & 3) << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f, // buffer fullness 0x7ff: variable rate
            0xfc,
        ])
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        object_type => Some(object_type),
    }
}

/// Hz; reserved indices are 0.
fn sample_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => Some(RATES.get(index as usize).copied().unwrap_or(0)),
    }
}

fn nearest_index(rate: u32) -> u8 {
    let distance = |index: &u8| RATES[usize::from(*index)].abs_diff(rate);
    (0..RATES.len() as u8)
        .min_by_key(distance)
        .expect("the table is not empty")
}

fn object_name(object_type: u32) -> String {
    match object_type {
        23 => "AAC-LD".to_owned(),
        39 => "AAC-ELD".to_owned(),
        42 => "xHE-AAC".to_owned(),
        _ => format!("MPEG-4 audio object type {object_type}"),
    }
}

/// SBR and PS as signalled behind the core's configuration (14496-3 1.6.2.1, backward compatible).
fn sync_extension(bits: &mut Bits<'_>) -> Option<(bool, bool)> {
    if bits.take(11)? != 0x2b7 || object_type(bits)? != 5 || !bits.flag()? {
        return None;
    }
    sample_rate(bits)?;
    let ps = bits.take(11) == Some(0x548) && bits.flag() == Some(true);
    Some((true, ps))
}

/// Copies a program_config_element (14496-3 4.4.1.1) behind its three-bit element identifier.
/// Its byte alignment counts from the config's start there and from the raw data block's here.
fn program_config(bits: &mut Bits<'_>, config_bytes: usize) -> Option<Vec<u8>> {
    let mut out = BitWriter {
        bytes: Vec::new(),
        free: 0,
    };
    out.put(5, 3); // ID_PCE
    out.copy(bits, 10)?; // tag, object type, sampling index
    let mut coded = 0;
    let mut counts = [0; 6];
    for (count, width) in counts.iter_mut().zip([4, 4, 4, 2, 3, 4]) {
        *count = out.copy(bits, width)?;
    }
    for width in [4, 4, 3] {
        if out.copy(bits, 1)? == 1 {
            out.copy(bits, width)?; // mono, stereo and matrix mixdown
        }
    }
    for (count, width) in counts.into_iter().zip([5, 5, 5, 4, 4, 5]) {
        coded += count * width;
    }
    for _ in 0..coded {
        out.copy(bits, 1)?;
    }
    bits.take(((config_bytes * 8 - (config_bytes * 8 - bits.left())) % 8) as u32)?;
    out.free = 0;
    for _ in 0..out.copy(bits, 8)? {
        out.copy(bits, 8)?; // comment
    }
    Some(out.bytes)
}

struct BitWriter {
    bytes: Vec<u8>,
    /// Unwritten low bits of the last byte.
    free: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, width: u32) {
        for bit in (0..width).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << self.free;
            }
        }
    }

    fn copy(&mut self, bits: &mut Bits<'_>, width: u32) -> Option<u32> {
        let value = bits.take(width)?;
        self.put(value, width);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &[u8]) -> AacConfig {
        AacConfig::parse(config).unwrap()
    }

    #[test]
    fn reads_low_complexity() {
        let stereo = parse(&[0x12, 0x10]);
        assert_eq!(
            (stereo.sample_rate, stereo.channel_configuration),
            (44100, 2)
        );
        assert_eq!(
            (stereo.track().codec.as_str(), stereo.frame_samples),
            ("mp4a.40.2", 1024)
        );
        let surround = parse(&[0x11, 0xb0]);
        assert_eq!(
            (surround.sample_rate, surround.channel_configuration),
            (48000, 6)
        );
        assert_eq!(parse(&[0x12, 0x14]).frame_samples, 960);
    }

    #[test]
    fn reads_high_efficiency_in_each_form() {
        // Hierarchical: 5, 24 kHz core, stereo, 48 kHz extension, then 2.
        let he = parse(&[0x2b, 0x11, 0x88, 0x00]);
        assert_eq!(
            (he.sample_rate, he.object_type, he.sbr, he.ps),
            (24000, 2, true, false)
        );
        assert_eq!(he.track().codec, "mp4a.40.5");
        // Hierarchical version 2: 29, 22.05 kHz core, mono, 44.1 kHz extension.
        let he2 = parse(&[0xeb, 0x8a, 0x08, 0x00]);
        assert_eq!((he2.sample_rate, he2.channel_configuration), (22050, 1));
        assert_eq!(he2.track().codec, "mp4a.40.29");
        // Backward compatible: 2, 22.05 kHz, stereo, sync extension, 44.1 kHz.
        let compatible = parse(&[0x13, 0x90, 0x56, 0xe5, 0xa0]);
        assert_eq!(
            (compatible.sample_rate, compatible.sbr, compatible.ps),
            (22050, true, false)
        );
        let with_ps = parse(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80]);
        assert_eq!(with_ps.track().codec, "mp4a.40.29");
    }

    #[test]
    fn a_rate_without_an_index_keeps_its_clock() {
        // 2, index 15, 44056 Hz, stereo.
        let odd = parse(&[0x17, 0x80, 0x56, 0x0c, 0x10]);
        assert_eq!((odd.sample_rate, odd.channel_configuration), (44056, 2));
        assert_eq!(odd.adts(0).unwrap()[2] >> 2 & 15, 4);
    }

    #[test]
    fn writes_adts() {
        let header = parse(&[0x12, 0x10]).adts(371).unwrap();
        assert_eq!(header, [0xff, 0xf1, 0x50, 0x80, 0x2f, 0x5f, 0xfc]);
        assert_eq!(parse(&[0x12, 0x10]).adts(8185), None);
        assert_eq!(parse(&[0x12, 0x10]).adts(usize::MAX), None);
        assert!(parse(&[0x12, 0x10]).adts(8184).is_some());
    }

    #[test]
    fn carries_a_program_config_element_into_adts() {
        // 2, 48 kHz, configuration 0, no flags; tag 0, LC, index 3, one front pair, no comment.
        let mut bits = BitWriter {
            bytes: Vec::new(),
            free: 0,
        };
        for (value, width) in [(2, 5), (3, 4), (0, 4), (0, 3), (0, 4), (1, 2), (3, 4)] {
            bits.put(value, width);
        }
        for (value, width) in [
            (1, 4),
            (0, 4),
            (0, 4),
            (0, 2),
            (0, 3),
            (0, 4),
            (0, 3),
            (16, 5),
        ] {
            bits.put(value, width);
        }
        bits.free = 0;
        bits.put(0, 8);
        let config = parse(&bits.bytes);
        let copied = &config.program_config;
        assert_eq!(copied.len(), 7);
        assert_eq!(copied[0] >> 5, 5);
        assert_eq!(config.adts(10).unwrap()[3] >> 6, 0);
        for length in 0..bits.bytes.len() {
            assert_eq!(AacConfig::parse(&bits.bytes[..length]), Err(TRUNCATED));
        }
    }

    #[test]
    fn refuses_other_object_types_and_impossible_values() {
        assert_eq!(
            AacConfig::parse(&[0xf9, 0x46, 0x40]),
            Err(AacError::Unsupported("xHE-AAC".into()))
        );
        assert_eq!(AacConfig::parse(&[0x12]), Err(TRUNCATED));
        assert!(matches!(
            AacConfig::parse(&[0x16, 0x90]),
            Err(AacError::Malformed(_))
        ));
        assert!(matches!(
            AacConfig::parse(&[0x12, 0x40]),
            Err(AacError::Malformed(_))
        ));
    }
}
