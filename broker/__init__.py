"""RabbitMQ: the only folder that imports pika."""

import logging

# pika tells each loss of a connection eight times over, and not whose it was. We say it once, with the reason.
logging.getLogger("pika").setLevel(logging.CRITICAL)
