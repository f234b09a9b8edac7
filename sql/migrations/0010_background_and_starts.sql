-- Jobs for the background: pilots that ask for it get no others. Programs of before know nothing of it; what they let wait
-- is found by all pilots but these.

ALTER TABLE job ADD COLUMN is_background boolean NOT NULL DEFAULT false;
ALTER TABLE job_archive ADD COLUMN is_background boolean NOT NULL DEFAULT false;
ALTER TABLE job_waiting ADD COLUMN is_background boolean NOT NULL DEFAULT false;
CREATE INDEX job_waiting_background ON job_waiting ((site || '/background'),
    label, resource_type, core_count, min_ram, max_walltime, max_disk, priority DESC, job_id) WHERE is_background;
