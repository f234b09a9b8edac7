"""How a message is handled: batches, trouble, the outbox. The only place where order matters."""
