"""Makes a PilotReport message of what a pilot sent, whichever generation of names it uses."""

import math
from datetime import UTC, datetime
from typing import Any, get_args

from gateway.http.refusal import RefusalError, TooLargeError
from gateway.wire.fields import absent_to_none, printable
from gateway.wire.names import snake, words
from gateway.wire.pilot_requests import UpdateRequest
from panda_fsm.messages import PilotReport, ReportState, new_message_id

REPORT_STATES = frozenset(get_args(ReportState))
MAX_OUTPUT_REPORT = 10 * 1024 * 1024

_NUMBERS = words(
    """
    core_count mean_core_count n_events cpu_consumption_time cpu_conversion_factor
    pilot_error_code trans_exit_code exe_error_code sup_error_code ddm_error_code
    max_rss max_vmem max_swap max_pss avg_rss avg_vmem avg_swap avg_pss
    tot_rchar tot_wchar tot_rbytes tot_wbytes rate_rchar rate_wchar rate_rbytes rate_wbytes
    memory_leak memory_leak_x2
    """
)
_TEXTS = {
    "site_name": 128, "node": 128, "scheduler_id": 128, "pilot_id": 256, "batch_id": 80, "timestamp": 40,
    "cpu_consumption_unit": 128, "cpu_architecture_level": 40, "job_metrics": 500, "job_sub_status": 80,
    "pilot_timing": 100, "pilot_log": 4096, "stdout": 4096, "meta_data": 1024 * 1024, "metadata": 1024 * 1024,
    "pilot_error_diag": 500, "exe_error_diag": 500, "sup_error_diag": 250, "ddm_error_diag": 500,
    "source_site": 36, "destination_site": 36, "computing_element": 128, "grid": 50,
}  # fmt: skip
_TIMES = ("start_time", "end_time")
_REPORT_NAMES = ("job_output_report", "xml")


def pilot_report(ask: UpdateRequest) -> PilotReport:
    """The message. Raises RefusalError when state, sizes or the numbers that identify the job are wrong."""
    if ask.state not in REPORT_STATES:
        known = ", ".join(sorted(REPORT_STATES))
        raise RefusalError(f"state: {ask.state!r:.40} is none of {known}")
    if (ask.attempt_nr or 0) > 32767:
        raise RefusalError("attempt_nr: is out of range")
    sent = {snake(name): value for name, value in (ask.model_extra or {}).items()}
    # Checked field by field above; naming the id spares pydantic a look at its factory's signature each time.
    return PilotReport.model_construct(
        message_id=new_message_id(),
        job_id=ask.job_id,
        attempt_nr=ask.attempt_nr or 0,
        state=ask.state,
        output_report=_output_report(sent),
        attributes=_attributes(sent),
    )


def _output_report(sent: dict[str, Any]) -> str | None:
    for name in _REPORT_NAMES:
        value = sent.get(name)
        if isinstance(value, str) and absent_to_none(value) is not None:
            if len(value) > MAX_OUTPUT_REPORT:
                raise TooLargeError(f"{name}: larger than {MAX_OUTPUT_REPORT} characters")
            return value.replace("\x00", "")
    return None


def _attributes(sent: dict[str, Any]) -> dict[str, str | int | float]:
    """What is known and readable; a garbled extra never costs a pilot its report."""
    attributes: dict[str, str | int | float] = {}
    for name, value in sent.items():
        value = absent_to_none(value)
        if value is None:
            continue
        if name in _NUMBERS:
            found: str | int | float | None = _number(value)
        elif name in _TIMES:
            found = _time(value)
        elif name in _TEXTS and isinstance(value, str | int | float):
            found = printable(str(value), _TEXTS[name])
        else:
            continue
        if found is not None:
            attributes[name] = found
    return attributes


def _number(value: Any) -> int | float | None:
    """A number that JSON and PostgreSQL can hold."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < 40 else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if abs(value) > 2**62:
        return None
    return int(value) if float(value).is_integer() else value


def _time(value: Any) -> str | None:
    """UTC in ISO form, from seconds since 1970 or from `YYYY-mm-dd HH:MM:SS`."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).isoformat()
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
