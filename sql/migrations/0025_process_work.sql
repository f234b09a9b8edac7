-- What a process has done since its start and has in hand, as it shows it with its sign of life. Programs of the release
-- before show nothing of it: they have done nothing that is known.
ALTER TABLE process
    ADD COLUMN queue text,
    ADD COLUMN program text NOT NULL DEFAULT '',
    ADD COLUMN handled bigint NOT NULL DEFAULT 0,
    ADD COLUMN batches bigint NOT NULL DEFAULT 0,
    ADD COLUMN buried bigint NOT NULL DEFAULT 0,
    ADD COLUMN put_off bigint NOT NULL DEFAULT 0,
    ADD COLUMN per_s real NOT NULL DEFAULT 0,
    ADD COLUMN in_hand integer NOT NULL DEFAULT 0,
    ADD COLUMN in_hand_since timestamptz,
    ADD COLUMN handled_at timestamptz,
    ADD COLUMN is_paused boolean NOT NULL DEFAULT false;
