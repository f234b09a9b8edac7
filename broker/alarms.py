"""Whether the broker takes what is published: with an alarm of its memory or disk it blocks whoever publishes."""

from typing import Any

import pika
from pika.exceptions import AMQPError, ConnectionBlockedTimeout

from broker.connection import parameters
from broker.reasons import reason_of
from panda_fsm.errors import TransientError

_NOWHERE = "panda-fsm.nowhere"
"""No queue has this name: what is sent there is dropped."""
_LISTEN_S = 0.5
_LEAVE_S = 1.0
"""A blocked connection is not read from, so it cannot be closed as others are: it is left."""


def blocked_because(broker_url: str) -> str | None:
    """The broker's reason; None: it takes messages. It tells only who publishes, so a message goes to nobody.

    Raises TransientError when it is away.
    """
    reasons: list[str] = []

    def note(_connection: Any, frame: Any) -> None:
        reasons.append(frame.method.reason)

    asked = parameters(broker_url, "doctor")
    asked.blocked_connection_timeout = _LEAVE_S
    try:
        connection = pika.BlockingConnection(asked)
        connection.add_on_connection_blocked_callback(note)
        connection.channel().basic_publish("", _NOWHERE, b"")
        connection.process_data_events(_LISTEN_S)
        if not reasons:
            connection.close()
        while connection.is_open:
            connection.process_data_events(_LEAVE_S)
    except ConnectionBlockedTimeout:
        pass
    except (AMQPError, OSError) as error:
        raise TransientError(f"no message broker at PANDA_FSM_BROKER_URL: {reason_of(error)}") from error
    return reasons[0] if reasons else None
