//! POST /token/: accounts made and activated, logins, renewals, forgotten passwords; which one it is
//! stands in the query. It does not know how passwords are checked.

use serde_json::json;

use super::{Api, Failure, Fields, Reply, Request, Text, account, letter};
use crate::{
    auth::{Issued, LoginRefused, Registration},
    db::UserRow,
};

/// What a wrong login is told, whatever was wrong.
const WRONG: &str = "Unable to login with provided credentials.";

pub(super) async fn post(api: &Api, request: &Request) -> Result<Reply, Failure> {
    if request.asks("create") {
        create(api, request).await
    } else if request.asks("active") || request.asks("activate") {
        activate(api, request).await
    } else if request.asks("refresh") {
        refresh(api, request).await
    } else if request.asks("reset") {
        reset(api, request).await
    } else {
        log_in(api, request).await
    }
}

async fn create(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let mut fields = Fields::read(request)?;
    let username = account::username(&mut fields);
    let email = account::email(&mut fields);
    let password = account::new_password(&mut fields, "password");
    let person = email.map(|email| account::person(&mut fields, account::stranger(email)));
    let answers = account::answers(&mut fields);
    fields.finish()?;
    let (Some(username), Some(profile)) = (username, person) else {
        return Err(Failure::whole("Invalid data."));
    };
    let registration = Registration {
        username,
        profile,
        password,
        answers,
    };
    let activation = api.config.auth.require_activation;
    let made = api.auth.register(registration, activation).await?;
    let made = made.map_err(|taken| account::taken(&taken))?;
    if let Some(code) = made.code {
        tell_code(api, &made.user, &code);
    }
    Ok(Reply::done("User created"))
}

/// By letter; without a mail server into the log, the one secret that ever goes there, because the
/// operator asked for activation and left no other way.
fn tell_code(api: &Api, user: &UserRow, code: &str) {
    if api.mail.is_set() {
        let letter = letter::activation(&user.email, &user.username, code);
        api.mail.send(letter);
    } else {
        let username = &user.username;
        tracing::warn!(
            username,
            code,
            "activation code, because smtp.url is not set"
        );
    }
}

async fn activate(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let mut fields = Fields::read(request)?;
    let email = fields.required("email", Text::line(254));
    let code = fields.required("activation_code", Text::line(20));
    fields.finish()?;
    // A number in JSON loses its leading zeros.
    let code = format!("{code:0>6}");
    match api.auth.activate(&email, &code, request.client).await {
        Ok(user) => Ok(welcome(&user, api.auth.issue(&user, None))),
        Err(LoginRefused::Wrong | LoginRefused::NotActive(_)) => Err(Failure::field(
            "activation_code",
            "The code is wrong or has expired.",
        )),
        Err(LoginRefused::Throttled(seconds)) => Err(Failure::throttled(seconds)),
        Err(LoginRefused::Failed(error)) => Err(error.into()),
    }
}

async fn log_in(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let mut fields = Fields::read(request)?;
    let login = account::login(&mut fields);
    let password = account::password(&mut fields);
    fields.finish()?;
    match api.auth.log_in(&login, &password, request.client).await {
        Ok(user) => Ok(welcome(&user, api.auth.issue(&user, None))),
        Err(LoginRefused::Wrong) => Err(Failure::whole(WRONG)),
        Err(LoginRefused::NotActive(user)) => {
            // Their password is right, and the code may be lost or too old.
            if let Some(code) = api.auth.renew_code(&user).await? {
                tell_code(api, &user, &code);
            }
            let words = "This account is not activated: use the code in your newest letter.";
            Err(Failure::whole(words))
        }
        Err(LoginRefused::Throttled(seconds)) => Err(Failure::throttled(seconds)),
        Err(LoginRefused::Failed(error)) => Err(error.into()),
    }
}

async fn refresh(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let token = request.bearer().ok_or_else(Failure::anonymous)?;
    let (bearer, identity) = api.auth.bearer(token).await.map_err(super::refused)?;
    if api.auth.too_old_to_refresh(&bearer) {
        let words = "The login is too old to be renewed: log in again.";
        return Err(Failure::detail(401, words, "login_expired"));
    }
    let user = api.db.user(identity.user_id).await?;
    let user = user.ok_or_else(Failure::anonymous)?;
    let issued = api.auth.issue(&user, Some(bearer.orig_iat));
    Ok(reply(&user, issued, "Token refreshed"))
}

/// Always the same answer at the same speed: who has an account is nobody's business.
async fn reset(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let mut fields = Fields::read(request)?;
    let login = account::forgotten(&mut fields);
    fields.finish()?;
    if api.mail.is_set() {
        let place = api.background.clone().try_acquire_owned();
        match place {
            Ok(place) => {
                let api = api.clone();
                tokio::spawn(async move {
                    mail_reset(&api, &login).await;
                    drop(place);
                });
            }
            Err(_) => tracing::warn!("too many resets at once: one is dropped"),
        }
    }
    Ok(Reply::done(
        "If there is such an account, its owner was sent a letter",
    ))
}

async fn mail_reset(api: &Api, login: &str) {
    match api.auth.start_reset(login).await {
        Ok(Some((user, token))) => {
            let letter = letter::reset(&user.email, &user.username, &api.urls, &token);
            api.mail.send(letter);
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "a reset could not be prepared"),
    }
}

fn welcome(user: &UserRow, issued: Issued) -> Reply {
    reply(user, issued, "Login Successful")
}

fn reply(user: &UserRow, issued: Issued, message: &str) -> Reply {
    let data = json!({
        "username": user.username, "token": issued.token, "issued_at": issued.issued_at,
    });
    Reply::a(200, message, data)
}
