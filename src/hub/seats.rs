//! How many sockets one user or one address has at once. It does not know rooms.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::gauge;
use tokio::sync::watch;

/// All sockets of the hub.
#[derive(Debug)]
pub struct Seats {
    each_address: usize,
    each_user: usize,
    taken: Mutex<Taken>,
    all: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Taken {
    addresses: HashMap<IpAddr, usize>,
    users: HashMap<i64, usize>,
}

/// One socket's place, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    user: Option<i64>,
}

impl Seats {
    /// So many sockets for one address and one user.
    pub fn new(each_address: usize, each_user: usize) -> Arc<Self> {
        Arc::new(Self {
            each_address,
            each_user,
            taken: Mutex::default(),
            all: watch::Sender::new(0),
        })
    }

    /// A seat; `None` when the address has as many as it may.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let free = add(&mut self.lock().addresses, address, self.each_address);
        free.then(|| {
            self.all.send_modify(|all| *all += 1);
            self.tell();
            Seat {
                seats: self.clone(),
                address,
                user: None,
            }
        })
    }

    /// Resolves when nobody is seated.
    pub async fn empty(&self) {
        let mut all = self.all.subscribe();
        // The sender lives as long as `self`.
        let _ = all.wait_for(|all| *all == 0).await;
    }

    fn tell(&self) {
        gauge!("cauce_hub_sockets").set(*self.all.borrow() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The socket's user; false when that one has as many sockets as it may.
    pub fn belongs_to(&mut self, user: i64) -> bool {
        if self.user == Some(user) {
            return true;
        }
        let mut taken = self.seats.lock();
        if !add(&mut taken.users, user, self.seats.each_user) {
            return false;
        }
        if let Some(before) = self.user.replace(user) {
            remove(&mut taken.users, before);
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        remove(&mut taken.addresses, self.address);
        if let Some(user) = self.user {
            remove(&mut taken.users, user);
        }
        drop(taken);
        self.seats.all.send_modify(|all| *all -= 1);
        self.seats.tell();
    }
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, max: usize) -> bool {
    match counts.entry(key) {
        Entry::Occupied(entry) if *entry.get() >= max => false,
        entry => {
            *entry.or_default() += 1;
            true
        }
    }
}

fn remove<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_users_are_limited_and_places_come_back() {
        let seats = Seats::new(2, 1);
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut first = seats.take(address).unwrap();
        let mut second = seats.take(address).unwrap();
        assert!(seats.take(address).is_none());
        assert!(seats.take([192, 0, 2, 2].into()).is_some());
        assert!(first.belongs_to(7) && first.belongs_to(7));
        assert!(!second.belongs_to(7));
        assert!(first.belongs_to(8) && second.belongs_to(7));
        drop((first, second));
        seats.empty().await;
        let taken = seats.lock();
        assert!(taken.addresses.is_empty() && taken.users.is_empty());
    }
}
