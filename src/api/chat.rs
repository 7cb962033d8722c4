//! What was said in a stream's room: pages for anybody, exports for the owner. It does not know how
//! it is said.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Api, Failure, Reply, Request,
    page::number,
    request::encode,
    streams::{find, find_own},
};
use crate::{
    db::{ChatRow, StreamDetails},
    name::StreamUid,
    time::rfc3339,
};

/// Messages of a page unless `limit` says otherwise, and at most.
const LIMIT: u64 = 50;
const LIMIT_MAX: u64 = 100;
/// Messages of one export: the newest, or those before `before`.
const EXPORT_ROWS_MAX: u64 = 100_000;

/// GET /streams/{uid}/chat/: the newest messages before `before` (a `seq`), oldest first; `next` is
/// the page of older ones.
pub(super) async fn list(api: &Api, request: &Request, uid: &StreamUid) -> Result<Reply, Failure> {
    let before = number(request, "before", 0)?;
    match request.query("format") {
        None | Some("" | "json") => {}
        Some(format) => return export(api, request, uid, format, before).await,
    }
    api.caller(request).await?;
    find(api, uid).await?;
    let limit = number(request, "limit", 1)?.unwrap_or(LIMIT).min(LIMIT_MAX);
    let (count, rows) = api.db.chat_page(uid, before, limit).await?;
    let oldest = rows.first().map(|row| row.seq).filter(|seq| *seq > 1);
    let next = oldest.map(|seq| {
        let path = encode_path(&request.head.path);
        format!("{}{path}?limit={limit}&before={seq}", request.urls.http)
    });
    let results: Vec<_> = rows.iter().map(shown).collect();
    let body = json!({ "count": count, "next": next, "previous": null, "results": results });
    Ok(Reply::b(200, body))
}

async fn export(
    api: &Api,
    request: &Request,
    uid: &StreamUid,
    format: &str,
    before: Option<u64>,
) -> Result<Reply, Failure> {
    let (stream, _) = find_own(api, request, uid).await?;
    let write = match format {
        "csv" => csv,
        "jsonl" => jsonl,
        _ => return Err(Failure::field("format", "csv or jsonl.")),
    };
    let (_, rows) = api.db.chat_page(uid, before, EXPORT_ROWS_MAX).await?;
    let (kind, text) = write(&stream, &rows);
    let name = format!("attachment; filename=\"chat-{uid}.{format}\"");
    Ok(Reply::bytes(kind, Bytes::from(text)).header("content-disposition", name))
}

fn jsonl(stream: &StreamDetails, rows: &[ChatRow]) -> (&'static str, String) {
    let mut out = String::new();
    for row in rows {
        let mut line = shown(row);
        line["offset_s"] = json!(offset_s(stream, row));
        let _ = writeln!(out, "{line}");
    }
    ("application/x-ndjson", out)
}

fn csv(stream: &StreamDetails, rows: &[ChatRow]) -> (&'static str, String) {
    let mut out =
        "id,seq,user,role,message,reply_to,created_at,edited_at,deleted,offset_s\r\n".to_owned();
    for row in rows {
        let edited_at = row.edited_at_ms.map(rfc3339).unwrap_or_default();
        let offset_s = offset_s(stream, row).map(|s| s.to_string());
        let _ = write!(
            out,
            "{},{},{},{},{},{},{},{edited_at},{},{}\r\n",
            row.id,
            row.seq,
            cell(&row.user),
            row.role,
            cell(&row.text),
            row.reply_to.as_deref().unwrap_or_default(),
            rfc3339(row.created_at_ms),
            row.deleted,
            offset_s.unwrap_or_default(),
        );
    }
    ("text/csv; charset=utf-8", out)
}

/// A text as a cell (RFC 4180). Spreadsheets run what begins like a formula: an apostrophe before it
/// makes it text.
pub(super) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

/// Seconds from the stream's start.
fn offset_s(stream: &StreamDetails, row: &ChatRow) -> Option<f64> {
    let started_at_ms = stream.started_at_ms?;
    Some(row.created_at_ms.saturating_sub(started_at_ms) as f64 / 1000.0)
}

fn shown(row: &ChatRow) -> Value {
    json!({
        "id": row.id,
        "seq": row.seq,
        "user": row.user,
        "message": row.text,
        "role": row.role,
        "reply_to": row.reply_to,
        "created_at": rfc3339(row.created_at_ms),
        "edited_at": row.edited_at_ms.map(rfc3339),
        "deleted": row.deleted,
    })
}

/// A path's parts encoded, its slashes as they are.
fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{channel_tests::login, testing::Fixture};
    use crate::db::{ChatWrite, RoomWrite};

    fn row(seq: u64, text: &str) -> ChatRow {
        ChatRow {
            seq,
            id: format!("e-{seq}"),
            user_id: 1,
            user: "ana".into(),
            role: "owner".into(),
            text: text.into(),
            reply_to: None,
            created_at_ms: 1000 * seq as i64,
            edited_at_ms: None,
            deleted: false,
        }
    }

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        assert_eq!(cell("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
    }

    #[tokio::test]
    async fn the_chat_has_pages_and_exports() {
        let f = Fixture::new().await;
        let (_, ana) = login(&f, "ana").await;
        let (_, bob) = login(&f, "bob").await;
        let none = Value::Null;
        let (_, stream) = f
            .call(&ana, "POST", "/streams/", json!({ "title": "t" }))
            .await;
        let uid = StreamUid::parse(stream["uid"].as_str().unwrap()).unwrap();
        let behind = f.api.db.write_behind(100);
        let opened = f.api.db.open_room(&uid, 10, 0, "e".into(), 0).await;
        let room = opened.unwrap().unwrap();
        let mut places = behind.places(5).unwrap();
        for (seq, text) in (1..).zip(["one", "two", "=three", "four", "five\n\"x\""]) {
            let said = ChatWrite::Said(row(seq, text));
            assert!(places.write(room.stream_id, RoomWrite::Chat(said)));
        }
        drop(places);
        let path = format!("/streams/{uid}/chat/");
        let (status, page) = f
            .call("", "GET", &format!("{path}?limit=2"), none.clone())
            .await;
        assert_eq!((status, &page["count"]), (200, &json!(5)));
        assert_eq!(page["results"][0]["seq"], 4);
        let next = page["next"].as_str().unwrap();
        assert!(next.ends_with("?limit=2&before=4"), "{next}");
        let (_, page) = f
            .call("", "GET", &format!("{path}?before=2"), none.clone())
            .await;
        assert_eq!(page["results"].as_array().unwrap().len(), 1);
        assert!(page["next"].is_null());
        let bad = f
            .call("", "GET", &format!("{path}?before=x"), none.clone())
            .await;
        assert_eq!(bad.0, 400);
        for (token, status) in [("", 401), (&bob, 403)] {
            let path = format!("{path}?format=csv");
            assert_eq!(f.call(token, "GET", &path, none.clone()).await.0, status);
        }
        let bad = f
            .call(&ana, "GET", &format!("{path}?format=xml"), none)
            .await;
        assert_eq!(bad.0, 400);
        let (_, rows) = f.api.db.chat_page(&uid, None, 10).await.unwrap();
        let details = f.api.db.stream_details(&uid).await.unwrap().unwrap();
        let (_, text) = csv(&details, &rows);
        assert!(text.contains(",\"'=three\","), "{text}");
        assert!(text.contains(",\"five\n\"\"x\"\"\","), "{text}");
        assert_eq!(jsonl(&details, &rows).1.lines().count(), 5);
    }
}
