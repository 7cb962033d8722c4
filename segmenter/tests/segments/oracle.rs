//! Oracle: mpeg2ts's reader, which we did not write, sees the same PES packets. It does not check
//! continuity counters: the support module does.

use crate::support::{Pes, body, packets, pes};
use mpeg2ts::pes::{PesPacketReader, ReadPesPacket};
use mpeg2ts::ts::TsPacketReader;
use segmenter::Segment;

pub fn agrees(segments: &[Segment]) {
    for segment in segments {
        let body = body(segment);
        let mut ours: Vec<Pes> = pes(&packets(&body));
        let mut reader = PesPacketReader::new(TsPacketReader::new(&body[..]));
        let mut theirs = Vec::new();
        while let Some(packet) = reader.read_pes_packet().unwrap() {
            let pts_90k = packet.header.pts.unwrap().as_u64();
            theirs.push(Pes {
                pid: if packet.header.stream_id.is_video() {
                    256
                } else {
                    257
                },
                pts_90k,
                dts_90k: packet.header.dts.map_or(pts_90k, |dts| dts.as_u64()),
                data: packet.data,
            });
        }
        // It hands a packet out when the next of its stream begins.
        let key = |unit: &Pes| (unit.pid, unit.dts_90k);
        ours.sort_by_key(key);
        theirs.sort_by_key(key);
        assert_eq!(ours, theirs);
    }
}
