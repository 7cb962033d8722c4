//! The one thread that writes: takes whatever is queued, runs it in one transaction, answers after
//! the commit. It does not know what the writes are.

use metrics::{counter, gauge};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::cache::{Cache, Touch};
use crate::error::{Error, Kind, Result};

/// Writes in one transaction, so that the first of them is not kept waiting by the last.
const BATCH_MAX: usize = 256;

/// What the thread is asked.
pub(super) enum Request {
    /// A write, answered after its commit.
    Write(Box<dyn Write>),
    /// `PRAGMA data_version` of the writing connection, which its own commits do not change.
    DataVersion(oneshot::Sender<Result<i64>>),
    /// Finish what is queued, close, then answer.
    Close(oneshot::Sender<()>),
}

/// A queued write with its typed answer inside.
pub(super) trait Write: Send {
    /// Does the work; an error undoes this write alone.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// What it made stale, once it ran.
    fn touched(&self) -> &Touch;
    /// Answers whoever waits. `outcome` is how the transaction ended.
    fn answer(self: Box<Self>, outcome: Result<(), String>);
}

struct Pending<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    touched: Touch,
    reply: oneshot::Sender<Result<T>>,
}

/// Packs `work` for the queue. A caller that no longer waits does not stop it.
pub(super) fn write<T, F>(work: F) -> (Request, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<(T, Touch)> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let pending = Pending {
        work: Some(work),
        result: None,
        touched: Touch::Nothing,
        reply,
    };
    (Request::Write(Box::new(pending)), answer)
}

impl<T: Send, F: FnOnce(&Connection) -> Result<(T, Touch)> + Send> Write for Pending<T, F> {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        connection.execute_batch("SAVEPOINT one_write")?;
        let result = work(connection);
        let undo = result.is_err();
        self.result = Some(result.map(|(value, touched)| {
            self.touched = touched;
            value
        }));
        if undo {
            connection.execute_batch("ROLLBACK TO one_write")?;
        }
        connection.execute_batch("RELEASE one_write")
    }

    fn touched(&self) -> &Touch {
        &self.touched
    }

    fn answer(self: Box<Self>, outcome: Result<(), String>) {
        let result = match (outcome, self.result) {
            // Its own failure says more than the transaction's.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Err(cause), _) => Err(failed(cause)),
            (Ok(()), None) => Err(failed("the write did not run".into())),
        };
        // Nobody waits any more: the write stands all the same.
        let _ = self.reply.send(result);
    }
}

/// Runs until it is told to close or every handle is gone.
pub(super) fn run(connection: Connection, cache: &Cache, mut requests: mpsc::Receiver<Request>) {
    let mut closed = None;
    let mut version = data_version(&connection).ok();
    while let Some(first) = requests.blocking_recv() {
        let mut writes = Vec::new();
        for request in gather(first, &mut requests) {
            match request {
                Request::Write(write) => writes.push(write),
                Request::DataVersion(reply) => {
                    let now = data_version(&connection);
                    if now.as_ref().ok() != version.as_ref() {
                        // Another process wrote: it does not say what.
                        cache.forget(&Touch::Streams);
                        version = now.as_ref().ok().copied();
                    }
                    let _ = reply.send(now);
                }
                // Requests that were queued before the close are still taken out and answered.
                Request::Close(reply) => {
                    requests.close();
                    closed = Some(reply);
                }
            }
        }
        gauge!("cauce_db_queue").set(requests.len() as f64);
        commit(&connection, cache, writes);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database did not close cleanly");
    }
    if let Some(reply) = closed {
        let _ = reply.send(());
    }
}

/// The first request and what is queued behind it, at most [`BATCH_MAX`].
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut batch = vec![first];
    while batch.len() < BATCH_MAX {
        match requests.try_recv() {
            Ok(request) => batch.push(request),
            Err(_) => break,
        }
    }
    batch
}

/// Runs `writes` in one transaction and answers each.
fn commit(connection: &Connection, cache: &Cache, mut writes: Vec<Box<dyn Write>>) {
    if writes.is_empty() {
        return;
    }
    let outcome = transaction(connection, &mut writes);
    if outcome.is_err() && !connection.is_autocommit() {
        // Nothing to do about a rollback that fails: the next BEGIN will say so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    counter!("cauce_db_commits_total", "ok" => outcome.is_ok().to_string()).increment(1);
    counter!("cauce_db_writes_total").increment(writes.len() as u64);
    let outcome = outcome.map_err(|error| error.to_string());
    for write in &writes {
        cache.forget(write.touched());
    }
    for write in writes {
        write.answer(outcome.clone());
    }
}

fn transaction(connection: &Connection, writes: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
    // IMMEDIATE: a lock that is asked for later could be refused with work already done.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for write in writes {
        // Fails when the engine has ended the whole transaction (disk full, I/O error): what ran
        // before is undone as well, and what follows must not run outside of one.
        write.run(connection)?;
    }
    connection.execute_batch("COMMIT")
}

fn data_version(connection: &Connection) -> Result<i64> {
    connection
        .query_row("PRAGMA data_version", [], |row| row.get(0))
        .map_err(|error| failed(error.to_string()))
}

fn failed(cause: String) -> Error {
    Error::with(Kind::Unavailable, "the database refused a write", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, Connection, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let connection = crate::db::open::writer(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t (x INTEGER UNIQUE)")
            .unwrap();
        let reader = crate::db::open::reader(&path).unwrap();
        (directory, connection, reader)
    }

    fn rows(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap()
    }

    fn insert(x: i64) -> (Request, oneshot::Receiver<Result<usize>>) {
        write(move |connection: &Connection| {
            connection
                .execute("INSERT INTO t VALUES (?1)", [x])
                .map(|rows| (rows, Touch::Nothing))
                .map_err(|error| Error::with(Kind::Conflict, "insert", error))
        })
    }

    fn unpack(request: Request) -> Box<dyn Write> {
        match request {
            Request::Write(write) => write,
            _ => unreachable!("insert makes writes"),
        }
    }

    #[test]
    fn a_batch_is_what_is_queued_up_to_its_bound() {
        let (sender, mut requests) = mpsc::channel(BATCH_MAX + 10);
        for x in 0..BATCH_MAX + 10 {
            sender.try_send(insert(x as i64).0).ok().unwrap();
        }
        let first = requests.try_recv().unwrap();
        assert_eq!(gather(first, &mut requests).len(), BATCH_MAX);
        let first = requests.try_recv().unwrap();
        assert_eq!(gather(first, &mut requests).len(), 10);
    }

    #[test]
    fn one_batch_is_one_commit() {
        let (_directory, connection, reader) = database();
        let (first, mut first_answer) = insert(1);
        let (second, mut second_answer) = write(move |connection: &Connection| {
            connection.execute("INSERT INTO t VALUES (2)", []).unwrap();
            Ok((rows(&reader), Touch::Nothing))
        });
        commit(
            &connection,
            &Cache::default(),
            vec![unpack(first), unpack(second)],
        );
        assert_eq!(first_answer.try_recv().unwrap().unwrap(), 1);
        // Another connection saw neither while the batch ran.
        assert_eq!(second_answer.try_recv().unwrap().unwrap(), 0);
        assert_eq!(rows(&connection), 2);
    }

    #[test]
    fn a_failing_write_fails_alone() {
        let (_directory, connection, _reader) = database();
        let (requests, answers): (Vec<_>, Vec<_>) = [1, 1, 2].into_iter().map(insert).unzip();
        commit(
            &connection,
            &Cache::default(),
            requests.into_iter().map(unpack).collect(),
        );
        let kinds: Vec<_> = answers
            .into_iter()
            .map(|mut answer| answer.try_recv().unwrap().map_err(|error| error.kind))
            .collect();
        assert_eq!(kinds, [Ok(1), Err(Kind::Conflict), Ok(1)]);
        assert_eq!(rows(&connection), 2);
    }

    #[test]
    fn when_the_transaction_is_lost_everybody_is_told() {
        let (_directory, connection, _reader) = database();
        let (first, mut first_answer) = insert(1);
        // What the engine does by itself when the disk is full.
        let (second, mut second_answer) = write(|connection: &Connection| {
            connection.execute_batch("ROLLBACK").unwrap();
            Err::<((), Touch), _>(Error::new(Kind::Unavailable, "disk full"))
        });
        let (third, mut third_answer) = insert(3);
        commit(
            &connection,
            &Cache::default(),
            vec![unpack(first), unpack(second), unpack(third)],
        );
        assert_eq!(
            first_answer.try_recv().unwrap().unwrap_err().kind,
            Kind::Unavailable
        );
        let told = second_answer.try_recv().unwrap().unwrap_err();
        assert_eq!(told.to_string(), "disk full");
        assert!(third_answer.try_recv().unwrap().is_err());
        assert_eq!(rows(&connection), 0);
        let (next, mut answer) = insert(4);
        commit(&connection, &Cache::default(), vec![unpack(next)]);
        assert_eq!(answer.try_recv().unwrap().unwrap(), 1);
    }
}
