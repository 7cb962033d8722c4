//! Cache nodes as docs/deploy configures them, each behind the origin by way of a proxy that counts
//! what the node asks for. It does not know what is cached, or why.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hyper::{Request, Response, StatusCode, Uri, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tempfile::TempDir;

use super::{child::Running, http, wait::until};

/// A node that was asked to end is killed after this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one node asked the origin for, by path.
pub type Counts = BTreeMap<String, u64>;

/// A file of docs/deploy with each `(text, other)` replaced; every text must be there.
#[track_caller]
pub fn deployed(name: &str, changes: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/deploy")
        .join(name);
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is no longer in {name}");
        text = text.replace(from, to);
    }
    text
}

/// A port that was free a moment ago, for programs that cannot take one themselves.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A program that answers HTTP at `address`; its files are in `dir`.
pub struct Node {
    pub address: SocketAddr,
    child: Running,
    _dir: TempDir,
}

impl Node {
    fn start(address: SocketAddr, dir: TempDir, command: &mut Command) -> Self {
        let mut child = Running::start(command);
        until("the node to answer", 30, || {
            assert!(child.alive(), "it ended: {}", child.log());
            http::try_send(address, "GET", "/", &[])
        });
        Self {
            address,
            child,
            _dir: dir,
        }
    }

    /// nginx with one file of docs/deploy, changed so that it runs here.
    pub fn nginx(name: &str, address: SocketAddr, changes: &[(&str, String)]) -> Self {
        let dir = TempDir::new().unwrap();
        let place = dir.path().display();
        let own = deployed(name, changes).replace("/var/cache/nginx/", &format!("{place}/"));
        // Debian's nginx.conf around it, as far as it matters; as root it would drop to another user,
        // who may not read the directory of a test.
        let user = if super::child::root() {
            "user root;"
        } else {
            ""
        };
        let whole = format!(
            "{user}\nworker_processes 1;\ndaemon off;\npid {place}/pid;\nerror_log stderr;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
             fastcgi_temp_path {place}/f;\nuwsgi_temp_path {place}/u;\nscgi_temp_path {place}/s;\n\
             {own}\n}}\n"
        );
        let path = dir.path().join("nginx.conf");
        fs::write(&path, whole).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-c").arg(&path);
        Self::start(address, dir, &mut command)
    }

    /// Varnish with its file of docs/deploy.
    pub fn varnish(address: SocketAddr, changes: &[(&str, String)]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cauce.vcl");
        fs::write(&path, deployed("varnish.vcl", changes)).unwrap();
        let mut command = Command::new("varnishd");
        command.args(["-F", "-j", "none", "-s", "malloc,128m"]);
        command.arg("-a").arg(address.to_string());
        command.arg("-n").arg(dir.path().join("work"));
        command.arg("-f").arg(&path);
        Self::start(address, dir, &mut command)
    }
}

/// Asks it to end: killed, nginx's master would leave its workers behind.
impl Drop for Node {
    fn drop(&mut self) {
        if self.child.alive() {
            self.child.signal("TERM");
        }
        let asked = Instant::now();
        while self.child.alive() && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Passes everything on to the origin and counts it.
pub struct Counter {
    pub address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Counter {
    /// In front of `origin`, served by `runtime`.
    pub fn before(origin: SocketAddr, runtime: &tokio::runtime::Runtime) -> Self {
        let counts: Arc<Mutex<Counts>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let all = counts.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (client, counts) = (client.clone(), all.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let path = request.uri().path().to_owned();
                        *counts.lock().unwrap().entry(path).or_default() += 1;
                        pass_on(client.clone(), origin, request)
                    });
                    // A node that closes its connection is no failure.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { address, counts }
    }

    /// What was asked for since the last call.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().unwrap())
    }
}

async fn pass_on(
    client: Client<HttpConnector, Incoming>,
    origin: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let target = request.uri().path_and_query().unwrap().as_str();
    let uri: Uri = format!("http://{origin}{target}").parse().unwrap();
    *request.uri_mut() = uri;
    let answer = client.request(request).await?;
    assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    Ok(answer)
}
