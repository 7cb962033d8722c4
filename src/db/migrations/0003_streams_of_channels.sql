-- Streams belong to channels; subscribers of channels; reminders of scheduled streams.

-- Null: made on the command line for nobody.
ALTER TABLE streams ADD COLUMN channel_id INTEGER REFERENCES channels (id);
ALTER TABLE streams ADD COLUMN description TEXT NOT NULL DEFAULT '';
-- The key encrypted with the server's secret, to be shown to its owner again; null for streams of
-- the first schema, whose keys were shown once.
ALTER TABLE streams ADD COLUMN key_sealed BLOB;
-- When it is announced for.
ALTER TABLE streams ADD COLUMN program_date_time_ms INTEGER;
-- 1: scheduled, that is, announced for a time that was still to come.
ALTER TABLE streams ADD COLUMN is_programed INTEGER NOT NULL DEFAULT 0
                               CHECK (is_programed IN (0, 1));

-- A channel has one open stream at a time, besides scheduled ones.
CREATE UNIQUE INDEX streams_one_open ON streams (channel_id)
    WHERE is_programed = 0 AND status IN ('pending', 'live');
CREATE INDEX streams_channel_newest ON streams (channel_id, created_at_ms);

CREATE TABLE subscriptions (
    channel_id    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_user ON subscriptions (user_id);

-- Who wants a mail when a scheduled stream goes live. A row goes when its mail is sent.
CREATE TABLE reminders (
    stream_id     INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (stream_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX reminders_user ON reminders (user_id);
