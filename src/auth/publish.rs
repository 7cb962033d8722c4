//! Which stream a publishing key opens: a stream's own key that one, a channel's permanent key what
//! the channel has open, or a new stream. It does not know who holds the claim.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{Auth, KeyHash};
use crate::{
    db::{NewStream, PublishTarget, Status, now_ms},
    error::Kind,
    name::{StreamKey, StreamUid},
};

/// A channel key is refused after a stop until nobody has tried it for so long, milliseconds: an
/// encoder that reconnects by itself tries again within seconds.
const QUIET_MS: u64 = 60_000;
/// Channels whose refused attempts are remembered.
const ATTEMPTS_MAX: usize = 10_000;

/// Why a publish was refused; the text is what the encoder is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Unknown or malformed key.
    #[error("unknown stream key")]
    UnknownKey,
    /// The stream was stopped or cancelled.
    #[error("this stream has ended: create a new one")]
    Ended,
    /// A channel key, and the channel's last stream was stopped.
    #[error(
        "this channel's stream was stopped: create a new one, or stop the encoder for a minute and start it again"
    )]
    Stopped,
    /// The account is banned.
    #[error("this account may not publish")]
    Banned,
    /// The database could not be asked.
    #[error("the server cannot check stream keys now: try again")]
    Unavailable,
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

impl Auth {
    /// The stream that `key` publishes to. The key is never logged: it is the whole credential.
    ///
    /// # Errors
    /// The refusal the encoder is shown.
    pub async fn authorize_publish(&self, key: &str) -> Result<StreamUid, PublishRefusal> {
        let key = StreamKey::parse(key).ok_or(PublishRefusal::UnknownKey)?;
        let hash = self.secret.key_hash(&key);
        // A second look when another connection of the channel was faster.
        for _ in 0..2 {
            match self.target(&hash).await? {
                PublishTarget::Stream { banned: true, .. }
                | PublishTarget::Channel { banned: true, .. } => {
                    return Err(PublishRefusal::Banned);
                }
                PublishTarget::Stream { uid, status, .. } => return open(uid, status),
                PublishTarget::Channel {
                    open: Some(uid), ..
                } => return Ok(uid),
                PublishTarget::Channel {
                    id, stopped_at_ms, ..
                } => {
                    self.admit(id, stopped_at_ms)?;
                    if let Some(uid) = self.create(id).await? {
                        return Ok(uid);
                    }
                }
            }
        }
        Err(PublishRefusal::Unavailable)
    }

    /// Asks again whether `key` publishes to `uid`, once the claim is granted: a key that was changed
    /// in between finds no publisher to put out.
    ///
    /// # Errors
    /// As [`Auth::authorize_publish`].
    pub async fn confirm_publish(&self, key: &str, uid: &StreamUid) -> Result<(), PublishRefusal> {
        let key = StreamKey::parse(key).ok_or(PublishRefusal::UnknownKey)?;
        let hash = self.secret.key_hash(&key);
        match self.target(&hash).await? {
            PublishTarget::Stream { banned: true, .. }
            | PublishTarget::Channel { banned: true, .. } => Err(PublishRefusal::Banned),
            PublishTarget::Stream { uid, status, .. } => open(uid, status).map(drop),
            PublishTarget::Channel { open, .. } if open.as_ref() == Some(uid) => Ok(()),
            PublishTarget::Channel { .. } => Err(PublishRefusal::Ended),
        }
    }

    async fn target(&self, hash: &KeyHash) -> Result<PublishTarget, PublishRefusal> {
        let found = self.db.publish_target(hash).await;
        found
            .map_err(|error| unavailable(&error))?
            .ok_or(PublishRefusal::UnknownKey)
    }

    fn admit(&self, channel_id: i64, stopped_at_ms: Option<i64>) -> Result<(), PublishRefusal> {
        let mut attempts = self
            .inner
            .publishes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match attempts.admits(channel_id, stopped_at_ms, now_ms()) {
            true => Ok(()),
            false => Err(PublishRefusal::Stopped),
        }
    }

    /// A new stream of the channel; `None` when it has got one in the meantime.
    async fn create(&self, channel_id: i64) -> Result<Option<StreamUid>, PublishRefusal> {
        let key = StreamKey::random();
        let new = NewStream {
            uid: StreamUid::random(),
            key: self.secret.key_hash(&key),
            key_sealed: self.secret.seal(&key),
            channel_id: Some(channel_id),
            title: String::new(),
            description: String::new(),
            record: true,
            program_date_time_ms: None,
            is_programed: false,
        };
        match self.db.add_stream(new, now_ms()).await {
            Ok(row) => Ok(Some(row.uid.clone())),
            Err(error) if error.kind == Kind::Conflict => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn open(uid: StreamUid, status: Status) -> Result<StreamUid, PublishRefusal> {
    match status {
        Status::Pending | Status::Live => Ok(uid),
        Status::Finished | Status::Cancel => Err(PublishRefusal::Ended),
    }
}

fn unavailable(error: &crate::error::Error) -> PublishRefusal {
    tracing::error!(%error, "a stream key could not be checked");
    PublishRefusal::Unavailable
}

/// Refused attempts with channel keys after a stop.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When each channel's key was last refused, milliseconds since 1970.
    last: HashMap<i64, i64>,
}

/// [`Attempts`] behind their lock.
pub(super) type SharedAttempts = Mutex<Attempts>;

impl Attempts {
    /// Whether a channel key may open a new stream: always, unless the channel's last stream was
    /// stopped, and then when nobody has tried for [`QUIET_MS`]. This is such a try.
    fn admits(&mut self, channel_id: i64, stopped_at_ms: Option<i64>, now_ms: i64) -> bool {
        let Some(stopped_at_ms) = stopped_at_ms else {
            self.last.remove(&channel_id);
            return true;
        };
        let last = self.last.get(&channel_id).copied();
        let last_ms = last.map_or(stopped_at_ms, |last| last.max(stopped_at_ms));
        // Both ways: a clock that was set back shuts nobody out.
        if is_quiet(last_ms, now_ms) {
            self.last.remove(&channel_id);
            return true;
        }
        if self.last.len() >= ATTEMPTS_MAX {
            self.last.retain(|_, last_ms| !is_quiet(*last_ms, now_ms));
        }
        // Where even that is not enough, the stop itself still counts.
        if self.last.len() < ATTEMPTS_MAX || last.is_some() {
            self.last.insert(channel_id, now_ms);
        }
        false
    }
}

fn is_quiet(last_ms: i64, now_ms: i64) -> bool {
    now_ms.abs_diff(last_ms) >= QUIET_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: i64 = 1_000_000;
    const QUIET: i64 = QUIET_MS as i64;

    #[test]
    fn without_a_stop_a_channel_key_is_always_taken() {
        let mut attempts = Attempts::default();
        for now in [0, 1, 2] {
            assert!(attempts.admits(1, None, now));
        }
        assert!(attempts.last.is_empty());
    }

    #[test]
    fn after_a_stop_it_waits_for_a_minute_of_quiet() {
        let mut attempts = Attempts::default();
        let mut tries = |now| attempts.admits(1, Some(STOP), now);
        // An encoder that comes again each 10 s is refused as long as it does.
        let mut now = STOP;
        for _ in 0..100 {
            assert!(!tries(now));
            now += 10_000;
        }
        now -= 10_000;
        assert!(!tries(now + QUIET - 1));
        now += QUIET - 1;
        assert!(tries(now + QUIET));
        assert!(attempts.last.is_empty());
    }

    #[test]
    fn the_stop_itself_counts_as_an_attempt() {
        let mut attempts = Attempts::default();
        assert!(attempts.admits(1, Some(STOP), STOP + QUIET));
        assert!(!attempts.admits(2, Some(STOP), STOP + QUIET - 1));
        // A later stop begins anew.
        assert!(!attempts.admits(1, Some(STOP + QUIET), STOP + QUIET + 1));
    }

    #[test]
    fn channels_do_not_wait_for_each_other() {
        let mut attempts = Attempts::default();
        assert!(!attempts.admits(1, Some(STOP), STOP + QUIET - 1));
        assert!(attempts.admits(2, Some(STOP), STOP + QUIET));
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out() {
        let mut attempts = Attempts::default();
        assert!(attempts.admits(1, Some(STOP), STOP - QUIET));
    }

    #[test]
    fn it_remembers_so_many_channels_and_no_more() {
        let mut attempts = Attempts::default();
        for channel in 0..ATTEMPTS_MAX as i64 + 10 {
            assert!(!attempts.admits(channel, Some(STOP), STOP));
        }
        assert_eq!(attempts.last.len(), ATTEMPTS_MAX);
        assert!(!attempts.admits(-1, Some(STOP + QUIET), STOP + QUIET));
        assert_eq!(attempts.last.len(), 1);
    }
}
