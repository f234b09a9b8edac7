-- Libraries of archived jobs, by their names (0009). While this is built the archive takes no jobs; nothing else waits.

CREATE INDEX job_file_archive_library ON job_file_archive (lfn) WHERE type = 'output' AND right(lfn, 8) = '.lib.tgz';
