"""The page for JEDI's developers: its examples are messages as they are, its answers those of the code."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, get_args

import jsonschema_rs
import pytest
from pydantic import BaseModel

from broker.policies import policies
from command import asyncapi
from command.settings import Settings
from jedi import bodies, replies, requests
from jedi.document import TOLD, conversations, described, said
from jedi.handlers import handlers
from jedi.replaying import Replayer
from jedi.specs import OF_A_FILE, Rules
from panda_fsm.answers import REPLY_QUEUES, KnownJob, Noted, RequestKey
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.repeats import KEY_DAYS
from panda_fsm.sites import Queue, Sites
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES
from panda_fsm.status_queues import queue_of_task, replies_queue, status_queue
from panda_fsm.statuses import JOB_STATUS, JobNow, Page, Untold
from plugins.experiments.generic import GenericPlugin
from tests.pages import ROOT, tables

PAGE = (ROOT / "docs/jedi.md").read_text()
GATEWAY = (ROOT / "gateway/wire/user_requests.py").read_text()


def blocks(language: str) -> list[str]:
    """What stands in fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


DOCUMENTS: list[dict[str, Any]] = [json.loads(block) for block in blocks("json")]
EXAMPLES = [one for one in DOCUMENTS if "msg_type" in one]
ASKED = [one for one in EXAMPLES if not one["msg_type"].endswith("_reply") and "seq" not in one]
ANSWERED = {one["in_reply_to"]: one for one in EXAMPLES if "in_reply_to" in one}
RESULTS = [one for reply in ANSWERED.values() for one in reply.get("results", ()) if "seq" in one]
HEARD = [one for one in EXAMPLES if "seq" in one] + RESULTS


def name_of(example: Any) -> str:
    """What the report of the tests calls it."""
    return str(example.get("msg_id", ""))


def names(model: type[BaseModel]) -> set[str]:
    """All names of fields on the wire."""
    schema = model.model_json_schema(mode="validation")
    return set(schema["properties"])


@cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(asyncapi.schemas()[name])


def heard(example: dict[str, Any]) -> type[BaseModel]:
    """The model of what is told."""
    by_name = {(said(model), "final" in model.model_fields): model for model in TOLD}
    return by_name[example["msg_type"], "final" in example]


class Memory:
    """What is known before the examples: a granted block, and jobs in four places of their lives."""

    STATES: ClassVar = {5001: State.RUNNING, 5003: State.PENDING, 5004: State.FINISHED}

    def __init__(self, *job_ids: int) -> None:
        self._jobs = {
            job_id: KnownJob(job_id, state, 3, 0, 3, f"lab.t3.{job_id}", "jedi:jedi", "managed", None, is_jedis=True)
            for job_id, state in self.STATES.items()
            if job_id in job_ids
        }

    def close(self) -> None: ...

    def noted(self, key: RequestKey) -> Noted | None:
        raise NotImplementedError

    def reserve(self, count: int) -> int:
        return 5001

    def job_ids(self, count: int) -> list[int]:
        return list(range(6001, 6001 + count))

    def job_set_id(self) -> int:
        return 17

    def granted(self, actor: str, job_ids: Sequence[int]) -> set[int]:
        return {job_id for job_id in job_ids if 5001 <= job_id <= 5500}

    def jobs(self, job_ids: Sequence[int]) -> dict[int, KnownJob]:
        return {job_id: self._jobs[job_id] for job_id in job_ids if job_id in self._jobs}

    def live_jobs(self, task_ids: Sequence[int]) -> dict[int, list[int]]:
        return {3: [5001, 5003]}

    def origins(self, job_ids: Sequence[int]) -> dict[int, int]:
        return {}


class Pages:
    """A running job of the task, and more behind it."""

    JOB = JobNow(
        job_id=5001, state="running", attempt_nr=1, vo="lab", task_id=3, site="LAB_B", label="managed", priority=900,
        core_count=1, jobset_id=3, special_handling="pc", node="node7.example.org", started_at=None, ended_at=None,
        pilot={}, errors={},
    )  # fmt: skip

    def close(self) -> None: ...

    def since(self, vo: str, seq: int, after: str | None, limit: int) -> Page:
        raise NotImplementedError

    def of_jobs(self, vo: str, job_ids: Sequence[int], after: str | None, limit: int) -> Page:
        raise NotImplementedError

    def of_task(self, vo: str, task_id: int, after: str | None, limit: int) -> Page:
        (shown,) = RESULTS
        what = JOB_STATUS, "lab", task_id, 5001, "running"
        told = Untold(
            shown["seq"], shown["msg_id"], *what, prev=None, service="replay", at=shown["timestamp"], body=None,
            job=self.JOB,
        )  # fmt: skip
        return Page([told], "5001")


def test_every_message_has_an_example() -> None:
    replied = {one["msg_type"] for one in ANSWERED.values()}
    models = {reply: {f"{said(one)}_reply" for one in conversations() if conversations()[one] is reply}
              for reply in conversations().values()}  # fmt: skip
    assert {one["msg_type"] for one in ASKED} == {said(one) for one in conversations()}
    assert all(replied & of_one for of_one in models.values())
    assert {heard(one) for one in HEARD} == set(TOLD)


@pytest.mark.parametrize("example", ASKED, ids=name_of)
def test_a_request_is_one(example: dict[str, Any]) -> None:
    request = requests.REQUEST.validate_python(example)
    assert set(example) <= names(described(type(request)))
    validator(f"jedi.{example['msg_type']}").validate(example)
    for job in example.get("jobs", ()):
        assert set(job) <= {*JOB_ATTRIBUTES, "Files", "oldpandaids"}
        assert all(set(file) <= {*FILE_ATTRIBUTES, *OF_A_FILE} for file in job["Files"])


@pytest.mark.parametrize("example", list(ANSWERED.values()), ids=name_of)
def test_a_reply_is_one(example: dict[str, Any]) -> None:
    model = {f"{said(request)}_reply": reply for request, reply in conversations().items()}[example["msg_type"]]
    if not example["ok"]:
        model = replies.Refusal
    assert json.loads(replies.encode(model.model_validate(example | {"schema_version": 1}))) == example


@pytest.mark.parametrize(
    ("msg_id", "existing"),
    [
        ("reserve-1", ()), ("task-3-bunch-1", ()), ("release-1", (5001, 5003)), ("kill-1", (5001, 5003, 5004)),
        ("hold-1", (5001, 5003)), ("replay-1", ()),
    ],
)  # fmt: skip
def test_it_is_what_the_code_answers(msg_id: str, existing: tuple[int, ...]) -> None:
    (asked,) = (one for one in ASKED if one["msg_id"] == msg_id)
    rules = Rules(
        Sites(queues={"LAB_B": Queue(site="S", storage="D")}), lambda _vo, lfn: GenericPlugin.names.refusal(lfn)
    )
    request = requests.REQUEST.validate_python(asked)
    reply, _ = handlers(Memory(*existing), rules, Replayer(Pages(), []))[type(request)]("jedi", request)
    reply.in_reply_to = msg_id
    example = ANSWERED[msg_id]
    assert json.loads(replies.encode(reply)) | {"msg_id": example["msg_id"]} == example


def test_what_is_missing_is_answered_as_shown() -> None:
    with pytest.raises(ValueError, match=r"jobids\n.*Field required"):
        requests.REQUEST.validate_python({"msg_type": "kill_jobs", "msg_id": "kill-2"})
    assert ANSWERED["kill-2"]["error"] == "jobids: Field required"


@pytest.mark.parametrize("example", HEARD, ids=name_of)
def test_a_status_is_one(example: dict[str, Any]) -> None:
    model = heard(example)
    said_of_it = model.model_validate(example)  # which knows no other fields
    if model is bodies.FinalJobStatus:
        assert set(model.model_fields) - said_of_it.model_fields_set == {"gshare"}, "all fields are shown"
    validator(f"jedi.{said(model)}{'.final' if 'final' in example else ''}").validate(example)


def test_words_are_those_of_the_code() -> None:
    (outcomes,) = (rows for rows in tables(PAGE) if rows[0][0] == "`finished`")
    assert {row[0].strip("`") for row in outcomes} == set(get_args(bodies.FileOutcome))
    for results in (replies.KillResult, replies.ReleaseResult):
        assert all(f"`{one}`" in PAGE for one in get_args(results))
    states = re.findall(r"\*\*States\*\*: ([a-z, ]+); final: ([a-z, ]+)\.", PAGE)[0]
    listed = [set(part.split(", ")) for part in states]
    assert listed == [set(State) - FINAL, set(FINAL)]
    assert all(f"`{name}`" in PAGE for name in REPLY_QUEUES)


def test_limits_are_those_of_the_code() -> None:
    (rows,) = (rows for rows in tables(PAGE) if rows[0][0] == "jobs in a submission")
    said_there = {name: int(re.sub(r"\D", "", most)) for name, most in rows}
    assert said_there == {
        "jobs in a submission": requests.MOST_JOBS,
        "bytes of a request, unpacked": requests.MOST_BYTES // 1024 // 1024,
        "PandaIDs in `reserve_ids`": requests.MOST_RESERVED,
        "jobs in `kill_jobs`, `release_jobs` or `replay`": requests.MOST_IDS,
        "tasks in `set_share`": requests.MOST_TASKS,
        "jobs in a page of `replay`": requests.MOST_PAGED,
        "characters of `msg_id`": requests.LONGEST_MESSAGE_ID,
    }
    bound = policies()[-1].definition
    megabytes = int(str(bound["max-length-bytes"])) // 1024 // 1024
    assert f"{bound['max-length']:,} messages or {megabytes} MiB" in PAGE
    assert f"after {bound['delivery-limit']} times" in PAGE
    shards = Settings.model_fields["jedi_shards"].default
    assert f"({shards} unless set): task 3 of the VO lab is in `{queue_of_task('lab', 3, shards)}`" in PAGE
    assert f"for {KEY_DAYS} days.**" in PAGE
    assert f"`PANDA_FSM_RETAIN_JEDI_DAYS` ({Settings.model_fields['retain_jedi_days'].default} unless set)" in PAGE
    reassigned = re.findall(r"^MAX_REASSIGNED = ([\d_]+)", GATEWAY, re.MULTILINE)[0]
    assert f"At most {int(reassigned):,} ids a call" in PAGE


def test_the_configuration_names_queues_that_there_are() -> None:
    (configuration,) = (one for one in DOCUMENTS if "mb_servers" in one)
    destinations = {queue["destination"] for queue in configuration["queues"].values()}
    ask = "/exchange/jedi.requests/jedi.requests"
    assert destinations == {ask, f"/queue/{status_queue('lab', 0)}", f"/queue/{replies_queue('lab')}"}
    assert {queue["server"] for queue in configuration["queues"].values()} == set(configuration["mb_servers"])
    assert {one["in_queue"] for one in configuration["processors"].values()} < set(configuration["queues"])


@pytest.mark.parametrize("block", blocks("python"))
def test_programs_can_be_read(block: str) -> None:
    ast.parse(block)
