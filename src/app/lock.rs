//! One server for each data directory: a lock that ends with its process, however that ends, and in
//! the locked file the addresses of the server that holds it. It does not know what else is in the
//! directory.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

/// The locked file's name in the data directory.
pub const NAME: &str = "cauce.lock";
/// A start waits this much longer than the `shutdown_grace` that a process before it may still use.
const BEYOND_GRACE: Duration = Duration::from_secs(1);
/// Between two attempts. Commands that look for a running server hold a lock for less than this.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Says that this process serves the directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Where a server really listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Of HTTP.
    pub http: SocketAddr,
    /// Of RTMP.
    pub rtmp: SocketAddr,
    /// Of RTMPS.
    pub rtmps: Option<SocketAddr>,
}

impl Lock {
    /// Locks `config.data_dir`, which is made when absent. A process that still drains is waited for.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when another server keeps the lock; [`Kind::Unavailable`] when there can be
    /// none.
    pub async fn take(config: &Config) -> Result<Self> {
        Self::within(&config.data_dir, config.shutdown_grace + BEYOND_GRACE).await
    }

    async fn within(directory: &Path, patience: Duration) -> Result<Self> {
        let path = path(directory);
        let failed = |error: io::Error| {
            let context = format!("data_dir: cannot lock {}", path.display());
            Error::with(Kind::Unavailable, context, error)
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let deadline = Instant::now() + patience;
        let mut attempts = 0_u32;
        while let Err(held) = file.try_lock() {
            match held {
                TryLockError::Error(error) => return Err(failed(error)),
                TryLockError::WouldBlock if Instant::now() >= deadline => {
                    return Err(in_use(directory));
                }
                TryLockError::WouldBlock => {}
            }
            // The first time it may be no more than a command that looks.
            attempts += 1;
            if attempts == 2 {
                info!(
                    directory = %directory.display(), ?patience,
                    "waiting: another server still uses this data_dir"
                );
            }
            sleep(ASK_EVERY).await;
        }
        // What a process left that was killed is nobody's address now.
        file.set_len(0).map_err(failed)?;
        Ok(Self { file })
    }

    /// Tells commands beside this server where it listens.
    pub fn tell(&mut self, addresses: &Addresses) {
        let text = serde_json::to_vec(addresses).expect("addresses are plain values");
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(&text));
        if let Err(error) = written {
            warn!(%error, "cannot write the addresses into {NAME}: commands print the configured ones");
        }
    }
}

/// Where the server listens that runs on `directory`; `None` without one, whatever an earlier one
/// left there.
pub fn running(directory: &Path) -> Option<Addresses> {
    let mut file = File::open(path(directory)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Nobody's, or not to be known. Closing the file lets the lock go.
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

fn in_use(directory: &Path) -> Error {
    let context = format!(
        "data_dir: another server uses {}: stop it, or give this one another data_dir",
        directory.display()
    );
    Error::new(Kind::Conflict, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            http: "127.0.0.1:8081".parse().unwrap(),
            rtmp: "127.0.0.1:1936".parse().unwrap(),
            rtmps: None,
        }
    }

    #[tokio::test]
    async fn the_second_waits_and_then_gives_up() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let first = Lock::within(&directory, Duration::ZERO).await.unwrap();
        let error = Lock::within(&directory, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
        let line = error.to_string();
        assert!(
            line.starts_with("data_dir: ") && !line.contains('\n'),
            "{line}"
        );

        let second = tokio::spawn({
            let directory = directory.clone();
            async move { Lock::within(&directory, Duration::from_secs(60)).await }
        });
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn addresses_are_believed_only_while_locked() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path();
        assert_eq!(running(directory), None);
        let mut lock = Lock::within(directory, Duration::ZERO).await.unwrap();
        assert_eq!(running(directory), None, "it does not listen yet");
        lock.tell(&addresses());
        assert_eq!(running(directory), Some(addresses()));
        drop(lock);
        assert!(
            path(directory).metadata().unwrap().len() > 0,
            "they are left"
        );
        assert_eq!(running(directory), None);
        let _next = Lock::within(directory, Duration::ZERO).await.unwrap();
        assert_eq!(running(directory), None, "not those of the one before");
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let blocked = parent.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = Lock::within(&blocked, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.to_string().starts_with("data_dir: "), "{error}");
    }
}
