//! Composition root: the only file that knows every part. It does not know what any of them does.

mod bucket;
mod certificates;
mod demo;
mod lock;
mod parts;
mod readiness;
mod rooms;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use storage::{Store, disk::Disk, memory::Memory};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{Instant, interval, timeout, timeout_at},
};
use tracing::{info, warn};

use self::{
    certificates::Certificates,
    lock::{Addresses, Lock},
    parts::Parts,
    readiness::Readiness,
};
use crate::{
    api::{self, Api},
    auth::{Auth, Secret},
    config::{Backend, Config},
    db::Db,
    error::{Error, Kind, Result},
    event::{Audience, Urls},
    http,
    hub::{Hub, turn::Turn},
    live::{self, Live},
    mail::Mail,
    rtmp, telemetry,
};

/// How often the database is asked whether it answers, and how long it may take.
const DATABASE_CHECK: Duration = Duration::from_secs(1);
const DATABASE_PATIENCE: Duration = Duration::from_secs(5);

/// A running server.
pub struct App {
    /// The real HTTP address.
    pub http: SocketAddr,
    /// The real RTMP address.
    pub rtmp: SocketAddr,
    /// The real RTMPS address.
    pub rtmps: Option<SocketAddr>,
    /// Writes its public URLs.
    pub urls: Urls,
    /// Its database.
    pub db: Db,
    /// Its secret, for keys of streams made in this process.
    pub secret: Secret,
    /// Its accounts.
    pub auth: Auth,
    /// Its live streams.
    pub live: Live,
    certificates: Certificates,
    readiness: Arc<Readiness>,
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
    shutdown_grace: Duration,
    /// The last to go.
    _lock: Lock,
}

/// The ports, taken before anything else is touched.
pub struct Ports {
    /// Of `http.listen`.
    pub http: TcpListener,
    /// Of `rtmp.listen`.
    pub rtmp: TcpListener,
    /// Of `rtmp.tls.listen`.
    pub rtmps: Option<TcpListener>,
}

impl Ports {
    /// Takes the configured ports.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], naming the key and the address.
    pub async fn take(config: &Config) -> Result<Self> {
        let http = take_port("http.listen", config.http.listen).await?;
        let rtmp = take_port("rtmp.listen", config.rtmp.listen).await?;
        let rtmps = match config.rtmp.tls.listen {
            Some(address) => Some(take_port("rtmp.tls.listen", address).await?),
            None => None,
        };
        Ok(Self { http, rtmp, rtmps })
    }
}

impl App {
    /// Takes the data directory and the ports, opens the database and the store, starts serving. A
    /// process that still drains on the same directory is waited for.
    ///
    /// # Errors
    /// What could not be taken or opened; nothing runs then.
    pub async fn start(config: Arc<Config>) -> Result<Self> {
        telemetry::start_log(&config.log)?;
        let lock = Lock::take(&config).await?;
        let ports = Ports::take(&config).await?;
        Self::start_on(config, ports, lock).await
    }

    /// The same with what was taken already. Clients that come early wait in their backlog.
    async fn start_on(config: Arc<Config>, ports: Ports, mut lock: Lock) -> Result<Self> {
        let address = |listener: &TcpListener| {
            listener
                .local_addr()
                .map_err(|error| Error::with(Kind::Unavailable, "cannot read a port", error))
        };
        let (http, rtmp) = (address(&ports.http)?, address(&ports.rtmp)?);
        let rtmps = ports.rtmps.as_ref().map(address).transpose()?;
        let certificates = Certificates::open(&config)?;
        let metrics = telemetry::metrics()?;
        let (mail, postman) = Mail::new(&config)?;
        let turn = open_turn(&config)?;
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file)?;
        let db = Db::open(&config.database_path, config.limits.db_queue)?;
        let store = open_store(&config).await?;
        let live = Live::start(config.clone(), store.clone(), db.clone()).await?;
        let auth = Auth::new(db.clone(), secret.clone(), &config);
        let audience = Arc::new(Audience::default());
        let hub = Hub::new(
            config.clone(),
            db.clone(),
            auth.clone(),
            rooms::sources(&config, &db, &live),
            audience.clone(),
            turn,
        );

        let readiness = Arc::new(Readiness::new());
        let urls = Urls::new(&config, http, rtmps.unwrap_or(rtmp));
        lock.tell(&Addresses { http, rtmp, rtmps });
        let api = Api {
            config: config.clone(),
            db: db.clone(),
            auth: auth.clone(),
            live: live.clone(),
            store,
            mail,
            audience,
            urls: urls.clone(),
            background: Arc::new(Semaphore::new(config.limits.background_calls)),
        };
        let state = Arc::new(http::State {
            config: config.clone(),
            live: live.clone(),
            api: api.clone(),
            hub: hub.clone(),
            urls: urls.clone(),
            metrics: metrics.clone(),
            not_ready: readiness.watch(),
        });
        let stop = watch::Sender::new(false);
        let mut parts = Parts::default();
        let tls = certificates.http.clone();
        let serve = http::serve(ports.http, tls, state, stop.subscribe());
        parts.start("http", serve);
        parts.start(
            "rtmp",
            rtmp::serve(
                rtmp::Listeners {
                    plain: ports.rtmp,
                    tls: ports.rtmps.zip(certificates.rtmp.clone()),
                },
                config.clone(),
                auth.clone(),
                live.clone(),
                stop.subscribe(),
            ),
        );
        let events = rooms::follow(live.events(), hub.clone());
        parts.start("room events", until_stop(events, stop.subscribe()));
        parts.start("rooms", hub.run(stop.subscribe()));
        let follow = {
            let live = live.clone();
            async move { live.watch_database().await }
        };
        parts.start("database follower", until_stop(follow, stop.subscribe()));
        let check = check_database(db.clone(), readiness.clone());
        parts.start("database check", until_stop(check, stop.subscribe()));
        if let Some(postman) = postman {
            parts.start("mail", postman.run(stop.subscribe()));
            let remind = api::keep_reminding(api);
            parts.start("reminders", until_stop(remind, stop.subscribe()));
        }
        let upkeep = telemetry::keep_up(metrics);
        parts.start("metrics", until_stop(upkeep, stop.subscribe()));
        info!(%http, %rtmp, "serving");
        Ok(Self {
            urls,
            http,
            rtmp,
            rtmps,
            db,
            secret,
            auth,
            live,
            supervisor: parts.supervise(readiness.clone(), stop.subscribe()),
            certificates,
            readiness,
            stop,
            shutdown_grace: config.shutdown_grace,
            _lock: lock,
        })
    }

    /// Reads the certificates again. Whatever happens is logged, and the server goes on.
    pub fn reload(&self) {
        self.certificates.reload();
    }

    /// Restart semantics: publishers are put out and what they sent is listed and stored while viewers
    /// are still answered, then ports and connections close, and last the database, all within
    /// `shutdown_grace`. Streams stay live: the next process goes on with them.
    pub async fn shutdown(mut self) {
        let start = Instant::now();
        // Each step leaves time for those after it.
        let tenths = |tenths: u32| start + self.shutdown_grace * tenths / 10;
        self.readiness.draining();
        if timeout_at(tenths(6), self.live.drain()).await.is_err() {
            warn!("the store did not take everything within shutdown_grace");
        }
        self.stop.send_replace(true);
        if timeout_at(tenths(8), &mut self.supervisor).await.is_err() {
            warn!("connections were still busy at the end of shutdown_grace");
            self.supervisor.abort();
        }
        if timeout_at(tenths(9), self.db.close()).await.is_err() {
            warn!("the database did not close within shutdown_grace");
        }
        info!("stopped");
    }
}

/// The servers that callers are told of, with the secret shared with them.
///
/// # Errors
/// [`Kind::Config`]: no URLs of such servers, or no secret.
pub fn open_turn(config: &Config) -> Result<Turn> {
    Turn::open(&config.voice)
}

/// Opens the store that `storage.backend` names.
///
/// # Errors
/// [`Kind::Unavailable`], naming the key and the path or bucket.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    match config.storage.backend {
        Backend::Memory => Ok(Arc::new(Memory::new(config.limits.memory_budget))),
        Backend::Disk => {
            let root = &config.storage.disk_root;
            let disk = match Disk::open(root) {
                Ok(disk) => disk,
                Err(error) if !config.storage.required => {
                    let root = root.display();
                    warn!(%error, %root, "starting without storage, as storage.required = false");
                    Disk::later(&*config.storage.disk_root)
                }
                Err(error) => {
                    let context = format!("storage.disk.root: cannot use {}", root.display());
                    return Err(Error::with(Kind::Unavailable, context, error));
                }
            };
            Ok(Arc::new(disk))
        }
        Backend::S3 => bucket::open(config).await,
    }
}

/// Reads and checks what slates show.
///
/// # Errors
/// `slate.file` is missing or unfit, in one line.
pub fn check_slate(config: &Config) -> Result<String> {
    live::check_slate(config)
}

/// Reads the configured certificates, as a start does; how many there are.
///
/// # Errors
/// One line naming the key.
pub fn check_certificates(config: &Config) -> Result<usize> {
    let Certificates { http, rtmp } = Certificates::open(config)?;
    Ok(http.iter().chain(&rtmp).count())
}

/// Runs the server with a sample publisher until a signal ends it; `as_json`: what it prints.
///
/// # Errors
/// As a start of the server.
pub async fn demo(config: Arc<Config>, as_json: bool) -> Result<()> {
    demo::run(&config, as_json).await
}

/// The public URLs as a command writes them that has no server of its own: from the configuration,
/// and for a configured port 0 with the real one of the server that runs on the data directory.
pub fn urls(config: &Config) -> Urls {
    let running = lock::running(&config.data_dir);
    let real = |configured: SocketAddr, pick: fn(&Addresses) -> Option<SocketAddr>| {
        let real = running.as_ref().filter(|_| configured.port() == 0);
        real.and_then(pick).unwrap_or(configured)
    };
    let http = real(config.http.listen, |at| Some(at.http));
    let rtmp = match config.rtmp.tls.listen {
        Some(listen) => real(listen, |at| at.rtmps),
        None => real(config.rtmp.listen, |at| Some(at.rtmp)),
    };
    Urls::new(config, http, rtmp)
}

/// Listens on the address that `key` names.
async fn take_port(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                Error::new(Kind::Unavailable, format!("{key}: {address} is in use"))
            }
            _ => {
                let context = format!("{key}: cannot listen on {address}");
                Error::with(Kind::Unavailable, context, error)
            }
        })
}

/// Runs `work` until the server stops.
async fn until_stop(work: impl Future<Output = ()>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Asks the database each second whether it answers, for `/readyz`. Never returns.
async fn check_database(db: Db, readiness: Arc<Readiness>) {
    let mut tick = interval(DATABASE_CHECK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let trouble = match timeout(DATABASE_PATIENCE, db.data_version()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                warn!(%error, "the database fails");
                Some("the database fails".to_owned())
            }
            Err(_) => Some("the database does not answer".to_owned()),
        };
        readiness.database(trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_by_its_key_and_address() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = take_port("rtmp.listen", address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("rtmp.listen: {address} is in use")
        );
        let nowhere = "192.0.2.1:1".parse().unwrap();
        let error = take_port("http.listen", nowhere).await.unwrap_err();
        let expected = "http.listen: cannot listen on 192.0.2.1:1: ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[tokio::test]
    async fn an_unusable_root_is_told_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut config = Config::default();
        config.storage.disk_root = file.join("media");
        let error = open_store(&config).await.err().unwrap();
        assert!(
            error.to_string().starts_with("storage.disk.root: "),
            "{error}"
        );
    }
}
