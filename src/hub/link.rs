//! The bytes of one WebSocket: tungstenite reads and answers for the protocol, the member's frames
//! are written beside it straight from their shared bytes, many at once under load. It does not know
//! what frames mean or when a socket is given up.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Sink as _, Stream as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use super::{outbox::Outbox, wire::Frame};

/// tungstenite's read buffer, bytes: it is allocated for every socket. Most frames are shorter; a
/// longer one has room made for it.
const READ_BUFFER_BYTES: usize = 1024;
/// Bytes of control frames that wait to be written. A client that sends pings and reads nothing has
/// no further ones answered until it does.
const CONTROL_BYTES: usize = 1024;
/// Frames written with one call.
const AT_ONCE: usize = 16;
/// Longest header of a frame, bytes (RFC 6455 5.2, without a mask).
const HEAD_BYTES: usize = 10;
/// Its first byte for a whole text frame.
const TEXT: u8 = 0x81;
/// Close codes of the protocol itself (RFC 6455 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// What a socket brings next.
pub(super) enum Event {
    Text(Utf8Bytes),
    Binary,
    /// A ping or pong.
    Alive,
    /// Time to look at the clock, or the queue has a reason to close.
    Due,
    /// The client closed or broke off.
    Gone,
    /// The client broke the protocol: the close code for it.
    Broken(u16),
}

/// A WebSocket and what is being written to it.
pub(super) struct Link<S> {
    socket: WebSocketStream<Wire<S>>,
    /// At most [`AT_ONCE`] frames, taken from the member's queue.
    sending: VecDeque<Frame>,
    /// Bytes of the first of them that are written, its header counted.
    sent: usize,
    flushed: bool,
    timer: Pin<Box<Sleep>>,
}

/// What tungstenite takes for the socket: its control frames wait here, because a frame of ours may
/// be half written.
struct Wire<S> {
    inner: S,
    control: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// `stream` is past its handshake; a client's message has at most `message_bytes`.
    pub(super) async fn new(stream: S, message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BYTES)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        let wire = Wire {
            inner: stream,
            control: Vec::new(),
        };
        Self {
            socket: WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await,
            sending: VecDeque::new(),
            sent: 0,
            flushed: true,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// What comes next; until then what `outbox` has is written. [`Event::Due`] at `due_at` at the
    /// latest.
    pub(super) async fn next(&mut self, outbox: &Outbox, due_at: Instant) -> Event {
        self.timer.as_mut().reset(due_at);
        std::future::poll_fn(|cx| self.poll(cx, outbox)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Event> {
        outbox.register(cx.waker());
        if let Poll::Ready(Err(_)) = self.poll_write(cx, Some(outbox)) {
            return Poll::Ready(Event::Gone);
        }
        let now = Instant::now();
        if outbox.due(now).is_some() || outbox.is_caught_up() {
            return Poll::Ready(Event::Due);
        }
        if let Some(at) = outbox.due_at()
            && at > now
            && at < self.timer.deadline()
        {
            self.timer.as_mut().reset(at);
        }
        if let Poll::Ready(next) = self.poll_read(cx) {
            return Poll::Ready(next);
        }
        // Reading may have left a pong to write.
        if !self.socket.get_ref().control.is_empty()
            && let Poll::Ready(Err(_)) = self.poll_write(cx, Some(outbox))
        {
            return Poll::Ready(Event::Gone);
        }
        self.timer.as_mut().poll(cx).map(|()| Event::Due)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let next = ready!(Pin::new(&mut self.socket).poll_next(cx));
        Poll::Ready(match next {
            Some(Ok(Message::Text(text))) => Event::Text(text),
            Some(Ok(Message::Binary(_))) => Event::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Event::Alive,
            Some(Ok(Message::Close(_))) | None => Event::Gone,
            Some(Err(error)) => broken(&error),
        })
    }

    /// Writes what there is: the frames begun, control frames, then more from `outbox`.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: Option<&Outbox>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.sending.is_empty() && self.socket.get_ref().control.is_empty() {
                if let Some(outbox) = outbox {
                    outbox.take(&mut self.sending, AT_ONCE);
                }
                if self.sending.is_empty() {
                    break;
                }
            }
            self.flushed = false;
            let written = ready!(self.poll_write_once(cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.socket.get_mut().inner).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// One call of the system for all of `sending` and the control frames.
    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wire = self.socket.get_mut();
        let mut heads = [([0; HEAD_BYTES], 0); AT_ONCE];
        for (head, frame) in heads.iter_mut().zip(&self.sending) {
            *head = header(frame.len());
        }
        let mut pieces = [IoSlice::new(&[]); 2 * AT_ONCE + 1];
        let mut count = 0;
        let mut skip = self.sent;
        for ((head, length), frame) in heads.iter().zip(&self.sending) {
            let head = &head[skip.min(*length)..*length];
            let text = &frame.as_bytes()[skip.saturating_sub(*length)..];
            pieces[count] = IoSlice::new(head);
            pieces[count + 1] = IoSlice::new(text);
            count += 2;
            skip = 0;
        }
        pieces[count] = IoSlice::new(&wire.control);
        Pin::new(&mut wire.inner).poll_write_vectored(cx, &pieces[..=count])
    }

    /// Lets go of what is written.
    fn advance(&mut self, mut written: usize) {
        while let Some(frame) = self.sending.front() {
            let left = header(frame.len()).1 + frame.len() - self.sent;
            if written < left {
                self.sent += written;
                return;
            }
            written -= left;
            self.sent = 0;
            self.sending.pop_front();
        }
        // Both hold nothing most of the time, in every socket.
        self.sending = VecDeque::new();
        let control = &mut self.socket.get_mut().control;
        control.drain(..written);
        if control.is_empty() {
            *control = Vec::new();
        }
    }

    /// Queues a ping. An error shows at the next write.
    pub(super) fn ping(&mut self) {
        let _ = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()));
    }

    /// Closes with a code, and waits for the client's part in it.
    pub(super) async fn close(mut self, code: u16, reason: String, patience: Duration) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        // Refused only when the client has closed already.
        let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
        self.part(patience).await;
    }

    /// The rest of a closing handshake: writes what was begun, and reads to the end.
    pub(super) async fn part(mut self, patience: Duration) {
        let end = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(Err(_)) = self.poll_write(cx, None) {
                    return Poll::Ready(());
                }
                match Pin::new(&mut self.socket).poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return self.poll_write(cx, None).map(drop),
                    Poll::Pending if self.socket.get_ref().control.is_empty() => {
                        return Poll::Pending;
                    }
                    // Reading has left an answer to write.
                    Poll::Pending => match self.poll_write(cx, None) {
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                    },
                }
            }
        });
        // Whoever takes no part in it is left alone.
        let _ = timeout(patience, end).await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.control.len() >= CONTROL_BYTES {
            // tungstenite asks again when it next reads; what waits here wakes the task.
            return Poll::Pending;
        }
        self.control.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    /// [`Link::poll_write`] does it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The header of a whole text frame of so many bytes, and its length (RFC 6455 5.2).
fn header(text_bytes: usize) -> ([u8; HEAD_BYTES], usize) {
    let mut head = [0; HEAD_BYTES];
    head[0] = TEXT;
    let length = match (u8::try_from(text_bytes), u16::try_from(text_bytes)) {
        (Ok(short @ 0..126), _) => {
            head[1] = short;
            2
        }
        (_, Ok(middle)) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&middle.to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(text_bytes as u64).to_be_bytes());
            HEAD_BYTES
        }
    };
    (head, length)
}

/// What a failed read says of the client.
fn broken(error: &Error) -> Event {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Event::Broken(TOO_BIG),
        Error::Utf8(_) => Event::Broken(NOT_UTF8),
        Error::Protocol(_) => Event::Broken(PROTOCOL_ERROR),
        _ => Event::Gone,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::hub::outbox::Limits;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn outbox() -> Outbox {
        Outbox::new(Limits {
            frames: 1000,
            bytes: 1 << 24,
            grace: PATIENCE,
        })
    }

    /// A link and tungstenite's own client at its other end, with a pipe of so many bytes between.
    async fn pair(bytes: usize) -> (Link<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (near, far) = duplex(bytes);
        let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (Link::new(near, 16 * 1024).await, client)
    }

    fn soon() -> Instant {
        Instant::now() + PATIENCE
    }

    #[tokio::test(start_paused = true)]
    async fn frames_of_every_length_arrive_whole_and_in_order() {
        for pipe in [11, 4096, 1 << 20] {
            let (mut link, mut client) = pair(pipe).await;
            let outbox = outbox();
            let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 5];
            let texts: Vec<_> = sizes
                .into_iter()
                .cycle()
                .take(40)
                .map(|n| "x".repeat(n))
                .collect();
            for text in &texts {
                assert!(outbox.push(text.as_str().into()));
            }
            let reader = async {
                for text in &texts {
                    let message = client.next().await.unwrap().unwrap();
                    assert!(
                        message == Message::text(text.as_str()),
                        "{} {pipe}",
                        text.len()
                    );
                }
            };
            tokio::select! {
                () = reader => {}
                _ = link.next(&outbox, soon()) => panic!("nothing else happens"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_answered_between_frames_and_never_inside_one() {
        let (mut link, mut client) = pair(64).await;
        let outbox = outbox();
        for _ in 0..20 {
            assert!(outbox.push("y".repeat(500).into()));
        }
        let talk = async {
            let (mut texts, mut pongs) = (0, 0);
            for n in 0..20_u8 {
                client
                    .send(Message::Ping(Bytes::from(vec![n])))
                    .await
                    .unwrap();
                match client.next().await.unwrap().unwrap() {
                    Message::Text(text) => {
                        assert_eq!(text.len(), 500);
                        texts += 1;
                    }
                    Message::Pong(_) => pongs += 1,
                    other => panic!("{other}"),
                }
            }
            // A later pong may stand for earlier ones (RFC 6455 5.5.3).
            while texts < 20 || pongs == 0 {
                match client.next().await.unwrap().unwrap() {
                    Message::Text(_) => texts += 1,
                    Message::Pong(_) => pongs += 1,
                    other => panic!("{other}"),
                }
            }
        };
        let serve = async { while matches!(link.next(&outbox, soon()).await, Event::Alive) {} };
        tokio::select! {
            () = talk => {}
            () = serve => panic!("only pings come"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pings_and_never_reads_costs_a_bounded_buffer() {
        let (mut link, client) = pair(256).await;
        let outbox = outbox();
        let mut stream = client.into_inner();
        let ping = [&[0x89, 0x80 | 100, 0, 0, 0, 0][..], &[7; 100]].concat();
        let flood = async {
            for _ in 0..10_000 {
                tokio::io::AsyncWriteExt::write_all(&mut stream, &ping)
                    .await
                    .unwrap();
            }
        };
        let serve = async {
            while matches!(link.next(&outbox, soon()).await, Event::Alive) {
                let waiting = link.socket.get_ref().control.len();
                assert!(waiting <= CONTROL_BYTES + 128, "{waiting}");
            }
        };
        tokio::select! {
            () = flood => {}
            () = serve => panic!("it goes on reading"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_ends_can_close() {
        let (mut link, mut client) = pair(64).await;
        let outbox = outbox();
        let leave = async {
            client.close(None).await.unwrap();
            assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
            assert!(client.next().await.is_none());
        };
        let serve = async {
            assert!(matches!(link.next(&outbox, soon()).await, Event::Gone));
            link.part(PATIENCE).await;
        };
        tokio::join!(leave, serve);

        let (link, mut client) = pair(64).await;
        let told = async {
            let Some(Ok(Message::Close(Some(frame)))) = client.next().await else {
                panic!("no close");
            };
            assert_eq!((u16::from(frame.code), &*frame.reason), (1012, "1.5"));
            assert!(client.next().await.is_none());
        };
        tokio::join!(told, link.close(1012, "1.5".into(), PATIENCE));
    }
}
