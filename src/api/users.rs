//! /users/{username}/: an account as its owner sees and edits it. It does not know how it came to be.

use serde_json::{Value, json};

use super::{Api, Failure, Fields, Reply, Request, account};
use crate::{
    auth::Identity,
    db::{Profile, UserRow},
    event::Urls,
    person::{Email, Phone, Username},
};

/// The account of the path, if it is the caller's.
pub(super) async fn own(api: &Api, request: &Request, name: &str) -> Result<UserRow, Failure> {
    let Identity { user_id, username } = api.require(request).await?;
    // Whether another account exists is not told either.
    if Username::key_of(name) != Username::key_of(&username) {
        return Err(Failure::forbidden());
    }
    let user = api.db.user(user_id).await?;
    user.ok_or_else(Failure::anonymous)
}

pub(super) async fn get(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let user = own(api, request, name).await?;
    Ok(Reply::a(200, "User", describe(&user, &request.urls)))
}

/// Changes what is named. With `whole` (PUT) what is not named becomes empty, except for the e-mail
/// address, which an account cannot be without. The username stays.
pub(super) async fn edit(
    api: &Api,
    request: &Request,
    name: &str,
    whole: bool,
) -> Result<Reply, Failure> {
    let user = own(api, request, name).await?;
    let mut fields = Fields::read(request)?;
    let mut profile = profile(&user)?;
    if whole {
        profile = account::stranger(profile.email);
    }
    if fields.has("email") {
        profile.email = account::email(&mut fields).unwrap_or(profile.email);
    }
    let profile = account::person(&mut fields, profile);
    fields.finish()?;
    let user = api.db.set_profile(user.id, profile).await?;
    let user = user.map_err(|taken| account::taken(&taken))?;
    Ok(Reply::a(
        200,
        "User updated",
        describe(&user, &request.urls),
    ))
}

/// What the row says, in names again.
fn profile(user: &UserRow) -> Result<Profile, Failure> {
    let email = Email::parse(&user.email).ok_or_else(Failure::unavailable)?;
    Ok(Profile {
        email,
        phone: user.phone.as_deref().and_then(Phone::parse),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        birth_date: user.birth_date.clone(),
        country: user.country.clone(),
        gender: user.gender.clone(),
    })
}

fn describe(user: &UserRow, urls: &Urls) -> Value {
    json!({
        "username": user.username,
        "email": user.email,
        "photo": user.photo.as_deref().map(|photo| urls.photo(photo)),
        "first_name": user.first_name,
        "last_name": user.last_name,
        "gender": user.gender,
        "country": user.country,
        "phone": user.phone,
        "birth_date": user.birth_date,
    })
}
