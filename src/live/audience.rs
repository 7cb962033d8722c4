//! How many watch a stream: client addresses that fetched its media playlist lately, estimated
//! without a lock and without keeping an address. It does not know what they fetch or who they are.
//!
//! Linear counting: an address is hashed to a slot, which holds the time of its last fetch; how many
//! slots are fresh tells how many addresses there were. Below a hundred it is exact but for chance,
//! above it is within a few percent. A table that fills up gets a larger one beside it.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Slots of the tables, each a power of two; most streams need only the first (1 KiB).
const SLOTS: [usize; 3] = [256, 8192, 131_072];
/// What a slot counts time in, so that 32 bits last for years.
const TICK: Duration = Duration::from_millis(100);
/// An estimate stands for so many ticks: one that is asked for more often costs nothing.
const KEPT_TICKS: u32 = 5;

#[derive(Debug)]
struct Table {
    since: u32,
    /// Tick of the last fetch; 0 = none yet.
    slots: Box<[AtomicU32]>,
}

/// The recent audience of one stream.
#[derive(Debug)]
pub(super) struct Audience {
    origin: Instant,
    hasher: RandomState,
    tables: [OnceLock<Table>; SLOTS.len()],
    /// Tick and estimate.
    last: AtomicU64,
    most: u64,
}

impl Audience {
    /// Estimates end at `most` (`limits.pollers`).
    pub(super) fn new(most: usize) -> Self {
        Self {
            origin: Instant::now(),
            hasher: RandomState::new(),
            tables: Default::default(),
            last: AtomicU64::new(0),
            most: most as u64,
        }
    }

    /// `address` fetched the playlist.
    pub(super) fn seen(&self, address: IpAddr) {
        self.seen_at(address, self.tick());
    }

    /// How many addresses were seen within the last `span`.
    pub(super) fn count(&self, span: Duration) -> u64 {
        self.count_at(span, self.tick())
    }

    /// Now; never 0.
    fn tick(&self) -> u32 {
        u32::try_from(self.origin.elapsed().as_millis() / TICK.as_millis())
            .map_or(u32::MAX, |tick| tick.saturating_add(1))
    }

    fn table(&self, level: usize, tick: u32) -> &Table {
        self.tables[level].get_or_init(|| Table {
            since: tick,
            slots: (0..SLOTS[level]).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    fn seen_at(&self, address: IpAddr, tick: u32) {
        let hash = self.hasher.hash_one(address);
        self.table(0, tick);
        for table in self.tables.iter().map_while(OnceLock::get) {
            let slot = &table.slots[hash as usize & (table.slots.len() - 1)];
            // Reading first keeps the line shared between processors.
            if slot.load(Relaxed) != tick {
                slot.store(tick, Relaxed);
            }
        }
    }

    fn count_at(&self, span: Duration, tick: u32) -> u64 {
        let last = self.last.load(Relaxed);
        if last > 0 && tick.saturating_sub((last >> 32) as u32) < KEPT_TICKS {
            return last & u64::from(u32::MAX);
        }
        let span = u32::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
        let mut estimate = 0;
        for level in 0..SLOTS.len() {
            let Some(table) = self.tables[level].get() else {
                break;
            };
            // A younger table has not seen everybody yet.
            if level > 0 && tick.saturating_sub(table.since) < span {
                break;
            }
            let from = tick.saturating_sub(span).max(1);
            let fresh = |slot: &&AtomicU32| slot.load(Relaxed) >= from;
            let full = table.slots.iter().filter(fresh).count();
            estimate = linear(full, table.slots.len());
            if full * 2 > table.slots.len() && level + 1 < SLOTS.len() {
                self.table(level + 1, tick);
            }
        }
        let estimate = estimate.min(self.most).min(u64::from(u32::MAX));
        self.last.store(u64::from(tick) << 32 | estimate, Relaxed);
        estimate
    }
}

/// How many were thrown into `slots` when `full` of them were hit.
fn linear(full: usize, slots: usize) -> u64 {
    let slots = slots as f64;
    let empty = (slots - full as f64).max(0.5);
    (slots * (slots / empty).ln()).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(4);

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn see(audience: &Audience, count: u32, tick: u32) {
        for n in 0..count {
            audience.seen_at(address(n), tick);
        }
    }

    #[test]
    fn an_address_counts_once_and_is_forgotten() {
        let audience = Audience::new(100);
        assert_eq!(audience.count_at(SPAN, 1), 0);
        for tick in 10..40 {
            audience.seen_at(address(1), tick);
        }
        assert_eq!(audience.count_at(SPAN, 40), 1);
        assert_eq!(audience.count_at(SPAN, 79), 1);
        assert_eq!(audience.count_at(SPAN, 90), 0);
    }

    #[test]
    fn crowds_are_estimated_within_a_few_percent_and_up_to_the_limit() {
        let audience = Audience::new(50_000);
        for (count, start) in [(50, 100), (3000, 1000), (30_000, 2000), (200_000, 3000)] {
            // The tables grow while they are asked, as they fill.
            let mut estimate = 0;
            for tick in (start..).step_by(30).take(8) {
                see(&audience, count, tick);
                estimate = audience.count_at(SPAN, tick);
            }
            let expected = u64::from(count).min(50_000);
            let off = estimate.abs_diff(expected);
            assert!(off <= expected / 10 + 5, "{count}: {estimate}");
        }
    }

    #[test]
    fn an_estimate_stands_for_a_moment() {
        let audience = Audience::new(100);
        audience.seen_at(address(1), 10);
        assert_eq!(audience.count_at(SPAN, 10), 1);
        see(&audience, 20, 11);
        assert_eq!(audience.count_at(SPAN, 14), 1);
        assert!(audience.count_at(SPAN, 15) > 15);
    }
}
