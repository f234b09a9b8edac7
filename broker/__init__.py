"""RabbitMQ: the only folder that imports pika."""
