//! The REST API: one file per resource, each with its handlers and the JSON it reads and writes. It
//! does not know HTTP's library: `http` hands it a [`Request`] and gets a [`Reply`].
//!
//! To add an operation:
//! 1. a variant of [`Call`] in `route.rs` and its line in the table `find`; 404, 405 with `Allow`,
//!    HEAD, OPTIONS and the optional trailing slash follow from it;
//! 2. a line in [`Api::dispatch`] and a handler `async fn(&Api, &Request, ...) -> Result<Reply, Failure>`
//!    in the resource's file.
//!
//! What a handler has:
//! - `api.require(request).await?` is who is logged in, else 401; `api.caller(request).await?` is
//!   `None` for an anonymous client and still 401 for a bad token.
//! - `let mut fields = Fields::read(request)?`, then `fields.required("title", Text::line(100))`,
//!   `fields.given(..)` (`None` = not named, empty = blank or null), `fields.boolean(..)`,
//!   `fields.choice(..)`, `fields.refuse("name", "Words.")` for a fault of one's own, and
//!   `fields.finish()?`, which answers 400 with all faults at once. Write only after it.
//! - `let page = Page::of(request)?` and `page.reply(request, count, rows)` for lists.
//! - `request.query("status")`, `request.asks("flag")`, `request.urls` for public URLs.
//! - `Reply::a(201, "Message", data)` is envelope A, `Reply::b(200, value)` the bare object,
//!   `Reply::nothing()` 204; `time::rfc3339` writes times.
//! - `Failure::not_found()`, `forbidden()`, `conflict("Why.")`, `throttled(seconds)`; `?` on a
//!   crate error turns `Kind::NotFound`, `Conflict`, `Unavailable` into 404, 409, 503.
//!
//! Tests drive `Api::answer` with `testing::Fixture` and `testing::request`.

mod account;
mod channel_route;
#[cfg(test)]
mod channel_tests;
mod channels;
mod chat;
mod fields;
mod letter;
mod moderators;
mod page;
mod photo;
mod question;
mod questions;
mod reminders;
mod reply;
mod request;
mod reset;
mod route;
mod search;
mod stream_life;
mod stream_route;
#[cfg(test)]
mod stream_tests;
mod stream_view;
mod streams;
mod subscribers;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod users;

use std::sync::Arc;

use storage::Store;
use tokio::sync::Semaphore;

pub use fields::{Fields, Text};
pub use page::Page;
pub use reminders::keep_reminding;
pub use reply::{Content, Failure, Reply};
pub use request::{Head, Request};
pub use route::Call;

use crate::{
    auth::{Auth, BadToken, Identity, NoIdentity},
    config::Config,
    db::Db,
    event::{Audience, Urls},
    live::Live,
    mail::Mail,
};

/// What calls work with; clones share it.
#[derive(Clone)]
pub struct Api {
    /// Limits and features.
    pub config: Arc<Config>,
    /// Accounts, channels, streams.
    pub db: Db,
    /// Passwords, tokens, keys.
    pub auth: Auth,
    /// Streams that are live.
    pub live: Live,
    /// People in rooms.
    pub audience: Arc<Audience>,
    /// Photos.
    pub store: Arc<dyn Store>,
    /// Outgoing mail.
    pub mail: Mail,
    /// The server's own URLs, for letters; an answer's are in its request.
    pub urls: Urls,
    /// Places for work that goes on after its answer: `limits.background_calls`.
    pub background: Arc<Semaphore>,
}

impl Api {
    /// Answers a request.
    pub async fn answer(&self, request: &Request) -> Reply {
        self.dispatch(request).await.unwrap_or_else(Reply::from)
    }

    async fn dispatch(&self, request: &Request) -> Result<Reply, Failure> {
        match &request.head.call {
            Call::Token => token::post(self, request).await,
            Call::ResetForm => reset::form(self, request).await,
            Call::Reset => reset::set(self, request).await,
            Call::Questions => Ok(question::list()),
            Call::Channel(call) => channels::answer(self, request, call).await,
            Call::Stream(call) => streams::answer(self, request, call).await,
            Call::User(name) => users::get(self, request, name).await,
            Call::EditUser(name) => users::edit(self, request, name, false).await,
            Call::ReplaceUser(name) => users::edit(self, request, name, true).await,
            Call::SetPhoto(name) => photo::set(self, request, name).await,
            Call::Photo(name) => photo::get(self, name).await,
        }
    }

    /// Who is logged in; `None` when nobody says to be.
    ///
    /// # Errors
    /// 401 for a bad token, 503.
    pub async fn caller(&self, request: &Request) -> Result<Option<Identity>, Failure> {
        match request.bearer() {
            None => Ok(None),
            Some(token) => self.auth.identity(token).await.map(Some).map_err(refused),
        }
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// 401, 503.
    pub async fn require(&self, request: &Request) -> Result<Identity, Failure> {
        let caller = self.caller(request).await?;
        caller.ok_or_else(Failure::anonymous)
    }
}

/// What a token that is not good is answered.
fn refused(why: NoIdentity) -> Failure {
    match why {
        NoIdentity::Unavailable(error) => error.into(),
        NoIdentity::Token(BadToken::Expired) => {
            Failure::detail(401, "The token has expired.", "token_expired")
        }
        NoIdentity::Token(BadToken::Invalid | BadToken::Revoked) => {
            Failure::detail(401, "The token is not valid.", "token_not_valid")
        }
    }
}
