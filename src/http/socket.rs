//! A client's socket that marks on its [`Activity`] what passes, and gives again what was read from
//! it before. It does not know HTTP, and decides nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::activity::Activity;

/// Bytes the kernel may hold that were not sent yet. It bounds what a slow client costs in kernel
/// memory, and makes its progress visible: a socket with megabytes of room reports none for minutes.
const UNSENT_BYTES: u32 = 256 * 1024;

/// A socket under watch.
pub struct Socket<S> {
    inner: S,
    activity: Arc<Activity>,
    /// Read already; comes before all that is still to be read.
    before: Bytes,
}

/// Options every client's socket gets; one that cannot be set costs speed only.
pub fn configure(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // An answer's head and first piece leave at once.
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}

impl<S> Socket<S> {
    /// Watches `inner`, from which `before` was read.
    pub fn new(inner: S, activity: Arc<Activity>, before: Bytes) -> Self {
        Self {
            inner,
            activity,
            before,
        }
    }

    /// Notes the outcome of a write.
    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(0) | Err(_)) => {}
            Poll::Ready(Ok(_)) => self.activity.wrote(true),
            Poll::Pending => self.activity.wrote(false),
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() && buf.remaining() > 0 {
            let len = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before[..len]);
            self.before.advance(len);
            self.activity.received();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes a piece before the socket does, and gives it away here.
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        match &outcome {
            Poll::Ready(Ok(())) => self.activity.wrote(true),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.wrote(false),
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::advance,
    };

    use super::*;
    use crate::http::activity::{Overdue, Patience};

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_is_noticed() {
        let second = Duration::from_secs(1);
        let patience = Patience {
            head: second,
            idle: second,
            write: second,
        };
        let activity = Activity::new(patience, metrics::Counter::noop());
        let (near, mut far) = duplex(4);
        let mut socket = Socket::new(near, activity.clone(), Bytes::new());
        let _request = activity.begin(false);

        let mut write = tokio_test_poll(socket.write_all(b"123456"));
        assert!(write.as_mut().await_once().await.is_none(), "4 of 6 fit");
        advance(second).await;
        assert_eq!(activity.check(), Err(Overdue::Write));

        let mut four = [0; 4];
        far.read_exact(&mut four).await.unwrap();
        assert!(write.as_mut().await_once().await.is_some());
        assert!(activity.check().is_ok());
    }

    /// Polls a future once at a time.
    trait AwaitOnce: Future {
        async fn await_once(self: Pin<&mut Self>) -> Option<Self::Output>;
    }
    impl<F: Future> AwaitOnce for F {
        async fn await_once(mut self: Pin<&mut Self>) -> Option<Self::Output> {
            std::future::poll_fn(|cx| {
                Poll::Ready(match self.as_mut().poll(cx) {
                    Poll::Ready(value) => Some(value),
                    Poll::Pending => None,
                })
            })
            .await
        }
    }
    fn tokio_test_poll<F: Future>(future: F) -> Pin<Box<F>> {
        Box::pin(future)
    }
}
