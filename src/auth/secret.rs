//! The server's secret and what is derived from it. It does not know who asks.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{
    error::{Error, Kind, Result},
    name::{SessionId, StreamKey, random_bytes},
};

/// Shortest secret, bytes: HMAC-SHA256 is no stronger than its key.
const SECRET_BYTES_MIN: usize = 32;
/// Longest secret file, so that a wrong path does not read a disk.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Put before a stream key, so that no other use of the secret can make the same hash.
const KEY_LABEL: &[u8] = b"cauce stream key v1\0";

/// HMAC-SHA256 of a stream key under the server's secret: what the database looks keys up by (rule 20).
#[derive(Clone, Copy, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl PartialEq for KeyHash {
    /// In constant time: where two hashes differ says nothing about how near a guess was.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let differing = pairs.fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

/// The server's secret, and the one it replaced if its file is still there. At least 32 bytes each;
/// `Debug` never shows them. Every use has a key of its own, derived under its own label.
#[derive(Clone)]
pub struct Secret {
    current: Arc<[u8]>,
    previous: Option<Arc<[u8]>>,
}

impl Secret {
    /// Reads `auth.jwt_secret_file`, or makes it with mode 0600 at first boot. The file's bytes are
    /// the secret as they are, except for line breaks at the end, which editors add. A file of the
    /// same name with `.previous` at its end holds the secret before it: what that one signed or
    /// sealed is still accepted, and nothing new is made with it.
    ///
    /// # Errors
    /// A file that cannot be read or made, or a secret shorter than 32 bytes.
    pub fn load_or_create(file: &Path) -> Result<Self> {
        let named = |what: &str, error: io::Error| {
            let context = format!("auth.jwt_secret_file: cannot {what} {}", file.display());
            Error::with(Kind::Config, context, error)
        };
        if !file.try_exists().map_err(|e| named("read", e))? {
            create(file).map_err(|e| named("make", e))?;
        }
        let mut previous = file.as_os_str().to_owned();
        previous.push(".previous");
        let previous = PathBuf::from(previous);
        let has_previous = previous.try_exists().map_err(|e| named("read", e))?;
        Ok(Self {
            current: load(file)?,
            previous: has_previous.then(|| load(&previous)).transpose()?,
        })
    }

    /// The key for one use of the current secret, and that of the previous one.
    pub(super) fn derive(&self, label: &[u8]) -> ([u8; 32], Option<[u8; 32]>) {
        let previous = self.previous.as_deref();
        (
            mac(&self.current, label, &[]),
            previous.map(|secret| mac(secret, label, &[])),
        )
    }

    /// HMAC-SHA256 of `text` under the current secret, for one use.
    pub(super) fn hash(&self, label: &[u8], text: &[u8]) -> [u8; 32] {
        mac(&self.current, label, text)
    }

    /// The lookup hash of a stream key.
    pub fn key_hash(&self, key: &StreamKey) -> KeyHash {
        KeyHash(self.hash(KEY_LABEL, key.as_str().as_bytes()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A label ends with a zero byte, so that no label and text together are another label and text.
fn mac(secret: &[u8], label: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(label);
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn load(file: &Path) -> Result<Arc<[u8]>> {
    let bytes = read(file).map_err(|error| {
        let context = format!("auth.jwt_secret_file: cannot read {}", file.display());
        Error::with(Kind::Config, context, error)
    })?;
    let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
    let secret = &bytes[..end.map_or(0, |last| last + 1)];
    if secret.len() < SECRET_BYTES_MIN {
        let line = format!(
            "auth.jwt_secret_file: {} holds {} bytes: expected at least {SECRET_BYTES_MIN}",
            file.display(),
            secret.len()
        );
        return Err(Error::new(Kind::Config, line));
    }
    Ok(secret.into())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let mut limited = fs::File::open(file)?.take(SECRET_BYTES_MAX);
    limited.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new secret beside `file` and links it into place: of two processes that start together
/// one wins, and neither ever sees half a secret.
fn create(file: &Path) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", SessionId::random()));
    let draft = PathBuf::from(draft);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut to| {
            to.write_all(&secret_text())?;
            to.sync_all()
        })
        .and_then(|()| fs::hard_link(&draft, file));
    let removed = fs::remove_file(&draft);
    match written {
        // The other process was first: its secret counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed,
        Err(error) => Err(error),
        Ok(()) => removed,
    }
}

/// 32 random bytes without a line break at the end, which would not be read back.
fn secret_text() -> [u8; SECRET_BYTES_MIN] {
    loop {
        let bytes = random_bytes::<SECRET_BYTES_MIN>();
        if !bytes.ends_with(b"\n") && !bytes.ends_with(b"\r") {
            return bytes;
        }
    }
}

#[cfg(test)]
impl Secret {
    /// A secret without a file.
    pub(crate) fn fixed(current: &[u8], previous: Option<&[u8]>) -> Self {
        Self {
            current: current.into(),
            previous: previous.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn hash(secret: &Secret) -> [u8; 32] {
        let key = StreamKey::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        secret.key_hash(&key).0
    }

    #[test]
    fn the_first_boot_makes_it_and_the_next_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new/jwt.key");
        let first = Secret::load_or_create(&file).unwrap();
        let second = Secret::load_or_create(&file).unwrap();
        assert_eq!(hash(&first), hash(&second));
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), 32);
        // The draft is gone.
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_one_before_is_read_when_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwt.key");
        let first = Secret::load_or_create(&file).unwrap();
        assert_eq!(first.derive(b"x\0").1, None);
        let previous = directory.path().join("jwt.key.previous");
        fs::rename(&file, &previous).unwrap();
        let second = Secret::load_or_create(&file).unwrap();
        assert_ne!(hash(&first), hash(&second));
        assert_eq!(second.derive(b"x\0").1, Some(first.derive(b"x\0").0));
        fs::write(&previous, "short").unwrap();
        let error = Secret::load_or_create(&file).unwrap_err();
        assert!(error.to_string().contains("jwt.key.previous"), "{error}");
    }

    #[test]
    fn processes_that_start_together_share_one_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwt.key");
        let hashes = std::thread::scope(|scope| {
            let load = || hash(&Secret::load_or_create(&file).unwrap());
            let all: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            all.into_iter()
                .map(|t| t.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert!(hashes.iter().all(|h| *h == hashes[0]));
    }

    #[test]
    fn line_breaks_at_the_end_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwt.key");
        fs::write(&file, [b'x'; 32]).unwrap();
        let plain = Secret::load_or_create(&file).unwrap();
        fs::write(&file, [&[b'x'; 32][..], b"\r\n"].concat()).unwrap();
        assert_eq!(hash(&plain), hash(&Secret::load_or_create(&file).unwrap()));
    }

    #[test]
    fn short_secrets_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwt.key");
        for short in [&b""[..], b"\n\n", &[b'x'; 31], &[b'\n'; 40]] {
            fs::write(&file, short).unwrap();
            let error = Secret::load_or_create(&file).unwrap_err();
            assert_eq!(error.kind, Kind::Config);
            assert!(
                error.to_string().starts_with("auth.jwt_secret_file: "),
                "{error}"
            );
        }
        assert!(Secret::load_or_create(directory.path()).is_err());
    }

    #[test]
    fn hashes_follow_key_and_secret_and_nothing_shows_them() {
        let secret = Secret::fixed(&[1; 32], None);
        let key = StreamKey::random();
        assert!(secret.key_hash(&key) == secret.key_hash(&key));
        assert!(secret.key_hash(&key) != secret.key_hash(&StreamKey::random()));
        assert_ne!(hash(&secret), hash(&Secret::fixed(&[2; 32], None)));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    /// A stored hash must be found again by later versions.
    #[test]
    fn hashes_never_change() {
        let mut hex = String::new();
        for byte in hash(&Secret::fixed(b"0123456789abcdef0123456789abcdef", None)) {
            hex.push_str(&format!("{byte:02x}"));
        }
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "f3178bf73e4a98a04af1b5d19a9145c7fb64fc57cf1851ecf9e4bd816a23a234";
}
