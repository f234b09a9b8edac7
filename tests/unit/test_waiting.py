"""Why a job waits: for every state that is not final a sentence, what comes by itself, and what one could do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.codes import Verdict
from panda_fsm.jobs.facts import FINAL, LIVE, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.offers import Offer, Slot
from panda_fsm.sites import Status
from panda_fsm.views.fitting import Ask, misfits
from panda_fsm.views.jobs import JobNow, LifeFile, Places, Related, Why
from panda_fsm.views.waiting import WHY, Around, Waiting, why
from tests import factories

AT = datetime(2026, 11, 26, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def now(state: State, minutes: float = 10, **fields: Any) -> JobNow:
    """A job of task 7 that has been in its state for so long."""
    entered = AT - minutes * MINUTE
    values: dict[str, Any] = {
        "site": "SITE_B", "priority": 900, "entered_at": entered, "created_at": AT - timedelta(hours=2),
        "deadline_at": AT + timedelta(hours=1), "has_report": state in (State.HOLDING, State.TRANSFERRING),
    }  # fmt: skip
    job = factories.job(state, **(values | {k: v for k, v in fields.items() if k not in JobNow.__slots__}))
    others: dict[str, Any] = {
        "name": "n", "user_name": "me", "owner": "o", "job_definition_id": 0, "jobset_id": 0, "core_count": 8,
        "min_ram": 4000, "max_disk": 100, "max_walltime": 3600, "resource_type": "MCORE", "holder": "iss|p",
        "node": "wn-042", "left_by": None, "errors": None, "pilot": {"worker_id": "77"}, "modified_at": AT,
        "started_at": None, "ended_at": None, "is_background": False, "max_attempt": 5, "gshare": None,
        "working_group": None, "transformation": None, "is_archived": False,
    }  # fmt: skip
    return JobNow(job=job, **(others | {k: v for k, v in fields.items() if k in others}))


def file(kind: str, status: str, block: str | None = "block_dis1", **fields: Any) -> LifeFile:
    """A file on its way from one storage to another."""
    values: dict[str, Any] = {
        "lfn": f"{kind}.root", "type": kind, "scope": "s", "dataset": "d", "size": 1, "status": status,
        "destination": "", "destination_block": "", "block": block, "block_status": "running", "source": "DISK_A",
        "target": "DISK_B", "asked_at": AT - 3 * MINUTE,
    }  # fmt: skip
    return LifeFile(**(values | fields))


def told(one: JobNow, *files: LifeFile, around: Around | None = None, **fields: Any) -> Why:
    """What is said of it."""
    places = fields.pop("places", Places())
    related = tuple(fields.pop("related", ()))
    offer = fields.pop("offer", None)
    waiting = Waiting(one, places, files, len(files), related, around or Around(), TableLimits({}, {}), AT, offer)
    answer = why(waiting)
    assert answer is not None
    return answer


HELD = Places(held_by="jedi-lab", held_at=AT - 60 * MINUTE)
SENTENCES: list[tuple[str, Why, str]] = [
    ("pending", told(now(State.PENDING)), "JEDI submitted it 2 h ago and has not released it yet."),
    ("defined", told(now(State.DEFINED)), "The setupper was told of it 10 min ago and has not answered yet."),
    ("defined, put off", told(now(State.DEFINED, waits_for="DISK_A cannot be reached")),
     "It is not set up yet: DISK_A cannot be reached."),
    ("waiting", told(now(State.WAITING), file("input", "unknown")),
     "An input is nowhere: input.root is on no storage."),
    ("assigned", told(now(State.ASSIGNED), file("input", "pending"), file("input", "ready")),
     "Its input is on the way from DISK_A to DISK_B, asked for 3 min ago."),
    ("activated, held", told(now(State.ACTIVATED), places=HELD),
     "Task 7 is held by jedi-lab since 2026-11-26 13:00:00: no pilot gets its jobs."),
    ("activated, paused", told(now(State.ACTIVATED), around=Around(is_paused=True, paused_by="ana", paused_for="fire")),
     "SITE_B is paused by ana: fire."),
    ("activated, offline", told(now(State.ACTIVATED), offer=Offer(Status.OFFLINE, Slot(), "SITE_B is offline")),
     "Pilots get no jobs there: SITE_B is offline."),
    ("activated, too large", told(now(State.ACTIVATED), offer=Offer(Status.ONLINE, Slot(memory=2000, core_count=1))),
     "SITE_B gives at most 2,000 MB of memory, it needs 4,000."),
    ("activated, too small",
     told(now(State.ACTIVATED, core_count=1), offer=Offer(Status.ONLINE, Slot(too_few_cores=1))),
     "SITE_B takes jobs of at least 2 cores, it needs 1."),
    ("activated, no test", told(now(State.ACTIVATED), offer=Offer(Status.TEST, Slot())),
     "SITE_B is in test: it gives tests only, and its label is user."),
    ("activated, nobody", told(now(State.ACTIVATED), offer=Offer(Status.BROKEROFF, Slot(4000, core_count=8))),
     "Nobody has asked for jobs of SITE_B since it became ready. No pilot asked there lately."),
    ("activated, nobody since",
     told(now(State.ACTIVATED), around=Around(asks=(Ask({}, AT - 30 * MINUTE, 3, 0),))),
     "Nobody has asked for jobs of SITE_B since it became ready. The last one asked 30 min ago."),
    ("activated, unfit",
     told(now(State.ACTIVATED), around=Around(asks=(Ask({"memory": 2000}, AT - 2 * MINUTE, 14, 0),))),
     "No pilot of SITE_B that asked lately can take it. 14 requests of pilots asked for at most 2,000 MB of memory, it"
     " needs 4,000 (last 2 min ago)."),
    ("activated, behind", told(now(State.ACTIVATED), around=Around(1000, asks=(Ask({}, AT - MINUTE, 1, 0),))),
     "At least 1,000 jobs of SITE_B go before it; pilots asked last 1 min ago."),
    ("activated, next", told(now(State.ACTIVATED), around=Around(0, asks=(Ask({}, AT - MINUTE, 1, 0),))),
     "It is the next of SITE_B; pilots asked last 1 min ago."),
    ("throttled", told(now(State.THROTTLED), places=HELD),
     "Task 7 is held by jedi-lab since 2026-11-26 13:00:00: no pilot gets its jobs."),
    ("throttled, by nobody", told(now(State.THROTTLED)),
     "It is held back from pilots, though task 7 is not held any more."),
    ("sent", told(now(State.SENT)), "Pilot 77 has it at wn-042 since 10 min ago and has not spoken yet."),
    ("starting", told(now(State.STARTING)), "Its payload starts at wn-042; its pilot spoke last 10 min ago."),
    ("running", told(now(State.RUNNING, 300), places=Places(heard_at=AT - 50 * MINUTE)),
     "Its payload runs at wn-042; its pilot spoke last 50 min ago. That is longer than pilots are silent."),
    ("holding", told(now(State.HOLDING)),
     "The adder was told of its outputs 10 min ago and has not answered yet."),
    ("holding, put off", told(now(State.HOLDING, waits_for="catalogue away")),
     "Its outputs are not added yet: catalogue away."),
    ("holding, declared", told(now(State.HOLDING, has_report=False)),
     "Its pilot says that it is done and owes its final report; it spoke last 10 min ago."),
    ("transferring", told(now(State.TRANSFERRING), file("output", "transferring"), file("log", "transferring")),
     "Its 2 outputs are on the way from DISK_A to DISK_B, asked for 10 min ago."),
    ("transferring, declared", told(now(State.TRANSFERRING, has_report=False)),
     "Its pilot moves its outputs; it spoke last 10 min ago."),
    ("merging", told(now(State.MERGING), related=[Related(12, "merges its outputs", "running", None)]),
     "Its outputs are merged by job 12 (running); it ends with that."),
    ("merging, by nobody", told(now(State.MERGING)),
     "Its outputs wait to be merged, and no job that does it is known yet."),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "sentence"), [one[1:] for one in SENTENCES], ids=[one[0] for one in SENTENCES])
def test_it_is_said_in_a_sentence(answer: Why, sentence: str) -> None:
    assert answer.sentence == sentence
    assert answer.could, "somebody can do something about it"
    assert answer.comes, "it ends by itself in the end"


def test_every_live_state_is_told_and_no_other() -> None:
    assert set(WHY) == LIVE
    assert {name.partition(",")[0] for name, *_ in SENTENCES} == {state.value for state in LIVE}
    for state in FINAL:
        waiting = Waiting(now(state), Places(), (), 0, (), Around(), TableLimits({}, {}), AT)
        assert why(waiting) is None


@pytest.mark.parametrize(
    ("one", "look", "comes"),
    [
        (now(State.TRANSFERRING, has_report=True), 5,
         ["At 2026-11-26 14:05:00 the DDM is asked again, if nothing comes before.",
          "It fails on 2026-11-26 15:00:00 (task_buffer 101: outputs never arrived), if nothing comes before."]),
        (now(State.RUNNING), 5,
         ["It fails on 2026-11-26 15:00:00 (job_dispatcher 100: lost heartbeat), if nothing comes before."]),
        (now(State.SENT), 5, ["It goes to another pilot at 2026-11-26 15:00:00 if this one has not spoken by then."]),
        (now(State.SENT, returns=3), 5,
         ["It fails on 2026-11-26 15:00:00 (job_dispatcher 102: sent to a pilot that never reported), if nothing comes"
          " before."]),
        (now(State.HOLDING, verdict=Verdict.FINISHED), 90,
         ["It fails on 2026-11-26 15:00:00 (job_dispatcher 103: stuck in holding), if nothing comes before."]),
        (now(State.ACTIVATED, 600), 0,
         ["It is ended on 2026-11-26 15:00:00 (task_buffer 102: expired in activated: no pilot came), if nothing comes"
          " before."]),
        (now(State.ACTIVATED, 800, deadline_at=AT + 600 * MINUTE), 0,
         ["It is ended on 2026-11-27 00:00:00 (task_buffer 102: expired in activated: no pilot came), if nothing comes"
          " before.", "From 2026-11-26 12:40:00 on it is ended earlier if its task does not go on at its queue."]),
        (now(State.PENDING, deadline_at=AT - MINUTE), 0,
         ["It is ended now (task_buffer 102: expired in pending), if nothing comes before."]),
    ],
)  # fmt: skip
def test_what_comes_by_itself_is_told_with_its_time(one: JobNow, look: int, comes: list[str]) -> None:
    assert list(told(one, places=Places(look_at=AT + look * MINUTE)).comes) == comes


def test_an_appointment_that_cannot_be_kept_says_why() -> None:
    assert told(now(State.HOLDING), places=Places(trouble="KeyError: 1")).comes[0] == (
        "Its appointment cannot be kept: KeyError: 1."
    )


def test_what_is_usual_and_who_is_away_is_told_too() -> None:
    around = Around(usual_s=20.0, away={"ddm": "none of its processes lives"})
    assert told(
        now(State.TRANSFERRING, 41), file("output", "transferring"), around=around, places=Places(peers=4121)
    ).more == (
        "Block block_dis1.", "The ddm does not work: none of its processes lives.",
        "It has been transferring for 41 min; 95 % here take 20 s.", "4,120 other jobs of SITE_B are transferring.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "wrong"),
    [
        ({}, []),
        ({"memory": 4000, "labels": ["user"], "core_count": 8, "task_id": 7, "user_name": "me"}, []),
        ({"memory": 3999}, [("asked for at most 3,999 MB of memory", "it needs 4,000")]),
        ({"disk": 99}, [("asked for at most 99 MB of disk", "it needs 100")]),
        ({"remaining_time": 60}, [("asked for at most 60 s of time", "it needs 3,600")]),
        ({"core_count": 1}, [("asked for at most 1 cores", "it needs 8")]),
        ({"labels": ["managed", "test"]}, [("asked for managed or test jobs", "its label is user")]),
        ({"resource_type": "SCORE"}, [("asked for SCORE jobs", "it is MCORE")]),
        ({"task_id": 8}, [("asked for jobs of task 8", "it is of task 7")]),
        ({"user_name": "you"}, [("asked for jobs of you", "it is of me")]),
        ({"background": True}, [("asked for background jobs", "it is none")]),
        ({"memory": "many", "labels": 7}, []),
    ],
)
def test_what_excludes_a_job_is_what_the_claim_goes_by(filters: dict[str, Any], wrong: list[tuple[str, str]]) -> None:
    assert misfits(now(State.ACTIVATED), filters) == wrong


def test_one_pilot_that_fits_is_enough_and_old_ones_say_nothing() -> None:
    unfit = Ask({"memory": 1}, AT - MINUTE, 5, 0)
    one = now(State.ACTIVATED, 1000)
    for asks, sentence in (
        ((unfit, Ask({}, AT - MINUTE, 1, 1)), "It is the next of SITE_B; pilots asked last 1 min ago."),
        ((replace(unfit, last_at=AT - 420 * MINUTE),), "It is the next of SITE_B; pilots asked last 7 h ago."),
    ):
        assert told(one, around=Around(0, asks=asks)).sentence == sentence
