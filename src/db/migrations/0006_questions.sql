-- What viewers ask, and who wants it answered.

CREATE TABLE questions (
    stream_id         INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    -- Counts from 1 in each stream; the id that clients see.
    number            INTEGER NOT NULL CHECK (number > 0),
    user_id           INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The username at the time.
    author            TEXT    NOT NULL,
    -- 1: the author is shown to the owner only.
    anonymous         INTEGER NOT NULL CHECK (anonymous IN (0, 1)),
    text              TEXT    NOT NULL,
    state             TEXT    NOT NULL
                      CHECK (state IN ('pending', 'open', 'live', 'answered', 'dismissed')),
    -- Answered in writing.
    answer            TEXT,
    -- Answered in the stream: seconds from its start.
    answered_offset_s REAL,
    pinned            INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    -- The first question with the same text.
    duplicate_of      INTEGER,
    -- Milliseconds since 1970, UTC.
    created_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (stream_id, number)
) STRICT, WITHOUT ROWID;

-- A row for each vote that stands: one a user, by its key.
CREATE TABLE question_votes (
    stream_id INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (stream_id, number, user_id),
    FOREIGN KEY (stream_id, number) REFERENCES questions (stream_id, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
