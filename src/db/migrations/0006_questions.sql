-- Viewers' questions and their votes.

CREATE TABLE questions (
    stream_id         INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    -- Number within its stream.
    id                INTEGER NOT NULL,
    author_id         INTEGER NOT NULL,
    -- As it was when it was asked.
    author            TEXT    NOT NULL,
    -- 1: the author is shown to the owner only.
    anonymous         INTEGER NOT NULL CHECK (anonymous IN (0, 1)),
    text              TEXT    NOT NULL,
    state             TEXT    NOT NULL
                      CHECK (state IN ('pending', 'open', 'live', 'answered', 'dismissed')),
    answer            TEXT,
    -- Answered at this moment of the stream, seconds from its start.
    answered_offset_s REAL,
    pinned            INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    -- The first question with the same text.
    duplicate_of      INTEGER,
    -- Milliseconds since 1970, UTC.
    created_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (stream_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE question_votes (
    stream_id   INTEGER NOT NULL,
    question_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    PRIMARY KEY (stream_id, question_id, user_id),
    FOREIGN KEY (stream_id, question_id) REFERENCES questions (stream_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
