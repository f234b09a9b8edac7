"""PostgreSQL: the only folder that imports psycopg."""
