//! Where a stream's objects are in the store, which is where they are below `/live/`, and the
//! headers they are stored with. It does not know what is in them.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use storage::{Key, Meta};

use super::{Served, memory::Id, snapshot::content_tag, stored};
use crate::{
    config::{Backend, Storage},
    name::{SegmentName, StreamUid},
};

/// Of a segment: its name is never used twice.
pub(super) const SEGMENT: Meta = Meta {
    content_type: "video/mp2t",
    cache_control: "public, max-age=31536000, immutable",
};
/// Of a thumbnail.
pub(super) const THUMBNAIL: Meta = Meta {
    content_type: "image/jpeg",
    cache_control: "public, max-age=10",
};
/// Of a recording's playlists, seconds and as a header: they change only when it is deleted.
pub(super) const RECORDING_MAX_AGE_S: u32 = 60;
pub(super) const RECORDING_PLAYLIST: Meta = Meta {
    content_type: "application/vnd.apple.mpegurl",
    cache_control: "public, max-age=60",
};
/// `max-age` of playlists by half of the target duration; the last is for all that are longer.
const PLAYLIST_CACHE: [&str; 10] = [
    "public, max-age=1",
    "public, max-age=2",
    "public, max-age=3",
    "public, max-age=4",
    "public, max-age=5",
    "public, max-age=6",
    "public, max-age=7",
    "public, max-age=8",
    "public, max-age=9",
    "public, max-age=10",
];

/// Of a playlist: half its target duration, at least a second.
pub(super) fn playlist_meta(target_duration_s: u32) -> Meta {
    let half = playlist_max_age_s(target_duration_s) as usize;
    Meta {
        content_type: "application/vnd.apple.mpegurl",
        cache_control: PLAYLIST_CACHE[half.min(PLAYLIST_CACHE.len()) - 1],
    }
}

/// The same in seconds.
pub(super) fn playlist_max_age_s(target_duration_s: u32) -> u32 {
    (target_duration_s / 2).max(1)
}

fn key(text: String) -> Key {
    Key::new(&text).expect("uids, renditions and segment names are parts of a key")
}

/// The multivariant playlist.
pub(super) fn multivariant(uid: &StreamUid) -> Key {
    key(format!("{uid}/index.m3u8"))
}

/// The media playlist.
pub(super) fn media(uid: &StreamUid) -> Key {
    key(format!("{uid}/source/index.m3u8"))
}

/// A segment.
pub(super) fn segment(uid: &StreamUid, name: &SegmentName) -> Key {
    key(format!("{uid}/source/{name}"))
}

/// Quoted entity tag of a segment. A name is never used twice: it tells versions apart as well as a
/// hash would.
pub(super) fn segment_tag(name: &SegmentName) -> String {
    format!("\"{}-{}\"", name.session.as_str(), name.sequence)
}

/// The thumbnail.
pub(super) fn thumbnail(uid: &StreamUid) -> Key {
    key(format!("{uid}/thumbnail.jpg"))
}

/// Where viewers fetch stored objects, when that is known.
pub(super) fn public_base(storage: &Storage) -> stored::Base {
    let url = storage.s3.public_base_url.as_ref();
    let url = url.filter(|_| storage.backend == Backend::S3)?;
    Some(match &storage.s3.prefix {
        Some(prefix) => format!("{url}/{prefix}/"),
        None => format!("{url}/"),
    })
}

/// Segments' objects.
pub(super) fn keys(ids: &[Id]) -> Vec<Key> {
    ids.iter().map(|(uid, name)| segment(uid, name)).collect()
}

/// The stream and segment that an object is; `None` for other objects.
pub(super) fn parse_segment(key: &Key) -> Option<Id> {
    let (uid, name) = key.as_str().split_once("/source/")?;
    Some((StreamUid::parse(uid)?, SegmentName::parse(name)?))
}

/// A thumbnail as it is served.
pub(super) fn served_thumbnail(body: Bytes, modified: SystemTime) -> Served {
    Served {
        len: body.len() as u64,
        etag: format!("\"{}\"", content_tag(&body)),
        body: Arc::new([body]),
        modified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_is_kept_for_half_a_target_duration() {
        for (target_s, age_s) in [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (10, 5), (20, 10)] {
            assert_eq!(playlist_max_age_s(target_s), age_s);
            let header = format!("public, max-age={age_s}");
            assert_eq!(playlist_meta(target_s).cache_control, header);
        }
        let header = format!("public, max-age={RECORDING_MAX_AGE_S}");
        assert_eq!(RECORDING_PLAYLIST.cache_control, header);
    }
}
