//! Room on a full store: the recording that ended longest ago goes, one at a time, for as long as writes
//! find no room (media rule 30). It does not know how a recording is deleted.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Inner, Refused, archive::Health, meters};

/// How often a wait for a full store looks whether the registry is gone.
const LOOK: Duration = Duration::from_secs(5);
/// Before the next try when a recording could not be deleted.
const PAUSE: Duration = Duration::from_secs(1);

/// Sheds recordings until the registry is gone.
pub(super) async fn keep_room(inner: Weak<Inner>, health: Arc<Health>) {
    loop {
        let full = tokio::time::timeout(LOOK, health.filled()).await;
        let Some(inner) = inner.upgrade() else { return };
        if full.is_err() {
            continue;
        }
        match inner.delete_oldest_recording().await {
            Ok(Some(_)) => meters::recording_shed(),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "no room could be made on the full store");
                tokio::time::sleep(PAUSE).await;
            }
        }
        // What was refused meanwhile found the room of before: the next refusal counts.
        health.forget_filled();
    }
}

impl Inner {
    /// Whether the store takes a new publisher's segments: it is not full, or there is something to
    /// shed.
    pub(super) async fn store_has_room(&self) -> Result<(), Refused> {
        if !self.common.health.is_full() {
            return Ok(());
        }
        let oldest = self.common.db.old_recordings(i64::MAX, 1).await;
        match oldest {
            Ok(found) if !found.is_empty() => Ok(()),
            _ => Err(Refused::Full("storage is full".into())),
        }
    }
}
