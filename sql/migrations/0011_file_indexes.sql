-- Indexes of files of live jobs: who writes files waits for as long as they are built, and nobody for anything else.

-- Readers and writers pass.
ALTER TABLE data_block VALIDATE CONSTRAINT data_block_status_check;

-- Outputs that are to come and in no block yet: while there is one, its destination block does not close.
CREATE INDEX job_file_homeless ON job_file (destination_block)
    WHERE status = 'unknown' AND block_id IS NULL AND destination_block <> '';

-- What the jobs of a task made to be merged: the job that does it finds it by name.
CREATE INDEX job_file_unmerged ON job_file (lfn) WHERE place_token = 'TOMERGE';
