//! Objects as files below one directory. It does not know what is in them, and it does not sync:
//! after a power cut the newest objects may be missing, never half there under their own name
//! while the file system keeps the order of write and rename (ext4 and XFS do).

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{
    Answer, Error, Key, Listed, Meta, Object, Store, cut_to,
    order::{Order, Turn},
};

/// Beginning of temporary names; no key's part begins with a dot.
const TEMPORARY: &str = ".put-";
/// Writes and deletes at once. A disk gains nothing from more, and each holds a thread.
const WRITES: usize = 16;
/// Reads and lists at once, apart from writes so that neither waits for the other.
const READS: usize = 32;
/// Times a put makes its directory again when a delete empties it at the same moment.
const ATTEMPTS: usize = 8;

/// Objects as files below one directory.
pub struct Disk {
    root: Arc<Path>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    order: Arc<Order>,
    temporaries: Arc<AtomicU64>,
    /// `root` could be written once.
    usable: Arc<AtomicBool>,
}

impl Disk {
    /// Opens the store in `root`, which is made when absent, and removes temporary files that a
    /// process left when it was killed. Blocks: meant for the start.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`] when `root` cannot be made, read or written.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let disk = Self::later(root);
        fs::create_dir_all(&disk.root).map_err(from_io)?;
        sweep(&disk.root)?;
        // A read-only disk shall be told at the start, not by the first segment.
        check(&disk.root)?;
        disk.usable.store(true, Ordering::Relaxed);
        Ok(disk)
    }

    /// The store in `root`, which perhaps cannot be used yet: until it can, lists and puts fail.
    pub fn later(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
            writes: Arc::new(Semaphore::new(WRITES)),
            reads: Arc::new(Semaphore::new(READS)),
            order: Arc::default(),
            temporaries: Arc::default(),
            usable: Arc::default(),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }
}

/// Runs `work` on a thread for blocking calls. The permit goes with the work: a caller that gives
/// up does not free a thread that still hangs.
async fn blocking<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let done = tokio::task::spawn_blocking(move || {
        let outcome = work();
        drop(permit);
        outcome
    });
    done.await
        .unwrap_or_else(|stopped| Err(Error::Io(io::Error::other(stopped))))
}

impl Store for Disk {
    fn put<'a>(&'a self, key: &'a Key, body: &'a [Bytes], _meta: Meta) -> Answer<'a, ()> {
        let turn = self.order.begin(key);
        let (path, body) = (self.path(key), body.to_vec());
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            blocking(&self.writes, move || {
                write_whole(&path, &body, number, &turn).map_err(from_io)
            })
            .await
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Answer<'a, Object> {
        let (path, key) = (self.path(key), key.clone());
        Box::pin(async move {
            blocking(&self.reads, move || match read(&path, range) {
                Err(Error::Io(error)) if is_absent(&error) => Err(Error::NotFound(key.to_string())),
                other => other,
            })
            .await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        let (root, usable) = (Arc::clone(&self.root), Arc::clone(&self.usable));
        Box::pin(async move {
            if !prefix.is_empty() {
                Key::new(prefix)?;
            }
            let prefix = prefix.to_owned();
            blocking(&self.reads, move || {
                // Nothing there and nothing to be had are not the same.
                if !usable.load(Ordering::Relaxed) {
                    check(&root)?;
                    usable.store(true, Ordering::Relaxed);
                }
                let mut found = Vec::new();
                walk(&root.join(&prefix), &prefix, &mut found)?;
                found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
                Ok(found)
            })
            .await
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        let root = Arc::clone(&self.root);
        let turns: Vec<_> = keys
            .iter()
            .map(|key| (self.path(key), self.order.begin(key)))
            .collect();
        Box::pin(async move {
            blocking(&self.writes, move || {
                for (path, turn) in &turns {
                    turn.take(|| remove(path))?;
                    prune(path, &root);
                }
                Ok(())
            })
            .await
        })
    }
}

fn write_whole(path: &Path, body: &[Bytes], number: u64, turn: &Turn) -> io::Result<()> {
    let directory = path.parent().expect("a key's path is below the root");
    let temporary = directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
    let mut attempt = 1;
    loop {
        match write_once(directory, &temporary, path, body, turn) {
            // A delete removed the directory between its making and the file's; or between the system's
            // "it exists" and the look at what it is.
            Err(error) if lost_its_directory(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                prune(path, directory.parent().unwrap_or(directory));
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
    }
}

fn lost_its_directory(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
    )
}

fn write_once(
    directory: &Path,
    temporary: &Path,
    path: &Path,
    body: &[Bytes],
    turn: &Turn,
) -> io::Result<()> {
    let mut file = match File::create(temporary) {
        // Only a directory's first object finds none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory)?;
            File::create(temporary)?
        }
        made => made?,
    };
    write_slices(&mut file, body)?;
    drop(file);
    if turn.take(|| fs::rename(temporary, path))?.is_none() {
        fs::remove_file(temporary)?;
    }
    Ok(())
}

/// Writes all of `body` with as few calls as the system allows.
fn write_slices(out: &mut impl Write, body: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = body
        .iter()
        .filter(|piece| !piece.is_empty())
        .map(|piece| IoSlice::new(piece))
        .collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match out.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read(path: &Path, range: Option<Range<u64>>) -> Result<Object, Error> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::Io(io::ErrorKind::NotFound.into()));
    }
    let size = meta.len();
    let range = cut_to(range, size)?;
    let length = usize::try_from(range.end - range.start)
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start))?;
    }
    let mut body = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut body)?;
    if body.len() != length {
        return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Object {
        body: body.into(),
        size,
        modified: meta.modified()?,
    })
}

/// Adds every object below `directory`, whose key is `prefix`. What vanishes meanwhile is skipped;
/// depth ends where keys end, because a path that is no key is not entered.
fn walk(directory: &Path, prefix: &str, found: &mut Vec<Listed>) -> Result<(), Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let full = match prefix {
            "" => name.to_owned(),
            _ => format!("{prefix}/{name}"),
        };
        let Ok(key) = Key::new(&full) else { continue };
        let meta = match entry.metadata() {
            Err(error) if is_absent(&error) => continue,
            other => other?,
        };
        if meta.is_dir() {
            walk(&entry.path(), &full, found)?;
        } else if meta.is_file() {
            found.push(Listed {
                key,
                size: meta.len(),
                modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if is_absent(&error) => Ok(()),
        other => other,
    }
}

/// Removes the directories above `path`, up to `root`, that are empty now.
fn prune(path: &Path, root: &Path) {
    let above = path.ancestors().skip(1);
    for directory in above.take_while(|directory| *directory != root && directory.starts_with(root))
    {
        // Refused by the system while anything is in it.
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

/// Makes `root` if need be, and writes there.
fn check(root: &Path) -> Result<(), Error> {
    let probe = root.join(format!("{TEMPORARY}probe-{}", std::process::id()));
    fs::create_dir_all(root)
        .and_then(|()| File::create(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .map_err(from_io)
}

/// Removes temporary files left below `directory`.
fn sweep(directory: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.to_string_lossy().starts_with('.') {
            sweep(&entry.path())?;
        } else if kind.is_file() && name.to_string_lossy().starts_with(TEMPORARY) {
            remove(&entry.path()).map_err(from_io)?;
        }
    }
    Ok(())
}

/// A path with a file or nothing where a directory or file should be names no object.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn from_io(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(error.to_string()),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::contract::{META, contract};

    #[tokio::test]
    async fn a_root_that_cannot_be_yet_may_come_later() {
        let parent = TempDir::new().unwrap();
        let blocked = parent.path().join("blocked");
        fs::write(&blocked, "").unwrap();
        assert!(Disk::open(blocked.join("media")).is_err());
        let disk = Disk::later(blocked.join("media"));
        assert!(disk.list("").await.is_err());
        let body = [Bytes::from_static(b"x")];
        assert!(disk.put(&key("a/b"), &body, META).await.is_err());
        fs::remove_file(&blocked).unwrap();
        assert!(disk.list("").await.unwrap().is_empty());
        disk.put(&key("a/b"), &body, META).await.unwrap();
        assert_eq!(disk.list("").await.unwrap().len(), 1);
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    #[tokio::test]
    async fn passes_the_contract() {
        let directory = TempDir::new().unwrap();
        let next = AtomicU64::new(0);
        contract(|| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            Disk::open(directory.path().join(number.to_string())).unwrap()
        })
        .await;
    }

    #[tokio::test]
    async fn orphans_are_swept_at_open_and_objects_stay() {
        let directory = TempDir::new().unwrap();
        let store = Disk::open(directory.path()).unwrap();
        store
            .put(&key("a/b"), &[Bytes::from_static(b"x")], META)
            .await
            .unwrap();
        let orphan = directory.path().join("a/.put-1-2");
        fs::write(&orphan, b"half").unwrap();
        assert_eq!(store.list("").await.unwrap().len(), 1);
        let store = Disk::open(directory.path()).unwrap();
        assert!(!orphan.exists());
        assert_eq!(&store.get(&key("a/b"), None).await.unwrap().body[..], b"x");
    }

    #[tokio::test]
    async fn empty_directories_go_with_their_last_object() {
        let directory = TempDir::new().unwrap();
        let store = Disk::open(directory.path()).unwrap();
        let (one, two) = (key("a/b/one"), key("a/two"));
        for key in [&one, &two] {
            store.put(key, &[], META).await.unwrap();
        }
        store.delete(&[one]).await.unwrap();
        assert!(!directory.path().join("a/b").exists());
        assert!(directory.path().join("a/two").exists());
        store.delete(&[two]).await.unwrap();
        assert!(directory.path().exists() && !directory.path().join("a").exists());
    }

    #[tokio::test]
    async fn a_failed_put_leaves_nothing_behind() {
        let directory = TempDir::new().unwrap();
        let store = Disk::open(directory.path()).unwrap();
        // An object where the put's directory should be.
        store.put(&key("a"), &[], META).await.unwrap();
        assert!(matches!(
            store.put(&key("a/b"), &[], META).await,
            Err(Error::Io(_))
        ));
        // A directory where the put's object should be.
        store.put(&key("c/d"), &[], META).await.unwrap();
        assert!(matches!(
            store.put(&key("c"), &[], META).await,
            Err(Error::Io(_))
        ));
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn a_full_disk_is_full() {
        // /dev/full answers every write with ENOSPC.
        let mut full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let error = write_slices(&mut full, &[Bytes::from_static(b"x")]).unwrap_err();
        assert!(matches!(from_io(error), Error::Full(_)));
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert!(matches!(from_io(read_only), Error::Io(_)));
    }

    #[test]
    fn short_writes_are_continued() {
        struct Three(Vec<u8>);
        impl Write for Three {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(3);
                self.0.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Three(vec![]);
        let body = [&b"ab"[..], b"", b"cdefgh", b"i"].map(Bytes::from_static);
        write_slices(&mut out, &body).unwrap();
        assert_eq!(out.0, b"abcdefghi");
    }

    #[tokio::test]
    async fn a_put_given_up_does_not_replace_a_later_one() {
        let directory = TempDir::new().unwrap();
        let store = Disk::open(directory.path()).unwrap();
        let k = key("k");
        // The older put took its turn first but only now comes to run.
        let older = store.order.begin(&k);
        store
            .put(&k, &[Bytes::from_static(b"new")], META)
            .await
            .unwrap();
        write_whole(&store.path(&k), &[Bytes::from_static(b"old")], 999, &older).unwrap();
        assert_eq!(&store.get(&k, None).await.unwrap().body[..], b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn puts_and_deletes_in_one_directory_do_not_fail_each_other() {
        let directory = TempDir::new().unwrap();
        let store = Arc::new(Disk::open(directory.path()).unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let key = key(&format!("d/{n}"));
                for _ in 0..20 {
                    store
                        .put(&key, &[Bytes::from_static(b"x")], META)
                        .await
                        .unwrap();
                    store.delete(std::slice::from_ref(&key)).await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert!(store.list("").await.unwrap().is_empty());
    }
}
