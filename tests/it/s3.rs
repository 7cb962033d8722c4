//! Storage in a bucket, on two S3 servers: what is in the bucket, players that read it without us, a
//! restart, outages, and a network that delays, loses and reorders writes. It does not know how
//! the server decides what to write.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::support::{
    Clip, Encoder, Key, Process, Running, Server,
    bucket::{self, Bucket, Proxy, Trouble},
    clip, http,
    node::{Counter, Counts},
    oracle, rest, server, until,
};

/// Publishes the clip `times` times over in one session.
fn publish(encoder: &mut Encoder, times: u32) {
    let tags = Clip::Plain.tags();
    for round in 0..times {
        encoder.send_all(&clip::moved(&tags, round * 16_000));
        assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
    }
}

fn media_key(stream: &Key) -> String {
    format!("{}/source/index.m3u8", stream.uid)
}

/// The number behind the last segment that the bucket's playlist lists.
fn end(files: &Path, stream: &Key) -> u64 {
    bucket::listed(files, &media_key(stream)).map_or(0, |(_, end)| end)
}

#[test]
fn the_bucket_holds_what_players_need() {
    let bucket = Bucket::start();
    let server = Server::with(|config| {
        bucket::configure(config, bucket.address);
        config.storage.s3.prefix = Some("a/b".into());
        config.hls.window_segments = 20;
        config.hls.reconnect_grace = Duration::from_secs(1);
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    encoder.finish();
    let files = bucket.files().join("a/b");
    until("the whole clip in the bucket", 30, || {
        let text = std::fs::read_to_string(files.join(media_key(&stream))).ok()?;
        text.contains("#EXT-X-ENDLIST").then_some(())
    });
    let at = |name: &str| format!("/{}/a/b/{}/{name}", bucket::NAME, stream.uid);
    let playlist = http::get(bucket.address, &at("source/index.m3u8"));
    assert_eq!(playlist.status, 200);
    assert_eq!(
        playlist.header("content-type"),
        Some("application/vnd.apple.mpegurl")
    );
    assert_eq!(playlist.header("cache-control"), Some("public, max-age=1"));
    let text = playlist.text();
    let name = text.lines().find(|line| line.ends_with(".ts")).unwrap();
    let segment = http::get(bucket.address, &at(&format!("source/{name}")));
    assert_eq!(segment.header("content-type"), Some("video/mp2t"));
    assert_eq!(
        segment.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    // The same bytes as the origin's.
    let origin = server.get(&format!("/live/{}/source/{name}", stream.uid));
    assert!(origin.body == segment.body);

    let url = format!("http://{}{}", bucket.address, at("index.m3u8"));
    let source = Clip::Plain.path();
    assert_eq!(
        oracle::frames(&url, 'v').first(),
        oracle::frames(source.to_str().unwrap(), 'v').first()
    );
    oracle::decodes(&url);
}

#[test]
fn with_a_public_url_the_buckets_playlists_are_absolute_and_the_origins_are_not() {
    let bucket = Bucket::start();
    let public = format!("http://{}/{}", bucket.address, bucket::NAME);
    let mut variables = bucket::variables(bucket.address);
    variables.push(("CAUCE_STORAGE__S3__PUBLIC_BASE_URL", public.clone()));
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut first = Process::start(&variables);
    let stream = first.create();
    let mut encoder = Encoder::publish(first.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    let stored = until("a playlist in the bucket", 30, || {
        let text = String::from_utf8(bucket.object(&media_key(&stream))?).unwrap();
        (text.matches("#EXTINF").count() >= 5).then_some(text)
    });
    let begins = format!("{public}/{}/source/", stream.uid);
    let links = stored.lines().filter(|line| !line.starts_with('#'));
    assert!(links.clone().count() >= 5);
    assert!(
        links.clone().all(|line| line.starts_with(&begins)),
        "{stored}"
    );
    oracle::decodes_for(&format!("{public}/{}/index.m3u8", stream.uid), 4);

    // Also after a restart, when the window is read from the bucket.
    let mut viewer = first.viewer(&stream);
    let before = viewer.end();
    let data = first.keep_data();
    first.child.kill();
    let second = Process::restart_in(data.path(), &variables);
    viewer.moved(second.http);
    viewer.wait("the window of before", 20, |p| !p.segments.is_empty());
    assert!(viewer.end() >= before, "numbers went back");
    assert!(!viewer.text().contains("http"), "{}", viewer.text());
    let multivariant = second.get(&format!("/live/{}/index.m3u8", stream.uid));
    assert!(!multivariant.text().contains("http"));
}

#[test]
fn an_outage_is_told_and_loses_nothing() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(bucket.address, |_| {});
    let mut variables = bucket::variables(proxy.address);
    variables.push(("CAUCE_LIMITS__STORE_DEADLINE", "2s".to_owned()));
    variables.push(("CAUCE_HLS__WINDOW_SEGMENTS", "1000".to_owned()));
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let server = Process::start(&variables);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    let files = bucket.files();
    until("the first segments", 20, || {
        (end(&files, &stream) > 3).then_some(())
    });
    proxy.down(true);
    // Live viewers see nothing of it.
    for round in 1..4 {
        encoder.send_all(&clip::moved(&Clip::Plain.tags(), round * 16_000));
    }
    let mut viewer = server.viewer(&stream);
    viewer.reaches(31, 20);
    until("degraded", 20, || {
        let reply = server.get("/readyz");
        assert_eq!(reply.status, 200);
        reply.text().contains("degraded").then_some(())
    });
    proxy.down(false);
    until("all of it in the bucket", 40, || {
        (end(&files, &stream) >= 31).then_some(())
    });
    let (first, _) = bucket::listed(&files, &media_key(&stream)).unwrap();
    assert_eq!(first, 0, "nothing is missing");
    until("well again", 20, || {
        (server.get("/readyz").text() == r#"{"status":"ok"}"#).then_some(())
    });
    // An operator reads when it began and when it was over, once each.
    let log = server.child.log();
    for line in ["storage fails; live goes on", "storage answers again"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
}

#[test]
fn an_outage_longer_than_the_backlog_leaves_a_playlist_without_a_hole() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(bucket.address, |_| {});
    let server = Server::with(|config| {
        bucket::configure(config, proxy.address);
        config.limits.store_deadline = Duration::from_secs(2);
        config.limits.archive_bytes = 1 << 20;
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    proxy.down(true);
    publish(&mut encoder, 3);
    server.viewer(&stream).reaches(23, 20);
    proxy.down(false);
    let files = bucket.files();
    let (first, _) = until("the newest in the bucket", 40, || {
        bucket::listed(&files, &media_key(&stream)).filter(|(_, end)| *end >= 23)
    });
    assert!(first > 0, "the backlog was meant to be too small");
}

/// Every state of the bucket's playlist: what it lists is there, and its numbers only grow.
fn watched(bucket: &Bucket) -> (Proxy, Arc<Mutex<Vec<String>>>) {
    let faults = Arc::<Mutex<Vec<String>>>::default();
    let (files, told) = (bucket.files(), Arc::clone(&faults));
    let newest = Mutex::new((0, 0));
    let look = move |after: &str| {
        let playlists = walk(&files);
        let mut newest = newest.lock().unwrap();
        for playlist in playlists {
            let looked = std::panic::catch_unwind(|| bucket::listed(&files, &playlist));
            let Ok(Some((first, end))) = looked else {
                told.lock()
                    .unwrap()
                    .push(format!("a segment is absent after {after}"));
                continue;
            };
            if first < newest.0 || end < newest.1 {
                let line = format!("{first}..{end} after {newest:?}: {after}");
                told.lock().unwrap().push(line);
            }
            *newest = (first, end);
        }
    };
    (Proxy::before(bucket.address, look), faults)
}

/// The media playlists in the bucket; the tests have one stream each.
fn walk(files: &Path) -> Vec<String> {
    let streams = std::fs::read_dir(files).unwrap().flatten();
    let keys = streams.map(|entry| {
        let uid = entry.file_name().to_string_lossy().into_owned();
        format!("{uid}/source/index.m3u8")
    });
    keys.filter(|key| files.join(key).is_file()).collect()
}

#[test]
fn whatever_the_network_does_the_buckets_playlist_is_true_and_never_goes_back() {
    let bucket = Bucket::start();
    let (proxy, faults) = watched(&bucket);
    let server = Server::with(|config| {
        bucket::configure(config, proxy.address);
        config.limits.store_deadline = Duration::from_millis(500);
        config.hls.window_segments = 5;
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    let slow = Duration::from_millis(100);
    let kinds = [
        None,
        Some(Trouble::Late(2)),
        Some(Trouble::Status(503)),
        None,
        Some(Trouble::Unanswered),
        Some(Trouble::Late(5)),
        Some(Trouble::Delay(slow)),
        Some(Trouble::Reset),
        None,
        Some(Trouble::Status(500)),
        None,
        Some(Trouble::Late(1)),
        Some(Trouble::Hang),
    ];
    proxy.plan(kinds.into_iter().cycle().take(40));
    let tags = Clip::Plain.tags();
    let mut round = 0;
    until("all troubles", 90, || {
        // Segments keep coming, so that playlists do.
        if round < 30 {
            encoder.send_all(&clip::moved(&tags, round * 16_000));
            round += 1;
        }
        (proxy.planned() == 0).then_some(())
    });
    let last = server.viewer(&stream).end();
    until("the newest playlist in the bucket", 60, || {
        (end(&bucket.files(), &stream) >= last).then_some(())
    });
    assert!(proxy.delivered_late() > 0, "nothing came late");
    let faults = faults.lock().unwrap();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_bucket_that_cannot_be_used_ends_the_start_with_one_line() {
    let bucket = Bucket::start();
    let data = tempfile::TempDir::new().unwrap();
    for (variable, value, expected) in [
        ("SECRET_ACCESS_KEY", "wrong", "storage.s3.access_key_id"),
        ("BUCKET", "absent", "storage.s3.bucket"),
        ("ENDPOINT", "http://127.0.0.1:9", "storage.s3.endpoint"),
    ] {
        let name = format!("CAUCE_STORAGE__S3__{variable}");
        let run = |command: &str, required: &str| {
            let output = server::cauce(data.path())
                .envs(bucket::variables(bucket.address))
                .env(&name, value)
                .env("CAUCE_STORAGE__REQUIRED", required)
                .arg(command)
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        let (code, said) = run("serve", "true");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("wrong"), "{said}");
        let (code, said) = run("check", "true");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        let (code, said) = run("check", "false");
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_bucket_that_is_not_required_may_come_later() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(bucket.address, |_| {});
    proxy.down(true);
    let server = Server::with(|config| {
        bucket::configure(config, proxy.address);
        config.limits.store_deadline = Duration::from_secs(1);
        config.storage.required = false;
    });
    assert!(server.get("/readyz").text().contains("degraded"));
    proxy.down(false);
    until("well", 20, || {
        (server.get("/readyz").text() == r#"{"status":"ok"}"#).then_some(())
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    until("segments in the bucket", 20, || {
        (end(&bucket.files(), &stream) >= 7).then_some(())
    });
}

/// moto, as tests/run installs it, else the one on the path.
fn moto() -> (Running, SocketAddr) {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/streamlink/bin/moto_server");
    let program = if own.exists() {
        own
    } else {
        "moto_server".into()
    };
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", "0"]);
    command.env("PYTHONUNBUFFERED", "1");
    let mut child = Running::start(&mut command);
    let address = child.line("moto's address", 60, |line| {
        let (_, address) = line.split_once("Running on http://")?;
        address.trim().parse().ok()
    });
    (child, address)
}

#[test]
fn a_second_kind_of_server_serves_players_and_a_restart() {
    let (_moto, address) = moto();
    let made = http::send(
        address,
        "PUT",
        &format!("/{}", bucket::NAME),
        &[("Content-Length", "0")],
    );
    assert_eq!(made.status, 200, "{}", made.text());
    // Whoever serves players from a bucket lets everybody read it.
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": format!("arn:aws:s3:::{}/*", bucket::NAME),
    }] });
    let target = format!("/{}?policy", bucket::NAME);
    let open = rest::send(address, "PUT", &target, &rest::Sent::json("", &policy));
    assert!(open.status < 300, "{}", open.text());
    let variables = bucket::variables(address);
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut first = Process::start(&variables);
    let stream = first.create();
    let mut encoder = Encoder::publish(first.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    let path = format!("/{}/{}/source/index.m3u8", bucket::NAME, stream.uid);
    until("the clip in the bucket", 30, || {
        let playlist = http::get(address, &path).text();
        (playlist.matches("#EXTINF").count() >= 6).then_some(())
    });
    let playlist = http::get(address, &path);
    assert_eq!(
        playlist.header("content-type"),
        Some("application/vnd.apple.mpegurl")
    );
    assert_eq!(playlist.header("cache-control"), Some("public, max-age=1"));
    let url = format!(
        "http://{address}/{}/{}/index.m3u8",
        bucket::NAME,
        stream.uid
    );
    oracle::decodes_for(&url, 4);

    let mut viewer = first.viewer(&stream);
    let before = viewer.end();
    let data = first.keep_data();
    first.child.kill();
    let second = Process::restart_in(data.path(), &variables);
    viewer.moved(second.http);
    viewer.wait("the window of before", 20, |p| !p.segments.is_empty());
    assert!(viewer.end() >= before, "numbers went back");
    let listed = viewer.seen.values().last().unwrap();
    assert_eq!(
        second.get(&listed.path).status,
        200,
        "read back from the bucket"
    );
}

#[test]
fn names_that_nothing_can_have_cost_the_bucket_nothing() {
    let bucket = Bucket::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counter = Counter::before(bucket.address, &runtime);
    let server = Server::with(|config| bucket::configure(config, counter.address));
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    publish(&mut encoder, 1);
    let files = bucket.files();
    until("the clip in the bucket", 30, || {
        (end(&files, &stream) >= 7).then_some(())
    });
    encoder.finish();
    until("all of it in the bucket", 30, || {
        let pictured = files.join(&stream.uid).join("thumbnail.jpg").is_file();
        (pictured && end(&files, &stream) >= 8).then_some(())
    });
    // It is asked for what is there, so the counting works.
    assert!(!counter.take().is_empty());

    let uid = &stream.uid;
    let long = "a".repeat(7000);
    let mut paths: Vec<String> = [
        "/live/../../etc/passwd",
        "/live/%2e%2e/%2e%2e/etc/passwd",
        "/live/%2e%2e%2f%2e%2e%2fcauce.db",
        "/live/%00/index.m3u8",
        "/live//index.m3u8",
        "/live/",
        "/live/index.m3u8",
    ]
    .map(str::to_owned)
    .into();
    for name in [
        "../../../cauce.db",
        "..%2f..%2fcauce.db",
        "source%2findex.m3u8",
        "source/%2e%2e/index.m3u8",
        "source/..%5c..%5cindex.m3u8",
        "source/index.m3u8%00.ts",
        "source/none-0.ts",
        "source/-0.ts",
        "source/a-99999999999999999999999.ts",
        "source/aaaaaaaaaa-3.ts/",
        "source/.ts",
        "other/index.m3u8",
        "source/recording.ts/x",
    ] {
        paths.push(format!("/live/{uid}/{name}"));
    }
    paths.push(format!("/live/{uid}/source/{long}.ts"));
    paths.push(format!("/live/{long}/index.m3u8"));
    for path in &paths {
        let status = server.get(path).status;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
    for number in 0..2000 {
        let name = ["index.m3u8", "source/index.m3u8", "source/aaaaaaaaaa-1.ts"][number % 3];
        let path = format!("/live/{number:0>22}/{name}");
        assert_eq!(server.get(&path).status, 404, "{path}");
    }
    assert_eq!(counter.take(), Counts::new());
}
