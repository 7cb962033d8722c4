//! Proofs of the playlist text, with m3u8-rs reading back what we wrote. They do not know how the
//! text is kept.

use proptest::prelude::*;

use super::*;

const DAY_MS: u64 = 86_400_000;

fn text(playlist: &MediaPlaylist) -> String {
    let mut out = Vec::new();
    playlist.render(&mut out);
    String::from_utf8(out).unwrap()
}

fn entry(uri: &str) -> Entry<'_> {
    Entry {
        duration_90k: 180_000,
        program_date_time: Duration::from_millis(1_700_000_000_123),
        discontinuity: false,
        independent: true,
        uri,
    }
}

#[test]
fn a_short_window_reads_as_expected() {
    let mut playlist = MediaPlaylist::new(2, 7, 3);
    playlist.push(&entry("a-7.ts"));
    playlist.push(&Entry {
        discontinuity: true,
        duration_90k: 179_999,
        ..entry("b-8.ts")
    });
    let expected = "#EXTM3U\n\
        #EXT-X-VERSION:3\n\
        #EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:3\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.123Z\n\
        #EXTINF:2.000000,\n\
        a-7.ts\n\
        #EXT-X-DISCONTINUITY\n\
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.123Z\n\
        #EXTINF:1.999989,\n\
        b-8.ts\n";
    assert_eq!(text(&playlist), expected);
    playlist.end();
    assert_eq!(text(&playlist), format!("{expected}#EXT-X-ENDLIST\n"));
}

#[test]
fn an_empty_window_still_tells_both_sequences() {
    let playlist = MediaPlaylist::new(4, u64::MAX, 0);
    let text = text(&playlist);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n"));
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"));
    assert!(playlist.is_empty());
}

#[test]
fn removed_discontinuities_are_counted() {
    let mut playlist = MediaPlaylist::new(2, 10, 5);
    for (uri, discontinuity) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        playlist.push(&Entry {
            discontinuity,
            ..entry(uri)
        });
    }
    let mut seen = Vec::new();
    while !playlist.is_empty() {
        let (first, tags) = (playlist.media_sequence(), playlist.discontinuities());
        seen.push((first, playlist.discontinuity_sequence(), tags));
        playlist.pop_front();
    }
    assert_eq!(seen, [(10, 5, 2), (11, 6, 1), (12, 6, 1), (13, 7, 0)]);
    playlist.pop_front();
    assert_eq!(playlist.media_sequence(), 14, "nothing left to remove");
}

#[test]
fn independence_is_lost_for_good() {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    playlist.push(&Entry {
        independent: false,
        ..entry("a")
    });
    playlist.pop_front();
    playlist.push(&entry("b"));
    assert!(!text(&playlist).contains("INDEPENDENT"));
    let mut later = MediaPlaylist::new(2, 2, 0).with_independent(playlist.independent());
    later.push(&entry("c"));
    assert!(!text(&later).contains("INDEPENDENT"));
    assert!(!later.with_independent(true).independent());
}

#[test]
fn only_a_recording_has_a_playlist_type() {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    playlist.push(&entry("a"));
    assert!(!text(&playlist).contains("PLAYLIST-TYPE"));
    let playlist = playlist.with_kind(PlaylistKind::Event);
    assert!(text(&playlist).contains("\n#EXT-X-PLAYLIST-TYPE:EVENT\n"));
    let playlist = playlist.with_kind(PlaylistKind::Vod);
    assert!(text(&playlist).contains("\n#EXT-X-PLAYLIST-TYPE:VOD\n"));
}

#[test]
fn a_long_life_keeps_no_dead_text() {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    for n in 0..10_000u32 {
        playlist.push(&entry(&format!("s-{n}.ts")));
        if playlist.len() > 6 {
            playlist.pop_front();
        }
    }
    assert!(playlist.now.text.capacity() < 4 * DEAD_FRONT_FLOOR);
    assert!(text(&playlist).ends_with("s-9999.ts\n"));
    assert_eq!(playlist.media_sequence(), 9_994);
}

#[test]
fn a_frozen_playlist_stays_as_it_was() {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    playlist.push(&entry("a"));
    let before = text(&playlist);
    let frozen = playlist.freeze();
    playlist.push(&entry("b"));
    playlist.pop_front();
    playlist.end();
    let mut out = Vec::new();
    frozen.render(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), before);
    assert!(text(&playlist).contains("MEDIA-SEQUENCE:1\n") && !before.contains("ENDLIST"));
}

#[test]
fn a_variant_tells_what_is_known() {
    let full = Variant {
        bandwidth: 2_500_000,
        average_bandwidth: 2_000_000,
        codecs: &["avc1.64001f", "mp4a.40.2"],
        resolution: Some((1280, 720)),
        frame_rate: Some(30000.0 / 1001.0),
        uri: "source/index.m3u8",
    };
    assert_eq!(
        String::from_utf8(render_multivariant(std::slice::from_ref(&full), true)).unwrap(),
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,\
         CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970\n\
         source/index.m3u8\n"
    );
    let (_, parsed) = m3u8_rs::parse_master_playlist(&render_multivariant(&[full], true)).unwrap();
    let variant = &parsed.variants[0];
    assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!(variant.frame_rate, Some(29.97));
    assert!(parsed.independent_segments);
}

#[test]
fn a_variant_leaves_out_what_is_not_known() {
    let bare = Variant {
        bandwidth: 128_000,
        average_bandwidth: 0,
        codecs: &[],
        resolution: None,
        frame_rate: Some(f64::INFINITY),
        uri: "source/index.m3u8",
    };
    assert_eq!(
        String::from_utf8(render_multivariant(&[bare], false)).unwrap(),
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=128000\nsource/index.m3u8\n"
    );
}

#[test]
fn dates_follow_the_calendar() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
    ];
    for (ms, expected) in cases {
        assert_eq!(rfc3339_ms(Duration::from_millis(ms)), expected);
    }
    assert_eq!(rfc3339_ms(Duration::MAX), "9999-12-31T23:59:59.999Z");
    let half = Duration::from_micros(1_999_500);
    assert_eq!(rfc3339_ms(half), "1970-01-01T00:00:02.000Z");
}

#[test]
fn every_day_of_eight_centuries_follows_the_last() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..800 * 366 {
        assert_eq!(civil_from_days(days), (year, month, day));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > last {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    civil_from_days(u64::MAX);
}

/// What a test does to a playlist.
#[derive(Clone, Debug)]
enum Step {
    Push {
        duration_90k: u64,
        at_ms: u64,
        discontinuity: bool,
        independent: bool,
    },
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    // Entries of up to 4.4 s under a TARGETDURATION of 4.
    let push = (
        1..400_000u64,
        0..30_000 * DAY_MS,
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        3 => push.prop_map(|(duration_90k, at_ms, discontinuity, independent)| Step::Push {
            duration_90k, at_ms, discontinuity, independent
        }),
        2 => Just(Step::Pop),
    ]
}

proptest! {
    #[test]
    fn m3u8_rs_reads_back_what_was_written(
        steps in proptest::collection::vec(step(), 0..200),
        start in 0..u64::MAX / 2,
        discontinuity_start in 0..1_000_000u64,
        ended in any::<bool>(),
    ) {
        let mut playlist = MediaPlaylist::new(4, start, discontinuity_start);
        let mut listed = VecDeque::new();
        let (mut independent, mut removed, mut removed_tags) = (true, 0, 0);
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { duration_90k, at_ms, discontinuity, independent: opens } => {
                    let uri = format!("s{n}-{n}.ts");
                    playlist.push(&Entry {
                        duration_90k,
                        program_date_time: Duration::from_millis(at_ms),
                        discontinuity,
                        independent: opens,
                        uri: &uri,
                    });
                    independent &= opens;
                    listed.push_back((uri, duration_90k, at_ms, discontinuity));
                }
                Step::Pop => {
                    playlist.pop_front();
                    if let Some((_, _, _, discontinuity)) = listed.pop_front() {
                        removed += 1;
                        removed_tags += u64::from(discontinuity);
                    }
                }
            }
        }
        if ended {
            playlist.end();
        }
        prop_assert_eq!(playlist.len(), listed.len());
        let written = text(&playlist);
        let (rest, parsed) = m3u8_rs::parse_media_playlist(written.as_bytes())
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(rest.is_empty());
        prop_assert_eq!(parsed.version, Some(3));
        prop_assert_eq!(parsed.target_duration, 4);
        prop_assert_eq!(parsed.media_sequence, start + removed);
        prop_assert_eq!(parsed.discontinuity_sequence, discontinuity_start + removed_tags);
        prop_assert_eq!(parsed.independent_segments, independent);
        prop_assert_eq!(parsed.end_list, ended);
        prop_assert_eq!(parsed.playlist_type, None);
        prop_assert_eq!(parsed.segments.len(), listed.len());
        for (segment, (uri, duration_90k, at_ms, discontinuity)) in parsed.segments.iter().zip(&listed) {
            prop_assert_eq!(&segment.uri, uri);
            prop_assert_eq!(segment.discontinuity, *discontinuity);
            let seconds = *duration_90k as f64 / 90_000.0;
            prop_assert!((f64::from(segment.duration) - seconds).abs() < 1e-6);
            prop_assert!(f64::from(segment.duration).round() <= 4.0);
            let date = segment.program_date_time.expect("every entry has a date");
            prop_assert_eq!(date.timestamp_millis(), *at_ms as i64);
        }
    }
}
