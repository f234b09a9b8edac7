"""Makes a PilotReport message of what a pilot sent, whichever generation of names it uses.

Job, state, attempt and the list of outputs can refuse a report. Everything else is kept as well as it can be: cut,
replaced, or left out if nothing of it can be read.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

import orjson

from gateway.http.decode import decode_json
from gateway.http.refusal import RefusalError, TooLargeError
from gateway.wire.pilot_requests import UpdateRequest
from panda_fsm.codes import Component
from panda_fsm.jobs.metadata import only_written
from panda_fsm.messages import PilotReport, ReportState, new_message_id
from panda_fsm.specs.names import snake, words
from panda_fsm.specs.values import absent_to_none, number, printable

REPORT_STATES = frozenset(get_args(ReportState))
MAX_OUTPUT_REPORT = 10 * 1024 * 1024
MAX_METADATA = 1024 * 1024
_LONGEST_METADATA_READ = 4 * 1024 * 1024
"""Read at thirty megabytes a second, while others wait."""
_LARGEST_NUMBER = 2**62
_LONGEST_METRICS = 10_000
Value = str | int | float
_NUMBERS = words(
    """
    core_count mean_core_count n_events n_input_files cpu_consumption_time cpu_conversion_factor trans_exit_code
    max_rss max_vmem max_swap max_pss avg_rss avg_vmem avg_swap avg_pss
    tot_rchar tot_wchar tot_rbytes tot_wbytes rate_rchar rate_wchar rate_rbytes rate_wbytes
    memory_leak memory_leak_x2 hs06sec disk_io remaining_space
    """
)
_TIMES = ("start_time", "end_time")
_TEXTS = {
    "site_name": 128, "node": 128, "scheduler_id": 128, "pilot_id": 256, "batch_id": 80, "timestamp": 40,
    "cpu_consumption_unit": 128, "cpu_architecture_level": 40, "job_metrics": 500, "job_sub_status": 80,
    "pilot_timing": 100, "pilot_log": 4096, "stdout": 16_384, "metadata": MAX_METADATA, "corrupted_files": 4096,
    "source_site": 128, "destination_site": 128, "computing_element": 128, "grid": 50,
}  # fmt: skip
_LONGEST_DIAGNOSTIC = 500
_BLAMED = tuple(component for component in Component if component not in (Component.TRANS, Component.KILL))
"""Whose errors a pilot may report with a code and a diagnostic of their own."""
_METADATA = ("meta_data", "metadata")
_RENAMED = {"meta_data": "metadata"}
_REPORT_NAMES = ("job_output_report", "xml")
_LEAKS = {
    "memory_leak": re.compile(r"leak=(-?[0-9]+\.?[0-9]*)"),
    "memory_leak_x2": re.compile(r"chi2=(-?[0-9]+\.?[0-9]*)"),
}


def pilot_report(ask: UpdateRequest) -> PilotReport:
    """The message. Raises RefusalError when the state or the list of outputs cannot be taken."""
    if ask.state not in REPORT_STATES:
        known = ", ".join(sorted(REPORT_STATES))
        raise RefusalError(f"state: {ask.state!r:.40} is none of {known}")
    sent = {snake(name): value for name, value in (ask.model_extra or {}).items()}
    if ask.state == "finished":
        sent |= {name: _shortened(sent[name]) for name in _METADATA if name in sent}
    # Checked field by field above; naming the id spares pydantic a look at its factory's signature each time.
    return PilotReport.model_construct(
        message_id=new_message_id(),
        job_id=ask.job_id,
        attempt_nr=ask.attempt_nr,
        state=ask.state,
        output_report=_output_report(sent),
        attributes=_attributes(sent),
    )


def _output_report(sent: dict[str, Any]) -> str | None:
    for name in _REPORT_NAMES:
        value = absent_to_none(sent.get(name))
        if value is None:
            continue
        text = _as_text(value)
        if len(text) > MAX_OUTPUT_REPORT:
            raise TooLargeError(f"{name}: larger than {MAX_OUTPUT_REPORT} characters")
        return text.replace("\x00", "").encode(errors="replace").decode()
    return None


def _shortened(metadata: Any) -> Any:
    """Of metadata that are too long to be kept, what the rules read of them: cut they would say nothing."""
    text = _as_text(metadata)
    if not MAX_METADATA < len(text) <= _LONGEST_METADATA_READ:
        return metadata
    try:
        return only_written(decode_json(text)) or metadata
    except RefusalError:
        return metadata


def _attributes(sent: dict[str, Any]) -> dict[str, Value]:
    """All that is known and readable."""
    attributes: dict[str, Value] = {}
    for name, value in sent.items():
        known = _RENAMED.get(name, name)
        reader = READERS.get(known)
        value = absent_to_none(value)
        if reader is None or value is None:
            continue
        found = reader(value)
        if found is not None:
            attributes[known] = found
    if "job_metrics" in attributes:
        attributes = _leaks(_as_text(sent["job_metrics"])) | attributes
    return attributes


def _as_text(value: Any) -> str:
    """A text for what is none: pilots send some fields as objects."""
    if isinstance(value, str):
        return value
    try:
        # A thousand thousand names, and the event loop waits for it: json would take a second.
        return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    except TypeError:
        return json.dumps(value)  # half a surrogate pair


def _cut(limit: int, value: Any) -> str:
    return printable(_as_text(value), limit)


def _number(value: Any) -> int | float | None:
    """A number that JSON and PostgreSQL can hold."""
    try:
        found = number(value)
    except ValueError:
        return None
    if found is None or abs(found) > _LARGEST_NUMBER:
        return None
    return int(found) if float(found).is_integer() else found


def _time(value: Any) -> str | None:
    """UTC in ISO form, from seconds since 1970 (forms have them as text) or from `YYYY-mm-dd HH:MM:SS`."""
    seconds = _number(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC).isoformat()
        moment = datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _leaks(metrics: str) -> dict[str, Value]:
    """The memory leak that the pilot fitted, which it tells inside its metrics."""
    found: dict[str, Value] = {}
    for name, pattern in _LEAKS.items():
        match = pattern.search(metrics[:_LONGEST_METRICS])
        value = _number(match[1]) if match else None
        if value is not None:
            found[name] = int(value) if name == "memory_leak" else value
    return found


READERS: dict[str, Callable[[Any], Value | None]] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_TIMES, _time),
    **{name: partial(_cut, limit) for name, limit in _TEXTS.items()},
    **{f"{component}_error_code": _number for component in _BLAMED},
    **{f"{component}_error_diag": partial(_cut, _LONGEST_DIAGNOSTIC) for component in _BLAMED},
}
