//! Why the server should get no traffic, for `/readyz`. It does not know who asks, or what the
//! reasons are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Collects reasons from several places; the gravest is shown.
pub struct Readiness {
    reasons: Mutex<Reasons>,
    shown: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Reasons {
    /// A part of the server ended; it does not come back.
    failed: Option<String>,
    draining: bool,
    /// What does not work now, and may again.
    database: Option<String>,
}

impl Readiness {
    /// Ready.
    pub fn new() -> Self {
        Self {
            reasons: Mutex::default(),
            shown: watch::Sender::new(None),
        }
    }

    /// What is shown, now and later.
    pub fn watch(&self) -> watch::Receiver<Option<String>> {
        self.shown.subscribe()
    }

    /// A part ended that should not have.
    pub fn failed(&self, part: &str) {
        self.change(|reasons| {
            reasons
                .failed
                .get_or_insert_with(|| format!("{part} has stopped"));
        });
    }

    /// The server is about to end.
    pub fn draining(&self) {
        self.change(|reasons| reasons.draining = true);
    }

    /// Whether the database answers: `Some` says how not.
    pub fn database(&self, trouble: Option<String>) {
        self.change(|reasons| reasons.database = trouble);
    }

    fn change(&self, change: impl FnOnce(&mut Reasons)) {
        let mut reasons = self.lock();
        change(&mut reasons);
        let worst = match &*reasons {
            Reasons { draining: true, .. } => Some("draining".to_owned()),
            Reasons {
                failed: Some(part), ..
            } => Some(part.clone()),
            Reasons { database, .. } => database.clone(),
        };
        self.shown.send_if_modified(|shown| {
            let differs = *shown != worst;
            *shown = worst;
            differs
        });
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_trouble_passes_and_a_lasting_one_stays() {
        let readiness = Readiness::new();
        let watch = readiness.watch();
        let shown = || watch.borrow().clone();
        assert_eq!(shown(), None);
        readiness.database(Some("database: locked".into()));
        assert_eq!(shown().as_deref(), Some("database: locked"));
        readiness.database(None);
        assert_eq!(shown(), None);

        readiness.failed("rtmp");
        readiness.database(Some("database: locked".into()));
        readiness.database(None);
        assert_eq!(shown().as_deref(), Some("rtmp has stopped"));
        readiness.draining();
        assert_eq!(shown().as_deref(), Some("draining"));
    }

    #[test]
    fn nobody_is_told_what_did_not_change() {
        let readiness = Readiness::new();
        let watch = readiness.watch();
        readiness.database(None);
        assert!(!watch.has_changed().unwrap());
    }
}
