"""THE table of routes. What is asked most stands first: routes are tried in this order."""

from gateway import (
    file_routes,
    job_routes,
    page_routes,
    pilot_routes,
    static_routes,
    statistics_routes,
    system_routes,
    worker_routes,
)
from gateway.http.answers import Convention
from gateway.http.route import MB, Handler, Route
from gateway.wire import pilot_requests as pilot
from gateway.wire import user_requests as user

_API = "/api/v1"
_LEGACY = "/server/panda"
_REPORT_LIMIT = 16 * MB
_BULK_LIMIT = 64 * MB
_SUBMIT_LIMIT = 64 * MB
_COMMAND = "data.command: what the pilot shall do; NULL for nothing, tobekilled to stop"
_ENVELOPE = "the envelope"


def _legacy(
    method: str, name: str, handler: Handler, summary: str, answer: str, model: type[pilot.Ask], limit: int = MB
) -> Route:
    path = f"{_LEGACY}/{name}"
    return Route(method, path, handler, summary, answer, model, Convention.LEGACY_PILOT, limit, "pilot (legacy)")


def _pilot(
    method: str, name: str, handler: Handler, summary: str, answer: str, model: type[pilot.Ask], limit: int = MB
) -> Route:
    path = f"{_API}/{name}"
    return Route(method, path, handler, summary, answer, model, Convention.PILOT, limit, "pilot")


def _user(
    method: str, name: str, handler: Handler, summary: str, answer: str, model: type[pilot.Ask] | None, limit: int = MB
) -> Route:
    tag = name.partition("/")[0]
    return Route(method, f"{_API}/{name}", handler, summary, answer, model, Convention.USER, limit, tag)


def _plain(path: str, handler: Handler, summary: str, answer: str, method: str = "GET", tag: str = "system") -> Route:
    return Route(method, path, handler, summary, answer, tag=tag)


_PILOT = (
    _legacy("POST", "updateJob", pilot_routes.update_legacy, "Report on a job", "StatusCode and command",
            pilot.UpdateRequest, _REPORT_LIMIT),
    _legacy("POST", "getJob", pilot_routes.acquire_legacy, "Ask for a job",
            "the job as a flat object, or StatusCode 20", pilot.AcquireRequest),
    _pilot("POST", "pilot/update_job", pilot_routes.update, "Report on a job", _COMMAND,
           pilot.UpdateRequest, _REPORT_LIMIT),
    _pilot("POST", "pilot/acquire_jobs", pilot_routes.acquire, "Ask for jobs", "data.jobs: a list of jobs",
           pilot.AcquireRequest),
    _pilot("POST", "pilot/update_jobs_bulk", pilot_routes.update_bulk, "Report on many jobs",
           "data: one answer a report, in order", pilot.BulkUpdateRequest, _BULK_LIMIT),
    _pilot("GET", "pilot/get_job_status", pilot_routes.job_status, "State and attempt of jobs",
           "data: a list of job_id, status, attempt_number", pilot.JobStatusRequest),
    _legacy("POST", "getStatus", pilot_routes.job_status_legacy, "State and attempt of jobs", "comma lists",
            pilot.JobStatusRequest),
    _legacy("POST", "updateWorkerPilotStatus", worker_routes.worker_status_legacy, "A pilot started or finished",
            "StatusCode", pilot.WorkerStatusRequest),
    _pilot("POST", "pilot/update_worker_status", worker_routes.worker_status, "A pilot started or finished", _ENVELOPE,
           pilot.WorkerStatusRequest),
    _pilot("POST", "pilot/update_worker_node", worker_routes.worker_node, "Describe the machine", _ENVELOPE,
           pilot.WorkerNodeRequest),
    _pilot("POST", "pilot/update_worker_node_gpu", worker_routes.worker_node, "Describe the machine's GPU", _ENVELOPE,
           pilot.WorkerNodeRequest),
    _legacy("POST", "getResourceTypes", worker_routes.resource_types_legacy, "Resource types",
            "a Python list as text", pilot.Ask),
    _pilot("GET", "metaconfig/get_resource_types", worker_routes.resource_types, "Resource types", "data: a list",
           pilot.Ask),
    _legacy("GET", "get_access_token", worker_routes.access_token_legacy, "Renew a token: refused", "StatusCode",
            pilot.AccessTokenRequest),
    _pilot("GET", "creds/get_access_token", worker_routes.access_token, "Renew a token: refused", _ENVELOPE,
           pilot.AccessTokenRequest),
    _legacy("POST", "getProxy", worker_routes.proxy_legacy, "Get a proxy: refused", "StatusCode", pilot.Ask),
    _legacy("POST", "setDebugMode", worker_routes.debug_mode_legacy, "Debug mode: refused", "StatusCode",
            pilot.DebugModeRequest),
    _pilot("POST", "pilot/set_debug_mode", worker_routes.debug_mode, "Debug mode: refused", _ENVELOPE,
           pilot.DebugModeRequest),
    _pilot("POST", "job/set_debug_mode", worker_routes.debug_mode, "Debug mode: refused", _ENVELOPE,
           pilot.DebugModeRequest),
)  # fmt: skip

_JOBS = (
    _user("POST", "job/submit", job_routes.submit, "Submit up to 10,000 jobs",
          "data: [PandaID, jobDefinitionID, {jobsetID}] for each job, in order", user.SubmitRequest, _SUBMIT_LIMIT),
    _user("POST", "job/get_description", job_routes.get_description, "Describe up to 5,500 live jobs",
          "data: a list in the order asked, null for an unknown job", user.DescribeRequest),
    _user("GET", "job/get_description", job_routes.get_description, "Describe live jobs",
          "data: a list in the order asked, null for an unknown job", user.DescribeRequest),
    _user("POST", "job/get_description_incl_archive", job_routes.get_description_incl_archive,
          "Describe jobs, archived ones too", "data: a list in the order asked, null for an unknown job",
          user.DescribeRequest),
    _user("GET", "job/get_description_incl_archive", job_routes.get_description_incl_archive,
          "Describe jobs, archived ones too", "data: a list in the order asked, null for an unknown job",
          user.DescribeRequest),
    _user("POST", "job/kill", job_routes.kill, "End jobs", "data: true for each job whose end is on its way",
          user.KillRequest),
    _user("GET", "job/get_status", job_routes.get_status, "State and pending command", "data: status and command a job",
          user.DescribeRequest),
    _user("GET", "statistics/active_job_stats_by_site", statistics_routes.active_job_stats_by_site,
          "Live jobs per site and state", "data: {site: {state: jobs}}", pilot.Ask),
    _user("GET", "statistics/job_states", statistics_routes.job_states, "How far a task is",
          "data: jobs per state, and the time of each hop", user.TaskRequest),
    _user("POST", "file_server/upload_cache_file", file_routes.upload_cache_file, "Upload a sandbox file", _ENVELOPE,
          None),
    _user("POST", "file_server/validate_cache_file", file_routes.validate_cache_file, "Is this content here already?",
          "message: FOUND:host:name", user.CacheContent),
    _user("GET", "system/is_alive", system_routes.is_alive, "A ping", _ENVELOPE, pilot.Ask),
    _user("GET", "system/get_attributes", system_routes.get_attributes, "Who am I?", "data.environment", pilot.Ask),
)  # fmt: skip

_FILES = (
    _plain("/cache/schedconfig/{name}", static_routes.queue_description, "A queue's description", "JSON", tag="files"),
    _plain("/cache/ddmendpoints.json", static_routes.storage_endpoints, "The storage endpoints", "JSON", tag="files"),
    _plain("/cache/{name}", file_routes.cached_file, "An uploaded file", "its bytes", tag="files"),
    _plain("/cache/{name}", file_routes.cached_file, "An uploaded file", "its bytes", "POST", "files"),
    _plain("/trf/user/{name}", static_routes.transformation, "A transformation", "its text", tag="files"),
)

_SYSTEM = (
    _plain("/livez", system_routes.livez, "The process answers", "status"),
    _plain("/readyz", system_routes.readyz, "Database, broker and schema are there", "status; 503 if not"),
    _plain("/openapi.json", page_routes.openapi, "This document", "JSON"),
    _plain("/docs", page_routes.docs, "This document to read", "HTML"),
    _plain("/docs/{name}", page_routes.docs_asset, "A part of the reader", "a script, a style or an icon"),
    _plain("/", page_routes.status_page, "Jobs per state", "HTML"),
    _plain("/ui/", page_routes.status_page, "Jobs per state", "HTML"),
)

ROUTES: tuple[Route, ...] = (*_PILOT, *_JOBS, *_FILES, *_SYSTEM)
