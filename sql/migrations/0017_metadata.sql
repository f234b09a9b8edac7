-- What a pilot says of its outputs at length before its last words: read back as long as those say nothing of it.
ALTER TABLE job_stdout ADD COLUMN metadata text;
