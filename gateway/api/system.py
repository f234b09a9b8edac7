"""Is it alive, is it ready, who am I."""

import asyncio

from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import json_response, success
from gateway.http.route import Call
from gateway.wire.pilot_requests import Ask
from panda_fsm.errors import TransientError

_READY_WITHIN_S = 3.0


async def is_alive(_gateway: Gateway, _call: Call, _ask: Ask) -> Response:
    """A ping; says nothing of the services behind."""
    return success()


async def get_attributes(_gateway: Gateway, call: Call, _ask: Ask) -> Response:
    """Who the server takes the caller for. The token is never echoed."""
    who = call.identity
    return success(
        {
            "environment": {
                "issuer": who.issuer,
                "subject": who.subject,
                "name": who.name,
                "roles": ",".join(sorted(f"{vo}/{role}" if vo else role for vo, role in who.roles)),
            }
        }
    )


async def livez(_gateway: Gateway, _call: Call, _ask: None) -> Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(gateway: Gateway, call: Call, _ask: None) -> Response:
    """Database, broker and schema are there; 503 otherwise. `?verbose` tells which."""
    schema = await _schema_version(gateway)
    needed = gateway.config.needed_schema
    checks = {
        "database": "ok" if schema is not None else "away",
        "broker": "ok" if gateway.publisher.is_connected else "away",
        # A newer schema is fine: migrations keep the programs of the release before working.
        "schema": "ok" if schema is not None and schema >= needed else f"{schema or 'unknown'}, needed: {needed}",
    }
    ready = all(check == "ok" for check in checks.values())
    content = {"status": "ok" if ready else "not ready"}
    if not ready or "verbose" in call.request.query_params:
        content |= checks
    return json_response(content, 200 if ready else 503)


async def _schema_version(gateway: Gateway) -> str | None:
    try:
        return await asyncio.wait_for(gateway.store.schema_version(), _READY_WITHIN_S)
    except (TransientError, TimeoutError):
        return None
