//! What an operator writes and what comes of it. It does not know how values are found.

use std::{collections::BTreeSet, io::Write as _, path::Path};

use proptest::prelude::*;

use super::{schema::KEYS, *};
use crate::error::{Kind, Result};

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config> {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(file.as_bytes()).unwrap();
    let env = env.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Config::load(Some(named.path()), env)
}

/// The one line that `load` ends with, without the file's name.
fn refusal(file: &str, env: &[(&str, &str)]) -> String {
    let error = load(file, env).unwrap_err();
    assert_eq!(error.kind, Kind::Config);
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    match line.split_once(".tmp") {
        Some((_, rest)) => rest.split_once(':').unwrap().1.to_owned(),
        None => line,
    }
}

const SAMPLE: &str = include_str!("../../config.toml");

#[test]
fn the_sample_is_the_defaults() {
    assert_eq!(load(SAMPLE, &[]).unwrap(), Config::default());
    assert_eq!(load("", &[]).unwrap(), Config::default());
    assert_eq!(
        Config::load(None, std::iter::empty()).unwrap(),
        Config::default()
    );
}

#[test]
fn the_sample_has_every_key_once() {
    let mut section = "";
    let mut found = Vec::new();
    for line in SAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        }
        // A key without a default stands there as a comment.
        let written = line.strip_prefix("# ").unwrap_or(line);
        if let Some((name, _)) = written.split_once(" = ")
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            let dot = if section.is_empty() { "" } else { "." };
            found.push(format!("{section}{dot}{name}"));
        }
    }
    let distinct: BTreeSet<_> = found.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), found.len());
    assert_eq!(distinct, KEYS.iter().map(|key| key.name).collect());
}

/// `data_dir` and `limits.segment_bytes` of the environment must work beside an untouched sample.
#[test]
fn the_sample_leaves_open_what_follows_other_keys() {
    let env = [
        ("CAUCE_DATA_DIR", "/d"),
        ("CAUCE_LIMITS__SEGMENT_BYTES", "1MiB"),
        ("CAUCE_HLS__TARGET_DURATION", "20s"),
    ];
    assert_eq!(load(SAMPLE, &env).unwrap(), load("", &env).unwrap());
}

#[test]
fn commented_defaults_of_the_sample_are_the_defaults() {
    let shown = SAMPLE
        .replace("# max_segment", "max_segment")
        .replace("# root = ", "root = ")
        .replace("# path = ", "path = ")
        .replace("# jwt_secret_file", "jwt_secret_file")
        .replace("# require_activation", "require_activation")
        .replace("# rtmp_", "rtmp_");
    assert_eq!(load(&shown, &[]).unwrap(), Config::default());
}

#[test]
fn environment_goes_over_file_and_flags_over_both() {
    let file = "data_dir = \"f\"\n[http]\nlisten = \"127.0.0.1:1\"\n[hls]\nwindow_segments = 7";
    let config = load(file, &[("CAUCE_HTTP__LISTEN", "[::1]:2"), ("HOME", "x")]).unwrap();
    assert_eq!(config.http.listen, "[::1]:2".parse().unwrap());
    assert_eq!(config.hls.window_segments, 7);
    assert_eq!(config.database_path, Path::new("f/cauce.db"));

    let env = [("CAUCE_DATA_DIR".to_owned(), "e".to_owned())];
    let flags = [("data_dir".to_owned(), "g".to_owned())];
    let config = Config::load_with(None, env.into_iter(), &flags).unwrap();
    assert_eq!(config.storage.disk_root, Path::new("g/media"));
}

#[test]
fn paths_follow_data_dir_unless_they_are_given() {
    let env = [("CAUCE_DATA_DIR", "/d"), ("CAUCE_DATABASE__PATH", "/x.db")];
    let config = load("", &env).unwrap();
    assert_eq!(config.database_path, Path::new("/x.db"));
    assert_eq!(config.storage.disk_root, Path::new("/d/media"));
    assert_eq!(config.auth.jwt_secret_file, Path::new("/d/jwt.key"));
}

#[test]
fn the_environment_writes_every_type() {
    let env = [
        ("CAUCE_METRICS__ALLOW", "10.0.0.0/8, ::1"),
        ("CAUCE_HTTP__TRUSTED_PROXIES", ""),
        ("CAUCE_STORAGE__REQUIRED", "false"),
        ("CAUCE_STORAGE__BACKEND", "memory"),
        ("CAUCE_LIMITS__MEMORY_BUDGET", "64MiB"),
        ("CAUCE_LIMITS__STORE_READS", "3"),
        ("CAUCE_HLS__TARGET_DURATION", "4s"),
        ("CAUCE_HTTP__PUBLIC_URL", "https://a.example/"),
        ("CAUCE_LOG__LEVEL", "info,cauce=debug"),
    ];
    let config = load("[http]\ntrusted_proxies = [\"10.0.0.1\"]", &env).unwrap();
    assert_eq!(config.metrics_allow.len(), 2);
    assert_eq!(config.http.trusted_proxies, []);
    assert!(!config.storage.required);
    assert_eq!(config.storage.backend, Backend::Memory);
    assert_eq!(config.limits.memory_budget, 64 << 20);
    assert_eq!(config.limits.store_reads, 3);
    assert_eq!(config.hls.target_duration, Duration::from_secs(4));
    assert_eq!(config.http.public_url.as_deref(), Some("https://a.example"));
    assert_eq!(config.log.level, "info,cauce=debug");
    assert!(config.warnings.is_empty());
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    assert_eq!(refusal("\nport = 1", &[]), "2: port: unknown key");
    assert_eq!(
        refusal("[http]\nlisten = \"0.0.0.0:1\"\nport = 1", &[]),
        "3: http.port: unknown key"
    );
    assert_eq!(refusal("[web]", &[]), "1: web: unknown key");
    assert_eq!(
        refusal("http = 1", &[]),
        "1: http: expected a table of keys"
    );
    let line = refusal("", &[("CAUCE_HTTP_LISTEN", "0.0.0.0:1")]);
    assert!(line.starts_with("CAUCE_HTTP_LISTEN: unknown"), "{line}");
    let flags = [("http.port".to_owned(), "1".to_owned())];
    let error = Config::load_with(None, std::iter::empty(), &flags).unwrap_err();
    assert_eq!(error.to_string(), "--set http.port: unknown key");
}

#[test]
fn broken_files_are_one_line() {
    assert!(refusal("a = \n", &[]).starts_with("1: "));
    assert!(refusal("[http]\nlisten = \"a\"\nlisten = \"b\"", &[]).starts_with("3: "));
    let error = Config::load(Some(Path::new("/none.toml")), std::iter::empty()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /none.toml: "));
}

#[test]
fn bad_values_name_key_value_and_expectation() {
    let line = refusal("[http]\nlisten = \"everywhere\"", &[]);
    let start = "2: http.listen = \"everywhere\": expected an IP address and port";
    assert!(line.starts_with(start), "{line}");
    let line = refusal("", &[("CAUCE_HLS__WINDOW_SEGMENTS", "2")]);
    assert_eq!(
        line,
        "CAUCE_HLS__WINDOW_SEGMENTS (hls.window_segments) = \"2\": \
         expected a whole number from 3 to 10000"
    );
    for (file, key) in [
        ("data_dir = 3", "data_dir"),
        ("data_dir = \"\"", "data_dir"),
        ("log.format = \"xml\"", "log.format"),
        ("http.public_url = \"https://a/b\"", "http.public_url"),
        ("http.allowed_origins = [\"*\"]", "http.allowed_origins"),
        ("http.allowed_origins = [1]", "http.allowed_origins"),
        ("rtmp.public_url = \"http://a\"", "rtmp.public_url"),
        ("hls.target_duration = 2", "hls.target_duration"),
        ("hls.target_duration = \"500ms\"", "hls.target_duration"),
        ("hls.max_segment = \"61s\"", "hls.max_segment"),
        ("metrics.allow = [\"10.0.0.0/40\"]", "metrics.allow"),
        ("limits.segment_bytes = \"1KiB\"", "limits.segment_bytes"),
        ("limits.db_queue = 0", "limits.db_queue"),
        ("limits.db_queue = 1.5", "limits.db_queue"),
        ("storage.required = \"yes\"", "storage.required"),
    ] {
        let line = refusal(file, &[]);
        assert!(line.starts_with(&format!("1: {key} = ")), "{line}");
        assert!(line.contains(": expected "), "{line}");
    }
}

#[test]
fn long_values_are_cut_in_messages() {
    let line = refusal(&format!("log.format = \"{}\"", "é".repeat(500)), &[]);
    assert!(line.len() < 250 && line.contains("..."), "{line}");
}

#[test]
fn keys_are_checked_against_each_other() {
    let line = refusal(
        "hls = { target_duration = \"8s\", max_segment = \"4s\" }",
        &[],
    );
    assert!(line.starts_with("hls.target_duration = 8s"), "{line}");
    let both = "limits = { segment_bytes = \"1MiB\", rtmp_message_bytes = \"2MiB\" }";
    assert!(refusal(both, &[]).starts_with("limits.rtmp_message_bytes = 2MiB"));
    let both = "limits = { rtmp_partial_bytes = \"1MiB\", rtmp_message_bytes = \"2MiB\" }";
    assert!(refusal(both, &[]).starts_with("limits.rtmp_partial_bytes = 1MiB"));
    let line = refusal(
        "http.listen = \"0.0.0.0:9\"\nrtmp.listen = \"0.0.0.0:9\"",
        &[],
    );
    assert!(line.starts_with("rtmp.listen = 0.0.0.0:9"), "{line}");
}

#[test]
fn mail_needs_an_url_and_a_sender() {
    let only = "smtp = { url = \"smtp://u:geheim@a\" }";
    assert!(refusal(only, &[]).starts_with("smtp.from: expected together"));
    let other = "smtp = { url = \"http://u:geheim@a\", from = \"a@b.example\" }";
    let line = refusal(other, &[]);
    assert!(line.starts_with("smtp.url: expected"), "{line}");
    assert!(!line.contains("geheim"), "{line}");
    let both = "smtp = { url = \"smtp://a\", from = \"a@b.example\" }";
    let config = load(both, &[]).unwrap();
    assert!(config.auth.require_activation);
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn defaults_follow_the_keys_they_owe() {
    let config = load("[limits]\nsegment_bytes = \"1MiB\"", &[]).unwrap();
    assert_eq!(config.limits.rtmp_message_bytes, 1 << 20);
    let config = load("[limits]\nrtmp_message_bytes = \"16MiB\"", &[]).unwrap();
    assert_eq!(config.limits.rtmp_partial_bytes, 16 << 20);
    let config = load("[hls]\ntarget_duration = \"20s\"", &[]).unwrap();
    assert_eq!(config.hls.max_segment, Duration::from_secs(20));
    let any = "http.listen = \"0.0.0.0:0\"\nrtmp.listen = \"0.0.0.0:0\"";
    assert_eq!(load(any, &[]).unwrap().rtmp.listen.port(), 0);
}

#[test]
fn tls_is_configured_whole_or_not_at_all() {
    let half = "http.tls.cert = \"c.pem\"";
    assert!(refusal(half, &[]).contains("http.tls.key"));
    let half = "[rtmp.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"";
    assert!(refusal(half, &[]).contains("rtmp.tls.listen"));
    let on = |address: &str| {
        format!("[rtmp.tls]\nlisten = \"{address}\"\ncert = \"c.pem\"\nkey = \"k.pem\"")
    };
    assert!(refusal(&on("0.0.0.0:8080"), &[]).contains("another address"));
    let config = load(&on("0.0.0.0:1936"), &[]).unwrap();
    assert_eq!(config.rtmp.told(), ([0, 0, 0, 0], 1936).into());
    assert_eq!(config.rtmp.tls.key.as_deref(), Some(Path::new("k.pem")));
    assert!(!config.http.is_tls());
}

#[test]
fn what_is_not_built_is_refused_and_named() {
    for (key, value) in [("slate.mode", "file"), ("slate.file", "a.ts")] {
        let flags = [(key.to_owned(), value.to_owned())];
        let error = Config::load_with(None, std::iter::empty(), &flags).unwrap_err();
        let line = error.to_string();
        assert!(line.starts_with(&format!("--set {key}")), "{line}");
        assert!(line.contains("not available in this version"), "{line}");
        assert!(!line.contains("geheim"), "{line}");
    }
}

#[test]
fn what_can_hardly_work_is_warned_of() {
    let small = "storage.backend = \"memory\"\nlimits.memory_budget = \"2MiB\"";
    assert_eq!(load(small, &[]).unwrap().warnings.len(), 1);
}

#[test]
fn a_bucket_needs_a_name_and_a_key_its_secret() {
    let error = |text: &str| load(text, &[]).unwrap_err().to_string();
    assert!(error("storage.backend = \"s3\"").contains("storage.s3.bucket"));
    let half = error("[storage.s3]\naccess_key_id = \"a\"");
    assert!(half.contains("storage.s3.secret_access_key"), "{half}");
    let whole = "[storage]\nbackend = \"s3\"\n[storage.s3]\nbucket = \"b\"\nprefix = \"/a/b/\"";
    let config = load(whole, &[]).unwrap();
    assert_eq!(config.storage.backend, Backend::S3);
    assert_eq!(config.storage.s3.prefix.as_deref(), Some("a/b"));
}

#[test]
fn secrets_are_not_shown() {
    let mut config = Config::default();
    config.smtp.url = Some(Hidden("geheim".into()));
    config.storage.s3.secret_access_key = Some(Hidden("geheim".into()));
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn keys_are_distinct() {
    let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
}

proptest! {
    #[test]
    fn whatever_a_value_is_the_answer_is_a_configuration_or_one_line(
        key in 0..KEYS.len(),
        text in "\\PC{0,20}|[0-9]{1,22}[a-zA-Z]{0,3}|[a-z]{0,5}://[a-z:/\\[\\]0-9.]{0,20}",
        number in any::<i64>(),
    ) {
        let name = KEYS[key].name;
        let flags = [(name.to_owned(), text)];
        if let Err(error) = Config::load_with(None, std::iter::empty(), &flags) {
            prop_assert!(!error.to_string().contains('\n'));
            prop_assert!(error.to_string().contains(name) || name.starts_with("limits."));
        }
        if let Err(error) = load(&format!("{name} = {number}"), &[]) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn whatever_a_file_holds_the_answer_is_one_line(text in "([a-z.\\[\\]={}\"#,0-9 \n]|\\PC){0,60}") {
        if let Err(error) = load(&text, &[]) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
    }
}
