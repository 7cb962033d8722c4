//! What HTTP refuses, and how: paths that are not there, other methods, broken and slow requests,
//! pages that are for operators only. It does not know what a good answer holds: http.rs does.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    http::fixture,
    support::{
        Process, Server,
        http::{self, raw, send},
        server::Site,
        until,
    },
};

#[test]
fn what_is_not_there_is_cached_for_a_second() {
    let f = fixture();
    let uid = &f.stream.uid;
    for path in [
        "/live/AAAAAAAAAAAAAAAAAAAAAA/index.m3u8".to_owned(),
        format!("/live/{uid}/source/nothing-1.ts"),
        format!("/live/{uid}/source/nothing.ts"),
        format!("/live/{uid}/other/index.m3u8"),
        format!("/live/{uid}/nothing"),
        format!("/live/{uid}"),
        "/live/".to_owned(),
        "/live".to_owned(),
    ] {
        let reply = f.ask(&path, &[]);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.header("cache-control"), Some("max-age=1"), "{path}");
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
    }
    // A stream that is there but not live yet.
    let pending = f.server.create();
    assert_eq!(f.server.get(&Site::media_path(&pending)).status, 404);
}

#[test]
fn the_key_is_no_public_name() {
    let f = fixture();
    assert_eq!(
        f.server
            .get(&format!("/live/{}/index.m3u8", f.stream.key))
            .status,
        404
    );
    for path in f.playlists() {
        assert!(!f.ask(&path, &[]).text().contains(&f.stream.key));
    }
}

#[test]
fn unknown_queries_are_ignored() {
    let f = fixture();
    for path in f.playlists() {
        let reply = f.ask(&format!("{path}?_HLS_x=1&token=%00"), &[]);
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.text(),
            f.ask(&path, &[]).text(),
            "no URL of its own for a viewer"
        );
    }
    assert_eq!(f.ask(&format!("{}?a=b", f.segment), &[]).status, 200);
}

#[test]
fn other_methods_are_refused_with_allow() {
    let f = fixture();
    for path in [f.segment.as_str(), &Site::media_path(&f.stream), "/healthz"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let reply = send(f.server.http, method, path, &[("Content-Length", "0")]);
            assert_eq!(reply.status, 405, "{method} {path}");
            let allow = reply.header("allow").unwrap_or_default();
            assert!(
                allow.contains("GET") && allow.contains("HEAD"),
                "{method} {path}: {allow}"
            );
        }
    }
}

#[test]
fn no_path_leads_out() {
    let f = fixture();
    let uid = &f.stream.uid;
    let long = "a".repeat(4000);
    for path in [
        "/live/../../../../etc/passwd".to_owned(),
        "/../cauce.db".to_owned(),
        format!("/live/{uid}/../../cauce.db"),
        format!("/live/{uid}/source/..%2f..%2f..%2fjwt.key"),
        format!("/live/{uid}/source/%2e%2e/%2e%2e/jwt.key"),
        format!("/live/{uid}%2fsource/index.m3u8"),
        format!("/live/{uid}/source/index.m3u8%00.ts"),
        format!("/live/{uid}/source/a-1.ts%00"),
        format!("/live/{uid}/source/{long}-1.ts"),
        format!("/live/{long}/index.m3u8"),
        format!("/live/{uid}/source/a-99999999999999999999999.ts"),
        format!("/live/{uid}/source/a-01.ts"),
        format!("/live//{uid}/index.m3u8"),
        format!("/live/{uid}/%73ource/%ff%fe.ts"),
        "/live/%".to_owned(),
        "/%c0%ae%c0%ae/".to_owned(),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw(f.server.http, request.as_bytes()).expect("an answer");
        let reply = http::parse(&answer, false).expect("a reply");
        assert!(
            matches!(reply.status, 400 | 404 | 414),
            "{path}: {}",
            reply.status
        );
        let text = reply.text();
        assert!(
            !text.contains("root:") && !text.contains("SQLite"),
            "{path}"
        );
    }
}

#[test]
fn broken_requests_are_refused_and_end() {
    let f = fixture();
    let many = "X-Many: 1\r\n".repeat(20_000);
    for request in [
        "GET\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "y".repeat(100_000)
        ),
    ] {
        let answer = raw(f.server.http, request.as_bytes()).unwrap_or_default();
        let status = http::parse(&answer, false).map(|reply| reply.status);
        assert!(
            status.is_none_or(|s| (400..=505).contains(&s)),
            "{status:?}: {request:.60}"
        );
        assert_eq!(f.server.get("/healthz").status, 200);
    }
}

#[test]
fn a_slow_request_is_not_waited_for() {
    let server = Server::with(|c| c.limits.http_header_timeout = Duration::from_secs(1));
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .unwrap();
    let mut answer = Vec::new();
    // Ends with the server's close; the time-out of the read would be an error.
    let end = socket.read_to_end(&mut answer);
    let reset = end
        .as_ref()
        .is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
    assert!(end.is_ok() || reset, "{end:?}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn connections_of_one_address_are_counted() {
    let server = Server::with(|c| c.limits.sockets_per_address = 8);
    let held: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(server.http).unwrap())
        .collect();
    until("the ninth connection to be refused", 10, || {
        let reply = http::try_send(server.http, "GET", "/healthz", &[]);
        reply
            .is_none_or(|r| matches!(r.status, 429 | 503))
            .then_some(())
    });
    drop(held);
    until("room again", 10, || {
        let reply = http::try_send(server.http, "GET", "/healthz", &[]);
        reply.is_some_and(|r| r.status == 200).then_some(())
    });
}

#[test]
fn operators_have_their_pages() {
    let server = Process::start(&[]);
    for path in [
        "/healthz",
        "/readyz",
        "/version",
        "/metrics",
        "/healthz/",
        "/version/",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply
                .header("x-request-id")
                .is_some_and(|id| !id.is_empty()),
            "{path}"
        );
    }
    let ids = [server.get("/healthz"), server.get("/healthz")];
    assert_ne!(ids[0].header("x-request-id"), ids[1].header("x-request-id"));
    assert!(
        server
            .get("/version")
            .text()
            .contains(env!("CARGO_PKG_VERSION"))
    );
    assert!(server.get("/metrics").text().contains("# TYPE cauce_"));
    let nothing = server.get("/nothing");
    assert_eq!(nothing.status, 404);
    assert!(nothing.header("x-request-id").is_some());
}

#[test]
fn metrics_are_for_the_allowed_only() {
    let server = Process::start(&[("CAUCE_METRICS__ALLOW", "192.0.2.0/24")]);
    let reply = server.get("/metrics");
    assert!(matches!(reply.status, 403 | 404), "{}", reply.status);
    assert!(!reply.text().contains("cauce_"));
    // Behind a trusted proxy the client's address counts; otherwise the header is only a claim.
    let claim = [("X-Forwarded-For", "192.0.2.7")];
    let forged = send(server.http, "GET", "/metrics", &claim);
    assert!(matches!(forged.status, 403 | 404), "{}", forged.status);
}

#[test]
fn the_watch_page_plays_this_stream() {
    let f = fixture();
    let page = f.server.get(&format!("/watch/{}", f.stream.uid));
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|t| t.starts_with("text/html"))
    );
    assert!(!page.text().contains(&f.stream.key));
    assert!(
        !page.text().contains("src=\"http"),
        "everything comes from this server"
    );
}
