-- Gateways tell with each sign how busy they are, so that a page can show the headroom of all of them.
ALTER TABLE process ADD COLUMN busy real;
