-- Dead letters as people settle them: which letter one is a replay of, how often it was replayed before it died this
-- time, who settled it and why, and what was sent instead of it. Its payload never changes.
ALTER TABLE dead_letter
    ADD COLUMN replay_of bigint,
    ADD COLUMN times_replayed int NOT NULL DEFAULT 0,
    ADD COLUMN settled_by text,
    ADD COLUMN settle_reason text,
    ADD COLUMN edited bytea,
    ADD COLUMN edit_diff text;

-- Groups of letters that died alike, each found and counted by the index alone. Letters are few, and whoever buries one
-- waits for this no longer than for the columns.
CREATE INDEX dead_letter_groups ON dead_letter (status, fingerprint, at, dead_letter_id) INCLUDE (replay_of);
CREATE INDEX dead_letter_newest ON dead_letter (status, at, dead_letter_id);
CREATE INDEX dead_letter_replays ON dead_letter (replay_of) WHERE replay_of IS NOT NULL;
