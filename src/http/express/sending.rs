//! An answer that the socket does not take at once. It does not know what is sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::http::{
    activity::{Activity, Ticket},
    body::Slices,
};

/// Slices handed to the socket at once.
const SLICES: usize = 32;

/// What is left of an answer.
#[derive(Debug)]
pub struct Sending {
    /// Goes first.
    pub text: Bytes,
    /// Then this.
    pub body: Slices,
    /// The request lasts until all is sent.
    pub ticket: Ticket,
    /// The connection ends then.
    pub close: bool,
}

impl Sending {
    /// Sends what is left.
    pub fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        activity: &Activity,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let sent = self.poll_send(stream, activity, cx);
        if sent.is_pending() {
            activity.wrote(false);
        }
        sent
    }

    fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        activity: &Activity,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.text.has_remaining() || self.body.has_remaining() {
            let sent = ready!(poll_write(stream, cx, &self.text, Some(&self.body)))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            activity.wrote(true);
            let text = sent.min(self.text.len());
            self.text.advance(text);
            self.body.advance(sent - text);
            self.ticket.gave(sent - text);
        }
        // TLS takes a piece before the socket does, and gives it away here.
        ready!(Pin::new(stream).poll_flush(cx))?;
        activity.wrote(true);
        Poll::Ready(Ok(()))
    }
}

/// Hands over `text` and a piece of `body`.
pub fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    text: &[u8],
    body: Option<&Slices>,
) -> Poll<io::Result<usize>> {
    let Some(body) = body.filter(|body| body.has_remaining()) else {
        return Pin::new(stream).poll_write(cx, text);
    };
    let mut slices = [IoSlice::new(&[]); SLICES];
    slices[0] = IoSlice::new(text);
    let first = usize::from(!text.is_empty());
    let count = first + body.piece(&mut slices[first..]);
    Pin::new(stream).poll_write_vectored(cx, &slices[..count])
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;
    use crate::http::{activity::Patience, body::Body};

    fn activity() -> Arc<Activity> {
        let second = Duration::from_secs(1);
        let patience = Patience {
            head: second,
            idle: second,
            write: second,
        };
        Activity::new(patience, metrics::Counter::noop())
    }

    proptest! {
        #[test]
        fn all_bytes_come_in_order_through_a_narrow_socket(
            text in prop::collection::vec(any::<u8>(), 0..50),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
            width in 1usize..64,
        ) {
            let expected = [text.clone(), parts.concat()].concat();
            let parts: Arc<[Bytes]> = parts.into_iter().map(Bytes::from).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let read = runtime.block_on(async {
                let activity = activity();
                let (mut near, mut far) = duplex(width);
                let mut sending = Sending {
                    text: text.into(),
                    body: Body::slices(parts, 0..u64::MAX).at_hand().unwrap(),
                    ticket: activity.begin(false),
                    close: false,
                };
                let send = async {
                    std::future::poll_fn(|cx| sending.poll(&mut near, &activity, cx)).await.unwrap();
                    drop(near);
                };
                let mut read = vec![];
                let (_, ()) = tokio::join!(far.read_to_end(&mut read), send);
                read
            });
            prop_assert_eq!(read, expected);
        }
    }
}
