"""The rules: what a job and a block may do, what is said about them, what a service may answer. No I/O here."""
