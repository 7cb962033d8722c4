//! What slates show: the picture asked for while that can be done, else the card, and why.

use bytes::Bytes;
use segmenter::{AudioTrack, Output, Segmenter, Tag, TagKind};

use super::*;

/// A built-in card as an encoder would send it.
const PICTURE: &[u8] = include_bytes!("../slate/paused-360.h264");

fn tag(kind: TagKind, timestamp_ms: u32, head: &[u8], data: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        payload: Bytes::from([head, data].concat()),
    }
}

/// The parameter sets, and an IDR or another picture, ten in a second; IDRs at these.
fn pictures(seconds: u32, idrs: &[u32]) -> Vec<Tag> {
    let mut tags = vec![tag(TagKind::Video, 0, &[0x17, 0, 0, 0, 0], PICTURE)];
    for number in 0..seconds * 10 {
        let data = if idrs.contains(&number) {
            PICTURE
        } else {
            &[0, 0, 0, 1, 0x41, 0x9a, 1]
        };
        tags.push(tag(TagKind::Video, number * 100, &[0x17, 1, 0, 0, 0], data));
    }
    tags
}

/// What a pause behind these tags finds.
fn paused(tags: &[Tag]) -> (Tracks, Resume, Newest) {
    let config = segmenter::Config {
        target_ms: 2000,
        max_segment_ms: 2000,
        segment_bytes: 1 << 20,
    };
    let mut segmenter = Segmenter::new(config, None).keeping_idrs();
    for tag in tags {
        segmenter.push(tag).unwrap();
    }
    let resume = segmenter.finish();
    let (mut tracks, mut newest) = (Tracks::default(), Newest::default());
    while let Some(output) = segmenter.poll() {
        match output {
            Output::Tracks(told) => tracks = told,
            Output::Segment(segment) => newest.see(&segment),
            Output::Notice(_) => {}
        }
    }
    (tracks, resume, newest)
}

/// Why the card is shown.
fn instead(
    show: &Show,
    (tracks, resume, newest): &(Tracks, Resume, Newest),
) -> Option<&'static str> {
    let (slate, why) = show.slate(tracks, Some(10.0), resume, newest, false);
    let segment = slate.unwrap().segment(2000);
    assert_eq!(segment.pictures > 0, tracks.video.is_some());
    why
}

#[test]
fn a_recent_keyframe_freezes_and_an_old_one_does_not() {
    let why = Some("no keyframe came lately");
    assert_eq!(
        instead(&Show::Freeze, &paused(&pictures(5, &[0, 20, 40]))),
        None
    );
    // The segment before the last has one.
    assert_eq!(instead(&Show::Freeze, &paused(&pictures(4, &[0]))), None);
    assert_eq!(instead(&Show::Freeze, &paused(&pictures(9, &[0]))), why);
    let mut restarted = paused(&pictures(5, &[0, 20, 40]));
    restarted.2 = Newest::default();
    assert_eq!(instead(&Show::Freeze, &restarted), why);
    assert_eq!(instead(&Show::Card, &restarted), None, "it was asked for");
}

#[test]
fn sound_that_has_no_silence_of_its_coding_gives_up_the_freeze() {
    let (mut tracks, resume, newest) = paused(&pictures(5, &[0, 20, 40]));
    let mut sound = |codec: &str, channel_configuration| {
        tracks.audio = Some(AudioTrack {
            sample_rate: 24_000,
            channel_configuration,
            codec: codec.into(),
        });
        show_why(&tracks, &resume, &newest)
    };
    let why = Some("there is no silence in the coding of its sound");
    for (codec, channels, expected) in [
        ("mp4a.40.2", 2, None),
        ("mp4a.40.2", 6, None),
        ("mp4a.40.2", 0, why),
        ("mp4a.40.2", 4, why),
        ("mp4a.40.5", 1, None),
        ("mp4a.40.5", 2, why),
        ("mp4a.40.29", 1, why),
    ] {
        assert_eq!(sound(codec, channels), expected, "{codec} {channels}");
    }
}

fn show_why(tracks: &Tracks, resume: &Resume, newest: &Newest) -> Option<&'static str> {
    Show::Freeze.slate(tracks, None, resume, newest, true).1
}

#[test]
fn sound_alone_has_no_picture_to_freeze() {
    let mut paused = paused(&pictures(5, &[0, 20, 40]));
    paused.0 = Tracks {
        video: None,
        audio: Some(AudioTrack {
            sample_rate: 48_000,
            channel_configuration: 2,
            codec: "mp4a.40.2".into(),
        }),
    };
    assert_eq!(instead(&Show::Freeze, &paused), None);
}

#[test]
fn a_clip_whose_keyframes_do_not_suit_the_stream_gives_way_to_the_card() {
    let film = Arc::new(Film::new(&pictures(4, &[0, 40])).unwrap());
    let (tracks, mut resume, newest) = paused(&pictures(5, &[0, 20, 40]));
    let show = Show::Film(film);
    let why = instead(&show, &(tracks.clone(), resume.clone(), Newest::default()));
    assert_eq!(
        why,
        Some("its keyframes are too rare for this stream's target duration")
    );
    resume.target_duration_s = Some(4);
    assert_eq!(instead(&show, &(tracks, resume, newest)), None);
}
