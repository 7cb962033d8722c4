//! Streams: made, listed, shown and edited. What is done with them while they run is in
//! `stream_life`, how they look in `stream_view`. It does not know who publishes.

use std::sync::Arc;

use super::{
    Api, Failure, Fields, Page, Reply, Request, Text, chat, questions, reminders, search::search,
    stream_life, stream_route::StreamCall, stream_view,
};
use crate::{
    auth::Identity,
    db::{Channel, NewStream, Status, StreamDetails, StreamEdit, StreamFilter, now_ms},
    error::Kind,
    name::{StreamKey, StreamUid},
    person::Username,
    time::parse_rfc3339,
};

const TITLE: Text = Text::line(200);
const DESCRIPTION: Text = Text::lines(5000);
const TIME_FORM: &str = "Datetime has wrong format. Use RFC 3339: YYYY-MM-DDThh:mm:ssZ.";
const SECOND_OPEN: &str =
    "The channel has an open stream already: stop or cancel that one, or schedule this one.";

pub(super) async fn answer(
    api: &Api,
    request: &Request,
    call: &StreamCall,
) -> Result<Reply, Failure> {
    match call {
        StreamCall::List => list(api, request).await,
        StreamCall::Create => create(api, request).await,
        StreamCall::Show(uid) => show(api, request, uid).await,
        StreamCall::Edit(uid) => edit(api, request, uid).await,
        StreamCall::Act(uid, action) => stream_life::act(api, request, uid, *action).await,
        StreamCall::DropRecording(uid) => stream_life::drop_recording(api, request, uid).await,
        StreamCall::Chat(uid) => chat::list(api, request, uid).await,
        StreamCall::Questions(uid) => questions::list(api, request, uid).await,
        StreamCall::Remind(uid) => reminders::add(api, request, uid).await,
        StreamCall::ForgetReminder(uid) => reminders::forget(api, request, uid).await,
    }
}

/// The stream of this name, else 404.
pub(super) async fn find(api: &Api, uid: &StreamUid) -> Result<Arc<StreamDetails>, Failure> {
    let found = api.db.stream_details(uid).await?;
    found.ok_or_else(Failure::not_found)
}

/// The stream of this name and its owner, who asks: else 401, 404, 403.
pub(super) async fn find_own(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
) -> Result<(Arc<StreamDetails>, Identity), Failure> {
    let caller = api.require(request).await?;
    let row = find(api, uid).await?;
    match stream_view::owns(&row, Some(caller.user_id)) {
        true => Ok((row, caller)),
        false => Err(Failure::forbidden()),
    }
}

async fn show(api: &Api, request: &Request, uid: &StreamUid) -> Result<Reply, Failure> {
    let viewer = api.caller(request).await?.map(|caller| caller.user_id);
    let row = find(api, uid).await?;
    let body = stream_view::stream(api, request, &row, viewer);
    Ok(Reply::b(200, body))
}

async fn list(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let viewer = api.caller(request).await?.map(|caller| caller.user_id);
    let page = Page::of(request)?;
    let Some(statuses) = statuses(request)? else {
        return Ok(page.reply(request, 0, vec![]));
    };
    let channel = request.query("channel").filter(|text| !text.is_empty());
    let filter = StreamFilter {
        channel: channel.map(Username::key_of),
        search: search(request)?,
        statuses,
        limit: page.limit,
        offset: page.offset,
    };
    let (count, rows) = api.db.list_streams(filter).await?;
    let rows = rows.iter();
    let rows = rows.map(|row| stream_view::stream(api, request, row, viewer));
    Ok(page.reply(request, count, rows.collect()))
}

/// What `status` and `status__in` ask for together: empty is every status, `None` is no stream at all.
fn statuses(request: &Request) -> Result<Option<Vec<Status>>, Failure> {
    let mut wanted: Option<Vec<Status>> = None;
    for name in ["status", "status__in"] {
        let text = request.query(name).unwrap_or_default();
        let words = match name {
            "status" => vec![text],
            _ => text.split(',').collect(),
        };
        let words = words
            .into_iter()
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let named = words
            .map(|word| Status::parse(word).ok_or_else(|| unknown_status(name, word)))
            .collect::<Result<Vec<_>, _>>()?;
        wanted = match wanted {
            before if named.is_empty() => before,
            None => Some(named),
            Some(before) => Some(before.into_iter().filter(|s| named.contains(s)).collect()),
        };
    }
    Ok(match wanted {
        None => Some(vec![]),
        Some(none) if none.is_empty() => None,
        Some(some) => Some(some),
    })
}

fn unknown_status(name: &str, word: &str) -> Failure {
    let shown: String = word.chars().take(40).collect();
    Failure::field(name, format!("{shown:?} is not a valid choice."))
}

async fn create(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let caller = api.require(request).await?;
    let mut fields = Fields::read(request)?;
    let channel_name = fields.given("channel_username", Text::line(300));
    let title = fields.given("title", TITLE).unwrap_or_default();
    let description = fields.given("description", DESCRIPTION).unwrap_or_default();
    let time_ms = program(&mut fields).flatten();
    let record = fields.boolean("record").unwrap_or(true);
    fields.finish()?;
    let channel = own_channel(api, &caller, channel_name.as_deref()).await?;
    let now_ms = now_ms();
    let key = StreamKey::random();
    let new = NewStream {
        uid: StreamUid::random(),
        key: api.auth.secret().key_hash(&key),
        key_sealed: api.auth.secret().seal(&key),
        channel_id: Some(channel.id),
        title,
        description,
        record,
        program_date_time_ms: time_ms,
        is_programed: time_ms.is_some_and(|time_ms| time_ms > now_ms),
    };
    let row = api.db.add_stream(new, now_ms).await.map_err(second_open)?;
    let body = stream_view::stream(api, request, &row, Some(caller.user_id));
    Ok(Reply::b(201, body))
}

/// The channel that a stream is made for: the one named, if it is the caller's, else the caller's own.
async fn own_channel(api: &Api, caller: &Identity, name: Option<&str>) -> Result<Channel, Failure> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let own = api.db.channel_of(caller.user_id).await?;
        return own.ok_or_else(|| Failure::conflict("The account has no channel."));
    };
    let named = api.db.channel(&Username::key_of(name), None).await?;
    match named {
        None => Err(Failure::field(
            "channel_username",
            "There is no such channel.",
        )),
        Some(channel) if channel.owner_id != caller.user_id => Err(Failure::forbidden()),
        Some(channel) => Ok(channel),
    }
}

/// `program_date_time` in milliseconds since 1970: `None` when it is not named (or wrong, and
/// reported), `Some(None)` when it is null or blank.
fn program(fields: &mut Fields) -> Option<Option<i64>> {
    let text = fields.given("program_date_time", Text::line(64))?;
    if text.is_empty() {
        return Some(None);
    }
    let time_ms = parse_rfc3339(&text);
    if time_ms.is_none() {
        fields.refuse("program_date_time", TIME_FORM);
    }
    time_ms.map(Some)
}

fn second_open(error: crate::error::Error) -> Failure {
    match error.kind {
        Kind::Conflict => Failure::conflict(SECOND_OPEN),
        _ => error.into(),
    }
}

async fn edit(api: &Api, request: &Request, uid: &StreamUid) -> Result<Reply, Failure> {
    let (row, caller) = find_own(api, request, uid).await?;
    let mut fields = Fields::read(request)?;
    let title = fields.given("title", TITLE);
    let description = fields.given("description", DESCRIPTION);
    // A client that sends back what it was shown changes nothing.
    let time = program(&mut fields).filter(|time_ms| *time_ms != row.program_date_time_ms);
    fields.finish()?;
    if time.is_some() && row.status != Status::Pending {
        return Err(Failure::conflict(
            "The stream has begun: its time cannot change.",
        ));
    }
    let now_ms = now_ms();
    let program = time.map(|time_ms| (time_ms, time_ms.is_some_and(|time_ms| time_ms > now_ms)));
    let edit = StreamEdit {
        title,
        description,
        program,
    };
    let row = api.db.edit_stream(uid, edit).await.map_err(second_open)?;
    let body = stream_view::stream(api, request, &row, Some(caller.user_id));
    Ok(Reply::b(200, body))
}
