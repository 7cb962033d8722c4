//! A room of 10,000: memory of quiet sockets, deliveries a second, latencies at a pace, a storm of
//! returns and one member that stalls. nchan does the same broadcasts in turn. It prints both side by
//! side, medians of the runs; it does not judge them. Clients are this process, servers others.

mod servers;
mod sockets;

use std::{
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use servers::Server;
use sockets::{Member, Order, Result, Seen, crowd, leave, stamp};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Messages of the measure of deliveries a second, and how many are under way at once.
const MESSAGES: u64 = 100;
const UNDER_WAY: u64 = 8;
/// Of one measure at a pace.
const PACED: Duration = Duration::from_secs(6);
/// Until a room is quiet after all have come: counts of people go out once a second.
const QUIET: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);
/// Those who come back, and within which time.
const RETURNS: usize = 5000;
const RETURN_WITHIN: Duration = Duration::from_secs(10);

/// Figures by what they are of; each run adds one.
type Figures = BTreeMap<(&'static str, &'static str), Vec<f64>>;

fn main() -> Result<()> {
    // cargo adds `--bench`.
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let members = numbers.first().copied().unwrap_or(10_000);
    let runs = numbers.get(1).copied().unwrap_or(3);
    let only = |name: &str| std::env::args().any(|word| word == name);
    let needed = members + 1000;
    if servers::files_max()? < needed {
        return Err(format!("needs {needed} file descriptors: ulimit -n {needed}").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let figures = local.block_on(&runtime, async {
        let mut figures = Figures::new();
        for run in 1..=runs {
            println!("run {run} of {runs}");
            if !only("nchan") {
                ours(members, &mut figures).await?;
            }
            if !only("cauce") {
                theirs(members, &mut figures).await?;
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(figures)
    })?;
    print(&figures, members, runs);
    Ok(())
}

/// A server with its crowd.
struct Room {
    server: Server,
    members: Vec<Member>,
    seen: Rc<Seen>,
    began: Instant,
    said: u64,
}

impl Room {
    async fn fill(server: Server, members: usize, figures: &mut Figures) -> Result<Self> {
        let began = Instant::now();
        let seen = Seen::new(began);
        let before = server.memory();
        let members = crowd(server.address, &server.path, members, &seen).await?;
        let took = began.elapsed().as_secs_f64();
        add(
            figures,
            server.name,
            "sockets opened a second",
            members.len() as f64 / took,
        );
        sleep(QUIET).await;
        let each = (server.memory() - before) as f64 / members.len() as f64;
        add(
            figures,
            server.name,
            "resident a quiet socket, KiB",
            each / 1024.0,
        );
        Ok(Self {
            server,
            members,
            seen,
            began,
            said: 0,
        })
    }

    async fn say(&mut self) -> Result<()> {
        self.said += 1;
        self.server.say(&stamp(self.said, self.began)).await
    }

    /// As fast as the members take it.
    async fn flood(&mut self, figures: &mut Figures) -> Result<()> {
        let all = self.members.len() as u64;
        self.seen.deliveries.set(0);
        let (cpu, begin) = (self.server.cpu_s(), Instant::now());
        for n in 0..MESSAGES {
            let due = (n + 1).saturating_sub(UNDER_WAY) * all;
            if !self.seen.reaches(due, PATIENCE).await {
                return Err(format!("{}: deliveries have stopped", self.server.name).into());
            }
            self.say().await?;
        }
        let whole = self.seen.reaches(MESSAGES * all, PATIENCE).await;
        let took = begin.elapsed().as_secs_f64();
        let count = self.seen.deliveries.get() as f64;
        let cpu = self.server.cpu_s() - cpu;
        let name = self.server.name;
        if !whole {
            println!("{name}: {count} of {} were delivered", MESSAGES * all);
        }
        add(figures, name, "deliveries a second", count / took);
        add(
            figures,
            name,
            "CPU seconds a million deliveries",
            cpu / count * 1e6,
        );
        let _ = self.seen.latency_ms(&[]);
        Ok(())
    }

    /// So many a second; p50 and p99 of what was delivered.
    async fn pace(&mut self, per_s: u32, time: Duration) -> Result<Vec<f64>> {
        let all = self.members.len() as u64;
        self.seen.deliveries.set(0);
        self.seen.latencies_us.borrow_mut().clear();
        let mut ticks = interval(Duration::from_secs(1) / per_s);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let count = (time.as_secs_f64() * f64::from(per_s)) as u64;
        for _ in 0..count {
            ticks.tick().await;
            self.say().await?;
        }
        self.seen.reaches(count * all, PATIENCE).await;
        Ok(self.seen.latency_ms(&[50.0, 99.0]))
    }

    async fn paced(&mut self, figures: &mut Figures) -> Result<()> {
        let name = self.server.name;
        let ten = self.pace(10, PACED).await?;
        add(figures, name, "10 messages a second: p50, ms", ten[0]);
        add(figures, name, "10 messages a second: p99, ms", ten[1]);
        let (closed, missing) = (self.seen.closed.get(), self.seen.missing.get());
        let resyncs = self.seen.resyncs.get();
        let twenty = self.pace(20, PACED).await?;
        add(figures, name, "20 messages a second: p99, ms", twenty[1]);
        let lost = (self.seen.closed.get() - closed) as f64;
        add(figures, name, "20 messages a second: members lost", lost);
        let missing = (self.seen.missing.get() - missing) as f64;
        add(
            figures,
            name,
            "20 messages a second: messages missing",
            missing,
        );
        let resyncs = (self.seen.resyncs.get() - resyncs) as f64;
        add(figures, name, "20 messages a second: resyncs", resyncs);
        let memory = self.server.memory() as f64 / 1024.0 / 1024.0;
        add(
            figures,
            name,
            "20 messages a second: server resident, MiB",
            memory,
        );
        Ok(())
    }

    /// Half of the room breaks off and comes back while messages go on.
    async fn storm(&mut self, figures: &mut Figures) -> Result<()> {
        let all = self.members.len();
        self.seen.deliveries.set(0);
        let before = self.seen.missing.get();
        let begin = Instant::now();
        let count = RETURNS.min(all);
        for (n, member) in self.members.iter().take(count).enumerate() {
            let after = RETURN_WITHIN.mul_f64(0.8 * n as f64 / count as f64);
            member.order(Order::Return(after));
        }
        let mut said = 0;
        // All break off first.
        sleep(Duration::from_millis(200)).await;
        while self.seen.open.get() < all {
            self.say().await?;
            said += 1;
            sleep(Duration::from_millis(200)).await;
        }
        let took = begin.elapsed().as_secs_f64();
        self.say().await?;
        said += 1;
        let whole = self.seen.reaches(said * all as u64, PATIENCE).await;
        // What came twice is as wrong as what did not come.
        let lost = (said * all as u64).abs_diff(self.seen.deliveries.get());
        let missing = self.seen.missing.get() - before;
        let name = self.server.name;
        println!("{name}: {count} came back, {said} messages meanwhile, all delivered: {whole}");
        add(figures, name, "5,000 returns: seconds", took);
        add(
            figures,
            name,
            "5,000 returns: messages lost",
            (lost + missing) as f64,
        );
        Ok(())
    }

    /// p99 of the others with one member that stalls, over that without, in turns.
    async fn stalled(&mut self, figures: &mut Figures) -> Result<()> {
        let time = PACED / 2;
        let (mut without, mut with) = (vec![], vec![]);
        for _ in 0..3 {
            without.push(self.pace(10, time).await?[1]);
            let Some(one) = self.members.pop() else { break };
            one.order(Order::Stall);
            with.push(self.pace(10, time).await?[1]);
            leave(vec![one]).await;
        }
        let name = self.server.name;
        let (without, with) = (median(&mut without), median(&mut with));
        add(figures, name, "without a stalled member: p99, ms", without);
        add(figures, name, "with one stalled member: p99, ms", with);
        let times = with / without;
        add(figures, name, "with one stalled member: p99, times", times);
        Ok(())
    }
}

async fn ours(members: usize, figures: &mut Figures) -> Result<()> {
    let mut room = Room::fill(Server::cauce().await?, members, figures).await?;
    room.flood(figures).await?;
    room.paced(figures).await?;
    room.storm(figures).await?;
    room.stalled(figures).await?;
    sleep(QUIET).await;
    let memory = room.server.memory() as f64 / 1024.0 / 1024.0;
    add(figures, "cauce", "in the end: server resident, MiB", memory);
    leave(std::mem::take(&mut room.members)).await;
    Ok(())
}

async fn theirs(members: usize, figures: &mut Figures) -> Result<()> {
    let mut room = Room::fill(Server::nchan(members).await?, members, figures).await?;
    room.flood(figures).await?;
    room.paced(figures).await?;
    leave(std::mem::take(&mut room.members)).await;
    Ok(())
}

fn add(figures: &mut Figures, server: &'static str, what: &'static str, value: f64) {
    println!("  {server}: {what}: {value:.2}");
    figures.entry((what, server)).or_default().push(value);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(figures: &Figures, members: usize, runs: usize) {
    println!("{members} members, medians of {runs} interleaved runs\n");
    println!("| what | cauce | nchan |\n|---|---|---|");
    let mut rows: Vec<_> = figures.keys().map(|(what, _)| *what).collect();
    rows.dedup();
    for what in rows {
        let of = |server| {
            let values = figures.get(&(what, server));
            values.map_or("-".into(), |values| {
                format!("{:.2}", median(&mut values.clone()))
            })
        };
        println!("| {what} | {} | {} |", of("cauce"), of("nchan"));
    }
}
