//! A bucket on a real S3 server in this process, and a proxy before it that makes trouble. It does
//! not know what is stored; a test may look at the bucket after each thing that reached it.

use std::{
    collections::VecDeque,
    future::Future,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cauce::config::{Backend, Config, Hidden};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tempfile::TempDir;

/// The bucket's name.
pub const NAME: &str = "media";
const KEY_ID: &str = "test-id";
const SECRET: &str = "test-secret";

/// An S3 server with one bucket, which everybody may read.
pub struct Bucket {
    pub address: SocketAddr,
    root: TempDir,
    _runtime: tokio::runtime::Runtime,
}

/// Signed requests may do all; others may get objects.
struct PublicReads;

impl S3Access for PublicReads {
    // As `async_trait` writes it.
    fn check<'s, 'c, 'x, 'f>(
        &'s self,
        context: &'c mut S3AccessContext<'x>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'f>>
    where
        's: 'f,
        'c: 'f,
        'x: 'f,
        Self: 'f,
    {
        let allowed = context.credentials().is_some() || context.s3_op().name() == "GetObject";
        Box::pin(async move {
            match allowed {
                true => Ok(()),
                false => Err(s3s::s3_error!(AccessDenied)),
            }
        })
    }
}

impl Bucket {
    pub fn start() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join(NAME)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        service.set_access(PublicReads);
        let service = service.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            address,
            root,
            _runtime: runtime,
        }
    }

    /// Where its objects are, as files.
    pub fn files(&self) -> PathBuf {
        self.root.path().join(NAME)
    }

    /// An object; `None` when it is not there.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.files().join(key)).ok()
    }
}

/// Points a server's storage at the bucket, at `address`.
pub fn configure(config: &mut Config, address: SocketAddr) {
    config.storage.backend = Backend::S3;
    let s3 = &mut config.storage.s3;
    s3.endpoint = Some(format!("http://{address}"));
    s3.bucket = Some(NAME.into());
    s3.region = Some("us-east-1".into());
    s3.force_path_style = true;
    s3.access_key_id = Some(Hidden(KEY_ID.into()));
    s3.secret_access_key = Some(Hidden(SECRET.into()));
}

/// The same as variables of the environment.
pub fn variables(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("CAUCE_STORAGE__BACKEND", "s3".into()),
        ("CAUCE_STORAGE__S3__ENDPOINT", format!("http://{address}")),
        ("CAUCE_STORAGE__S3__BUCKET", NAME.into()),
        ("CAUCE_STORAGE__S3__REGION", "us-east-1".into()),
        ("CAUCE_STORAGE__S3__FORCE_PATH_STYLE", "true".into()),
        ("CAUCE_STORAGE__S3__ACCESS_KEY_ID", KEY_ID.into()),
        ("CAUCE_STORAGE__S3__SECRET_ACCESS_KEY", SECRET.into()),
    ]
}

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It takes this long.
    Delay(Duration),
    /// It is refused with this status.
    Status(u16),
    /// The connection ends and the server never hears of it.
    Reset,
    /// The server takes it and the answer is lost.
    Unanswered,
    /// No answer, ever.
    Hang,
    /// No answer, and the server takes it up only after so many others.
    Late(usize),
}

type Look = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct State {
    down: bool,
    next: VecDeque<Option<Trouble>>,
    /// Requests held back, with how many others must go first.
    late: Vec<(usize, Vec<u8>)>,
    delivered_late: usize,
}

/// A proxy, one request a connection. Writes reach the server one at a time, and `look` is called
/// after each, so that it sees every state of the bucket.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub fn before(server: SocketAddr, look: impl Fn(&str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let look: Arc<Mutex<Look>> = Arc::new(Mutex::new(Box::new(look)));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (state, look) = (Arc::clone(&shared), Arc::clone(&look));
                // A client that goes away in between is no failure of the test.
                thread::spawn(move || serve(client, server, &state, &look));
            }
        });
        Self { address, state }
    }

    /// Nobody answers from now on, or somebody does again.
    pub fn down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// What happens to the next writes, in this order; then nothing more.
    pub fn plan(&self, troubles: impl IntoIterator<Item = Option<Trouble>>) {
        self.state.lock().unwrap().next.extend(troubles);
    }

    /// Writes still planned for.
    pub fn planned(&self) -> usize {
        self.state.lock().unwrap().next.len()
    }

    /// Writes that the server took up late.
    pub fn delivered_late(&self) -> usize {
        self.state.lock().unwrap().delivered_late
    }
}

fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    state: &Mutex<State>,
    look: &Mutex<Look>,
) -> Option<()> {
    if state.lock().unwrap().down {
        return None;
    }
    let request = request(&mut client)?;
    let is_write = !request.starts_with(b"GET ") && !request.starts_with(b"HEAD ");
    let planned = if is_write {
        state.lock().unwrap().next.pop_front().flatten()
    } else {
        None
    };
    let answer = match planned {
        None => forward(server, &request, state, look, is_write)?,
        Some(Trouble::Delay(time)) => {
            thread::sleep(time);
            forward(server, &request, state, look, is_write)?
        }
        Some(Trouble::Status(status)) => refusal(status),
        Some(Trouble::Reset) => return None,
        Some(Trouble::Unanswered) => {
            forward(server, &request, state, look, is_write)?;
            return None;
        }
        Some(trouble @ (Trouble::Hang | Trouble::Late(_))) => {
            if let Trouble::Late(others) = trouble {
                state.lock().unwrap().late.push((others, request));
            }
            // Until the client loses its patience.
            let _ = client.read(&mut [0]);
            return None;
        }
    };
    client.write_all(&answer).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

/// One whole request, told to be the connection's only one.
fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    let mut more = |bytes: &mut Vec<u8>| {
        let n = client.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        Some(())
    };
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    while bytes.len() < end + 4 + length {
        more(&mut bytes)?;
    }
    bytes.splice(end..end, *b"\r\nConnection: close");
    Some(bytes)
}

fn exchange(server: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(server).ok()?;
    upstream.write_all(request).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// Sends the request on, and after it what was held back for so long.
fn forward(
    server: SocketAddr,
    request: &[u8],
    state: &Mutex<State>,
    look: &Mutex<Look>,
    is_write: bool,
) -> Option<Vec<u8>> {
    if !is_write {
        return exchange(server, request);
    }
    let look = look.lock().unwrap();
    let answer = exchange(server, request);
    look(&line(request));
    let due = {
        let mut state = state.lock().unwrap();
        let mut due = Vec::new();
        state.late.retain_mut(|(others, request)| {
            *others = others.saturating_sub(1);
            if *others == 0 {
                due.push(std::mem::take(request));
            }
            *others > 0
        });
        state.delivered_late += due.len();
        due
    };
    for request in due {
        exchange(server, &request);
        look(&format!("late: {}", line(&request)));
    }
    answer
}

fn line(request: &[u8]) -> String {
    let end = request.iter().position(|b| *b == b'\r');
    String::from_utf8_lossy(&request[..end.unwrap_or(0)]).into_owned()
}

fn refusal(status: u16) -> Vec<u8> {
    let code = if status == 503 {
        "SlowDown"
    } else {
        "InternalError"
    };
    let body = format!("<Error><Code>{code}</Code><Message>for the test</Message></Error>");
    let head = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n", body.len());
    format!("{head}Connection: close\r\n\r\n{body}").into_bytes()
}

/// What a media playlist among `files` lists, checked: every segment is there. Gives the first media
/// sequence number and the one behind the last.
pub fn listed(files: &Path, playlist: &str) -> Option<(u64, u64)> {
    let path = files.join(playlist);
    let text = std::fs::read(&path).ok()?;
    let list = m3u8_rs::parse_media_playlist_res(&text).unwrap();
    for segment in &list.segments {
        let file = path.parent().unwrap().join(&segment.uri);
        assert!(file.is_file(), "{} is listed and absent", segment.uri);
    }
    let first = list.media_sequence;
    Some((first, first + list.segments.len() as u64))
}
