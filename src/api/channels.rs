//! Channels: listed, shown, taken over, edited, and what their encoder needs. It does not know the
//! life of a stream.

use serde_json::{Value, json};

use super::{
    Api, Failure, Fields, Reply, Request, Text, channel_route::ChannelCall, moderators,
    search::search, subscribers,
};
use crate::{
    auth::Identity,
    db::{Channel, ChannelEdit, ChannelEdited, Status, StreamFilter, now_ms},
    name::StreamKey,
    person::Username,
    time::rfc3339,
};

const NAME: Text = Text::line(100);
const DESCRIPTION: Text = Text::lines(5000);
const LINK: Text = Text::line(300);

pub(super) async fn answer(
    api: &Api,
    request: &Request,
    call: &ChannelCall,
) -> Result<Reply, Failure> {
    match call {
        ChannelCall::List => list(api, request).await,
        ChannelCall::Create => create(api, request).await,
        ChannelCall::Show(name) => show(api, request, name).await,
        ChannelCall::Edit { username, whole } => edit(api, request, username, *whole).await,
        ChannelCall::Encoder(name) => encoder(api, request, name).await,
        ChannelCall::Subscribers(name) => subscribers::list(api, request, name).await,
        ChannelCall::Subscribe(name) => subscribers::subscribe(api, request, name).await,
        ChannelCall::Unsubscribe(name) => subscribers::unsubscribe(api, request, name).await,
        ChannelCall::Moderators(name) => moderators::list(api, request, name).await,
        ChannelCall::AddModerator(name) => moderators::add(api, request, name).await,
        ChannelCall::RemoveModerator(name) => moderators::remove(api, request, name).await,
    }
}

/// The channel of this name as `caller` sees it, else 404.
pub(super) async fn find(
    api: &Api,
    name: &str,
    caller: Option<&Identity>,
) -> Result<Channel, Failure> {
    let viewer = caller.map(|caller| caller.user_id);
    let found = api.db.channel(&Username::key_of(name), viewer).await?;
    found.ok_or_else(Failure::not_found)
}

async fn list(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let caller = api.caller(request).await?;
    let viewer = caller.as_ref().map(|caller| caller.user_id);
    let rows = api.db.channels(search(request)?, viewer).await?;
    let rows = rows.iter().map(|row| shown(request, row, viewer));
    let rows = rows.collect::<Vec<_>>();
    Ok(Reply::a(200, "Channels Listed Successful", rows.into()))
}

async fn show(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let caller = api.caller(request).await?;
    let channel = find(api, name, caller.as_ref()).await?;
    let viewer = caller.map(|caller| caller.user_id);
    let data = shown(request, &channel, viewer);
    Ok(Reply::a(200, "Channel Retrieve Successful", data))
}

/// POST /channels/: takes the channel over that came with the account, as long as nobody edited it.
/// Without a new username it keeps the account's.
async fn create(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let fields = Fields::read(request)?;
    // Before what is wrong with them: no other fields would be accepted.
    if api.db.channel_edited(caller.user_id).await? {
        return Err(not_new());
    }
    let edit = read(fields, Asked::New)?;
    let edited = api.db.edit_channel(caller.user_id, edit, true, now_ms());
    let channel = done(edited.await?)?;
    let data = shown(request, &channel, Some(caller.user_id));
    Ok(Reply::a(201, "Channel Created Successful", data))
}

async fn edit(api: &Api, request: &Request, name: &str, whole: bool) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    own(find(api, name, Some(&caller)).await?, &caller)?;
    let asked = if whole { Asked::Whole } else { Asked::Part };
    let edit = read(Fields::read(request)?, asked)?;
    let edited = api.db.edit_channel(caller.user_id, edit, false, now_ms());
    let channel = done(edited.await?)?;
    let data = shown(request, &channel, Some(caller.user_id));
    Ok(Reply::a(200, "Channel Update Successful", data))
}

/// GET /channels/{username}/stream: the permanent key and where it publishes.
async fn encoder(api: &Api, request: &Request, name: &str) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let channel = own(find(api, name, Some(&caller)).await?, &caller)?;
    let live = StreamFilter {
        channel: Some(Username::key_of(&channel.username)),
        statuses: vec![Status::Live],
        limit: 1,
        ..StreamFilter::default()
    };
    let (_, streams) = api.db.list_streams(live).await?;
    let started_at_ms = streams.first().and_then(|stream| stream.started_at_ms);
    let key = api.auth.secret().open(&channel.key_sealed, &channel.key);
    let body = json!({
        "rtmp_url": request.urls.rtmp_server(),
        "key": key.as_ref().map(StreamKey::as_str),
        "started_at": started_at_ms.map(rfc3339),
    });
    Ok(Reply::b(200, body))
}

fn own(channel: Channel, caller: &Identity) -> Result<Channel, Failure> {
    match channel.owner_id == caller.user_id {
        true => Ok(channel),
        false => Err(Failure::forbidden()),
    }
}

/// Which fields must be there.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// POST: a name. A username that is null is not given.
    New,
    /// PUT: both names.
    Whole,
    /// PATCH: none.
    Part,
}

/// Reads a channel's fields.
fn read(mut fields: Fields, asked: Asked) -> Result<ChannelEdit, Failure> {
    let username = match asked {
        Asked::New => fields.has_value("username"),
        Asked::Whole => true,
        Asked::Part => fields.has("username"),
    };
    let username = username.then(|| names(&mut fields)).flatten();
    let name = match asked != Asked::Part || fields.has("name") {
        true => Some(fields.required("name", NAME)),
        false => None,
    };
    let edit = ChannelEdit {
        username,
        name,
        description: fields.given("description", DESCRIPTION),
        instagram: link(&mut fields, "instagram"),
        facebook: link(&mut fields, "facebook"),
        twitter: link(&mut fields, "twitter"),
        tiktok: link(&mut fields, "tiktok"),
    };
    fields.finish()?;
    Ok(edit)
}

/// The username as it is shown and what makes names the same.
fn names(fields: &mut Fields) -> Option<(String, String)> {
    // Longer ones are told the rule.
    let text = fields.required("username", Text::line(1000));
    let name = Username::parse(&text);
    if name.is_none() && !text.is_empty() {
        fields.refuse("username", Username::RULE);
    }
    name.map(|name| (name.as_str().to_owned(), name.key().to_owned()))
}

/// A link or a name in that place. Pages show it as text; others may make a link of it, which must
/// lead to the web.
fn link(fields: &mut Fields, name: &str) -> Option<String> {
    let text = fields.given(name, LINK)?;
    let lower = text.to_ascii_lowercase();
    let is_web = lower.starts_with("http://") || lower.starts_with("https://");
    if text.contains(':') && !is_web {
        fields.refuse(name, "Enter a valid URL.");
    }
    Some(text)
}

fn not_new() -> Failure {
    Failure::conflict("The account has its channel already.")
}

fn done(edited: ChannelEdited) -> Result<Channel, Failure> {
    match edited {
        ChannelEdited::Done(channel) => Ok(*channel),
        ChannelEdited::NameTaken => {
            let words = "A channel with that username already exists.";
            Err(Failure::field("username", words))
        }
        ChannelEdited::NotNew => Err(not_new()),
        ChannelEdited::Missing => Err(Failure::conflict("The account has no channel.")),
    }
}

fn shown(request: &Request, channel: &Channel, viewer: Option<i64>) -> Value {
    let link = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut value = json!({
        "username": channel.username,
        "name": channel.name,
        "description": channel.description,
        "author": channel.author,
        "photo": channel.photo.as_ref().map(|name| request.urls.photo(name)),
        "instagram": link(&channel.instagram),
        "facebook": link(&channel.facebook),
        "twitter": link(&channel.twitter),
        "tiktok": link(&channel.tiktok),
        "subscriptions_count": channel.subscriptions_count,
        "created_at": rfc3339(channel.created_at_ms),
        "updated_at": rfc3339(channel.updated_at_ms),
    });
    if viewer.is_some() {
        value["i_subscribed"] = json!(channel.i_subscribed);
    }
    value
}
