//! Finished segments in memory, all streams together, under one budget (`limits.memory_budget`).
//! Pure: it decides what goes, and does not know the store that it can be read back from.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::SystemTime,
};

use bytes::Bytes;

use super::{Served, layout};
use crate::name::{SegmentName, StreamUid};

/// A segment of a stream.
pub(super) type Id = (StreamUid, SegmentName);

/// What a segment needs before memory may forget its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// The store has it: bytes go, and are read back on demand.
    Stored,
    /// No playlist lists it: the store is this memory too, so that it goes altogether.
    Unlisted,
}

/// How safe a segment's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Safety {
    /// Only here; the store is being asked.
    Unprotected,
    /// Only here, and the store has been given up on.
    Abandoned,
    /// In the store.
    Stored,
}

struct Slot {
    body: Option<Arc<[Bytes]>>,
    /// Finds the bytes again while an answer that is being sent holds them.
    sent: Option<Weak<[Bytes]>>,
    len: u64,
    modified: SystemTime,
    order: u64,
    safety: Safety,
    listed: bool,
}

/// Where a segment's bytes are.
pub(super) enum Found {
    /// Here.
    Here(Served),
    /// In the store only.
    Stored,
}

/// The ledger.
pub(super) struct Memory {
    budget_bytes: u64,
    spare: Spare,
    held_bytes: u64,
    next_order: u64,
    slots: HashMap<Id, Slot>,
    /// What may go, oldest first, and after all that: what is lost when it goes.
    first: BTreeMap<u64, Id>,
    last: BTreeMap<u64, Id>,
}

impl Memory {
    /// An empty ledger.
    pub(super) fn new(budget_bytes: u64, spare: Spare) -> Self {
        Self {
            budget_bytes,
            spare,
            held_bytes: 0,
            next_order: 0,
            slots: HashMap::new(),
            first: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Takes a finished segment that will be listed; answers what had to go altogether.
    pub(super) fn admit(&mut self, id: &Id, body: Arc<[Bytes]>, modified: SystemTime) -> Vec<Id> {
        let slot = Slot {
            len: total(&body),
            sent: Some(Arc::downgrade(&body)),
            body: None,
            modified,
            order: 0,
            safety: Safety::Unprotected,
            listed: true,
        };
        self.remove(id);
        self.slots.insert(id.clone(), slot);
        self.hold(id, body)
    }

    /// Notes a segment that only the store has.
    pub(super) fn know(&mut self, id: &Id, len: u64, modified: SystemTime, listed: bool) {
        let slot = Slot {
            len,
            sent: None,
            body: None,
            modified,
            order: 0,
            safety: Safety::Stored,
            listed,
        };
        self.remove(id);
        self.slots.insert(id.clone(), slot);
    }

    /// Takes bytes read back from the store, as the newest; nothing when the segment is gone.
    pub(super) fn readmit(&mut self, id: &Id, body: Arc<[Bytes]>) -> Option<Served> {
        if self.slots.get(id)?.body.is_none() {
            self.hold(id, Arc::clone(&body));
        }
        let slot = self.slots.get_mut(id)?;
        slot.sent = Some(Arc::downgrade(&body));
        Some(served(id, slot, body))
    }

    fn hold(&mut self, id: &Id, body: Arc<[Bytes]>) -> Vec<Id> {
        self.next_order += 1;
        if let Some(slot) = self.slots.get_mut(id) {
            slot.order = self.next_order;
            self.held_bytes += slot.len;
            slot.body = Some(body);
        }
        self.sort(id);
        self.shrink(0)
    }

    /// Files `id` by whether it may go.
    fn sort(&mut self, id: &Id) {
        let Some(slot) = self.slots.get(id) else {
            return;
        };
        self.first.remove(&slot.order);
        self.last.remove(&slot.order);
        if slot.body.is_none() {
            return;
        }
        match (self.spare, slot.safety, slot.listed) {
            (Spare::Stored, Safety::Stored, _) | (Spare::Unlisted, _, false) => {
                self.first.insert(slot.order, id.clone());
            }
            (Spare::Stored, Safety::Abandoned, _) => {
                self.last.insert(slot.order, id.clone());
            }
            _ => {}
        }
    }

    /// Drops the oldest that may go until the budget has room for `more_bytes`. Answers what went
    /// altogether.
    fn shrink(&mut self, more_bytes: u64) -> Vec<Id> {
        let mut gone = Vec::new();
        while self.held_bytes.saturating_add(more_bytes) > self.budget_bytes {
            let next = self.first.pop_first().or_else(|| self.last.pop_first());
            let Some((_, id)) = next else { break };
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            self.held_bytes -= slot.len;
            slot.body = None;
            if slot.safety != Safety::Stored || self.spare == Spare::Unlisted {
                self.slots.remove(&id);
                gone.push(id);
            }
        }
        gone
    }

    /// With the memory backend: makes room for `more_bytes`, as far as can be.
    pub(super) fn make_room(&mut self, more_bytes: u64) -> Vec<Id> {
        match self.spare {
            Spare::Stored => Vec::new(),
            Spare::Unlisted => self.shrink(more_bytes),
        }
    }

    fn change(&mut self, id: &Id, change: impl FnOnce(&mut Slot)) -> Vec<Id> {
        if let Some(slot) = self.slots.get_mut(id) {
            change(slot);
        }
        self.sort(id);
        self.shrink(0)
    }

    /// The store acknowledged it. Answers what had to go altogether, as the next two do.
    pub(super) fn stored(&mut self, id: &Id) -> Vec<Id> {
        self.change(id, |slot| slot.safety = Safety::Stored)
    }

    /// The store will not have it.
    pub(super) fn abandoned(&mut self, id: &Id) -> Vec<Id> {
        self.change(id, |slot| slot.safety = Safety::Abandoned)
    }

    /// It is to be treated as one that is listed.
    pub(super) fn listed(&mut self, id: &Id) {
        // Nothing is freed by it, so that nothing has to go.
        drop(self.change(id, |slot| slot.listed = true));
    }

    /// It left the playlist.
    pub(super) fn unlisted(&mut self, id: &Id) -> Vec<Id> {
        self.change(id, |slot| slot.listed = false)
    }

    /// Forgets a segment: nobody can fetch it any more.
    pub(super) fn remove(&mut self, id: &Id) {
        if let Some(slot) = self.slots.remove(id) {
            self.first.remove(&slot.order);
            self.last.remove(&slot.order);
            if slot.body.is_some() {
                self.held_bytes -= slot.len;
            }
        }
    }

    /// Where the bytes are; `None` when it cannot be fetched.
    pub(super) fn find(&self, id: &Id) -> Option<Found> {
        let slot = self.slots.get(id)?;
        let body = slot.body.clone().or_else(|| slot.sent.as_ref()?.upgrade());
        Some(match body {
            Some(body) => Found::Here(served(id, slot, body)),
            None => Found::Stored,
        })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.held_bytes
    }

    /// There is no room for `more_bytes`, not even without all that may go at no loss.
    pub(super) fn is_full(&self, more_bytes: u64) -> bool {
        let spare = self.first.values().filter_map(|id| self.slots.get(id));
        let spare_bytes: u64 = spare.map(|slot| slot.len).sum();
        self.held_bytes - spare_bytes + more_bytes > self.budget_bytes
    }
}

fn total(body: &[Bytes]) -> u64 {
    body.iter().map(|piece| piece.len() as u64).sum()
}

fn served(id: &Id, slot: &Slot, body: Arc<[Bytes]>) -> Served {
    let (_, name) = id;
    Served {
        body,
        len: slot.len,
        etag: layout::segment_tag(name),
        modified: slot.modified,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::SessionId;

    fn id(sequence: u64) -> Id {
        let session = SessionId::parse("s").unwrap();
        (
            StreamUid::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
            SegmentName { session, sequence },
        )
    }

    fn body(len: usize) -> Arc<[Bytes]> {
        Arc::new([Bytes::from(vec![0; len])])
    }

    fn admit(memory: &mut Memory, n: u64, len: usize) -> Vec<Id> {
        memory.admit(&id(n), body(len), SystemTime::UNIX_EPOCH)
    }

    fn is_here(memory: &Memory, n: u64) -> bool {
        matches!(memory.find(&id(n)), Some(Found::Here(_)))
    }

    #[test]
    fn past_the_budget_the_oldest_stored_go_and_can_come_back() {
        let mut memory = Memory::new(100, Spare::Stored);
        for n in 0..3 {
            admit(&mut memory, n, 40);
        }
        assert_eq!(memory.bytes(), 120, "what is not stored yet cannot go");
        assert!(memory.stored(&id(1)).is_empty());
        assert!(is_here(&memory, 0) && !is_here(&memory, 1));
        assert!(matches!(memory.find(&id(1)), Some(Found::Stored)));
        memory.stored(&id(0));
        memory.stored(&id(2));
        // Read back, it is the newest, and the oldest makes room.
        assert!(memory.readmit(&id(1), body(40)).is_some());
        assert!(is_here(&memory, 1) && is_here(&memory, 2) && !is_here(&memory, 0));
        assert!(memory.readmit(&id(9), body(1)).is_none(), "gone meanwhile");
    }

    #[test]
    fn bytes_that_are_being_sent_are_found_without_a_read() {
        let mut memory = Memory::new(10, Spare::Stored);
        admit(&mut memory, 0, 10);
        let Some(Found::Here(sending)) = memory.find(&id(0)) else {
            panic!("admitted");
        };
        memory.stored(&id(0));
        admit(&mut memory, 1, 10);
        assert!(is_here(&memory, 0));
        assert_eq!(memory.bytes(), 10);
        drop(sending);
        assert!(!is_here(&memory, 0));
    }

    #[test]
    fn what_the_store_gave_up_goes_last_and_for_good() {
        let mut memory = Memory::new(100, Spare::Stored);
        for n in 0..3 {
            admit(&mut memory, n, 50);
        }
        assert_eq!(memory.abandoned(&id(0)), [id(0)]);
        assert!(memory.find(&id(0)).is_none());
        memory.abandoned(&id(1));
        memory.stored(&id(2));
        assert!(
            admit(&mut memory, 3, 50).is_empty(),
            "the stored one goes first"
        );
        assert!(is_here(&memory, 1) && !is_here(&memory, 2));
    }

    #[test]
    fn with_the_memory_backend_the_oldest_unlisted_go_and_then_it_is_full() {
        let mut memory = Memory::new(100, Spare::Unlisted);
        for n in 0..2 {
            admit(&mut memory, n, 40);
            assert!(memory.stored(&id(n)).is_empty());
        }
        assert!(!memory.is_full(1));
        assert!(memory.unlisted(&id(0)).is_empty());
        assert_eq!(admit(&mut memory, 2, 40), [id(0)]);
        assert_eq!(memory.make_room(40), []);
        memory.unlisted(&id(1));
        assert_eq!(memory.make_room(40), [id(1)]);
        admit(&mut memory, 3, 40);
        admit(&mut memory, 4, 40);
        assert!(memory.is_full(1), "all that is held is listed");
    }

    #[derive(Clone, Debug)]
    enum Call {
        Admit(u64, usize),
        Stored(u64),
        Abandoned(u64),
        Unlisted(u64),
        Readmit(u64),
        Remove(u64),
    }

    fn call() -> impl Strategy<Value = Call> {
        let n = 0..12u64;
        prop_oneof![
            (n.clone(), 0..60usize).prop_map(|(n, len)| Call::Admit(n, len)),
            n.clone().prop_map(Call::Stored),
            n.clone().prop_map(Call::Abandoned),
            n.clone().prop_map(Call::Unlisted),
            n.clone().prop_map(Call::Readmit),
            n.prop_map(Call::Remove),
        ]
    }

    proptest! {
        #[test]
        fn the_sum_is_right_and_over_budget_only_with_what_may_not_go(
            calls in prop::collection::vec(call(), 1..80),
            spare in prop::sample::select(vec![Spare::Stored, Spare::Unlisted]),
        ) {
            let mut memory = Memory::new(100, spare);
            for call in calls {
                match call {
                    Call::Admit(n, len) => drop(admit(&mut memory, n, len)),
                    Call::Stored(n) => drop(memory.stored(&id(n))),
                    Call::Abandoned(n) => drop(memory.abandoned(&id(n))),
                    Call::Unlisted(n) => drop(memory.unlisted(&id(n))),
                    Call::Readmit(n) => {
                        let len = memory.slots.get(&id(n)).map_or(0, |slot| slot.len);
                        memory.readmit(&id(n), body(len as usize));
                    }
                    Call::Remove(n) => memory.remove(&id(n)),
                }
                let held = memory.slots.values().filter(|slot| slot.body.is_some());
                prop_assert_eq!(memory.bytes(), held.map(|slot| slot.len).sum::<u64>());
                let free = memory.first.len() + memory.last.len();
                prop_assert!(memory.bytes() <= 100 || free == 0);
                for filed in memory.first.values().chain(memory.last.values()) {
                    prop_assert!(memory.slots[filed].body.is_some());
                }
            }
        }
    }
}
