//! The short way of nearly all requests under `/live`: those in HTTP/1.1 whose head came whole and has
//! nothing unusual. A playlist or segment in memory is answered where the request was read, and leaves in
//! one call to the kernel; between requests the connection holds no buffer. Any other request goes to
//! hyper with all bytes from its first on, for good. It does not know how answers are decided:
//! `delivery` and the server do, for both ways.

mod answer;
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
    activity::{Activity, Ticket},
    body::Slices,
    listener::Seat,
    reply::Answer,
    route::{self, Route},
};

/// A head that is not whole within so many bytes is hyper's.
const HEAD_BYTES: usize = 4096;

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
    seat: Arc<Seat>,
    stop: watch::Receiver<bool>,
    /// What was read after the request that is waited for or being answered.
    read: Vec<u8>,
    waiting: Option<Box<Waiting>>,
    sending: Option<Box<Sending>>,
    leaving: bool,
}

/// A request whose answer is not at hand: it may need the store.
struct Waiting {
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    began: Instant,
    close: bool,
    /// The client is not still meanwhile: we are.
    _ticket: Ticket,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Express<S> {
    /// A connection that nothing was read from. It ends its answers with the connection once `stop`
    /// is true.
    pub fn new(
        stream: S,
        peer: SocketAddr,
        server: Arc<Server>,
        activity: Arc<Activity>,
        seat: Arc<Seat>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            peer,
            server,
            activity,
            seat,
            stop,
            read: Vec::new(),
            waiting: None,
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
            if let Some(waiting) = &mut self.waiting {
                let answer = ready!(waiting.answer.as_mut().poll(cx));
                if let Some(waiting) = self.waiting.take() {
                    self.conclude(cx, *waiting, answer)?;
                }
            }
            if let Some(sending) = &mut self.sending {
                ready!(sending.poll(&mut self.stream, &self.activity, cx))?;
                self.leaving |= sending.close;
                self.sending = None;
            }
            if self.leaving {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                return Poll::Ready(Ok(End::Over));
            }
            let handed = if self.read.is_empty() {
                // On the stack, so that a connection which waits has none.
                let mut space = [const { MaybeUninit::uninit() }; HEAD_BYTES];
                let mut buf = ReadBuf::uninit(&mut space);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
                self.leaving = buf.filled().is_empty();
                self.answer(cx, buf.filled())?
            } else {
                let read = std::mem::take(&mut self.read);
                self.answer(cx, &read)?
            };
            if let Some(read) = handed {
                return Poll::Ready(Ok(End::Handed(read)));
            }
        }
    }

    /// Answers the requests in `read`, up to one whose answer does not leave at once. What is hyper's
    /// is given back.
    fn answer(&mut self, cx: &mut Context<'_>, mut read: &[u8]) -> io::Result<Option<Vec<u8>>> {
        while !read.is_empty() && !self.leaving {
            if self.waiting.is_some() || self.sending.is_some() {
                self.read = read.to_vec();
                break;
            }
            match self.step(cx, read)? {
                Some(len) => read = &read[len..],
                None => return Ok(Some(read.to_vec())),
            }
        }
        Ok(None)
    }

    /// Answers the request at the beginning of `read`, which has so many bytes; `None`: it is hyper's.
    fn step(&mut self, cx: &mut Context<'_>, read: &[u8]) -> io::Result<Option<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let Some(head) = Head::parse(read, &mut room) else {
            return Ok(None);
        };
        let began = Instant::now();
        TEXT.with_borrow_mut(|text| {
            text.clear();
            let close = head.close || self.is_stopping();
            let Some(begun) = answer::begin(&self.server, self.peer, &head, close, text) else {
                return Ok(self.ask(&head, began));
            };
            let (label, status) = (begun.label, begun.status);
            self.server.meter.answered(label, status);
            let asked = (&head.method, head.path, &head);
            let took = began.elapsed();
            self.server
                .log(label, self.peer, asked, (status, None), took);
            self.send(cx, began, text, begun.copied, begun.body, close)?;
            Ok(Some(head.len))
        })
    }

    /// Has a request answered in its time, if it is one under `/live` and not for a whole recording, whose
    /// body is read while it is sent.
    fn ask(&mut self, head: &Head<'_, '_>, began: Instant) -> Option<usize> {
        let route = route::parse(&head.method, head.path);
        if !route::is_live(head.path) || matches!(route, Ok(Route::Recording(..))) {
            return None;
        }
        let request = head.to_request()?;
        let (server, peer, seat) = (self.server.clone(), self.peer, self.seat.clone());
        let answer = async move { server.answer(peer, &seat, request).await };
        self.waiting = Some(Box::new(Waiting {
            answer: Box::pin(answer),
            began,
            close: head.close,
            _ticket: self.activity.begin(false),
        }));
        Some(head.len)
    }

    /// Sends the answer that was waited for.
    fn conclude(
        &mut self,
        cx: &mut Context<'_>,
        waiting: Waiting,
        answer: Answer,
    ) -> io::Result<()> {
        let close = waiting.close || self.leaving || self.is_stopping();
        let mut text = text::begin(&answer);
        text::end(&mut text, close);
        let body = answer.into_body().at_hand();
        let body = body.ok_or_else(|| io::Error::other("a body that is not at hand"))?;
        self.send(cx, waiting.began, &text, 0, Some(body), close)
    }

    fn is_stopping(&self) -> bool {
        // The first is a glance; the second takes a lock.
        self.stop.has_changed().unwrap_or(true) && *self.stop.borrow()
    }

    /// Sends `text`, of which `copied` bytes are of the body, and then the rest of the body, or as much
    /// of them as goes at once.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        began: Instant,
        text: &[u8],
        copied: usize,
        body: Option<Slices>,
        close: bool,
    ) -> io::Result<()> {
        let sent = match poll_write(&mut self.stream, cx, text, body.as_ref()) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        let rest = body.as_ref().map_or(0, Slices::remaining);
        if sent == text.len() + rest {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.activity.exchanged(began, copied + rest);
                    self.leaving |= close;
                    return Ok(());
                }
                Poll::Pending => {}
            }
        }
        let mut sending = Sending {
            text: Bytes::copy_from_slice(&text[sent.min(text.len())..]),
            body: body.unwrap_or_else(Slices::none),
            ticket: self.activity.begin(false),
            close,
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
