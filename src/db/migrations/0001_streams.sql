-- Streams and the numbers of their playlists.

CREATE TABLE streams (
    id                INTEGER PRIMARY KEY,
    -- Public name, 22 characters.
    uid               TEXT    NOT NULL UNIQUE,
    -- HMAC-SHA256 of the stream key: the key itself is stored nowhere.
    key_hash          BLOB    NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    title             TEXT    NOT NULL,
    status            TEXT    NOT NULL DEFAULT 'pending'
                      CHECK (status IN ('pending', 'live', 'finished', 'cancel')),
    record            INTEGER NOT NULL CHECK (record IN (0, 1)),
    -- Times are milliseconds since 1970, UTC.
    created_at_ms     INTEGER NOT NULL,
    started_at_ms     INTEGER,
    ended_at_ms       INTEGER,
    ended_reason      TEXT,
    -- EXT-X-MEDIA-SEQUENCE and EXT-X-DISCONTINUITY-SEQUENCE continue from here: they never go back.
    next_sequence     INTEGER NOT NULL DEFAULT 0 CHECK (next_sequence >= 0),
    discontinuities   INTEGER NOT NULL DEFAULT 0 CHECK (discontinuities >= 0),
    -- EXT-X-TARGETDURATION, seconds; null until the first segment is cut, then constant.
    target_duration_s INTEGER CHECK (target_duration_s > 0)
) STRICT;

-- Lists are newest first, often of one status.
CREATE INDEX streams_newest ON streams (created_at_ms);
CREATE INDEX streams_status_newest ON streams (status, created_at_ms);
