//! Login tokens: JWTs with HS256 and nothing else. The `kid` says which of the two secrets signed
//! one. It does not know users, or whether a token's user still may.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::name::random_bytes;

const LABEL: &[u8] = b"cauce login token v1\0";
const KID_LABEL: &[u8] = b"cauce login token kid v1\0";
/// Longest token that is looked at, bytes; ours have about 400.
const TOKEN_BYTES_MAX: usize = 4096;

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    username: String,
    user_id: i64,
    iat: i64,
    orig_iat: i64,
    exp: i64,
    /// `{generation}.{random}`: see [`Bearer::generation`].
    jti: String,
}

/// The holder of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The account.
    pub user_id: i64,
    /// The account's generation of tokens when this one was made. A second is too coarse to tell the
    /// token before a change of password from the one after it; this number is not.
    pub generation: i64,
    /// When the holder last gave a password, seconds since 1970.
    pub orig_iat: i64,
    /// Until when it is valid, seconds since 1970.
    pub exp: i64,
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The JWT. Never logged.
    pub token: String,
    /// `iat`, seconds since 1970.
    pub issued_at: i64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// Not ours, changed, or of another algorithm.
    Invalid,
    /// It was valid once.
    Expired,
    /// Its user is banned, gone, or has changed the password.
    Revoked,
}

/// One secret's keys.
struct RingKey {
    kid: String,
    decoding: DecodingKey,
}

/// Makes and checks tokens.
pub(super) struct Tokens {
    encoding: EncodingKey,
    /// The current secret's first.
    ring: Vec<RingKey>,
    validation: Validation,
    ttl_s: i64,
}

impl Tokens {
    pub(super) fn new(secret: &Secret, ttl: Duration) -> Self {
        let (current, previous) = secret.derive(LABEL);
        let (kid, previous_kid) = secret.derive(KID_LABEL);
        let ring_key = |key: [u8; 32], kid: [u8; 32]| RingKey {
            kid: URL_SAFE_NO_PAD.encode(&kid[..6]),
            decoding: DecodingKey::from_secret(&key),
        };
        let mut ring = vec![ring_key(current, kid)];
        ring.extend(
            previous
                .zip(previous_kid)
                .map(|(key, kid)| ring_key(key, kid)),
        );
        let mut validation = Validation::new(Algorithm::HS256);
        // Checked below against the caller's clock, without leeway.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(&current),
            ring,
            validation,
            ttl_s: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX / 2),
        }
    }

    /// Signs a token. `orig_iat` is `now_s` at a login, and the old token's at a renewal.
    pub(super) fn issue(
        &self,
        user_id: i64,
        username: &str,
        generation: i64,
        orig_iat: i64,
        now_s: i64,
    ) -> Issued {
        let random = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        let claims = Claims {
            username: username.to_owned(),
            user_id,
            iat: now_s,
            orig_iat,
            exp: now_s.saturating_add(self.ttl_s),
            jti: format!("{generation}.{random}"),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = self.ring.first().map(|key| key.kid.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .expect("plain claims under an HMAC key can be signed");
        Issued {
            token,
            issued_at: now_s,
        }
    }

    /// Checks signature and time.
    pub(super) fn verify(&self, token: &str, now_s: i64) -> Result<Bearer, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Invalid)?;
        let kid = header.kid.ok_or(BadToken::Invalid)?;
        let key = self.ring.iter().find(|key| key.kid == kid);
        let key = key.ok_or(BadToken::Invalid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation)
            .map_err(|_| BadToken::Invalid)?
            .claims;
        let generation = claims.jti.split_once('.').and_then(|(g, _)| g.parse().ok());
        let generation = generation.ok_or(BadToken::Invalid)?;
        if claims.exp <= now_s {
            return Err(BadToken::Expired);
        }
        Ok(Bearer {
            user_id: claims.user_id,
            generation,
            orig_iat: claims.orig_iat,
            exp: claims.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn tokens(secret: &[u8]) -> Tokens {
        Tokens::new(&Secret::fixed(secret, None), HOUR)
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn forge(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(header), text(claims));
        let key = EncodingKey::from_secret(secret);
        let sign = |m: &str| jsonwebtoken::crypto::sign(m.as_bytes(), &key, Algorithm::HS256);
        let signature = sign(&message).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_says_what_the_contract_lists_and_no_more() {
        let tokens = tokens(&[1; 32]);
        let issued = tokens.issue(7, "ana", 2, 900, 1000);
        assert_eq!(issued.issued_at, 1000);
        let claims = part(&issued.token, 1);
        let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(
            names,
            ["exp", "iat", "jti", "orig_iat", "user_id", "username"]
        );
        assert_eq!(claims["iat"], 1000);
        assert_eq!(claims["exp"], 4600);
        assert_eq!(part(&issued.token, 0)["alg"], "HS256");
        assert!(part(&issued.token, 0)["kid"].is_string());
        let bearer = tokens.verify(&issued.token, 1001).unwrap();
        assert_eq!((bearer.user_id, bearer.generation), (7, 2));
        assert_eq!((bearer.orig_iat, bearer.exp), (900, 4600));
        assert_ne!(tokens.issue(7, "ana", 2, 900, 1000).token, issued.token);
    }

    #[test]
    fn a_token_ends_without_leeway() {
        let tokens = tokens(&[1; 32]);
        let token = tokens.issue(7, "ana", 0, 0, 0).token;
        assert!(tokens.verify(&token, 3599).is_ok());
        assert_eq!(tokens.verify(&token, 3600), Err(BadToken::Expired));
    }

    #[test]
    fn other_algorithms_and_signers_are_refused() {
        let ours = tokens(&[1; 32]);
        let good = ours.issue(7, "ana", 0, 0, 0).token;
        let (header, claims) = (part(&good, 0), part(&good, 1));
        let kid = &header["kid"];
        for header in [
            json!({ "alg": "none", "kid": kid }),
            json!({ "alg": "None", "kid": kid }),
            json!({ "alg": "HS512", "kid": kid }),
            json!({ "alg": "RS256", "kid": kid }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "HS256", "kid": "other" }),
            header.clone(),
        ] {
            // The file's own bytes sign nothing either: each use has its derived key.
            let forged = forge(&header, &claims, &[1; 32]);
            assert_eq!(ours.verify(&forged, 1), Err(BadToken::Invalid), "{header}");
            let unsigned = forged.rsplit_once('.').unwrap().0.to_owned() + ".";
            assert_eq!(
                ours.verify(&unsigned, 1),
                Err(BadToken::Invalid),
                "{header}"
            );
        }
        let foreign = tokens(&[2; 32]).issue(7, "ana", 0, 0, 0).token;
        for bad in [&foreign, "", "a.b.c", "..", &"a".repeat(5000)] {
            assert_eq!(ours.verify(bad, 1), Err(BadToken::Invalid), "{bad}");
        }
    }

    #[test]
    fn the_previous_secrets_tokens_are_still_valid() {
        let old = tokens(&[1; 32]).issue(7, "ana", 0, 0, 0).token;
        let rotated = Tokens::new(&Secret::fixed(&[2; 32], Some(&[1; 32])), HOUR);
        assert!(rotated.verify(&old, 1).is_ok());
        let new = rotated.issue(7, "ana", 0, 0, 0).token;
        assert_ne!(part(&new, 0)["kid"], part(&old, 0)["kid"]);
        assert!(rotated.verify(&new, 1).is_ok());
        assert!(tokens(&[2; 32]).verify(&new, 1).is_ok());
    }
}
