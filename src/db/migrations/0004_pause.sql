-- A pause outlives the process: the next one goes on showing the slate.

-- Milliseconds since 1970, UTC; null unless paused.
ALTER TABLE streams ADD COLUMN paused_at_ms INTEGER;
