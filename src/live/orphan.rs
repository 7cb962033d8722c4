//! Segments that were stored but are in no stored playlist: the process was killed in between.
//! What a playlist says of a segment is read back from its packets. Pure; it does not know why the
//! process ended.

use super::window::{Facts, Restored, ticks};
use crate::name::SegmentName;

/// PES clocks have 33 bits.
const WRAP: u64 = 1 << 33;
/// Farther than this from where the segment before ends is a DISCONTINUITY.
const CONTINUOUS_90K: u64 = 45_000;
/// Orphans looked at; more would mean that playlists were not stored for long.
pub(super) const MOST: u64 = 8;

/// When a segment's pictures (or, without video, audio frames) are decoded, 33-bit 90 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first_90k: u64,
    /// From the first to where the last would end, were it as long as the mean. One alone has
    /// no mean, and then the segment is not readable.
    length_90k: u64,
}

/// Appends `orphans`, which follow the last of `entries` without a gap in their numbers. `last` is
/// that last entry's object. False when they cannot be read: then nothing is appended.
pub(super) fn append(
    entries: &mut Vec<Restored>,
    last: &[u8],
    orphans: &[(SegmentName, Vec<u8>)],
) -> bool {
    let (Some(before), Some(last)) = (entries.last(), span(last)) else {
        return false;
    };
    let mut session = before.name.session.clone();
    let mut expected = (last.first_90k + before.facts.duration_90k) % WRAP;
    let mut date = before.date + ticks(before.facts.duration_90k);
    let (target_duration_s, independent) =
        (before.facts.target_duration_s, before.facts.independent);
    let Some(spans) = orphans
        .iter()
        .map(|(_, body)| span(body))
        .collect::<Option<Vec<_>>>()
    else {
        return false;
    };
    let mut discontinuities = before.discontinuities + u64::from(before.facts.discontinuity);
    let mut found = Vec::with_capacity(orphans.len());
    for (at, ((name, _), span)) in orphans.iter().zip(&spans).enumerate() {
        // Up to the next one's beginning where it follows; else as long as it looks.
        let to_next = spans
            .get(at + 1)
            .map(|next| forward(span.first_90k, next.first_90k))
            .filter(|gap| gap.abs_diff(span.length_90k) < CONTINUOUS_90K);
        let duration_90k = to_next.unwrap_or(span.length_90k);
        let longest_90k = u64::from(target_duration_s) * 90_000 + CONTINUOUS_90K;
        if duration_90k == 0 || duration_90k >= longest_90k {
            return false;
        }
        let off = forward(expected, span.first_90k);
        let discontinuity = name.session != session || off.min(WRAP - off) > CONTINUOUS_90K;
        found.push(Restored {
            name: name.clone(),
            facts: Facts {
                duration_90k,
                discontinuity,
                independent,
                target_duration_s,
            },
            date,
            discontinuities,
        });
        discontinuities += u64::from(discontinuity);
        session = name.session.clone();
        expected = (span.first_90k + duration_90k) % WRAP;
        date += ticks(duration_90k);
    }
    entries.extend(found);
    true
}

fn forward(from: u64, to: u64) -> u64 {
    (to + WRAP - from) % WRAP
}

/// The clocks of the PES packets that begin in `ts`: of its video, or of its audio without one.
fn span(ts: &[u8]) -> Option<Span> {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    for packet in ts.chunks_exact(188) {
        match pes_start(packet) {
            Some((0xe0..=0xef, clock)) => video.push(clock),
            Some((0xc0..=0xdf, clock)) => audio.push(clock),
            _ => {}
        }
    }
    let clocks = if video.is_empty() { audio } else { video };
    let (first, last) = (*clocks.first()?, *clocks.last()?);
    let steps = clocks.len() as u64 - 1;
    let between = forward(first, last);
    Some(Span {
        first_90k: first,
        length_90k: between + between.checked_div(steps)?,
    })
}

/// Stream id and DTS (or PTS, when that is all) of a PES packet that begins in a TS packet
/// (ISO 13818-1 2.4.3.2 and 2.4.3.7).
fn pes_start(packet: &[u8]) -> Option<(u8, u64)> {
    if packet.first() != Some(&0x47) || packet[1] & 0x40 == 0 {
        return None;
    }
    let payload = match packet[3] >> 4 & 3 {
        1 => 4,
        3 => 5 + usize::from(packet[4]),
        _ => return None,
    };
    let pes = packet.get(payload..)?;
    let (start, id, flags) = (pes.get(..3)?, *pes.get(3)?, *pes.get(7)?);
    if start != [0, 0, 1] {
        return None;
    }
    let clock = match flags >> 6 {
        2 => pes.get(9..14)?,
        3 => pes.get(14..19)?,
        _ => return None,
    };
    let bits = |byte: u8, mask: u8, shift: u32| u64::from(byte & mask) << shift;
    Some((
        id,
        bits(clock[0], 0x0e, 29)
            | bits(clock[1], 0xff, 22)
            | bits(clock[2], 0xfe, 14)
            | bits(clock[3], 0xff, 7)
            | bits(clock[4], 0xfe, 0) >> 1,
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::name::SessionId;

    /// One picture a second from `first_90k`, each a TS packet.
    fn segment(first_90k: u64, pictures: u64) -> Vec<u8> {
        let mut ts = Vec::new();
        for n in 0..pictures {
            let dts = (first_90k + n * 90_000) % WRAP;
            let mut packet = vec![0x47, 0x41, 0x00, 0x10, 0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10];
            packet.extend([0xff; 5]);
            let byte = |shift: u32| (dts >> shift) as u8;
            packet.extend([
                byte(29) & 0x0e | 0x11,
                byte(22),
                byte(14) | 1,
                byte(7),
                byte(0) << 1 | 1,
            ]);
            packet.resize(188, 0xff);
            ts.extend(packet);
        }
        ts
    }

    fn name(session: &str, sequence: u64) -> SegmentName {
        SegmentName {
            session: SessionId::parse(session).unwrap(),
            sequence,
        }
    }

    fn listed() -> Vec<Restored> {
        vec![Restored {
            name: name("a", 5),
            facts: Facts {
                duration_90k: 180_000,
                discontinuity: false,
                independent: true,
                target_duration_s: 2,
            },
            date: Duration::from_secs(100),
            discontinuities: 0,
        }]
    }

    #[test]
    fn durations_dates_and_discontinuities_are_found_also_over_the_wrap() {
        let start = WRAP - 270_000;
        let orphans = [
            (name("a", 6), segment((start + 180_000) % WRAP, 2)),
            (name("a", 7), segment(90_000, 2)),
            (name("b", 8), segment(270_000, 2)),
            (name("b", 9), segment(7_000_000, 2)),
        ];
        let mut entries = listed();
        assert!(append(&mut entries, &segment(start, 2), &orphans));
        let found: Vec<_> = entries[1..]
            .iter()
            .map(|e| {
                (
                    e.facts.duration_90k,
                    e.facts.discontinuity,
                    e.date.as_secs(),
                )
            })
            .collect();
        let want = [(false, 102), (false, 104), (true, 106), (true, 108)];
        assert_eq!(found, want.map(|(mark, date)| (180_000, mark, date)));
    }

    #[test]
    fn what_cannot_be_read_is_not_appended() {
        for bad in [
            vec![],
            vec![0x47; 188 * 3],
            vec![0xff; 188],
            segment(180_000, 1),
            segment(180_000, 3),
        ] {
            let mut entries = listed();
            assert!(!append(
                &mut entries,
                &segment(0, 2),
                &[(name("a", 6), bad)]
            ));
            assert_eq!(entries.len(), 1);
        }
    }
}
