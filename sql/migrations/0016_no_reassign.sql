-- Jobs that are to stay at their queues: programs of before do not say so of theirs, and end them as any other.
ALTER TABLE job ADD COLUMN no_reassign boolean NOT NULL DEFAULT false;
ALTER TABLE job_archive ADD COLUMN no_reassign boolean NOT NULL DEFAULT false;
