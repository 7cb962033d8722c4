//! Golden files: FLV in, one line per transport packet out. It does not know whether a change is
//! right: `UPDATE_GOLDEN=1` rewrites what is expected, and the diff is for a reader.

use std::fmt::Write;
use std::path::Path;

use crate::support::*;
use segmenter::{Tag, TagKind};

#[test]
fn av_bframes() {
    check("av_bframes");
}

#[test]
fn video_only() {
    check("video_only");
}

#[test]
fn audio_only() {
    check("audio_only");
}

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let flv = std::fs::read(folder.join(format!("{name}.flv"))).unwrap();
    let run = run(config(), None, &tags(&flv));
    check_segments(&run.segments, [0; 4]);
    crate::oracle::agrees(&run.segments);
    let found = dump(&run);
    let expected = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&expected, &found).unwrap();
    }
    let expected = std::fs::read_to_string(expected).unwrap();
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// The tags of an FLV file (FLV 10.1 E.3).
pub fn tags(flv: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = &flv[13..];
    while rest.len() > 15 {
        let number =
            |at: usize| (0..3).fold(0u32, |sum, byte| sum << 8 | u32::from(rest[at + byte]));
        let size = number(1) as usize;
        let kind = match rest[0] {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            _ => TagKind::Script,
        };
        tags.push(tag(
            kind,
            number(4) | u32::from(rest[7]) << 24,
            rest[11..11 + size].to_vec(),
        ));
        rest = &rest[11 + size + 4..];
    }
    tags
}

fn dump(run: &Run) -> String {
    let mut text = format!("{:?}\n", run.tracks);
    for segment in &run.segments {
        writeln!(
            text,
            "segment start_ms={} extinf={:.3} td={} pictures={} discontinuity={} independent={}",
            segment.start_ms,
            segment.duration_90k as f64 / 90_000.0,
            segment.target_duration_s,
            segment.pictures,
            segment.discontinuity,
            segment.independent
        )
        .unwrap();
        let packets = packets(&body(segment));
        let mut units = [256, 257].map(|pid| {
            pes(&packets)
                .into_iter()
                .filter(move |unit| unit.pid == pid)
        });
        for packet in &packets {
            line(&mut text, packet, &mut units);
        }
    }
    text
}

fn line(text: &mut String, packet: &Packet, units: &mut [impl Iterator<Item = Pes>; 2]) {
    write!(text, "{:4} cc={:2}", packet.pid, packet.counter).unwrap();
    if packet.random_access {
        text.push_str(" rai");
    }
    if let Some(pcr) = packet.pcr_90k {
        write!(text, " pcr={pcr}").unwrap();
    }
    let media = usize::from(packet.pid)
        .checked_sub(256)
        .and_then(|index| units.get_mut(index));
    if packet.unit_start
        && let Some(unit) = media.and_then(Iterator::next)
    {
        write!(
            text,
            " pts={} dts={} unit={}",
            unit.pts_90k,
            unit.dts_90k,
            unit.data.len()
        )
        .unwrap();
    }
    if let Some(payload) = &packet.payload {
        write!(text, " payload={} {:08x}", payload.len(), fnv1a(payload)).unwrap();
    }
    text.push('\n');
}

fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
