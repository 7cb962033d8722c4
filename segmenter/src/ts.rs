//! TS: MPEG-TS packets (ISO/IEC 13818-1): tables, PES, clock references, continuity counters. It
//! does not know codecs, nor where a segment begins.

use bytes::Bytes;

use crate::slab::{SLAB_BYTES, SLABS};

/// Bytes of a transport packet.
pub const PACKET: usize = 188;
const PAYLOAD: usize = 184;
/// What the compiler copies without a call.
const INLINE: usize = 128;
/// PTS, DTS and PCR base wrap here (2.4.3.7).
const CLOCK_MASK: u64 = (1 << 33) - 1;

/// Our fixed packet identifiers, in the order of `Resume::continuity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pid {
    /// Program association table.
    Pat,
    /// Program map table.
    Pmt,
    /// H.264.
    Video,
    /// AAC in ADTS.
    Audio,
}

impl Pid {
    /// The 13-bit number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Pat => 0,
            Self::Pmt => 4096,
            Self::Video => 256,
            Self::Audio => 257,
        }
    }
}

/// The next counter of each [`Pid`] behind whole packets of ours, for [`Muxer::new`]; 0 where there
/// is none.
pub fn continuity_behind(packets: &[u8]) -> [u8; 4] {
    let mut next = [0; 4];
    for packet in packets.as_chunks::<PACKET>().0 {
        let number = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        let all = [Pid::Pat, Pid::Pmt, Pid::Video, Pid::Audio];
        if let Some(pid) = all.into_iter().find(|pid| pid.number() == number) {
            // A packet without payload repeats its predecessor's (2.4.3.3).
            next[pid as usize] = packet[3].wrapping_add(1) & 15;
        }
    }
    next
}

/// The start of a PES packet (2.4.3.6).
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Presentation time, 90 kHz.
    pub pts_90k: i64,
    /// Decoding time, when it differs.
    pub dts_90k: Option<i64>,
    /// A clock reference in the first packet, 90 kHz.
    pub pcr_90k: Option<i64>,
    /// random_access_indicator.
    pub random_access: bool,
}

/// Writes packets into slabs of whole packets, so that a body is a short list of slices.
#[derive(Debug)]
pub struct Muxer {
    continuity: [u8; 4],
    sealed: Vec<Bytes>,
    sealed_bytes: usize,
    slab: Vec<u8>,
}

impl Muxer {
    /// `continuity`: the next counter of each [`Pid`].
    pub fn new(continuity: [u8; 4]) -> Self {
        let continuity = continuity.map(|counter| counter & 15);
        Self {
            continuity,
            sealed: Vec::new(),
            sealed_bytes: 0,
            slab: Vec::new(),
        }
    }

    /// The next counter of each [`Pid`].
    pub fn continuity(&self) -> [u8; 4] {
        self.continuity
    }

    /// Bytes written since the last [`Self::take`].
    pub fn len(&self) -> usize {
        self.sealed_bytes + self.slab.len()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The body so far; the counters run on.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.sealed_bytes = 0;
        std::mem::take(&mut self.sealed)
    }

    /// PAT and PMT for the tracks there are. The version tells the combinations apart.
    pub fn tables(&mut self, video: bool, audio: bool) {
        let pmt = Pid::Pmt.number().to_be_bytes();
        self.table(
            Pid::Pat,
            &[0x00, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | pmt[0], pmt[1]],
        );
        let clock = if video { Pid::Video } else { Pid::Audio };
        let clock = clock.number().to_be_bytes();
        let version = u8::from(video) | u8::from(audio) << 1;
        let mut section = vec![
            0x02,
            0,
            1,
            0xc1 | version << 1,
            0,
            0,
            0xe0 | clock[0],
            clock[1],
            0xf0,
            0,
        ];
        for (there, stream_type, pid) in [(video, 0x1b, Pid::Video), (audio, 0x0f, Pid::Audio)] {
            if there {
                let pid = pid.number().to_be_bytes();
                section.extend([stream_type, 0xe0 | pid[0], pid[1], 0xf0, 0]);
            }
        }
        self.table(Pid::Pmt, &section);
    }

    /// One section: table id, then what follows its length (2.4.4).
    fn table(&mut self, pid: Pid, section: &[u8]) {
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&self.header(pid, true, 0x10));
        packet[4] = 0; // pointer_field
        let end = 5 + 2 + section.len();
        packet[5] = section[0];
        packet[6] = 0xb0;
        packet[7] = (section.len() - 1 + 4) as u8;
        packet[8..end].copy_from_slice(&section[1..]);
        let crc = crc32(&packet[5..end]);
        packet[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        self.room();
        self.slab.extend_from_slice(&packet);
    }

    /// A packet with nothing but a clock reference: its counter does not move (2.4.3.3).
    pub fn clock(&mut self, pid: Pid, pcr_90k: i64) {
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&self.header(pid, false, 0x20));
        packet[4] = (PACKET - 5) as u8;
        packet[5] = 0x10;
        packet[6..12].copy_from_slice(&clock_reference(pcr_90k));
        self.room();
        self.slab.extend_from_slice(&packet);
    }

    /// One PES packet whose payload is the `pieces` in a row.
    pub fn pes(&mut self, pid: Pid, start: Start, pieces: &[&[u8]]) {
        let payload: usize = pieces.iter().map(|piece| piece.len()).sum();
        let (header, length) = pes_header(pid, start, payload);
        let mut left = length + payload;
        let mut head = &header[..length];
        let mut pieces = pieces.iter();
        let mut first = true;
        while left > 0 {
            if head.len() >= PAYLOAD && !first {
                let copied = self.whole_packets(pid, head);
                head = &head[copied..];
                left -= copied;
                continue;
            }
            let adaptation = if first {
                Adaptation::of(start)
            } else {
                Adaptation::default()
            };
            let room = self.open_packet(pid, first, adaptation, left);
            left -= room;
            self.gather(&mut head, &mut pieces, room);
            first = false;
        }
    }

    /// The fast path: packets that need no adaptation field, out of one piece. Returns how many
    /// bytes of it were taken.
    fn whole_packets(&mut self, pid: Pid, piece: &[u8]) -> usize {
        self.room();
        let fit = (SLAB_BYTES - self.slab.len()) / PACKET;
        let (chunks, _) = piece.as_chunks::<PAYLOAD>();
        let chunks = &chunks[..chunks.len().min(fit)];
        let [high, low] = pid.number().to_be_bytes();
        let mut counter = self.continuity[pid as usize];
        for chunk in chunks {
            self.slab
                .extend_from_slice(&[0x47, high, low, 0x10 | counter]);
            // Two copies of at most 128 bytes are inlined; one of 184 would be a call.
            let (head, tail) = chunk.split_at(PAYLOAD - INLINE);
            self.slab.extend_from_slice(head);
            self.slab.extend_from_slice(tail);
            counter = (counter + 1) & 15;
        }
        self.continuity[pid as usize] = counter;
        chunks.len() * PAYLOAD
    }

    /// Writes a packet's header and adaptation field; returns the payload bytes it wants, of the
    /// `left` that there are.
    fn open_packet(&mut self, pid: Pid, first: bool, field: Adaptation, left: usize) -> usize {
        let needed = field.bytes();
        let room = left.min(PAYLOAD - needed);
        let field_bytes = PAYLOAD - room;
        let control = if field_bytes > 0 { 0x30 } else { 0x10 };
        let header = self.header(pid, first, control);
        self.room();
        self.slab.extend_from_slice(&header);
        if field_bytes > 0 {
            self.slab.push((field_bytes - 1) as u8);
        }
        if field_bytes > 1 {
            let clock = if field.pcr_90k.is_some() { 0x10 } else { 0 };
            self.slab
                .push(clock | if field.random_access { 0x40 } else { 0 });
            if let Some(pcr_90k) = field.pcr_90k {
                self.slab.extend_from_slice(&clock_reference(pcr_90k));
            }
            let stuffing = field_bytes - needed.max(2);
            self.slab.resize(self.slab.len() + stuffing, 0xff);
        }
        room
    }

    /// Appends `room` bytes out of `head` and the pieces behind it.
    fn gather<'a>(
        &mut self,
        head: &mut &'a [u8],
        pieces: &mut std::slice::Iter<'_, &'a [u8]>,
        mut room: usize,
    ) {
        while room > 0 {
            let (now, rest) = head.split_at(room.min(head.len()));
            self.slab.extend_from_slice(now);
            room -= now.len();
            *head = rest;
            if head.is_empty() {
                *head = match pieces.next() {
                    Some(piece) => piece,
                    None => return,
                };
            }
        }
    }

    /// A packet header; the counter moves only with a payload.
    fn header(&mut self, pid: Pid, unit_start: bool, control: u8) -> [u8; 4] {
        let [high, low] = pid.number().to_be_bytes();
        let counter = &mut self.continuity[pid as usize];
        let mut value = *counter;
        if control & 0x10 != 0 {
            *counter = (*counter + 1) & 15;
        } else {
            value = value.wrapping_sub(1) & 15;
        }
        [
            0x47,
            if unit_start { 0x40 } else { 0 } | high,
            low,
            control | value,
        ]
    }

    /// Makes room for one packet.
    fn room(&mut self) {
        if self.slab.len() == SLAB_BYTES {
            self.seal();
        }
        if self.slab.capacity() == 0 {
            self.slab = SLABS.take();
        }
    }

    fn seal(&mut self) {
        let slab = std::mem::take(&mut self.slab);
        if !slab.is_empty() {
            self.sealed_bytes += slab.len();
            self.sealed.push(SLABS.seal(slab));
        }
    }
}

/// The adaptation field a packet asks for.
#[derive(Clone, Copy, Default)]
struct Adaptation {
    pcr_90k: Option<i64>,
    random_access: bool,
}

impl Adaptation {
    fn of(start: Start) -> Self {
        Self {
            pcr_90k: start.pcr_90k,
            random_access: start.random_access,
        }
    }

    /// Its length with the length byte, without stuffing.
    fn bytes(self) -> usize {
        match (self.pcr_90k, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }
}

/// A PES header and its length. Video has PES_packet_length 0, audio the exact one.
fn pes_header(pid: Pid, start: Start, payload: usize) -> ([u8; 19], usize) {
    let mut header = [0; 19];
    let fields = if start.dts_90k.is_some() { 10 } else { 5 };
    let stream_id = if pid == Pid::Audio { 0xc0 } else { 0xe0 };
    header[..4].copy_from_slice(&[0, 0, 1, stream_id]);
    if pid == Pid::Audio {
        let length = u16::try_from(3 + fields + payload).unwrap_or(0);
        header[4..6].copy_from_slice(&length.to_be_bytes());
    }
    header[6] = 0x84; // data_alignment_indicator
    header[7] = if start.dts_90k.is_some() { 0xc0 } else { 0x80 };
    header[8] = fields as u8;
    let mark = if start.dts_90k.is_some() { 3 } else { 2 };
    header[9..14].copy_from_slice(&timestamp(mark, start.pts_90k));
    if let Some(dts_90k) = start.dts_90k {
        header[14..19].copy_from_slice(&timestamp(1, dts_90k));
    }
    (header, 9 + fields)
}

/// 33 bits with marker bits (2.4.3.6); times wrap.
fn timestamp(mark: u8, time_90k: i64) -> [u8; 5] {
    let time = time_90k.cast_unsigned() & CLOCK_MASK;
    [
        mark << 4 | (time >> 29) as u8 & 0x0e | 1,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ]
}

/// program_clock_reference with an extension of 0 (2.4.3.4).
fn clock_reference(pcr_90k: i64) -> [u8; 6] {
    let base = pcr_90k.cast_unsigned() & CLOCK_MASK;
    let [.., a, b, c, d, e, f] = (base << 15 | 0x7e00).to_be_bytes();
    [a, b, c, d, e, f]
}

/// CRC of a section (annex A).
fn crc32(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(pcr_90k: Option<i64>) -> Start {
        Start {
            pts_90k: 1,
            dts_90k: None,
            pcr_90k,
            random_access: pcr_90k.is_some(),
        }
    }

    /// Payload bytes of each packet, checking header, counter and adaptation length.
    fn payloads(muxer: &mut Muxer, mut counter: u8) -> Vec<u8> {
        let body = muxer.take().concat();
        let (packets, rest) = body.as_chunks::<PACKET>();
        assert!(rest.is_empty());
        let mut out = Vec::new();
        for packet in packets {
            assert_eq!((packet[0], packet[3] & 15), (0x47, counter));
            counter = (counter + 1) & 15;
            let field = if packet[3] & 0x20 != 0 {
                usize::from(packet[4]) + 1
            } else {
                0
            };
            out.extend(&packet[4 + field..]);
        }
        out
    }

    #[test]
    fn counters_go_on_behind_what_was_written() {
        let mut muxer = Muxer::new([3, 15, 9, 0]);
        for bytes in 0..700 {
            muxer.tables(true, true);
            muxer.pes(Pid::Video, start(Some(0)), &[&vec![0; bytes]]);
            let written = muxer.take().concat();
            let [pat, pmt, video, _] = muxer.continuity();
            assert_eq!(continuity_behind(&written), [pat, pmt, video, 0]);
        }
        assert_eq!(continuity_behind(&[0x47; 187]), [0; 4]);
    }

    #[test]
    fn every_length_survives() {
        let data: Vec<u8> = (0..1000u32).map(|byte| byte as u8).collect();
        let mut muxer = Muxer::new([0; 4]);
        for length in 0..data.len() {
            for pcr_90k in [None, Some(0)] {
                let counter = muxer.continuity()[2];
                let (head, tail) = data[..length].split_at(length / 3);
                muxer.pes(Pid::Video, start(pcr_90k), &[head, &[], tail]);
                assert_eq!(&payloads(&mut muxer, counter)[14..], &data[..length]);
            }
        }
    }

    #[test]
    fn slabs_hold_whole_packets_and_lose_nothing() {
        let data: Vec<u8> = (0..700_000u32).map(|byte| (byte % 251) as u8).collect();
        let mut muxer = Muxer::new([0, 0, 9, 0]);
        muxer.pes(Pid::Video, start(Some(5)), &[&data[..5], &data[5..]]);
        let length = muxer.len();
        let body = muxer.take();
        assert!(muxer.is_empty() && body.len() == 11);
        assert!(body.iter().all(|slab| slab.len() % PACKET == 0));
        assert_eq!(body.iter().map(Bytes::len).sum::<usize>(), length);
        muxer.sealed = body;
        assert_eq!(&payloads(&mut muxer, 9)[14..], data);
    }

    #[test]
    fn tables_and_clocks() {
        let mut muxer = Muxer::new([15, 3, 7, 0]);
        muxer.tables(true, true);
        muxer.clock(Pid::Video, 1 << 33 | 3);
        assert_eq!(muxer.continuity(), [0, 4, 7, 0]);
        let body = muxer.take().concat();
        assert_eq!(
            body[..12],
            [0x47, 0x40, 0, 0x1f, 0, 0, 0xb0, 13, 0, 1, 0xc1, 0]
        );
        assert_eq!(
            crc32(&body[5..5 + 16]),
            0,
            "a section with its CRC has CRC 0"
        );
        let pmt = &body[PACKET..];
        assert_eq!(crc32(&pmt[5..5 + 3 + usize::from(pmt[7])]), 0);
        let clock = &body[2 * PACKET..];
        assert_eq!(
            clock[..12],
            [0x47, 1, 0, 0x26, 183, 0x10, 0, 0, 0, 1, 0xfe, 0]
        );
    }

    #[test]
    fn times_wrap_at_33_bits() {
        assert_eq!(timestamp(2, (1 << 33) + 1), timestamp(2, 1));
        assert_eq!(timestamp(2, (1 << 33) - 1), [0x2f, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(clock_reference(-1)[..5], [0xff, 0xff, 0xff, 0xff, 0xfe]);
    }
}
