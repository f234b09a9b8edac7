"""The OpenAPI document and its reader, from packaged files."""

from functools import lru_cache
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.context import Gateway
from gateway.http.answers import File, json_response
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call

_HERE = Path(__file__).parent
_AS_IT_IS = {"X-Content-Type-Options": "nosniff"}
_SAFE = _AS_IT_IS | {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
}
"""Nothing of others in our pages, and none of ours in pages of others, where a click could be stolen."""


async def docs(_gateway: Gateway, _call: Call, _ask: None) -> Response:
    """The reader of the API document."""
    return HTMLResponse(_text("docs.html"), headers=_SAFE)


async def docs_asset(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """A script, style or icon of the reader, from the installed package."""
    name = str(call.request.path_params["name"])
    if name == "start.js":
        return File(_HERE / name, headers=_AS_IT_IS)
    if name not in _assets():
        raise NotFoundError(f"no asset {name!r:.80}")
    return File(Path(swagger_ui_path) / name, headers=_AS_IT_IS)


async def openapi(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """The API document, made from the route table at start."""
    return json_response(call.request.app.state.openapi)


@lru_cache(maxsize=8)
def _text(name: str) -> str:
    """A file of this folder."""
    return (_HERE / name).read_text()


@lru_cache(maxsize=1)
def _assets() -> frozenset[str]:
    return frozenset(path.name for path in Path(swagger_ui_path).iterdir() if path.is_file())
