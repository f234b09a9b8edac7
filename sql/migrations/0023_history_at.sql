-- The clock reads what is new in job_history by its time (ADR 0043). Rows are appended in the order of their times, so
-- their blocks need no more than a first and a last one: nearly nothing to keep up. Inherited by partitions to come.
CREATE INDEX job_history_at ON job_history USING brin (at) WITH (autosummarize = on);
