//! Opens connections and brings the schema up to date. It does not know what the tables hold.
//!
//! Durability: WAL with `synchronous = FULL`. A commit is on the disk before it is answered, so
//! that neither a killed process nor a power cut loses an answered write; `NORMAL` would keep only
//! the first promise. Group commit makes it one flush for all writes that were waiting.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{Error, Kind, Result};

/// How long a connection waits for another process's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Marks the file as ours: "cauc".
const APPLICATION_ID: i64 = 0x6361_7563;
/// Numbered from 1; a released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_streams.sql"),
    include_str!("migrations/0002_accounts.sql"),
    include_str!("migrations/0003_streams_of_channels.sql"),
    include_str!("migrations/0004_pause.sql"),
    include_str!("migrations/0005_chat.sql"),
    include_str!("migrations/0006_questions.sql"),
    include_str!("migrations/0007_recordings.sql"),
];

/// Makes the file when there is none, and migrates it.
pub(super) fn writer(path: &Path) -> Result<Connection> {
    create_file(path).map_err(|error| unavailable(path, error))?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| use_wal(&connection).map(|()| connection))
        .map_err(|error| unavailable(path, error))?;
    migrate(path, &mut connection)?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| unavailable(path, error))
}

/// Readable by its owner only, which SQLite then gives to the files beside it too.
fn create_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)?;
    Ok(())
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON;
         PRAGMA synchronous = FULL;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(connection)
}

/// Asks until it is granted: SQLite answers "locked" at once, without the busy timeout, when two
/// processes create the file together.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let attempts = BUSY_TIMEOUT.as_millis() / PAUSE.as_millis();
    for _ in 1..attempts {
        match set_wal(connection) {
            Err(error) if is_busy(&error) => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
    set_wal(connection)
}

fn set_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked)
    )
}

/// Runs the missing migrations. The version is read inside the write transaction, so that of two
/// processes that start together one migrates and the other finds it done.
fn migrate(path: &Path, connection: &mut Connection) -> Result<()> {
    let steps = || -> rusqlite::Result<Result<()>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = match known_version(path, &transaction)? {
            Ok(version) => version,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for (number, step) in MIGRATIONS.iter().enumerate().skip(version) {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", number as i64 + 1)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
        Ok(Ok(()))
    };
    let mut steps = steps;
    steps().map_err(|error| unavailable(path, error))?
}

/// How many migrations the file has had; refuses what is not ours to touch.
fn known_version(path: &Path, connection: &Connection) -> rusqlite::Result<Result<usize>> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let is_new = version == 0 && application == 0 && tables == 0;
    let refuse = |line: String| Ok(Err(Error::new(Kind::Conflict, line)));
    if !is_new && application != APPLICATION_ID {
        return refuse(format!("{} is not a database of cauce", path.display()));
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(Ok(version)),
        _ => refuse(format!(
            "{} was written by a newer cauce (schema {version}, this version knows {}): \
             run that one, or restore the backup made before it",
            path.display(),
            MIGRATIONS.len()
        )),
    }
}

fn unavailable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let context = format!("cannot open the database {}", path.display());
    Error::with(Kind::Unavailable, context, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_new_file_gets_every_migration_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/cauce.db");
        for _ in 0..2 {
            let connection = writer(&path).unwrap();
            assert_eq!(version(&connection), MIGRATIONS.len() as i64);
            let mode: String = connection
                .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                .unwrap();
            assert_eq!(mode, "wal");
        }
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cauce.db");
        let connection = writer(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = writer(&path).unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
        assert!(
            error.to_string().contains("newer cauce (schema 99"),
            "{error}"
        );
        assert_eq!(version(&connection), 99);
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let foreign = directory.path().join("foreign.db");
        Connection::open(&foreign)
            .unwrap()
            .execute_batch("CREATE TABLE other (x)")
            .unwrap();
        let error = writer(&foreign).unwrap_err();
        assert!(
            error.to_string().contains("not a database of cauce"),
            "{error}"
        );

        let noise = directory.path().join("noise.db");
        std::fs::write(&noise, [7; 5000]).unwrap();
        assert_eq!(writer(&noise).unwrap_err().kind, Kind::Unavailable);
        assert!(writer(directory.path()).is_err());
    }

    #[test]
    fn processes_that_start_together_migrate_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cauce.db");
        let opened = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| writer(&path))).collect();
            all.into_iter()
                .map(|t| t.join().unwrap())
                .collect::<Vec<_>>()
        });
        for connection in opened {
            assert_eq!(version(&connection.unwrap()), MIGRATIONS.len() as i64);
        }
    }
}
