"""JEDI's exchanges and queues in the AsyncAPI document: from the topology, and the models of JEDI's door."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from broker.policies import policies
from broker.topology import Exchange, Queue
from command.engine_channels import Part, operation, queued, routed
from command.schemas import Spoken
from command.settings import Settings
from jedi.document import TOLD, conversations, described, said
from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.status_queues import REPLIES, STATUS, replies_queue, status_queue

PREFIX = "jedi"
VO = "VO"
"""Stands for any."""
_SHARDS = Settings.model_fields["jedi_shards"].default
_STATUS_QUEUE = f"{STATUS}.{{vo}}.{{shard}}"
_REPLIES_QUEUE = f"{REPLIES}.{{vo}}"
_PLACES: Mapping[str, str] = {
    "vo": "the VO of the jobs; what is no letter, digit, - or _ in its name is _",
    "taskid": "JEDI's task; 0 where there is none",
    "status": "the job's; where it is about no job, the message's name",
    "shard": f"crc32 of the task's id in decimal digits, modulo PANDA_FSM_JEDI_SHARDS ({_SHARDS} unless set)",
}


def spoken() -> dict[str, Spoken]:
    """The messages between JEDI and us by their names in the document."""
    found = [
        Spoken(_request(request), described(request), is_ours=False, told_by="msg_id") for request in conversations()
    ]
    replies = dict.fromkeys(conversations().values())
    found += [Spoken(_reply(reply), described(reply), is_ours=True, told_by="in_reply_to") for reply in replies]
    found += [Spoken(_told(model), model, is_ours=True) for model in TOLD]
    return {one.name: one for one in found}


def channels(exchanges: Mapping[str, Exchange], queues: Mapping[str, Queue]) -> Iterator[tuple[str, Part]]:
    """Where JEDI writes, where it is answered and told, and where others can listen."""
    requests, told = [*map(_request, conversations())], [*map(_told, TOLD)]
    replies = [*dict.fromkeys(map(_reply, conversations().values()))]
    yield JEDI_REQUESTS, _channel(
        JEDI_REQUESTS, "JEDI writes to this exchange, plain or gzip. STOMP: /exchange/jedi.requests/jedi.requests.",
        requests, routed(exchanges[JEDI_REQUESTS]),
    )  # fmt: skip
    yield f"queue.{JEDI_REQUESTS}", _channel(
        JEDI_REQUESTS, "Read by us alone: one request after the other.", requests, queued(queues[JEDI_REQUESTS])
    )  # fmt: skip
    yield STATUS, _channel(
        "{vo}.{taskid}.{status}", "Others can bind a queue of their own here, to hear of some jobs.",
        told, routed(exchanges[STATUS]),
    )  # fmt: skip
    yield f"queue.{STATUS}", _channel(
        _STATUS_QUEUE, "All about a task is in one of these, in order; one consumer at a time gets it.",
        told, _of_any_vo(queues[status_queue(VO, 0)], _STATUS_QUEUE),
    )  # fmt: skip
    yield f"queue.{REPLIES}", _channel(
        _REPLIES_QUEUE, "There for the replies to requests that name it in reply_to.",
        replies, _of_any_vo(queues[replies_queue(VO)], _REPLIES_QUEUE),
    )  # fmt: skip


def operations() -> Iterator[tuple[str, Part]]:
    """Each request with its reply, and what is told unasked."""
    for request, reply in conversations().items():
        received = operation("receive", JEDI_REQUESTS, [_request(request)])
        answer = operation("send", f"queue.{REPLIES}", [_reply(reply)])
        del answer["action"]
        yield _request(request), received | {"reply": {"address": {"location": "$message.payload#/reply_to"}} | answer}
    how = {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}
    for model in TOLD:
        yield _told(model), operation("send", STATUS, [_told(model)]) | {"bindings": {"amqp": how}}


def _channel(address: str, description: str, messages: list[str], bindings: Part) -> Part:
    found: Part = {"address": address, "description": description}
    found["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    places = {name: {"description": what} for name, what in _PLACES.items() if f"{{{name}}}" in address}
    return found | ({"parameters": places} if places else {}) | {"bindings": bindings}


def _of_any_vo(queue: Queue, name: str) -> Part:
    """A queue that may not be read for long, with the policy that bounds it; what has its name has that of any VO."""
    of_one = queued(queue)["amqp"]
    (policy,) = (one for one in policies() if re.search(one.pattern, queue.name))
    of_one["queue"]["name"] = name
    bound = [
        {"exchange": exchange.replace(queue.name, name), "key": key.replace(queue.name, name)}
        for exchange, key in sorted(queue.bindings)
    ]
    return {"amqp": of_one | {"x-bindings": bound, "x-policy": dict(policy.definition)}}


def _request(model: Any) -> str:
    return f"{PREFIX}.{said(model)}"


def _reply(model: Any) -> str:
    return f"{PREFIX}.{said(model) or 'task_reply'}"


def _told(model: Any) -> str:
    """Of the two forms of job_status the final one has a name of its own."""
    return f"{PREFIX}.{said(model)}{'.final' if 'final' in model.model_fields else ''}"
