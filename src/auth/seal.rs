//! Stream keys at rest: encrypted with a key derived from the server's secret, to be shown again to
//! their owner. The hash beside each looks it up. It does not know where they are stored.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

use super::secret::{KeyHash, Secret};
use crate::name::{StreamKey, random_bytes};

/// XChaCha20-Poly1305's nonce, bytes: long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;
const LABEL: &[u8] = b"cauce sealing v1\0";

impl Secret {
    /// Encrypts a stream key. The result opens only beside this key's hash: one moved to another
    /// row is refused.
    pub fn seal(&self, key: &StreamKey) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_BYTES>();
        let (cipher_key, _) = self.derive(LABEL);
        let hash = self.key_hash(key);
        let payload = Payload {
            msg: key.as_str().as_bytes(),
            aad: &hash.0,
        };
        let sealed = XChaCha20Poly1305::new(&cipher_key.into())
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a stream key is far below the cipher's limit");
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts what [`Secret::seal`] made with the current or the previous secret; `None` when
    /// neither made it, or not for this hash.
    pub fn open(&self, sealed: &[u8], hash: &KeyHash) -> Option<StreamKey> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (current, previous) = self.derive(LABEL);
        let keys = std::iter::once(current).chain(previous);
        let plain = keys.into_iter().find_map(|key| {
            let payload = Payload {
                msg: text,
                aad: &hash.0,
            };
            let cipher = XChaCha20Poly1305::new(&key.into());
            cipher.decrypt(&XNonce::from(*nonce), payload).ok()
        })?;
        StreamKey::parse(std::str::from_utf8(&plain).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_beside_its_hash_only() {
        let secret = Secret::fixed(&[1; 32], None);
        let key = StreamKey::random();
        let hash = secret.key_hash(&key);
        let sealed = secret.seal(&key);
        assert!(secret.open(&sealed, &hash) == Some(key.clone()));
        assert!(sealed != secret.seal(&key), "each with its own nonce");
        let shown = String::from_utf8_lossy(&sealed).into_owned();
        assert!(!shown.contains(key.as_str()));

        let other = secret.key_hash(&StreamKey::random());
        assert!(secret.open(&sealed, &other).is_none());
        assert!(secret.open(&[], &hash).is_none());
        let mut changed = sealed.clone();
        changed[30] ^= 1;
        assert!(secret.open(&changed, &hash).is_none());
    }

    #[test]
    fn the_previous_secret_still_opens() {
        let old = Secret::fixed(&[1; 32], None);
        let key = StreamKey::random();
        let (sealed, hash) = (old.seal(&key), old.key_hash(&key));
        let rotated = Secret::fixed(&[2; 32], Some(&[1; 32]));
        assert!(rotated.open(&sealed, &hash) == Some(key));
        let forgotten = Secret::fixed(&[2; 32], None);
        assert!(forgotten.open(&sealed, &hash).is_none());
    }
}
