//! A load for `benches/peers/run`: RTMP publishers on one thread that sends each message when it is due (or as
//! fast as the server takes them), or viewers on a few threads. It does not know which server it talks to.
//!
//! Prints `started` when every publisher was accepted, and in the end one line of JSON.

mod clip;
mod first;
mod publisher;
mod viewers;
mod watch;

use std::{
    collections::BinaryHeap,
    error::Error,
    io::Write,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use clip::Clip;
use publisher::Publisher;
use viewers::Audience;
use watch::Watch;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
load: publishes a clip many times at once; benches/peers/run calls it.
  --rtmp ADDRESS     the server
  --clip FILE.flv    what is published, again and again
  --streams FILE     one line a publisher: its key, and the path of its media playlist
  --seconds N        how long in real time [20]
  --flat-out BYTES   so many bytes of each publisher as fast as possible, instead
  --http ADDRESS     where playlists are, for the three below
  --watch N          measure for so many publishers from a key frame's due time to its segment's listing
  --first            measure from each publisher's first byte to its first segment's listing, instead
  --viewers N        so many viewers of the first stream, of --http, instead of publishers";

struct Options {
    rtmp: SocketAddr,
    http: Option<SocketAddr>,
    viewers: Option<usize>,
    is_first: bool,
    clip: String,
    streams: Vec<(String, String)>,
    seconds: f64,
    flat_out_bytes: Option<u64>,
    watch: usize,
}

fn main() -> Result<()> {
    // `cargo bench` runs every bench; without a server there is nothing to measure.
    let Some(options) = options()? else {
        println!("{USAGE}");
        return Ok(());
    };
    if let Some(count) = options.viewers {
        return watched(count, &options);
    }
    let clip = Clip::open(&options.clip)?;
    if options.is_first {
        started()?;
        let http = options.http.ok_or(USAGE)?;
        let took = first::listed_ms(options.rtmp, http, &options.streams, &clip)?;
        println!(r#"{{"listed_ms":{took:.3?}}}"#);
        return Ok(());
    }
    let mut publishers = Vec::with_capacity(options.streams.len());
    for (key, _) in &options.streams {
        publishers.push(Publisher::connect(options.rtmp, "live", key)?);
    }
    started()?;
    match options.flat_out_bytes {
        Some(bytes) => flat_out(publishers, &clip, bytes),
        None => in_real_time(publishers, clip, &options),
    }
}

/// Whoever started this may begin to count.
fn started() -> Result<()> {
    println!("started");
    Ok(std::io::stdout().flush()?)
}

/// Viewers of the first stream, and what they had.
fn watched(count: usize, options: &Options) -> Result<()> {
    let audience = Audience {
        http: options.http.ok_or(USAGE)?,
        playlist: options.streams.first().ok_or(USAGE)?.1.clone(),
        count,
        lasting: Duration::from_secs_f64(options.seconds),
    };
    started()?;
    let mut seen = audience.watch()?;
    seen.took_ms.sort_by(f64::total_cmp);
    let at = |share: f64| seen.took_ms[(seen.took_ms.len() as f64 * share) as usize];
    println!(
        r#"{{"playlists":{},"unchanged":{},"segments":{},"bytes":{},"took_ms_median":{:.3},"took_ms_p99":{:.3}}}"#,
        seen.playlists,
        seen.unchanged,
        seen.segments,
        seen.bytes,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

fn options() -> Result<Option<Options>> {
    let mut found = std::collections::HashMap::new();
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(name) = arguments.next() {
        let value = match &name[..] {
            "--first" => String::new(),
            _ => arguments.next().ok_or(USAGE)?,
        };
        found.insert(name, value);
    }
    let mut take = |name: &str| found.remove(name);
    let (Some(rtmp), Some(clip), Some(streams)) =
        (take("--rtmp"), take("--clip"), take("--streams"))
    else {
        return Ok(None);
    };
    let streams = std::fs::read_to_string(streams)?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, playlist)| (key.to_owned(), playlist.to_owned()))
        .collect();
    Ok(Some(Options {
        rtmp: rtmp.parse()?,
        viewers: take("--viewers").map(|n| n.parse()).transpose()?,
        is_first: take("--first").is_some(),
        http: take("--http").map(|a| a.parse()).transpose()?,
        clip,
        streams,
        seconds: take("--seconds").map_or(Ok(20.0), |n| n.parse())?,
        flat_out_bytes: take("--flat-out").map(|n| n.parse()).transpose()?,
        watch: take("--watch").map_or(Ok(0), |n| n.parse())?,
    }))
}

/// A publisher's next message; the heap's greatest is the one due first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next(std::cmp::Reverse<Duration>, usize);

/// Every message at its time, all by this thread. The publishers' key frames are spread over a GOP, as
/// those of encoders that know nothing of each other are.
fn in_real_time(mut publishers: Vec<Publisher>, mut clip: Clip, options: &Options) -> Result<()> {
    let count = publishers.len();
    let watched = options.streams.iter().take(options.watch);
    let watches: Vec<_> = match options.http {
        Some(http) => watched.map(|(_, path)| Watch::start(http, path)).collect(),
        None => vec![],
    };
    // Watched ones first in the list, but anywhere in time.
    let offset = |n: usize| clip.gop.mul_f64((n * 7919 % count) as f64 / count as f64);
    let offsets: Vec<_> = (0..count).map(offset).collect();
    let mut due: BinaryHeap<_> = (0..count)
        .map(|n| Next(std::cmp::Reverse(offsets[n]), n))
        .collect();
    let (mut late, mut bytes) = (Vec::new(), 0);
    // Nothing ends before a publisher's first key frame.
    let mut has_begun = vec![false; count];
    let begin = Instant::now();
    while let Some(Next(std::cmp::Reverse(at), n)) = due.pop() {
        if at.as_secs_f64() > options.seconds {
            break;
        }
        let ahead = (begin + at).saturating_duration_since(Instant::now());
        if !ahead.is_zero() {
            thread::sleep(ahead);
        }
        late.push(begin.elapsed().saturating_sub(at).as_secs_f64() * 1e3);
        let message = publishers[n].next(&mut clip);
        if message.is_key_frame {
            if let (Some(watch), true) = (watches.get(n), has_begun[n]) {
                watch.key_frame_is_due(begin + at);
            }
            has_begun[n] = true;
        }
        bytes += publishers[n].send(message)?;
        due.push(Next(
            std::cmp::Reverse(offsets[n] + publishers[n].due(&clip)),
            n,
        ));
    }
    let latency: Vec<f64> = watches.into_iter().flat_map(Watch::finish).collect();
    report(begin.elapsed(), bytes, late, &latency);
    Ok(())
}

/// Each publisher on a thread of its own, so that the server always has something to read.
fn flat_out(publishers: Vec<Publisher>, clip: &Clip, bytes_each: u64) -> Result<()> {
    let begin = Instant::now();
    let threads: Vec<_> = publishers
        .into_iter()
        .map(|mut publisher| {
            let mut clip = clip.clone();
            thread::spawn(move || -> Result<u64> {
                let mut sent = 0;
                while sent < bytes_each {
                    let message = publisher.next(&mut clip);
                    sent += publisher.send(message)?;
                }
                publisher.finish()?;
                Ok(sent)
            })
        })
        .collect();
    let mut bytes = 0;
    for thread in threads {
        bytes += thread
            .join()
            .map_err(|_| "a publisher's thread panicked")??;
    }
    report(begin.elapsed(), bytes, vec![], &[]);
    Ok(())
}

fn report(took: Duration, bytes: u64, mut late: Vec<f64>, latency: &[f64]) {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late.get((late.len() as f64 * share) as usize).copied();
    println!(
        r#"{{"seconds":{:.3},"bytes":{bytes},"messages":{},"late_ms_median":{:.3},"late_ms_p99":{:.3},"late_ms_max":{:.3},"listed_ms":{latency:.3?}}}"#,
        took.as_secs_f64(),
        late.len(),
        at(0.5).unwrap_or(0.0),
        at(0.99).unwrap_or(0.0),
        late.last().copied().unwrap_or(0.0),
    );
}
