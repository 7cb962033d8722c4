//! Servers under test: in this process ([`Server`]) or as the real binary ([`Process`]), each with
//! its own data directory and free ports. It does not know what is published to them.

use std::{
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use cauce::{app::App, config::Config, live::Live};
use serde_json::Value;
use tempfile::TempDir;

use super::{child::Running, http, playlist::Poller, wait::until};

/// A stream made for a test.
#[derive(Clone, Debug)]
pub struct Key {
    pub uid: String,
    pub key: String,
}

/// Where a server is; what both kinds have in common.
#[derive(Clone)]
pub struct Site {
    pub http: SocketAddr,
    pub rtmp: SocketAddr,
    /// Of `rtmp.tls.listen`.
    pub rtmps: Option<SocketAddr>,
    pub data_dir: PathBuf,
}

impl Site {
    /// Makes a stream beside the running server, as an operator does.
    #[track_caller]
    pub fn create(&self) -> Key {
        create(&self.data_dir)
    }

    /// GET without extra headers.
    #[track_caller]
    pub fn get(&self, path: &str) -> http::Reply {
        http::get(self.http, path)
    }

    /// The path of a stream's media playlist.
    pub fn media_path(stream: &Key) -> String {
        format!("/live/{}/source/index.m3u8", stream.uid)
    }

    /// A viewer of the stream.
    pub fn viewer(&self, stream: &Key) -> Poller {
        Poller::new(self.http, Self::media_path(stream))
    }

    /// The multivariant playlist's URL.
    pub fn play_url(&self, stream: &Key) -> String {
        format!("http://{}/live/{}/index.m3u8", self.http, stream.uid)
    }

    /// Server and key in one, as FFmpeg wants it.
    pub fn publish_url(&self, stream: &Key) -> String {
        format!("rtmp://{}/live/{}", self.rtmp, stream.key)
    }

    /// The row of `stream list --json`.
    #[track_caller]
    pub fn listed(&self, stream: &Key) -> Value {
        listed(&self.data_dir, &stream.uid)
    }

    /// Waits until the database says so.
    #[track_caller]
    pub fn wait_status(&self, stream: &Key, status: &str, seconds: u64) {
        until(&format!("status {status}"), seconds, || {
            (self.listed(stream)["status"] == status).then_some(())
        });
    }
}

/// A server in this process, on its own runtime.
pub struct Server {
    site: Site,
    // In this order: the app drains on the runtime, and its files go last.
    app: Option<App>,
    runtime: Option<tokio::runtime::Runtime>,
    _dir: TempDir,
}

impl Deref for Server {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Server {
    /// A server with the defaults, on loopback, with a window that keeps everything.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same, changed by `edit`.
    #[track_caller]
    pub fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = Config {
            data_dir: dir.path().to_path_buf(),
            database_path: dir.path().join("cauce.db"),
            shutdown_grace: Duration::from_secs(3),
            ..Config::default()
        };
        config.storage.disk_root = dir.path().join("media");
        config.auth.jwt_secret_file = dir.path().join("jwt.key");
        config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.rtmp.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.hls.window_segments = 1000;
        edit(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let app = runtime.block_on(App::start(Arc::new(config))).unwrap();
        let site = Site {
            http: app.http,
            rtmp: app.rtmp,
            rtmps: app.rtmps,
            data_dir: dir.path().to_path_buf(),
        };
        Self {
            site,
            app: Some(app),
            runtime: Some(runtime),
            _dir: dir,
        }
    }

    /// Does something with the server's live streams.
    pub fn live<T>(&self, act: impl AsyncFnOnce(&Live) -> T) -> T {
        let (app, runtime) = (self.app.as_ref().unwrap(), self.runtime.as_ref().unwrap());
        runtime.block_on(act(&app.live))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (Some(app), Some(runtime)) = (self.app.take(), self.runtime.take()) {
            runtime.block_on(async {
                // A drain that hangs is process.rs's business; here it may only not block others.
                let _ = tokio::time::timeout(Duration::from_secs(10), app.shutdown()).await;
            });
            runtime.shutdown_background();
        }
    }
}

/// The real binary.
pub struct Process {
    site: Site,
    pub child: Running,
    dir: Option<TempDir>,
}

impl Deref for Process {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Process {
    /// `cauce serve` on free ports, with further `CAUCE_*` variables; ready when this returns.
    #[track_caller]
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let data_dir = dir.path().to_path_buf();
        Self::start_in(data_dir, variables, Some(dir))
    }

    /// The same on an existing data directory, as after a restart.
    #[track_caller]
    pub fn restart_in(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_in(data_dir.to_path_buf(), variables, None)
    }

    /// Keeps the data for a successor when this one is dropped.
    pub fn keep_data(&mut self) -> TempDir {
        self.dir
            .take()
            .expect("the first process owns the directory")
    }

    fn start_in(data_dir: PathBuf, variables: &[(&str, &str)], dir: Option<TempDir>) -> Self {
        let mut command = cauce(&data_dir);
        command.envs(variables.iter().copied()).arg("serve");
        let mut child = Running::start(&mut command);
        let (http, rtmp) = child.line("ready line", 30, ready);
        let rtmps = child.log().lines().find_map(|line| {
            let (_, rtmps) = line.strip_prefix("ready ")?.split_once(" rtmps=")?;
            rtmps.trim().parse().ok()
        });
        Self {
            site: Site {
                http,
                rtmp,
                rtmps,
                data_dir,
            },
            child,
            dir,
        }
    }
}

/// Takes `ready http=HOST:PORT rtmp=HOST:PORT` apart; more may follow.
pub fn ready(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (http, rtmp) = line.strip_prefix("ready http=")?.split_once(" rtmp=")?;
    Some((
        http.parse().ok()?,
        rtmp.split_whitespace().next()?.parse().ok()?,
    ))
}

/// The binary with a data directory, loopback, free ports and nothing else set.
pub fn cauce(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cauce"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CAUCE_DATA_DIR", data_dir)
        .env("CAUCE_HTTP__LISTEN", "127.0.0.1:0")
        .env("CAUCE_RTMP__LISTEN", "127.0.0.1:0")
        .current_dir(data_dir);
    command
}

/// Runs a command of the binary to its end.
pub fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    cauce(data_dir).args(arguments).output().unwrap()
}

/// Runs a command that prints JSON.
#[track_caller]
pub fn run_json(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = run(data_dir, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "cauce {arguments:?}: {}{}",
        text,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("cauce {arguments:?}: {e}: {text}"))
}

/// Makes a stream in the database of `data_dir`.
#[track_caller]
pub fn create(data_dir: &Path) -> Key {
    let stream = run_json(data_dir, &["stream", "create", "--json"]);
    let text = |name: &str| {
        stream[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {stream}"))
    };
    Key {
        uid: text("uid").to_owned(),
        key: text("key").to_owned(),
    }
}

/// The row of one stream in `stream list --json`.
#[track_caller]
pub fn listed(data_dir: &Path, uid: &str) -> Value {
    let list = run_json(data_dir, &["stream", "list", "--json"]);
    let rows = list.as_array().or_else(|| list["results"].as_array());
    rows.unwrap_or_else(|| panic!("no list: {list}"))
        .iter()
        .find(|row| row["uid"] == uid)
        .unwrap_or_else(|| panic!("{uid} is not in {list}"))
        .clone()
}
