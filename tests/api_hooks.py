"""What schemathesis is told of this API: queues and jobs that exist, and rules that no schema can say.

It runs in a process of its own, with none of pytest's fixtures.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

QUEUES = ("LAB_A", "LAB_B")
"""Jobs wait at the second one."""
JOBS = 500
"""So many wait when the test begins, from id 1 on."""
_SITE, _LABEL, _NAME, _PARAMETERS = 47, 12, 19, 49
_KEY_REUSED = 422
_RULES = {
    "POST /api/v1/job/submit": (400, 403, _KEY_REUSED), "POST /api/v1/job/kill": (_KEY_REUSED,),
    "POST /api/v1/job/reassign": (401, 403, _KEY_REUSED),
}  # fmt: skip
_RULES |= {f"POST /api/v1/job/{name}": (400, 403, _KEY_REUSED) for name in ("set_command", "set_debug_mode")}
_RULES |= {"GET /api/v1/job/get_stdout": (403,)}
_PAGES = "GET /ui/"
"""Times, places in lists and names have rules there."""
"""With which statuses a request may be refused that its schema allows: queues, labels, files and keys have rules."""
_LABELS, _COUNTS = {"prod_source_label", "prodSourceLabel"}, {"n_jobs", "nJobs"}
_NUMBERS = {"task_id", "taskID", *_COUNTS}
_AMOUNTS = {
    "memory", "mem", "disk_space", "diskSpace", "remaining_time", "remainingTime", "core_count", "coreCount",
}  # fmt: skip
_TOO_MUCH = (413, 414, 431)


@schemathesis.check
def refused_in_its_convention(ctx: Any, response: Any, case: Any) -> bool | None:
    """What is against the schema is refused: users by a true status, pilots by a code.

    Said of what schemathesis lists one by one; of random texts a tolerant reader understands some all the same.
    """
    if case.meta is None or case.meta.phase.name.value != "coverage":
        return None
    if response.status_code in _TOO_MUCH or (response.status_code == 200 and _is_refusal(response)):
        return None
    return negative_data_rejection(ctx, response, case)


@schemathesis.check
def accepted_but_for_a_rule(ctx: Any, response: Any, case: Any) -> bool | None:
    """What the schema allows is taken, unless a rule says no."""
    label = case.operation.label
    if response.status_code in ((303, 400, 404) if label.startswith(_PAGES) else _RULES.get(label, ())):
        return None
    return positive_data_acceptance(ctx, response, case)


def _is_refusal(response: Any) -> bool:
    if response.headers["content-type"] != ["application/json"]:
        return False
    answer = response.json()
    return isinstance(answer, dict) and (answer.get("success") is False or answer.get("StatusCode") not in (None, 0))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Random queues and ids lead nowhere."""
    return _existing(body)


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """The same in a URL."""
    return _existing(query)


def _existing(fields: Any) -> Any:
    """Names and numbers that stand for something, wherever a good one was sent. The same for the same."""
    if not isinstance(fields, dict):
        return fields
    found = dict(fields)
    for name, value in fields.items():
        if name in ("site_name", "siteName") and isinstance(value, str) and 0 < len(value) <= 128:
            found = _seat(found, name)
        elif name in ("job_id", "jobId", "pandaID", "task_id"):
            found[name] = _id(value)
        elif name in ("job_ids", "ids") and isinstance(value, list):
            found[name] = [_id(one) for one in value]
    return found


def _seat(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """A queue that exists; every second pilot has no wishes that nothing fits. What is against the schema stays."""
    number = len(fields[name])
    found = fields | {name: QUEUES[number % len(QUEUES)]}
    if number % 2:
        found = {field: value for field, value in found.items() if field == name or not _is_good(field, value)}
        if not found.keys() & _LABELS:
            found["prod_source_label"] = "user"
        if not found.keys() & _COUNTS:
            found["n_jobs"] = number % 3
    return found


def _is_good(field: str, value: Any) -> bool:
    """Surely allowed by the schema of an acquisition."""
    if value is None or field in _AMOUNTS:
        return True
    if field in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return isinstance(value, str) and len(value) <= 256 and value.isprintable()


def _id(value: Any) -> Any:
    """Two of three are jobs that exist."""
    is_good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    return value % JOBS + 1 if is_good and value % 3 else value


_VALUES = st.none() | st.just("NULL") | st.integers(-5, 10**6) | st.text(max_size=20)
_FILES = st.lists(
    st.builds(
        lambda kind, lfn: ["NULL", "NULL", "NULL", lfn, kind, *["NULL"] * 13],
        st.sampled_from(("input", "output", "log", "pseudo_input")), st.text("abc._$", min_size=1, max_size=12),
    ),
    max_size=3,
)  # fmt: skip


def _job(values: dict[int, Any], files: list[Any], queue: str) -> list[Any]:
    attributes: list[Any] = ["NULL"] * 126
    attributes[_SITE], attributes[_LABEL], attributes[_NAME], attributes[_PARAMETERS] = queue, "user", "job", "-p 1"
    for place, value in values.items():
        attributes[place] = value
    return [*attributes, files]


_JOBS = st.lists(
    st.builds(_job, st.dictionaries(st.integers(0, 125), _VALUES, max_size=3), _FILES, st.sampled_from(QUEUES)),
    min_size=1, max_size=3,
)  # fmt: skip


@schemathesis.hook
def flatmap_body(context: Any, body: Any) -> st.SearchStrategy[Any]:
    """Nearly every random array is refused for its first attribute; most of these go further."""
    sent = body.get("jobs") if isinstance(body, dict) and context.operation.path.endswith("/submit") else None
    is_text = isinstance(sent, str) and len(sent) > 1
    if not is_text and not _is_list_of_jobs(sent):
        return st.just(body)
    return st.just(body) | _JOBS.map(lambda jobs: body | {"jobs": json.dumps(jobs) if is_text else jobs})


def _is_list_of_jobs(sent: Any) -> bool:
    return isinstance(sent, list) and bool(sent) and all(isinstance(job, list) and job for job in sent)
