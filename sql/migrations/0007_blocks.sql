-- What the rules of data blocks and of merging read of a job and of its files, and the whole life of a block. Programs of
-- before know none of it: they write jobs without these values, and blocks that are open or closed.

ALTER TABLE job
    ADD COLUMN processing_type text NOT NULL DEFAULT '',
    ADD COLUMN special_handling text NOT NULL DEFAULT '',
    ADD COLUMN transfer_type text NOT NULL DEFAULT '',
    ADD COLUMN is_jedis boolean NOT NULL DEFAULT false;
ALTER TABLE job_archive
    ADD COLUMN processing_type text NOT NULL DEFAULT '',
    ADD COLUMN special_handling text NOT NULL DEFAULT '',
    ADD COLUMN transfer_type text NOT NULL DEFAULT '',
    ADD COLUMN is_jedis boolean NOT NULL DEFAULT false;

-- The token of the place that a file is for: destinationDBlockToken of an output, dispatchDBlockToken of an input.
ALTER TABLE job_file ADD COLUMN place_token text NOT NULL DEFAULT '';
ALTER TABLE job_file_archive ADD COLUMN place_token text NOT NULL DEFAULT '';

-- `closes`: whether a destination block closes once nothing of it is to come. `number_files` is counted when it closes.
ALTER TABLE data_block
    DROP CONSTRAINT data_block_status_check,
    ADD CONSTRAINT data_block_status_check CHECK (status IN (
        'open', 'defined', 'running', 'tobeclosed', 'closed', 'completed', 'cleanup', 'deleted')),
    ADD COLUMN closes boolean NOT NULL DEFAULT false,
    ADD COLUMN number_files integer,
    ADD COLUMN asked_at timestamptz;
DROP INDEX data_block_open;
CREATE INDEX data_block_open ON data_block (block_id) WHERE status IN ('open', 'defined', 'running');

-- What the DDM was asked to close or to delete, and what it will be asked to delete.
CREATE INDEX data_block_asked ON data_block (asked_at) WHERE status IN ('tobeclosed', 'cleanup');
CREATE INDEX data_block_completed ON data_block (closed_at) WHERE status = 'completed';

-- Whether anything is to come of a destination block: its sub blocks that still take files.
CREATE INDEX data_block_open_child ON data_block (parent)
    WHERE parent <> '' AND status IN ('open', 'defined', 'running');

-- Outputs that are to come and in no block yet: while there is one, its destination block does not close.
CREATE INDEX job_file_homeless ON job_file (destination_block)
    WHERE status = 'unknown' AND block_id IS NULL AND destination_block <> '';

-- A job waits before it begins for one that makes what it reads, and before it ends for one that merges what it made.
ALTER TABLE job_upstream ADD COLUMN merges boolean NOT NULL DEFAULT false;

-- What the jobs of a task made to be merged: the job that does it finds it by name.
CREATE INDEX job_file_unmerged ON job_file (lfn) WHERE place_token = 'TOMERGE';
