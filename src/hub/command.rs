//! Which feature a client's frame is for. It does not know what the features do.

use serde::Deserialize;

use super::{
    chat,
    effects::Refusal,
    questions, voice,
    wire::{self, Envelope, ErrorCode},
};

/// What a client may send.
#[derive(Debug)]
pub enum Inbound {
    /// Answered by `pong`.
    Ping,
    /// A login token.
    Auth {
        /// The JWT; never logged.
        token: String,
    },
    /// For the room.
    Room(Command),
}

/// What a client asks of the room.
#[derive(Debug)]
pub enum Command {
    /// A page of who is here.
    UsersList {
        /// `next` of the page before.
        cursor: Option<String>,
    },
    /// For the chat.
    Chat(chat::Command),
    /// For the questions.
    Question(questions::Command),
    /// For the stage.
    Voice(voice::Command),
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct UsersList {
    #[serde(default)]
    cursor: Option<String>,
}

impl Inbound {
    /// Reads what is inside a frame.
    ///
    /// # Errors
    /// `bad_message`: an unknown type, or data of another form.
    pub fn parse(frame: &Envelope<'_>) -> Result<Self, Refusal> {
        let kind: &str = &frame.kind;
        match kind {
            "ping" => return Ok(Self::Ping),
            "auth" => {
                let Auth { token } = frame.data()?;
                return Ok(Self::Auth { token });
            }
            "users_list" => {
                let UsersList { cursor } = wire::data(frame.data)?;
                return Ok(Self::Room(Command::UsersList { cursor }));
            }
            _ => {}
        }
        if let Some(parsed) = chat::parse(kind, frame.data) {
            return Ok(Self::Room(Command::Chat(parsed?)));
        }
        if let Some(parsed) = questions::Command::parse(kind, frame.data) {
            return Ok(Self::Room(Command::Question(parsed?)));
        }
        if let Some(parsed) = voice::Command::parse(kind, frame.data) {
            return Ok(Self::Room(Command::Voice(parsed?)));
        }
        Err(Refusal::new(
            ErrorCode::BadMessage,
            "Unknown type of frame.",
        ))
    }
}
