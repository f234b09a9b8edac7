"""The sandbox cache: upload once, ask whether it is here, read back."""

import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from gateway.context import Gateway
from gateway.http.answers import failure, success
from gateway.http.refusal import NotFoundError, RefusalError
from gateway.http.route import Call
from gateway.wire.user_requests import CacheContent
from gateway.work.upload import Upload, safe_name
from panda_fsm.descriptions import CacheFile

_PORT = re.compile(r":\d+$")


class NameTakenError(RefusalError):
    """Somebody else has a file of this name."""

    status = 409


async def upload_cache_file(gateway: Gateway, call: Call, _ask: None) -> Response:
    """Keep a file under its base name; a name belongs to whoever came first."""
    folder = gateway.config.cache_dir
    await run_in_threadpool(lambda: folder.mkdir(parents=True, exist_ok=True))
    with Upload(folder, call.request.headers.get("content-type", "")) as upload:
        await upload.receive(call.request.stream())
        file = CacheFile(upload.name, call.identity.key, upload.size, upload.checksum)
        place = folder / file.name
        kept = await gateway.store.registers.add_cache_file(file)
        if kept.owner == file.owner:
            upload.keep(place)
        elif not await run_in_threadpool(upload.equals, place):
            raise NameTakenError(f"file: {file.name} belongs to somebody else; please use another name")
    return success()


async def validate_cache_file(gateway: Gateway, call: Call, ask: CacheContent) -> Response:
    """`FOUND:<host>:<name>` when a file with this content is here."""
    known = await gateway.store.registers.cache_file_with(ask.file_size, ask.checksum)
    if known is None or not await _is_file(gateway.config.cache_dir / known.name):
        return failure("not found: please upload")
    host = _PORT.sub("", call.request.headers.get("host", ""))  # the client adds the port itself
    return success(message=f"FOUND:{host}:{known.name}")


async def cached_file(gateway: Gateway, call: Call, _ask: None) -> Response:
    """The bytes of an uploaded file."""
    name = str(call.request.path_params["name"])
    path = gateway.config.cache_dir / safe_name(name)
    if "/" in name or not await _is_file(path):
        raise NotFoundError(f"no file {name!r:.80}")
    return FileResponse(path, media_type="application/octet-stream")


async def _is_file(path: Path) -> bool:
    return await run_in_threadpool(path.is_file)
