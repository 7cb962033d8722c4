//! A live stream, its frozen picture, the stream again, for what encoders make: decoders see the same
//! picture for as long as it is frozen and miss none. It does not know servers: the segmenter and the
//! slate are driven here as `live` drives them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use openh264::{
    OpenH264API,
    encoder::{Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, SpsPpsStrategy},
    formats::YUVBuffer,
};
use segmenter::{
    Config, Idr, Notice, Output, Resume, Segment, Segmenter, Standby, Tag, TagKind, Tracks,
    slate::{Slate, Still},
};

use crate::support::{clip, oracle};

/// Each slate here: so many segments of 2 s.
const SEGMENTS: usize = 3;

/// FFmpeg's encoding of its test picture, kept under `target/`.
fn encoded(name: &str, source: &str, options: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("freeze");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{name}.flv"));
    if !path.exists() {
        let unfinished = dir.join(format!("{name}.part"));
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
            .arg(format!("testsrc2={source}"))
            .args(["-t", "5", "-c:v", "libx264", "-sc_threshold", "0"])
            .args(options.split_whitespace())
            .args(["-f", "flv"])
            .arg(&unfinished)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        fs::rename(unfinished, &path).unwrap();
    }
    path
}

/// What one session gave.
#[derive(Default)]
struct Live {
    segments: Vec<Segment>,
    tracks: Tracks,
    newest: Option<Idr>,
    resume: Resume,
}

fn live<'a>(tags: impl Iterator<Item = &'a Tag>, resume: Option<Resume>) -> Live {
    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 16 << 20,
    };
    let mut segmenter = Segmenter::new(config, resume).keeping_idrs();
    for tag in tags {
        segmenter.push(tag).unwrap();
    }
    let mut live = Live {
        resume: segmenter.finish(),
        ..Live::default()
    };
    while let Some(output) = segmenter.poll() {
        match output {
            Output::Segment(segment) => {
                live.newest = segment.idr.clone().or(live.newest);
                live.segments.push(segment);
            }
            Output::Tracks(tracks) => live.tracks = tracks,
            // An encoder that numbers its parameter sets anew with each IDR.
            Output::Notice(Notice::ParametersChanged) => {}
            Output::Notice(notice) => panic!("{notice:?}"),
        }
    }
    live
}

/// The stream up to `pause_ms`, the slate, and the stream from the next IDR on.
struct Run {
    before: Live,
    slate: Vec<Segment>,
    after: Live,
}

impl Run {
    fn new(tags: &[Tag], pause_ms: u32) -> Result<Self, &'static str> {
        let shown = |tag: &&Tag| tag.timestamp_ms < pause_ms;
        let before = live(tags.iter().filter(shown), None);
        let still = Still::freeze(before.newest.as_ref().unwrap())?;
        let fps = before.tracks.video.as_ref().and_then(|video| video.fps);
        let mut slate = Slate::new(&before.tracks, fps, &before.resume, &still).unwrap();
        let made = (0..SEGMENTS).map(|_| slate.segment(2000)).collect();
        let mut standby = Standby::default();
        let begins = |tag: &Tag| standby.push(tag).unwrap() && tag.timestamp_ms >= pause_ms;
        let at = tags.iter().position(begins).unwrap();
        let (first, rest) = tags[at..].split_first().unwrap();
        let headers: Vec<_> = standby.headers(first.timestamp_ms).collect();
        let media = headers.iter().chain([first]).chain(rest);
        Ok(Self {
            after: live(media, Some(slate.resume())),
            slate: made,
            before,
        })
    }

    fn all(&self) -> Vec<u8> {
        let [before, after] = [&self.before, &self.after].map(|live| bytes(&live.segments));
        [before, bytes(&self.slate), after].concat()
    }

    fn slate_pictures(&self) -> usize {
        self.slate.iter().map(|one| one.pictures as usize).sum()
    }
}

fn bytes(segments: &[Segment]) -> Vec<u8> {
    segments.iter().flat_map(|one| one.body.concat()).collect()
}

fn pictures(segments: &[Segment]) -> usize {
    segments.iter().map(|one| one.pictures as usize).sum()
}

/// Decodes without a word of complaint.
#[track_caller]
fn decodes(name: &str, media: &oracle::Media) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "warning", "-xerror"])
        .args(["-err_detect", "explode", "-i", media.path(), "-map", "0"])
        .args(["-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{name}: {said}"
    );
}

/// Decoding times grow over both boundaries, and the slate's pictures are shown one by one from
/// where the live ones end.
#[track_caller]
fn times_go_on(name: &str, media: &oracle::Media, before: usize, slate: usize) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts,dts", media.path()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().filter(|line| !line.is_empty());
    let times: Vec<(i64, i64)> = lines
        .map(|line| {
            let mut fields = line.trim_end_matches(',').split(',').map(str::parse);
            let mut next = || fields.next().unwrap().unwrap();
            (next(), next())
        })
        .collect();
    assert!(times.iter().all(|(pts, dts)| pts >= dts), "{name}");
    assert!(times.windows(2).all(|two| two[0].1 < two[1].1), "{name}");
    let mut shown: Vec<i64> = times.iter().map(|(pts, _)| *pts).collect();
    let live = *shown[..before].iter().max().unwrap();
    shown.sort_unstable();
    assert_eq!(
        shown[before - 1],
        live,
        "{name}: all that is live comes first"
    );
    let steps: Vec<i64> = shown[before - 1..before + slate]
        .windows(2)
        .map(|two| two[1] - two[0])
        .collect();
    let even = steps[1..].iter().all(|step| step.abs_diff(steps[2]) <= 1);
    // RTMP's times are whole milliseconds.
    assert!(
        even && steps[0].abs_diff(steps[2]) <= 900,
        "{name}: {steps:?}"
    );
    let reorder = times[before].0 - times[before].1;
    let exit = shown[before + slate] - shown[before + slate - 1];
    assert!(exit <= steps[2] + reorder + 90, "{name}: {exit}");
}

/// Live, frozen, live: every picture is decoded, and the frozen ones are the IDR.
#[track_caller]
fn check(name: &str, tags: &[Tag]) -> Run {
    let run = Run::new(tags, 3300).unwrap();
    let media = oracle::Media::new(&run.all());
    decodes(name, &media);
    let shown = oracle::frames(media.path(), 'v');
    let [before, after] = [&run.before, &run.after].map(|live| pictures(&live.segments));
    assert_eq!(shown.len(), before + run.slate_pictures() + after, "{name}");
    times_go_on(name, &media, before, run.slate_pictures());
    let idr = oracle::Media::new(&run.before.newest.as_ref().unwrap().annex_b());
    let idr = oracle::frames(idr.path(), 'v');
    assert_eq!(idr.len(), 1);
    for (number, frame) in shown[before..before + run.slate_pictures()]
        .iter()
        .enumerate()
    {
        assert_eq!(*frame, idr[0], "{name}: frozen picture {number}");
    }
    // Alone, as for a player that joins.
    let alone = oracle::Media::new(&bytes(&run.slate));
    decodes(name, &alone);
    let shown = oracle::frames(alone.path(), 'v');
    assert_eq!(shown, vec![idr[0].clone(); run.slate_pictures()], "{name}");
    run
}

const SMALL: &str = "size=320x180:rate=25";
const FAST: &str = "-preset veryfast -g 50";

/// Name and options of x264, and the profile its SPS must then tell.
const VARIANTS: [(&str, &str, u8); 16] = [
    ("baseline", "-profile:v baseline", 66),
    ("main-cavlc", "-profile:v main -coder vlc -bf 2", 77),
    ("main-cabac", "-profile:v main -bf 2", 77),
    ("high-cavlc", "-profile:v high -coder vlc -bf 3", 100),
    ("high-cabac", "-profile:v high -bf 0", 100),
    (
        "pyramid",
        "-bf 5 -b_strategy 0 -refs 4 -x264-params b-pyramid=normal",
        100,
    ),
    (
        "sliced-cavlc",
        "-coder vlc -x264-params sliced-threads=1:slices=5 -threads 5",
        100,
    ),
    ("sliced-cabac", "-x264-params slices=7 -bf 2", 100),
    (
        "weighted",
        "-vf fade=in:0:100 -x264-params weightp=2 -bf 2",
        100,
    ),
    ("fine", "-qp 3 -bf 2", 100),
    ("coarse", "-qp 49 -bf 2", 100),
    ("deep", "-pix_fmt yuv420p10le -qp 2 -bf 2", 110),
    ("gray", "-pix_fmt gray -x264-params weightp=2", 100),
    ("full-chroma", "-pix_fmt yuv444p -bf 2", 244),
    (
        "timed",
        "-x264-params nal-hrd=vbr:pic-struct=1 -maxrate 1M -bufsize 1M -bf 2",
        100,
    ),
    ("fake-interlaced", "-x264-params fake-interlaced=1", 100),
];

#[test]
fn the_frozen_picture_of_every_x264_profile_is_its_last_idr() {
    for (name, options, profile) in VARIANTS {
        let path = encoded(name, SMALL, &format!("{FAST} {options}"));
        let run = check(name, &clip::tags(&path));
        let codec = run.before.tracks.video.as_ref().unwrap().codec.clone();
        assert_eq!(codec[..7], format!("avc1.{profile:02x}"), "{name}");
        assert_eq!(run.slate_pictures(), 150, "{name}");
        for (number, one) in run.slate.iter().enumerate() {
            assert_eq!((one.keyframes, one.duration_90k), (1, 180_000), "{name}");
            assert_eq!(one.discontinuity, number == 0, "{name}");
        }
    }
}

#[test]
fn full_hd_at_sixty_pictures_a_second_freezes() {
    let options = "-preset ultrafast -coder cabac -bf 2 -g 120";
    let path = encoded("hd60", "size=1920x1080:rate=60", options);
    let run = check("hd60", &clip::tags(&path));
    assert_eq!(run.slate_pictures(), 360);
}

#[test]
fn an_idr_within_open_gops_freezes() {
    let options =
        format!("{FAST} -bf 3 -x264-params open-gop=1 -forced-idr 1 -force_key_frames 0,2,4");
    let path = encoded("open-gop", SMALL, &options);
    check("open-gop", &clip::tags(&path));
}

#[test]
fn interlaced_pictures_are_given_up() {
    let path = encoded(
        "interlaced",
        SMALL,
        &format!("{FAST} -flags +ildct+ilme -x264-params tff=1"),
    );
    let refused = Run::new(&clip::tags(&path), 3300).err();
    assert_eq!(refused, Some("interlaced pictures"));
}

/// Five seconds by OpenH264, as RTMP would carry them.
fn by_openh264(config: EncoderConfig) -> Vec<Tag> {
    const SIDES: (usize, usize) = (320, 180);
    let config = config
        .skip_frames(false)
        .max_frame_rate(FrameRate::from_hz(25.0))
        .intra_frame_period(IntraFramePeriod::from_num_frames(50));
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).unwrap();
    let mut tags = Vec::new();
    for number in 0..125u32 {
        let mut yuv = vec![128; SIDES.0 * SIDES.1 * 3 / 2];
        for (at, luma) in yuv[..SIDES.0 * SIDES.1].iter_mut().enumerate() {
            let (x, y) = (at % SIDES.0, at / SIDES.0);
            *luma = (x ^ y.wrapping_add(3 * number as usize)) as u8;
        }
        let yuv = YUVBuffer::from_vec(yuv, SIDES.0, SIDES.1);
        let data = encoder.encode(&yuv).unwrap().to_vec();
        assert!(!data.is_empty());
        let heads: &[[u8; 5]] = match number {
            // Parameter sets with start codes do for a record.
            0 => &[[0x17, 0, 0, 0, 0], [0x17, 1, 0, 0, 0]],
            _ => &[[0x27, 1, 0, 0, 0]],
        };
        tags.extend(heads.iter().map(|head| Tag {
            kind: TagKind::Video,
            timestamp_ms: number * 40,
            payload: [&head[..], &data].concat().into(),
        }));
    }
    tags
}

#[test]
fn openh264_freezes_too() {
    let config = EncoderConfig::new;
    for (name, config) in [
        ("plain", config()),
        ("high", config().profile(Profile::High)),
        ("slices", config().max_slice_len(1200)),
        (
            "ids",
            config().sps_pps_strategy(SpsPpsStrategy::IncreasingId),
        ),
    ] {
        check(name, &by_openh264(config));
    }
}

/// Its one IDR is at the beginning: soon it is too old to be frozen, and the card is shown.
#[test]
fn a_picture_that_is_refreshed_bit_by_bit_has_no_keyframes() {
    let options = format!("{FAST} -x264-params intra-refresh=1");
    let path = encoded("refreshed", SMALL, &options);
    let config = Config {
        target_ms: 1000,
        max_segment_ms: 1000,
        segment_bytes: 16 << 20,
    };
    let mut segmenter = Segmenter::new(config, None).keeping_idrs();
    for tag in clip::tags(&path) {
        segmenter.push(&tag).unwrap();
    }
    segmenter.finish();
    let mut idrs = Vec::new();
    while let Some(output) = segmenter.poll() {
        if let Output::Segment(segment) = output {
            idrs.push(segment.idr.is_some());
        }
    }
    assert!(idrs.len() >= 3 && idrs[0], "{idrs:?}");
    assert!(idrs[1..].iter().all(|idr| !idr), "{idrs:?}");
}

/// GStreamer takes each stream apart and decodes as many pictures.
#[test]
fn gstreamer_decodes_frozen_pictures() {
    for name in ["baseline", "main-cabac", "pyramid", "sliced-cabac"] {
        let (_, options, _) = VARIANTS.iter().find(|one| one.0 == name).unwrap();
        let path = encoded(name, SMALL, &format!("{FAST} {options}"));
        let run = Run::new(&clip::tags(&path), 3300).unwrap();
        let media = oracle::Media::new(&run.all());
        let raw = format!("{}.yuv", media.path());
        let output = Command::new("gst-launch-1.0")
            .args(["-q", "filesrc", &format!("location={}", media.path()), "!"])
            .args(["tsdemux", "!", "h264parse", "!", "avdec_h264", "!"])
            .args(["video/x-raw,format=I420", "!", "filesink"])
            .arg(format!("location={raw}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let live = pictures(&run.before.segments) + pictures(&run.after.segments);
        let decoded = fs::metadata(&raw).unwrap().len() as usize / (320 * 180 * 3 / 2);
        assert_eq!(decoded, live + run.slate_pictures(), "{name}: {said}");
    }
}

#[test]
fn a_built_in_card_is_shown_in_the_same_way() {
    let file = include_bytes!("../../src/live/slate/paused-360.h264");
    let still = Still::parse(&Bytes::from_static(file)).unwrap();
    let path = encoded(
        "main-cabac",
        SMALL,
        &format!("{FAST} -profile:v main -bf 2"),
    );
    let before = live(clip::tags(&path).iter(), None);
    let mut slate = Slate::new(&before.tracks, Some(25.0), &before.resume, &still).unwrap();
    let made: Vec<_> = (0..SEGMENTS).map(|_| slate.segment(2000)).collect();
    let media = oracle::Media::new(&bytes(&made));
    decodes("card", &media);
    let shown = oracle::frames(media.path(), 'v');
    let card = oracle::Media::new(file);
    let card = oracle::frames(card.path(), 'v');
    assert_eq!(shown, vec![card[0].clone(); 150]);
}
