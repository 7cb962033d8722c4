//! A few connections that only read, each used by one blocking thread at a time. It does not know
//! what is asked.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result};

/// Reads at once. More wait their turn: reads are short, and SQLite reads from memory mostly.
const READERS: usize = 4;

/// The pool; clones share it.
#[derive(Clone)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let idle = (0..READERS)
            .map(|_| super::open::reader(path))
            .collect::<Result<_>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            turns: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `work` on a blocking thread. Cancel safe: the connection comes back in any case.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let pool = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let connection = pool.take().ok_or_else(closed)?;
            let result = work(&connection);
            pool.give_back(connection);
            drop(turn);
            result
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::with(Kind::Internal, "a database read ended", error)),
        }
    }

    fn take(&self) -> Option<Connection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn give_back(&self, connection: Connection) {
        if self.turns.is_closed() {
            return;
        }
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    /// Refuses further reads and closes what is idle; running ones close when they end.
    pub(super) fn close(&self) {
        self.turns.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Unavailable, "the database is closed")
}
