//! The file that file mode reads, as chunks in a buffer that is used again. It does not know what
//! they contain.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};

/// Bytes read at once: few enough to stay in the processor's cache until they are copied into a
/// segment. For the same reason nothing is read ahead on another core: it was measured to be
/// faster by the clock on idle cores, but dearer in CPU time.
pub const CHUNK_BYTES: usize = 512 << 10;

/// An input being read.
pub struct Input {
    source: Box<dyn Read>,
    /// Size of a regular file.
    pub size_bytes: Option<u64>,
    /// PROGRAM-DATE-TIME of its beginning, since the Unix epoch: when the file was last written, so
    /// that the same file gives the same playlist; now, for standard input.
    pub date: Duration,
    /// The whole buffer of the last chunk.
    last: Option<Bytes>,
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
            last: None,
        })
    }

    /// The next bytes, at most [`CHUNK_BYTES`]; `None` at the end. A last chunk that is still
    /// referred to keeps its buffer.
    ///
    /// # Errors
    /// What the system says when it cannot read on.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut buffer = match self.last.take().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            _ => BytesMut::zeroed(CHUNK_BYTES),
        };
        let length = loop {
            match self.source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let whole = buffer.freeze();
        let chunk = whole.slice(..length);
        self.last = Some(whole);
        Ok((length > 0).then_some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_chunk_that_is_let_go_of_is_used_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("in");
        let bytes: Vec<u8> = (0..3 * CHUNK_BYTES + 10)
            .map(|n| (n / CHUNK_BYTES) as u8)
            .collect();
        fs::write(&path, bytes).unwrap();
        let mut input = Input::open(&path).unwrap();
        let first = input.next_chunk().unwrap().unwrap();
        let address = first.as_ptr();
        drop(first);
        let second = input.next_chunk().unwrap().unwrap();
        assert_eq!(second.as_ptr(), address);
        let third = input.next_chunk().unwrap().unwrap();
        assert!(second.iter().all(|b| *b == 1), "it is still read");
        assert!(third.iter().all(|b| *b == 2));
        drop((second, third));
        assert_eq!(input.next_chunk().unwrap().unwrap(), [3; 10][..]);
        assert!(input.next_chunk().unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut input = Input::open(dir.path()).unwrap();
        assert!(input.next_chunk().is_err(), "a directory has no bytes");
    }
}
