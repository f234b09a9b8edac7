"""THE table of routes, each with the action that says who may use it. What is asked most stands first.

Routes are tried in this order.
"""

from dataclasses import replace
from types import UnionType

from pydantic import BaseModel

from gateway.access.policy import Action
from gateway.api import commands, files, jobs, listing, pilots, static, statistics, system, workers
from gateway.dashboard.table import ROUTES as _DASHBOARD
from gateway.http.answers import Convention, no_jobs_now
from gateway.http.route import MB, Content, Handler, Header, Link, Route
from gateway.pages import pages
from gateway.wire import pilot_answers as reply
from gateway.wire import pilot_requests as pilot
from gateway.wire import user_answers as told
from gateway.wire import user_requests as user
from gateway.wire.answers import Alive, Done, Ready, Refused

_API = "/api/v1"
_LEGACY = "/server/panda"
_REPORT_LIMIT = 64 * MB
"""What is too long in a report is cut, so it must come in first."""
_BULK_LIMIT = 64 * MB
_SUBMIT_LIMIT = 64 * MB
_UPLOAD_LIMIT = "768 MiB at most where the file's name begins with `sources.`, else 10 MiB."
_AGAIN = Header(
    "Idempotency-Key",
    "A name of the request: sent again with the same one, it is done once and answered the same.",
    255,
)
_REPORT = (Link(f"POST {_API}/pilot/update_job", "job_id", "$response.body#/data/jobs/0/PandaID"),)
_REPORT_FLAT = (Link(f"POST {_LEGACY}/updateJob", "jobId", "$response.body#/PandaID"),)
_JOB = "$response.body#/data/0/0"
_AFTER_SUBMISSION = tuple(
    Link(f"{verb} {_API}/job/{name}", "job_ids", _JOB, verb == "POST")
    for verb, name in (("POST", "get_description"), ("GET", "get_status"), ("POST", "kill"))
)
_JSON = Content("An object.", ("application/json",))
_KEPT = Content("An object.", ("application/json",), is_kept=True)
_METRICS = Content("Prometheus' text format.", ("text/plain",))
_PAGE = Content("A page.", ("text/html",))
_ASSET = Content("A script, a style or an icon.", ("text/javascript", "text/css", "image/png", "*/*"), True)
_SANDBOX = Content("Its bytes.", ("application/octet-stream",), True)
_SCRIPT = Content("Its text.", ("text/plain",), True)
_A = Action
Answered = type[BaseModel] | UnionType | Content


def _legacy(
    method: str, name: str, access: Action, handler: Handler, summary: str, answer: Answered, model: type[pilot.Ask],
    limit: int = MB,
) -> Route:  # fmt: skip
    path = f"{_LEGACY}/{name}"
    return Route(
        method, path, handler, access, summary, answer, model, Convention.LEGACY_PILOT, limit, "pilot (legacy)"
    )


def _pilot(
    method: str, name: str, access: Action, handler: Handler, summary: str, answer: Answered, model: type[pilot.Ask],
    limit: int = MB,
) -> Route:  # fmt: skip
    path = f"{_API}/{name}"
    return Route(method, path, handler, access, summary, answer, model, Convention.PILOT, limit, "pilot")


def _user(
    method: str, name: str, access: Action, handler: Handler, summary: str, answer: Answered,
    model: type[pilot.Ask] | None, limit: int = MB,
) -> Route:  # fmt: skip
    path, tag = f"{_API}/{name}", name.partition("/")[0]
    return Route(method, path, handler, access, summary, answer, model, Convention.USER, limit, tag)


def _open(
    path: str, handler: Handler, summary: str, answer: Answered, method: str = "GET", tag: str = "system"
) -> Route:
    """Files and pages, which are everybody's."""
    return Route(method, path, handler, Action.LOOK, summary, answer, tag=tag)


def _health(route: Route) -> Route:
    """Answered however much is going on."""
    return replace(route, is_health=True)


_PILOT = (
    _legacy("POST", "updateJob", _A.REPORT, pilots.update_legacy, "Report on a job", reply.HeardFlat,
            pilot.UpdateRequest, _REPORT_LIMIT),
    replace(_legacy("POST", "getJob", _A.ACQUIRE, pilots.acquire_legacy, "Ask for a job",
            reply.JobFlat | reply.NoJobFlat, pilot.AcquireRequest), not_accepted=no_jobs_now, links=_REPORT_FLAT),
    _pilot("POST", "pilot/update_job", _A.REPORT, pilots.update, "Report on a job", reply.Heard,
           pilot.UpdateRequest, _REPORT_LIMIT),
    replace(_pilot("POST", "pilot/acquire_jobs", _A.ACQUIRE, pilots.acquire, "Ask for jobs",
            reply.JobsForPilot | Refused, pilot.AcquireRequest), links=_REPORT),
    _pilot("POST", "pilot/update_jobs_bulk", _A.REPORT, pilots.update_bulk, "Report on many jobs",
           reply.HeardEach, pilot.BulkUpdateRequest, _BULK_LIMIT),
    _pilot("GET", "pilot/get_job_status", _A.LOOK, pilots.job_status, "State and attempt of jobs",
           reply.JobStatuses, pilot.JobStatusRequest),
    _legacy("POST", "getStatus", _A.LOOK, pilots.job_status_legacy, "State and attempt of jobs", reply.StatusesFlat,
            pilot.JobStatusRequest),
    _legacy("POST", "updateWorkerPilotStatus", _A.REGISTER, workers.worker_status_legacy,
            "A pilot started or finished", reply.DoneFlat, pilot.WorkerStatusRequest),
    _pilot("POST", "pilot/update_worker_status", _A.REGISTER, workers.worker_status, "A pilot started or finished",
           Done, pilot.WorkerStatusRequest),
    _pilot("POST", "pilot/update_worker_node", _A.REGISTER, workers.worker_node, "Describe the machine", Done,
           pilot.WorkerNodeRequest),
    _pilot("POST", "pilot/update_worker_node_gpu", _A.REGISTER, workers.worker_node, "Describe the machine's GPU",
           Done, pilot.WorkerNodeRequest),
    _legacy("POST", "getResourceTypes", _A.LOOK, workers.resource_types_legacy, "Resource types",
            reply.ResourceTypesFlat, pilot.Ask),
    _pilot("GET", "metaconfig/get_resource_types", _A.LOOK, workers.resource_types, "Resource types",
           reply.ResourceTypes, pilot.Ask),
    _legacy("GET", "get_access_token", _A.REGISTER, workers.access_token_legacy, "Renew a token: refused",
            reply.NoRenewal, pilot.AccessTokenRequest),
    _pilot("GET", "creds/get_access_token", _A.REGISTER, workers.access_token, "Renew a token: refused", Refused,
           pilot.AccessTokenRequest),
    _legacy("POST", "getProxy", _A.REGISTER, workers.proxy_legacy, "Get a proxy: refused", reply.NoProxy, pilot.Ask),
    _legacy("POST", "setDebugMode", _A.DEBUG, commands.debug_mode_legacy, "Debug mode of a job",
            reply.DoneFlat | reply.NotDoneFlat, pilot.DebugModeRequest),
    _pilot("POST", "pilot/set_debug_mode", _A.DEBUG, commands.debug_mode_of_pilot, "Debug mode of a job",
           Done | Refused, pilot.DebugModeRequest),
)  # fmt: skip

_JOBS = (
    replace(_user("POST", "job/submit", _A.SUBMIT, jobs.submit, "Submit up to 10,000 jobs", told.Submitted,
                  user.SubmitRequest, _SUBMIT_LIMIT), refusals=(422,), headers=(_AGAIN,), links=_AFTER_SUBMISSION),
    _user("POST", "job/get_description", _A.DESCRIBE, jobs.get_description, "Describe up to 5,500 jobs",
          told.Described, user.DescribeRequest),
    replace(_user("GET", "job/get_description", _A.DESCRIBE, jobs.get_description, "Describe jobs", told.Described,
                  user.DescribeQuery), refusals=(413,)),
    _user("POST", "job/get_description_incl_archive", _A.DESCRIBE, jobs.get_description,
          "Describe jobs: the same by another name", told.Described, user.DescribeRequest),
    replace(_user("GET", "job/get_description_incl_archive", _A.DESCRIBE, jobs.get_description,
                  "Describe jobs: the same by another name", told.Described, user.DescribeQuery), refusals=(413,)),
    replace(_user("POST", "job/kill", _A.KILL, jobs.kill, "End up to 10,000 jobs",
                  told.Killed, user.KillRequest), refusals=(422,), headers=(_AGAIN,)),
    replace(_user("POST", "job/reassign", _A.REASSIGN, jobs.reassign, "Release pending jobs, set others up anew", Done,
                  user.ReassignRequest), refusals=(422,), headers=(_AGAIN,)),
    replace(_user("GET", "job/get_status", _A.LOOK, jobs.get_status, "State and pending command",
                  told.States, user.DescribeQuery), refusals=(413,)),
    replace(_user("POST", "job/set_debug_mode", _A.DEBUG, commands.debug_mode, "Debug mode of a job", Done,
                  pilot.DebugModeRequest), refusals=(404, 409, 422), headers=(_AGAIN,)),
    replace(_user("POST", "job/set_command", _A.COMMAND, commands.set_command, "Tell the pilot of a job",
                  Done, user.CommandRequest), refusals=(404, 409, 422), headers=(_AGAIN,)),
    _user("GET", "job/get_stdout", _A.DESCRIBE_WHOLLY, commands.get_stdout, "What the pilot of a job showed last",
          told.Shown, user.JobRequest),
    _user("GET", "job/list", _A.DESCRIBE, listing.list_jobs, "List jobs, live and archived", told.JobList,
          user.ListRequest),
    _user("GET", "job/get_history", _A.DESCRIBE, listing.get_history, "What a job went through", told.History,
          user.JobRequest),
    _user("GET", "statistics/active_job_stats_by_site", _A.LOOK, statistics.active_job_stats_by_site,
          "Live jobs per queue and state", told.JobsBySite, pilot.Ask),
    _user("GET", "statistics/job_states", _A.LOOK, statistics.job_states, "How far a task is",
          told.JobStates, user.TaskRequest),
    replace(_user("POST", "file_server/upload_cache_file", _A.UPLOAD, files.upload_cache_file, "Upload a sandbox file",
                  Done, None), upload=_UPLOAD_LIMIT, refusals=(409, 413, 507)),
    _user("POST", "file_server/validate_cache_file", _A.UPLOAD, files.validate_cache_file,
          "Is this content here already?", told.Found | Refused, user.CacheContent),
    _health(_user("GET", "system/is_alive", _A.LOOK, system.is_alive, "A ping", Done, pilot.Ask)),
    _user("GET", "system/get_attributes", _A.LOOK, system.get_attributes, "Who am I?", told.WhoAmI,
          pilot.Ask),
)  # fmt: skip

_FILES = (
    _open("/cache/schedconfig/{name}", static.queue_description, "A queue's description, or all", _KEPT, tag="files"),
    _open("/cache/ddmendpoints.json", static.storage_endpoints, "The storage endpoints", _KEPT, tag="files"),
    _open("/cache/{name}", files.cached_file, "An uploaded file", _SANDBOX, tag="files"),
    _open("/cache/{name}", files.cached_file, "An uploaded file", _SANDBOX, "POST", "files"),
    _open("/trf/user/{name}", static.transformation, "A transformation", _SCRIPT, tag="files"),
)

_SYSTEM = (
    _health(_open("/livez", system.livez, "The process answers", Alive)),
    _health(_open("/readyz", system.readyz, "Database, broker and schema are there", Ready)),
    _health(_open("/metrics", system.metrics, "What this gateway counted, for Prometheus", _METRICS)),
    _open("/openapi.json", pages.openapi, "This document", _JSON),
    _open("/docs", pages.docs, "This document to read", _PAGE),
    _open("/docs/{name}", pages.docs_asset, "A part of the reader", _ASSET),
)

_OTHER_VERB = {"GET": "POST", "POST": "GET"}
_BY_ANY_VERB = tuple(
    replace(route, method=_OTHER_VERB[route.method]) for route in _PILOT if route.convention is Convention.LEGACY_PILOT
)
"""Old pilots say the same by a query or by a body."""
_BY_FALLBACK = tuple(
    replace(route, path=f"{_LEGACY}{route.path}", links=())
    for route in _PILOT
    if route.convention is Convention.PILOT and route.method == "POST"
)
"""What failed at its own path pilots say once more by curl, which puts the old prefix before any path."""

ROUTES: tuple[Route, ...] = (*_PILOT, *_JOBS, *_FILES, *_SYSTEM, *_DASHBOARD, *_BY_ANY_VERB, *_BY_FALLBACK)
