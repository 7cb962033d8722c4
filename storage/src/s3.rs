//! Objects in a bucket of any S3 server. It does not know which vendor's, and does not retry writes:
//! whoever puts knows for how long an object is worth it.
//!
//! **Which write wins.** In this process writes to one key run one after the other, and one that its
//! caller gave up keeps the key until it is answered or [`Settings::deadline`] is over. That alone
//! cannot recall bytes that a proxy or the server still holds. So each write of an object that can
//! change is conditional: it names the version that it replaces (`If-Match` with the ETag that the
//! server told, `If-None-Match: *` for the first). As soon as a newer write has replaced that
//! version, the late one is refused by the server. A refused write asks for the present version and
//! tries again, so another writer of the same bucket delays it and does not stop it. Objects that
//! call themselves immutable are written without a condition: what comes late is the same bytes.
//!
//! A segment whose write got no answer and which was deleted since is deleted once more later: the
//! write may land behind the delete, and nobody would ever delete it again.
//!
//! A server that does not know conditional writes ([`S3::is_conditional`]) has only the first half:
//! an attempt that was given up can still land after a newer one, if the server took it up and sat
//! on it for longer than the deadline.

mod answer;
mod doubt;
mod environment;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{
    Client,
    config::retry::RetryConfig,
    primitives::{ByteStream, DateTime},
    types::{Delete, ObjectIdentifier},
};
use bytes::{Bytes, BytesMut};

use self::{
    answer::{Failure, failure},
    doubt::Doubts,
};
use crate::{Answer, Error, Key, Listed, Meta, Object, Store, cut_to, order::Order};

/// Attempts of a read. Writes have one: see the file's head.
const READ_ATTEMPTS: u32 = 3;
/// Objects in one delete: what S3 allows.
const BATCH: usize = 1000;
/// Versions remembered. What is forgotten costs one question more at its next write.
const VERSIONS: usize = 10_000;
/// Attempts of one write that meets other versions than it expected.
const CHANGES: usize = 4;
/// Deadlines from a delete to its repetition for objects whose writes got no answer: longer than a
/// server sits on a request.
const AGAIN: u32 = 6;
/// The object that [`S3::check`] writes and deletes.
const PROBE: &str = "cauce-probe";

/// Where the bucket is and who we are there.
#[derive(Clone)]
pub struct Settings {
    /// Another vendor's URL; `None` is AWS.
    pub endpoint: Option<String>,
    /// Its name.
    pub bucket: String,
    /// `None`: from the environment or the AWS files, else `us-east-1`.
    pub region: Option<String>,
    /// Put before every key, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The bucket in the path, not in the host name.
    pub force_path_style: bool,
    /// With `secret_access_key`; else the standard chain: environment, files, the machine's role.
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    pub secret_access_key: Option<String>,
    /// Longest time for one call, connecting and repetitions included.
    pub deadline: Duration,
}

/// Objects in a bucket.
pub struct S3 {
    bucket: Arc<Bucket>,
    order: Arc<Order>,
}

struct Bucket {
    /// Without repetitions.
    writes: Client,
    reads: Client,
    name: String,
    /// Empty, or ends with a slash.
    prefix: String,
    /// ETags of objects that can change, as far as they are known.
    versions: Mutex<HashMap<Key, String>>,
    conditional: AtomicBool,
    doubts: Doubts,
    again_after: Duration,
}

impl S3 {
    /// A client of the bucket. Asks the network at most for credentials: [`S3::check`] tells whether
    /// the bucket can be used.
    ///
    /// # Errors
    /// [`Error::Io`] when region and credentials are not found within the deadline.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let deadline = settings.deadline;
        let shared = tokio::time::timeout(deadline, environment::load(&settings));
        let shared = shared
            .await
            .map_err(|_| answer::timed_out("looking for region and credentials"))?;
        let prefix = match settings.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(settings.force_path_style)
            .retry_config(RetryConfig::disabled());
        let reads = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS);
        Ok(Self {
            order: Arc::default(),
            bucket: Arc::new(Bucket {
                writes: Client::from_conf(config.clone().build()),
                reads: Client::from_conf(config.retry_config(reads).build()),
                name: settings.bucket,
                prefix,
                versions: Mutex::default(),
                conditional: AtomicBool::new(true),
                doubts: Doubts::default(),
                again_after: deadline * AGAIN,
            }),
        })
    }

    /// Lists, writes and deletes, and learns whether the server knows conditional writes.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `PermissionDenied` for credentials and rights, `NotFound` for the
    /// bucket, and others for a server that cannot be reached or does not answer as S3 does.
    pub async fn check(&self) -> Result<(), Error> {
        let bucket = &self.bucket;
        let list = bucket.reads.list_objects_v2().bucket(&bucket.name);
        let list = list.prefix(&bucket.prefix).max_keys(1).send().await;
        list.map_err(|error| failure(&error).for_bucket())?;
        let probe = Key::new(PROBE)?;
        let body = Bytes::from_static(b"may be deleted");
        let meta = Meta {
            content_type: "text/plain",
            cache_control: "no-store",
        };
        let mut is_conditional = false;
        for _ in 0..2 {
            match bucket.send(&probe, &body, meta, &Condition::New).await {
                Ok(_) => {}
                Err(Failure::Changed(_)) => is_conditional = true,
                Err(Failure::Unsupported(_)) => break,
                Err(other) => return Err(other.for_bucket()),
            }
        }
        bucket.conditional.store(is_conditional, Ordering::Relaxed);
        bucket.delete(&[probe]).await
    }

    /// Whether the server refuses a write that replaces another version than it says; true until
    /// the server showed otherwise.
    pub fn is_conditional(&self) -> bool {
        self.bucket.conditional.load(Ordering::Relaxed)
    }
}

/// What a write replaces.
enum Condition {
    Anything,
    New,
    Version(String),
}

impl Bucket {
    fn object(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    // Nothing under the lock can panic, so a poisoned one is whole.
    fn versions(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, key: &Key, version: Option<String>) {
        let mut versions = self.versions();
        let Some(version) = version else {
            versions.remove(key);
            return;
        };
        if versions.len() >= VERSIONS && !versions.contains_key(key) {
            versions.clear();
        }
        versions.insert(key.clone(), version);
    }

    /// One PUT; answers the new version.
    async fn send(
        &self,
        key: &Key,
        body: &Bytes,
        meta: Meta,
        condition: &Condition,
    ) -> Result<Option<String>, Failure> {
        let put = self
            .writes
            .put_object()
            .bucket(&self.name)
            .key(self.object(key))
            .content_type(meta.content_type)
            .cache_control(meta.cache_control)
            .body(ByteStream::from(body.clone()));
        let put = match condition {
            Condition::Anything => put,
            Condition::New => put.if_none_match("*"),
            Condition::Version(version) => put.if_match(version),
        };
        match put.send().await {
            Ok(done) => Ok(done.e_tag),
            // The version that it would replace is gone altogether.
            Err(error) => Err(match (failure(&error), condition) {
                (Failure::Absent(text), Condition::Version(_)) => Failure::Changed(text),
                (other, _) => other,
            }),
        }
    }

    async fn write(&self, key: &Key, body: &Bytes, meta: Meta) -> Result<(), Error> {
        let can_change = !meta.cache_control.contains("immutable");
        let mut last = None;
        for _ in 0..CHANGES {
            if !can_change || !self.conditional.load(Ordering::Relaxed) {
                break;
            }
            let known = self.versions().get(key).cloned();
            let condition = known.map_or(Condition::New, Condition::Version);
            match self.send(key, body, meta, &condition).await {
                Ok(version) => {
                    self.remember(key, version);
                    return Ok(());
                }
                Err(changed @ Failure::Changed(_)) => {
                    let version = self.version(key).await?;
                    self.remember(key, version);
                    last = Some(changed);
                }
                Err(Failure::Unsupported(_)) => self.conditional.store(false, Ordering::Relaxed),
                Err(other) => return Err(other.for_object(key)),
            }
        }
        if let Some(last) = last {
            return Err(last.for_object(key));
        }
        let sent = self.send(key, body, meta, &Condition::Anything).await;
        if let (Err(Failure::Other(_)), false) = (&sent, can_change) {
            self.doubts.note(key);
        }
        sent.map(drop).map_err(|failure| failure.for_object(key))
    }

    /// The version now there, if any.
    async fn version(&self, key: &Key) -> Result<Option<String>, Error> {
        let head = self.reads.head_object().bucket(&self.name);
        match head.key(self.object(key)).send().await {
            Ok(head) => Ok(head.e_tag),
            Err(error) => match failure(&error) {
                Failure::Absent(_) => Ok(None),
                other => Err(other.for_object(key)),
            },
        }
    }

    async fn size(&self, key: &Key) -> Result<(u64, SystemTime), Error> {
        let head = self.reads.head_object().bucket(&self.name);
        let head = head.key(self.object(key)).send().await;
        let head = head.map_err(|error| failure(&error).for_object(key))?;
        let size = head.content_length.unwrap_or(0).max(0).unsigned_abs();
        Ok((size, time(head.last_modified)))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Object, Error> {
        // HTTP has no empty range, and not every server has numbers so large.
        let is_odd = |r: &Range<u64>| r.end <= r.start || r.start > i64::MAX.unsigned_abs();
        if let Some(range) = range.clone().filter(is_odd) {
            let (size, modified) = self.size(key).await?;
            cut_to(Some(range), size)?;
            let body = Bytes::new();
            return Ok(Object {
                body,
                size,
                modified,
            });
        }
        let header = range.as_ref().map(|range| match range.end {
            end if end > i64::MAX.unsigned_abs() => format!("bytes={}-", range.start),
            end => format!("bytes={}-{}", range.start, end - 1),
        });
        let get = self.reads.get_object().bucket(&self.name);
        let got = get.key(self.object(key)).set_range(header).send().await;
        let got = match got {
            Ok(got) => got,
            Err(error) => match failure(&error) {
                Failure::Range => {
                    let (size, _) = self.size(key).await?;
                    return Err(Error::Range { size });
                }
                other => return Err(other.for_object(key)),
            },
        };
        let modified = time(got.last_modified);
        let told = got.content_range.as_deref().and_then(answer::whole_size);
        let body = got.body.collect().await.map_err(answer::cut_short)?;
        let body = body.into_bytes();
        let size = told.unwrap_or(body.len() as u64);
        // A server may ignore the range and send all.
        let body = match (range, told) {
            (Some(range), None) => {
                let range = cut_to(Some(range), size)?;
                // Both are within a length of memory.
                body.slice(range.start as usize..range.end as usize)
            }
            _ => body,
        };
        Ok(Object {
            body,
            size,
            modified,
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let under = match prefix {
            "" => self.prefix.clone(),
            _ => format!("{}{prefix}/", self.prefix),
        };
        let list = self.reads.list_objects_v2().bucket(&self.name);
        let mut pages = list.prefix(under).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failure(&error).for_bucket())?;
            for row in page.contents.unwrap_or_default() {
                let name = row.key.as_deref();
                let name = name.and_then(|name| name.strip_prefix(&self.prefix));
                // Somebody else's objects need not have names of ours.
                let Some(key) = name.and_then(|name| Key::new(name).ok()) else {
                    continue;
                };
                found.push(Listed {
                    key,
                    size: row.size.unwrap_or(0).max(0).unsigned_abs(),
                    modified: time(row.last_modified),
                });
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        for batch in keys.chunks(BATCH) {
            let mut delete = Delete::builder().quiet(true);
            for key in batch {
                let object = ObjectIdentifier::builder().key(self.object(key)).build();
                delete = delete.objects(object.map_err(answer::unfit)?);
            }
            let delete = delete.build().map_err(answer::unfit)?;
            let call = self.writes.delete_objects().bucket(&self.name);
            let done = call.delete(delete).send().await;
            let done = done.map_err(|error| failure(&error).for_bucket())?;
            let refused = done.errors.unwrap_or_default();
            if let Some(failure) = refused.iter().find_map(answer::undeleted) {
                return Err(failure.for_bucket());
            }
            for key in batch {
                self.remember(key, None);
            }
        }
        Ok(())
    }
}

fn time(time: Option<DateTime>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(time).ok())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The pieces as one: a signature covers the whole body, so it has to be there as a whole.
fn whole(body: &[Bytes]) -> Bytes {
    if let [only] = body {
        return only.clone();
    }
    let mut whole = BytesMut::with_capacity(body.iter().map(Bytes::len).sum());
    for piece in body {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}

/// Runs a write to its end even when the caller gives it up.
async fn to_the_end(
    write: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    let ended = tokio::spawn(write).await;
    ended.unwrap_or_else(|stopped| Err(Error::Io(std::io::Error::other(stopped))))
}

/// Once more, after a while, what may still land. If the process ends before, the next one finds it.
fn delete_again(bucket: &Arc<Bucket>, deleted: &[Key]) {
    let doubted = bucket.doubts.settle(deleted);
    if doubted.is_empty() {
        return;
    }
    let bucket = Arc::clone(bucket);
    tokio::spawn(async move {
        tokio::time::sleep(bucket.again_after).await;
        // Its failure leaves what the first one left: nothing that anybody lists.
        let _ = bucket.delete(&doubted).await;
    });
}

impl Store for S3 {
    fn put<'a>(&'a self, key: &'a Key, body: &'a [Bytes], meta: Meta) -> Answer<'a, ()> {
        let turn = self.order.begin(key);
        Box::pin(async move {
            let Some(alone) = turn.alone().await else {
                return Ok(());
            };
            let (bucket, key) = (Arc::clone(&self.bucket), key.clone());
            let body = whole(body);
            to_the_end(async move {
                bucket.write(&key, &body, meta).await?;
                turn.done();
                drop(alone);
                Ok(())
            })
            .await
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Answer<'a, Object> {
        Box::pin(self.bucket.read(key, range))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(async move {
            if !prefix.is_empty() {
                Key::new(prefix)?;
            }
            self.bucket.list(prefix).await
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        // Sorted, so that two deletes never wait for each other.
        let turns: BTreeMap<_, _> = keys
            .iter()
            .map(|key| (key.clone(), self.order.begin(key)))
            .collect();
        Box::pin(async move {
            let (mut held, mut left) = (Vec::new(), Vec::new());
            for (key, turn) in turns {
                if let Some(alone) = turn.alone().await {
                    held.push((alone, turn));
                    left.push(key);
                }
            }
            let bucket = Arc::clone(&self.bucket);
            to_the_end(async move {
                bucket.delete(&left).await?;
                delete_again(&bucket, &left);
                for (_, turn) in &held {
                    turn.done();
                }
                drop(held);
                Ok(())
            })
            .await
        })
    }
}
