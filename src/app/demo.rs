//! `cauce demo`: a server on loopback with a sample publisher that comes in through real RTMP. It
//! does not know how the server works: it is a client with a key, like any other.

mod clip;
mod guests;

use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tracing::{info, warn};

use self::{
    clip::{Clip, Player},
    guests::Guests,
};
use crate::{
    app::{
        App, Ports,
        lock::{self, Lock},
    },
    auth::Registration,
    cli::{Signals, say},
    config::{Config, RtmpTls, Tls},
    db::{NewStream, Profile, now_ms},
    error::{Error, Kind, Result},
    name::{SessionId, StreamKey, StreamUid},
    person::{Email, Username},
    rtmp::client,
    telemetry,
};

/// Ports tried after the configured one.
const PORTS_TRIED: u16 = 100;
/// Pause before the publisher comes back after a broken connection.
const RETURN_AFTER: Duration = Duration::from_secs(1);

/// Runs the demo until SIGINT or SIGTERM. `data_dir/demo` is emptied first.
///
/// # Errors
/// No port is free, another demo uses the directory, or the server cannot start.
pub async fn run(config: &Config, as_json: bool) -> Result<()> {
    let mut signals = Signals::new()?;
    telemetry::start_log(&config.log)?;
    let (app, notes) = tokio::select! {
        started = start(on_loopback(config)) => started?,
        () = signals.next() => return Ok(()),
    };
    let login = create_account(&app).await?;
    let sample = create_stream(&app, "Demo", Some(login.channel_id)).await?;
    let own = create_stream(&app, "Your own", None).await?;
    let text = match as_json {
        true => told(&app, &login, &sample.0, &own, &notes).to_string(),
        false => lines(&app, &login, &sample.0, &own, &notes).join("\n"),
    };
    say(&mut io::stdout().lock(), &text)
        .map_err(|e| Error::with(Kind::Unavailable, "cannot write to standard output", e))?;
    let clip = Clip::built_in()?;
    let publisher = tokio::spawn(keep_publishing(app.rtmp, sample.1, clip));
    let guests = Guests::invite(&app, &sample.0).await?;
    let guests = tokio::spawn(guests.talk());
    signals.next().await;
    guests.abort();
    publisher.abort();
    tokio::select! {
        () = app.shutdown() => {}
        // A second signal means now.
        () = signals.next() => {}
    }
    Ok(())
}

/// The server on an empty directory, and which ports are not the configured ones.
async fn start(mut config: Config) -> Result<(App, Vec<String>)> {
    let lock = Lock::take(&config).await?;
    empty(&config.data_dir)?;
    let mut notes = vec![];
    let ports = Ports {
        http: free_port("http.listen", &mut config.http.listen, &mut notes).await?,
        rtmp: free_port("rtmp.listen", &mut config.rtmp.listen, &mut notes).await?,
        rtmps: None,
    };
    let app = App::start_on(Arc::new(config), ports, lock).await?;
    Ok((app, notes))
}

/// The same configuration for this machine only, with all its data in `data_dir/demo`.
fn on_loopback(config: &Config) -> Config {
    let mut config = config.clone();
    config.data_dir = config.data_dir.join("demo");
    config.storage.disk_root = config.data_dir.join("media");
    config.database_path = config.data_dir.join("cauce.db");
    config.auth.jwt_secret_file = config.data_dir.join("jwt.key");
    config.http.public_url = None;
    config.rtmp.public_url = None;
    // A certificate is for a name, and this is loopback.
    config.http.tls = Tls::default();
    config.rtmp.tls = RtmpTls::default();
    for address in [&mut config.http.listen, &mut config.rtmp.listen] {
        if !address.ip().is_loopback() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }
    config
}

/// Empties the directory of all but the lock that is held on it.
fn empty(directory: &Path) -> Result<()> {
    let emptied = fs::read_dir(directory).and_then(|mut entries| {
        entries.try_for_each(|entry| {
            let entry = entry?;
            match entry.file_type()? {
                _ if entry.file_name() == lock::NAME => Ok(()),
                kind if kind.is_dir() => fs::remove_dir_all(entry.path()),
                _ => fs::remove_file(entry.path()),
            }
        })
    });
    emptied.map_err(|error| {
        let context = format!("data_dir: cannot empty {}", directory.display());
        Error::with(Kind::Unavailable, context, error)
    })
}

/// Listens on `address`, or on the next port that is free, and then says so.
async fn free_port(
    key: &str,
    address: &mut SocketAddr,
    notes: &mut Vec<String>,
) -> Result<TcpListener> {
    let wanted = *address;
    let last = wanted.port().saturating_add(PORTS_TRIED);
    for port in wanted.port()..=last {
        address.set_port(port);
        match TcpListener::bind(*address).await {
            Ok(listener) => {
                if *address != wanted {
                    notes.push(format!("{key}: {wanted} is in use, taking {address}"));
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                let context = format!("{key}: cannot listen on {address}");
                return Err(Error::with(Kind::Unavailable, context, error));
            }
        }
    }
    let context = format!("{key}: {wanted} and the {PORTS_TRIED} ports after it are in use");
    Err(Error::new(Kind::Unavailable, context))
}

/// The streamer whose channel shows the demo.
struct Login {
    username: &'static str,
    password: String,
    channel_id: i64,
}

async fn create_account(app: &App) -> Result<Login> {
    const USERNAME: &str = "demo";
    let password = SessionId::random().as_str().to_owned();
    let registration = registration(USERNAME, password.clone())?;
    let made = app.auth.register(registration, false).await?;
    made.map_err(|_| unfit())?;
    let channel = app.db.channel(&Username::key_of(USERNAME), None).await?;
    Ok(Login {
        username: USERNAME,
        password,
        channel_id: channel.ok_or_else(unfit)?.id,
    })
}

/// An account's first form, with nothing in it that is not asked for.
fn registration(username: &str, password: String) -> Result<Registration> {
    let email = format!("{username}@example.org");
    Ok(Registration {
        username: Username::parse(username).ok_or_else(unfit)?,
        profile: Profile {
            email: Email::parse(&email).ok_or_else(unfit)?,
            phone: None,
            first_name: String::new(),
            last_name: String::new(),
            birth_date: None,
            country: None,
            gender: None,
        },
        password,
        answers: vec![],
    })
}

fn unfit() -> Error {
    Error::new(Kind::Internal, "a demo account is not well formed")
}

async fn create_stream(
    app: &App,
    title: &str,
    channel_id: Option<i64>,
) -> Result<(StreamUid, StreamKey)> {
    let (uid, key) = (StreamUid::random(), StreamKey::random());
    let new = NewStream {
        uid: uid.clone(),
        key: app.secret.key_hash(&key),
        key_sealed: app.secret.seal(&key),
        channel_id,
        title: title.to_owned(),
        description: String::new(),
        record: false,
        program_date_time_ms: None,
        is_programed: false,
    };
    app.db.add_stream(new, now_ms()).await?;
    Ok((uid, key))
}

/// What is printed once the server is ready.
fn lines(
    app: &App,
    login: &Login,
    sample: &StreamUid,
    own: &(StreamUid, StreamKey),
    notes: &[String],
) -> Vec<String> {
    let urls = &app.urls;
    let mut lines = vec![format!("ready http={} rtmp={}", app.http, app.rtmp)];
    lines.extend(notes.iter().cloned());
    lines.extend([
        format!("Watch the demo:   {}", urls.watch(sample)),
        format!("Its playlist:     {}", urls.playlist(sample)),
        format!("Its studio:       {}", urls.studio()),
        format!("Log in as:        {} {}", login.username, login.password),
        format!("Publish your own: {}", urls.rtmp_publish(&own.1)),
        format!("and watch it:     {}", urls.watch(&own.0)),
        "Ctrl-C ends the demo.".to_owned(),
    ]);
    lines
}

/// The same for programs.
fn told(
    app: &App,
    login: &Login,
    sample: &StreamUid,
    own: &(StreamUid, StreamKey),
    notes: &[String],
) -> Value {
    let urls = &app.urls;
    json!({
        "http": app.http,
        "rtmp": app.rtmp,
        "watch_url": urls.watch(sample),
        "playlist_url": urls.playlist(sample),
        "studio_url": urls.studio(),
        "username": login.username,
        "password": login.password,
        "publish_url": urls.rtmp_publish(&own.1),
        "own_watch_url": urls.watch(&own.0),
        "notes": notes,
    })
}

/// Publishes the clip in real time, over and over, until the stream itself is ended.
async fn keep_publishing(address: SocketAddr, key: StreamKey, clip: Clip) {
    let mut player = Player::new(clip);
    loop {
        match publish(address, &key, &mut player).await {
            Err(error) if error.kind == Kind::Conflict => {
                info!(%error, "the demo publisher was sent away");
                return;
            }
            Err(error) => warn!(%error, "the demo publisher lost its connection"),
            Ok(never) => match never {},
        }
        sleep(RETURN_AFTER).await;
    }
}

async fn publish(
    address: SocketAddr,
    key: &StreamKey,
    player: &mut Player,
) -> Result<std::convert::Infallible> {
    let mut publisher = client::publish(address, "live", key.as_str()).await?;
    for tag in player.begin() {
        publisher.send(&tag).await?;
    }
    loop {
        let tag = player.next().await;
        publisher.send(&tag).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_gives_the_next_one_and_says_so() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wanted = taken.local_addr().unwrap();
        let mut address = wanted;
        let mut notes = vec![];
        let listener = free_port("http.listen", &mut address, &mut notes)
            .await
            .unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(address.port() > wanted.port());
        let note = format!("http.listen: {wanted} is in use, taking {address}");
        assert_eq!(notes, [note]);

        let mut any = SocketAddr::from(([127, 0, 0, 1], 0));
        free_port("http.listen", &mut any, &mut notes)
            .await
            .unwrap();
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn everything_stays_on_this_machine_and_in_its_own_directory() {
        let mut config = Config::default();
        config.http.public_url = Some("https://live.example".into());
        let demo = on_loopback(&config);
        let here = config.data_dir.join("demo");
        assert_eq!(demo.data_dir, here);
        for path in [
            &demo.storage.disk_root,
            &demo.database_path,
            &demo.auth.jwt_secret_file,
        ] {
            assert!(path.starts_with(&here), "{path:?}");
        }
        assert_eq!(demo.http.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(demo.rtmp.listen, "127.0.0.1:1935".parse().unwrap());
        assert_eq!(demo.http.public_url, None);
    }

    #[tokio::test]
    async fn the_directory_is_emptied_but_for_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(parent.path().join("data"));
        config = on_loopback(&config);
        let directory = config.data_dir.clone();
        let _lock = Lock::take(&config).await.unwrap();
        fs::create_dir(directory.join("media")).unwrap();
        fs::write(directory.join("media/old"), "").unwrap();
        fs::write(directory.join("old"), "").unwrap();
        empty(&directory).unwrap();
        let left: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].as_ref().unwrap().file_name(), lock::NAME);
    }
}
