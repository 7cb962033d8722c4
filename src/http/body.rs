//! What follows an answer's head: nothing, one piece of text, slices of a segment that every
//! viewer shares, or a recording that is read as the client takes it. Nothing is copied. It does not
//! know what the bytes are.

use std::{
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use super::activity::Ticket;
use crate::live::{Download, Missing};

/// The largest piece handed over at once, bytes: what an HTTP/2 stream buffers before flow control
/// is asked again, and how finely a stalled one is noticed. One that stalls in its last piece has
/// left this file's sight: it ends with its connection's rest.
const PIECE_BYTES: usize = 128 * 1024;

/// An answer's body.
#[derive(Debug, Default)]
pub struct Body {
    content: Content,
    ticket: Option<Ticket>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Text(Bytes),
    Slices(Slices),
    Download(Box<Reading>),
}

/// A part of a recording on its way. A piece is read when the one before it is handed over, so that
/// there is never more than one in memory.
struct Reading {
    download: Download,
    /// Read, but not handed over.
    piece: Bytes,
    /// Where the next read begins, and where the last ends.
    offset: u64,
    end: u64,
    read: Option<Read>,
}

type Read = Pin<Box<dyn Future<Output = Result<Bytes, Missing>> + Send>>;

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("download", &self.download)
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}

/// A cursor over shared slices; at a byte that is to be given, unless there is none.
#[derive(Debug)]
pub struct Slices {
    parts: Arc<[Bytes]>,
    /// Which slice is next, and where in it.
    part: usize,
    offset: usize,
    /// Bytes still to give.
    left: u64,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// One piece.
    pub fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self {
            content: if text.is_empty() {
                Content::Empty
            } else {
                Content::Text(text)
            },
            ..Self::default()
        }
    }

    /// `range` of the concatenation of `parts`; what is past its end is not given.
    pub fn slices(parts: Arc<[Bytes]>, range: Range<u64>) -> Self {
        Self {
            content: Content::Slices(Slices::new(parts, range)),
            ..Self::default()
        }
    }

    /// `range`, inside the file, of a recording.
    pub fn download(download: Download, range: Range<u64>) -> Self {
        Self {
            content: Content::Download(Box::new(Reading {
                download,
                piece: Bytes::new(),
                offset: range.start,
                end: range.end,
                read: None,
            })),
            ..Self::default()
        }
    }

    /// Bytes still to give.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Empty => 0,
            Content::Text(text) => text.len() as u64,
            Content::Slices(slices) => slices.left,
            Content::Download(reading) => reading.left(),
        }
    }

    /// Nothing left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if all are in memory.
    pub fn at_hand(self) -> Option<Slices> {
        match self.content {
            Content::Empty => Some(Slices::none()),
            Content::Text(text) => Some(Slices::one(text)),
            Content::Slices(slices) => Some(slices),
            Content::Download(_) => None,
        }
    }

    /// The request lasts until this body is dropped; what it gives is told to the ticket.
    pub fn track(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket);
        self
    }
}

impl Reading {
    fn left(&self) -> u64 {
        self.end - self.offset + self.piece.len() as u64
    }

    /// The next piece; an error ends the answer before its length, so that the client knows.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        if self.piece.is_empty() {
            let (download, offset, end) = (&self.download, self.offset, self.end);
            let read = self.read.get_or_insert_with(|| {
                let download = download.clone();
                Box::pin(async move { download.read(offset, end).await })
            });
            let outcome = std::task::ready!(read.as_mut().poll(cx));
            self.read = None;
            match outcome {
                Ok(piece) if !piece.is_empty() => {
                    self.offset += piece.len() as u64;
                    self.piece = piece;
                }
                _ => {
                    let gone = io::Error::other("the recording can no longer be read");
                    return Poll::Ready(Some(Err(gone)));
                }
            }
        }
        let piece = self.piece.split_to(self.piece.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Slices {
    fn new(parts: Arc<[Bytes]>, range: Range<u64>) -> Self {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = range.end.min(len);
        let start = range.start.min(end);
        let mut slices = Self {
            parts,
            part: 0,
            offset: 0,
            left: end,
        };
        slices.skip(start);
        slices
    }

    /// No bytes.
    pub fn none() -> Self {
        Self::new(Arc::default(), 0..0)
    }

    /// One slice.
    pub fn one(text: Bytes) -> Self {
        Self::new(Arc::new([text]), 0..u64::MAX)
    }

    /// Goes on by so many of the bytes that are left.
    fn skip(&mut self, bytes: u64) {
        self.left -= bytes;
        let mut bytes = bytes;
        while let Some(part) = self.parts.get(self.part) {
            let rest = (part.len() - self.offset) as u64;
            if bytes < rest {
                // Smaller than the length of a slice in memory.
                self.offset += bytes as usize;
                return;
            }
            bytes -= rest;
            self.part += 1;
            self.offset = 0;
        }
    }

    /// The slices of the next piece: as many whole ones as are not too much together, or a part of the
    /// first. The kernel frees what was acknowledged only between two calls, so that larger pieces cost
    /// more; and each call ends with a packet that is not full.
    pub fn piece<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let (mut offset, mut left, mut count) = (self.offset, PIECE_BYTES, 0);
        let mut rest = self.remaining();
        for part in self.parts.iter().skip(self.part) {
            let whole = &part[offset..];
            let slice = &whole[..whole.len().min(rest).min(PIECE_BYTES)];
            offset = 0;
            if slice.is_empty() {
                continue;
            }
            if slice.len() > left || count == into.len() {
                break;
            }
            into[count] = IoSlice::new(slice);
            left -= slice.len();
            rest -= slice.len();
            count += 1;
        }
        count
    }

    /// The next piece.
    fn next(&mut self) -> Option<Bytes> {
        let len = self.chunk().len().min(PIECE_BYTES);
        let part = self.parts.get(self.part).filter(|_| len > 0)?;
        let piece = part.slice(self.offset..self.offset + len);
        self.skip(len as u64);
        Some(piece)
    }
}

impl Buf for Slices {
    fn remaining(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    fn chunk(&self) -> &[u8] {
        let part = self.parts.get(self.part).map_or(&[][..], |part| part);
        let rest = &part[self.offset..];
        &rest[..rest.len().min(self.remaining())]
    }

    fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.remaining(), "no more than there is");
        self.skip(bytes as u64);
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.content {
            Content::Empty => None,
            Content::Text(text) => Some(text.split_to(text.len().min(PIECE_BYTES))),
            Content::Slices(slices) => slices.next(),
            Content::Download(reading) => match std::task::ready!(reading.poll_next(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(piece)) => Some(piece),
                None => None,
            },
        };
        if self.is_empty() {
            self.content = Content::Empty;
        }
        if let Some(ticket) = &mut self.ticket {
            ticket.gave(piece.as_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Body as _;
    use proptest::prelude::*;

    use super::*;

    fn parts(lengths: &[usize]) -> Arc<[Bytes]> {
        let mut next = 0u8;
        lengths
            .iter()
            .map(|&length| {
                (0..length)
                    .map(|_| {
                        next = next.wrapping_add(1);
                        next
                    })
                    .collect::<Vec<_>>()
                    .into()
            })
            .collect()
    }

    async fn pieces(mut body: Body) -> Vec<Bytes> {
        let mut out = vec![];
        while let Some(frame) = body.frame().await {
            let before = body.size_hint().exact();
            out.push(frame.unwrap().into_data().unwrap());
            assert_eq!(before, Some(body.len()));
        }
        assert!(body.is_end_stream());
        out
    }

    #[tokio::test]
    async fn slices_are_shared_not_copied() {
        let parts = parts(&[3, 0, 5]);
        let out = pieces(Body::slices(parts.clone(), 1..7)).await;
        assert_eq!(out.len(), 2);
        assert_eq!(out[0].as_ptr(), parts[0][1..].as_ptr());
        assert_eq!(out[1].as_ptr(), parts[2].as_ptr());
        assert_eq!(out[1].len(), 4);
    }

    #[tokio::test]
    async fn pieces_are_bounded() {
        let out = pieces(Body::slices(parts(&[PIECE_BYTES * 2 + 1]), 0..u64::MAX)).await;
        let lengths = |pieces: &[Bytes]| pieces.iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(lengths(&out), [PIECE_BYTES, PIECE_BYTES, 1]);
        let out = pieces(Body::text(vec![0; PIECE_BYTES + 1])).await;
        assert_eq!(lengths(&out), [PIECE_BYTES, 1]);
    }

    #[tokio::test]
    async fn text_and_nothing() {
        assert_eq!(pieces(Body::text("text")).await, ["text"]);
        assert!(pieces(Body::empty()).await.is_empty());
        assert!(Body::text("").is_end_stream());
        assert!(Body::slices(parts(&[]), 0..9).is_end_stream());
    }

    proptest! {
        #[test]
        fn pieces_of_slices_are_the_whole_and_never_too_large(
            lengths in prop::collection::vec(prop_oneof![0usize..9, 0..PIECE_BYTES * 3], 0..5),
            start in 0u64..400_000,
            room in 1usize..4,
        ) {
            let parts: Arc<[Bytes]> = lengths.iter().map(|&len| vec![len as u8; len].into()).collect();
            let whole = parts.concat();
            let expected = whole.get(start as usize..).unwrap_or(&[]);
            let mut body = Body::slices(parts, start..u64::MAX).at_hand().unwrap();
            let mut given = vec![];
            while body.has_remaining() {
                let mut slices = vec![IoSlice::new(&[]); room];
                let count = body.piece(&mut slices);
                let piece: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                prop_assert!((1..=PIECE_BYTES).contains(&piece.len()));
                // The socket may take less.
                let taken = piece.len().div_ceil(2);
                given.extend_from_slice(&piece[..taken]);
                body.advance(taken);
            }
            prop_assert!(given == expected);
        }

        #[test]
        fn any_range_of_any_slices_is_that_range(
            lengths in prop::collection::vec(0usize..20, 0..6),
            start in 0u64..100,
            end in 0u64..100,
        ) {
            let parts = parts(&lengths);
            let whole: Vec<u8> = parts.concat();
            let end_in = (end as usize).min(whole.len());
            let expected = whole.get(start as usize..end_in).unwrap_or(&[]);
            let body = Body::slices(parts, start..end);
            prop_assert_eq!(body.len(), expected.len() as u64);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let given = runtime.block_on(pieces(body)).concat();
            prop_assert_eq!(given, expected);
        }
    }
}
