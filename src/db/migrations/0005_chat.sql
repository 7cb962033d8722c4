-- Chat: what was said, who may not write, who moderates, and the audit of all moderation.

CREATE TABLE chat_rooms (
    stream_id        INTEGER PRIMARY KEY REFERENCES streams (id) ON DELETE CASCADE,
    -- Clients name it with the sequence they know; another one makes that sequence worthless.
    epoch            TEXT    NOT NULL,
    -- 0 while a process holds the room: if it dies, its last messages may not be in the table, and
    -- the next process begins another epoch.
    settled          INTEGER NOT NULL CHECK (settled IN (0, 1)),
    -- Slow mode: milliseconds between two messages of one user; 0 is off.
    slow_ms          INTEGER NOT NULL CHECK (slow_ms >= 0),
    subscribers_only INTEGER NOT NULL DEFAULT 0 CHECK (subscribers_only IN (0, 1)),
    -- Sequence number of the pinned message.
    pinned_seq       INTEGER,
    -- Most people at once.
    peak             INTEGER NOT NULL DEFAULT 0 CHECK (peak >= 0)
) STRICT;

CREATE TABLE chat_messages (
    stream_id     INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    -- Grows by one with each message of the stream, in every epoch.
    seq           INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    user_id       INTEGER NOT NULL,
    -- As they were when it was said.
    username      TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('owner', 'moderator', 'viewer')),
    text          TEXT    NOT NULL,
    reply_to      TEXT,
    -- Times are milliseconds since 1970, UTC.
    created_at_ms INTEGER NOT NULL,
    edited_at_ms  INTEGER,
    deleted       INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
    PRIMARY KEY (stream_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE moderators (
    channel_id    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel_id, user_id)
) STRICT, WITHOUT ROWID;

-- Who may not write in a channel's rooms.
CREATE TABLE chat_bans (
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- A timeout's end; null is a ban.
    until_ms   INTEGER,
    PRIMARY KEY (channel_id, user_id)
) STRICT, WITHOUT ROWID;

-- What owners and moderators did.
CREATE TABLE chat_audit (
    id        INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    actor_id  INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    -- timeout, ban, unban, slow, subscribers_only, pin, unpin, delete, edit
    action    TEXT    NOT NULL,
    -- The user or message it was done to.
    target    TEXT,
    -- Seconds, on or off, the reason given, the text before.
    detail    TEXT,
    at_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX chat_audit_stream ON chat_audit (stream_id, at_ms);
