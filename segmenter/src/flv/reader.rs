//! FLV files in chunks of any size, out as tags without copying them. It does not know where the
//! bytes come from.

use bytes::{Buf, Bytes, BytesMut};

use super::{FILE_HEADER_BYTES, Fault, FlvError, Part, TAG_HEADER_BYTES, Tag, TagKind};

#[cfg(test)]
mod tests;

/// FLV 10.1 E.4.1, TagType; above it stand Filter and two reserved bits.
const TYPE_BITS: u8 = 0x1F;
/// FLV 10.1 E.4.1, Filter: the packet must be decrypted before it can be read.
const FILTER_BIT: u8 = 0x20;

/// Irregularities that a reader passes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerated {
    /// PreviousTagSize fields that contradict the tag before them.
    pub wrong_previous_sizes: u64,
    /// Tags of a type that is neither audio, video nor script, skipped.
    pub unknown_tags: u64,
}

/// A tag by its place.
#[derive(Clone, Copy, Debug)]
struct Extent {
    offset: u64,
    /// DataSize.
    size: usize,
}

/// What the reader expects next.
#[derive(Clone, Copy, Debug)]
enum State {
    FileHeader,
    TagHeader,
    Payload {
        kind: TagKind,
        timestamp_ms: u32,
        size: usize,
    },
    /// PreviousTagSize; `tag` is what it should account for, `None` after the file header.
    PreviousTagSize {
        tag: Option<Extent>,
    },
    Skip {
        left: u64,
        part: Part,
        claimed: u64,
    },
    Failed(FlvError),
}

/// Reads FLV tags from chunks of a file in order. A tag that lies within one chunk is a slice of
/// it; one that spans chunks is joined by one copy. At most one tag and one chunk are held.
#[derive(Debug)]
pub struct Reader {
    max_tag_bytes: usize,
    chunk: Bytes,
    /// The beginning of what spans chunks; never more than the state asks for, unless a chunk was
    /// fed before the last one was read out.
    joined: BytesMut,
    state: State,
    /// Offset of the tag handed out last.
    tag_offset: u64,
    /// The tag being skipped, for the PreviousTagSize after it; `None` in the file header.
    skipped: Option<Extent>,
    /// Where in the file the next byte to be taken stands.
    position: u64,
    /// Offset of the header or tag now being read.
    offset: u64,
    /// The tag whose PreviousTagSize was wrong, if it is the last one.
    suspect: Option<Extent>,
    tolerated: Tolerated,
}

impl Reader {
    /// A reader at the start of a file that takes payloads of at most `max_tag_bytes`.
    pub fn new(max_tag_bytes: usize) -> Self {
        Self {
            max_tag_bytes,
            chunk: Bytes::new(),
            joined: BytesMut::new(),
            state: State::FileHeader,
            skipped: None,
            position: 0,
            offset: 0,
            tag_offset: 0,
            suspect: None,
            tolerated: Tolerated::default(),
        }
    }

    /// Appends the file's next bytes. Call it when [`Reader::next_tag`] has returned `None`:
    /// sooner, what is left of the last chunk is copied.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.chunk.has_remaining() {
            self.joined.extend_from_slice(&self.chunk);
        }
        self.chunk = chunk;
    }

    /// The next tag, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The first fault found. After one that [is not terminal](Fault::is_terminal) the next call
    /// goes on behind the tag; after a terminal one every call returns it again.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        loop {
            match self.step() {
                Ok(Step::Tag(tag)) => return Ok(Some(tag)),
                Ok(Step::Next) => {}
                Ok(Step::Starved) => return Ok(None),
                Err(error) => {
                    if error.what.is_terminal() {
                        self.state = State::Failed(error);
                        self.chunk = Bytes::new();
                        self.joined = BytesMut::new();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Tells whether the file may end here, once [`Reader::next_tag`] has returned `None`. A last
    /// tag without any PreviousTagSize is complete.
    ///
    /// # Errors
    /// [`Fault::Truncated`] inside a header, tag or trailer.
    pub fn finish(&self) -> Result<(), FlvError> {
        let held = (self.joined.len() + self.chunk.len()) as u64;
        let (part, claimed, present) = match self.state {
            State::FileHeader => (Part::FileHeader, FILE_HEADER_BYTES as u64, held),
            State::TagHeader if held == 0 => return Ok(()),
            State::TagHeader => (Part::TagHeader, TAG_HEADER_BYTES as u64, held),
            State::Payload { size, .. } => (Part::Payload, size as u64, held),
            State::PreviousTagSize { .. } if held == 0 => return Ok(()),
            State::PreviousTagSize { .. } => (Part::PreviousTagSize, 4, held),
            State::Skip {
                left,
                part,
                claimed,
            } => (part, claimed, claimed - left + held),
            State::Failed(error) => return Err(error),
        };
        let what = Fault::Truncated {
            part,
            claimed,
            present,
        };
        Err(FlvError {
            offset: self.offset,
            what,
        })
    }

    /// Offset of the header or tag being read: everything before it has been handed out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset of the tag that [`Reader::next_tag`] returned last, for whoever finds fault with it.
    pub fn tag_offset(&self) -> u64 {
        self.tag_offset
    }

    /// What was passed over so far.
    pub fn tolerated(&self) -> Tolerated {
        self.tolerated
    }

    fn step(&mut self) -> Result<Step, FlvError> {
        match self.state {
            State::FileHeader => self.file_header(),
            State::TagHeader => self.tag_header(),
            State::Payload {
                kind,
                timestamp_ms,
                size,
            } => {
                let Some(payload) = self.take(size) else {
                    return Ok(Step::Starved);
                };
                let tag = Some(Extent {
                    offset: self.offset,
                    size,
                });
                self.tag_offset = self.offset;
                self.offset = self.position;
                self.state = State::PreviousTagSize { tag };
                Ok(Step::Tag(Tag {
                    kind,
                    timestamp_ms,
                    payload,
                }))
            }
            State::PreviousTagSize { tag } => Ok(self.previous_tag_size(tag)),
            State::Skip {
                left,
                part,
                claimed,
            } => Ok(self.skip(left, part, claimed)),
            State::Failed(error) => Err(error),
        }
    }

    fn file_header(&mut self) -> Result<Step, FlvError> {
        let Some(header) = self.take_array::<FILE_HEADER_BYTES>() else {
            return Ok(Step::Starved);
        };
        let [b'F', b'L', b'V', _version, _tracks, size @ ..] = header else {
            return Err(self.fault(Fault::Signature));
        };
        let size = u64::from(u32::from_be_bytes(size));
        let Some(left) = size.checked_sub(FILE_HEADER_BYTES as u64) else {
            return Err(self.fault(Fault::Signature));
        };
        self.state = State::Skip {
            left,
            part: Part::FileHeader,
            claimed: size,
        };
        Ok(Step::Next)
    }

    fn tag_header(&mut self) -> Result<Step, FlvError> {
        let at = self.position;
        let Some(header) = self.take_array::<TAG_HEADER_BYTES>() else {
            self.offset = at;
            return Ok(Step::Starved);
        };
        self.offset = at;
        let [code, s2, s1, s0, t2, t1, t0, t3, stream @ ..] = header;
        let size = u32::from_be_bytes([0, s2, s1, s0]) as usize;
        let timestamp_ms = u32::from_be_bytes([t3, t2, t1, t0]);
        let kind = TagKind::from_code(code & TYPE_BITS);
        // Alone, a wrong PreviousTagSize or an unknown tag is a careless writer; together they
        // say that this is the middle of something.
        if let Some(tag) = self.suspect.take()
            && (kind.is_none() || code & !TYPE_BITS != 0 || stream != [0; 3])
        {
            let what = Fault::LostSync { claimed: tag.size };
            return Err(FlvError {
                offset: tag.offset,
                what,
            });
        }
        let Some(kind) = kind else {
            self.tolerated.unknown_tags += 1;
            self.skip_payload(size);
            return Ok(Step::Next);
        };
        if code & FILTER_BIT != 0 {
            self.skip_payload(size);
            return Err(self.fault(Fault::Encrypted));
        }
        if size > self.max_tag_bytes {
            self.skip_payload(size);
            return Err(self.fault(Fault::TooLarge {
                claimed: size,
                limit: self.max_tag_bytes,
            }));
        }
        self.state = State::Payload {
            kind,
            timestamp_ms,
            size,
        };
        Ok(Step::Next)
    }

    fn previous_tag_size(&mut self, tag: Option<Extent>) -> Step {
        let Some(previous) = self.take_array::<4>() else {
            return Step::Starved;
        };
        let expected = tag.map_or(0, |tag| tag.size + TAG_HEADER_BYTES);
        if u32::from_be_bytes(previous) as usize != expected {
            self.tolerated.wrong_previous_sizes += 1;
            self.suspect = tag;
        }
        self.offset = self.position;
        self.state = State::TagHeader;
        Step::Next
    }

    fn skip_payload(&mut self, size: usize) {
        self.skipped = Some(Extent {
            offset: self.offset,
            size,
        });
        self.state = State::Skip {
            left: size as u64,
            part: Part::Payload,
            claimed: size as u64,
        };
    }

    fn skip(&mut self, mut left: u64, part: Part, claimed: u64) -> Step {
        for held in [&mut self.joined as &mut dyn Buf, &mut self.chunk] {
            let n = usize::try_from(left).map_or(held.remaining(), |l| l.min(held.remaining()));
            held.advance(n);
            left -= n as u64;
            self.position += n as u64;
        }
        if left > 0 {
            self.chunk = Bytes::new();
            self.state = State::Skip {
                left,
                part,
                claimed,
            };
            return Step::Starved;
        }
        self.offset = self.position;
        self.state = State::PreviousTagSize {
            tag: self.skipped.take(),
        };
        Step::Next
    }

    fn fault(&self, what: Fault) -> FlvError {
        FlvError {
            offset: self.offset,
            what,
        }
    }

    /// The next `N` bytes, or `None` with whatever there is kept in `joined`.
    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.joined.is_empty()
            && let Some(array) = self.chunk.first_chunk::<N>()
        {
            let array = *array;
            self.chunk.advance(N);
            self.position += N as u64;
            return Some(array);
        }
        let bytes = self.take(N)?;
        Some(
            *bytes
                .first_chunk()
                .expect("take returns what was asked for"),
        )
    }

    /// The next `n` bytes in one piece, or `None` with whatever there is kept in `joined`.
    fn take(&mut self, n: usize) -> Option<Bytes> {
        let bytes = if self.joined.is_empty() && self.chunk.len() >= n {
            self.chunk.split_to(n)
        } else {
            let missing = n.saturating_sub(self.joined.len());
            let piece = self.chunk.split_to(missing.min(self.chunk.len()));
            self.joined.extend_from_slice(&piece);
            if self.joined.len() < n {
                // An empty slice would still keep its chunk from being reused.
                self.chunk = Bytes::new();
                return None;
            }
            self.joined.split_to(n).freeze()
        };
        self.position += n as u64;
        Some(bytes)
    }
}

enum Step {
    Tag(Tag),
    Next,
    Starved,
}
