//! Finds the values (file, environment, flags), gives each to its key, and checks what keys owe
//! each other. It does not know the keys: they are in `schema.rs`.

use std::{collections::BTreeSet, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Backend, Config, SlateMode,
    schema::{KEYS, Key},
    value::{Value, show_size},
};
use crate::error::{Error, Kind, Result};

/// Environment variables with this beginning are ours, and an unknown one is a mistake.
const ENV_PREFIX: &str = "CAUCE_";
/// Longest part of a refused value that an error line repeats.
const SHOWN_CHARS: usize = 60;

/// A value on its way to its key.
struct Assignment {
    key: &'static Key,
    value: Value,
    /// Where it was written and what, as an error line begins: `config.toml:3: http.listen = "x"`.
    origin: String,
}

impl Config {
    /// Resolves the configuration: environment over file over defaults.
    ///
    /// # Errors
    /// One line naming the key: a file that cannot be read or parsed, an unknown key or `CAUCE_`
    /// variable, a value outside its type or range, a feature that this version has not.
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self> {
        Self::load_with(file, env, &[])
    }

    /// [`Config::load`] with `(key, value)` pairs from flags, which go over everything.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self> {
        let mut assignments = Vec::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::with(
                    Kind::Config,
                    format!("cannot read {}", path.display()),
                    error,
                )
            })?;
            from_file(&path.display().to_string(), &text, &mut assignments)?;
        }
        // Sorted, so that the same mistakes always give the same line.
        let ours: BTreeSet<_> = env
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        for (name, value) in ours {
            assignments.push(from_env(&name, value)?);
        }
        for (name, value) in flags {
            assignments.push(from_flag(name, value)?);
        }
        resolve(&assignments)
    }
}

fn resolve(assignments: &[Assignment]) -> Result<Config> {
    let mut config = Config::default();
    // Other defaults lie under data_dir, so that it is resolved before them.
    for assignment in assignments.iter().filter(|a| a.key.name == "data_dir") {
        assign(&mut config, assignment)?;
    }
    config = Config::in_directory(config.data_dir);
    for assignment in assignments {
        assign(&mut config, assignment)?;
    }
    let given: BTreeSet<_> = assignments.iter().map(|a| a.key.name).collect();
    derive(&mut config, &given);
    check(&config)?;
    warn(&mut config);
    Ok(config)
}

fn assign(config: &mut Config, assignment: &Assignment) -> Result<()> {
    let Assignment { key, value, origin } = assignment;
    (key.set)(config, value)
        .map_err(|expected| Error::new(Kind::Config, format!("{origin}: {expected}")))
}

/// Defaults that follow other keys, where they were not given.
fn derive(config: &mut Config, given: &BTreeSet<&str>) {
    let limits = &mut config.limits;
    if !given.contains("limits.rtmp_message_bytes") {
        limits.rtmp_message_bytes = limits.rtmp_message_bytes.min(limits.segment_bytes);
    }
    if !given.contains("limits.rtmp_partial_bytes") {
        limits.rtmp_partial_bytes = limits.rtmp_partial_bytes.max(limits.rtmp_message_bytes);
    }
    if !given.contains("hls.max_segment") {
        config.hls.max_segment = config.hls.max_segment.max(config.hls.target_duration);
    }
    if !given.contains("auth.require_activation") {
        config.auth.require_activation = config.smtp.url.is_some();
    }
}

/// What keys owe each other.
fn check(config: &Config) -> Result<()> {
    let hls = &config.hls;
    let limits = &config.limits;
    let must = |holds: bool, line: String| match holds {
        true => Ok(()),
        false => Err(Error::new(Kind::Config, line)),
    };
    must(
        hls.target_duration <= hls.max_segment,
        format!(
            "hls.target_duration = {:?}: expected at most hls.max_segment, which is {:?}",
            hls.target_duration, hls.max_segment
        ),
    )?;
    must(
        limits.rtmp_message_bytes <= limits.segment_bytes,
        format!(
            "limits.rtmp_message_bytes = {}: expected at most limits.segment_bytes, which is {}",
            show_size(limits.rtmp_message_bytes as u64),
            show_size(limits.segment_bytes as u64)
        ),
    )?;
    must(
        limits.rtmp_partial_bytes >= limits.rtmp_message_bytes,
        format!(
            "limits.rtmp_partial_bytes = {}: expected at least limits.rtmp_message_bytes, which is {}",
            show_size(limits.rtmp_partial_bytes as u64),
            show_size(limits.rtmp_message_bytes as u64)
        ),
    )?;
    must(
        config.slate.mode != SlateMode::File || config.slate.file.is_some(),
        "slate.file: expected a file with slate.mode = \"file\"".into(),
    )?;
    let s3 = &config.storage.s3;
    must(
        config.storage.backend != Backend::S3 || s3.bucket.is_some(),
        "storage.s3.bucket: expected a bucket's name with storage.backend = \"s3\"".into(),
    )?;
    must(
        s3.access_key_id.is_some() == s3.secret_access_key.is_some(),
        "storage.s3.access_key_id: expected together with storage.s3.secret_access_key, or neither"
            .into(),
    )?;
    must(
        config.smtp.url.is_some() == config.smtp.from.is_some(),
        "smtp.from: expected together with smtp.url, or neither of them".into(),
    )?;
    must(
        config
            .smtp
            .url
            .as_ref()
            .is_none_or(|url| is_mail_url(&url.0)),
        "smtp.url: expected an URL that begins with smtp:// or smtps://".into(),
    )?;
    super::tls::check(config).map_err(|line| Error::new(Kind::Config, line))?;
    // A free port is a different one each time: only fixed ports can collide.
    must(
        config.http.listen != config.rtmp.listen || config.http.listen.port() == 0,
        format!(
            "rtmp.listen = {}: expected another address than http.listen",
            config.rtmp.listen
        ),
    )
}

fn is_mail_url(url: &str) -> bool {
    url.starts_with("smtp://") || url.starts_with("smtps://")
}

/// Not wrong, yet seldom meant.
fn warn(config: &mut Config) {
    if config.smtp.url.is_some() && config.http.public_url.is_none() {
        config.warnings.push(
            "http.public_url is not set: links in letters lead to the address of http.listen"
                .into(),
        );
    }
    let limits = &config.limits;
    if config.storage.backend == Backend::Memory
        && limits.memory_budget < limits.segment_bytes as u64
    {
        config.warnings.push(format!(
            "limits.memory_budget ({}) is all that storage.backend = \"memory\" has, and holds less \
             than one segment of limits.segment_bytes ({})",
            show_size(limits.memory_budget),
            show_size(limits.segment_bytes as u64)
        ));
    }
}

fn known(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn from_env(name: &str, value: String) -> Result<Assignment> {
    let key = KEYS.iter().find(|key| env_name(key.name) == name);
    let Some(key) = key else {
        let line =
            format!("{name}: unknown environment variable, no configuration key has this name");
        return Err(Error::new(Kind::Config, line));
    };
    let origin = format!("{name} ({}){}", key.name, shown(key, &value));
    Ok(Assignment {
        key,
        value: Value::Text(value),
        origin,
    })
}

/// `CAUCE_` and the key's path, upper case, joined by `__`.
fn env_name(key: &str) -> String {
    format!(
        "{ENV_PREFIX}{}",
        key.to_ascii_uppercase().replace('.', "__")
    )
}

fn from_flag(name: &str, value: &str) -> Result<Assignment> {
    let Some(key) = known(name) else {
        return Err(Error::new(
            Kind::Config,
            format!("--set {name}: unknown key"),
        ));
    };
    Ok(Assignment {
        key,
        value: Value::Text(value.to_owned()),
        origin: format!("--set {name}{}", shown(key, value)),
    })
}

/// ` = "value"`, cut to one short line; nothing for what may be secret.
fn shown(key: &Key, value: &str) -> String {
    const SECRETS: [&str; 3] = [
        "storage.s3.access_key_id",
        "storage.s3.secret_access_key",
        "smtp.url",
    ];
    if SECRETS.contains(&key.name) {
        return String::new();
    }
    let mut line: String = value.chars().take(SHOWN_CHARS).collect();
    if line.len() < value.len() {
        line.push_str("...");
    }
    format!(" = {line:?}")
}

fn from_file(name: &str, text: &str, assignments: &mut Vec<Assignment>) -> Result<()> {
    let source = Source { name, text };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        source.error(offset, error.message())
    })?;
    source.walk("", table.get_ref(), assignments)
}

/// A file being read.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", self.name)
    }

    fn error(&self, offset: usize, message: &str) -> Error {
        Error::new(Kind::Config, format!("{}: {message}", self.place(offset)))
    }

    fn walk(&self, above: &str, table: &DeTable<'_>, to: &mut Vec<Assignment>) -> Result<()> {
        for (name, value) in table {
            let offset = name.span().start;
            let path = match above {
                "" => name.get_ref().to_string(),
                _ => format!("{above}.{}", name.get_ref()),
            };
            if let Some(key) = known(&path) {
                to.push(self.assignment(key, offset, value));
            } else if !KEYS.iter().any(|key| is_under(key.name, &path)) {
                return Err(self.error(offset, &format!("{path}: unknown key")));
            } else if let DeValue::Table(inner) = value.get_ref() {
                self.walk(&path, inner, to)?;
            } else {
                return Err(self.error(offset, &format!("{path}: expected a table of keys")));
            }
        }
        Ok(())
    }

    fn assignment(
        &self,
        key: &'static Key,
        offset: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Assignment {
        let raw = self.text.get(value.span()).unwrap_or_default();
        let raw = value.get_ref().as_str().unwrap_or(raw);
        Assignment {
            key,
            value: from_toml(value.get_ref()),
            origin: format!("{}: {}{}", self.place(offset), key.name, shown(key, raw)),
        }
    }
}

/// Whether `key` is inside the table `path`.
fn is_under(key: &str, path: &str) -> bool {
    key.strip_prefix(path)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn from_toml(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other, Value::Integer),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map_or(Value::Other, Value::List),
        _ => Value::Other,
    }
}
