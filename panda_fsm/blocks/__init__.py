"""A data block: its kinds, its statuses, the table of its transitions."""
