//! What docs/operations.md tells operators to use: nginx in front, the systemd unit, the container's
//! file, Prometheus and its dashboard, backup and restore. It does not know how the server works.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use cauce::config::Config;
use serde_json::{Value, json};

use crate::{
    hub,
    support::{
        Clip, Encoder, Key, Process, Running, Server, http,
        node::{Node, deployed, free_address},
        rest,
        server::{self, cauce},
        tls::Authority,
        until,
    },
};

/// nginx in front of a server, as docs/deploy/nginx.conf says.
struct Front {
    authority: Authority,
    address: SocketAddr,
    _nginx: Node,
}

impl Front {
    fn before(origin: SocketAddr) -> Self {
        let authority = Authority::new();
        let issued = authority.issue("front");
        let address = free_address();
        let path = |path: &Path| path.display().to_string();
        let changes = [
            ("127.0.0.1:8080", origin.to_string()),
            ("listen 443 ssl", format!("listen {address} ssl")),
            ("media.example.org", "localhost".to_owned()),
            ("/etc/cauce/cert.pem", path(&issued.cert)),
            ("/etc/cauce/key.pem", path(&issued.key)),
        ];
        Self {
            authority,
            address,
            _nginx: Node::nginx("nginx.conf", address, &changes),
        }
    }

    /// What curl gets there, and the status, as the client at `from`.
    #[track_caller]
    fn curl(&self, from: &str, path: &str, more: &[&str]) -> (String, String) {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "-w",
                "\n%{http_code}",
                "--cacert",
            ])
            .arg(self.authority.path())
            .args(["--interface", from])
            .args(more)
            .arg(format!("https://{}{path}", self.address))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {said}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (body.to_owned(), status.to_owned())
    }

    #[track_caller]
    fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        let (login, body) = (format!("Authorization: Bearer {token}"), body.to_string());
        let json = "Content-Type: application/json";
        let (text, status) = self.curl(
            "127.0.0.1",
            path,
            &["-H", json, "-H", &login, "--data", &body],
        );
        assert!(status.starts_with('2'), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn account(&self, name: &str) -> String {
        let account = json!({ "username": name, "email": format!("{name}@example.org"),
            "password": "correct horse" });
        self.post("/token/?create=true", "", &account);
        let login = self.post("/token/", "", &account);
        login["data"]["token"].as_str().unwrap().to_owned()
    }
}

fn behind_a_proxy(config: &mut Config) {
    config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    config.metrics_allow = vec!["127.0.0.3".parse().unwrap()];
}

#[test]
fn nginx_in_front_passes_rest_rooms_and_media() {
    let server = Server::with(behind_a_proxy);
    let front = Front::before(server.http);
    let tokens = json!({ "ana": front.account("ana"), "bob": front.account("bob") });
    let made = front.post(
        "/streams/",
        tokens["ana"].as_str().unwrap(),
        &json!({ "title": "t" }),
    );
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let stream = Key {
        uid: text("uid"),
        key: text("key"),
    };
    assert_eq!(
        text("rtmp_url"),
        format!("rtmp://127.0.0.1:{}/live", server.rtmp.port())
    );
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Plain.tags());
    server.viewer(&stream).segments(3, 20);

    // Public URLs are those of the front.
    let (shown, _) = front.curl("127.0.0.1", &format!("/streams/{}/", stream.uid), &[]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let base = format!("https://{}/live/{}", front.address, stream.uid);
    assert_eq!(
        shown["video"]["source"],
        format!("{base}/source/index.m3u8")
    );
    let socket = shown["websocket"].as_str().unwrap();
    assert_eq!(
        socket,
        format!("wss://{}/ws/streams/{}/", front.address, stream.uid)
    );

    // HLS: the same bytes as without it.
    let path = format!("/live/{}/source/index.m3u8", stream.uid);
    let (playlist, status) = front.curl("127.0.0.1", &path, &[]);
    assert_eq!(
        (playlist, status.as_str()),
        (server.get(&path).text(), "200")
    );
    let mut player = Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-xerror", "-ca_file"])
            .arg(front.authority.path())
            .args(["-tls_verify", "1", "-i", &format!("{base}/index.m3u8")])
            .args(["-t", "4", "-f", "null", "-"]),
    );
    player.succeeds(60);

    // A room, by a WebSocket that is not ours.
    let mut chat = Running::start(
        hub::client("chat", socket, &tokens)
            .env("WEBSOCKET_CLIENT_CA_BUNDLE", front.authority.path()),
    );
    chat.line("chat", 60, |line| (line == "done").then_some(()));
    // Pages, and an image that is larger than nginx takes by default.
    assert_eq!(front.curl("127.0.0.1", "/studio", &[]).1, "200");
    let image = vec![0; 1_500_000];
    let file = front.authority.path().with_file_name("image");
    fs::write(&file, image).unwrap();
    let token = format!("Authorization: Bearer {}", tokens["ana"].as_str().unwrap());
    let form = format!("photo=@{}", file.display());
    let upload = ["-X", "PUT", "-H", &token, "-F", &form];
    let (said, status) = front.curl("127.0.0.1", "/users/ana/photo/", &upload);
    assert!(
        status == "400" && said.contains("photo"),
        "no picture: {status} {said}"
    );
}

/// Every metric that the sources count, with its kind.
fn counted(directory: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            counted(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for kind in ["counter", "gauge", "histogram"] {
            for after in text.split(&format!("{kind}!(")).skip(1) {
                let name = after.trim_start().strip_prefix('"');
                if let Some((name, _)) = name.and_then(|rest| rest.split_once('"')) {
                    found.insert((name.to_owned(), kind.to_owned()));
                }
            }
        }
    }
}

#[test]
fn every_metric_is_described() {
    let server = Server::start();
    let mut all = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["src", "storage/src", "segmenter/src"] {
        counted(&root.join(directory), &mut all);
    }
    assert!(all.len() > 30, "{all:?}");
    // One that nothing happened to yet is not shown: this process is the server's.
    for (name, kind) in all.clone() {
        match kind.as_str() {
            "counter" => metrics::counter!(name).increment(0),
            "gauge" => metrics::gauge!(name).increment(0.0),
            _ => metrics::histogram!(name).record(0.0),
        }
    }
    let text = server.get("/metrics").text();
    let shown = text.lines().filter(|line| !line.starts_with('#'));
    let shown = shown.filter_map(|line| line.split(['{', ' ']).next());
    let mut names: BTreeSet<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(shown.filter(|name| !name.is_empty()));
    for name in names {
        for word in ["HELP", "TYPE"] {
            let line = format!("# {word} {name} ");
            assert!(text.contains(&line), "{name} is without {word}:\n{text}");
        }
    }
}

#[test]
fn a_clients_address_is_what_a_trusted_proxy_says() {
    let server = Server::with(behind_a_proxy);
    let front = Front::before(server.http);
    let status = |from: &str, more: &[&str]| front.curl(from, "/metrics", more).1;
    // Only 127.0.0.3 may read metrics, and nginx comes from 127.0.0.1.
    assert_eq!(status("127.0.0.3", &[]), "200");
    assert_eq!(status("127.0.0.2", &[]), "403");
    // Saying so is not enough, neither through the proxy nor past it.
    let claim = ["-H", "X-Forwarded-For: 127.0.0.3"];
    assert_eq!(status("127.0.0.2", &claim), "403");
    let direct = |from: &str, claim: &[&str]| {
        let output = Command::new("curl")
            .args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--interface",
                from,
            ])
            .args(claim)
            .arg(format!("http://{}/metrics", server.http))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(direct("127.0.0.2", &claim), "403");
    assert_eq!(direct("127.0.0.3", &[]), "200");
    assert_eq!(
        direct("127.0.0.1", &claim),
        "200",
        "the proxy itself may say it"
    );
}

#[test]
fn the_systemd_unit_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let unit = deployed(
        "cauce.service",
        &[(
            "/usr/local/bin/cauce",
            env!("CARGO_BIN_EXE_cauce").to_owned(),
        )],
    );
    let path = dir.path().join("cauce.service");
    fs::write(&path, &unit).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
        .expect("systemd-analyze is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|l| l.contains("cauce.service"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
    // Time to drain before systemd loses its patience.
    let stop_s = unit.lines().find_map(|l| l.strip_prefix("TimeoutStopSec="));
    let stop_s: u64 = stop_s.unwrap().parse().unwrap();
    assert!(stop_s > Config::default().shutdown_grace.as_secs());
}

#[test]
fn the_container_is_built_by_the_compiler_of_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let toolchain = fs::read_to_string(root.join("rust-toolchain.toml")).unwrap();
    let version = toolchain.split('"').nth(1).unwrap();
    let file = deployed("Dockerfile", &[]);
    assert!(file.contains(&format!("FROM rust:{version}-")), "{version}");
}

/// Metric names in PromQL.
fn metrics(expression: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words = expression.split(word).filter(|w| w.starts_with("cauce_"));
    words.map(str::to_owned).collect()
}

/// All text in a document under the key `expr`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "expr" => found.push(text.clone()),
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let server = Process::start(&[("CAUCE_LIMITS__HTTP_HEADER_TIMEOUT", "500ms")]);
    // What is counted by reason is there once it has happened.
    assert!(Encoder::publish(server.rtmp, "live", "nobody").is_err());
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    let tags = Clip::Tiny.tags();
    encoder.send_all(&tags);
    server.viewer(&stream).segments(3, 20);
    // Back in time: such tags are dropped, and counted.
    encoder.send_all(&tags);
    assert_eq!(server.get("/healthz").status, 200);
    let mut slow = std::net::TcpStream::connect(server.http).unwrap();
    std::io::Write::write_all(&mut slow, b"GET / HTTP").unwrap();

    let dashboard: Value = serde_json::from_str(&deployed("grafana.json", &[])).unwrap();
    let alerts: Value = serde_yaml_ng::from_str(&deployed("cauce-alerts.yml", &[])).unwrap();
    for (document, at_least) in [(dashboard, 14), (alerts, 5)] {
        let mut found = vec![];
        expressions(&document, &mut found);
        assert!(found.len() >= at_least, "{found:?}");
        let wanted: BTreeSet<_> = found.iter().flat_map(|text| metrics(text)).collect();
        until("every metric", 30, || {
            let text = server.get("/metrics").text();
            let missing: Vec<_> = wanted
                .iter()
                .filter(|name| !text.contains(&format!("\n{name}")))
                .collect();
            if !missing.is_empty() {
                println!("missing: {missing:?}");
            }
            missing.is_empty().then_some(())
        });
    }
    let scrape: Value = serde_yaml_ng::from_str(&deployed("prometheus.yml", &[])).unwrap();
    let path = scrape["scrape_configs"][0]["metrics_path"]
        .as_str()
        .unwrap();
    assert_eq!(server.get(path).status, 200);
}

/// The commands under a heading of docs/operations.md, as they stand there.
fn commands(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, after) = text
        .split_once(&format!("## {heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    let block = after.split("```sh\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn a_backup_of_a_running_server_is_whole() {
    let server = Process::start(&[]);
    let token = rest::account(server.http, "ana");
    let backup = tempfile::tempdir().unwrap();
    let script = commands("Backup")
        .replace("/var/lib/cauce", server.data_dir.to_str().unwrap())
        .replace("/var/backups/cauce", backup.path().to_str().unwrap());
    assert!(!script.contains("/var/"), "{script}");
    // People write all the time.
    let (made, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(SeqCst) {
                number += 1;
                let title = json!({ "title": format!("{number}"), "program_date_time": "2050-01-01T00:00:00Z" });
                let (status, answer) =
                    rest::call(server.http, &token, "POST", "/streams/", &title);
                assert_eq!(status, 201, "{answer}");
                made.store(number, SeqCst);
            }
        });
        until("some streams", 20, || {
            (made.load(SeqCst) > 20).then_some(())
        });
        let before = made.load(SeqCst);
        let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
        stop.store(true, SeqCst);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
        before
    });
    drop(server);

    // Another machine, the backup in the place of its data.
    let files: Vec<_> = fs::read_dir(backup.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let check = Command::new("sqlite3")
        .arg(backup.path().join("cauce.db"))
        .arg("PRAGMA integrity_check")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&check.stdout), "ok\n");
    let restored = Process::restart_in(backup.path(), &[]);
    let list = rest::call(
        restored.http,
        &token,
        "GET",
        "/streams/?limit=1",
        &Value::Null,
    );
    let count = list.1["count"].as_u64().unwrap();
    assert!(count >= before, "{count} of {before}");
    // The secret came with it: logins hold, and keys can be read again.
    let uid = list.1["results"][0]["uid"].as_str().unwrap();
    let (_, shown) = rest::call(
        restored.http,
        &token,
        "GET",
        &format!("/streams/{uid}/"),
        &Value::Null,
    );
    assert_eq!(shown["key"].as_str().unwrap_or("").len(), 22, "{shown}");
}

#[test]
fn what_the_page_on_operations_shows_is_there() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md"))
        .unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let cdn = name == "nginx-cdn.conf" || name == "varnish.vcl";
        let hidden = name.ends_with("ignore");
        assert!(
            cdn || hidden || text.contains(&format!("(deploy/{name})")),
            "{name}"
        );
    }
    // The log, one JSON object a line with the fields that the page names.
    let dir = tempfile::tempdir().unwrap();
    let mut child = Running::start(
        cauce(dir.path())
            .env("CAUCE_LOG__FORMAT", "json")
            .arg("serve"),
    );
    let (address, _) = child.line("ready line", 30, server::ready);
    http::get(address, "/studio");
    let line: Value = child.line("the request", 20, |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["message"] == "request").then_some(line)
    });
    for field in [
        "timestamp",
        "level",
        "client",
        "method",
        "path",
        "status",
        "took_ms",
        "request_id",
    ] {
        assert!(!line[field].is_null(), "{field}: {line}");
        assert!(text.contains(&format!("`{field}`")), "{field} is not told");
    }
}
