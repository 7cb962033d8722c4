//! The people in the demo's room: accounts of their own who chat, ask and vote over the WebSocket once
//! the stream is live, and leave. It does not know the room's rules: what is refused stays unsaid.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::warn;

use crate::{
    app::App,
    auth::Auth,
    error::{Kind, Result},
    hub::client::Client,
    name::{SessionId, StreamUid},
};

/// Who they are. No real addresses: example.org is nobody's (RFC 2606).
const NAMES: [&str; 3] = ["lucia", "martin", "nora"];
/// Between two of their messages: nobody types faster, and no default limit is near.
const TYPING: Duration = Duration::from_millis(400);
/// Who says what, by number; the host's own name is not among them.
const TALK: [(usize, &str); 5] = [
    (0, "¡Hola! Se ve y se oye muy bien desde aquí."),
    (
        1,
        "Hello from the second row. The clock in the picture runs.",
    ),
    (2, "Is this really one program?"),
    (0, "Sí: RTMP de entrada, HLS de salida, y este chat."),
    (1, "Try the Questions tab, one of them wants your vote."),
];
/// Who asks what, and who votes for it.
const QUESTIONS: [(usize, &str, &[usize]); 2] = [
    (2, "How far behind the encoder is what we see?", &[0, 1]),
    (0, "¿Puedo transmitir yo también con OBS?", &[1]),
];

/// People with accounts, who wait at the door.
pub struct Guests {
    server: SocketAddr,
    uid: StreamUid,
    tokens: Vec<String>,
}

impl Guests {
    /// Makes their accounts.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn invite(app: &App, uid: &StreamUid) -> Result<Self> {
        let mut tokens = vec![];
        for name in NAMES {
            tokens.push(register(&app.auth, name).await?);
        }
        Ok(Self {
            server: app.http,
            uid: uid.clone(),
            tokens,
        })
    }

    /// Waits for the stream, says everything once, and leaves. What fails is told in the log: the
    /// demo plays without it.
    pub async fn talk(self) {
        if let Err(error) = self.visit().await {
            warn!(%error, "the demo's people could not talk");
        }
    }

    async fn visit(&self) -> Result<()> {
        let mut people = vec![];
        for token in &self.tokens {
            people.push(Client::join(self.server, &self.uid, token).await?);
        }
        for one in &mut people {
            one.live().await?;
        }
        for (asker, text, voters) in QUESTIONS {
            let Some(asked) = said(people[asker].ask("question", json!({ "text": text })).await)?
            else {
                continue;
            };
            for voter in voters {
                let vote = json!({ "id": asked["id"], "vote": 1 });
                said(people[*voter].ask("question_vote", vote).await)?;
            }
        }
        for (who, message) in TALK {
            said(people[who].ask("chat", json!({ "message": message })).await)?;
            sleep(TYPING).await;
        }
        Ok(())
    }
}

/// What a configured rule refuses is told and left out.
fn said(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Err(error) if error.kind == Kind::Conflict => {
            warn!(%error, "the room refused what one of the demo's people said");
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// An account with a password that nobody knows; gives its login token.
async fn register(auth: &Auth, name: &str) -> Result<String> {
    let password = SessionId::random().as_str().to_owned();
    let registered = auth.register(super::registration(name, password)?, false);
    let user = registered.await?.map_err(|_| super::unfit())?.user;
    Ok(auth.issue(&user, None).token)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{config::Config, error::Error};

    #[test]
    fn what_they_say_is_within_the_default_rules() {
        let config = Config::default();
        let mut spoke = [0; NAMES.len()];
        for (who, message) in TALK {
            spoke[who] += 1;
            assert!(
                message.chars().count() <= config.chat.max_chars,
                "{message}"
            );
        }
        assert!(
            spoke
                .iter()
                .all(|count| (1..=config.chat.burst).contains(count))
        );
        let askers: HashSet<_> = QUESTIONS.iter().map(|(asker, ..)| asker).collect();
        assert_eq!(askers.len(), QUESTIONS.len(), "one question each");
        for (asker, text, voters) in QUESTIONS {
            assert!(text.chars().count() <= config.questions.max_chars, "{text}");
            assert!(
                voters
                    .iter()
                    .all(|voter| *voter < NAMES.len() && *voter != asker)
            );
        }
    }

    #[test]
    fn what_is_refused_stays_unsaid_and_what_fails_ends_the_visit() {
        let failed = |kind| Err(Error::new(kind, "for the test"));
        assert_eq!(said(failed(Kind::Conflict)).unwrap(), None);
        assert_eq!(said(Ok(json!(1))).unwrap(), Some(json!(1)));
        let lost = said(failed(Kind::Unavailable)).unwrap_err();
        assert_eq!(lost.kind, Kind::Unavailable);
    }
}
