"""The AsyncAPI document: every queue, exchange and message that crosses the broker, from topology and models."""

from typing import Any

from broker.topology import EXCHANGES, queues
from command import engine_channels, jedi_channels
from command.engine_channels import Part
from command.schemas import Spoken, parts, whole
from panda_fsm.bindings import jedi_bindings

_ABOUT = """What crosses the broker between panda-fsm and JEDI, and between the services of panda-fsm.

The application is panda-fsm: it receives what JEDI sends to the exchange jedi.requests, and sends the rest. How JEDI
connects, and an example of each message: docs/jedi.md. JSON schemas of single messages: docs/schemas.
What has nothing to do with JEDI is for those who watch jobs: messages of the exchanges panda.requests and panda.events
get further fields at any time."""


def document() -> dict[str, Any]:
    """The whole document."""
    exchanges = {one.name: one for one in EXCHANGES}
    every = {queue.name: queue for queue in queues(jedi_bindings([jedi_channels.VO], 1))}
    channels = dict(jedi_channels.channels(exchanges, every)) | dict(engine_channels.channels(exchanges, every))
    messages, schemas = _components()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "panda-fsm over the broker", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": channels,
        "operations": dict(jedi_channels.operations()) | dict(engine_channels.operations()),
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {"user": {"type": "userPassword", "description": "a user of the broker"}},
        },
    }


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each message by its name."""
    return {name: whole(one) for name, one in (jedi_channels.spoken() | engine_channels.spoken()).items()}


def _components() -> tuple[Part, Part]:
    """All messages and all schemas by name."""
    messages: Part = {}
    schemas: Part = {}
    for room in (jedi_channels, engine_channels):
        spoken = room.spoken()
        payloads, found = parts(spoken.values(), room.PREFIX)
        schemas |= found
        messages |= {name: _message(one, payloads[name]) for name, one in spoken.items()}
    return dict(sorted(messages.items())), schemas


def _message(spoken: Spoken, payload: Part) -> Part:
    summary, _, rest = " ".join((spoken.model.__doc__ or "").split()).partition(". ")
    found: Part = {"name": spoken.name, "summary": summary.removesuffix(".")}
    if rest:
        found["description"] = rest
    if spoken.told_by is not None:
        found["correlationId"] = {"location": f"$message.payload#/{spoken.told_by}"}
    return found | {"contentType": "application/json", "payload": payload}


def _servers() -> Part:
    of_all = {
        "host": "{host}",
        "variables": {"host": {"description": "of the broker, and its port", "default": "127.0.0.1"}},
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }
    return {
        "amqp": {"protocol": "amqp", "protocolVersion": "0.9.1", **of_all},
        "stomp": {"protocol": "stomp", "protocolVersion": "1.2", **of_all},
    }
