"""The sandbox cache: upload once, ask whether it is here, read back."""

import re

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gateway.access import audit
from gateway.access.identity import Identity
from gateway.context import Gateway
from gateway.http.answers import File, failure, success
from gateway.http.bodies import check_announced
from gateway.http.refusal import NotFoundError, RefusalError
from gateway.http.route import MB, Call
from gateway.ports import CacheName
from gateway.wire.user_requests import CacheContent
from gateway.work.upload import MAX_BODY, Upload, safe_name
from panda_fsm.descriptions import CacheFile

_PORT = re.compile(r":\d+$")
_REPLACEABLE = ".__ow__"
"""A file whose name ends so may be replaced by its owner; all others stay what they are, for jobs refer to them."""
_AS_A_FILE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
"""Whatever somebody uploaded, no browser shows or runs it as ours."""


class NameTakenError(RefusalError):
    """Another file has this name."""

    status = 409


class QuotaError(RefusalError):
    """The owner has too much here already."""

    status = 413


async def upload_cache_file(gateway: Gateway, call: Call, _ask: None) -> Response:
    """Keep a file under its base name; a name belongs to whoever came first, and keeps its content."""
    with Upload(gateway.sandboxes, call.request.headers.get("content-type", "")) as upload:
        check_announced(call.request, MAX_BODY)
        await upload.receive(call.request.stream())
        file = CacheFile(upload.name, call.identity.key, upload.size, upload.checksum, upload.digest)
        async with gateway.store.registers.cache_name(file.name, file.owner) as name:
            await _take(gateway, call.identity, upload, file, name)
    return success()


async def _take(gateway: Gateway, identity: Identity, upload: Upload, file: CacheFile, name: CacheName) -> None:
    """Decide what becomes of the name, while nobody else does."""
    known = name.known
    has_size = await run_in_threadpool(gateway.sandboxes.size, file.name)
    if known is not None and known.owner == file.owner and has_size is None:
        known = None  # recorded, and lost since: the name is free for its owner
    if known is not None and has_size == file.size and await _is_same(gateway, file, known):
        # The owner's content came again; to others it is only lent.
        await (name.record(file) if known.owner == file.owner else name.renew())
        return
    _admit(file, known, name.used, gateway.config.sandbox_quota)
    await name.record(file, audit.uploaded(identity, file, name.known))
    await run_in_threadpool(upload.keep)


async def _is_same(gateway: Gateway, file: CacheFile, known: CacheFile) -> bool:
    """Whether the name stands for this very content already, and for ever."""
    if known.owner != file.owner and file.name.endswith(_REPLACEABLE):
        return False
    return (known.digest or await run_in_threadpool(gateway.sandboxes.digest, file.name)) == file.digest


def _admit(file: CacheFile, known: CacheFile | None, used: int, quota: int) -> None:
    """Raises NameTakenError or QuotaError."""
    if known is not None and known.owner != file.owner:
        raise NameTakenError(f"file: {file.name} belongs to somebody else; please use another name")
    if known is not None and not file.name.endswith(_REPLACEABLE):
        raise NameTakenError(
            f"cannot overwrite file: {file.name} is here with other content; please use another name,"
            f" or one that ends with {_REPLACEABLE}"
        )
    if used + file.size > quota:
        raise QuotaError(
            f"file: your sandboxes would take {_mb(used + file.size)} MB, more than the {_mb(quota)} MB that one user"
            " may have; those that nobody wants any more go by themselves after a while"
        )


def _mb(size: int) -> int:
    return -(-size // MB)


async def validate_cache_file(gateway: Gateway, call: Call, ask: CacheContent) -> Response:
    """`FOUND:<host>:<name>` when the caller has uploaded this content lately."""
    known = await gateway.store.registers.cache_file_with(call.identity.key, ask.file_size, ask.checksum)
    if known is None or await run_in_threadpool(gateway.sandboxes.size, known.name) != known.size:
        return failure("not found: please upload")
    host = _PORT.sub("", call.request.headers.get("host", ""))  # the client adds the port itself
    return success(message=f"FOUND:{host}:{known.name}")


async def cached_file(gateway: Gateway, call: Call, _ask: None) -> Response:
    """The bytes of an uploaded file."""
    name = str(call.request.path_params["name"])
    try:
        is_there = await run_in_threadpool(gateway.sandboxes.size, safe_name(name)) is not None
    except RefusalError:
        is_there = False
    if not is_there:
        raise NotFoundError(f"no file {name!r:.80}")
    return File(gateway.sandboxes.path(name), headers=_AS_A_FILE, media_type="application/octet-stream", filename=name)
