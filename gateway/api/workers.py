"""What pilots and Harvester tell of workers and machines, and the small questions pilots ask once."""

from dataclasses import astuple
from typing import Any

import orjson
from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import StatusCode, failure, json_response, success
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.pilot_requests import (
    AccessTokenRequest,
    Ask,
    WorkerNodeRequest,
    WorkerStatusRequest,
)
from panda_fsm.descriptions import Worker
from panda_fsm.resources import RESOURCE_TYPES
from panda_fsm.specs.values import MAX_BIGINT, printable

_MAX_DESCRIPTION = 16_384
_LONGEST_TEXT = 1024
_DEEPEST = 32
_LARGEST_FLOAT = 10**300
_WORKER_STATES = ("started", "finished")
_RESOURCE_FIELDS = ("resource_name", "mincore", "maxcore", "minrampercore", "maxrampercore")
_NO_RENEWAL = "this server renews no tokens"


async def worker_status_legacy(gateway: Gateway, call: Call, ask: WorkerStatusRequest) -> Response:
    """The old updateWorkerPilotStatus."""
    await _record_worker(gateway, ask)
    return json_response({"StatusCode": StatusCode.OK})


async def worker_status(gateway: Gateway, call: Call, ask: WorkerStatusRequest) -> Response:
    """The new update_worker_status."""
    await _record_worker(gateway, ask)
    return success()


async def _record_worker(gateway: Gateway, ask: WorkerStatusRequest) -> None:
    if not ask.worker_id or not ask.harvester_id:
        raise RefusalError("worker_id and harvester_id: both are needed")
    if ask.status not in _WORKER_STATES:
        raise RefusalError(f"status: must be one of {', '.join(_WORKER_STATES)}")
    await gateway.store.registers.record_worker(
        Worker(ask.harvester_id, ask.worker_id, ask.site or "", ask.node_id or "", ask.status)
    )


async def worker_node(gateway: Gateway, call: Call, ask: WorkerNodeRequest) -> Response:
    """A machine's description; the part about its GPU comes separately and is added to it."""
    extra = ask.model_extra or {}
    described = _cut({printable(str(name), 64): _storable(value) for name, value in extra.items()})
    await gateway.store.registers.record_worker_node(printable(ask.site, 128), printable(ask.host_name, 256), described)
    return success()


def _cut(described: dict[str, Any]) -> dict[str, Any]:
    """In the order in which it was told: a text that is too long is cut, what there is no room for is left out."""
    kept: dict[str, Any] = {}
    left = _MAX_DESCRIPTION
    for name, value in described.items():
        short = value[:_LONGEST_TEXT] if isinstance(value, str) else value
        left_then = left - len(orjson.dumps({name: short}))
        if left_then >= 0:
            kept[name], left = short, left_then
    return kept


def _storable(value: Any, depth: int = 0) -> Any:
    """JSON that everybody can write: no NUL, which the database refuses, no number of many digits, nothing deep."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_storable(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(one, depth + 1) for key, one in value.items()}
    if isinstance(value, int) and abs(value) > MAX_BIGINT:
        return f"{float(value):.17g}" if abs(value) < _LARGEST_FLOAT else None
    return value


async def resource_types_legacy(gateway: Gateway, call: Call, ask: Ask) -> Response:
    """A Python list as text: the pilot reads it by replacing quotes."""
    text = str([dict(zip(_RESOURCE_FIELDS, row, strict=True)) for row in map(astuple, RESOURCE_TYPES)])
    return json_response({"StatusCode": StatusCode.OK, "Returns": 0, "ResourceTypes": text})


async def resource_types(gateway: Gateway, call: Call, ask: Ask) -> Response:
    """The new form."""
    return success([dict(zip(_RESOURCE_FIELDS, row, strict=True)) for row in map(astuple, RESOURCE_TYPES)])


async def access_token_legacy(gateway: Gateway, call: Call, ask: AccessTokenRequest) -> Response:
    """Refused; the pilot reads this as Python, so it must hold none of JSON's true, false and null."""
    return json_response({"StatusCode": StatusCode.KEY_MISSING, "errorDialog": _NO_RENEWAL, "userProxy": ""})


async def access_token(gateway: Gateway, call: Call, ask: AccessTokenRequest) -> Response:
    """Refused."""
    return failure(_NO_RENEWAL)


async def proxy_legacy(gateway: Gateway, call: Call, ask: Ask) -> Response:
    """Refused: there are no proxies here."""
    return json_response({"StatusCode": StatusCode.NO_PROXY, "errorDialog": "this server hands out no proxies"})
