//! The letters that calls send, in words. It does not know how letters travel.

use super::request::encode;
use crate::{db::Reminder, event::Urls, mail::Letter};

/// The code that activates an account.
pub(super) fn activation(to: &str, username: &str, code: &str) -> Letter {
    Letter {
        to: to.to_owned(),
        subject: "Your activation code".to_owned(),
        text: format!(
            "Hello {username},\n\nyour activation code is {code}.\n\n\
             If you did not create this account, ignore this letter.\n"
        ),
    }
}

/// The link that resets a password. `urls` are the server's own and never a request's: whoever asks
/// for a reset chooses the Host header.
pub(super) fn reset(to: &str, username: &str, urls: &Urls, token: &str) -> Letter {
    let link = format!("{}/reset/?token={}", urls.http, encode(token));
    Letter {
        to: to.to_owned(),
        subject: "Reset your password".to_owned(),
        text: format!(
            "Hello {username},\n\nchoose a new password here within 30 minutes:\n\n{link}\n\n\
             If you did not ask for this, ignore this letter: nothing has changed.\n"
        ),
    }
}

/// A scheduled stream has begun.
pub(super) fn reminder(reminder: &Reminder, urls: &Urls) -> Letter {
    let Reminder { channel, title, .. } = reminder;
    let title = match title.as_str() {
        "" => String::new(),
        title => format!(": {title}"),
    };
    Letter {
        to: reminder.email.clone(),
        subject: format!("{channel} is live"),
        text: format!(
            "{channel} is live now{title}\n\n{}\n\nYou asked to be reminded of this stream.\n",
            urls.watch(&reminder.uid)
        ),
    }
}
