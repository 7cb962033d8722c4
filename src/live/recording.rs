//! The end of a recording that its owner wants no more. It does not know who asks.

use std::{sync::Arc, time::Duration};

use storage::Key;

use super::{Inner, layout};
use crate::{
    error::{Error, Kind, Result},
    name::StreamUid,
};

/// Deleting may take so many times longer than one attempt to write an object: a recording is
/// thousands of them.
const DEADLINES: u32 = 6;

impl Inner {
    /// See [`super::Live::delete_recording`]. In a task of its own: a caller that goes away does
    /// not leave half of it.
    pub(super) async fn delete_recording(self: &Arc<Self>, uid: &StreamUid) -> Result<()> {
        let (inner, uid) = (Arc::clone(self), uid.clone());
        let deleting = tokio::spawn(async move {
            let patience: Duration = inner.common.config.limits.store_deadline * DEADLINES;
            let deleted = tokio::time::timeout(patience, inner.delete_stored(&uid)).await;
            deleted.unwrap_or_else(|_| Err(failed("the store did not answer")))
        });
        deleting
            .await
            .unwrap_or_else(|error| Err(Error::with(Kind::Internal, "a deletion ended", error)))
    }

    async fn delete_stored(&self, uid: &StreamUid) -> Result<()> {
        if let Some(stream) = self.stream(uid) {
            // What is still on its way to the store would come after the deletion.
            stream.archive.idle().await;
        }
        let store = &self.common.store;
        let listed = store.list(uid.as_str()).await.map_err(failed)?;
        let thumbnail = layout::thumbnail(uid);
        let keys = listed.into_iter().map(|object| object.key);
        let keys: Vec<Key> = keys.filter(|key| *key != thumbnail).collect();
        store.delete(&keys).await.map_err(failed)?;
        tracing::info!(stream = %uid, objects = keys.len(), "recording deleted");
        Ok(())
    }
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::with(Kind::Unavailable, "a recording could not be deleted", cause)
}
