-- Recordings: what each stream's playlist listed, and what became of it after the end.

-- Null until the recording is closed. 'failed': nothing of it is there to be played.
ALTER TABLE streams ADD COLUMN recorded TEXT CHECK (recorded IN ('done', 'failed'));
-- The oldest closed recordings are looked for; there may be many streams without one.
CREATE INDEX streams_recorded ON streams (ended_at_ms)
    WHERE record = 1 AND recorded IS NOT NULL;

-- Every segment that a playlist listed, as it was listed. Of streams that are not recorded only those
-- that can still be fetched; of a closed recording only those that the store has. Rows of an ended
-- stream that is not recorded (any more) tell that its objects are still to be deleted.
CREATE TABLE segments (
    stream_id       INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    -- Media sequence number.
    sequence        INTEGER NOT NULL CHECK (sequence >= 0),
    session         TEXT    NOT NULL,
    -- EXTINF.
    duration_90k    INTEGER NOT NULL CHECK (duration_90k >= 0),
    -- EXT-X-PROGRAM-DATE-TIME, microseconds since 1970, UTC.
    date_us         INTEGER NOT NULL CHECK (date_us >= 0),
    -- EXT-X-DISCONTINUITY stands before it, and how many stood in the playlist before that.
    discontinuity   INTEGER NOT NULL CHECK (discontinuity IN (0, 1)),
    discontinuities INTEGER NOT NULL CHECK (discontinuities >= 0),
    -- It opens with an IDR or has no video.
    independent     INTEGER NOT NULL CHECK (independent IN (0, 1)),
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (stream_id, sequence)
) STRICT, WITHOUT ROWID;
