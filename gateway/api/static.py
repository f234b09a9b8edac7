"""Files that pilots read: queue descriptions, storage endpoints, transformations."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import File
from gateway.http.documents import Document
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.sites import Queue, SitesNow, Storage

_SUFFIX, _ALL, _STORAGES = ".all.json", "all.json", "ddmendpoints.json"
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")


async def queue_description(gateway: Gateway, call: Call, _ask: None) -> Response:
    """A queue as pilots know it, with the status that it has now; `all.json` has all of them by name."""
    name, sites, now = str(call.request.path_params["name"]), gateway.sites, datetime.now(UTC)
    if name == _ALL:
        document = await gateway.documents.get(_ALL, sites.queues, lambda: _all_described(sites, now))
        return document.answer(call.request)
    queue = sites.queues.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
    if queue is None:
        raise NotFoundError(f"no queue description {name!r:.80}")
    return Document.of(_described(sites, queue, now)).answer(call.request)


def _all_described(sites: SitesNow, now: datetime) -> dict[str, Any]:
    return {name: _described(sites, queue, now) for name, queue in sites.queues.items()}


def _described(sites: SitesNow, queue: Queue, now: datetime) -> dict[str, Any]:
    return {**queue.queuedata, "status": queue.status_at(now, sites.downtimes_of(queue))}


async def storage_endpoints(gateway: Gateway, call: Call, _ask: None) -> Response:
    """All storages, as pilots know them."""
    storages = gateway.sites.storages
    document = await gateway.documents.get(_STORAGES, storages, lambda: _endpoints(storages))
    return document.answer(call.request)


def _endpoints(storages: Mapping[str, Storage]) -> dict[str, Any]:
    """Those that no source describes to pilots are described by their path here."""
    numbered = enumerate(storages.items(), 1)
    return {name: storage.storagedata or _endpoint(number, name, storage) for number, (name, storage) in numbered}


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
