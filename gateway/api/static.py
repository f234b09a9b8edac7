"""Files that pilots read: queue descriptions, storage endpoints, transformations."""

import re
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import File, json_response
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.sites import Storage

_SUFFIX = ".all.json"
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")


async def queue_description(gateway: Gateway, call: Call, _ask: None) -> Response:
    """A queue as pilots know it."""
    name = str(call.request.path_params["name"])
    queue = gateway.sites.queues.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
    if queue is None:
        raise NotFoundError(f"no queue description {name!r:.80}")
    return json_response(queue.queuedata)


async def storage_endpoints(gateway: Gateway, _call: Call, _ask: None) -> Response:
    """All storages that have a path here, as pilots know them."""
    storages = enumerate(gateway.sites.storages.items(), 1)
    return json_response({name: _endpoint(number, name, storage) for number, (name, storage) in storages})


def _endpoint(number: int, name: str, storage: Storage) -> dict[str, Any]:
    protocol = {"endpoint": "file://localhost", "flavour": "POSIX", "id": number, "path": str(storage.path or "")}
    activities = ("read_lan", "write_lan", "read_wan", "write_wan")
    return {
        "id": number,
        "name": name,
        "state": "ACTIVE",
        "site": storage.site,
        "type": "DATADISK",
        "token": "",
        "is_deterministic": True,
        "arprotocols": {activity: [protocol] for activity in activities} if storage.path else {},
        "rprotocols": {},
    }


async def transformation(gateway: Gateway, call: Call, _ask: None) -> Response:
    """A transformation script of this installation."""
    name = str(call.request.path_params["name"])
    folder = gateway.sites.transformations
    # One plain name only: nothing of a path can lead outside the folder.
    if folder is None or not _SCRIPT.fullmatch(name) or not await run_in_threadpool(Path(folder, name).is_file):
        raise NotFoundError(f"no transformation {name!r:.80}")
    return File(Path(folder, name), headers={"X-Content-Type-Options": "nosniff"}, media_type="text/plain")
