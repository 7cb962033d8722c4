//! Where finished objects live. One trait, one contract suite (`contract.rs`) that every backend
//! passes. It does not know what a segment or a playlist is.

pub mod contract;
pub mod disk;
pub mod fault;
pub mod key;
pub mod memory;
mod order;
pub mod s3;
#[cfg(test)]
mod tests;

use std::{future::Future, ops::Range, pin::Pin, time::SystemTime};

use bytes::Bytes;

pub use key::Key;

/// Headers an object is served with by backends that serve objects themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache_control: &'static str,
}

/// An object, or a range of it.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes asked for.
    pub body: Bytes,
    /// Length of the whole object.
    pub size: u64,
    /// When it was last put.
    pub modified: SystemTime,
}

/// One row of [`Store::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// Length in bytes.
    pub size: u64,
    /// When it was last put.
    pub modified: SystemTime,
}

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object.
    #[error("not found: {0}")]
    NotFound(String),
    /// Not a key.
    #[error("not an object key: {0}")]
    BadKey(String),
    /// No space, or over the memory backend's budget.
    #[error("storage is full: {0}")]
    Full(String),
    /// The range begins past the end.
    #[error("range begins past the object's {size} bytes")]
    Range {
        /// Length of the whole object.
        size: u64,
    },
    /// Anything else.
    #[error("storage: {0}")]
    Io(#[from] std::io::Error),
}

/// What every call returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A flat store of immutable or replaced-as-a-whole objects. A put is seen whole or not at all;
/// what was acknowledged can be got at once. Of writes to one key the one that began last wins, also
/// when an earlier one was given up by its caller. No key may be the first parts of another: a
/// backend may refuse the second of the two.
pub trait Store: Send + Sync + 'static {
    /// Stores the concatenation of `body` under `key`, replacing what was there.
    fn put<'a>(&'a self, key: &'a Key, body: &'a [Bytes], meta: Meta) -> Answer<'a, ()>;
    /// The object, or the part of it inside `range` (cut to the object's end).
    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Answer<'a, Object>;
    /// Every object whose key is under `prefix` (a key's first whole parts; "" = all), sorted by key.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>>;
    /// Deletes what exists of `keys`; one that does not is no error.
    fn delete<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()>;
}

/// `range` cut to an object of `size` bytes; `None` is all of it.
pub(crate) fn cut_to(range: Option<Range<u64>>, size: u64) -> Result<Range<u64>, Error> {
    let Some(range) = range else {
        return Ok(0..size);
    };
    if range.start >= size {
        return Err(Error::Range { size });
    }
    Ok(range.start..range.end.clamp(range.start, size))
}
