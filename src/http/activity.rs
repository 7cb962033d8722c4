//! When a connection has been still for too long. Each connection's parts mark here what they see
//! (bytes read, a request begun, a write that blocks, a body's next piece), and one question is
//! answered: until when may it go on like this? It does not know sockets or HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::Counter;
use tokio::time::Instant;

/// How long each kind of stillness is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request's head, or from accept, to the head's end.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Between two steps forward of an answer that is being sent.
    pub write: Duration,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// No whole request head in time.
    Head,
    /// No further request in time.
    Idle,
    /// The client takes nothing of what it asked for.
    Write,
}

impl Overdue {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "header_timeout",
            Self::Idle => "idle",
            Self::Write => "write_timeout",
        }
    }
}

/// What one connection is doing. Times are milliseconds since it was accepted, plus one, so that
/// zero can say "not". Plain loads and stores are enough: one task at a time moves a connection,
/// and its HTTP/2 streams only ever postpone a deadline.
#[derive(Debug)]
pub struct Activity {
    accepted: Instant,
    patience: Patience,
    /// Requests whose answer is not wholly handed over or dropped.
    requests: AtomicUsize,
    /// Those of them that still have no answer.
    answering: AtomicUsize,
    /// Whether a request was ever begun.
    served: AtomicBool,
    /// Streams share the connection: bytes read may be of any of them.
    multiplexed: AtomicBool,
    /// When the last request ended; of accept before the first.
    rested: AtomicU64,
    /// When the head now being received began.
    head: AtomicU64,
    /// Since when the socket takes no more bytes.
    blocked: AtomicU64,
    /// When a body last gave a piece, of streams that share the connection.
    moved: AtomicU64,
    /// Bytes that bodies gave.
    sent: Counter,
}

impl Activity {
    /// A connection accepted now; `sent` counts its bodies' bytes.
    pub fn new(patience: Patience, sent: Counter) -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            patience,
            requests: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            rested: AtomicU64::new(1),
            head: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            sent,
        })
    }

    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, time: Instant) -> u64 {
        let since = time.duration_since(self.accepted).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    /// Bytes came.
    pub fn received(&self) {
        let between_requests = self.requests.load(Relaxed) == 0 && self.head.load(Relaxed) == 0;
        if between_requests && !self.multiplexed.load(Relaxed) {
            self.head.store(self.now(), Relaxed);
        }
    }

    /// The socket took bytes, or would not.
    pub fn wrote(&self, progress: bool) {
        if progress {
            self.blocked.store(0, Relaxed);
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.now(), Relaxed);
        }
    }

    /// A request came whole at `time`, and its answer left at once with `bytes` of a body.
    pub fn exchanged(&self, time: Instant, bytes: usize) {
        self.served.store(true, Relaxed);
        self.rested.store(self.at(time), Relaxed);
        self.sent.increment(bytes as u64);
    }

    /// A request's head is complete; it lasts as long as the ticket.
    pub fn begin(self: &Arc<Self>, multiplexed: bool) -> Ticket {
        self.multiplexed.store(multiplexed, Relaxed);
        self.served.store(true, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.answering.fetch_add(1, Relaxed);
        self.head.store(0, Relaxed);
        Ticket {
            activity: self.clone(),
            answered: false,
        }
    }

    /// Until when this state may last, and what it then is.
    fn limit(&self) -> Option<(u64, Overdue)> {
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let after = |since: u64, wait: Duration| since.saturating_add(ms(wait));
        let blocked = self.blocked.load(Relaxed);
        if blocked != 0 {
            return Some((after(blocked, self.patience.write), Overdue::Write));
        }
        if self.requests.load(Relaxed) > 0 {
            // HTTP/2 flow control holds bodies back without a blocked socket.
            let held = self.multiplexed.load(Relaxed) && self.answering.load(Relaxed) == 0;
            let moved = self.moved.load(Relaxed);
            return held.then(|| (after(moved, self.patience.write), Overdue::Write));
        }
        let head = self.head.load(Relaxed);
        let rested = self.rested.load(Relaxed);
        Some(if head != 0 {
            (after(head, self.patience.head), Overdue::Head)
        } else if self.served.load(Relaxed) {
            (after(rested, self.patience.idle), Overdue::Idle)
        } else {
            (after(rested, self.patience.head), Overdue::Head)
        })
    }

    /// `Err` when the connection must end now, else when to ask again. That is never later than the
    /// shortest patience from now, so that no state which begins meanwhile is missed.
    pub fn check(&self) -> Result<Instant, Overdue> {
        let now = self.now();
        let patience = self.patience;
        let shortest = patience.head.min(patience.idle).min(patience.write);
        let soon = Instant::now() + shortest;
        match self.limit() {
            Some((limit, why)) if limit <= now => Err(why),
            Some((limit, _)) => Ok(soon.min(Instant::now() + Duration::from_millis(limit - now))),
            None => Ok(soon),
        }
    }
}

/// One request under way. It ends when this is dropped: with the answer's body, or with the task.
#[derive(Debug)]
pub struct Ticket {
    activity: Arc<Activity>,
    answered: bool,
}

impl Ticket {
    /// The answer's head is ready, or a piece of its body was taken.
    pub fn progress(&mut self) {
        if !self.answered {
            self.answered = true;
            self.activity.answering.fetch_sub(1, Relaxed);
        }
        // Nobody asks while a request has the connection to itself.
        if self.activity.multiplexed.load(Relaxed) {
            self.activity.moved.store(self.activity.now(), Relaxed);
        }
    }

    /// A body gave bytes to be sent.
    pub fn gave(&mut self, bytes: usize) {
        self.progress();
        self.activity.sent.increment(bytes as u64);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let activity = &self.activity;
        if !self.answered {
            activity.answering.fetch_sub(1, Relaxed);
        }
        activity.rested.store(activity.now(), Relaxed);
        activity.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    async fn pass(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_newcomer_has_the_time_of_a_head() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        pass(9).await;
        assert!(activity.check().is_ok());
        pass(1).await;
        assert_eq!(activity.check(), Err(Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_not_extended() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        drop(activity.begin(false));
        pass(60).await;
        activity.received();
        pass(6).await;
        activity.received();
        assert!(activity.check().is_ok());
        pass(4).await;
        assert_eq!(activity.check(), Err(Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_it_may_rest_longer() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        drop(activity.begin(false));
        pass(74).await;
        assert!(activity.check().is_ok());
        pass(1).await;
        assert_eq!(activity.check(), Err(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_is_a_request() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        pass(9).await;
        activity.exchanged(Instant::now(), 7);
        pass(74).await;
        assert!(activity.check().is_ok());
        pass(1).await;
        assert_eq!(activity.check(), Err(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_write_ends_it_and_progress_does_not() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        let _request = activity.begin(false);
        for _ in 0..5 {
            activity.wrote(false);
            pass(29).await;
            activity.wrote(false);
            assert!(activity.check().is_ok());
            activity.wrote(true);
        }
        activity.wrote(false);
        pass(30).await;
        assert_eq!(activity.check(), Err(Overdue::Write));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_held_by_flow_control_ends_it() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        let mut request = activity.begin(true);
        pass(300).await;
        assert!(activity.check().is_ok(), "waiting for us is not its fault");
        request.progress();
        pass(29).await;
        activity.received();
        assert!(activity.check().is_ok());
        pass(1).await;
        assert_eq!(activity.check(), Err(Overdue::Write));
    }

    #[tokio::test(start_paused = true)]
    async fn asks_again_before_any_new_state_can_be_overdue() {
        let activity = Activity::new(PATIENCE, Counter::noop());
        drop(activity.begin(false));
        let soon = Instant::now() + Duration::from_secs(10);
        assert_eq!(activity.check(), Ok(soon));
    }
}
