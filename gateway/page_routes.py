"""Pages: the OpenAPI document and its reader from packaged files, and one page that shows the counts."""

import html
from collections import Counter
from functools import lru_cache
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.answers import json_response
from gateway.context import Gateway
from gateway.refusal import NotFoundError
from gateway.route import Call
from panda_fsm.states import State

_SAFE = {"Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"}
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>panda-fsm API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png">
</head><body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});'
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>panda-fsm</title>
<style>body{{font:16px sans-serif;margin:2rem auto;max-width:40rem}}td{{padding:.2rem 1rem .2rem 0}}
td+td{{text-align:right;font-variant-numeric:tabular-nums}}</style></head>
<body><h1>panda-fsm</h1><table>{rows}</table>
<p><a href="/docs">API</a> · <a href="/readyz?verbose">ready?</a></p></body></html>"""


async def docs(_gateway: Gateway, _call: Call, _ask: None) -> Response:
    """The reader of the API document."""
    return HTMLResponse(_DOCS, headers=_SAFE)


async def docs_asset(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """A script, style or icon of the reader, from the installed package."""
    name = str(call.request.path_params["name"])
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _assets():
        raise NotFoundError(f"no asset {name!r:.80}")
    return FileResponse(Path(swagger_ui_path) / name)


@lru_cache(maxsize=1)
def _assets() -> frozenset[str]:
    return frozenset(path.name for path in Path(swagger_ui_path).iterdir() if path.is_file())


async def status_page(gateway: Gateway, _call: Call, _ask: None) -> Response:
    """Jobs per state."""
    jobs: Counter[str] = Counter()
    for state, _site, count in await gateway.store.job_counts():
        jobs[state] += count
    rows = "".join(f"<tr><td>{html.escape(state)}</td><td>{jobs[state]}</td></tr>" for state in State)
    return HTMLResponse(_PAGE.format(rows=rows), headers=_SAFE)


async def openapi(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """The API document, made from the route table at start."""
    return json_response(call.request.app.state.openapi)
