//! Outgoing mail: a bounded queue and one task that sends. Nobody waits for a mail server. It does
//! not know why letters are written.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType},
    },
};
use metrics::counter;
use tokio::sync::{mpsc, watch};

use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

/// Longest line of a letter, without its end (RFC 5321 4.5.3.1.6).
const LINE_BYTES_MAX: usize = 998;

/// A letter on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Address of who gets it.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text. May hold secrets: never logged.
    pub text: String,
}

/// The way to the queue; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    queue: Option<mpsc::Sender<Letter>>,
}

/// Sends what is queued.
pub struct Postman {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    queue: mpsc::Receiver<Letter>,
    deadline: Duration,
}

impl Mail {
    /// The queue, and who empties it when `smtp.url` is set.
    ///
    /// # Errors
    /// [`Kind::Config`] when `smtp.url` or `smtp.from` cannot be used. The URL is not repeated: it can
    /// hold a password.
    pub fn new(config: &Config) -> Result<(Self, Option<Postman>)> {
        let Some(url) = &config.smtp.url else {
            return Ok((Self::default(), None));
        };
        let from = config.smtp.from.as_deref().unwrap_or_default();
        let from: Mailbox = from
            .parse()
            .map_err(|error| Error::with(Kind::Config, "smtp.from: expected an address", error))?;
        let deadline = config.limits.mail_deadline;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url.0)
            .map_err(|_| Error::new(Kind::Config, "smtp.url: not an URL of a mail server"))?
            .timeout(Some(deadline))
            .build();
        let (sender, queue) = mpsc::channel(config.limits.mail_queue);
        let mail = Self {
            queue: Some(sender),
        };
        let postman = Postman {
            transport,
            from,
            queue,
            deadline,
        };
        Ok((mail, Some(postman)))
    }

    /// Whether there is a mail server at all.
    pub fn is_set(&self) -> bool {
        self.queue.is_some()
    }

    /// Letters that the queue still takes; none without a mail server.
    pub fn room(&self) -> usize {
        self.queue.as_ref().map_or(0, mpsc::Sender::capacity)
    }

    /// Queues a letter. Without a mail server, or with a full queue, it is dropped; the latter is
    /// counted in `cauce_mails_total`.
    pub fn send(&self, letter: Letter) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(letter).is_err() {
            counter!("cauce_mails_total", "outcome" => "dropped").increment(1);
            tracing::warn!("the mail queue is full (limits.mail_queue): a letter is dropped");
        }
    }
}

impl Postman {
    /// Sends until `stop` turns true, then what is still queued.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let letter = tokio::select! {
                letter = self.queue.recv() => letter,
                _ = stop.wait_for(|stop| *stop), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            match letter {
                Some(letter) => self.deliver(letter).await,
                None => break,
            }
        }
        // Every sender is gone, which is no reason to end before the server does.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    async fn deliver(&self, letter: Letter) {
        let sent = tokio::time::timeout(self.deadline, self.hand_over(letter)).await;
        let outcome = match sent {
            Ok(Ok(())) => "sent",
            Ok(Err(error)) => {
                tracing::warn!(%error, "a letter could not be sent");
                "failed"
            }
            Err(_) => {
                tracing::warn!("the mail server does not answer: a letter could not be sent");
                "failed"
            }
        };
        counter!("cauce_mails_total", "outcome" => outcome).increment(1);
    }

    async fn hand_over(&self, letter: Letter) -> Result<()> {
        let message = message(&self.from, letter)?;
        let sent = self.transport.send(message).await;
        sent.map(drop)
            .map_err(|e| Error::with(Kind::Unavailable, "smtp.url", e))
    }
}

/// The letter as it is sent.
fn message(from: &Mailbox, letter: Letter) -> Result<Message> {
    let address = letter.to.parse();
    let to = address.map_err(|e| Error::with(Kind::Internal, "an address", e))?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(letter.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(whole_lines(letter.text))
        .map_err(|e| Error::with(Kind::Internal, "a letter", e))
}

/// The text with its lines as they are: a link that quoted-printable folds works in no program that
/// shows the letter raw. Only a line longer than SMTP's has to be folded, as base64.
fn whole_lines(text: String) -> Body {
    use ContentTransferEncoding::{Base64, EightBit, SevenBit};
    if text.lines().any(|line| line.len() > LINE_BYTES_MAX) {
        let body = Body::new_with_encoding(text, Base64);
        return body.expect("base64 takes every text");
    }
    let encoding = if text.is_ascii() { SevenBit } else { EightBit };
    let lines: Vec<&str> = text.lines().chain([""]).collect();
    Body::dangerous_pre_encoded(lines.join("\r\n").into_bytes(), encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hidden;

    fn config(url: &str, from: &str) -> Config {
        let mut config = Config::default();
        config.smtp.url = Some(Hidden(url.into()));
        config.smtp.from = Some(from.into());
        config.limits.mail_queue = 2;
        config
    }

    fn letter() -> Letter {
        Letter {
            to: "ana@test.example".into(),
            subject: "s".into(),
            text: "t".into(),
        }
    }

    #[test]
    fn bad_settings_are_told_without_the_password() {
        for (url, from, key) in [
            ("ftp://u:geheim@a", "a@b.example", "smtp.url: "),
            ("smtp:geheim", "a@b.example", "smtp.url: "),
            ("smtp://a", "nobody", "smtp.from: "),
        ] {
            let error = Mail::new(&config(url, from)).err().unwrap();
            let line = error.to_string();
            assert!(line.starts_with(key) && !line.contains("geheim"), "{line}");
            assert_eq!(error.kind, Kind::Config);
        }
    }

    #[test]
    fn a_line_is_never_folded_that_smtp_can_carry() {
        let from: Mailbox = "a@b.example".parse().unwrap();
        let raw = |text: &str| {
            let letter = Letter {
                text: text.into(),
                ..letter()
            };
            let message = message(&from, letter).unwrap();
            String::from_utf8(message.formatted()).unwrap()
        };
        let link = format!("https://a.example/reset/?token={}", "x".repeat(900));
        for (text, encoding) in [
            (format!("Hello,\n\n{link}\n\nbye\n"), "7bit"),
            (format!("Olá,\n\n{link}\n\nadeus\n"), "8bit"),
        ] {
            let raw = raw(&text);
            let (head, body) = raw.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Transfer-Encoding: {encoding}")),
                "{head}"
            );
            assert_eq!(body, text.replace('\n', "\r\n"));
        }
        let raw = raw(&"é".repeat(500));
        assert!(raw.contains("Transfer-Encoding: base64"), "{raw}");
        assert!(raw.lines().all(|line| line.len() <= LINE_BYTES_MAX));
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_nobody_waits() {
        let (mail, postman) = Mail::new(&config("smtp://127.0.0.1:1", "a@b.example")).unwrap();
        for _ in 0..5 {
            mail.send(letter());
        }
        assert_eq!(postman.unwrap().queue.len(), 2);
    }

    #[tokio::test]
    async fn a_mail_server_that_is_not_there_ends_nothing() {
        let (mail, postman) = Mail::new(&config("smtp://127.0.0.1:1", "a@b.example")).unwrap();
        mail.send(letter());
        let (stop, stopping) = watch::channel(false);
        let run = tokio::spawn(postman.unwrap().run(stopping));
        stop.send(true).unwrap();
        run.await.unwrap();
    }

    #[tokio::test]
    async fn without_a_server_letters_go_nowhere() {
        let (mail, postman) = Mail::new(&Config::default()).unwrap();
        assert!(!mail.is_set() && postman.is_none());
        mail.send(letter());
    }
}
