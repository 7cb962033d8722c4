//! Playlists as they are in the store, where players may read them without us: only what the store
//! has, with links that lead there. Text in, text out; it does not know when they are written.

use bytes::Bytes;

/// Where viewers fetch stored objects, with a trailing slash; `None` leaves links relative.
pub(super) type Base = Option<String>;

/// The directory of a playlist with this key below `base`.
fn directory(base: &str, key: &str) -> String {
    let parent = key.rsplit_once('/').map_or("", |(parent, _)| parent);
    format!("{base}{parent}/")
}

/// The playlist `text` for the object `key`, without entries up to the media sequence number
/// `lost`: with them it would have a hole. `None` when none is left.
pub(super) fn publish(text: &Bytes, key: &str, lost: Option<u64>, base: &Base) -> Option<Bytes> {
    let text = match lost {
        Some(lost) => after(text, lost)?,
        None => text.clone(),
    };
    Some(match base {
        Some(base) => with_links(&text, &directory(base, key)),
        None => text,
    })
}

/// The stored `text` with links as the origin serves them: relative.
pub(super) fn take_back(text: Vec<u8>, key: &str, base: &Base) -> Vec<u8> {
    let Some(base) = base else { return text };
    let directory = directory(base, key);
    let Ok(text) = std::str::from_utf8(&text) else {
        return text;
    };
    let relative = |line: &str| line.strip_prefix(&directory).unwrap_or(line).to_owned();
    text.split_inclusive('\n')
        .map(relative)
        .collect::<String>()
        .into()
}

fn with_links(text: &[u8], directory: &str) -> Bytes {
    let text = String::from_utf8_lossy(text);
    let mut linked = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        // Everything else in a playlist is a tag or a comment (RFC 8216 4.1).
        if !line.starts_with('#') && !line.trim().is_empty() {
            linked.push_str(directory);
        }
        linked.push_str(line);
    }
    linked.into()
}

fn after(text: &Bytes, lost: u64) -> Option<Bytes> {
    const SEQUENCE: &str = "#EXT-X-MEDIA-SEQUENCE:";
    const DISCONTINUITIES: &str = "#EXT-X-DISCONTINUITY-SEQUENCE:";
    let lines = std::str::from_utf8(text).ok()?;
    let number = |tag: &str| -> Option<u64> {
        let line = lines.lines().find_map(|line| line.strip_prefix(tag));
        line?.parse().ok()
    };
    // A multivariant playlist has no entries.
    let Some(first) = number(SEQUENCE).filter(|first| *first <= lost) else {
        return Some(text.clone());
    };
    let mut left_out = lost - first + 1;
    let (mut head, mut kept, mut gone) = (Vec::new(), String::new(), 0);
    let mut in_head = true;
    for line in lines.split_inclusive('\n') {
        let tag = line.trim_end();
        let opens_entry = [
            "#EXT-X-DISCONTINUITY",
            "#EXTINF:",
            "#EXT-X-PROGRAM-DATE-TIME:",
        ];
        in_head &= tag != opens_entry[0] && !opens_entry[1..].iter().any(|t| tag.starts_with(t));
        if in_head {
            head.push(line);
        } else if left_out == 0 || tag == "#EXT-X-ENDLIST" {
            kept.push_str(line);
        } else {
            gone += u64::from(tag == opens_entry[0]);
            left_out -= u64::from(!tag.starts_with('#'));
        }
    }
    if !kept.contains("#EXTINF:") {
        return None;
    }
    let discontinuities = number(DISCONTINUITIES).unwrap_or(0) + gone;
    let mut cut = String::with_capacity(text.len());
    for line in head {
        if line.starts_with(SEQUENCE) {
            cut.push_str(&format!("{SEQUENCE}{}\n", lost + 1));
        } else if line.starts_with(DISCONTINUITIES) {
            cut.push_str(&format!("{DISCONTINUITIES}{discontinuities}\n"));
        } else {
            cut.push_str(line);
        }
    }
    cut.push_str(&kept);
    Some(cut.into())
}

#[cfg(test)]
mod tests {
    use segmenter::playlist::{Entry, MediaPlaylist};

    use super::*;

    const KEY: &str = "u/source/index.m3u8";

    /// Entries 5 to 9; the one before which is a discontinuity is told by its number.
    fn playlist(discontinuities: &[u64]) -> Bytes {
        let mut playlist = MediaPlaylist::new(2, 5, 3);
        for n in 5..10 {
            playlist.push(&Entry {
                duration_90k: 180_000,
                program_date_time: std::time::Duration::from_secs(n),
                discontinuity: discontinuities.contains(&n),
                independent: true,
                uri: &format!("s-{n}.ts"),
            });
        }
        let mut text = Vec::new();
        playlist.render(&mut text);
        text.into()
    }

    fn parsed(text: &[u8]) -> (u64, u64, Vec<(String, bool)>) {
        let list = m3u8_rs::parse_media_playlist_res(text).unwrap();
        let segments = list.segments.into_iter();
        let entries = segments.map(|s| (s.uri, s.discontinuity)).collect();
        (list.media_sequence, list.discontinuity_sequence, entries)
    }

    #[test]
    fn what_was_lost_and_all_before_it_is_left_out() {
        let text = playlist(&[6, 8]);
        assert_eq!(publish(&text, KEY, None, &None), Some(text.clone()));
        assert_eq!(publish(&text, KEY, Some(4), &None), Some(text.clone()));
        let cut = publish(&text, KEY, Some(7), &None).unwrap();
        let left = [("s-8.ts".to_owned(), true), ("s-9.ts".to_owned(), false)];
        // Of 6 and 8 only 6 is gone.
        assert_eq!(parsed(&cut), (8, 4, left.into()));
        assert_eq!(publish(&text, KEY, Some(9), &None), None);
        assert_eq!(publish(&text, KEY, Some(u64::MAX), &None), None);
    }

    #[test]
    fn every_cut_is_the_rest_of_the_whole() {
        for lost in 5..9 {
            let text = playlist(&[5, 6, 9]);
            let (_, _, all) = parsed(&text);
            let (sequence, _, left) = parsed(&publish(&text, KEY, Some(lost), &None).unwrap());
            assert_eq!(sequence, lost + 1);
            assert_eq!(left, all[(lost - 4) as usize..]);
        }
    }

    #[test]
    fn links_are_absolute_in_the_store_and_relative_here() {
        let base = Some("https://cdn.example/b/".to_owned());
        let text = playlist(&[6]);
        let stored = publish(&text, KEY, None, &base).unwrap();
        let (_, _, entries) = parsed(&stored);
        assert_eq!(entries[0].0, "https://cdn.example/b/u/source/s-5.ts");
        assert_eq!(take_back(stored.to_vec(), KEY, &base), text);

        let multivariant =
            Bytes::from_static(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nsource/index.m3u8\n");
        let stored = publish(&multivariant, "u/index.m3u8", Some(7), &base).unwrap();
        assert!(stored.ends_with(b"\nhttps://cdn.example/b/u/source/index.m3u8\n"));
        let back = take_back(stored.to_vec(), "u/index.m3u8", &base);
        assert_eq!(back, multivariant);
    }
}
