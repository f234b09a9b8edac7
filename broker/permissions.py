"""Who may do what on the broker: three users, by role."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from broker.connection import parameters
from broker.topology import EXCHANGES, queues
from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.status_queues import REPLIES, STATUS

SERVER, JEDI, OPERATOR = "server", "jedi", "operator"
_NOTHING = "^$"
_OF_JEDI = rf"({re.escape(STATUS)}|{re.escape(REPLIES)})\..+"


class Permission(NamedTuple):
    """Names of exchanges and queues that a user may make and delete, write to, and read."""

    configure: str
    write: str
    read: str


def permissions() -> Mapping[str, Permission]:
    """By role. Who may write to the default exchange may write into every queue: JEDI may not."""
    names = sorted({one.name for one in EXCHANGES} | {one.name for one in queues()})
    ours = f"^({'|'.join(map(re.escape, names))}|{_OF_JEDI}|{re.escape('amq.default')})$"
    return {
        SERVER: Permission(ours, ours, ours),
        JEDI: Permission(_NOTHING, f"^{re.escape(JEDI_REQUESTS)}$", f"^{_OF_JEDI}$"),
        OPERATOR: Permission(_NOTHING, _NOTHING, ".*"),
    }


def commands(broker_url: str | None = None) -> list[list[str]]:
    """The arguments of `rabbitmqctl` that set them, for the virtual host of the address."""
    where = ["-p", parameters(broker_url, "permissions").virtual_host] if broker_url else []
    return [["set_permissions", *where, user, *may] for user, may in permissions().items()]
