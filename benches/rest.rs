//! The REST calls that are asked most, over real sockets: looking at one of 10,000 streams, listing
//! them, making one durably. It prints requests a second and what a second of one core answers; it
//! does not judge them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cauce::{
    app::App,
    config::Config,
    name::{StreamKey, StreamUid},
};

const STREAMS: usize = 10_000;
const MEASURED: Duration = Duration::from_secs(5);
/// What the server's threads are called.
const SERVER: &str = "server";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let mut config = Config::in_directory(directory.path().to_path_buf());
    config.log.level = "warn".into();
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.rtmp.listen = ([127, 0, 0, 1], 0).into();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(SERVER)
        .enable_all()
        .build()?;
    let app = runtime.block_on(App::start(Arc::new(config)))?;
    let uids = runtime.block_on(streams(&app))?;
    let token = login(app.http)?;
    let see = |n: u64| {
        // Not one after the other: an even walk through all of them.
        let uid = &uids[(n as usize).wrapping_mul(7919) % uids.len()];
        get(&format!("/streams/{uid}/"))
    };
    run("GET /streams/{uid}/", app.http, 8, see);
    run("GET /streams/?limit=20", app.http, 8, |_| {
        get("/streams/?limit=20")
    });
    let scheduled = r#"{"title":"A title","program_date_time":"2100-01-01T00:00:00Z"}"#;
    let make = |_| post("/streams/", &token, scheduled);
    run("POST /streams/", app.http, 64, make);
    runtime.block_on(app.shutdown());
    Ok(())
}

async fn streams(app: &App) -> cauce::error::Result<Vec<StreamUid>> {
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..STREAMS {
        let db = app.db.clone();
        let hash = app.secret.key_hash(&StreamKey::random());
        adding.spawn(async move {
            let uid = StreamUid::random();
            db.create_stream(&uid, &hash, &format!("Stream {n}"), true)
                .await
                .map(|row| row.uid)
        });
    }
    adding.join_all().await.into_iter().collect()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")
}

fn post(path: &str, token: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn login(address: SocketAddr) -> std::io::Result<String> {
    let person = r#"{"username":"ana","email":"ana@bench.example","password":"correct horse"}"#;
    let mut client = Client::connect(address)?;
    client
        .ask(&post("/token/?create=true", "", person).replace("Authorization: Bearer \r\n", ""))?;
    let (_, body) =
        client.ask(&post("/token/", "", person).replace("Authorization: Bearer \r\n", ""))?;
    let start = body.find("\"token\":\"").map_or(0, |at| at + 9);
    let end = body[start..].find('"').unwrap_or(0);
    Ok(body[start..start + end].to_owned())
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self(BufReader::new(socket)))
    }

    /// One request; the answer's status and body.
    fn ask(&mut self, request: &str) -> std::io::Result<(u16, String)> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|s| s.parse().ok()).unwrap_or(0);
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap_or(0);
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Asks from so many connections at once and prints what was answered.
fn run(
    what: &str,
    address: SocketAddr,
    connections: usize,
    request: impl Fn(u64) -> String + Sync,
) {
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let (cpu, began) = (server_cpu_s(), Instant::now());
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address).expect("the server listens");
                    let mut times = vec![];
                    while !stop.load(Ordering::Relaxed) {
                        let request = request(next.fetch_add(1, Ordering::Relaxed));
                        let asked = Instant::now();
                        let (status, body) = client.ask(&request).expect("an answer");
                        assert!((200..300).contains(&status), "{status} {body}");
                        times.push(asked.elapsed());
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(MEASURED);
        stop.store(true, Ordering::Relaxed);
        let joined = clients.into_iter().map(|client| client.join());
        joined.flat_map(|times| times.expect("a client")).collect()
    });
    let (cpu, wall) = (server_cpu_s() - cpu, began.elapsed().as_secs_f64());
    times.sort();
    let (count, p99) = (times.len(), times[times.len() * 99 / 100]);
    println!(
        "{what:24} {:>8.0}/s {:>8.0}/s a core, p50 {:?} p99 {p99:?}",
        count as f64 / wall,
        count as f64 / cpu,
        times[count / 2]
    );
}

/// Seconds of processor time that the server's threads have used, its database's too.
fn server_cpu_s() -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let ticks = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let own = [SERVER, "db-writer"].contains(&name);
        own.then(|| {
            Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
        })?
    });
    ticks.sum::<f64>() / TICKS_PER_S
}
