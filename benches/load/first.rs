//! From the first byte of a publisher to the playlist that lists its first segment: connecting, the first GOP in
//! real time, and what the server adds to it. It does not know how a playlist is read.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    clip::Clip,
    publisher::Publisher,
    watch::{EVERY, newest_segment},
};

/// A server that lists nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds of each stream. They begin one after the other within a GOP, each on a thread of its own.
pub fn listed_ms(
    rtmp: SocketAddr,
    http: SocketAddr,
    streams: &[(String, String)],
    clip: &Clip,
) -> Result<Vec<f64>> {
    let apart = clip.gop / streams.len().max(1) as u32;
    thread::scope(|scope| {
        let mut threads = vec![];
        for (n, (key, playlist)) in streams.iter().enumerate() {
            let after = apart * n as u32;
            threads.push(scope.spawn(move || {
                thread::sleep(after);
                one(rtmp, http, key, playlist, clip.clone())
            }));
        }
        let took = threads.into_iter().map(|thread| thread.join());
        took.map(|one| one.map_err(|_| "a publisher's thread panicked")?)
            .collect()
    })
}

fn one(
    rtmp: SocketAddr,
    http: SocketAddr,
    key: &str,
    playlist: &str,
    mut clip: Clip,
) -> Result<f64> {
    let begin = Instant::now();
    let is_listed = AtomicBool::new(false);
    // Nothing can be listed before the first GOP's end, and questions cost the server something.
    let until = clip.gop.mul_f64(0.9);
    thread::scope(|scope| {
        let listed = scope.spawn(|| {
            thread::sleep(until);
            while begin.elapsed() < PATIENCE {
                if newest_segment(http, playlist).is_ok_and(|newest| newest.is_some()) {
                    is_listed.store(true, Relaxed);
                    return Ok(begin.elapsed().as_secs_f64() * 1e3);
                }
                thread::sleep(EVERY);
            }
            is_listed.store(true, Relaxed);
            Err("nothing was listed")
        });
        let mut publisher = Publisher::connect(rtmp, "live", key)?;
        let first = Instant::now();
        while !is_listed.load(Relaxed) {
            let due = first + publisher.due(&clip);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let message = publisher.next(&mut clip);
            publisher.send(message)?;
        }
        Ok(listed.join().map_err(|_| "a watcher panicked")??)
    })
}
