//! The short way of playlists and segments beside hyper's: the same bytes, however requests are put
//! together and cut up, the same counts, and the same ends of connections that say or take nothing.
//! It does not know what good answers hold: http.rs does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use cauce::{config::Network, name::StreamUid};
use proptest::prelude::*;

use crate::{
    http::{Fixture, fixture, fixture_with},
    support::{Server, http, until},
};

/// A connection with this field is hyper's; it changes nothing in an answer.
const LONG_WAY: &str = "Keep-Alive: timeout=5\r\n";

/// A figure of the server's, all its labels together.
fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

/// Connections that left the short way. Whoever asks for a figure is one of them.
fn handed(server: &Server) -> u64 {
    metric(server, "cauce_http_handed_over_total ")
}

/// An answer without what differs each time.
fn lasting(answer: &[u8]) -> String {
    let text: String = answer.iter().copied().map(char::from).collect();
    let mut lines: Vec<_> = text.split("\r\n").collect();
    for line in &mut lines {
        if line.starts_with("date: ") {
            *line = "date";
        } else if line.starts_with("x-request-id: ") {
            *line = "id";
        }
    }
    lines.join("\r\n")
}

/// Sends `pieces` one after the other and reads to the end.
fn send(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut socket = connect(address);
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        // The server may have ended the connection already, with an answer or without.
        let _ = socket.write_all(piece);
    }
    let mut answer = vec![];
    let _ = socket.read_to_end(&mut answer);
    lasting(&answer)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(15));
    socket.set_read_timeout(patience).unwrap();
    socket
}

/// What both ways answer, the second after a request that is hyper's; asked again when the playlist
/// changed meanwhile.
#[track_caller]
fn alike(address: SocketAddr, short: &[&[u8]], long: &[&[u8]], skip: &str) {
    for _ in 0..20 {
        let first = send(address, short);
        let second = send(address, long);
        if first == send(address, short) {
            let second = second.strip_prefix(skip).unwrap_or(&second);
            let shown: Vec<_> = short
                .iter()
                .map(|piece| piece.escape_ascii().to_string())
                .collect();
            assert_eq!(first, second, "{shown:?}");
            return;
        }
    }
    panic!("the stream never stands still");
}

fn paths(f: &Fixture) -> Vec<String> {
    let [multivariant, media] = f.playlists();
    let query = format!("{media}?_HLS_msn=1&token=%00a/b");
    vec![multivariant, media, query, f.segment.clone()]
}

/// Those of answers that have to be waited for, or are refusals.
fn other_paths(f: &Fixture) -> Vec<String> {
    let uid = &f.stream.uid;
    vec![
        "/live/AAAAAAAAAAAAAAAAAAAAAA/index.m3u8".into(),
        format!("/live/{uid}/source/none-1.ts"),
        format!("/live/{uid}/other/index.m3u8?a=b"),
        format!("/live/{uid}/thumbnail.jpg"),
        format!("/live/{uid}/%2e%2e/index.m3u8"),
        "/live".into(),
    ]
}

/// Fields that matter to these answers, well formed and not.
fn fields(f: &Fixture) -> Vec<String> {
    let mut all = vec![
        String::new(),
        "Accept-Encoding: gzip\r\n".into(),
        "accept-encoding:gzip;q=0.5 , identity\r\n".into(),
        "ACCEPT-ENCODING: br\r\nAccept-Encoding: x-gzip\r\n".into(),
        "Accept-Encoding: gz\u{e9}ip\r\n".into(),
        "If-None-Match: *\r\n".into(),
        "If-None-Match: \"other\", *\r\n".into(),
        "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n".into(),
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".into(),
        "Range: bytes=0-\r\n".into(),
        "Range: bytes=3-9\r\n".into(),
        "Range: bytes=-5\r\n".into(),
        "Range: bytes=999999999-\r\n".into(),
        "Range: bytes=3-9\r\nIf-Range: \"other\"\r\n".into(),
        "X-Forwarded-For: 192.0.2.9\r\n".into(),
        "X-Empty:\r\nX-Blank:   \t \r\nCookie: a=b\r\nTE: trailers\r\n".into(),
    ];
    for path in paths(f) {
        for coding in ["gzip", "identity"] {
            let reply = f.ask(&path, &[("Accept-Encoding", coding)]);
            let etag = reply.header("etag").unwrap();
            all.push(format!(
                "Accept-Encoding: {coding}\r\nIf-None-Match: W/{etag}\r\n"
            ));
            all.push(format!("Range: bytes=1-1\r\nIf-Range: {etag}\r\n"));
        }
    }
    all
}

#[test]
fn both_ways_answer_alike() {
    let f = fixture();
    let fields = fields(&f);
    let (begin, mut asked) = (handed(&f.server), 0);
    for path in [paths(&f), other_paths(&f)].concat() {
        for method in ["GET", "HEAD"] {
            for field in &fields {
                let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{field}");
                let close = "Connection: close\r\n\r\n";
                let (stay, last) = (format!("{head}\r\n"), format!("{head}{close}"));
                let twice = format!("{stay}{last}");
                alike(
                    f.server.http,
                    &[twice.as_bytes()],
                    &[format!("{head}{LONG_WAY}\r\n{last}").as_bytes()],
                    "",
                );
                asked += 1;
            }
        }
    }
    // Each time the other way once, but where the playlist changed meanwhile.
    let handed = handed(&f.server) - begin - 1;
    assert!(
        (asked..asked + asked / 4).contains(&handed),
        "{handed} of {asked}"
    );
}

/// Requests by what is done with them: `{path}` is filled in.
const REQUESTS: [&str; 18] = [
    "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
    "\r\nGET {path} HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET {path} HTTP/1.1\nHost: x\n\n",
    "GET http://x{path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {path}#part HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {path}/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS {path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {path} HTTP/1.1\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "GET {path} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "GET /live/AAAAAAAAAAAAAAAAAAAAAA/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n",
];

#[test]
fn requests_in_a_row_cut_anywhere_are_answered_alike() {
    let f = fixture();
    let paths = [paths(&f), other_paths(&f)].concat();
    let first = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let close = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let healthz = send(f.server.http, &[close.as_bytes()]);
    let healthz = healthz.replace("connection: close\r\n", "");
    let requests = prop::collection::vec((0..REQUESTS.len(), 0..paths.len()), 1..5);
    let cuts = prop::collection::vec(0usize..400, 0..4);
    let config = ProptestConfig::with_cases(crate::support::count("TEST_EXPRESS", 48));
    proptest!(config, |(requests in requests, mut cuts in cuts)| {
        let mut text: String = requests
            .iter()
            .map(|(request, path)| REQUESTS[*request].replace("{path}", &paths[*path]))
            .collect();
        text += close;
        // Hyper ends a connection with an answer if nobody read the body and it has not come yet: what
        // is answered after a body that is cut off depends on the moment.
        if text.contains("abc") {
            cuts.clear();
        }
        cuts.sort_unstable();
        let (mut rest, mut pieces) = (text.as_bytes(), vec![]);
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let long = [&[first.as_bytes()], &pieces[..]].concat();
        alike(f.server.http, &pieces, &long, &healthz);
    });
}

#[test]
fn a_player_stays_on_the_short_way_and_everything_is_counted() {
    let f = fixture();
    let names = [
        "cauce_http_requests_total{route=\"playlist\"",
        "cauce_http_requests_total{route=\"segment\"",
        "cauce_http_bytes_total",
    ];
    let count = || names.map(|name| metric(&f.server, name));
    let begin = handed(&f.server);
    let before = count();
    let asking = metric(&f.server, names[2]) - before[2];
    let mut socket = connect(f.server.http);
    let mut body = 0;
    for round in 0..5 {
        for path in [paths(&f), other_paths(&f)].concat() {
            let etag = if round == 3 {
                "If-None-Match: *\r\n"
            } else {
                ""
            };
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{etag}\r\n");
            socket.write_all(head.as_bytes()).unwrap();
            body += answer(&mut socket).body.len() as u64;
        }
    }
    let after = count();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [25, 10]);
    // Asking for the figures has bytes too, about the same each time.
    let bytes = after[2] - before[2];
    assert!(
        (body..body + 10 * asking).contains(&bytes),
        "{bytes} for {body}"
    );
    assert_eq!(handed(&f.server) - begin, 8, "only who asked for figures");
}

/// One answer with a length, or 304.
fn answer(socket: &mut TcpStream) -> http::Reply {
    let mut read = vec![];
    loop {
        let mut piece = [0; 4096];
        let len = socket.read(&mut piece).unwrap();
        assert!(len > 0, "no answer");
        read.extend_from_slice(&piece[..len]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]);
        let mut lengths = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "));
        let length: usize = lengths.next().map_or(0, |text| text.parse().unwrap());
        if read.len() == end + 4 + length {
            return http::parse(&read, false).unwrap();
        }
    }
}

#[test]
fn viewers_behind_a_trusted_proxy_are_told_apart() {
    let f = fixture_with(|config| {
        let address = [127, 0, 0, 1].into();
        config.http.trusted_proxies = vec![Network { address, prefix: 8 }];
    });
    let [_, media] = f.playlists();
    let mut socket = connect(f.server.http);
    let begin = handed(&f.server);
    for n in 0..9 {
        let viewer = format!("X-Forwarded-For: 198.51.100.1, 192.0.2.{n}\r\n");
        let head = format!("GET {media} HTTP/1.1\r\nHost: x\r\n{viewer}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        assert_eq!(answer(&mut socket).status, 200);
    }
    assert_eq!(handed(&f.server) - begin, 1, "who asks for it");
    let uid = StreamUid::parse(&f.stream.uid).unwrap();
    until("nine viewers", 10, || {
        let now = f.server.live(async |live| live.view(&uid))?;
        // Two addresses may share a slot of the estimate.
        (8..=10).contains(&now.viewers).then_some(())
    });
}

#[test]
fn a_host_is_named_once() {
    let f = fixture();
    let [_, media] = f.playlists();
    for path in [media.as_str(), "/healthz"] {
        for (version, hosts, status) in [
            ("1.1", "", 400),
            ("1.1", "Host: x\r\nHost: x\r\n", 400),
            ("1.0", "Host: x\r\nHost: x\r\n", 400),
            ("1.0", "", 200),
            ("1.1", "Host:\r\n", 200),
        ] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
            let answer = http::raw(f.server.http, request.as_bytes()).unwrap();
            assert_eq!(
                http::parse(&answer, false).unwrap().status,
                status,
                "{request}"
            );
        }
    }
}

#[test]
fn who_reads_slowly_gets_everything() {
    let f = fixture();
    let whole = f.ask(&f.segment, &[]).body;
    let times = 12_000_000 / whole.len();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", f.segment);
    let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut socket = connect(f.server.http);
    socket.write_all(request.repeat(times).as_bytes()).unwrap();
    socket.write_all(last.as_bytes()).unwrap();
    let mut read = vec![];
    socket.read_to_end(&mut read).unwrap();
    let mut rest = &read[..];
    let mut count = 0;
    while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let body = &rest[end + 4..];
        assert!(body.starts_with(&whole), "answer {count} of {times}");
        rest = &body[whole.len()..];
        count += 1;
    }
    assert_eq!((count, rest.len()), (times + 1, 0));
}

#[test]
fn who_takes_nothing_or_asks_nothing_is_cut() {
    let second = Duration::from_secs(1);
    let f = fixture_with(|config| {
        config.limits.http_write_timeout = second;
        config.limits.http_idle_timeout = second;
        config.limits.http_header_timeout = second;
    });
    let cut = |reason: &str| {
        let name = format!("cauce_http_connections_cut_total{{reason=\"{reason}\"}}");
        until(reason, 20, || (metric(&f.server, &name) > 0).then_some(()));
    };
    let begin = handed(&f.server);
    let _silent = connect(f.server.http);
    let mut greedy = connect(f.server.http);
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", f.segment);
    // More than sockets hold; the rest of it may find the connection ended.
    let _ = greedy.write_all(request.repeat(200).as_bytes());
    let [_, media] = f.playlists();
    let mut idle = connect(f.server.http);
    idle.write_all(format!("GET {media} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(answer(&mut idle).status, 200);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "ended without a word");
    assert_eq!(handed(&f.server) - begin, 1, "who asks for it");
    cut("idle");
    cut("header_timeout");
    cut("write_timeout");
}

#[test]
fn a_server_that_stops_ends_who_waits_at_once() {
    let f = fixture();
    let [_, media] = f.playlists();
    let mut socket = connect(f.server.http);
    socket
        .write_all(format!("GET {media} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(answer(&mut socket).status, 200);
    drop(f);
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
}
