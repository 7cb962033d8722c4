//! Fixed work of the hot functions, for `benches/peers/run` to count instructions of: two runs of
//! different length differ by the work alone. It measures nothing itself.
//!
//!     instructions mux|chunks|playlist TIMES

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use segmenter::{
    Config, Segmenter, Tag,
    flv::{MAX_DATA_BYTES, Reader},
    playlist::{Entry, MediaPlaylist},
};

/// The chunk layer alone, from its own files: the server is not built for it.
#[path = "../src/rtmp"]
#[allow(dead_code, missing_docs)]
mod rtmp {
    pub mod amf0;
    pub mod chunk;
    pub mod message;
}

use rtmp::{chunk, message::kind};

/// 8 s of 640x360 with a key frame every 2 s.
const CLIP: &[u8] = include_bytes!("../src/app/demo/clip.flv");
const CLIP_MS: u32 = 8000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let times = |text: Option<String>| text.and_then(|t| t.parse().ok());
    match (arguments.next().as_deref(), times(arguments.next())) {
        (Some("mux"), Some(times)) => mux(times),
        (Some("chunks"), Some(times)) => chunks(times),
        (Some("playlist"), Some(times)) => playlist(times),
        _ => println!("instructions mux|chunks|playlist TIMES"),
    }
}

/// The clip to TS, again and again as one stream.
fn mux(times: u32) {
    let mut reader = Reader::new(MAX_DATA_BYTES);
    reader.feed(Bytes::from_static(CLIP));
    let mut clip = vec![];
    while let Some(tag) = reader.next_tag().expect("a whole file") {
        clip.push(tag);
    }
    let config = Config {
        target_ms: 2000,
        max_segment_ms: 10_000,
        segment_bytes: 16 << 20,
    };
    let mut segmenter = Segmenter::new(config, None);
    for time in 0..times {
        for tag in &clip {
            let tag = Tag {
                timestamp_ms: tag.timestamp_ms + time * CLIP_MS,
                ..tag.clone()
            };
            segmenter.push(&tag).expect("a clip that is accepted");
            while let Some(output) = segmenter.poll() {
                black_box(output);
            }
        }
    }
}

/// 100 pictures of 12,000 bytes with audio between them, in chunks of 4096, read 64 KiB at a time.
fn chunks(times: u32) {
    const LIMITS: chunk::Limits = chunk::Limits {
        chunk_streams: 64,
        message_bytes: 8 << 20,
        partial_bytes: 12 << 20,
    };
    let mut writer = chunk::Writer::new();
    writer.set_chunk_size(4096);
    let (video, audio) = (vec![0x27; 12_000], vec![0xaf; 340]);
    for _ in 0..100 {
        writer.message(6, kind::VIDEO, 1, &video);
        writer.message(4, kind::AUDIO, 1, &audio);
    }
    let bytes = writer.take();
    let mut reader = chunk::Reader::new(LIMITS);
    for _ in 0..times {
        let (mut start, mut end) = (0, 0);
        while end < bytes.len() {
            end = (end + (64 << 10)).min(bytes.len());
            loop {
                let read = reader.read(&bytes[start..end]).expect("our own bytes");
                start += read.consumed;
                match read.message {
                    Some(message) => drop(black_box(message)),
                    None => break,
                }
            }
        }
    }
}

/// A window of 1,800 entries moved on by one and rendered.
fn playlist(times: u32) {
    let mut playlist = MediaPlaylist::new(2, 0, 0);
    let push = |playlist: &mut MediaPlaylist, n: u64| {
        playlist.push(&Entry {
            duration_90k: 180_000,
            program_date_time: Duration::from_millis(1_700_000_000_000 + 2000 * n),
            discontinuity: false,
            independent: true,
            uri: &format!("0k3v9x2m7q-{n:08}.ts"),
        });
    };
    for n in 0..1800 {
        push(&mut playlist, n);
    }
    let mut out = vec![];
    for n in 0..u64::from(times) {
        push(&mut playlist, 1800 + n);
        playlist.pop_front();
        out.clear();
        playlist.render(black_box(&mut out));
    }
}
