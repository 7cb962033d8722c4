//! `cauce check`: would a server start here, and could it work? It does not know how parts fail: it
//! passes on what they say.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use bytes::Bytes;
use serde_json::json;
use storage::{Key, Meta, Store};

use super::Answer;
use crate::{
    app,
    auth::Secret,
    config::Config,
    db::Db,
    error::{Error, Kind, Result},
    mail::Mail,
    name::SessionId,
};

/// One thing that was checked: its name, and what was found or what is wrong.
type Item = (&'static str, Result<String>);

/// Checks what a start needs, everything even when something fails. The configuration has been
/// resolved already, which is its check.
pub(super) async fn check(config: &Config) -> Answer {
    let secret_file = &config.auth.jwt_secret_file;
    let mut items: Vec<Item> = vec![
        ("configuration", Ok("every key and value is valid".into())),
        (
            "secret",
            Secret::load_or_create(secret_file).map(|_| shown(secret_file)),
        ),
        ("certificates", certificates(config)),
        ("mail", mail(config)),
        ("voice", voice(config)),
        ("database", database(config).await),
        ("storage", storage(config).await),
        ("slate", app::check_slate(config)),
        ("http.listen", port(config.http.listen)),
        ("rtmp.listen", port(config.rtmp.listen)),
    ];
    if let Some(listen) = config.rtmp.tls.listen {
        items.push(("rtmp.tls.listen", port(listen)));
    }
    describe(&items, &config.warnings)
}

/// What `--json` says when there is no configuration to check anything else with.
pub(super) fn bad_configuration(error: Error) -> Answer {
    describe(&[("configuration", Err(error))], &[])
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn certificates(config: &Config) -> Result<String> {
    app::check_certificates(config).map(|found| match found {
        0 => "none is configured".into(),
        found => format!("{found} can be used"),
    })
}

/// Whether the settings can be used; nothing is sent.
fn mail(config: &Config) -> Result<String> {
    let (mail, _) = Mail::new(config)?;
    let found = if mail.is_set() { "set" } else { "not set" };
    Ok(format!("smtp.url is {found}"))
}

/// Whether callers' servers are URLs, and the secret shared with the TURN server can be read.
fn voice(config: &Config) -> Result<String> {
    app::open_turn(config)?;
    let set = config.voice.turn_secret_file.as_deref().map(shown);
    Ok(set.unwrap_or_else(|| "voice.turn_secret_file is not set".into()))
}

/// Opens it, which migrates it, and reads.
async fn database(config: &Config) -> Result<String> {
    let db = Db::open(&config.database_path, config.limits.db_queue)?;
    let answer = db.data_version().await;
    db.close().await;
    answer.map(|_| shown(&config.database_path))
}

/// Puts, gets and deletes an object of its own.
async fn storage(config: &Config) -> Result<String> {
    let store = app::open_store(config).await?;
    match probe(store.as_ref()).await {
        Ok(()) => Ok(format!("{:?}", config.storage.backend).to_lowercase()),
        Err(error) if !config.storage.required => {
            Ok(format!("not usable, and storage.required = false: {error}"))
        }
        Err(error) => Err(Error::with(
            Kind::Unavailable,
            "cannot put, get and delete an object",
            error,
        )),
    }
}

async fn probe(store: &dyn Store) -> std::result::Result<(), storage::Error> {
    let key = Key::new(&format!("cauce-check/{}", SessionId::random()))?;
    let meta = Meta {
        content_type: "text/plain",
        cache_control: "no-store",
    };
    let body = [Bytes::from_static(b"written by cauce check")];
    store.put(&key, &body, meta).await?;
    let got = store.get(&key, None).await;
    // Deleted whatever was read: a failed check leaves nothing behind.
    store.delete(std::slice::from_ref(&key)).await?;
    if got?.body != body[0] {
        let line = "what was read is not what was written";
        return Err(std::io::Error::other(line).into());
    }
    Ok(())
}

/// Binds and lets go. A port in use is no failure: most often our own server has it.
fn port(address: SocketAddr) -> Result<String> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Ok(format!("{address} is in use: is a server running?"))
        }
        Err(error) => {
            let context = format!("cannot listen on {address}");
            Err(Error::with(Kind::Unavailable, context, error))
        }
    }
}

fn describe(items: &[Item], warnings: &[String]) -> Answer {
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for (name, found) in items {
        let (word, detail) = match found {
            Ok(detail) => ("ok", detail.clone()),
            Err(error) => ("FAILED", error.to_string()),
        };
        lines.push(format!("{name:<13} {word:<6} {detail}"));
        rows.push(json!({ "name": name, "ok": found.is_ok(), "detail": detail }));
    }
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    let ok = items.iter().all(|(_, found)| found.is_ok());
    Answer {
        text: lines.join("\n"),
        json: Some(json!({ "ok": ok, "items": rows, "warnings": warnings })),
        ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_in_use_or_impossible() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(port(address).unwrap().contains("in use"));
        drop(taken);
        assert!(
            port("127.0.0.1:0".parse().unwrap())
                .unwrap()
                .contains("free")
        );
        // An address of documentation (RFC 5737) that no machine has.
        let error = port("192.0.2.1:80".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
    }

    #[test]
    fn one_failure_fails_the_check() {
        let good = ("database", Ok("a.db".to_owned()));
        let answer = describe(std::slice::from_ref(&(good.0, Ok("a.db".into()))), &[]);
        assert!(answer.ok);
        let bad = ("storage", Err(Error::new(Kind::Unavailable, "no disk")));
        let answer = describe(&[good, bad], &["mind this".into()]);
        assert!(!answer.ok);
        let expected = "database      ok     a.db\n\
                        storage       FAILED no disk\n\
                        warning: mind this";
        assert_eq!(answer.text, expected);
        let json = answer.json.unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["items"][1]["detail"], "no disk");
    }

    #[test]
    fn the_turn_secret_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path().to_owned());
        assert!(voice(&config).unwrap().contains("not set"));
        let file = directory.path().join("turn.key");
        config.voice.turn_secret_file = Some(file.clone());
        let error = voice(&config).unwrap_err().to_string();
        assert!(
            error.starts_with("voice.turn_secret_file: cannot read"),
            "{error}"
        );
        std::fs::write(file, "s".repeat(32)).unwrap();
        assert!(voice(&config).unwrap().ends_with("turn.key"));
    }

    #[tokio::test]
    async fn a_file_in_the_directorys_place_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let config = Config::in_directory(blocked);
        let error = database(&config).await.unwrap_err();
        assert!(error.to_string().contains("cauce.db"), "{error}");
    }
}
