"""HTTP: turns what pilots and users ask into messages, and answers reads from the database."""
