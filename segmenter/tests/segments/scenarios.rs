//! Scenarios: one incident each, by the media rule that speaks of it. It does not vary rates and
//! sizes: those are properties.

use crate::support::*;
use segmenter::{Config, Notice, Refusal, Resume, Tag, TagKind};

#[test]
fn segments_follow_the_gops_and_the_last_one_is_kept() {
    let run = run(config(), None, &[headers(), media(0, 5)].concat());
    let lengths: Vec<u64> = run
        .segments
        .iter()
        .map(|segment| segment.duration_90k)
        .collect();
    assert_eq!(lengths, [180_000, 180_000, 90_000]);
    let starts: Vec<i64> = run
        .segments
        .iter()
        .map(|segment| segment.start_ms)
        .collect();
    assert_eq!(starts, [0, 2000, 4000]);
    assert!(
        run.segments
            .iter()
            .all(|segment| segment.independent && !segment.discontinuity)
    );
    assert_eq!(run.notices, []);
    assert_eq!(run.tracks.len(), 1);
    let video = run.tracks[0].video.clone().unwrap();
    assert_eq!(
        (video.width, video.height, video.codec.as_str()),
        (1280, 720, "avc1.64001f")
    );
    assert_eq!(run.tracks[0].audio.clone().unwrap().codec, "mp4a.40.2");
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn the_first_clock_reference_is_above_zero_and_the_first_time_is_1_4_s() {
    let run = run(config(), None, &[headers(), media(1_000_000, 1)].concat());
    let packets = packets(&body(&run.segments[0]));
    assert_eq!(pes(&packets)[0].dts_90k, 126_000);
    assert_eq!(packets[2].pcr_90k, Some(63_000));
    assert_eq!(run.segments[0].start_ms, 1_000_000);
}

#[test]
fn a_resumed_session_goes_on_where_the_last_one_ended() {
    let first = run(config(), None, &[headers(), media(0, 3)].concat());
    assert_eq!(first.resume.target_duration_s, Some(2));
    let next = first.resume.next_dts_90k.unwrap();
    assert!(next >= 126_000 + 270_000);
    let second = run(
        config(),
        Some(first.resume.clone()),
        &[headers(), media(77, 3)].concat(),
    );
    check_segments(&second.segments, first.resume.continuity);
    assert_eq!(discontinuities(&second), [0]);
    assert_eq!(pictures(&second)[0].dts_90k, next);
    let all = [first.segments, second.segments].concat();
    check_segments(&all, [0; 4]);
    let idle = run(config(), Some(first.resume.clone()), &headers());
    assert_eq!(idle.resume, first.resume);
}

#[test]
fn times_wrap_at_33_bits_without_a_discontinuity() {
    let resume = Resume {
        continuity: [1, 2, 3, 4],
        next_dts_90k: Some((1 << 33) - 200_000),
        target_duration_s: Some(2),
    };
    let run = run(
        config(),
        Some(resume.clone()),
        &[headers(), media(0, 6)].concat(),
    );
    check_segments(&run.segments, resume.continuity);
    assert_eq!(discontinuities(&run), [0]);
    assert!(run.resume.next_dts_90k.unwrap() < 500_000);
}

#[test]
fn a_jump_marks_one_discontinuity_and_time_goes_on() {
    for to_ms in [3_600_000u32, 8_000, 60_000 - 30_000] {
        let from_ms = 60_000u32;
        let tags = [headers(), media(from_ms, 4), media(to_ms, 4)].concat();
        let run = run(config(), None, &tags);
        assert_eq!(discontinuities(&run), [2], "{to_ms}");
        let jumps = run
            .notices
            .iter()
            .filter(|notice| matches!(notice, Notice::Jump { .. }));
        assert_eq!(jumps.count(), 1);
        check_segments(&run.segments, [0; 4]);
        assert_eq!(
            run.segments
                .iter()
                .map(|segment| segment.duration_90k)
                .sum::<u64>(),
            720_000
        );
        assert_eq!(pictures(&run).len(), 200);
    }
}

#[test]
fn behind_a_jump_within_a_gop_the_next_idr_opens() {
    let mut tags = [headers(), media(0, 3)].concat();
    let mut rest = video(100_000, 50, 25, 40);
    rest.drain(..10);
    tags.extend(rest);
    let run = run(config(), None, &tags);
    assert_eq!(discontinuities(&run), [2]);
    assert!(run.segments.iter().all(|segment| segment.independent));
    assert!(run.notices.contains(&Notice::Dropped {
        reason: "video before the next IDR"
    }));
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn behind_a_jump_without_idrs_a_segment_opens_in_time() {
    let mut tags = [headers(), media(0, 2)].concat();
    tags.extend(video(100_000, 201, 1000, 40).into_iter().skip(1));
    let run = run(config(), None, &tags);
    assert!(
        run.notices
            .iter()
            .any(|notice| matches!(notice, Notice::CutWithoutIdr { .. }))
    );
    assert!(run.segments.len() > 2 && !run.segments[1].independent);
    assert_eq!(discontinuities(&run), [1]);
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn small_backward_steps_are_clamped_and_told_once_a_segment() {
    let mut tags = [headers(), media(0, 4)].concat();
    tags[40].timestamp_ms -= 200;
    tags[45].timestamp_ms -= 200;
    let run = run(config(), None, &tags);
    assert_eq!(discontinuities(&run), [] as [usize; 0]);
    assert_eq!(run.notices.len(), 1);
    assert!(matches!(run.notices[0], Notice::Clamped { .. }));
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn audio_keeps_to_its_sample_clock() {
    let run = run(
        config(),
        None,
        &[vec![audio_header(ASC)], audio(0, 400)].concat(),
    );
    let units = run
        .segments
        .iter()
        .flat_map(|segment| pes(&packets(&body(segment))));
    let mut frames = 0u64;
    for unit in units {
        assert_eq!(unit.pts_90k, 126_000 + frames * 1024 * 90_000 / 44_100);
        frames += adts_frames(&unit.data).len() as u64;
    }
    assert_eq!(frames, 400);
    assert!(run.segments[0].duration_90k.abs_diff(180_000) < 2_090);
    assert!(
        run.segments
            .iter()
            .all(|segment| segment.independent && segment.pictures == 0)
    );
    assert_eq!(stream_types(&run.segments[0]), [0x0f]);
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn video_alone_is_declared_alone() {
    let tags = [vec![video_header(4, PPS)], video(0, 100, 25, 40)].concat();
    let run = run(config(), None, &tags);
    assert_eq!(stream_types(&run.segments[0]), [0x1b]);
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn long_gops_are_cut_at_a_picture_and_t_holds() {
    let mut tags = headers();
    tags.extend(interleave(video(0, 75, 25, 40), audio(0, 120)));
    tags.extend(interleave(video(3000, 500, 1000, 40), audio(3000, 860)));
    let run = run(config(), None, &tags);
    assert_eq!(run.segments[0].target_duration_s, 2);
    assert!(run.segments.iter().any(|segment| !segment.independent));
    assert!(
        run.notices
            .iter()
            .any(|notice| matches!(notice, Notice::CutWithoutIdr { .. }))
    );
    assert_eq!(discontinuities(&run), [] as [usize; 0]);
    assert!(
        run.segments
            .iter()
            .all(|segment| segment.duration_90k <= 224_100)
    );
    check_segments(&run.segments, [0; 4]);
    let automatic = [headers(), video(0, 1000, 250, 40)].concat();
    let automatic = run_lengths(&automatic);
    assert_eq!(automatic, (vec![900_000; 4], 10));
}

fn run_lengths(tags: &[Tag]) -> (Vec<u64>, u32) {
    let run = run(config(), None, tags);
    check_segments(&run.segments, [0; 4]);
    let lengths = run
        .segments
        .iter()
        .map(|segment| segment.duration_90k)
        .collect();
    (lengths, run.segments[0].target_duration_s)
}

#[test]
fn jitter_around_the_target_never_cuts_inside_a_gop() {
    for gop in [48, 50] {
        let mut tags = headers();
        tags.extend(video(1000, 500, gop, 40));
        for (index, tag) in tags.iter_mut().enumerate().skip(2) {
            tag.timestamp_ms = tag.timestamp_ms + (index as u32 * 7) % 3 - 1;
        }
        let (lengths, target) = run_lengths(&tags);
        assert_eq!(target, 2);
        let whole = u64::from(gop) * 3600;
        assert!(
            lengths
                .iter()
                .rev()
                .skip(1)
                .all(|length| length.abs_diff(whole) <= 180)
        );
    }
}

#[test]
fn while_video_pauses_audio_goes_on() {
    let mut tags = [headers(), media(0, 4)].concat();
    tags.extend(audio(4000, 430));
    tags.extend(media(14_000, 2));
    let run = run(config(), None, &tags);
    assert_eq!(discontinuities(&run), [] as [usize; 0]);
    assert!(run.segments.len() >= 6);
    check_segments(&run.segments, [0; 4]);
    let all: u64 = run
        .segments
        .iter()
        .map(|segment| segment.duration_90k)
        .sum();
    assert_eq!(all, 16 * 90_000);
}

#[test]
fn media_before_its_header_or_the_first_idr_is_dropped_and_told_once() {
    let mut tags = video(0, 40, 1000, 40);
    tags.push(video_header(4, PPS));
    let rest = video(1600, 100, 25, 40).into_iter().skip(5);
    tags.extend(interleave(rest.collect(), audio(1600, 100)));
    tags.insert(41, audio_header(ASC));
    let run = run(config(), None, &tags);
    let reasons: Vec<&str> = run
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Dropped { reason } => Some(*reason),
            _ => None,
        })
        .collect();
    let want = [
        "video before its sequence header",
        "video before the first IDR",
        "audio before the first IDR",
    ];
    assert_eq!(reasons, want);
    check_segments(&run.segments, [0; 4]);
}

#[test]
fn malformed_media_is_dropped_and_the_stream_goes_on() {
    let mut tags = [headers(), media(0, 2)].concat();
    let lying = [0x27, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x41];
    tags.insert(30, tag(TagKind::Video, 500, lying.to_vec()));
    tags.insert(31, tag(TagKind::Video, 500, vec![0x17, 0, 0, 0, 0, 1, 2]));
    tags.insert(32, frame(500, &[1; 9000]));
    tags.insert(33, tag(TagKind::Audio, 500, vec![0xaf, 0, 0x12]));
    let run = run(config(), None, &tags);
    assert_eq!(run.notices.len(), 4, "{:?}", run.notices);
    assert_eq!(pictures(&run).len(), 50);
    assert_eq!(discontinuities(&run), [] as [usize; 0]);
}

#[test]
fn other_codecs_are_refused_by_name() {
    let refused = |payload: &[u8], kind: TagKind| {
        run(config(), None, &[tag(kind, 0, payload.to_vec())])
            .refusal
            .unwrap()
    };
    let hevc = refused(b"\x90hvc1", TagKind::Video);
    assert_eq!(hevc, Refusal::VideoCodec("HEVC (hvc1)".into()));
    assert_eq!(
        refused(&[0x2f], TagKind::Audio),
        Refusal::AudioCodec("MP3".into())
    );
    let usac = refused(&[0xaf, 0, 0xf9, 0x46, 0x40], TagKind::Audio);
    assert_eq!(usac, Refusal::AudioCodec("xHE-AAC".into()));
}

#[test]
fn an_open_segment_is_bounded() {
    let config = Config {
        segment_bytes: 50_000,
        ..config()
    };
    let big = |number: u32| picture(number * 40, 0, 4, &[vec![0x65, 1], vec![7; 3000]]);
    let mut tags = headers();
    tags.push(big(0));
    tags.extend((1..100).map(|number| picture(number * 40, 0, 4, &[vec![0x41; 3000]])));
    let run = run(config.clone(), None, &tags);
    assert_eq!(
        run.refusal,
        Some(Refusal::SegmentTooLarge { limit: 50_000 })
    );
    assert_eq!(run.segments.len(), 1, "what was there is kept");
    assert!(run.segments[0].len <= 50_000);
    // The wait for the second track is bounded by the same limit, also for tiny messages.
    let mut segmenter = segmenter::Segmenter::new(config, None);
    for _ in 0..2000 {
        segmenter.push(&frame(0, &[1])).unwrap();
        assert!(segmenter.open_bytes() <= 50_000 + 70);
    }
}
