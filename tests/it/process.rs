//! The binary as an operator meets it: its ready line, exit codes, error lines, commands beside a
//! running server, and restarts. It does not know what media is: it publishes a small clip.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    Clip, Encoder, Key, Poller, Process, Running,
    server::{self, Site, cauce, run, run_json},
    slots, until,
};

/// All that a command printed.
fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The command fails with exit code 1 and one line that names `key`; nothing is started.
#[track_caller]
fn fails_naming(command: &mut Command, key: &str) {
    let output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one clear line:\n{said}");
    assert!(said.contains(key), "it names {key}:\n{said}");
    assert!(!said.contains("ready "), "{said}");
}

/// FFmpeg publishing a loop in real time.
fn ffmpeg(site: &Site, stream: &Key) -> Running {
    Running::ffmpeg(Clip::Tiny, &site.publish_url(stream))
}

#[test]
fn it_tells_the_real_ports() {
    let server = Process::start(&[]);
    assert_ne!(server.http.port(), 0);
    assert_ne!(server.rtmp.port(), 0);
    assert_eq!(server.get("/healthz").status, 200);
    drop(Encoder::connect(server.rtmp));
    let stdout = server.child.log();
    assert_eq!(stdout.matches("ready http=").count(), 1, "{stdout}");
}

#[test]
fn serve_is_what_it_does_without_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Running::start(&mut cauce(dir.path()));
    let (http, _) = child.line("ready line", 30, server::ready);
    assert_eq!(crate::support::http::get(http, "/healthz").status, 200);
}

#[test]
fn a_taken_port_is_told_by_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, key) in [
        ("CAUCE_HTTP__LISTEN", "http.listen"),
        ("CAUCE_RTMP__LISTEN", "rtmp.listen"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = cauce(dir.path())
            .arg("serve")
            .env(variable, &address)
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(key) && said.contains(&address), "{said}");
        assert!(!said.contains("ready "), "{said}");
    }
}

#[test]
fn a_bad_configuration_is_told_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    for (text, key) in [
        ("[hls]\nwindow_segmentz = 6\n", "window_segmentz"),
        (
            "[hls]\ntarget_duration = \"quick\"\n",
            "hls.target_duration",
        ),
        ("[http]\nlisten = \"nowhere\"\n", "http.listen"),
        (
            "[rtmp]\non_second_publisher = \"perhaps\"\n",
            "rtmp.on_second_publisher",
        ),
        (
            "[limits]\nmemory_budget = \"many\"\n",
            "limits.memory_budget",
        ),
        ("nonsense = 1\n", "nonsense"),
    ] {
        fs::write(&file, text).unwrap();
        for command in ["serve", "check"] {
            fails_naming(
                cauce(dir.path()).arg("--config").arg(&file).arg(command),
                key,
            );
        }
        // For programs on standard output too, in the form of every check.
        let file = file.to_str().unwrap();
        let output = run(dir.path(), &["--config", file, "check", "--json"]);
        assert_eq!(output.status.code(), Some(1));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["ok"], false, "{told}");
        let item = &told["items"][0];
        assert_eq!(
            (&item["name"], &item["ok"]),
            (&"configuration".into(), &false.into())
        );
        assert!(item["detail"].as_str().unwrap().contains(key), "{told}");
    }
}

#[test]
fn a_bad_environment_is_told_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    for (variable, value, key) in [
        ("CAUCE_HLS__WINDOW_SEGMENTZ", "6", "window_segmentz"),
        (
            "CAUCE_HLS__TARGET_DURATION",
            "2 parsecs",
            "hls.target_duration",
        ),
        ("CAUCE_LIMITS__MEMORY_BUDGET", "-1", "limits.memory_budget"),
        ("CAUCE_LOG__FORMAT", "smoke", "log.format"),
    ] {
        let output = cauce(dir.path())
            .arg("serve")
            .env(variable, value)
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "one clear line:\n{said}");
        assert!(said.to_lowercase().contains(key), "it names {key}:\n{said}");
    }
}

#[test]
fn a_missing_configuration_file_is_an_error_when_named() {
    let dir = tempfile::tempdir().unwrap();
    fails_naming(
        cauce(dir.path()).args(["--config", "absent.toml", "serve"]),
        "absent.toml",
    );
}

#[test]
fn a_short_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("jwt.key"), b"too short").unwrap();
    fails_naming(cauce(dir.path()).arg("serve"), "auth.jwt_secret_file");
}

#[test]
fn usage_errors_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["dance"][..],
        &["serve", "--nope"],
        &["stream"],
        &["stream", "stop"],
    ] {
        let output = run(dir.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn version_is_the_package_version() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["version"]);
    assert!(output.status.success());
    assert!(
        said(&output).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        said(&output)
    );
}

#[test]
fn check_says_whether_it_would_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["check"]);
    assert!(output.status.success(), "{}", said(&output));
    // A file where the directory should be: neither database nor storage can be made there.
    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let output = cauce(dir.path())
        .arg("check")
        .env("CAUCE_DATA_DIR", &blocked)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("some.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    fs::write(&file, format!("[http]\nlisten = \"{taken}\"\n")).unwrap();
    // The file's port is taken; the environment's (port 0) wins, so that the server starts.
    let mut child = Running::start(cauce(dir.path()).arg("--config").arg(&file).arg("serve"));
    let (http, _) = child.line("ready line", 30, server::ready);
    assert_ne!(http, taken);
}

#[test]
fn streams_are_made_listed_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let made = server::create(dir.path());
    for name in [&made.uid, &made.key] {
        assert_eq!(name.len(), 22, "{name}");
        assert!(!name.starts_with('-'), "{name}");
        assert!(
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
            "{name}"
        );
    }
    assert_ne!(made.uid, made.key);
    let row = server::listed(dir.path(), &made.uid);
    assert_eq!(row["status"], "pending", "{row}");
    // The database holds a hash only: the key is shown once.
    assert!(!row.to_string().contains(&made.key), "{row}");

    let unknown = run(dir.path(), &["stream", "stop", "AAAAAAAAAAAAAAAAAAAAAA"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
    assert_ne!(server::create(dir.path()).key, made.key);
}

#[test]
fn stop_takes_effect_on_a_running_server() {
    let server = Process::start(&[]);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    let mut viewer = server.viewer(&stream);
    viewer.segments(3, 20);
    server.wait_status(&stream, "live", 10);

    run_json(&server.data_dir, &["stream", "stop", &stream.uid, "--json"]);
    encoder.wait_closed(10);
    viewer.wait("ENDLIST", 10, |p| p.end_list);
    let row = server.listed(&stream);
    assert_eq!(row["status"], "finished", "{row}");
    assert_eq!(row["ended_reason"], "stopped", "{row}");
    // The encoder comes back by itself and is told why it may not.
    let refusal = Encoder::publish(server.rtmp, "live", &stream.key)
        .err()
        .expect("refused");
    assert!(refusal.description.contains("ended"), "{refusal:?}");
}

#[test]
fn a_second_server_on_the_same_data_ends_nothing() {
    let server = Process::start(&[]);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    server.viewer(&stream).segments(2, 20);
    server.wait_status(&stream, "live", 10);

    // It would end the stream, as one whose publisher was lost with its process.
    let output = cauce(&server.data_dir)
        .arg("serve")
        .env("CAUCE_SHUTDOWN_GRACE", "1s")
        .env("CAUCE_HLS__RECONNECT_GRACE", "1s")
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cauce: data_dir: another server"), "{said}");
    assert!(
        said.contains("waiting") && !said.contains("ready "),
        "{said}"
    );
    assert_eq!(server.listed(&stream)["status"], "live");
    assert!(!encoder.closed(), "{:?}", encoder.statuses);
    let check = run(&server.data_dir, &["check"]);
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn a_start_waits_for_a_server_that_ends() {
    let mut old = Process::start(&[]);
    let mut new = Running::start(cauce(&old.data_dir).arg("serve"));
    new.line("waiting line", 30, |line| {
        line.contains("waiting: another server").then_some(())
    });
    old.child.signal("TERM");
    assert_eq!(old.child.ended(12).code(), Some(0));
    let (http, _) = new.line("ready line", 30, server::ready);
    assert_eq!(crate::support::http::get(http, "/healthz").status, 200);
    // Killed, it leaves its lock to nobody, and its addresses are nobody's.
    new.kill();
    let data_dir = old.data_dir.clone();
    let made = run_json(&data_dir, &["stream", "create", "--json"]);
    let url = made["publish_url"].as_str().unwrap();
    assert!(url.starts_with("rtmp://127.0.0.1:0/live/"), "{url}");
    let mut next = Running::start(
        cauce(&data_dir)
            .arg("serve")
            .env("CAUCE_SHUTDOWN_GRACE", "1s"),
    );
    next.line("ready line", 30, server::ready);
}

#[test]
fn commands_tell_where_the_running_server_really_is() {
    let server = Process::start(&[]);
    let made = run_json(&server.data_dir, &["stream", "create", "--json"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let key = text(&made["key"]);
    let publish = format!("rtmp://{}/live/", server.rtmp);
    assert_eq!(text(&made["publish_url"]), format!("{publish}{key}"));
    let uid = text(&made["uid"]);
    let playlist = format!("http://{}/live/{uid}/index.m3u8", server.http);
    assert_eq!(text(&made["playlist_url"]), playlist);
    let rotated = run_json(&server.data_dir, &["key", "rotate", &uid, "--json"]);
    let key = text(&rotated["key"]);
    assert_eq!(text(&rotated["publish_url"]), format!("{publish}{key}"));
    // What is configured is believed.
    let output = cauce(&server.data_dir)
        .args(["stream", "create", "--json"])
        .env("CAUCE_RTMP__LISTEN", "127.0.0.1:1935")
        .output()
        .unwrap();
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let url = text(&made["publish_url"]);
    assert!(url.starts_with("rtmp://127.0.0.1:1935/live/"), "{url}");
}

/// The stream goes on in a new process as RFC 8216 wants it (the poller checks each update), with
/// `breaks` discontinuities so far; then that process is killed while it is being published to.
#[track_caller]
fn goes_on(viewer: &mut Poller, stream: &Key, data_dir: &Path, breaks: usize) {
    let mut server = Process::restart_in(data_dir, &[]);
    viewer.moved(server.http);
    until("the window of before the restart", 20, || {
        viewer.poll().map(|_| ())
    });
    let before = viewer.seen.len();
    let _encoder = ffmpeg(&server, stream);
    viewer.segments(before + 2, 60);
    assert_eq!(viewer.discontinuities(), breaks, "{}", viewer.text());
    server.wait_status(stream, "live", 10);
    let numbers: Vec<_> = viewer.seen.keys().copied().collect();
    let expected: Vec<_> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "no number is skipped or used twice");
    server.child.kill();
}

#[test]
fn sigterm_is_a_restart() {
    let _slot = slots::heavy();
    let mut server = Process::start(&[]);
    let stream = server.create();
    let mut encoder = ffmpeg(&server, &stream);
    let mut viewer = server.viewer(&stream);
    viewer.segments(3, 60);
    server.child.signal("TERM");
    let status = server.child.ended(12);
    assert_eq!(status.code(), Some(0), "{}", server.child.log());
    encoder.kill();
    let row = server.listed(&stream);
    assert_eq!(row["status"], "live", "{row}");
    let dir = server.keep_data();
    goes_on(&mut viewer, &stream, dir.path(), 1);
}

#[test]
fn sigint_ends_it_too() {
    let mut server = Process::start(&[]);
    server.child.signal("INT");
    assert_eq!(
        server.child.ended(12).code(),
        Some(0),
        "{}",
        server.child.log()
    );
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let _slot = slots::heavy();
    let mut server = Process::start(&[]);
    let stream = server.create();
    let mut encoder = ffmpeg(&server, &stream);
    let mut viewer = server.viewer(&stream);
    viewer.segments(3, 60);
    server.child.kill();
    encoder.kill();
    let dir = server.keep_data();
    goes_on(&mut viewer, &stream, dir.path(), 1);
}

#[test]
fn a_stream_whose_publisher_never_returns_ends() {
    let mut server = Process::start(&[]);
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    server.viewer(&stream).segments(2, 20);
    server.child.kill();
    let dir = server.keep_data();
    let server = Process::restart_in(dir.path(), &[("CAUCE_HLS__RECONNECT_GRACE", "1s")]);
    server.wait_status(&stream, "finished", 30);
    assert_eq!(server.listed(&stream)["ended_reason"], "server_lost");
}

#[test]
fn a_clock_that_steps_back_an_hour_moves_no_date_back() {
    let _slot = slots::heavy();
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    // libfaketime: the server's wall clock follows the file, its timers do not.
    let server = Process::start(&[
        ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    let (stream, other) = (server.create(), server.create());
    let mut encoder = ffmpeg(&server, &stream);
    let mut viewer = server.viewer(&stream);
    viewer.segments(2, 60);
    fs::write(&clock, "-1h").unwrap();
    viewer.grows(30);
    // The encoder's own media, a slate's, and another session's.
    encoder.kill();
    until("a slate", 30, || {
        viewer.poll();
        (viewer.discontinuities() == 1).then_some(())
    });
    let _encoders = [ffmpeg(&server, &stream), ffmpeg(&server, &other)];
    until("the encoder's return", 30, || {
        viewer.poll();
        (viewer.discontinuities() == 2).then_some(())
    });
    viewer.grows(30);
    let dates: Vec<_> = viewer.seen.values().map(|seen| seen.date_ms).collect();
    assert!(dates.is_sorted(), "{dates:?}");
    server.wait_status(&other, "live", 10);
    let began = |stream: &Key| {
        server.listed(stream)["started_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(began(&other) < began(&stream), "the clock did step back");
}

/// `cauce serve` with a small file system of its own as the media store, which becomes read-only
/// when the file `read-only` appears in the data directory.
pub fn on_small_disk(size: &str) -> (tempfile::TempDir, Running, Site) {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_path_buf();
    let media = data_dir.join("media");
    fs::create_dir(&media).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size},mode=777 none '{media}' || exit 9\n\
         ( until [ -e '{flag}' ]; do sleep 0.1; [ -e '{media}' ] || exit; done\n\
           until mount -o remount,ro '{media}'; do sleep 0.05; done; touch '{flag}.done' ) \
           >/dev/null 2>&1 &\n\
         exec '{binary}' serve",
        media = media.display(),
        flag = data_dir.join("read-only").display(),
        binary = env!("CARGO_BIN_EXE_cauce"),
    );
    let mut command = Command::new("unshare");
    // Also without root: a mount in a namespace of its own needs no more than the right to make one.
    command.args(if crate::support::child::root() {
        &["-m"][..]
    } else {
        &["-r", "-m"]
    });
    command.args(["sh", "-c", &script]).env_clear();
    command.envs(
        cauce(&data_dir)
            .get_envs()
            .filter_map(|(k, v)| Some((k, v?))),
    );
    let mut child = Running::start(command.current_dir(&data_dir));
    let (http, rtmp) = child.line("ready line", 30, server::ready);
    (
        dir,
        child,
        Site {
            http,
            rtmp,
            rtmps: None,
            data_dir,
        },
    )
}

#[test]
fn a_full_disk_does_not_stop_live_streams() {
    let _slot = slots::heavy();
    let (_dir, mut child, server) = on_small_disk("1m");
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    let mut viewer = server.viewer(&stream);
    // Some megabytes: more than the disk holds. The poller fetches whatever is listed.
    let tags = Clip::Plain.tags();
    for round in 0..3_u32 {
        let offset = round * 16_000;
        encoder.send_all(&crate::support::clip::moved(&tags, offset));
        assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
        viewer.reaches(8 * u64::from(round + 1) - 1, 30);
    }
    assert_eq!(server.get("/healthz").status, 200);
    assert!(child.alive(), "{}", child.log());
}

#[test]
fn a_read_only_disk_degrades_and_live_goes_on() {
    let _slot = slots::heavy();
    let (dir, mut child, server) = on_small_disk("16m");
    let stream = server.create();
    let _encoder = ffmpeg(&server, &stream);
    let mut viewer = server.viewer(&stream);
    viewer.segments(1, 60);
    fs::write(dir.path().join("read-only"), "").unwrap();
    let done = dir.path().join("read-only.done");
    until("the disk to be read-only", 30, || {
        done.exists().then_some(())
    });
    viewer.grows(30);
    viewer.grows(30);
    // Viewers are fine, so a balancer is not told to go away; an operator is told what is wrong.
    until("degraded readiness", 60, || {
        let reply = server.get("/readyz");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text().contains("degraded").then_some(())
    });
    viewer.grows(30);
    assert!(child.alive(), "{}", child.log());
}

#[test]
fn a_directory_that_is_not_required_may_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let root = blocked.join("media");
    let server = Process::start(&[
        ("CAUCE_STORAGE__DISK__ROOT", root.to_str().unwrap()),
        ("CAUCE_STORAGE__REQUIRED", "false"),
    ]);
    assert!(server.get("/readyz").text().contains("degraded"));
    assert!(server.child.log().contains("storage.required = false"));
    fs::remove_file(&blocked).unwrap();
    until("well", 20, || {
        (server.get("/readyz").text() == r#"{"status":"ok"}"#).then_some(())
    });
    let stream = server.create();
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    server.viewer(&stream).segments(2, 20);
    until("media in the directory", 20, || {
        root.join(&stream.uid).exists().then_some(())
    });
}
