-- What the dispatch and the deadlines know of pilots and queues.

-- When a job last began to run at a queue, to the minute. Nothing is known of what was before: no queue is idle yet.
-- First of all, for it reads all jobs, and nothing is locked yet.
CREATE TABLE queue_start (
    site text PRIMARY KEY,
    started_at timestamptz NOT NULL
);
INSERT INTO queue_start (site, started_at) SELECT DISTINCT site, now() FROM job;

-- Jobs for the background: pilots that ask for it get no others. Programs of before know nothing of it; what they let wait
-- is found by all pilots but these.
ALTER TABLE job ADD COLUMN is_background boolean NOT NULL DEFAULT false;
ALTER TABLE job_archive ADD COLUMN is_background boolean NOT NULL DEFAULT false;
ALTER TABLE job_waiting ADD COLUMN is_background boolean NOT NULL DEFAULT false;
CREATE INDEX job_waiting_background ON job_waiting ((site || '/background'),
    label, resource_type, core_count, min_ram, max_walltime, max_disk, priority DESC, job_id) WHERE is_background;

-- Which outputs of a job the other one merges; of programs of before all.
ALTER TABLE job_upstream ADD COLUMN seqs smallint[];

-- Files of a destination block that are not to be found any more: of archived jobs in it, and of sub blocks forgotten.
ALTER TABLE data_block ADD COLUMN gone_files integer NOT NULL DEFAULT 0;
