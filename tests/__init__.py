"""The tests: unit (no service), integration (real PostgreSQL and RabbitMQ), e2e (the whole system)."""
