//! Waiting for something to become true, with a deadline. It does not know what is waited for.

use std::time::{Duration, Instant};

/// Polls `condition` until it gives a value; fails the test after `seconds`.
#[track_caller]
pub fn until<T>(what: &str, seconds: u64, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {seconds} s in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}
