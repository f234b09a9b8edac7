"""The page Flow: the pipeline with what piles up, each hop beside a week ago, and its twins."""

from __future__ import annotations

import csv
import io

import pytest

from panda_fsm.jobs.states import State
from panda_fsm.views.flow import FlowNow, HopNow, Series
from panda_fsm.views.pipeline import flow_view
from tests.driver import Database
from tests.gateway_http import Caller
from tests.integration.test_views_flow import moved

__all__ = ["moved"]
PAGE = "/ui/flow"


def test_the_page_and_its_twins(user: Caller, moved: Database) -> None:
    found = user.get(f"{PAGE}.json", window="1h")
    hop = next(row for row in found["rows"] if row["destination"] == "sent")
    assert (hop["source"], hop["jobs"], hop["before_jobs"]) == ("activated", 4, 25)
    assert [stage["name"] for stage in found["stages"]][0::7] == ["defined", "finished"]
    assert found["stages"][0]["count"] == 2
    assert {end["name"]: round(end["share"], 2) for end in found["ended"] if end["per_s"]} == {
        "finished": 0.75, "failed": 0.25,
    }  # fmt: skip
    page = user.http.get(PAGE, params={"window": "1h"}).text
    assert 'href="/ui/jobs?state=activated"' in page
    assert "last week" in page
    cells = list(csv.DictReader(io.StringIO(user.http.get(f"{PAGE}.csv").text)))
    assert {row["destination"] for row in cells} >= {"sent", "finished"}


@pytest.mark.parametrize(
    ("query", "status", "shown"),
    [
        ({"window": "2y"}, 400, "must be one of 5min, 1h, 24h"),
        ({"site": "nowhere"}, 200, "No job of this queue moved"),
        ({"site": "<b>x</b>"}, 200, "&lt;b&gt;x&lt;/b&gt;"), ({"sites": "x"}, 400, "is no filter of this page"),
    ],
)  # fmt: skip
def test_what_is_asked_oddly(onlooker: Caller, query: dict[str, str], status: int, shown: str) -> None:
    answer = onlooker.http.get(PAGE, params=query)
    assert answer.status_code == status
    assert shown in answer.text
    assert "<b>x</b>" not in answer.text


def test_nothing_has_happened_yet(onlooker: Caller) -> None:
    assert "No job moved yet" in onlooker.http.get(PAGE).text


def test_where_it_piles_up_is_said(moved: Database) -> None:
    as_of = moved.value("SELECT until FROM history_counted")
    series = Series(as_of, (), ())
    into = HopNow("holding", "transferring", 3.0, 900)
    out = HopNow("transferring", "finished", 1.0, 300, p95=2460.0, before_jobs=300, before_p95=540.0, factor=4.6,
                 is_worse=True)  # fmt: skip
    for hops, tone, note in (
        ((into, out), "bad", "▲ piles up: p95 41 min, was 9 min, grows by 2.0/s"),
        ((out,), "warn", "▲ p95 41 min, was 9 min"),
        ((into,), "warn", "▲ grows by 3.0/s"),
    ):
        view = flow_view(FlowNow(as_of, 3, 300, hops), {"transferring": 7331}, series)
        stage = next(stage for stage in view.stages if stage.name == State.TRANSFERRING)
        assert (stage.tone, stage.note, stage.count) == (tone, note, 7331)
