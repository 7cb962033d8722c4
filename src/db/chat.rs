//! Chat rows: messages, who may not write, settings, and the audit of all that was moderated. It
//! does not know who may do what.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{Db, streams::asking};
use crate::{
    error::{Error, Kind, Result},
    name::StreamUid,
};

const COLUMNS: &str = "seq, id, user_id, username, role, text, reply_to, created_at_ms, \
                       edited_at_ms, deleted";

/// A message as stored. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRow {
    /// Number within its stream; never used twice in an epoch.
    pub seq: u64,
    /// Public name.
    pub id: String,
    /// Who wrote.
    pub user_id: i64,
    /// Their username when they wrote.
    pub user: String,
    /// owner, moderator or viewer when they wrote.
    pub role: String,
    /// The text; empty once deleted.
    pub text: String,
    /// Id of the message that it answers.
    pub reply_to: Option<String>,
    /// When it was said.
    pub created_at_ms: i64,
    /// When it was last edited.
    pub edited_at_ms: Option<i64>,
    /// It was taken away.
    pub deleted: bool,
}

/// Something an owner or moderator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Who.
    pub actor_id: i64,
    /// Their username.
    pub actor: String,
    /// What.
    pub action: &'static str,
    /// The user or message it was done to.
    pub target: Option<String>,
    /// How long, on or off, why.
    pub detail: Option<String>,
    /// When, milliseconds since 1970, UTC.
    pub at_ms: i64,
}

/// A change to a stream's chat, in the order of its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatWrite {
    /// A new message.
    Said(ChatRow),
    /// Another text.
    Edited {
        /// Of this message.
        seq: u64,
        /// What it now says.
        text: String,
        /// When.
        at_ms: i64,
    },
    /// Taken away, with its text.
    Deleted {
        /// Of this message.
        seq: u64,
    },
    /// The room's settings.
    Settings {
        /// Milliseconds between two messages of one user.
        slow_ms: i64,
        /// Whether only subscribers write.
        subscribers_only: bool,
        /// The pinned message.
        pinned_seq: Option<u64>,
    },
    /// A user may not write in the channel.
    Silenced {
        /// The channel.
        channel_id: i64,
        /// The user.
        user_id: i64,
        /// Until when; `None` is for ever.
        until_ms: Option<i64>,
    },
    /// A user may write again.
    Unsilenced {
        /// The channel.
        channel_id: i64,
        /// The user.
        user_id: i64,
    },
    /// For the record.
    Audit(Audit),
    /// Most people at once so far.
    Peak(u64),
    /// All of the room was written: its epoch may go on.
    Settled,
}

/// What a room begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRow {
    /// The stream.
    pub stream_id: i64,
    /// Its channel; `None` for a stream made for nobody.
    pub channel_id: Option<i64>,
    /// The channel's owner.
    pub owner_id: Option<i64>,
    /// The sequence's epoch.
    pub epoch: String,
    /// Of the newest message; 0 before the first.
    pub seq: u64,
    /// Milliseconds between two messages of one user.
    pub slow_ms: i64,
    /// Whether only subscribers write.
    pub subscribers_only: bool,
    /// The pinned message.
    pub pinned: Option<ChatRow>,
    /// Most people at once so far.
    pub peak: u64,
    /// The newest messages, oldest first.
    pub messages: Vec<ChatRow>,
    /// Users who may not write, and until when.
    pub silenced: Vec<(i64, Option<i64>)>,
    /// Users who moderate.
    pub moderators: Vec<i64>,
}

impl Db {
    /// Takes a stream's room over: its settings and its newest `history` messages. `None`: no such
    /// stream. `epoch` is used when the process that had it last did not settle it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn open_room(
        &self,
        uid: &StreamUid,
        history: usize,
        slow_ms: i64,
        epoch: String,
        now_ms: i64,
    ) -> Result<Option<RoomRow>> {
        let uid = uid.clone();
        self.write(move |c| {
            open(c, &uid, history, slow_ms, &epoch, now_ms)
                .map_err(|error| Error::with(Kind::Unavailable, "cannot open a room", error))
        })
        .await
    }

    /// Messages before `before` (all: `None`), newest `limit` of them, oldest first; and how many
    /// there are in all. What was queued behind a broadcast before is among them.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn chat_page(
        &self,
        uid: &StreamUid,
        before: Option<u64>,
        limit: u64,
    ) -> Result<(u64, Vec<ChatRow>)> {
        self.settle().await;
        let uid = uid.clone();
        self.readers
            .read(move |c| page(c, &uid, before, limit).map_err(|e| asking("messages", e)))
            .await
    }
}

fn open(
    c: &Connection,
    uid: &StreamUid,
    history: usize,
    slow_ms: i64,
    epoch: &str,
    now_ms: i64,
) -> rusqlite::Result<Option<RoomRow>> {
    let ids = c
        .query_row(
            "SELECT s.id, s.channel_id, c.user_id FROM streams s
             LEFT JOIN channels c ON c.id = s.channel_id WHERE s.uid = ?1",
            [uid.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((stream_id, channel_id, owner_id)) = ids else {
        return Ok(None);
    };
    c.execute(
        "INSERT INTO chat_rooms (stream_id, epoch, settled, slow_ms) VALUES (?1, ?2, 0, ?3)
         ON CONFLICT DO UPDATE SET settled = 0,
             epoch = CASE settled WHEN 1 THEN epoch ELSE excluded.epoch END",
        params![stream_id, epoch, slow_ms],
    )?;
    let mut room = c.query_row(
        "SELECT epoch, slow_ms, subscribers_only, peak,
             (SELECT coalesce(max(seq), 0) FROM chat_messages WHERE stream_id = r.stream_id)
         FROM chat_rooms r WHERE stream_id = ?1",
        [stream_id],
        |row| {
            Ok(RoomRow {
                stream_id,
                channel_id,
                owner_id,
                epoch: row.get(0)?,
                slow_ms: row.get(1)?,
                subscribers_only: row.get(2)?,
                peak: number(row, 3)?,
                seq: number(row, 4)?,
                ..RoomRow::default()
            })
        },
    )?;
    room.pinned = c
        .query_row(
            &format!(
                "SELECT {COLUMNS} FROM chat_messages WHERE stream_id = ?1 AND deleted = 0
                 AND seq = (SELECT pinned_seq FROM chat_rooms WHERE stream_id = ?1)"
            ),
            [stream_id],
            message,
        )
        .optional()?;
    room.messages = newest(c, stream_id, None, history as u64)?;
    if let Some(channel_id) = channel_id {
        c.execute(
            "DELETE FROM chat_bans WHERE channel_id = ?1 AND until_ms <= ?2",
            [channel_id, now_ms],
        )?;
        room.silenced = c
            .prepare("SELECT user_id, until_ms FROM chat_bans WHERE channel_id = ?1")?
            .query_map([channel_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        room.moderators = super::moderators::ids(c, channel_id)?;
    }
    Ok(Some(room))
}

fn page(
    c: &Connection,
    uid: &StreamUid,
    before: Option<u64>,
    limit: u64,
) -> rusqlite::Result<(u64, Vec<ChatRow>)> {
    let (stream_id, count) = c.query_row(
        "SELECT s.id, (SELECT count(*) FROM chat_messages WHERE stream_id = s.id)
         FROM streams s WHERE s.uid = ?1",
        [uid.as_str()],
        |row| Ok((row.get(0)?, number(row, 1)?)),
    )?;
    Ok((count, newest(c, stream_id, before, limit)?))
}

/// The newest `limit` messages before a sequence number, oldest first.
fn newest(
    c: &Connection,
    stream_id: i64,
    before: Option<u64>,
    limit: u64,
) -> rusqlite::Result<Vec<ChatRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM chat_messages WHERE stream_id = ?1 AND seq < ?2
         ORDER BY seq DESC LIMIT ?3"
    );
    let before = before.map_or(i64::MAX, signed);
    let mut rows = c
        .prepare_cached(&sql)?
        .query_map([stream_id, before, signed(limit)], message)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    rows.reverse();
    Ok(rows)
}

/// Carries one write out.
pub(super) fn write(c: &Connection, stream_id: i64, write: &ChatWrite) -> rusqlite::Result<()> {
    let changed = match write {
        ChatWrite::Said(row) => said(c, stream_id, row),
        ChatWrite::Edited { seq, text, at_ms } => c.execute(
            "UPDATE chat_messages SET text = ?3, edited_at_ms = ?4
             WHERE stream_id = ?1 AND seq = ?2",
            params![stream_id, signed(*seq), text, at_ms],
        ),
        ChatWrite::Deleted { seq } => c.execute(
            "UPDATE chat_messages SET text = '', deleted = 1 WHERE stream_id = ?1 AND seq = ?2",
            params![stream_id, signed(*seq)],
        ),
        ChatWrite::Settings {
            slow_ms,
            subscribers_only,
            pinned_seq,
        } => c.execute(
            "UPDATE chat_rooms SET slow_ms = ?2, subscribers_only = ?3, pinned_seq = ?4
             WHERE stream_id = ?1",
            params![stream_id, slow_ms, subscribers_only, pinned_seq.map(signed)],
        ),
        ChatWrite::Silenced {
            channel_id,
            user_id,
            until_ms,
        } => c.execute(
            "INSERT INTO chat_bans (channel_id, user_id, until_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms",
            params![channel_id, user_id, until_ms],
        ),
        ChatWrite::Unsilenced {
            channel_id,
            user_id,
        } => c.execute(
            "DELETE FROM chat_bans WHERE channel_id = ?1 AND user_id = ?2",
            [channel_id, user_id],
        ),
        ChatWrite::Audit(audit) => c.execute(
            "INSERT INTO chat_audit (stream_id, actor_id, actor, action, target, detail, at_ms)
             VALUES (:stream, :actor_id, :actor, :action, :target, :detail, :at)",
            named_params! {
                ":stream": stream_id, ":actor_id": audit.actor_id, ":actor": audit.actor,
                ":action": audit.action, ":target": audit.target, ":detail": audit.detail,
                ":at": audit.at_ms,
            },
        ),
        ChatWrite::Peak(peak) => c.execute(
            "UPDATE chat_rooms SET peak = max(peak, ?2) WHERE stream_id = ?1",
            [stream_id, signed(*peak)],
        ),
        ChatWrite::Settled => c.execute(
            "UPDATE chat_rooms SET settled = 1 WHERE stream_id = ?1",
            [stream_id],
        ),
    };
    changed.map(|_| ())
}

fn said(c: &Connection, stream_id: i64, row: &ChatRow) -> rusqlite::Result<usize> {
    c.prepare_cached(
        "INSERT INTO chat_messages (stream_id, seq, id, user_id, username, role, text, reply_to,
             created_at_ms, edited_at_ms, deleted)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        stream_id,
        signed(row.seq),
        row.id,
        row.user_id,
        row.user,
        row.role,
        row.text,
        row.reply_to,
        row.created_at_ms,
        row.edited_at_ms,
        row.deleted,
    ])
}

fn message(row: &Row<'_>) -> rusqlite::Result<ChatRow> {
    Ok(ChatRow {
        seq: number(row, 0)?,
        id: row.get(1)?,
        user_id: row.get(2)?,
        user: row.get(3)?,
        role: row.get(4)?,
        text: row.get(5)?,
        reply_to: row.get(6)?,
        created_at_ms: row.get(7)?,
        edited_at_ms: row.get(8)?,
        deleted: row.get(9)?,
    })
}

/// A column that is never negative.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
