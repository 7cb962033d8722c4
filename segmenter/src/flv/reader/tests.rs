//! Proofs of the FLV reader against files made by the writer and against damage. They do not know
//! what media is.

use proptest::prelude::*;

use super::*;
use crate::flv::{MAX_DATA_BYTES, write_header, write_tag};

fn tag(kind: TagKind, timestamp_ms: u32, payload: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn file(tags: &[Tag]) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, true, true);
    for tag in tags {
        write_tag(&mut out, tag).unwrap();
    }
    out
}

/// A tag as something comparable.
type Seen = (TagKind, u32, Vec<u8>);

/// Everything that reading `bytes` in chunks of the given lengths gives, until a terminal fault.
fn read(bytes: &[u8], chunks: &[usize]) -> (Vec<Result<Seen, FlvError>>, Tolerated) {
    let mut reader = Reader::new(1000);
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut lengths = chunks.iter().copied().cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (chunk, behind) = rest.split_at(length);
        reader.feed(Bytes::copy_from_slice(chunk));
        rest = behind;
        loop {
            match reader.next_tag() {
                Ok(None) => break,
                Ok(Some(t)) => seen.push(Ok((t.kind, t.timestamp_ms, t.payload.to_vec()))),
                Err(error) => {
                    seen.push(Err(error));
                    if error.what.is_terminal() {
                        assert_eq!(reader.next_tag().unwrap_err(), error);
                        assert_eq!(reader.finish(), Err(error));
                        return (seen, reader.tolerated());
                    }
                }
            }
        }
    }
    seen.extend(reader.finish().err().map(Err));
    (seen, reader.tolerated())
}

fn only_error(bytes: &[u8]) -> String {
    let (seen, _) = read(bytes, &[]);
    let errors: Vec<_> = seen.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

fn sample() -> Vec<u8> {
    file(&[
        tag(TagKind::Video, 0, &[1; 20]),
        tag(TagKind::Audio, 1, &[2; 30]),
        tag(TagKind::Video, 2, &[3; 40]),
    ])
}

/// Offset of the second tag of [`sample`].
const SECOND: usize = 13 + 11 + 20 + 4;

#[test]
fn a_timestamp_has_its_upper_byte_behind_the_lower_three() {
    let bytes = file(&[tag(TagKind::Video, 0x0102_0304, b"x")]);
    assert_eq!(bytes[17..21], [2, 3, 4, 1]);
    let (seen, _) = read(&bytes, &[]);
    assert_eq!(seen, [Ok((TagKind::Video, 0x0102_0304, b"x".to_vec()))]);
}

#[test]
fn payloads_are_slices_of_what_was_fed() {
    let chunk = Bytes::from(sample());
    let mut reader = Reader::new(1000);
    reader.feed(chunk.clone());
    let first = reader.next_tag().unwrap().unwrap();
    assert_eq!(first.payload.as_ptr(), chunk[24..].as_ptr());
    assert_eq!(reader.tag_offset(), 13);
    drop(first);
    reader.next_tag().unwrap();
    assert_eq!(reader.tag_offset(), SECOND as u64);
    while reader.next_tag().unwrap().is_some() {}
    assert!(
        chunk.try_into_mut().is_ok(),
        "a chunk read out is let go of"
    );
}

#[test]
fn a_cut_tail_is_told_with_offset_and_sizes() {
    let bytes = sample();
    let cut = |n: usize| only_error(&bytes[..n]);
    assert_eq!(
        cut(SECOND + 11 + 7),
        "at byte 48: tag claims 30 bytes but the file ends after 7"
    );
    assert_eq!(
        cut(SECOND + 5),
        "at byte 48: tag header claims 11 bytes but the file ends after 5"
    );
    assert_eq!(
        cut(SECOND - 1),
        "at byte 44: tag trailer claims 4 bytes but the file ends after 3"
    );
    assert_eq!(
        cut(4),
        "at byte 0: file header claims 9 bytes but the file ends after 4"
    );
}

#[test]
fn a_file_may_end_behind_any_tag() {
    let bytes = sample();
    for (end, tags) in [
        (9, 0),
        (13, 0),
        (SECOND - 4, 1),
        (SECOND, 1),
        (bytes.len(), 3),
    ] {
        let (seen, _) = read(&bytes[..end], &[]);
        assert_eq!(seen.len(), tags, "{seen:?}");
        assert!(seen.iter().all(Result::is_ok));
    }
}

#[test]
fn an_empty_file_is_no_flv() {
    let error = Reader::new(1000).finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 0: file header claims 9 bytes but the file ends after 0"
    );
}

#[test]
fn other_files_are_refused() {
    assert_eq!(
        only_error(b"\x47@\x11\x10 no flv"),
        "at byte 0: not an FLV file"
    );
    let mut short_header = sample();
    short_header[8] = 8;
    assert_eq!(only_error(&short_header), "at byte 0: not an FLV file");
}

#[test]
fn a_longer_file_header_is_skipped() {
    let mut bytes = sample();
    bytes[8] = 12;
    bytes.splice(9..9, [7; 3]);
    let (seen, tolerated) = read(&bytes, &[5]);
    assert_eq!(seen.len(), 3);
    assert_eq!(tolerated, Tolerated::default());
}

#[test]
fn a_wrong_previous_tag_size_is_counted() {
    let mut bytes = sample();
    bytes[SECOND - 1] ^= 1;
    let (seen, tolerated) = read(&bytes, &[]);
    assert_eq!(seen.iter().filter(|s| s.is_ok()).count(), 3);
    assert_eq!(tolerated.wrong_previous_sizes, 1);
}

#[test]
fn a_size_that_lies_is_found_at_the_next_tag() {
    let mut bytes = sample();
    bytes[SECOND + 3] = 29;
    assert_eq!(
        only_error(&bytes),
        "at byte 48: tag claims 29 bytes but no tag follows them: the file is damaged here"
    );
}

#[test]
fn unknown_tags_are_skipped_and_counted() {
    let mut bytes = sample();
    bytes[SECOND] = 15;
    let (seen, tolerated) = read(&bytes, &[]);
    assert_eq!(seen.len(), 2);
    assert_eq!(tolerated.unknown_tags, 1);
    assert_eq!(tolerated.wrong_previous_sizes, 0);
}

#[test]
fn an_encrypted_tag_is_an_error_that_can_be_passed() {
    let mut bytes = sample();
    bytes[SECOND] |= FILTER_BIT;
    let (seen, _) = read(&bytes, &[]);
    assert_eq!(seen.len(), 3);
    assert_eq!(
        seen[1].clone().unwrap_err().to_string(),
        "at byte 48: tag is encrypted"
    );
    assert_eq!(seen[2].clone().unwrap().1, 2);
}

#[test]
fn a_tag_above_the_limit_can_be_passed() {
    let bytes = file(&[
        tag(TagKind::Video, 0, &[1; 1000]),
        tag(TagKind::Video, 1, &[2; 1001]),
        tag(TagKind::Audio, 2, &[3; 8]),
    ]);
    for chunk in [1, 7, 5000] {
        let (seen, _) = read(&bytes, &[chunk]);
        assert_eq!(seen.len(), 3);
        assert_eq!(
            seen[1].clone().unwrap_err().to_string(),
            "at byte 1028: tag claims 1001 bytes, more than the 1000 allowed"
        );
    }
}

#[test]
fn a_payload_above_24_bits_is_not_written() {
    let mut out = vec![0; 3];
    let long = tag(TagKind::Video, 0, &vec![0; MAX_DATA_BYTES + 1]);
    assert_eq!(write_tag(&mut out, &long).unwrap_err().offset, 3);
    assert_eq!(out.len(), 3);
}

#[test]
fn what_is_held_while_a_tag_is_incomplete_stays_bounded() {
    let mut reader = Reader::new(1000);
    reader.feed(Bytes::from(file(&[])));
    assert!(reader.next_tag().unwrap().is_none());
    reader.feed(Bytes::from_static(&[
        15, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0,
    ]));
    for _ in 0..1000 {
        assert!(reader.next_tag().unwrap().is_none());
        assert!(reader.joined.capacity() <= 4096 && reader.chunk.is_empty());
        reader.feed(Bytes::from_static(&[0; 4096]));
    }
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let kind = prop_oneof![
        Just(TagKind::Audio),
        Just(TagKind::Video),
        Just(TagKind::Script)
    ];
    let payload = proptest::collection::vec(any::<u8>(), 0..300);
    (kind, any::<u32>(), payload).prop_map(|(kind, timestamp_ms, payload)| Tag {
        kind,
        timestamp_ms,
        payload: payload.into(),
    })
}

fn chunk_lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..400usize, 1..20)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        tags in proptest::collection::vec(any_tag(), 0..20),
        chunks in chunk_lengths(),
    ) {
        let (seen, tolerated) = read(&file(&tags), &chunks);
        let written: Vec<_> = tags
            .iter()
            .map(|t| Ok((t.kind, t.timestamp_ms, t.payload.to_vec())))
            .collect();
        prop_assert_eq!(seen, written);
        prop_assert_eq!(tolerated, Tolerated::default());
    }

    #[test]
    fn chunks_change_nothing_whatever_is_read(
        tags in proptest::collection::vec(any_tag(), 0..8),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
        chunks in chunk_lengths(),
    ) {
        let mut bytes = file(&tags);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&read(&bytes, &chunks), &whole);
        prop_assert_eq!(&read(&bytes, &[1]), &whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        as_flv in any::<bool>(),
        chunks in chunk_lengths(),
    ) {
        if as_flv {
            bytes.splice(0..0, file(&[]));
        }
        prop_assert_eq!(read(&bytes, &chunks), read(&bytes, &[]));
    }
}
