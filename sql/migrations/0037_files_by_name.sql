-- Files of live jobs are found by their names: of hashes, for names are long, and only the whole is asked for.
CREATE INDEX job_file_lfn ON job_file USING hash (lfn);
