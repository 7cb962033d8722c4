//! The file that file mode reads, as chunks in a buffer that is used again. It does not know what
//! they contain.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};

/// Bytes read at once: few enough to stay in the processor's cache until they are copied into a
/// segment. For the same reason they are read where they are segmented.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Buffers in turn: the segmenter keeps the last few audio frames of a chunk until it has some of
/// the next.
const BUFFERS: usize = 2;

/// An input being read.
pub struct Input {
    source: Box<dyn Read>,
    /// Size of a regular file.
    pub size_bytes: Option<u64>,
    /// PROGRAM-DATE-TIME of its beginning, since the Unix epoch: when the file was last written, so
    /// that the same file gives the same playlist; now, for standard input.
    pub date: Duration,
    /// The whole buffers of the last chunks, oldest first.
    sent: VecDeque<Bytes>,
}

impl Input {
    /// Opens a file, or standard input by the name `-`.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (source, size_bytes, date): (Box<dyn Read>, _, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None, SystemTime::now())
        } else {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let size_bytes = metadata.is_file().then_some(metadata.len());
            let date = metadata.modified().unwrap_or(UNIX_EPOCH);
            (Box::new(file), size_bytes, date)
        };
        Ok(Self {
            source,
            size_bytes,
            date: date.duration_since(UNIX_EPOCH).unwrap_or_default(),
            sent: VecDeque::with_capacity(BUFFERS),
        })
    }

    /// The next bytes, at most [`CHUNK_BYTES`]; `None` at the end. A chunk that is still referred
    /// to after [`BUFFERS`] calls keeps its buffer, and another is made.
    ///
    /// # Errors
    /// What the system says when it cannot read on.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let full = self.sent.len() == BUFFERS;
        let used = full.then(|| self.sent.pop_front()).flatten();
        let mut buffer = used
            .and_then(|whole| whole.try_into_mut().ok())
            .unwrap_or_else(|| BytesMut::zeroed(CHUNK_BYTES));
        let length = loop {
            match self.source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let whole = buffer.freeze();
        let chunk = whole.slice(..length);
        self.sent.push_back(whole);
        Ok((length > 0).then_some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads `chunks` chunks, each of which holds its number, keeping the first `kept` of them;
    /// returns how many buffers that took.
    fn buffers_used(chunks: usize, kept: usize) -> usize {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("in");
        let bytes: Vec<u8> = (0..chunks * CHUNK_BYTES - 10)
            .map(|n| (n / CHUNK_BYTES) as u8)
            .collect();
        fs::write(&path, bytes).unwrap();
        let mut input = Input::open(&path).unwrap();
        let (mut addresses, mut held) = (Vec::new(), Vec::new());
        for n in 0..chunks {
            let chunk = input.next_chunk().unwrap().unwrap();
            addresses.push(chunk.as_ptr());
            assert!(chunk.iter().all(|b| usize::from(*b) == n));
            if n < kept {
                held.push(chunk);
            }
        }
        assert!(input.next_chunk().unwrap().is_none());
        for (n, chunk) in held.iter().enumerate() {
            assert!(chunk.iter().all(|b| usize::from(*b) == n), "still the same");
        }
        addresses.sort();
        addresses.dedup();
        addresses.len()
    }

    #[test]
    fn chunks_that_are_let_go_of_are_used_again() {
        assert_eq!(buffers_used(20, 0), BUFFERS);
    }

    #[test]
    fn chunks_that_are_kept_do_not_change() {
        assert_eq!(buffers_used(20, 3), BUFFERS + 3);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut input = Input::open(dir.path()).unwrap();
        assert!(input.next_chunk().is_err(), "a directory has no bytes");
    }
}
