"""Alerts, runbooks and boards: their rules do what they say, and they speak of metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from command.metrics import of_the_system
from panda_fsm.figures import SYSTEM, TALLY
from panda_fsm.tally import Histogram
from tests.pages import ROOT

PLACE = ROOT / "docs" / "operations"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
BOARDS = sorted((PLACE / "grafana").glob("*.json"))
PARTS = ("_bucket", "_count", "_sum")
KNOWN = {
    *(metric.name for metric in (*TALLY, *SYSTEM) if not isinstance(metric, Histogram)),
    *(metric.name + part for metric in TALLY if isinstance(metric, Histogram) for part in PARTS),
    *(sample.name for family in of_the_system() for sample in family.samples),
    *(rule["record"] for rule in RULES if "record" in rule),
}
LABELS = {label for metric in (*TALLY, *SYSTEM) for label in metric.labels} | {"instance", "process", "le"}


def promtool(*arguments: str | Path) -> str:
    """What it says; Debian's package prometheus brings it, and `make test` installs that."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> list[tuple[str, str]]:
    """Where, and what is asked of Prometheus."""
    asked = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            asked += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return asked


@pytest.mark.parametrize("name", ["alerts_test.yml", "alerts_week_test.yml"])
def test_alerts_fire_when_they_should(name: str) -> None:
    promtool("test", "rules", ROOT / "tests" / "data" / name)


def test_every_alert_is_tried() -> None:
    tried = "".join(path.read_text() for path in (ROOT / "tests" / "data").glob("alerts*.yml"))
    assert not {rule["alert"] for rule in ALERTS if rule["alert"] not in tried}


def test_what_is_asked_is_what_prometheus_understands(tmp_path: Path) -> None:
    asked = [expr.replace("$__rate_interval", "5m").replace("$site", ".*") for _, expr in expressions()]
    rules = [{"record": f"a:{number}", "expr": expr} for number, expr in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize(("where", "expr"), expressions())
def test_metrics_and_labels_that_are_named_exist(where: str, expr: str) -> None:
    assert set(re.findall(r"panda[a-z_:0-9]+", re.sub(r'"[^"]*"', "", expr))) <= KNOWN
    grouped = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", expr) for label in group.split(",")}
    matched = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', expr))
    assert grouped | matched <= LABELS


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_runbook_that_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    text = (ROOT / page).read_text()
    headings = {heading.lower(): heading for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert headings[anchor] == rule["alert"]
    part = text.partition(f"\n## {rule['alert']}\n")[2].partition("\n## ")[0]
    assert part.lstrip().startswith("*"), "what it means"
    assert "\n1. " in part, "what to look at and to do"


def test_each_runbook_is_of_an_alert() -> None:
    headings = set(re.findall(r"^## (\w+)$", (ROOT / "docs/operations/runbooks.md").read_text(), re.MULTILINE))
    assert headings == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_can_be_imported(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == f"panda-fsm-{path.stem}"
    assert board["schemaVersion"] >= 30
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in (panel["gridPos"] for panel in panels))
    for panel in panels:
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
