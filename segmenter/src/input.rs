//! Input: what is known of each track between its messages: the configuration in force, the one
//! that waits for its place, and what an access unit holds. It does not know time or segments.

use bytes::Bytes;

use crate::aac::{AacConfig, AacError};
use crate::avc::{AvcConfig, NAL_IDR, NAL_PPS, NAL_SPS, Nals, nal_type};
use crate::timeline::SampleClock;

/// A header with bytes of its own: it is kept for long, and what came with it in one buffer is not.
fn alone(header: &Bytes) -> Bytes {
    Bytes::copy_from_slice(header)
}

/// The H.264 track.
#[derive(Debug)]
pub(crate) struct VideoInput {
    pub(crate) config: AvcConfig,
    /// The last sequence header as it came: an identical one changes nothing (media rule 13).
    header: Bytes,
    /// Takes effect at the next IDR.
    pub(crate) next: Option<AvcConfig>,
}

/// What an access unit holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A coded slice at all.
    pub(crate) picture: bool,
    pub(crate) idr: bool,
    /// Parameter sets.
    sets: bool,
}

impl VideoInput {
    pub(crate) fn new(header: &Bytes) -> Result<Self, &'static str> {
        let config = AvcConfig::parse(header)?;
        Ok(Self {
            config,
            header: alone(header),
            next: None,
        })
    }

    /// Takes a later sequence header.
    pub(crate) fn header(&mut self, header: &Bytes) -> Result<(), &'static str> {
        if *header == self.header {
            return Ok(());
        }
        let config = AvcConfig::parse(header)?;
        self.header = alone(header);
        self.config.length_bytes = config.length_bytes;
        self.next = (config.sets != self.config.sets).then_some(config);
        Ok(())
    }

    pub(crate) fn inspect(&self, data: &[u8]) -> Result<Seen, &'static str> {
        let mut seen = Seen::default();
        for nal in Nals::new(data, self.config.length_bytes)? {
            match nal_type(nal) {
                NAL_IDR => (seen.picture, seen.idr) = (true, true),
                1..=4 => seen.picture = true,
                NAL_SPS | NAL_PPS => seen.sets = true,
                _ => {}
            }
        }
        Ok(seen)
    }

    /// Learns the parameter sets inside an access unit. With an IDR, or without a picture, a
    /// change waits in `next`; within a GOP it is in force at once, and the answer is true: the
    /// sets must stay in front of these slices.
    pub(crate) fn learn(&mut self, data: &[u8], seen: Seen) -> bool {
        if !seen.sets {
            return false;
        }
        let Ok(nals) = Nals::new(data, self.config.length_bytes) else {
            return false;
        };
        let within_gop = seen.picture && !seen.idr;
        let mut changed = false;
        for nal in nals.filter(|nal| matches!(nal_type(nal), NAL_SPS | NAL_PPS)) {
            if within_gop {
                changed |= self.config.merge(nal);
            } else if let Some(next) = &mut self.next {
                next.merge(nal);
            } else if !self.config.sets.contains(nal) {
                let mut next = self.config.clone();
                if next.merge(nal) {
                    self.next = Some(next);
                }
            }
        }
        changed
    }

    /// Puts the waiting configuration in force.
    pub(crate) fn adopt(&mut self) -> bool {
        let length_bytes = self.config.length_bytes;
        let Some(next) = self.next.take() else {
            return false;
        };
        self.config = AvcConfig {
            length_bytes,
            ..next
        };
        true
    }
}

/// The AAC track.
#[derive(Debug)]
pub(crate) struct AudioInput {
    pub(crate) config: AacConfig,
    pub(crate) program_config: Bytes,
    pub(crate) clock: SampleClock,
    header: Bytes,
    /// Takes effect where the next segment opens.
    pub(crate) next: Option<AacConfig>,
}

impl AudioInput {
    pub(crate) fn new(header: &Bytes) -> Result<Self, AacError> {
        let config = AacConfig::parse(header)?;
        Ok(Self {
            program_config: Bytes::copy_from_slice(&config.program_config),
            clock: SampleClock::new(config.sample_rate, config.frame_samples),
            header: alone(header),
            next: None,
            config,
        })
    }

    /// Takes a later sequence header.
    pub(crate) fn header(&mut self, header: &Bytes) -> Result<(), AacError> {
        if *header == self.header {
            return Ok(());
        }
        let config = AacConfig::parse(header)?;
        self.header = alone(header);
        self.next = (config != self.config).then_some(config);
        Ok(())
    }

    /// Puts the waiting configuration in force.
    pub(crate) fn adopt(&mut self) -> bool {
        let Some(next) = self.next.take() else {
            return false;
        };
        self.program_config = Bytes::copy_from_slice(&next.program_config);
        self.clock = self.clock.changed(next.sample_rate, next.frame_samples);
        self.config = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 26] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];

    fn record(length_bytes: u8, pps: u8) -> Bytes {
        let head = [1, 0x64, 0, 0x1f, length_bytes - 1, 1, 0, SPS.len() as u8];
        [&head[..], &SPS, &[1, 0, 3, 0x68, 0xeb, pps]]
            .concat()
            .into()
    }

    #[test]
    fn only_changed_parameter_sets_wait_for_the_next_idr() {
        let mut video = VideoInput::new(&record(4, 1)).unwrap();
        assert_eq!(video.header(&record(4, 1)), Ok(()));
        assert_eq!(video.header(&record(2, 1)), Ok(()));
        assert!(video.next.is_none() && video.config.length_bytes == 2);
        assert_eq!(video.header(&record(4, 9)), Ok(()));
        assert!(video.next.is_some() && video.config.length_bytes == 4);
        assert!(video.adopt() && !video.adopt());
        assert!(video.header(&Bytes::from_static(&[1, 2])).is_err());
    }

    #[test]
    fn sets_inside_pictures_wait_or_stay() {
        let mut video = VideoInput::new(&record(1, 1)).unwrap();
        let within_gop = [3, 0x68, 0xeb, 5, 2, 0x41, 1];
        let seen = video.inspect(&within_gop).unwrap();
        assert!(seen.picture && !seen.idr && video.learn(&within_gop, seen));
        assert!(!video.learn(&within_gop, seen) && video.next.is_none());
        let at_idr = [3, 0x68, 0xeb, 6, 2, 0x65, 1];
        let seen = video.inspect(&at_idr).unwrap();
        assert!(seen.idr && !video.learn(&at_idr, seen) && video.next.is_some());
        assert!(video.inspect(&[9, 0x41]).is_err());
    }

    #[test]
    fn audio_parameters_wait_and_the_clock_never_goes_back() {
        let mut audio = AudioInput::new(&Bytes::from_static(&[0x12, 0x10])).unwrap();
        let (last, _) = audio.clock.next(90_000);
        assert_eq!(audio.header(&Bytes::from_static(&[0x12, 0x10])), Ok(()));
        assert!(!audio.adopt());
        assert_eq!(audio.header(&Bytes::from_static(&[0x11, 0x90])), Ok(()));
        assert!(audio.adopt() && audio.config.sample_rate == 48_000);
        assert_eq!(audio.clock.next(0), (last + 1, false));
    }
}
