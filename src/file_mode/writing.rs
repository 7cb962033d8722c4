//! A thread of its own for the output: writing takes two thirds of the time, and the next segment is made
//! meanwhile. It does not know what a segment is made from.

use std::{
    panic,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use segmenter::{Segment, segment::Tracks};

use super::{Summary, output::Output};
use crate::error::{Error, Kind, Result};

/// What may wait while a segment is being written: one segment more, or the tracks before it.
const WAITING: usize = 1;

/// An output being written.
pub struct Writing {
    orders: SyncSender<Order>,
    thread: thread::JoinHandle<Result<Output>>,
}

enum Order {
    Tracks(Tracks),
    Segment(Segment),
}

/// The thread has ended, because it could not write; [`Writing::close`] tells why.
pub struct Ended;

impl Writing {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` when the system gives none.
    pub fn start(output: Output) -> Result<Self> {
        let (orders, due) = sync_channel(WAITING);
        let write = move || {
            let mut output = output;
            for order in due {
                match order {
                    Order::Tracks(tracks) => output.tracks(&tracks),
                    Order::Segment(segment) => output.segment(&segment)?,
                }
            }
            Ok(output)
        };
        let thread = thread::Builder::new()
            .name("output".into())
            .spawn(write)
            .map_err(|e| Error::with(Kind::Unavailable, "cannot start a thread", e))?;
        Ok(Self { orders, thread })
    }

    /// Notes tracks.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn tracks(&self, tracks: Tracks) -> Result<(), Ended> {
        self.orders.send(Order::Tracks(tracks)).map_err(|_| Ended)
    }

    /// Hands a segment over; waits while another waits.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn segment(&self, segment: Segment) -> Result<(), Ended> {
        // A picture keeps the buffer that it was read into, and nobody looks at it here.
        let segment = Segment {
            idr: None,
            ..segment
        };
        self.orders.send(Order::Segment(segment)).map_err(|_| Ended)
    }

    /// Writes what waits, and ends the playlists.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn close(self) -> Result<Summary> {
        drop(self.orders);
        match self.thread.join() {
            Ok(output) => output?.close(),
            Err(bug) => panic::resume_unwind(bug),
        }
    }
}
