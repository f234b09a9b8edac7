"""Is it alive, is it ready, who am I."""

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import json_response, success
from gateway.http.route import Call
from gateway.wire.pilot_requests import Ask
from gateway.work.readiness import OK


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


async def metrics(gateway: Gateway, _call: Call, _ask: None) -> Response:
    """What this process counted, for Prometheus. Written down in a thread: who is served meanwhile does not wait."""
    return Response(await run_in_threadpool(gateway.config.metrics), media_type="text/plain; version=0.0.4")


async def readyz(gateway: Gateway, call: Call, _ask: None) -> Response:
    """503 when this gateway cannot do its part; "degraded" when somebody behind it does not. `?verbose` tells all."""
    found = await gateway.readiness.look(gateway.draining)
    content = {"status": found.status}
    if found.status != OK or "verbose" in call.request.query_params:
        content |= found.own | found.others | {"accepts": found.accepts}
    return json_response(content, 200 if found.is_ready else 503)
