//! HTTPS, WSS and RTMPS: curl, FFmpeg and a WebSocket client by a certificate made here, its exchange
//! while the server runs, files that cannot be used, and clients that never shake hands. It does
//! not know how TLS works.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::hub;
use crate::support::{
    Clip, Encoder, Key, Process, Running, Server,
    server::cauce,
    slots,
    tls::{Authority, Issued, der},
    until,
};

/// What curl printed, with the authority believed; its body, then what `-w` asks for.
#[track_caller]
fn curl(authority: &Authority, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(authority.path())
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A call with a JSON body.
#[track_caller]
fn post(authority: &Authority, url: &str, token: &str, body: &Value) -> Value {
    let (login, body) = (format!("Authorization: Bearer {token}"), body.to_string());
    let mut arguments = vec!["-H", "Content-Type: application/json", "--data", &body, url];
    if !token.is_empty() {
        arguments.extend(["-H", &login]);
    }
    let answer = curl(authority, &arguments);
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{url}: {answer}"))
}

/// A server in this process that speaks TLS on both ports.
fn server(issued: &Issued) -> Server {
    Server::with(|config| {
        let (cert, key) = (Some(issued.cert.clone()), Some(issued.key.clone()));
        (config.http.tls.cert, config.http.tls.key) = (cert.clone(), key.clone());
        (config.rtmp.tls.cert, config.rtmp.tls.key) = (cert, key);
        config.rtmp.tls.listen = Some(([127, 0, 0, 1], 0).into());
    })
}

fn account(authority: &Authority, site: &str, name: &str) -> String {
    let account = json!({ "username": name, "email": format!("{name}@example.org"),
        "password": "correct horse" });
    let made = post(
        authority,
        &format!("{site}/token/?create=true"),
        "",
        &account,
    );
    assert_eq!(made["status"], true, "{made}");
    let login = post(authority, &format!("{site}/token/"), "", &account);
    login["data"]["token"].as_str().unwrap().to_owned()
}

#[test]
fn curl_speaks_both_versions_of_http_and_of_tls() {
    let authority = Authority::new();
    let server = server(&authority.issue("first"));
    let url = format!("https://{}/healthz", server.http);
    let version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    for (options, expected) in [
        (&["--http1.1"][..], "1.1 200"),
        (&["--http2"], "2 200"),
        (&["--tls-max", "1.2"], "2 200"),
        (&["--no-alpn", "--http1.1"], "1.1 200"),
    ] {
        let got = curl(&authority, &[options, &version, &[&url]].concat());
        assert_eq!(got, expected, "{options:?}");
    }
    // The name counts, and so does who signed it.
    let other = Authority::new();
    let ended = Command::new("curl")
        .args(["-sS", "--cacert"])
        .arg(other.path())
        .arg(&url)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(60), "a certificate of nobody");
}

#[test]
fn encoders_and_players_come_by_tls_and_are_told_so() {
    let _slot = slots::heavy();
    let authority = Authority::new();
    let server = server(&authority.issue("first"));
    let site = format!("https://{}", server.http);
    let token = account(&authority, &site, "ana");
    let made = post(
        &authority,
        &format!("{site}/streams/"),
        &token,
        &json!({ "title": "t" }),
    );
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let stream = Key {
        uid: text("uid"),
        key: text("key"),
    };
    let rtmps = format!("rtmps://{}/live", server.rtmps.unwrap());
    assert_eq!(text("rtmp_url"), rtmps);
    let _ffmpeg = Running::ffmpeg(Clip::Plain, &format!("{rtmps}/{}", stream.key));
    server.wait_status(&stream, "live", 30);
    let shown = until("something to play", 30, || {
        let shown = curl(&authority, &[&format!("{site}/streams/{}/", stream.uid)]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        (!shown["video"].is_null()).then_some(shown)
    });
    let index = shown["video"]["index"].as_str().unwrap();
    assert!(index.starts_with(&format!("{site}/live/")), "{shown}");
    let socket = shown["websocket"].as_str().unwrap();
    let expected = format!("wss://{}/ws/streams/{}/", server.http, stream.uid);
    assert_eq!(socket, expected);

    // FFmpeg plays it and checks the certificate; what comes is what was sent.
    let mut player = Running::start(
        Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-v",
                "error",
                "-xerror",
                "-tls_verify",
                "1",
                "-ca_file",
            ])
            .arg(authority.path())
            .args(["-i", index, "-t", "4", "-f", "null", "-"]),
    );
    player.succeeds(60);

    // Also by RTMP without TLS, beside it.
    let second = server.create();
    let mut plain = Encoder::publish(server.rtmp, "live", &second.key).unwrap();
    plain.send_all(&Clip::Tiny.tags());
    server.wait_status(&second, "live", 20);
    plain.finish();
}

#[test]
fn a_player_has_the_short_way_inside_tls_too() {
    let authority = Authority::new();
    let server = server(&authority.issue("first"));
    let site = format!("https://{}", server.http);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Plain.tags());
    let folder = format!("{site}/live/{}/source", stream.uid);
    let playlist = until("a segment", 20, || {
        let text = curl(&authority, &["--http2", &format!("{folder}/index.m3u8")]);
        text.contains(".ts").then_some(text)
    });
    let name = playlist.lines().find(|line| line.ends_with(".ts")).unwrap();
    let segment = format!("{folder}/{name}");
    let handed = || {
        let metrics = curl(&authority, &["--http2", &format!("{site}/metrics")]);
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix("cauce_http_handed_over_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = handed();
    let dir = tempfile::TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (a, b, c) = (file("a"), file("b"), file("c"));
    curl(
        &authority,
        &["--http1.1", "-o", &a, &segment, "-o", &b, &segment],
    );
    assert_eq!(handed() - before, 1, "who asks for it");
    curl(&authority, &["--http2", "-o", &c, &segment]);
    let [a, b, c] = [a, b, c].map(|file| fs::read(file).unwrap());
    assert!(a == c && b == c && !c.is_empty());
}

#[test]
fn rooms_open_by_wss() {
    let authority = Authority::new();
    let server = server(&authority.issue("first"));
    let site = format!("https://{}", server.http);
    let tokens = json!({
        "ana": account(&authority, &site, "ana"),
        "bob": account(&authority, &site, "bob"),
    });
    let made = post(
        &authority,
        &format!("{site}/streams/"),
        tokens["ana"].as_str().unwrap(),
        &json!({ "title": "t" }),
    );
    let (uid, key) = (
        made["uid"].as_str().unwrap(),
        made["key"].as_str().unwrap().to_owned(),
    );
    let _encoder = Encoder::publish(server.rtmp, "live", &key).unwrap();
    let url = format!("wss://{}/ws/streams/{uid}/", server.http);
    let mut chat = Running::start(
        hub::client("chat", &url, &tokens).env("WEBSOCKET_CLIENT_CA_BUNDLE", authority.path()),
    );
    chat.line("chat", 60, |line| (line == "done").then_some(()));
}

#[test]
fn a_certificate_is_exchanged_while_the_server_runs() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("first"), authority.issue("second"));
    let dir = tempfile::tempdir().unwrap();
    let files = Issued {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    let put = |issued: &Issued| {
        fs::copy(&issued.cert, &files.cert).unwrap();
        fs::copy(&issued.key, &files.key).unwrap();
    };
    put(&first);
    let variables = files.for_http();
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut server = Process::start(&variables);
    let mut old = authority.connect(server.http);
    assert!(old.certificate() == der(&first.cert));

    // A bad one changes nothing, and one line says why.
    fs::copy(&second.cert, &files.cert).unwrap();
    server.child.signal("HUP");
    let line = server.child.line("the refusal", 20, |line| {
        line.contains("certificate was not reloaded")
            .then(|| line.to_owned())
    });
    assert!(
        line.contains("http.tls.key") && line.contains("is not the key"),
        "{line}"
    );
    assert!(authority.connect(server.http).certificate() == der(&first.cert));

    put(&second);
    server.child.signal("HUP");
    server.child.line("the reload", 20, |line| {
        line.contains("certificate reloaded").then_some(())
    });
    assert!(authority.connect(server.http).certificate() == der(&second.cert));
    assert_eq!(server.child.log().matches("was not reloaded").count(), 1);
    // Who was there stays.
    assert!(old.ask("/healthz").starts_with("HTTP/1.1 200"));

    server.child.signal("TERM");
    assert_eq!(server.child.ended(20).code(), Some(0));
}

#[test]
fn without_a_certificate_there_is_nothing_to_reload_and_nothing_ends() {
    let mut server = Process::start(&[]);
    server.child.signal("HUP");
    server.child.line("a word", 20, |line| {
        line.contains("nothing to reload").then_some(())
    });
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn files_that_cannot_be_used_are_told_in_one_line() {
    let authority = Authority::new();
    let (good, other) = (authority.issue("first"), authority.issue("second"));
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "nothing of the kind\n").unwrap();
    let broken = dir.path().join("broken.pem");
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(&broken, text).unwrap();
    let missing = dir.path().join("missing.pem");
    for (cert, key, expected) in [
        (&missing, &good.key, "http.tls.cert: cannot read"),
        (&empty, &good.key, "http.tls.cert: no certificate in"),
        (&broken, &good.key, "http.tls.cert: the certificate in"),
        (&good.cert, &missing, "http.tls.key: cannot read"),
        (&good.cert, &empty, "http.tls.key: no private key in"),
        (&good.cert, &other.key, "is not the key of the certificate"),
    ] {
        for command in ["serve", "check"] {
            let (code, said) = refused(dir.path(), command, cert, key);
            assert_eq!(code, Some(1), "{said}");
            let lines: Vec<_> = said.lines().filter(|l| l.contains(expected)).collect();
            assert_eq!(lines.len(), 1, "{command}, wanted {expected}: {said}");
            assert!(!said.contains("ready "), "{said}");
            if command == "serve" {
                assert_eq!(said.lines().count(), 1, "{said}");
            }
        }
    }
    let output = cauce(dir.path())
        .envs(good.for_http())
        .arg("check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 can be used"),
        "{said}"
    );
}

/// The exit code and all the output of a command with these files.
fn refused(dir: &Path, command: &str, cert: &Path, key: &Path) -> (Option<i32>, String) {
    let mut cauce = cauce(dir);
    cauce.env("CAUCE_LOG__LEVEL", "error").arg(command);
    cauce.env("CAUCE_HTTP__TLS__CERT", cert);
    cauce.env("CAUCE_HTTP__TLS__KEY", key);
    let output = cauce.output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&all).into_owned(),
    )
}

/// What the server says to these bytes until it closes; an error is a reset.
fn said(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.write_all(bytes)?;
    let mut answer = vec![];
    socket.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn who_speaks_something_else_is_told_by_an_alert_and_closed() {
    let authority = Authority::new();
    let server = server(&authority.issue("first"));
    let rtmps = server.rtmps.unwrap();
    // More than one read of the server, so that closing too early would reset the connection.
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let rtmp = [&[3_u8][..], &[7; 1536]].concat();
    for address in [server.http, rtmps] {
        for bytes in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", long.as_bytes(), &rtmp] {
            let answer = said(address, bytes).unwrap();
            // An alert record (RFC 8446 6), and nothing else.
            assert_eq!(answer.first(), Some(&21), "{answer:?}");
            assert_eq!(answer.len(), 7, "{answer:?}");
        }
    }
    assert!(
        authority
            .connect(server.http)
            .ask("/healthz")
            .contains("200")
    );
}

#[test]
fn a_handshake_has_a_deadline_and_a_seat() {
    let authority = Authority::new();
    let issued = authority.issue("first");
    let server = Server::with(|config| {
        let (cert, key) = (Some(issued.cert.clone()), Some(issued.key.clone()));
        (config.http.tls.cert, config.http.tls.key) = (cert.clone(), key.clone());
        (config.rtmp.tls.cert, config.rtmp.tls.key) = (cert, key);
        config.rtmp.tls.listen = Some(([127, 0, 0, 1], 0).into());
        config.limits.tls_handshake_timeout = Duration::from_secs(2);
        config.limits.http_connections = 2;
        config.limits.rtmp_connections = 2;
    });
    for address in [server.http, server.rtmps.unwrap()] {
        // One says nothing, one drips a ClientHello: together they have every seat.
        let mut silent = TcpStream::connect(address).unwrap();
        let mut slow = TcpStream::connect(address).unwrap();
        for stream in [&silent, &slow] {
            let patience = Some(Duration::from_secs(20));
            stream.set_read_timeout(patience).unwrap();
        }
        slow.write_all(&[22, 3, 1, 2, 0]).unwrap();
        until("the seats to be taken", 10, || {
            let mut third = TcpStream::connect(address).unwrap();
            third
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            matches!(third.read(&mut [0; 1]), Ok(0)).then_some(())
        });
        // Each byte it drips buys no time.
        while slow.write_all(&[1]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    // The seats are free again.
    let mut after = until("a free seat", 10, || {
        authority.try_connect(server.http).ok()
    });
    let metrics = after.ask("/metrics");
    assert!(metrics.contains("200 OK"), "{metrics}");
}
