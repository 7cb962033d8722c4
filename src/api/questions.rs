//! What was asked in a stream's room: pages for anybody, exports for the owner. It does not know how
//! a question is asked or answered.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Api, Failure, Page, Reply, Request,
    chat::cell,
    streams::{find, find_own},
};
use crate::{
    auth::Identity,
    db::{QuestionFilter, QuestionRow, QuestionSort, StreamDetails},
    name::StreamUid,
    time::rfc3339,
};

const STATES: [&str; 5] = ["pending", "open", "live", "answered", "dismissed"];
/// Questions of one export, the first that were asked.
const EXPORT_ROWS_MAX: u64 = 100_000;

/// Who looks: what waits or was dismissed is for owner and moderators, hidden authors for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Viewer {
    Owner,
    Moderator,
    Anybody,
}

/// GET /streams/{uid}/questions/
pub(super) async fn list(api: &Api, request: &Request, uid: &StreamUid) -> Result<Reply, Failure> {
    let state = request.query("state").filter(|state| !state.is_empty());
    if state.is_some_and(|state| !STATES.contains(&state)) {
        let words = "pending, open, live, answered or dismissed.";
        return Err(Failure::field("state", words));
    }
    match request.query("format") {
        None | Some("" | "json") => {}
        Some(format) => return export(api, request, uid, format, state).await,
    }
    let sort = match request.query("sort") {
        None | Some("" | "votes") => QuestionSort::Votes,
        Some("new") => QuestionSort::Newest,
        Some(_) => return Err(Failure::field("sort", "votes or new.")),
    };
    let page = Page::of(request)?;
    let caller = api.caller(request).await?;
    let stream = find(api, uid).await?;
    let viewer = viewer(api, caller.as_ref(), &stream).await?;
    let filter = QuestionFilter {
        state,
        public_only: viewer == Viewer::Anybody,
        sort,
        limit: page.limit,
        offset: page.offset,
    };
    let (count, rows) = api.db.questions(uid, filter).await?;
    let rows = rows.iter().map(|(row, votes)| shown(row, *votes, viewer));
    Ok(page.reply(request, count, rows.collect()))
}

async fn viewer(
    api: &Api,
    caller: Option<&Identity>,
    stream: &StreamDetails,
) -> Result<Viewer, Failure> {
    let (Some(caller), Some(channel)) = (caller, &stream.channel) else {
        return Ok(Viewer::Anybody);
    };
    if caller.user_id == channel.owner_id {
        return Ok(Viewer::Owner);
    }
    let moderators = api.db.moderator_ids(vec![channel.id]).await?;
    let named = moderators.get(&channel.id);
    Ok(
        match named.is_some_and(|ids| ids.contains(&caller.user_id)) {
            true => Viewer::Moderator,
            false => Viewer::Anybody,
        },
    )
}

async fn export(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
    format: &str,
    state: Option<&str>,
) -> Result<Reply, Failure> {
    let (stream, _) = find_own(api, request, uid).await?;
    let write = match format {
        "csv" => csv,
        "jsonl" => jsonl,
        _ => return Err(Failure::field("format", "csv or jsonl.")),
    };
    let filter = QuestionFilter {
        state,
        public_only: false,
        sort: QuestionSort::Oldest,
        limit: EXPORT_ROWS_MAX,
        offset: 0,
    };
    let (_, rows) = api.db.questions(uid, filter).await?;
    let (kind, text) = write(&stream, &rows);
    let name = format!("attachment; filename=\"questions-{uid}.{format}\"");
    Ok(Reply::bytes(kind, Bytes::from(text)).header("content-disposition", name))
}

fn jsonl(stream: &StreamDetails, rows: &[(QuestionRow, u64)]) -> (&'static str, String) {
    let mut out = String::new();
    for (row, votes) in rows {
        let mut line = shown(row, *votes, Viewer::Owner);
        line["anonymous"] = json!(row.anonymous);
        line["offset_s"] = json!(offset_s(stream, row));
        let _ = writeln!(out, "{line}");
    }
    ("application/x-ndjson", out)
}

fn csv(stream: &StreamDetails, rows: &[(QuestionRow, u64)]) -> (&'static str, String) {
    let mut out =
        "id,user,anonymous,text,votes,state,answer,answered_offset_s,pinned,duplicate_of,\
                   created_at,offset_s\r\n"
            .to_owned();
    let number = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
    for (row, votes) in rows {
        let _ = write!(
            out,
            "{},{},{},{},{votes},{},{},{},{},{},{},{}\r\n",
            row.id,
            cell(&row.author),
            row.anonymous,
            cell(&row.text),
            row.state,
            row.answer.as_deref().map(cell).unwrap_or_default(),
            number(row.answered_offset_s),
            row.pinned,
            row.duplicate_of
                .map(|id| id.to_string())
                .unwrap_or_default(),
            rfc3339(row.created_at_ms),
            number(offset_s(stream, row)),
        );
    }
    ("text/csv; charset=utf-8", out)
}

/// Seconds from the stream's start; negative before it.
fn offset_s(stream: &StreamDetails, row: &QuestionRow) -> Option<f64> {
    let started_at_ms = stream.started_at_ms?;
    Some(row.created_at_ms.saturating_sub(started_at_ms) as f64 / 1000.0)
}

fn shown(row: &QuestionRow, votes: u64, viewer: Viewer) -> Value {
    let named = !row.anonymous || viewer == Viewer::Owner;
    json!({
        "id": row.id.to_string(),
        "text": row.text,
        "user": named.then_some(&row.author),
        "votes": votes,
        "state": row.state,
        "answer": row.answer,
        "answered_offset_s": row.answered_offset_s,
        "pinned": row.pinned,
        "duplicate_of": row.duplicate_of.map(|id| id.to_string()),
        "created_at": rfc3339(row.created_at_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Content, channel_tests::login, testing::Fixture},
        db::QuestionWrite,
    };

    fn row(id: u64, author_id: i64, state: &str) -> QuestionWrite {
        QuestionWrite::Save(QuestionRow {
            id,
            author_id,
            author: "bob".into(),
            anonymous: id == 1,
            text: format!("=question, \"{id}\"?"),
            state: state.into(),
            answer: None,
            answered_offset_s: (state == "answered").then_some(12.5),
            pinned: false,
            duplicate_of: None,
            created_at_ms: 1000 * id as i64,
        })
    }

    #[tokio::test]
    async fn questions_have_pages_and_exports() {
        let f = Fixture::new().await;
        let (_, ana) = login(&f, "ana").await;
        let (bob_id, bob) = login(&f, "bob").await;
        let made = f.call(&ana, "POST", "/streams/", json!({ "title": "t" }));
        let uid = StreamUid::parse(made.await.1["uid"].as_str().unwrap()).unwrap();
        let mut writes: Vec<_> = ["open", "pending", "answered"]
            .iter()
            .zip(1..)
            .map(|(state, id)| row(id, bob_id, state))
            .collect();
        writes.push(QuestionWrite::Vote {
            id: 1,
            user_id: bob_id,
            stands: true,
        });
        f.api.db.write_questions(&uid, writes).await.unwrap();
        let get = async |token: &str, query: &str| {
            let path = format!("/streams/{uid}/questions/{query}");
            f.reply(token, "GET", &path, Value::Null).await
        };
        let ids = |reply: &Reply| -> Vec<String> {
            let rows = reply.json()["results"].as_array().unwrap().iter();
            rows.map(|row| row["id"].as_str().unwrap().to_owned())
                .collect()
        };

        let page = get("", "").await;
        assert_eq!(ids(&page), ["1", "3"]);
        assert_eq!(page.json()["results"][0]["votes"], 1);
        assert_eq!(page.json()["results"][0]["user"], Value::Null);
        assert_eq!(page.json()["results"][1]["user"], "bob");
        assert_eq!(ids(&get("", "?sort=new").await), ["3", "1"]);
        assert!(ids(&get(&bob, "?state=pending").await).is_empty());
        let page = get(&ana, "?sort=new&limit=2").await;
        assert_eq!(
            (ids(&page), &page.json()["count"]),
            (vec!["3".into(), "2".into()], &json!(3))
        );
        assert_eq!(get(&ana, "").await.json()["results"][0]["user"], "bob");
        for bad in ["?sort=old", "?state=closed", "?limit=x", "?format=xml"] {
            assert_eq!(get(&ana, bad).await.status, 400, "{bad}");
        }
        for (token, status) in [("", 401), (&*bob, 403)] {
            assert_eq!(get(token, "?format=csv").await.status, status);
        }
        let text = async |query: &str| match get(&ana, query).await.content {
            Content::Bytes(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => unreachable!("{other:?}"),
        };
        let csv = text("?format=csv").await;
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].starts_with("1,\"bob\",true,\"'=question, \"\"1\"\"?\",1,open,"),
            "{csv}"
        );
        let jsonl = text("?format=jsonl&state=answered").await;
        let line: Value = serde_json::from_str(jsonl.trim()).unwrap();
        assert_eq!(
            (&line["answered_offset_s"], &line["offset_s"]),
            (&json!(12.5), &Value::Null)
        );
        let missing = format!("/streams/{}/questions/", StreamUid::random());
        assert_eq!(f.call("", "GET", &missing, Value::Null).await.0, 404);
    }
}
