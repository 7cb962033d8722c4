//! What a browser needs to reach another through firewalls: STUN servers, and TURN servers with
//! credentials that end by themselves (realtime rule 16). It does not know calls.
//!
//! Credentials are those of coturn's `use-auth-secret`: the username is `expiry:user`, seconds since
//! 1970; the password is base64(HMAC-SHA1(secret, username)).

use std::{fs, io::Read as _, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha1::Sha1;

use crate::{
    config,
    error::{Error, Kind, Result},
};

/// How long credentials are valid. An allocation made with them outlives them; a call that must
/// find a new way after this needs a new call.
pub const TTL_S: u64 = 6 * 60 * 60;
/// As for every secret of the configuration.
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// STUN and TURN as configured; clones share the secret, which `Debug` never shows.
#[derive(Clone, Default)]
pub struct Turn {
    stun: Arc<[String]>,
    turn: Arc<[String]>,
    secret: Option<Arc<[u8]>>,
}

/// One entry of `ice_servers`, as `RTCPeerConnection` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// Where.
    pub urls: Vec<String>,
    /// TURN only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl Turn {
    /// Reads `voice.*`, and the secret's file when TURN servers are named.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key: a URL of another kind, TURN servers without a secret, a
    /// file that cannot be read or holds less than 32 bytes.
    pub fn open(voice: &config::Voice) -> Result<Self> {
        schemes(
            "voice.ice_servers",
            &voice.ice_servers,
            &["stun:", "stuns:"],
        )?;
        schemes("voice.turn_urls", &voice.turn_urls, &["turn:", "turns:"])?;
        let secret = match &voice.turn_secret_file {
            Some(file) => Some(read_secret(file)?),
            None if voice.turn_urls.is_empty() => None,
            None => {
                let line = "voice.turn_urls: needs voice.turn_secret_file beside it";
                return Err(Error::new(Kind::Config, line));
            }
        };
        Ok(Self {
            stun: voice.ice_servers.clone().into(),
            turn: voice.turn_urls.clone().into(),
            secret,
        })
    }

    /// The servers for `user`, with credentials valid for [`TTL_S`] from `now_ms` on
    /// (milliseconds since 1970).
    pub fn ice_servers(&self, user: &str, now_ms: i64) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServer {
                urls: self.stun.to_vec(),
                username: None,
                credential: None,
            });
        }
        if let Some(secret) = self.secret.as_ref().filter(|_| !self.turn.is_empty()) {
            let now_s = u64::try_from(now_ms / 1000).unwrap_or(0);
            let username = format!("{}:{user}", now_s + TTL_S);
            servers.push(IceServer {
                urls: self.turn.to_vec(),
                credential: Some(credential(secret, &username)),
                username: Some(username),
            });
        }
        servers
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Turn");
        shown.field("stun", &self.stun).field("turn", &self.turn);
        shown.finish_non_exhaustive()
    }
}

fn credential(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn schemes(key: &str, urls: &[String], allowed: &[&str]) -> Result<()> {
    let bad = urls.iter().find(|url| {
        let host = allowed.iter().find_map(|scheme| url.strip_prefix(scheme));
        host.is_none_or(str::is_empty)
    });
    match bad {
        None => Ok(()),
        Some(url) => {
            let line = format!("{key}: {url:?}: expected {}host:port", allowed[0]);
            Err(Error::new(Kind::Config, line))
        }
    }
}

/// The file's bytes without line breaks at the end, which editors add and coturn's own
/// configuration cannot hold.
fn read_secret(file: &Path) -> Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| {
            let line = format!("voice.turn_secret_file: cannot read {}", file.display());
            Error::with(Kind::Config, line, error)
        })?;
    let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
    bytes.truncate(end.map_or(0, |last| last + 1));
    if bytes.len() < SECRET_BYTES_MIN {
        let line = format!(
            "voice.turn_secret_file: {} holds {} bytes: expected at least {SECRET_BYTES_MIN}",
            file.display(),
            bytes.len()
        );
        return Err(Error::new(Kind::Config, line));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(directory: &Path, secret: &str) -> config::Voice {
        let file = directory.join("turn.key");
        fs::write(&file, secret).unwrap();
        config::Voice {
            ice_servers: vec!["stun:stun.example:3478".into()],
            turn_urls: vec!["turn:turn.example:3478".into()],
            turn_secret_file: Some(file),
            ..config::Voice::default()
        }
    }

    #[test]
    fn credentials_are_those_of_rfc_2202() {
        // Test case 2: key "Jefe".
        let digest = credential(b"Jefe", "what do ya want for nothing?");
        assert_eq!(digest, "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }

    #[test]
    fn the_username_carries_expiry_and_user() {
        let directory = tempfile::tempdir().unwrap();
        let turn = Turn::open(&voice(directory.path(), &format!("{}\n", "s".repeat(32)))).unwrap();
        let servers = turn.ice_servers("ana", 1_000_999);
        assert_eq!(servers[0].urls, ["stun:stun.example:3478"]);
        assert_eq!(servers[0].username, None);
        assert_eq!(servers[1].username.as_deref(), Some("22600:ana"));
        let expected = credential("s".repeat(32).as_bytes(), "22600:ana");
        assert_eq!(servers[1].credential.as_deref(), Some(&*expected));
        assert!(
            !format!("{turn:?}").contains("115"),
            "the secret is not shown"
        );
    }

    #[test]
    fn faults_name_their_key() {
        let directory = tempfile::tempdir().unwrap();
        let good = voice(directory.path(), &"s".repeat(32));
        let refusal = |voice: config::Voice| Turn::open(&voice).unwrap_err().to_string();
        let mut bad = good.clone();
        bad.turn_secret_file = None;
        assert!(refusal(bad).starts_with("voice.turn_urls: needs"));
        let mut bad = good.clone();
        bad.turn_secret_file = Some(directory.path().join("absent"));
        assert!(refusal(bad).starts_with("voice.turn_secret_file: cannot read"));
        for url in ["turn.example", "stun:turn.example", "turn:"] {
            let mut bad = good.clone();
            bad.turn_urls = vec![url.into()];
            assert!(refusal(bad).starts_with("voice.turn_urls: "), "{url}");
        }
        let short = refusal(voice(directory.path(), &"s".repeat(31)));
        assert!(
            short.contains("holds 31 bytes: expected at least 32"),
            "{short}"
        );
        assert!(
            Turn::open(&config::Voice::default())
                .unwrap()
                .ice_servers("a", 0)
                .is_empty()
        );
    }
}
