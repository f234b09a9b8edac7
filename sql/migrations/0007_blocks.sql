-- What the rules of data blocks and of merging read of a job and of its files, and the whole life of a block. Programs
-- of before know none of it: they write jobs without these values, and blocks that are open or closed.
-- Each table is locked for all others here: nothing that takes time. Indexes are 0011 and 0012. The order is that in
-- which programs take the tables.

ALTER TABLE job
    ADD COLUMN processing_type text NOT NULL DEFAULT '',
    ADD COLUMN special_handling text NOT NULL DEFAULT '',
    ADD COLUMN transfer_type text NOT NULL DEFAULT '',
    ADD COLUMN is_jedis boolean NOT NULL DEFAULT false;

-- `closes`: whether a destination block closes once nothing of it is to come. `number_files` is counted when it closes.
-- The rows that there are keep the constraint; that is looked at in 0011.
ALTER TABLE data_block
    DROP CONSTRAINT data_block_status_check,
    ADD CONSTRAINT data_block_status_check CHECK (status IN (
        'open', 'defined', 'running', 'tobeclosed', 'closed', 'completed', 'cleanup', 'deleted')) NOT VALID,
    ADD COLUMN closes boolean NOT NULL DEFAULT false,
    ADD COLUMN number_files integer,
    ADD COLUMN asked_at timestamptz;

-- The token of the place that a file is for: destinationDBlockToken of an output, dispatchDBlockToken of an input.
ALTER TABLE job_file ADD COLUMN place_token text NOT NULL DEFAULT '';

-- A job waits before it begins for one that makes what it reads, and before it ends for one that merges what it made.
ALTER TABLE job_upstream ADD COLUMN merges boolean NOT NULL DEFAULT false;

ALTER TABLE job_archive
    ADD COLUMN processing_type text NOT NULL DEFAULT '',
    ADD COLUMN special_handling text NOT NULL DEFAULT '',
    ADD COLUMN transfer_type text NOT NULL DEFAULT '',
    ADD COLUMN is_jedis boolean NOT NULL DEFAULT false;
ALTER TABLE job_file_archive ADD COLUMN place_token text NOT NULL DEFAULT '';
