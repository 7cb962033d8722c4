//! Passwords: argon2id off the async workers, few at once, and no more waiting than there is a place
//! for. It does not know whose they are.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::desk::{Blocks, Desks};
use crate::{
    error::{Error, Kind, Result},
    name::random_bytes,
};

/// Memory in KiB, passes and lanes (OWASP's first choice for argon2id; 19 MiB).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash that no password has: what an unknown user's password is compared with, so that it takes
/// as long as a known one's.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// Those who work and those who wait.
    places: Arc<Semaphore>,
    desks: Desks,
}

/// The right to hash. It moves into the work: a caller that goes away frees nothing early.
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    desks: Desks,
}

impl Passwords {
    /// `at_once` work and `waiting` more wait; others are refused.
    pub(super) fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + waiting)),
            desks: Desks::new(MEMORY_KIB as usize),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn> {
        let full = || {
            Error::new(
                Kind::Unavailable,
                "too many logins wait (limits.logins_waiting)",
            )
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| full())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        Ok(Turn {
            _turn: turn.map_err(|_| full())?,
            _place: place,
            desks: self.desks.clone(),
        })
    }
}

impl Turn {
    /// The hashes of texts, in PHC form.
    pub(super) async fn hash(self, texts: Vec<String>) -> Result<Vec<String>> {
        self.run(move |blocks| {
            let hash = |text: &String| hash_now(text.as_bytes(), blocks);
            texts.iter().map(hash).collect()
        })
        .await
    }

    /// Whether `password` has this hash; `None` is nobody's and takes as long.
    pub(super) async fn verify(self, password: String, hash: Option<String>) -> Result<bool> {
        self.run(move |blocks| {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODY);
            is_hash_of(hash, password.as_bytes(), blocks) && known
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Blocks) -> T + Send + 'static,
    ) -> Result<T> {
        let desks = self.desks.clone();
        let done = desks.work(move |blocks| (work(blocks), self)).await;
        done.map(|(done, _turn)| done)
            .map_err(|error| Error::with(Kind::Internal, "a password could not be hashed", error))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constant parameters hold");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// `None` when the salt is none.
fn output(text: &[u8], salt: &[u8], blocks: &mut Blocks) -> Option<Output> {
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let hashed = argon2().hash_password_into_with_memory(text, salt, &mut output, blocks);
    hashed.ok().and_then(|()| Output::new(&output).ok())
}

fn hash_now(text: &[u8], blocks: &mut Blocks) -> String {
    let salt = random_bytes::<16>();
    let output = output(text, &salt, blocks);
    PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: parameters(),
        salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
        hash: Some(output.expect("any text and a salt of 16 bytes can be hashed")),
    }
    .to_string()
}

fn parameters() -> ParamsString {
    ParamsString::try_from(argon2().params()).expect("constant parameters hold")
}

/// Compared in a time that does not depend on where they differ. A hash made with other parameters
/// than today's is nobody's: there has been no other release.
fn is_hash_of(hash: &str, text: &[u8], blocks: &mut Blocks) -> bool {
    let Ok(known) = PasswordHash::new(hash) else {
        return false;
    };
    let (Some(salt), Some(hash)) = (&known.salt, &known.hash) else {
        return false;
    };
    known.algorithm == Algorithm::Argon2id.ident()
        && known.params == parameters()
        && output(text, salt, blocks).is_some_and(|output| output == *hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_has_its_hash_and_nobodys_has_none() {
        let passwords = Passwords::new(1, 1);
        let turn = passwords.turn().await.unwrap();
        let hash = turn.hash(vec!["geheim".into()]).await.unwrap().remove(0);
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        for (password, hash, right) in [
            ("geheim", Some(hash.clone()), true),
            ("Geheim", Some(hash), false),
            ("geheim", None, false),
            ("geheim", Some("no hash".into()), false),
        ] {
            let turn = passwords.turn().await.unwrap();
            assert_eq!(turn.verify(password.into(), hash).await.unwrap(), right);
        }
    }

    /// With other parameters, or unreadable, it would take another time.
    #[test]
    fn nobodys_hash_is_worked_on_like_any_other() {
        use argon2::PasswordHash;
        let mut blocks = vec![argon2::Block::default(); MEMORY_KIB as usize];
        let (nobody, real) = (NOBODY, hash_now(b"x", &mut blocks));
        let (nobody, real) = (PasswordHash::new(nobody), PasswordHash::new(&real));
        let (nobody, real) = (nobody.unwrap(), real.unwrap());
        assert_eq!(nobody.params.to_string(), real.params.to_string());
        assert!(nobody.salt.is_some() && nobody.hash.is_some());
        assert_eq!(nobody.version, real.version);
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let passwords = Passwords::new(1, 1);
        let first = passwords.turn().await.unwrap();
        let mut second = Box::pin(passwords.turn());
        let soon = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx)));
        assert!(soon.await.is_pending());
        let refused = passwords.turn().await.err().unwrap();
        assert_eq!(refused.kind, Kind::Unavailable);
        drop(first);
        assert!(second.await.is_ok());
    }
}
