"""Tests of parts against real, private PostgreSQL and RabbitMQ."""
