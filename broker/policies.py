"""What is tuned on the broker: policies, which an operator may change, for an argument of a queue he never can."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from broker.connection import parameters
from broker.topology import queues
from panda_fsm.status_queues import REPLIES, STATUS

MOST_MESSAGES = 500_000
"""That wait in one queue for a JEDI that does not come: more than a day of a busy task, below half a gigabyte."""


class Policy(NamedTuple):
    """A policy for the queues whose names match the pattern."""

    name: str
    pattern: str
    definition: Mapping[str, object]


def policies() -> Sequence[Policy]:
    """All there are. RabbitMQ applies one of them to a queue, so no two patterns match the same."""
    ours = "|".join(re.escape(one.name) for one in queues())
    # RabbitMQ 4 gives a message up after 20 deliveries, and each crash of a process is one for all it held; our own
    # limit (`panda_fsm.trouble.KILLER_AFTER`) finds the guilty one.
    lasting = {"delivery-limit": 200}
    # The oldest go first, which `replay` tells again, and nobody who publishes waits or is refused.
    bounded = {"max-length": MOST_MESSAGES, "max-length-bytes": 512 * 1024 * 1024, "overflow": "drop-head"}
    return (
        Policy("panda-fsm", f"^({ours})$", lasting),
        Policy("panda-fsm-jedi", rf"^({re.escape(STATUS)}|{re.escape(REPLIES)})\..+$", lasting | bounded),
    )


def commands(broker_url: str | None = None) -> list[list[str]]:
    """The arguments of `rabbitmqctl` that set them, for the virtual host of the address."""
    where = ["-p", parameters(broker_url, "policies").virtual_host] if broker_url else []
    return [
        ["set_policy", *where, "--apply-to", "queues", one.name, one.pattern, json.dumps(one.definition)]
        for one in policies()
    ]
