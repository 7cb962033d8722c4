//! Cut: where a segment ends and which TARGETDURATION follows (media rule 7). It decides on
//! lengths alone and does not know pictures, packets or timestamps.

/// Extra length an IDR-less segment may have beyond T, 90 kHz: 0.49 s.
const OVERTIME_90K: i64 = 44_100;
/// The longest an EXTINF may be beyond T so that it still rounds to T (RFC 8216 4.3.3.1).
const ROUNDING_90K: i64 = 44_999;
/// Length of the first segment that is not counted for T, so that later ones may be as much
/// longer, 90 kHz: 0.4 s.
const FIRST_ALLOWANCE_90K: i64 = 36_000;

/// The rule's state: lengths are media time in 90 kHz.
#[derive(Clone, Debug)]
pub struct Cutter {
    target_90k: i64,
    target_s: u32,
    max_segment_s: u32,
    fixed_s: Option<u32>,
    last_gop_90k: i64,
}

impl Cutter {
    /// `fixed_s` is the stream's EXT-X-TARGETDURATION when an earlier session fixed it. A target
    /// of 0 counts as 1 s, and a longest segment below the target as the target.
    pub fn new(target_ms: u32, max_segment_ms: u32, fixed_s: Option<u32>) -> Self {
        let target_s = target_ms.div_ceil(1000).max(1);
        Self {
            target_90k: i64::from(target_ms) * 90,
            target_s,
            max_segment_s: max_segment_ms.div_ceil(1000).max(target_s),
            fixed_s: fixed_s.map(|fixed| fixed.max(1)),
            last_gop_90k: 0,
        }
    }

    /// Tells the length of the GOP that just ended.
    pub fn gop_ended(&mut self, length_90k: i64) {
        self.last_gop_90k = length_90k;
    }

    /// Does an IDR that comes when the segment is `length_90k` long end it?
    pub fn ends_at_idr(&self, length_90k: i64) -> bool {
        let long_enough = length_90k.saturating_mul(4) >= self.target_90k.saturating_mul(3);
        // Until T is fixed it is meant to become the target.
        let limit = i64::from(self.fixed_s.unwrap_or(self.target_s)) * 90_000 + OVERTIME_90K;
        long_enough || length_90k.saturating_add(self.last_gop_90k) > limit
    }

    /// Does an audio frame end a segment without video? Every frame could, so the target decides.
    pub fn ends_at_audio(&self, length_90k: i64) -> bool {
        length_90k >= self.target_90k
    }

    /// Is a segment too long at this length, where its next access unit is no IDR?
    pub fn overdue(&self, length_90k: i64) -> bool {
        length_90k > i64::from(self.most_s()) * 90_000 + OVERTIME_90K
    }

    /// The longest EXTINF that still rounds to T, 90 kHz.
    pub fn longest_90k(&self) -> i64 {
        i64::from(self.most_s()) * 90_000 + ROUNDING_90K
    }

    /// EXT-X-TARGETDURATION, which the first segment's length fixes.
    pub fn target_duration_s(&mut self, length_90k: i64) -> u32 {
        if let Some(fixed) = self.fixed_s {
            return fixed;
        }
        let needed = (length_90k - FIRST_ALLOWANCE_90K).max(0);
        let needed_s = u32::try_from((needed + 89_999) / 90_000).unwrap_or(u32::MAX);
        let fixed = needed_s.max(self.target_s);
        let near = i64::from(fixed) * 90_000 <= self.target_90k.saturating_mul(2);
        let fixed = if near || fixed == self.target_s {
            fixed
        } else {
            self.max_segment_s
        };
        self.fixed_s = Some(fixed);
        fixed
    }

    /// T once it is fixed.
    pub fn fixed_s(&self) -> Option<u32> {
        self.fixed_s
    }

    fn most_s(&self) -> u32 {
        self.fixed_s.unwrap_or(self.max_segment_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> i64 {
        value * 90
    }

    /// Lengths of the segments that GOPs of these lengths make, and T.
    fn cut(gops_ms: &[i64]) -> (Vec<i64>, u32) {
        let mut cutter = Cutter::new(2000, 10_000, None);
        let (mut length, mut segments, mut target) = (0, Vec::new(), 0);
        for gop in gops_ms {
            length += gop;
            cutter.gop_ended(ms(*gop));
            assert!(
                ms(length) <= cutter.longest_90k(),
                "cut inside a GOP: {segments:?} {length}"
            );
            if cutter.ends_at_idr(ms(length)) {
                target = cutter.target_duration_s(ms(length));
                assert!((length + 500) / 1000 <= i64::from(target));
                segments.push(length);
                length = 0;
            }
        }
        (segments, target)
    }

    #[test]
    fn ordinary_gops() {
        assert_eq!(cut(&[2000; 3]), (vec![2000; 3], 2));
        assert_eq!(cut(&[1000; 4]), (vec![2000; 2], 2));
        assert_eq!(cut(&[500; 6]), (vec![1500; 2], 2));
        assert_eq!(cut(&[1400; 3]), (vec![1400; 3], 2));
        assert_eq!(cut(&[4000; 2]), (vec![4000; 2], 4));
        assert_eq!(cut(&[10_400; 2]), (vec![10_400; 2], 10));
    }

    #[test]
    fn jitter_around_the_target_never_cuts_inside_a_gop() {
        assert_eq!(
            cut(&[1920, 1919, 1921, 1920]),
            (vec![1920, 1919, 1921, 1920], 2)
        );
        assert_eq!(cut(&[1999, 2001, 2000]), (vec![1999, 2001, 2000], 2));
        assert_eq!(
            cut(&[2000, 1244, 1247, 1246, 1249]),
            (vec![2000, 2491, 1246, 1249], 2)
        );
    }

    #[test]
    fn the_first_segment_fixes_t() {
        for (length_ms, expected) in [
            (300, 2),
            (2000, 2),
            (2400, 2),
            (2401, 3),
            (4400, 4),
            (4401, 10),
            (10_490, 10),
        ] {
            let mut cutter = Cutter::new(2000, 10_000, None);
            assert_eq!(
                cutter.target_duration_s(ms(length_ms)),
                expected,
                "{length_ms}"
            );
            assert_eq!(
                cutter.target_duration_s(ms(9000)),
                expected,
                "it never changes"
            );
        }
        assert_eq!(
            Cutter::new(2000, 10_000, Some(7)).target_duration_s(ms(1)),
            7
        );
        assert_eq!(Cutter::new(0, 0, None).target_duration_s(0), 1);
        assert_eq!(Cutter::new(6000, 2000, None).target_duration_s(ms(6000)), 6);
    }

    #[test]
    fn without_an_idr_the_limit_is_t_and_half_a_second() {
        let mut cutter = Cutter::new(2000, 10_000, None);
        assert!(!cutter.overdue(ms(10_490)) && cutter.overdue(ms(10_491)));
        cutter.target_duration_s(ms(2000));
        assert!(!cutter.overdue(ms(2490)) && cutter.overdue(ms(2491)));
        assert!(cutter.longest_90k() < ms(2500));
    }

    #[test]
    fn audio_alone_is_cut_at_the_target() {
        let cutter = Cutter::new(2000, 10_000, None);
        assert!(!cutter.ends_at_audio(ms(1999)) && cutter.ends_at_audio(ms(2000)));
    }
}
