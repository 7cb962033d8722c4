-- Accounts, and the channel that comes with each.

CREATE TABLE users (
    id                 INTEGER PRIMARY KEY,
    username           TEXT    NOT NULL,
    -- What makes names the same: NFKC and case folded.
    username_key       TEXT    NOT NULL UNIQUE,
    email              TEXT    NOT NULL,
    email_key          TEXT    NOT NULL UNIQUE,
    -- As written, and its digits.
    phone              TEXT,
    phone_key          TEXT UNIQUE,
    -- Argon2id in PHC form.
    password_hash      TEXT    NOT NULL,
    first_name         TEXT    NOT NULL DEFAULT '',
    last_name          TEXT    NOT NULL DEFAULT '',
    -- YYYY-MM-DD
    birth_date         TEXT,
    country            TEXT,
    gender             TEXT CHECK (gender IN ('male', 'female', 'other')),
    -- Last part of the photo's key in the store.
    photo              TEXT,
    active             INTEGER NOT NULL CHECK (active IN (0, 1)),
    banned             INTEGER NOT NULL DEFAULT 0 CHECK (banned IN (0, 1)),
    -- Login tokens carry it: raising it ends all that were issued before.
    token_generation   INTEGER NOT NULL DEFAULT 0,
    -- HMAC-SHA256 of the activation code that was mailed.
    code_hash          BLOB CHECK (length(code_hash) = 32),
    code_expires_at_ms INTEGER,
    -- SHA-256 of the reset token that was mailed; it works once.
    reset_hash          BLOB UNIQUE CHECK (length(reset_hash) = 32),
    reset_expires_at_ms INTEGER,
    -- Times are milliseconds since 1970, UTC.
    created_at_ms      INTEGER NOT NULL,
    updated_at_ms      INTEGER NOT NULL
) STRICT;

-- Questions that an account has answered at its creation.
CREATE TABLE security_answers (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- As GET /question/ numbers them.
    question_id INTEGER NOT NULL,
    -- Argon2id in PHC form.
    answer_hash TEXT    NOT NULL,
    PRIMARY KEY (user_id, question_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
    id            INTEGER PRIMARY KEY,
    user_id       INTEGER NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    username      TEXT    NOT NULL,
    username_key  TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    description   TEXT    NOT NULL DEFAULT '',
    instagram     TEXT    NOT NULL DEFAULT '',
    facebook      TEXT    NOT NULL DEFAULT '',
    twitter       TEXT    NOT NULL DEFAULT '',
    tiktok        TEXT    NOT NULL DEFAULT '',
    -- 0 while it is as it was made with the account: POST /channels/ may then take it over.
    edited        INTEGER NOT NULL DEFAULT 0 CHECK (edited IN (0, 1)),
    -- The permanent key: its HMAC-SHA256 to look it up, and itself sealed, to show its owner.
    key_hash      BLOB    NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    key_sealed    BLOB    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;
