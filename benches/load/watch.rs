//! From a key frame's due time to the playlist that lists the segment before it, as a player sees it. It
//! does not know who sends the key frame.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Between two questions.
pub const EVERY: Duration = Duration::from_millis(1);
/// What takes longer is counted as this.
const PATIENCE: Duration = Duration::from_secs(5);

/// One stream's watcher, on a thread of its own.
pub struct Watch {
    due: mpsc::Sender<Instant>,
    thread: thread::JoinHandle<Vec<f64>>,
}

impl Watch {
    pub fn start(http: SocketAddr, path: &str) -> Self {
        let (due, dues) = mpsc::channel();
        let path = path.to_owned();
        let thread = thread::spawn(move || watch(http, &path, &dues));
        Self { due, thread }
    }

    pub fn key_frame_is_due(&self, at: Instant) {
        let _ = self.due.send(at);
    }

    /// Milliseconds for each key frame.
    pub fn finish(self) -> Vec<f64> {
        drop(self.due);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(http: SocketAddr, path: &str, dues: &mpsc::Receiver<Instant>) -> Vec<f64> {
    let mut took = vec![];
    let mut listed: Option<String> = None;
    while let Ok(due) = dues.recv() {
        let until = due + PATIENCE;
        let mut newest = None;
        while Instant::now() < until {
            newest = newest_segment(http, path).unwrap_or_default();
            if newest.is_some() && newest != listed {
                break;
            }
            thread::sleep(EVERY);
        }
        // The first playlist also waits for what a server does once.
        if listed.is_some() {
            took.push(due.elapsed().as_secs_f64() * 1e3);
        }
        listed = newest;
    }
    took
}

/// The last line of the playlist that is no tag.
pub fn newest_segment(http: SocketAddr, path: &str) -> io::Result<Option<String>> {
    let mut socket = TcpStream::connect(http)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 200") {
        return Ok(None);
    }
    let last = body
        .lines()
        .rfind(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(last.map(str::to_owned))
}
