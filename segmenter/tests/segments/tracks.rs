//! Tracks: late ones, changed ones, and parameter sets wherever encoders put them. It does not look
//! at lengths and cuts.

use crate::support::*;
use segmenter::{Notice, TagKind};

#[test]
fn a_late_track_gives_new_tables_and_one_discontinuity() {
    let mut late_audio = vec![video_header(4, PPS)];
    late_audio.extend(video(0, 50, 25, 40));
    late_audio.push(audio_header(ASC));
    late_audio.extend(media(2000, 3));
    let mut late_video = vec![audio_header(ASC)];
    late_video.extend(audio(0, 100));
    late_video.push(video_header(4, PPS));
    late_video.extend(media(2340, 3));
    for (tags, before) in [(late_audio, 0x1b), (late_video, 0x0f)] {
        let run = run(config(), None, &tags);
        let marked = discontinuities(&run);
        assert_eq!(marked.len(), 1, "{marked:?}");
        assert_eq!(stream_types(&run.segments[marked[0] - 1]), [before]);
        assert_eq!(stream_types(&run.segments[marked[0]]), [0x1b, 0x0f]);
        assert!(run.notices.contains(&Notice::TrackAdded));
        assert_eq!(run.tracks.len(), 2);
        assert!(run.segments.iter().all(|segment| segment.independent));
        check_segments(&run.segments, [0; 4]);
    }
}

#[test]
fn a_second_track_within_a_second_is_waited_for() {
    let mut tags = vec![video_header(4, PPS)];
    tags.extend(video(0, 20, 25, 40));
    tags.push(audio_header(ASC));
    tags.extend(interleave(video(800, 100, 25, 40), audio(800, 170)));
    let run = run(config(), None, &tags);
    assert_eq!(discontinuities(&run), [] as [usize; 0]);
    assert_eq!(stream_types(&run.segments[0]), [0x1b, 0x0f]);
    assert_eq!(run.notices, []);
}

const OTHER_PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcc];

#[test]
fn a_repeated_header_changes_nothing_and_a_changed_one_marks_one_discontinuity() {
    let mut same = headers();
    for second in 0..4 {
        same.extend(headers());
        same.extend(media(second * 1000, 1));
    }
    let same = run(config(), None, &same);
    assert_eq!((discontinuities(&same), same.notices.len()), (vec![], 0));
    let mut changed = [headers(), media(0, 2)].concat();
    changed.push(video_header(2, OTHER_PPS));
    changed.push(audio_header(&[0x11, 0x90]));
    let later = media(2000, 2).into_iter().map(|mut tag| {
        if tag.kind == TagKind::Video {
            tag.payload = [&tag.payload[..5], &tag.payload[7..]].concat().into();
        }
        tag
    });
    changed.extend(later);
    let changed = run(config(), None, &changed);
    assert_eq!(discontinuities(&changed), [1]);
    let told = changed
        .notices
        .iter()
        .filter(|notice| **notice == Notice::ParametersChanged);
    assert_eq!(told.count(), 1);
    assert_eq!(nals(&pictures(&changed)[50].data)[2], OTHER_PPS);
    assert_eq!(
        changed.tracks[1].audio.as_ref().unwrap().sample_rate,
        48_000
    );
    check_segments(&changed.segments, [0; 4]);
}

#[test]
fn parameter_sets_inside_pictures() {
    let aud = vec![9, 0xf0];
    let [sps, pps, other] = [SPS, PPS, OTHER_PPS].map(<[u8]>::to_vec);
    let idr = vec![0x65, 1];
    let slice = vec![0x41, 1];
    let tags = vec![
        video_header(4, PPS),
        picture(
            0,
            0,
            4,
            &[aud, vec![], sps.clone(), pps.clone(), idr.clone()],
        ),
        picture(40, 0, 4, &[pps, slice.clone()]),
        picture(80, 0, 4, &[other.clone(), slice.clone()]),
        picture(120, 0, 4, &[other.clone(), slice]),
        picture(160, 0, 4, std::slice::from_ref(&idr)),
        picture(200, 0, 4, &[sps, PPS.to_vec(), idr.clone()]),
    ];
    let run = run(config(), None, &tags);
    let found: Vec<Vec<u8>> = pictures(&run).iter().map(kinds).collect();
    let want: [&[u8]; 6] = [
        &[9, 7, 8, 5],
        &[9, 1],
        &[9, 8, 1],
        &[9, 1],
        &[9, 7, 8, 5],
        &[9, 7, 8, 5],
    ];
    assert_eq!(found, want);
    assert_eq!(
        nals(&pictures(&run)[4].data)[2],
        other,
        "a change within a GOP is remembered"
    );
    assert_eq!(
        discontinuities(&run),
        [1],
        "a change at an IDR is a changed header"
    );
    let thumbnail = run.segments[1].idr.clone().unwrap();
    assert_eq!(nals(&thumbnail), [SPS.to_vec(), PPS.to_vec(), idr]);
}

#[test]
fn annex_b_payloads_are_tolerated() {
    let mut tags = vec![video_header(4, PPS)];
    for number in 0..10u8 {
        let head = if number == 0 { 0x65 } else { 0x41 };
        let payload = [
            0x27, 1, 0, 0, 0, 0, 0, 0, 1, 9, 0xf0, 0, 0, 1, head, number, 7,
        ];
        tags.push(tag(
            TagKind::Video,
            u32::from(number) * 40,
            payload.to_vec(),
        ));
    }
    let run = run(config(), None, &tags);
    assert_eq!(
        nals(&pictures(&run)[3].data),
        [vec![9, 0xf0], vec![0x41, 3, 7]]
    );
    check_segments(&run.segments, [0; 4]);
}
