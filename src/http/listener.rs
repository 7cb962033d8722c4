//! The accept loop: who gets a seat, and how serving ends. It does not know HTTP.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinError, JoinSet},
    time::sleep,
};
use tracing::{debug, error, warn};

use super::{Server, client, connection, meter, socket};
use crate::tls::Wire;

/// Pause after an accept that failed for want of file descriptors or memory, which a client that
/// leaves gives back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` turns true, then lets every connection finish what it was asked.
pub async fn serve(listener: TcpListener, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let limits = &server.state.config.limits;
    let seats = Seats::new(
        limits.http_connections,
        limits.sockets_per_address,
        server.meter.connections().clone(),
    );
    let mut connections = JoinSet::new();
    let stop_each = stop.clone();
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    if let Some(seat) = admit(&seats, &server, peer) {
                        let stop = stop_each.clone();
                        connections.spawn(seated(stream, peer, server.clone(), stop, seat));
                    }
                }
                Err(error) => failed(&error, &mut failing).await,
            },
            Some(ended) = connections.join_next() => contain(ended),
            () = super::stopped(&mut stop) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        contain(ended);
    }
}

/// A seat for a newcomer, or none: the connection is then closed at once, which costs less than
/// telling it why, and is counted.
fn admit(seats: &Arc<Seats>, server: &Server, peer: SocketAddr) -> Option<Seat> {
    // A trusted proxy brings many clients from one address.
    let proxy = client::contains(&server.state.config.http.trusted_proxies, peer.ip());
    let owner = (!proxy).then(|| client::seat_owner(peer.ip()));
    match seats.take(owner) {
        Ok(seat) => Some(seat),
        Err(reason) => {
            debug!(%peer, reason, "connection refused");
            meter::cut(reason);
            None
        }
    }
}

async fn seated(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    mut stop: watch::Receiver<bool>,
    seat: Seat,
) {
    socket::configure(&stream);
    let wire = match &server.tls {
        None => Wire::Plain(stream),
        Some(tls) => {
            let shaken = tokio::select! {
                shaken = tls.accept(stream) => shaken,
                () = super::stopped(&mut stop) => return,
            };
            match shaken {
                Ok(wire) => wire,
                Err(why) => {
                    debug!(%peer, reason = why.as_str(), "connection ended");
                    return meter::cut(why.as_str());
                }
            }
        }
    };
    connection::serve(wire, peer, server, Arc::new(seat), stop).await;
}

/// An accept that failed: the client's own doing is no reason to wait. The first failure of a row is
/// logged, each is counted.
async fn failed(error: &io::Error, failing: &mut bool) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    if !std::mem::replace(failing, true) {
        warn!(%error, "cannot accept HTTP connections now");
    }
    meter::cut("accept_failed");
    sleep(ACCEPT_PAUSE).await;
}

/// A connection's end; a bug in one is not the others' end.
fn contain(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a bug ended an HTTP connection");
        meter::cut("panic");
    }
}

/// How many may sit at once, in all and of one address.
struct Seats {
    all: usize,
    each: usize,
    gauge: Gauge,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when dropped: also by the WebSocket that it became.
pub struct Seat {
    seats: Arc<Seats>,
    owner: Option<IpAddr>,
}

impl Seats {
    fn new(all: usize, each: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            gauge,
            taken: Mutex::default(),
        })
    }

    /// A seat; `owner` is counted against the limit of one address. `Err` names the limit that was hit.
    fn take(self: &Arc<Self>, owner: Option<IpAddr>) -> Result<Seat, &'static str> {
        let mut taken = self.lock();
        if taken.all >= self.all {
            return Err("http_connections");
        }
        if let Some(owner) = owner {
            match taken.by.entry(owner) {
                Entry::Occupied(entry) if *entry.get() >= self.each => {
                    return Err("sockets_per_address");
                }
                entry => *entry.or_default() += 1,
            }
        }
        taken.all += 1;
        self.gauge.set(taken.all as f64);
        Ok(Seat {
            seats: self.clone(),
            owner,
        })
    }

    /// Counts stay whole even when a holder of the lock panicked: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all -= 1;
        self.seats.gauge.set(taken.all as f64);
        if let Some(owner) = self.owner
            && let Entry::Occupied(mut entry) = taken.by.entry(owner)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }
    fn refused(result: Result<Seat, &'static str>) -> Option<&'static str> {
        result.err()
    }

    #[test]
    fn one_address_cannot_take_every_seat() {
        let seats = Seats::new(4, 2, Gauge::noop());
        let first = seats.take(from(1)).unwrap();
        let _second = seats.take(from(1)).unwrap();
        assert_eq!(refused(seats.take(from(1))), Some("sockets_per_address"));
        let _other = seats.take(from(2)).unwrap();
        drop(first);
        let _again = seats.take(from(1)).unwrap();
        assert_eq!(refused(seats.take(from(1))), Some("sockets_per_address"));
    }

    #[test]
    fn seats_are_limited_and_given_back() {
        let seats = Seats::new(2, 9, Gauge::noop());
        let first = seats.take(from(1)).unwrap();
        let second = seats.take(None).unwrap();
        assert_eq!(refused(seats.take(from(2))), Some("http_connections"));
        drop((first, second));
        assert_eq!(seats.lock().all, 0);
        assert!(seats.lock().by.is_empty());
    }

    #[test]
    fn a_trusted_proxy_brings_many() {
        let seats = Seats::new(9, 1, Gauge::noop());
        let all: Vec<_> = (0..9).map(|_| seats.take(None).unwrap()).collect();
        assert_eq!(all.len(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn want_of_descriptors_pauses_and_an_aborted_client_does_not() {
        let start = tokio::time::Instant::now();
        let mut failing = false;
        failed(&io::ErrorKind::ConnectionAborted.into(), &mut failing).await;
        assert_eq!((start.elapsed(), failing), (Duration::ZERO, false));
        failed(&io::Error::other("too many open files"), &mut failing).await;
        assert_eq!((start.elapsed(), failing), (ACCEPT_PAUSE, true));
    }
}
