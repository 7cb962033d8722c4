//! The server's long-running parts under one supervisor: one that ends by itself is told, and the
//! others go on. It does not know what the parts do.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    sync::watch,
    task::{Id, JoinHandle, JoinSet},
};
use tracing::error;

use super::readiness::Readiness;

/// Parts still being put together.
#[derive(Default)]
pub struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    /// Starts a part. It may return only after the server began to stop.
    pub fn start(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(part).id();
        self.names.insert(id, name);
    }

    /// Watches over them until all have returned. Dropping the supervisor's task ends them all.
    pub fn supervise(
        mut self,
        readiness: Arc<Readiness>,
        stopping: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let (id, how) = match ended {
                    Ok((id, ())) => (id, None),
                    Err(error) => (error.id(), Some(error)),
                };
                let name = self.names.remove(&id).unwrap_or("a part");
                if let Some(bug) = how {
                    error!(part = name, error = %bug, "a bug ended a part of the server");
                } else if !*stopping.borrow() {
                    error!(part = name, "a part of the server ended by itself");
                } else {
                    continue;
                }
                readiness.failed(name);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_told_and_the_others_go_on() {
        let readiness = Arc::new(Readiness::new());
        let mut shown = readiness.watch();
        let (stop, stopping) = watch::channel(false);
        let mut parts = Parts::default();
        parts.start("broken", async { panic!("for the test") });
        let mut until = stopping.clone();
        parts.start("sound", async move {
            let _ = until.wait_for(|stop| *stop).await;
        });
        let supervisor = parts.supervise(readiness, stopping);
        let reason = shown.wait_for(Option::is_some).await.unwrap().clone();
        assert_eq!(reason.as_deref(), Some("broken has stopped"));
        stop.send(true).unwrap();
        supervisor.await.unwrap();
    }

    #[tokio::test]
    async fn returning_while_stopping_is_no_failure() {
        let readiness = Arc::new(Readiness::new());
        let (_stop, stopping) = watch::channel(true);
        let mut parts = Parts::default();
        parts.start("done", async {});
        parts.supervise(readiness.clone(), stopping).await.unwrap();
        assert_eq!(*readiness.watch().borrow(), None);
    }

    #[tokio::test]
    async fn returning_early_is_a_failure() {
        let readiness = Arc::new(Readiness::new());
        let (_stop, stopping) = watch::channel(false);
        let mut parts = Parts::default();
        parts.start("early", async {});
        parts.supervise(readiness.clone(), stopping).await.unwrap();
        let shown = readiness.watch().borrow().clone();
        assert_eq!(shown.as_deref(), Some("early has stopped"));
    }
}
