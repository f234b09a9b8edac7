-- Libraries are found by their names, whoever submitted the jobs that make and read them.

CREATE INDEX job_file_library ON job_file (lfn, type) WHERE right(lfn, 8) = '.lib.tgz';

-- Last: while this is built the archive takes no jobs; nothing else waits.
CREATE INDEX job_file_archive_library ON job_file_archive (lfn) WHERE type = 'output' AND right(lfn, 8) = '.lib.tgz';
