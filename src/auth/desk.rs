//! Desks: threads that hash passwords, each with the memory it works in. It does not know what a
//! password is.
//!
//! They are threads of their own that step back for all others. On a machine of few cores an answer
//! would else wait for a time slice of a login, several milliseconds; and a thread that is new, or
//! gets its memory anew, is ahead of the others for a moment again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use argon2::Block;
use rustix::{process::setpriority_process, thread::gettid};
use tokio::sync::oneshot;

/// How far they step back: setpriority(2), which Linux counts per thread. Not to the end (19), so
/// that people can log in while all cores are busy.
const NICE: i32 = 15;

/// How long a desk that nobody uses keeps its memory.
const KEPT: Duration = Duration::from_secs(10);

pub(super) type Blocks = Vec<Block>;

type Job = Box<dyn FnOnce(&mut Blocks) + Send>;
type Desk = mpsc::Sender<Job>;

/// As many as were ever in use at once; clones share them. They end with the last clone.
#[derive(Clone)]
pub(super) struct Desks {
    free: Arc<Mutex<Vec<Desk>>>,
    /// The memory of each.
    blocks: usize,
}

impl Desks {
    /// Their memory is so many blocks of a KiB.
    pub(super) fn new(blocks: usize) -> Self {
        Self {
            free: Arc::default(),
            blocks,
        }
    }

    /// Works at a desk. Cancel safe: the work is done in any case.
    ///
    /// # Errors
    /// When the system gives no thread, or the work panicked.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Blocks) -> T + Send + 'static,
    ) -> std::io::Result<T> {
        let ended = || std::io::Error::other("its thread ended");
        let free = self.free().pop();
        let desk = free.map_or_else(|| open(self.blocks), Ok)?;
        let (tell, told) = oneshot::channel();
        let (desks, back) = (self.clone(), desk.clone());
        let job: Job = Box::new(move |blocks| {
            let done = work(blocks);
            desks.free().push(back);
            let _ = tell.send(done);
        });
        desk.send(job).map_err(|_| ended())?;
        told.await.map_err(|_| ended())
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Desk>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(blocks: usize) -> std::io::Result<Desk> {
    let (desk, jobs) = mpsc::channel();
    let thread = thread::Builder::new().name("password".into());
    thread.spawn(move || {
        if let Err(error) = setpriority_process(Some(gettid()), NICE) {
            tracing::debug!(%error, "hashing does not step back for others");
        }
        while let Ok(job) = jobs.recv() {
            stay(blocks, job, &jobs);
        }
    })?;
    Ok(desk)
}

/// Does `job` and what comes soon after it, in the same memory.
fn stay(blocks: usize, job: Job, jobs: &Receiver<Job>) {
    let mut blocks = vec![Block::default(); blocks];
    job(&mut blocks);
    loop {
        match jobs.recv_timeout(KEPT) {
            Ok(job) => job(&mut blocks),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_desk_is_used_again_and_steps_back() {
        let desks = Desks::new(1);
        let who = |_: &mut Blocks| {
            (
                gettid(),
                rustix::process::getpriority_process(Some(gettid())),
            )
        };
        let first = desks.work(who).await.unwrap();
        let second = desks.work(who).await.unwrap();
        assert_eq!(first, second);
        assert_eq!(first.1, Ok(NICE));
        assert_ne!(first.0, gettid());
    }

    #[tokio::test]
    async fn those_at_the_same_time_have_desks_of_their_own() {
        let desks = Desks::new(1);
        let (go, wait) = mpsc::channel();
        let waits = desks.work(move |_| {
            wait.recv().unwrap();
            gettid()
        });
        let goes = async {
            let other = desks.work(|_| gettid()).await;
            go.send(()).unwrap();
            other
        };
        let (one, other) = tokio::join!(waits, goes);
        assert_ne!(one.unwrap(), other.unwrap());
        assert_eq!(desks.free().len(), 2);
    }

    #[tokio::test]
    async fn a_panic_costs_its_desk_only() {
        let desks = Desks::new(1);
        let error = desks.work(|_| panic!("as asked")).await;
        assert!(error.is_err_and(|error: std::io::Error| error.to_string().contains("ended")));
        assert_eq!(desks.work(|blocks| blocks.len()).await.unwrap(), 1);
    }
}
