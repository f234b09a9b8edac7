"""Pages: the OpenAPI document and its reader from packaged files, and one page that shows the counts."""

import html
from collections import Counter
from functools import lru_cache
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.http.answers import json_response
from gateway.context import Gateway
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.jobs.states import FINAL, State

_SAFE = {"Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"}
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>panda-fsm API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png">
</head><body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});'
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2"><title>panda-fsm: {live} live jobs</title>
<style>:root{{color-scheme:light dark}}
body{{font:16px system-ui,sans-serif;margin:2rem auto;max-width:52rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{padding:.35rem 1rem .35rem 0;text-align:left;font-weight:400}}
td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}thead th{{opacity:.6}}tr.none{{opacity:.35}}
meter{{width:100%}}.sites{{font-size:.85rem;opacity:.7}}</style></head>
<body><h1>panda-fsm</h1><p>{live} live jobs, {final} at their end</p>
<table><thead><tr><th>state</th><th class="n">jobs</th><th style="width:50%"></th><th>queues</th></tr></thead>
{rows}</table><p><a href="/docs">API</a> · <a href="/readyz?verbose">ready?</a></p></body></html>"""
_SITES_SHOWN = 3


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
    """Jobs per state in the order of a job's life, and where they are."""
    jobs: dict[str, Counter[str]] = {state.value: Counter() for state in State}
    for state, site, count in await gateway.store.job_counts():
        jobs.setdefault(state, Counter())[site] += count
    totals = {state: sum(sites.values()) for state, sites in jobs.items()}
    rows = "".join(_row(state, totals[state], max(totals.values()), sites) for state, sites in jobs.items())
    final = sum(totals[state] for state in FINAL)
    page = _PAGE.format(rows=rows, live=sum(totals.values()) - final, final=final)
    return HTMLResponse(page, headers=_SAFE)


def _row(state: str, count: int, largest: int, sites: Counter[str]) -> str:
    places = ", ".join(f"{html.escape(site)} {n}" for site, n in sites.most_common(_SITES_SHOWN))
    more = ", …" if len(sites) > _SITES_SHOWN else ""
    return (
        f'<tr{"" if count else " class=none"}><th scope="row">{html.escape(state)}</th><td class="n">{count}</td>'
        f'<td><meter max="{largest or 1}" value="{count}">{count}</meter></td>'
        f'<td class="sites">{places}{more}</td></tr>'
    )


async def openapi(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """The API document, made from the route table at start."""
    return json_response(call.request.app.state.openapi)
