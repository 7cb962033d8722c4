//! Tests of the chunk layer, with rml_rtmp as a second opinion. They do not know sessions.

use bytes::Bytes;

use super::*;
use proptest::prelude::*;
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    messages::MessagePayload,
    time::RtmpTimestamp,
};

const LIMITS: Limits = Limits {
    chunk_streams: 64,
    message_bytes: 8 << 20,
    partial_bytes: 12 << 20,
};

/// Feeds `bytes` in pieces of the given sizes (the last one repeats), as a socket would.
fn read_in_pieces(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = Reader::new(LIMITS);
    let (mut messages, mut buffer, mut rest) = (vec![], vec![], bytes);
    let mut piece = 0;
    while !rest.is_empty() {
        let size = pieces[piece.min(pieces.len() - 1)].clamp(1, rest.len());
        piece += 1;
        buffer.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        loop {
            let progress = reader.read(&buffer)?;
            buffer.drain(..progress.consumed);
            match progress.message {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        assert!(buffer.len() < MAX_HEADER_BYTES);
        assert!(reader.partial_bytes() <= LIMITS.partial_bytes);
    }
    Ok(messages)
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    read_in_pieces(bytes, &[usize::MAX])
}

/// A type 0 header on a one-byte chunk stream.
fn full(id: u8, timestamp: u32, len: usize, kind: u8, stream: u32) -> Vec<u8> {
    let mut out = vec![id];
    out.extend_from_slice(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
    out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend_from_slice(&stream.to_le_bytes());
    if timestamp >= EXTENDED {
        out.extend_from_slice(&timestamp.to_be_bytes());
    }
    out
}

/// A type 1 header.
fn delta(id: u8, delta: u32, len: usize, kind: u8) -> Vec<u8> {
    let mut out = full(0x40 | id, delta, len, kind, 0);
    out.drain(8..12);
    out
}

fn times(bytes: &[u8]) -> Vec<u32> {
    let messages = read(bytes).unwrap();
    messages.iter().map(|m| m.timestamp_ms).collect()
}

#[test]
fn all_formats_inherit_what_they_leave_out() {
    let bytes = [
        &full(4, 100, 2, 9, 7)[..],
        b"ab",
        &delta(4, 40, 3, 8),
        b"cde",
        &[0x84, 0, 0, 5],
        b"fgh",
        &[0xc4],
        b"ijk",
    ]
    .concat();
    let got = read(&bytes).unwrap();
    let seen: Vec<_> = got
        .iter()
        .map(|m| (m.kind, m.stream_id, m.timestamp_ms, &m.payload[..]))
        .collect();
    assert_eq!(
        seen,
        [
            (9, 7, 100, &b"ab"[..]),
            (8, 7, 140, b"cde"),
            (8, 7, 145, b"fgh"),
            (8, 7, 150, b"ijk")
        ]
    );
}

#[test]
fn type_3_after_type_0_repeats_the_timestamp_as_delta() {
    let bytes = [&full(4, 23, 1, 8, 1)[..], b"a", &[0xc4], b"b"].concat();
    assert_eq!(times(&bytes), [23, 46]);
}

#[test]
fn chunk_stream_ids_of_one_two_and_three_bytes() {
    for (basic, id) in [
        (vec![2], 2),
        (vec![0, 0], 64),
        (vec![0, 255], 319),
        (vec![1, 0, 1], 320),
    ] {
        let head = &full(0, 1, 1, 9, 1)[1..];
        let bytes = [&basic[..], head, b"x"].concat();
        let mut reader = Reader::new(LIMITS);
        assert!(reader.read(&bytes).unwrap().message.is_some());
        assert_eq!(reader.streams[0].id, id);
    }
}

#[test]
fn extended_timestamps_in_every_format() {
    let late = EXTENDED + 1000;
    // Type 0: absolute. Type 1: a delta (media rule 1), here one that wraps the 32-bit counter.
    let bytes = [
        &full(4, late, 1, 8, 1)[..],
        b"a",
        &delta(4, u32::MAX - 9, 1, 8),
        b"b",
        &delta(4, 20, 1, 8),
        b"c",
    ]
    .concat();
    assert_eq!(times(&bytes), [late, late - 10, late + 10]);
    // The smallest extended value, and the largest that is not.
    assert_eq!(
        times(&[&full(4, EXTENDED, 1, 8, 1)[..], b"a"].concat()),
        [EXTENDED]
    );
    assert_eq!(
        times(&[&full(4, EXTENDED - 1, 1, 8, 1)[..], b"a"].concat()),
        [EXTENDED - 1]
    );
}

#[test]
fn type_3_chunks_may_or_may_not_repeat_the_extended_timestamp() {
    let late = 20_000_000u32;
    let payload: Vec<u8> = (0..300).map(|i| i as u8).collect();
    for repeated in [&late.to_be_bytes()[..], &[]] {
        let mut bytes = full(4, late, payload.len(), 9, 1);
        for (index, piece) in payload.chunks(128).enumerate() {
            if index > 0 {
                bytes.push(0xc4);
                bytes.extend_from_slice(repeated);
            }
            bytes.extend_from_slice(piece);
        }
        for pieces in [&[usize::MAX][..], &[1], &[12, 4, 128, 2, 1, 1]] {
            let got = read_in_pieces(&bytes, pieces).unwrap();
            assert_eq!(got.len(), 1);
            assert_eq!(
                (got[0].timestamp_ms, &got[0].payload[..]),
                (late, &payload[..])
            );
        }
    }
}

#[test]
fn the_end_of_a_message_is_not_waited_for_when_it_cannot_be_a_repetition() {
    let late = 20_000_000u32;
    let mut bytes = full(4, late, 130, 9, 1);
    bytes.extend_from_slice(&[7; 128]);
    bytes.extend_from_slice(&[0xc4, 7, 7]);
    assert_eq!(read(&bytes).unwrap().len(), 1);
}

#[test]
fn messages_interleave_per_chunk_stream() {
    let video = vec![9; 200];
    let bytes = [
        &full(6, 10, 200, 9, 1)[..],
        &video[..128],
        &full(4, 11, 3, 8, 1),
        b"aud",
        &[0xc6],
        &video[128..],
    ]
    .concat();
    let got = read(&bytes).unwrap();
    assert_eq!(got.iter().map(|m| m.kind).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(got[1].payload, video);
}

#[test]
fn chunk_size_may_change_in_mid_message() {
    for new_size in [1u32, 64, 4096] {
        let video = vec![9; 300];
        let mut bytes = full(6, 10, 300, 9, 1);
        bytes.extend_from_slice(&video[..128]);
        bytes.extend(full(2, 0, 4, kind::SET_CHUNK_SIZE, 0));
        bytes.extend_from_slice(&new_size.to_be_bytes());
        for piece in video[128..].chunks(new_size as usize) {
            bytes.push(0xc6);
            bytes.extend_from_slice(piece);
        }
        let got = read(&bytes).unwrap();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].payload, video);
    }
}

#[test]
fn bad_chunk_sizes_are_refused_and_short_ones_ignored() {
    let set = |body: &[u8]| [&full(2, 0, body.len(), kind::SET_CHUNK_SIZE, 0), body].concat();
    for size in [0u32, 1 << 31, u32::MAX] {
        let error = read(&set(&size.to_be_bytes()));
        assert_eq!(error, Err(ChunkError::BadChunkSize(size)));
    }
    assert_eq!(read(&set(&[0, 0])), Ok(vec![]));
    assert_eq!(read(&set(&i32::MAX.to_be_bytes())), Ok(vec![]));
}

#[test]
fn abort_drops_the_message_under_way_and_its_memory() {
    let abort = |id: u32| {
        let body = id.to_be_bytes();
        [&full(2, 0, 4, kind::ABORT, 0)[..], &body].concat()
    };
    let bytes = [
        &full(6, 10, 200, 9, 1)[..],
        &[1; 128],
        &abort(6),
        &abort(99),
        &full(6, 20, 2, 9, 1),
        b"ok",
    ]
    .concat();
    let mut reader = Reader::new(LIMITS);
    let progress = reader.read(&bytes).unwrap();
    assert_eq!(&progress.message.unwrap().payload[..], b"ok");
    assert_eq!(reader.partial_bytes(), 0);
}

#[test]
fn a_new_header_in_mid_message_gives_the_old_message_up() {
    let bytes = [
        &full(6, 10, 200, 9, 1)[..],
        &[1; 128],
        &full(6, 20, 2, 9, 1),
        b"ok",
    ]
    .concat();
    let got = read(&bytes).unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].timestamp_ms, &got[0].payload[..]), (20, &b"ok"[..]));
}

#[test]
fn empty_messages_are_messages() {
    let got = read(&[full(4, 1, 0, 8, 1), vec![0xc4]].concat()).unwrap();
    assert_eq!(
        got.iter().map(|m| m.payload.len()).collect::<Vec<_>>(),
        [0, 0]
    );
}

#[test]
fn a_chunk_stream_may_begin_with_type_1_only_or_0() {
    assert_eq!(
        read(&[&delta(2, 5, 1, 4)[..], b"x"].concat())
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        read(&[0x85, 0, 0, 1]),
        Err(ChunkError::NothingToContinue(5))
    );
    assert_eq!(read(&[0xc5]), Err(ChunkError::NothingToContinue(5)));
}

#[test]
fn sixteen_megabyte_messages_are_refused_by_their_header() {
    let len = 0xff_ffff;
    let limit = LIMITS.message_bytes;
    assert_eq!(
        read(&full(4, 0, len, 9, 1)),
        Err(ChunkError::MessageTooLong { len, limit })
    );
    assert!(read(&full(4, 0, limit, 9, 1)).is_ok());
}

#[test]
fn half_received_messages_are_capped_by_their_announced_lengths() {
    let one = LIMITS.partial_bytes / 2;
    let begin = |id: u8, len: usize| [&full(id, 0, len, 9, 1)[..], &[0; 128]].concat();
    assert!(read(&[begin(4, one), begin(5, one)].concat()).is_ok());
    let mut reader = Reader::new(LIMITS);
    let bytes = [begin(4, one), begin(5, one), begin(6, 129)].concat();
    assert_eq!(
        reader.read(&bytes),
        Err(ChunkError::TooMuchPartial(LIMITS.partial_bytes))
    );
}

#[test]
fn chunk_streams_are_capped() {
    let open = |count: u32| {
        let mut bytes = vec![];
        for id in 0..count {
            bytes.extend_from_slice(&[1, id as u8, (id >> 8) as u8]);
            bytes.extend_from_slice(&full(0, 0, 0, 9, 1)[1..]);
        }
        read(&bytes).map(|messages| messages.len())
    };
    assert_eq!(open(64), Ok(64));
    assert_eq!(open(65), Err(ChunkError::TooManyStreams(64)));
}

#[test]
fn a_payload_is_allocated_once_at_its_length() {
    let mut reader = Reader::new(LIMITS);
    let progress = reader.read(&full(4, 0, 100_000, 9, 1)).unwrap();
    assert!(progress.message.is_none());
    let begun = reader.streams[0].partial.as_ref().unwrap();
    let (place, capacity) = (begun.as_ptr(), begun.capacity());
    assert_eq!(capacity, 100_000);
    let mut message = None;
    let mut first = true;
    for piece in vec![5; 100_000].chunks(128) {
        let basic: &[u8] = if first { &[] } else { &[0xc4] };
        first = false;
        message = reader.read(&[basic, piece].concat()).unwrap().message;
    }
    assert_eq!(message.unwrap().payload.as_ptr(), place);
}

#[test]
fn another_implementation_reads_what_we_write() {
    let mut writer = Writer::new();
    writer.message(2, 5, 0, &[0, 1, 2, 3]);
    writer.message(3, 20, 0, &[8; 300]);
    writer.set_chunk_size(4096);
    writer.message(5, 20, 1, &[9; 5000]);
    let bytes = writer.take();
    assert_eq!(writer.pending_bytes(), 0);
    let mut oracle = ChunkDeserializer::new();
    let mut seen = vec![];
    let mut input = &bytes[..];
    while let Some(payload) = oracle.get_next_message(input).unwrap() {
        input = &[];
        if payload.type_id == 1 {
            oracle.set_max_chunk_size(4096).unwrap();
        }
        seen.push((
            payload.type_id,
            payload.message_stream_id,
            payload.data.len(),
        ));
    }
    assert_eq!(seen, [(5, 0, 4), (20, 0, 300), (1, 0, 4), (20, 1, 5000)]);
    assert_eq!(
        read(&bytes).unwrap().len(),
        3,
        "our reader applies the chunk size itself"
    );
}

/// Messages with times that rise by small and by very large steps.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let step = prop_oneof![
        0..50u32,
        Just(EXTENDED - 1),
        Just(EXTENDED),
        EXTENDED..EXTENDED + 9
    ];
    let kind = prop_oneof![Just(8u8), Just(9), Just(18), Just(20)];
    let payload = prop::collection::vec(any::<u8>(), 1..600);
    prop::collection::vec((step, kind, 0..3u32, payload), 1..12).prop_map(|raw| {
        let mut now = 0u32;
        raw.into_iter()
            .map(|(step, kind, stream_id, payload)| {
                now = now.saturating_add(step);
                Message {
                    kind,
                    stream_id,
                    timestamp_ms: now,
                    payload: Bytes::from(payload),
                }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_another_implementation_writes_is_read_however_it_is_split(
        messages in messages(),
        chunk_size in 1..700u32,
        pieces in prop::collection::vec(1..900usize, 1..40),
    ) {
        let mut oracle = ChunkSerializer::new();
        let time = RtmpTimestamp::new(0);
        let mut bytes = oracle.set_max_chunk_size(chunk_size, time).unwrap().bytes;
        for message in &messages {
            let payload = MessagePayload {
                timestamp: RtmpTimestamp::new(message.timestamp_ms),
                type_id: message.kind,
                message_stream_id: message.stream_id,
                data: message.payload.clone(),
            };
            bytes.extend(oracle.serialize(&payload, false, false).unwrap().bytes);
        }
        prop_assert_eq!(read_in_pieces(&bytes, &pieces), Ok(messages));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_split_alike(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..8u8], 0..2000),
        pieces in prop::collection::vec(1..40usize, 1..20),
    ) {
        prop_assert_eq!(read_in_pieces(&bytes, &pieces), read(&bytes));
    }

    #[test]
    fn flipped_bytes_never_panic(
        messages in messages(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut writer = Writer::new();
        for message in &messages {
            writer.message(4, message.kind, message.stream_id, &message.payload);
        }
        let mut bytes = writer.take();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read_in_pieces(&bytes, &[7]);
    }
}
