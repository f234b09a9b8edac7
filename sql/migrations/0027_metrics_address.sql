-- Where a process shows its metrics, as host:port, for who collects them (ADR 0045). NULL: nowhere, or a program of the
-- release before.
ALTER TABLE process ADD COLUMN metrics text;
