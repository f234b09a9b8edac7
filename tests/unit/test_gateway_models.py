"""Request models: every optional field may say nothing in three ways; limits are adapted, choices are not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.http.decode import decode_plain
from gateway.wire import pilot_requests, user_requests
from gateway.wire.pilot_filters import filters
from gateway.wire.pilot_report import pilot_report
from gateway.wire.pilot_requests import AcquireRequest, Ask, BulkUpdateRequest, UpdateRequest, WorkerNodeRequest
from gateway.wire.user_requests import KillRequest
from panda_fsm.messages import KillJob


def models() -> list[type[Ask]]:
    """Every request model there is."""
    return sorted(
        (model for module in (pilot_requests, user_requests) for model in vars(module).values()
         if isinstance(model, type) and issubclass(model, Ask)),
        key=lambda model: model.__name__,
    )  # fmt: skip


FILLED: dict[str, Any] = {
    "site_name": "Q", "job_id": 1, "job_ids": [1], "job_list": [], "site": "S", "host_name": "h", "jobs": "[]",
    "file_size": 1, "checksum": 2,
}  # fmt: skip
OPTIONAL = [
    (model, name) for model in models() for name, field in model.model_fields.items() if not field.is_required()
]


@pytest.mark.parametrize("value", [None, "", "NULL"])
@pytest.mark.parametrize(("model", "name"), OPTIONAL, ids=lambda value: getattr(value, "__name__", value))
def test_every_optional_field_may_say_nothing(model: type[Ask], name: str, value: Any) -> None:
    required = {field: FILLED[field] for field, of in model.model_fields.items() if of.is_required()}
    absent = model.model_validate(required)
    said = getattr(model.model_validate(required | {name: value}), name)
    assert [one for one in said if one] == [] if isinstance(said, list) else said == getattr(absent, name)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"mem": 24105.56}, {"memory": 24105}), ({"mem": "lots"}, {"memory": None}), ({"mem": -5}, {"memory": 0}),
        ({"remaining_time": -5}, {"remaining_time": 0}), ({"diskSpace": 10**12}, {"disk_space": 2**31 - 1}),
        ({"node": ["x"]}, {"node": None}), ({"node": "n" * 999}, {"node": "n" * 256}),
        ({"node": "a\x00\udcff"}, {"node": "a\N{REPLACEMENT CHARACTER}"}), ({"worker_id": 77}, {"worker_id": "77"}),
        ({"n_jobs": 10_000}, {"n_jobs": 500}), ({"n_jobs": 0}, {"n_jobs": 1}), ({"n_jobs": "2"}, {"n_jobs": 2}),
    ],
)  # fmt: skip
def test_limits_of_a_pilot_are_adapted(sent: dict[str, Any], read: dict[str, Any]) -> None:
    ask = AcquireRequest.model_validate({"siteName": "Q"} | sent)
    assert {name: getattr(ask, name) for name in read} == read


@pytest.mark.parametrize(
    "sent",
    [
        {"n_jobs": 1.5},
        {"n_jobs": "1_0"},
        {"taskID": "4.2e16"},
        {"taskID": "x"},
        {"prodSourceLabel": ["user"]},
        {"background": "perhaps"},
    ],
)
def test_what_decides_which_jobs_is_refused_if_unreadable(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AcquireRequest.model_validate({"siteName": "Q"} | sent)


def test_of_what_a_form_repeats_the_last_is_taken() -> None:
    """As of JSON; where a list is asked for all are, and a list that JSON sent is none of these."""
    sent = b"jobId=1&jobId=2&state=running&state=finished&attemptNr=1&attemptNr=3&xml=x&xml=y&stdout=a&stdout=b"
    report = pilot_report(UpdateRequest.model_validate(decode_plain(sent)))
    assert (report.job_id, report.state, report.attempt_nr, report.output_report) == (2, "finished", 3, "y")
    assert report.attributes["stdout"] == "b"
    assert AcquireRequest.model_validate(decode_plain(b"siteName=A&siteName=B")).site_name == "B"
    kill = KillRequest.model_validate(decode_plain(b"job_ids=5&job_ids=5&code=2&code=3"))
    assert (kill.job_ids, kill.code) == ([5, 5], 3)
    with pytest.raises(ValidationError):
        UpdateRequest.model_validate({"jobId": ["1", "2"], "state": "running"})


def test_a_list_that_is_no_list_is_refused_as_a_field() -> None:
    for sent in ("[[", "5", "{}"):
        with pytest.raises(ValidationError):
            BulkUpdateRequest.model_validate({"job_list": sent})
    for options in (5, {"a": 1}, True):
        with pytest.raises(ValidationError):
            KillRequest.model_validate({"job_ids": [1], "kill_options": options})


def test_a_remark_is_one_line() -> None:
    """Whatever is in it: what comes of it is kept in messages that take no control characters."""
    every = "".join(map(chr, range(33))) + "\x7f"
    kill = KillRequest.model_validate({"job_ids": [1], "kill_options": [f"jobSubStatus=a{every}b", f"why{every}not"]})
    assert (kill.wishes.sub_status, kill.wishes.remarks) == ("a   b", ["why   not"])
    KillJob(job_id=1, reason=kill.wishes.remarks[0], sub_status=kill.wishes.sub_status)
    found = AcquireRequest.model_validate({"siteName": "Q", "node": f"n{every}1", "schedulerID": "a\nb\tc"})
    assert (found.node, found.scheduler_id) == ("n   1", "a b c")


@pytest.mark.parametrize("nothing", [None, "", "NULL", " ", "null"])
@pytest.mark.parametrize("name", ["site", "host_name"])
def test_what_is_needed_is_not_there_if_it_says_nothing(name: str, nothing: Any) -> None:
    with pytest.raises(ValidationError):
        WorkerNodeRequest.model_validate({"site": "S", "host_name": "h"} | {name: nothing})
    with pytest.raises(ValidationError):
        AcquireRequest.model_validate({"siteName": nothing})


def test_one_bad_report_of_many_is_read_by_itself() -> None:
    assert BulkUpdateRequest.model_validate({"job_list": [5, {}, None]}).job_list == [5, {}, None]
    assert BulkUpdateRequest.model_validate({"jobList": "[{}]"}).job_list == [{}]


def test_a_code_of_a_kill_has_bounds_where_there_is_one() -> None:
    with pytest.raises(ValidationError):
        KillRequest.model_validate({"job_ids": 1, "code": 1000})


@pytest.mark.parametrize(
    ("label", "element", "status", "labels"),
    [
        (None, "CE", "online", "managed test prod_test install"),
        ("managed", None, "online", "managed test prod_test install"),
        ("user", None, "online", "user panda install"),
        ("unified", None, "online", "managed test prod_test install user panda"),
        ("test", "CE", "online", "prod_test install test"), ("test", None, "online", "test"),
        ("user", "CE", "test", "prod_test install test"), ("ptest", "CE", "test", "ptest"),
    ],
)  # fmt: skip
def test_a_pilots_label_stands_for_those_of_jobs(
    label: str | None, element: str | None, status: str, labels: str
) -> None:
    ask = AcquireRequest.model_validate({"siteName": "Q", "prodSourceLabel": label, "computingElement": element})
    assert filters(ask, status).labels == tuple(labels.split())


@pytest.mark.parametrize(
    ("sent", "asks"), [(True, True), ("True", True), ("1", True), (False, False), ("false", False), (None, False)]
)
def test_a_pilot_may_ask_for_the_background(sent: Any, asks: bool) -> None:
    assert filters(AcquireRequest.model_validate({"siteName": "Q", "background": sent}), "online").background is asks


def test_a_pilot_that_says_zero_or_nothing_has_no_limit() -> None:
    nothing = filters(AcquireRequest.model_validate({"siteName": "Q"}), "online")
    zero = {"mem": 0, "diskSpace": "0", "remaining_time": -5, "coreCount": 0, "taskID": 0, "resourceType": "NULL"}
    assert filters(AcquireRequest.model_validate({"siteName": "Q"} | zero), "online") == nothing
    some = filters(AcquireRequest.model_validate({"siteName": "Q", "mem": 5, "resourceType": "SCORE"}), "online")
    assert (some.memory, some.resource_type) == (5, "SCORE")
