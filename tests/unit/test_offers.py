"""What a queue offers: status, downtime and limits of it decide who gets which job, in a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.wire.pilot_filters import filters
from gateway.wire.pilot_requests import AcquireRequest
from panda_fsm.claims import Filters
from panda_fsm.information.models import Downtime, Override
from panda_fsm.offers import Slot, offer
from panda_fsm.sites import Queue, Site, Sites, Status

AT = datetime(2026, 11, 26, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAST, NOW = Downtime(begins_at=AT - HOUR, ends_at=AT), Downtime(begins_at=AT, ends_at=AT + HOUR, reason="new disks")
LONGER = Downtime(begins_at=AT - HOUR, ends_at=AT + 2 * HOUR)
ABROAD = Downtime(begins_at=AT, ends_at=(AT + HOUR).astimezone(timezone(2 * HOUR)))
SET: dict[str, Any] = {"by": "ana", "reason": "I test it", "since": AT - HOUR}


def queue(**fields: Any) -> Queue:
    """A queue of the site S."""
    return Queue(site="S", storage="D", **fields)


def offered(one: Queue, *at_its_site: Downtime) -> tuple[str, str | None]:
    """Its status now, and why it is shut."""
    found = offer(Sites(queues={"Q": one}, sites={"S": Site(downtimes=at_its_site)}), "Q", AT)
    assert found is not None
    return found.status.value, found.shut


@pytest.mark.parametrize(
    ("one", "at_its_site", "status", "why"),
    [
        (queue(), (), "online", None),
        (queue(status="brokeroff"), (), "brokeroff", None),
        (queue(status="test"), (), "test", None),
        (queue(status="offline"), (), "offline", "Q is offline"),
        (queue(status="offline", downtimes=(NOW,)), (), "offline", "Q is offline"),
        (queue(downtimes=(PAST,)), (PAST,), "online", None),
        (queue(downtimes=(NOW,)), (), "offline", "Q is in downtime until 2026-11-26 15:00 UTC: new disks"),
        (queue(downtimes=(NOW,)), (LONGER,), "offline", "Q is in downtime until 2026-11-26 16:00 UTC"),
        (queue(downtimes=(ABROAD,)), (), "offline", "Q is in downtime until 2026-11-26 15:00 UTC"),
        (queue(status="test"), (NOW,), "offline", "Q is in downtime until 2026-11-26 15:00 UTC: new disks"),
        (queue(downtimes=(NOW,), override=Override(status=Status.ONLINE, **SET)), (NOW,), "online", None),
        (queue(override=Override(status=Status.OFFLINE, **SET)), (), "offline", "Q is set offline by ana: I test it"),
        (queue(override=Override(status=Status.OFFLINE, until=AT + HOUR, **SET)), (), "offline",
         "Q is set offline until 2026-11-26 15:00 UTC by ana: I test it"),
        (queue(status="test", override=Override(status=Status.OFFLINE, until=AT, **SET)), (), "test", None),
    ],
)  # fmt: skip
def test_a_queue_is_open_or_says_why_not(
    one: Queue, at_its_site: tuple[Downtime, ...], status: str, why: str | None
) -> None:
    assert offered(one, *at_its_site) == (status, why)


def test_of_a_queue_that_nobody_knows_nothing_is_offered() -> None:
    assert offer(Sites(), "Q", AT) is None


ALL = {"memory": 4000, "disk": 500, "remaining_time": 3600, "core_count": 8}
LIMITS = {"max_memory_mb": 4000, "max_work_dir_mb": 500, "max_time_s": 3600, "cores": 8}


@pytest.mark.parametrize(
    ("said", "limits", "found"),
    [
        ({}, {}, {}),
        ({}, LIMITS, ALL),
        ({"memory": 2000, "disk": 100, "remaining_time": 60, "core_count": 1}, LIMITS,
         {"memory": 2000, "disk": 100, "remaining_time": 60, "core_count": 1}),
        ({"memory": 24_105, "disk": 20_000, "remaining_time": 90_000, "core_count": 64}, LIMITS, ALL),
        ({"memory": 2000}, {}, {"memory": 2000}),
        ({}, {"cores": 8, "capability": "score"}, {"core_count": 1}),
        ({}, {"cores": 8, "capability": "mcore"}, {"core_count": 8, "too_few_cores": 1}),
        ({}, {"cores": 8, "capability": "ucore"}, {"core_count": 8}),
        ({}, {"capability": "mcore"}, {"too_few_cores": 1}),
        ({}, {"min_memory_mb": 2000, "max_memory_mb": 4000}, {"memory": 4000}),
    ],
)  # fmt: skip
def test_a_pilot_takes_no_more_than_it_and_its_queue_have(
    said: dict[str, Any], limits: dict[str, Any], found: dict[str, Any]
) -> None:
    assert Slot.of(queue(**limits)).within(Filters("Q", ("user",), **said)) == Filters("Q", ("user",), **found)


@pytest.mark.parametrize("label", [None, "user", "managed", "unified", "panda"])
def test_pilots_of_a_queue_in_test_take_tests_only(label: str | None) -> None:
    ask = AcquireRequest.model_validate({"siteName": "Q", "prodSourceLabel": label})
    assert filters(ask, Status.TEST).labels == ("test",)
    for status in (Status.ONLINE, Status.BROKEROFF):
        assert filters(ask, status).labels != ("test",)
