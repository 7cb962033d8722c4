//! Proofs of file mode: runs over whole and damaged files, and what is left of other people's
//! directories. They do not know how segments are made.

use std::{fs, time::UNIX_EPOCH};

use bytes::Bytes;
use m3u8_rs::{MediaPlaylist, MediaPlaylistType};
use segmenter::{Segment, Tag, TagKind, segment::Tracks, segment::VideoTrack};
use tempfile::TempDir;

use super::*;

const DATE: Duration = Duration::from_millis(1_700_000_000_000);

fn segment(duration_90k: u64, body: &[&'static [u8]]) -> Segment {
    Segment {
        body: body.iter().map(|b| Bytes::from_static(b)).collect(),
        len: body.iter().map(|b| b.len()).sum(),
        duration_90k,
        discontinuity: false,
        independent: true,
        start_ms: 0,
        target_duration_s: 2,
        idr: None,
        pictures: 50,
        keyframes: 1,
    }
}

fn media(dir: &Path) -> MediaPlaylist {
    let text = fs::read(dir.join("source/index.m3u8")).unwrap();
    m3u8_rs::parse_media_playlist(&text).unwrap().1
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn error_of<T>(result: Result<T>) -> Error {
    match result {
        Err(error) => error,
        Ok(_) => panic!("expected an error"),
    }
}

#[test]
fn a_closed_output_is_a_recording() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("deep/out");
    let mut output = Output::new(&out, DATE).unwrap();
    output.tracks(&Tracks {
        video: Some(VideoTrack {
            width: 640,
            height: 360,
            fps: Some(25.0),
            codec: "avc1.42c01e".into(),
        }),
        audio: None,
    });
    output
        .segment(&segment(180_000, &[b"ab", b"", b"c"]))
        .unwrap();
    let cut = Segment {
        discontinuity: true,
        independent: false,
        ..segment(90_000, &[&[7; 1000]])
    };
    output.segment(&cut).unwrap();
    let summary = output.close().unwrap();

    assert_eq!((summary.segments, summary.bytes), (2, 1003));
    assert_eq!(summary.duration, Duration::from_secs(3));
    assert_eq!(names(&out), ["index.m3u8", "source"]);
    assert_eq!(
        names(&out.join("source")),
        ["file-0.ts", "file-1.ts", "index.m3u8"]
    );
    assert_eq!(fs::read(out.join("source/file-0.ts")).unwrap(), b"abc");
    let media = media(&out);
    assert_eq!(media.playlist_type, Some(MediaPlaylistType::Vod));
    assert!(media.end_list && !media.independent_segments);
    assert_eq!((media.media_sequence, media.target_duration), (0, 2));
    assert!(media.segments[1].discontinuity && !media.segments[0].discontinuity);
    let dates: Vec<_> = media
        .segments
        .iter()
        .map(|s| s.program_date_time.unwrap().timestamp_millis())
        .collect();
    assert_eq!(dates, [1_700_000_000_000, 1_700_000_002_000]);
    let master = fs::read_to_string(out.join("index.m3u8")).unwrap();
    assert!(
        master.ends_with(
            "#EXT-X-STREAM-INF:BANDWIDTH=8000,AVERAGE-BANDWIDTH=2674,CODECS=\"avc1.42c01e\",\
             RESOLUTION=640x360,FRAME-RATE=25.000\nsource/index.m3u8\n"
        ),
        "{master}"
    );
}

#[test]
fn a_running_output_is_playable_from_its_first_segment() {
    let dir = TempDir::new().unwrap();
    let mut output = Output::new(dir.path(), DATE).unwrap();
    for n in 1..=200 {
        output.segment(&segment(180_000, &[b"x"])).unwrap();
        let media = media(dir.path());
        assert!(!media.end_list);
        assert_eq!(media.playlist_type, Some(MediaPlaylistType::Event));
        let unlisted = n - media.segments.len();
        assert!(unlisted < 8.max(n / 16 + 1), "{unlisted} of {n}");
        assert!(dir.path().join("index.m3u8").exists());
    }
}

#[test]
fn an_earlier_output_is_replaced_and_other_files_stay() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("notes.txt"), "keep").unwrap();
    for segments in [3, 1] {
        let mut output = Output::new(dir.path(), DATE).unwrap();
        for _ in 0..segments {
            output.segment(&segment(180_000, &[b"x"])).unwrap();
        }
        output.close().unwrap();
    }
    assert_eq!(names(dir.path()), ["index.m3u8", "notes.txt", "source"]);
    assert_eq!(
        names(&dir.path().join("source")),
        ["file-0.ts", "index.m3u8"]
    );
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let cases: [&[&str]; 4] = [
        &["source/file-0.ts", "source/holiday.mp4"],
        &["source/file-.ts"],
        &["index.m3u8"],
        &["source"],
    ];
    for files in cases {
        let dir = TempDir::new().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "mine").unwrap();
        }
        let error = error_of(Output::new(dir.path(), DATE));
        assert_eq!(error.kind, Kind::Conflict);
        let last = dir.path().join(files.last().unwrap());
        assert!(error.context.starts_with(last.to_str().unwrap()), "{error}");
        for file in files {
            assert_eq!(fs::read(dir.path().join(file)).unwrap(), b"mine");
        }
    }
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let mut output = Output::new(&out, DATE).unwrap();
    output.segment(&segment(180_000, &[b"x"])).unwrap();
    fs::remove_dir_all(&out).unwrap();
    let error = error_of(output.segment(&segment(180_000, &[b"x"])));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.context.ends_with("out/source/file-1.ts"), "{error}");
}

#[test]
fn what_the_thread_could_not_write_is_told_in_the_end() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let writing = Writing::start(Output::new(&out, DATE).unwrap()).unwrap();
    fs::write(&out, "in the way").unwrap();
    // It has ended once nobody takes what is sent; that it takes the first is not promised.
    while writing.segment(segment(180_000, &[b"x"])).is_ok() {}
    let error = error_of(writing.close());
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.context.ends_with("out/index.m3u8"), "{error}");
}

#[test]
fn a_file_where_a_directory_should_be_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for out in [file.clone(), file.join("deep/out")] {
        let error = error_of(Output::new(&out, DATE));
        assert_eq!(error.kind, Kind::Conflict);
        let path = file.to_str().unwrap();
        assert!(
            error.context.starts_with(&format!("{path} is in")),
            "{error}"
        );
    }
}

#[test]
fn a_segment_of_many_slices_is_written_whole() {
    let dir = TempDir::new().unwrap();
    let mut output = Output::new(dir.path(), DATE).unwrap();
    // More slices than one call to the system takes (IOV_MAX is 1024), with empty ones among them.
    let body: Vec<&[u8]> = (0..3000)
        .map(|n| if n % 3 == 0 { &b""[..] } else { &b"yz"[..] })
        .collect();
    output.segment(&segment(180_000, &body)).unwrap();
    let written = fs::read(dir.path().join("source/file-0.ts")).unwrap();
    assert_eq!(written, b"yz".repeat(2000));
}

/// An FLV file of silence-like AAC frames: 44.1 kHz stereo, about 23 ms each.
fn audio_file(frames: u32) -> Vec<u8> {
    let mut out = Vec::new();
    flv::write_header(&mut out, true, false);
    let mut push = |timestamp_ms, payload: &'static [u8]| {
        let tag = Tag {
            kind: TagKind::Audio,
            timestamp_ms,
            payload: Bytes::from_static(payload),
        };
        flv::write_tag(&mut out, &tag).unwrap();
    };
    push(0, &[0xAF, 0, 0x12, 0x10]);
    for n in 0..frames {
        push(
            n * 1024 * 1000 / 44_100,
            &[0xAF, 1, 0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C],
        );
    }
    out
}

fn segment_bytes(bytes: &[u8]) -> (TempDir, Result<Summary>) {
    segment_within(SEGMENT_BYTES, bytes)
}

fn segment_within(limit: usize, bytes: &[u8]) -> (TempDir, Result<Summary>) {
    let dir = TempDir::new().unwrap();
    let options = Options {
        input: dir.path().join("in.flv"),
        out_dir: dir.path().join("out"),
        segmenter: segmenter::Config {
            target_ms: 2000,
            max_segment_ms: 10_000,
            segment_bytes: limit,
        },
    };
    fs::write(&options.input, bytes).unwrap();
    let input = fs::File::options()
        .write(true)
        .open(&options.input)
        .unwrap();
    input.set_modified(UNIX_EPOCH + DATE).unwrap();
    let result = run(&options);
    (dir, result)
}

#[test]
fn a_whole_file_becomes_a_recording() {
    let (dir, result) = segment_bytes(&audio_file(1000));
    let summary = result.unwrap();
    let out = dir.path().join("out");
    let media = media(&out);
    assert_eq!(media.segments.len() as u64, summary.segments);
    assert!(summary.segments >= 10);
    let media_s: f32 = media.segments.iter().map(|s| s.duration).sum();
    let expected_s = 1000.0 * 1024.0 / 44_100.0;
    assert!((media_s - expected_s).abs() < 0.03, "{media_s}");
    let on_disk: u64 = media
        .segments
        .iter()
        .map(|s| fs::metadata(out.join("source").join(&s.uri)).unwrap().len())
        .sum();
    assert_eq!(on_disk, summary.bytes);
    assert_eq!(summary.to_json()["segments"], summary.segments);
}

#[test]
fn a_cut_file_is_kept_up_to_the_cut_and_told_with_its_offset() {
    let whole = audio_file(1000);
    // Every frame takes 11 + 8 + 4 bytes; the header 13, the sequence header 11 + 4 + 4.
    let last = 13 + 19 + 23 * 999;
    let (dir, result) = segment_bytes(&whole[..last + 11 + 3]);
    let error = error_of(result);
    let text = error.to_string();
    let expected =
        format!("in.flv: at byte {last}: tag claims 8 bytes but the file ends after 3; ");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("run again"), "{text}");
    let media = media(&dir.path().join("out"));
    assert!(media.end_list);
    let media_s: f32 = media.segments.iter().map(|s| s.duration).sum();
    assert!((media_s - 999.0 * 1024.0 / 44_100.0).abs() < 0.03);
}

#[test]
fn an_input_without_media_writes_nothing() {
    let mut header = Vec::new();
    flv::write_header(&mut header, true, true);
    let cases = [
        (header.as_slice(), "in.flv: no H.264 or AAC media in it"),
        (
            b"",
            "at byte 0: file header claims 9 bytes but the file ends after 0; nothing was written",
        ),
        (
            b"RIFF is no FLV",
            "at byte 0: not an FLV file; nothing was written",
        ),
    ];
    for (bytes, expected) in cases {
        let (dir, result) = segment_bytes(bytes);
        let text = error_of(result).to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!dir.path().join("out").exists());
    }
}

/// The playlists of the FLV files that the segmenter's packets are proven with. After a change that
/// is meant, run once with UPDATE_GOLDEN=1 and read the difference.
#[test]
fn playlists_are_as_golden_files_say() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("segmenter/tests/golden");
    for name in ["av_bframes", "video_only", "audio_only"] {
        let bytes = fs::read(golden.join(name).with_extension("flv")).unwrap();
        let (dir, result) = segment_bytes(&bytes);
        result.unwrap();
        let text = ["out/index.m3u8", "out/source/index.m3u8"]
            .map(|path| fs::read_to_string(dir.path().join(path)).unwrap())
            .concat();
        let expected = golden.join(name).with_extension("m3u8");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&expected).unwrap(), "{name}");
    }
}

#[test]
fn an_unsupported_codec_is_refused_with_its_offset() {
    let mut bytes = Vec::new();
    flv::write_header(&mut bytes, true, false);
    let mp3 = Tag {
        kind: TagKind::Audio,
        timestamp_ms: 0,
        payload: Bytes::from_static(&[0x2F, 0xFF, 0xFB]),
    };
    flv::write_tag(&mut bytes, &mp3).unwrap();
    let text = error_of(segment_bytes(&bytes).1).to_string();
    assert!(
        text.contains("in.flv: at byte 13: audio codec MP3"),
        "{text}"
    );
}

#[test]
fn a_segment_above_the_limit_is_refused_with_its_offset() {
    let (dir, result) = segment_within(2000, &audio_file(1000));
    let text = error_of(result).to_string();
    assert!(text.contains("in.flv: at byte "), "{text}");
    assert!(text.contains("(2000 bytes)"), "{text}");
    assert!(text.ends_with("; nothing was written"), "{text}");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn an_absent_input_is_named() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        input: dir.path().join("absent.flv"),
        out_dir: dir.path().join("out"),
        segmenter: segmenter::Config {
            target_ms: 2000,
            max_segment_ms: 10_000,
            segment_bytes: SEGMENT_BYTES,
        },
    };
    let error = error_of(run(&options));
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.context.ends_with("absent.flv"), "{error}");
    assert!(!options.out_dir.exists());
}

#[test]
fn a_summary_reads_as_one_line() {
    let summary = Summary {
        segments: 3,
        bytes: 2_500_000,
        duration: Duration::from_millis(5_960),
        elapsed: Duration::from_millis(20),
        notices: BTreeMap::from([("jump", 2)]),
    };
    assert_eq!(
        summary.to_string(),
        "3 segments, 2.5 MB, 5.960 s of media in 0.02 s, jump 2"
    );
}
