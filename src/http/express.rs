//! The short way of nearly all requests under `/live`: playlists and segments that are in memory, asked
//! for in HTTP/1.1 by a head that came whole and has nothing unusual. Such an answer is made where the
//! request was read and leaves in one call to the kernel; between requests the connection holds no
//! buffer. Anything else goes to hyper with all bytes from the request's first on, for good. It does not
//! know how answers are decided: `delivery` does, for both ways.

mod head;
mod sending;
mod text;

use std::{
    cell::RefCell,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use hyper::{Method, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::Instant,
};
use tracing::debug;

use self::{
    head::{FIELDS, Head},
    sending::{Sending, poll_write},
};
use super::{
    Server,
    activity::Activity,
    body::Slices,
    client, delivery,
    meter::Label,
    route::{self, Playlist, Route},
};
use crate::{live::Rendered, name::Rendition};

/// A head that is not whole within so many bytes is hyper's.
const HEAD_BYTES: usize = 4096;
/// A body up to this is copied behind its head: for so few bytes that is cheaper than telling the kernel
/// of two places.
const COPIED_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where answers are put together; what was not sent at once is copied out of it.
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How the short way ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The connection is over.
    Over,
    /// Hyper goes on; these bytes were read already.
    Handed(Vec<u8>),
}

/// One connection on the short way.
pub struct Express<S> {
    stream: S,
    peer: SocketAddr,
    server: Arc<Server>,
    activity: Arc<Activity>,
    stop: watch::Receiver<bool>,
    sending: Option<Box<Sending>>,
    leaving: bool,
}

/// What became of the request that some bytes begin with.
enum Step {
    /// Answered; it had so many bytes. What did not leave is in `sending`.
    Answered(usize),
    /// It is hyper's.
    Unusual,
    /// The socket is broken.
    Broken(io::Error),
}

/// An answer but for its beginning, which is in the text already.
struct Rest {
    label: Label,
    status: StatusCode,
    body: Content,
}

enum Content {
    Nothing,
    Text(Bytes),
    Slices(Slices),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Express<S> {
    /// A connection that nothing was read from. It ends its answers with the connection once `stop`
    /// is true.
    pub fn new(
        stream: S,
        peer: SocketAddr,
        server: Arc<Server>,
        activity: Arc<Activity>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            peer,
            server,
            activity,
            stop,
            sending: None,
            leaving: false,
        }
    }

    /// The connection, for hyper.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Reads nothing more: what is being sent is the last.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        loop {
            if let Some(sending) = &mut self.sending {
                ready!(sending.poll(&mut self.stream, &self.activity, cx))?;
                self.leaving |= sending.close;
                let read = std::mem::take(&mut sending.read);
                self.sending = None;
                if !read.is_empty() && !self.leaving {
                    return Poll::Ready(Ok(End::Handed(read)));
                }
            }
            if self.leaving {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                return Poll::Ready(Ok(End::Over));
            }
            // On the stack, so that a connection which waits has none.
            let mut space = [const { MaybeUninit::uninit() }; HEAD_BYTES];
            let mut buf = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let mut read = buf.filled();
            self.leaving = read.is_empty();
            while !read.is_empty() && !self.leaving {
                match self.step(cx, read) {
                    Step::Answered(len) => read = &read[len..],
                    Step::Unusual => return Poll::Ready(Ok(End::Handed(read.to_vec()))),
                    Step::Broken(error) => return Poll::Ready(Err(error)),
                }
                if let Some(sending) = &mut self.sending {
                    sending.read = read.to_vec();
                    break;
                }
            }
        }
    }

    /// Answers the request at the beginning of `read`.
    fn step(&mut self, cx: &mut Context<'_>, read: &[u8]) -> Step {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let Some(head) = Head::parse(read, &mut room) else {
            return Step::Unusual;
        };
        let began = Instant::now();
        TEXT.with_borrow_mut(|text| {
            text.clear();
            let Some(rest) = self.answer(&head, text) else {
                return Step::Unusual;
            };
            let close = head.close || self.is_stopping();
            text::end(text, close);
            let Rest {
                label,
                status,
                body,
            } = rest;
            self.server.meter.answered(label, status);
            let answered = (status, None);
            let asked = (&head.method, head.path, &head);
            let took = began.elapsed();
            self.server.log(label, self.peer, asked, answered, took);
            match self.send(cx, began, text, body, close) {
                Ok(()) => Step::Answered(head.len),
                Err(error) => Step::Broken(error),
            }
        })
    }

    fn is_stopping(&self) -> bool {
        // The first is a glance; the second takes a lock.
        self.stop.has_changed().unwrap_or(true) && *self.stop.borrow()
    }

    /// Begins the answer to a request in `text`; `None`: another way has to be asked.
    fn answer(&self, head: &Head<'_, '_>, text: &mut Vec<u8>) -> Option<Rest> {
        match route::playlist(head.path) {
            Some(playlist) => self.playlist(head, &playlist, text),
            None => self.segment(head, text),
        }
    }

    fn playlist(
        &self,
        head: &Head<'_, '_>,
        playlist: &Playlist<'_>,
        text: &mut Vec<u8>,
    ) -> Option<Rest> {
        let state = &self.server.state;
        let snapshot = state.live.snapshot_named(playlist.uid)?;
        let rendered: &Rendered = if playlist.media {
            let trusted = &state.config.http.trusted_proxies;
            snapshot.seen_by(client::address(self.peer.ip(), head, trusted));
            &snapshot.media
        } else {
            &snapshot.multivariant
        };
        let choice = delivery::choose(head, rendered);
        let which = [playlist.media, choice.gzip, choice.fresh];
        let index = which
            .into_iter()
            .fold(0, |n, bit| n << 1 | usize::from(bit));
        let beginning = snapshot.heads[index].get_or_init(|| {
            let mut answer = delivery::chosen(choice, rendered, snapshot.max_age_s);
            super::conclude(&Method::GET, Label::Playlist, &mut answer);
            text::begin(&answer).into()
        });
        text.extend_from_slice(beginning);
        let (status, body) = if choice.fresh {
            (StatusCode::NOT_MODIFIED, Content::Nothing)
        } else if head.method == Method::HEAD {
            (StatusCode::OK, Content::Nothing)
        } else if choice.gzip {
            (StatusCode::OK, Content::Text(rendered.gzip().clone()))
        } else {
            (StatusCode::OK, Content::Text(rendered.plain.clone()))
        };
        Some(Rest {
            label: Label::Playlist,
            status,
            body,
        })
    }

    fn segment(&self, head: &Head<'_, '_>, text: &mut Vec<u8>) -> Option<Rest> {
        let Ok(Route::Segment(uid, rendition, name)) = route::parse(&head.method, head.path) else {
            return None;
        };
        if rendition != Rendition::source() {
            return None;
        }
        let served = self.server.state.live.segment_here(&uid, &name)?;
        let mut answer = delivery::segment(&head.method, head, &served);
        super::conclude(&head.method, Label::Segment, &mut answer);
        text.append(&mut text::begin(&answer));
        Some(Rest {
            label: Label::Segment,
            status: answer.status(),
            body: Content::Slices(answer.into_body().at_hand()?),
        })
    }

    /// Sends an answer, or as much of it as goes at once.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        began: Instant,
        text: &mut Vec<u8>,
        body: Content,
        close: bool,
    ) -> io::Result<()> {
        let (copied, body) = match body {
            Content::Nothing => (0, Slices::none()),
            Content::Text(body) if body.len() <= COPIED_BYTES => {
                text.extend_from_slice(&body);
                (body.len(), Slices::none())
            }
            Content::Text(body) => (0, Slices::one(body)),
            Content::Slices(slices) => (0, slices),
        };
        let sent = match poll_write(&mut self.stream, cx, text, &body) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        let is_flushed =
            |stream: &mut S, cx: &mut Context<'_>| match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map(|()| true),
                Poll::Pending => Ok(false),
            };
        let len = text.len() + body.remaining();
        if sent == len && is_flushed(&mut self.stream, cx)? {
            self.activity.exchanged(began, copied + body.remaining());
            self.leaving |= close;
            return Ok(());
        }
        let mut sending = Sending {
            text: Bytes::copy_from_slice(&text[sent.min(text.len())..]),
            body,
            ticket: self.activity.begin(false),
            close,
            read: Vec::new(),
        };
        let of_body = sent.saturating_sub(text.len());
        sending.body.advance(of_body);
        sending.ticket.gave(copied + of_body);
        self.sending = Some(Box::new(sending));
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Express<S> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let ended = ready!(self.poll_end(cx));
        Poll::Ready(ended.unwrap_or_else(|error| {
            debug!(peer = %self.peer, %error, "connection broken");
            End::Over
        }))
    }
}
