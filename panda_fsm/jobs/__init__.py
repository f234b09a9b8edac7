"""A job: its states, the table of its transitions, what is known of it, and the rules that decide about it."""
