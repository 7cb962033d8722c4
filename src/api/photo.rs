//! Photos: one image of an account, told by its content, stored under a new name each time. It does
//! not know what is on it.

use std::convert::Infallible;

use bytes::Bytes;
use serde_json::json;
use storage::{Error as StoreError, Key, Meta};

use super::{Api, Failure, Reply, Request, users};
use crate::{error, name::SessionId};

/// A photo's name is never used twice.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Both spellings that clients of the platform use.
const FIELDS: [&str; 2] = ["photo", "phot"];

/// PUT and PATCH /users/{username}/photo/
pub(super) async fn set(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let user = users::own(api, request, name).await?;
    let image = uploaded(request).await?;
    let max = api.config.limits.image_bytes;
    if image.len() > max {
        return Err(Failure::too_large(max));
    }
    let wrong = || Failure::field("photo", "Upload a valid image: JPEG, PNG or WebP.");
    let kind = kind_of(&image).ok_or_else(wrong)?;
    let photo = format!("{}-{}.{}", user.id, SessionId::random(), kind.extension);
    let meta = Meta {
        content_type: kind.content_type,
        cache_control: IMMUTABLE,
    };
    api.store
        .put(&key(&photo)?, &[image], meta)
        .await
        .map_err(unavailable)?;
    // The row first, the old object after: at no moment does the row name what is not there.
    let (user, before) = api.db.set_photo(user.id, &photo).await?;
    if let Some(before) = before {
        let deleted = api.store.delete(&[key(&before)?]).await;
        if let Err(error) = deleted {
            tracing::warn!(%error, "an old photo could not be deleted");
        }
    }
    let url = user.photo.as_deref().map(|photo| request.urls.photo(photo));
    Ok(Reply::a(200, "Photo updated", json!({ "photo": url })))
}

/// GET /photos/{name}
pub(super) async fn get(api: &Api, name: &str) -> Result<Reply, Failure> {
    let kind = KINDS.iter().find(|kind| {
        name.rsplit_once('.')
            .is_some_and(|(_, end)| end == kind.extension)
    });
    let (Some(kind), Ok(key)) = (kind, key(name)) else {
        return Err(Failure::not_found());
    };
    match api.store.get(&key, None).await {
        Ok(object) => {
            let reply = Reply::bytes(kind.content_type, object.body);
            Ok(reply
                .header("cache-control", IMMUTABLE)
                .header("access-control-allow-origin", "*"))
        }
        Err(StoreError::NotFound(_)) => Err(Failure::not_found()),
        Err(error) => Err(unavailable(error)),
    }
}

fn key(name: &str) -> Result<Key, Failure> {
    let one_part = !name.contains('/');
    let key = Key::new(&format!("photos/{name}")).ok();
    key.filter(|_| one_part).ok_or_else(Failure::not_found)
}

fn unavailable(error: StoreError) -> Failure {
    error::Error::with(error::Kind::Unavailable, "a photo", error).into()
}

/// The image in a multipart form (RFC 7578).
async fn uploaded(request: &Request) -> Result<Bytes, Failure> {
    let sent = request.content_type.as_deref().unwrap_or_default();
    let boundary = multer::parse_boundary(sent).map_err(|_| Failure::media_type(sent))?;
    let body = Ok::<_, Infallible>(request.body.clone());
    let whole = futures_util::stream::once(std::future::ready(body));
    let mut form = multer::Multipart::new(whole, boundary);
    let broken = |_| Failure::detail(400, "The form is not well formed.", "parse_error");
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name().is_some_and(|name| FIELDS.contains(&name)) {
            return field.bytes().await.map_err(broken);
        }
    }
    Err(Failure::field("photo", "No file was submitted."))
}

/// A kind of image.
struct Kind {
    content_type: &'static str,
    extension: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        content_type: "image/jpeg",
        extension: "jpg",
    },
    Kind {
        content_type: "image/png",
        extension: "png",
    },
    Kind {
        content_type: "image/webp",
        extension: "webp",
    },
];

/// What the bytes begin as, whatever the client calls them.
fn kind_of(image: &[u8]) -> Option<&'static Kind> {
    let [jpeg, png, webp] = &KINDS;
    if image.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(jpeg)
    } else if image.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(png)
    } else if image.starts_with(b"RIFF") && image.get(8..12) == Some(b"WEBP") {
        Some(webp)
    } else {
        None
    }
}
