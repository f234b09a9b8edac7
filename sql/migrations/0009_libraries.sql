-- Libraries are found by their names, whoever submitted the jobs that make and read them. While this is built, who writes
-- files of live jobs waits; those of the archive are 0014.

CREATE INDEX job_file_library ON job_file (lfn, type) WHERE right(lfn, 8) = '.lib.tgz';
