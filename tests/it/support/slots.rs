//! A semaphore across test processes, so that encoders and players do not starve each other on a
//! small machine. It does not know who runs: a slot is a locked file, freed even by `kill -9`.

use std::{fs::File, path::Path};

use super::wait::until;

/// Tests with encoders or players that run at once.
const HEAVY: usize = 2;

/// Room for one heavy test; dropping it makes room for the next.
pub struct Slot(#[allow(dead_code, reason = "held for its lock")] File);

/// Waits for a slot. Take it before starting a server, so that the wait costs nothing.
pub fn heavy() -> Slot {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slots");
    std::fs::create_dir_all(&dir).unwrap();
    until("a free slot for a heavy test", 1200, || {
        (0..HEAVY).find_map(|n| {
            let file = File::create(dir.join(n.to_string())).unwrap();
            file.try_lock().is_ok().then_some(Slot(file))
        })
    })
}
