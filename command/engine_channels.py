"""The engine's exchanges and queues in the AsyncAPI document: from the topology, and which message has which key."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from broker.topology import Exchange, Queue
from command.schemas import Spoken
from panda_fsm import delays, messages
from panda_fsm.bindings import DEAD, DEAD_LETTERS, bindings, exchange_of
from panda_fsm.jobs.states import State
from panda_fsm.messages import Message
from panda_fsm.messages.pilots import ReportState

Part = dict[str, Any]
PREFIX = "panda"
KEYS: Mapping[str, type[Message]] = {
    "submit": messages.SubmitJobs,
    "release": messages.ReleaseJobs,
    "reassign": messages.ReassignJob,
    "throttle": messages.ThrottleJobs,
    "unthrottle": messages.ThrottleJobs,
    "priority": messages.SetPriority,
    "share": messages.SetShare,
    "kill": messages.KillJob,
    "tell": messages.TellPilot,
    "pause": messages.SetPause,
    "hold": messages.HoldTask,
    "report.{report}": messages.PilotReport,
    "heartbeat": messages.PilotReport,
    "large.report": messages.PilotReport,
    "deadline": messages.DeadlinePassed,
    "ddm.arrived.{kind}": messages.FilesArrived,
    "ddm.failed.{kind}": messages.FilesFailed,
    "job.{state}": messages.JobEvent,
    "job.outputs_added": messages.OutputsAdded,
    "block.requested": messages.TransferRequested,
    "block.check": messages.CheckBlock,
    "block.settle": messages.SettleBlock,
    "block.closed": messages.BlockClosed,
}
"""The messages by their routing keys."""
_PLACES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "report": ("how the job is, as its pilot says", get_args(ReportState)),
    "kind": ("of the data block", ("dispatch", "sub")),
    "state": ("which the job is in now", tuple(State)),
}
_PLACE = re.compile(r"\{(\w+)\}")
_OF_ANY_KEY = {DEAD: "as it was published first"} | dict.fromkeys(
    map(delays.exchange, delays.SECONDS), "the queue that it comes back to"
)
_WHY_DEAD = "What the broker or a service gave up on, as it was sent, with the reason in its headers."
_WHY_DELAYED = "Holds what must wait for a while, then hands it to the queue that its routing key names."


def spoken() -> dict[str, Spoken]:
    """The engine's messages by their names in the document."""
    found = (Spoken(_named(model), model, is_ours=True) for model in KEYS.values())
    return {one.name: one for one in found}


def channels(exchanges: Mapping[str, Exchange], queues: Mapping[str, Queue]) -> Iterator[tuple[str, Part]]:
    """A channel for each routing key, for each exchange that takes any key, and for each queue but JEDI's."""
    for key, model in KEYS.items():
        places = {name: _PLACES[name] for name in _PLACE.findall(key)}
        channel: Part = {"address": key, "messages": _messages([model])}
        if places:
            channel["parameters"] = {
                name: {"description": what, "enum": list(of)} for name, (what, of) in places.items()
            }
        yield channel_id(key), channel | {"bindings": routed(exchanges[model.exchange])}
    for name, what in _OF_ANY_KEY.items():
        anything = {"address": "{key}", "messages": {}, "parameters": {"key": {"description": what}}}
        yield name, anything | {"bindings": routed(exchanges[name])}
    for name, queue in queues.items():
        if not name.startswith("jedi."):
            yield f"queue.{name}", {"address": name, **_about(name), "bindings": queued(queue)}


def operations() -> Iterator[tuple[str, Part]]:
    """All keys are written to by us, all queues read by us; whoever else listens binds a queue of its own."""
    for key, model in KEYS.items():
        yield f"send.{channel_id(key)}", operation("send", channel_id(key), [_named(model)])
    for queue, keys in sorted(bindings().items()):
        names = {_named(model_of(key)) for key in keys}
        yield f"receive.{queue}", operation("receive", f"queue.{queue}", sorted(names))


def model_of(key: str) -> type[Message]:
    """The message that a routing key is for."""
    return KEYS[_template_of(key)]


def channel_id(key: str) -> str:
    """The name of a key's channel."""
    return f"{exchange_of(key)}.{_PLACE.sub('', key).strip('.')}"


def operation(action: str, channel: str, messages: list[str]) -> Part:
    """Some messages of a channel are sent or received."""
    where = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": where},
        "messages": [{"$ref": f"{where}/messages/{name}"} for name in messages],
    }


def routed(exchange: Exchange) -> Part:
    """What is published to an exchange."""
    durable = {"name": exchange.name, "type": exchange.type, "durable": True, "autoDelete": False}
    found: Part = {"is": "routingKey", "exchange": durable, "bindingVersion": "0.3.0"}
    return {"amqp": found | ({"x-arguments": dict(exchange.arguments)} if exchange.arguments else {})}


def queued(queue: Queue) -> Part:
    """What is read from a queue, and what is routed to it."""
    durable = {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False}
    found: Part = {"is": "queue", "queue": durable, "bindingVersion": "0.3.0"}
    bound = [{"exchange": exchange, "key": key} for exchange, key in sorted(queue.bindings)]
    return {"amqp": found | {"x-arguments": dict(queue.arguments), "x-bindings": bound}}


def _about(queue: str) -> Part:
    keys = bindings().get(queue)
    if keys is None:
        return {"description": _WHY_DEAD if queue == DEAD_LETTERS else _WHY_DELAYED, "messages": {}}
    return {"messages": _messages([model_of(key) for key in sorted(keys)])}


def _messages(models: list[type[Message]]) -> Part:
    names = dict.fromkeys(_named(model) for model in models)
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _template_of(key: str) -> str:
    return key if key in KEYS else next(one for one in KEYS if _fits(key, one))


def _fits(key: str, template: str) -> bool:
    pattern = _PLACE.sub(lambda place: f"({'|'.join(_PLACES[place[1]][1])})", template.replace(".", r"\."))
    return re.fullmatch(pattern, key) is not None


def _named(model: type[Message]) -> str:
    return f"{PREFIX}.{model.model_fields['msg_type'].default}"
