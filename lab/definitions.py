"""What the private broker knows before anybody can connect: users, what each may do, JEDI's exchanges and queues."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from broker.permissions import JEDI, OPERATOR, Permission, permissions
from broker.policies import policies
from broker.topology import Exchange, Queue, exchanges, queues
from lab.site import VO
from panda_fsm.bindings import DEAD, DEAD_LETTERS, EVERYTHING, JEDI_REQUESTS, jedi_bindings

SHARDS = 4
LAB = "panda"
"""The laboratory's own user: its services, and tests that do what no service may."""
_ALL = Permission(".*", ".*", ".*")
_VHOST = "/"
# What JEDI writes to and reads, and where it goes when a queue is gone. All else is declared by our services.
_JEDIS = jedi_bindings([VO], SHARDS)
_EXCHANGES = {JEDI_REQUESTS, DEAD, *(one.exchange for one in _JEDIS)}
_QUEUES = {JEDI_REQUESTS, DEAD_LETTERS, *(one.queue for one in _JEDIS)}


def users() -> Mapping[str, Permission]:
    """What each user may do."""
    by_role = permissions()
    return {LAB: _ALL, JEDI: by_role[JEDI], OPERATOR: by_role[OPERATOR]}


def definitions(passwords: Mapping[str, str]) -> str:
    """A file for `load_definitions`; of exchanges and queues, what is there already stays as it is."""
    may = [{"user": name, "vhost": _VHOST, **permission._asdict()} for name, permission in users().items()]
    found = {
        "users": [_user(name, password) for name, password in passwords.items()],
        "vhosts": [{"name": _VHOST}],
        "permissions": may,
        "policies": [{**one._asdict(), "vhost": _VHOST, "apply-to": "queues", "priority": 0} for one in policies()],
        "exchanges": [
            {**_durable(one.name, dict(one.arguments)), "type": one.type, "internal": False} for one in _exchanges()
        ],
        "queues": [_durable(one.name, dict(one.arguments)) for one in _queues()],
        "bindings": list(_bindings()),
    }
    return json.dumps(found)


def _user(name: str, password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"] if name == LAB else [],
    }


def _exchanges() -> Iterator[Exchange]:
    return (one for one in exchanges(_JEDIS) if one.name in _EXCHANGES)


def _queues() -> Iterator[Queue]:
    return (one for one in queues(_JEDIS) if one.name in _QUEUES)


def _durable(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "vhost": _VHOST, "durable": True, "auto_delete": False, "arguments": arguments}


def _bindings() -> Iterator[dict[str, Any]]:
    for exchange in _exchanges():
        if exchange.hands_on_to is not None:
            yield _binding(exchange.name, exchange.hands_on_to, "exchange", EVERYTHING)
    for queue in _queues():
        for source, key in queue.bindings:
            yield _binding(source, queue.name, "queue", key)


def _binding(source: str, to: str, kind: str, key: str) -> dict[str, Any]:
    ends = {"source": source, "destination": to, "destination_type": kind}
    return {"vhost": _VHOST, **ends, "routing_key": key, "arguments": {}}
