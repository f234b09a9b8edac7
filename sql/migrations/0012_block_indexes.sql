-- Indexes of live jobs and of blocks: who writes these waits for as long as they are built. Jobs first, for who writes
-- blocks has jobs in hand.
CREATE INDEX job_user ON job (user_name);

-- What the DDM was asked to close or to delete, and what it will be asked to delete.
CREATE INDEX data_block_asked ON data_block (asked_at) WHERE status IN ('tobeclosed', 'cleanup');
CREATE INDEX data_block_completed ON data_block (closed_at) WHERE status = 'completed';

-- Whether anything is to come of a destination block: its sub blocks that still take files.
CREATE INDEX data_block_open_child ON data_block (parent)
    WHERE parent <> '' AND status IN ('open', 'defined', 'running');

CREATE INDEX data_block_taking ON data_block (block_id) WHERE status IN ('open', 'defined', 'running');

-- Last, for these keep readers waiting, for a moment.
DROP INDEX data_block_open;
ALTER INDEX data_block_taking RENAME TO data_block_open;
DROP INDEX job_archive_task;
ALTER INDEX job_archive_task_ended RENAME TO job_archive_task;
