//! Clips in files: both containers, and files that are broken anywhere.

use bytes::Bytes;
use proptest::prelude::*;
use segmenter::{Output, Segmenter};

use super::*;

const PICTURE: &[u8] = include_bytes!("../slate/paused-360.h264");

fn config() -> Config {
    Config::default()
}

/// Two seconds of pictures and sound as an encoder sends them.
fn sent() -> Vec<Tag> {
    let mut tags = vec![
        tag(TagKind::Video, 0, &[0x17, 0, 0, 0, 0], PICTURE),
        tag(TagKind::Audio, 0, &[0xaf, 0], &[0x11, 0x90]),
    ];
    for number in 0..20 {
        let p = [0, 0, 0, 1, 0x41, 0x9a, number as u8];
        let data = if number % 10 == 0 { PICTURE } else { &p };
        tags.push(tag(TagKind::Video, number * 100, &[0x17, 1, 0, 0, 0], data));
        for frame in 0..5 {
            let at_ms = number * 100 + frame * 20;
            tags.push(tag(
                TagKind::Audio,
                at_ms,
                &[0xaf, 1],
                &[0x21, 0, number as u8],
            ));
        }
    }
    tags
}

fn flv_of(tags: &[Tag]) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for tag in tags {
        let size = tag.payload.len() as u32;
        let time = tag.timestamp_ms.to_be_bytes();
        file.push(if tag.kind == TagKind::Video { 9 } else { 8 });
        file.extend(&size.to_be_bytes()[1..]);
        file.extend([time[1], time[2], time[3], time[0], 0, 0, 0]);
        file.extend(&tag.payload);
        file.extend((size + 11).to_be_bytes());
    }
    file
}

fn ts_of(tags: &[Tag]) -> Vec<u8> {
    let config = segmenter::Config {
        target_ms: 2000,
        max_segment_ms: 4000,
        segment_bytes: 1 << 20,
    };
    let mut segmenter = Segmenter::new(config, None);
    for tag in tags {
        segmenter.push(tag).unwrap();
    }
    segmenter.finish();
    let mut file = Vec::new();
    while let Some(output) = segmenter.poll() {
        if let Output::Segment(segment) = output {
            file.extend(segment.body.concat());
        }
    }
    file
}

fn read_bytes(bytes: &[u8], config: &Config) -> Result<Film> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip");
    std::fs::write(&path, bytes).unwrap();
    read(config, &path)
}

#[test]
fn both_containers_give_the_same_film() {
    for file in [flv_of(&sent()), ts_of(&sent())] {
        let film = read_bytes(&file, &config()).unwrap();
        assert_eq!(describe(&film), "2s of avc1.42c01f 640x360");
        assert_eq!(film.longest_gop_90k(), 90_000);
    }
    let tags = transport_stream(&ts_of(&sent())).unwrap();
    let frames = |tags: &[Tag]| -> Vec<Bytes> {
        let audio = tags.iter().filter(|tag| tag.kind == TagKind::Audio);
        audio.map(|tag| tag.payload.clone()).collect()
    };
    assert_eq!(frames(&tags), frames(&sent()), "sound byte for byte");
}

#[test]
fn what_is_wrong_is_told_with_the_file() {
    let mut small = config();
    small.limits.slate_file_bytes = 1000;
    let mut thin = config();
    thin.limits.segment_bytes = 2000;
    let rare: Vec<Tag> = (sent().into_iter())
        .chain([tag(
            TagKind::Video,
            3000,
            &[0x17, 1, 0, 0, 0],
            &[0, 0, 0, 1, 0x41, 1],
        )])
        .filter(|tag| tag.timestamp_ms != 1000 || tag.kind == TagKind::Audio)
        .collect();
    for (bytes, config, expected) in [
        (
            flv_of(&sent()),
            &small,
            "larger than limits.slate_file_bytes, 1000 bytes",
        ),
        (
            flv_of(&sent()),
            &thin,
            "segments larger than limits.segment_bytes",
        ),
        (flv_of(&rare), &config(), "its keyframes are up to 3"),
        (vec![], &config(), "neither FLV nor MPEG-TS"),
        (b"RIFF".to_vec(), &config(), "neither FLV nor MPEG-TS"),
        (b"FLV\x01".to_vec(), &config(), "no H.264 pictures"),
        (
            ts_of(&sent())[..188].to_vec(),
            &config(),
            "no H.264 pictures",
        ),
    ] {
        let error = read_bytes(&bytes, config).unwrap_err();
        let line = error.to_string();
        assert_eq!(error.kind, Kind::Config);
        assert!(line.starts_with("slate.file: /"), "{line}");
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
    }
    let error = read(&config(), Path::new("/none/a.ts")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("slate.file: /none/a.ts: No such file")
    );
    let error = read(&config(), Path::new("/")).unwrap_err();
    assert!(error.to_string().ends_with("it is no file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// A broken file is refused or taken; the server neither panics nor hangs over it.
    #[test]
    fn broken_files_never_panic(
        transport in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = if transport { ts_of(&sent()) } else { flv_of(&sent()) };
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        let bytes = Bytes::copy_from_slice(&file[..cut.index(file.len() + 1)]);
        let tags = if transport { transport_stream(&bytes) } else { flv(bytes) };
        if let Ok(tags) = tags {
            let _ = Film::new(&tags);
        }
    }
}
