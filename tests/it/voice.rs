//! Voice against what others wrote: coturn takes the credentials that are handed to callers, and two
//! Chromium windows hold a call. It does not know the state machine of the stage, which has its own
//! tests.

use std::{fs, net::UdpSocket, path::Path, process::Command};

use cauce::{
    config,
    hub::turn::{TTL_S, Turn},
};

use crate::support::{Clip, Key, Running, Server, slots};

const SECRET: &str = "a secret that both sides have read";

/// coturn on a free port of loopback; also its port.
fn coturn(directory: &Path) -> (Running, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let file = |name: &str| directory.join(name).display().to_string();
    let mut server = Running::start(Command::new("turnserver").args([
        "-n",
        "--listening-ip=127.0.0.1",
        &format!("--listening-port={port}"),
        "--relay-ip=127.0.0.1",
        "--use-auth-secret",
        &format!("--static-auth-secret={SECRET}"),
        "--realm=cauce.test",
        "--no-cli",
        "--no-tls",
        "--no-dtls",
        "--allow-loopback-peers",
        "--log-file=stdout",
        &format!("--pidfile={}", file("pid")),
        &format!("--userdb={}", file("users")),
    ]));
    server.line("open database, its last step", 20, |line| {
        line.contains("SQLite DB connection success").then_some(())
    });
    (server, port)
}

/// Allocates two relays with the credentials and sends through them; gives what the client said.
fn relay(port: u16, username: &str, credential: &str) -> (bool, String) {
    let port = port.to_string();
    let mut client = Running::start(Command::new("turnutils_uclient").args([
        "-y",
        "-n",
        "1",
        "-m",
        "1",
        "-u",
        username,
        "-w",
        credential,
        "-p",
        &port,
        "127.0.0.1",
    ]));
    let ended = client.ended(60);
    (ended.success(), client.log())
}

#[test]
fn coturn_takes_the_credentials_until_they_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("turn.key");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let (_server, port) = coturn(directory.path());
    let turn = Turn::open(&config::Voice {
        turn_urls: vec![format!("turn:127.0.0.1:{port}")],
        turn_secret_file: Some(file),
        ..config::Voice::default()
    })
    .unwrap();
    let minted = |now_ms| {
        let server = turn.ice_servers("ana", now_ms).remove(0);
        (server.username.unwrap(), server.credential.unwrap())
    };

    let now_ms = cauce::db::now_ms();
    let (username, credential) = minted(now_ms);
    let (success, said) = relay(port, &username, &credential);
    assert!(success, "{said}");
    assert!(said.contains("Total lost packets 0"), "{said}");

    let old_ms = now_ms - 1000 * (TTL_S.cast_signed() + 60);
    let (ended, its_credential) = minted(old_ms);
    for (username, credential) in [(&username, &its_credential), (&ended, &its_credential)] {
        let (_, said) = relay(port, username, credential);
        assert!(said.contains("Cannot complete Allocation"), "{said}");
    }
}

#[test]
fn two_chromium_windows_hear_each_other() {
    let _slot = slots::heavy();
    let server = Server::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/call.mjs");
    let site = format!("http://{}", server.http);
    let mut browser = Running::start(Command::new("node").arg(script).arg(site));
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let stream = browser.line("stream", 60, |line| {
        let made = json(line)?;
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Some(Key {
            uid: text("uid")?,
            key: text("key")?,
        })
    });
    let _encoder = Running::ffmpeg(Clip::Plain, &server.publish_url(&stream));
    browser.succeeds(150);
    let log = browser.log();
    let report = log.lines().filter_map(json).next_back().unwrap();
    for heard in report["packets"].as_array().unwrap() {
        assert!(heard.as_u64() >= Some(50), "{report}");
    }
    assert_eq!(report["ended"][0]["reason"], "hangup", "{report}");
    assert_eq!(report["ended"][0], report["ended"][1], "{report}");
}
