"""Templates of the dashboards: everything in them is text unless we made the markup, and a missing name is a fault."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.dashboard import charts
from gateway.dashboard.actions import ACTIONS, offered
from gateway.dashboard.go import place_of
from panda_fsm.views import words
from panda_fsm.views.job_list import tone_of

_HERE = Path(__file__).parent
STATIC = _HERE / "static"


_KNOWN: set[str] = set()


@dataclass(frozen=True, slots=True)
class Clock:
    """What stands in a page that was drawn for the time at which it is shown; no text of others can be the same."""

    at: str = field(default_factory=lambda: f"clock-{token_hex()}")
    text: str = field(default_factory=lambda: f"clock-{token_hex()}")


CLOCK = Clock()


def is_known(template: str) -> bool:
    """Whether it was used before: the first time it is compiled, which takes a while."""
    return template in _KNOWN


def rendered(template: str, **context: Any) -> str:
    """The page."""
    made = _environment().get_template(template).render(context)
    _KNOWN.add(template)
    return made


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "number": words.number, "short": words.short, "rate": words.rate, "share": words.share,
        "duration": words.duration, "size": words.size, "moment": words.moment, "clock": words.clock,
        "counted": words.counted, "tone": tone_of, "place": place_of,
    }  # fmt: skip
    made.globals |= {
        "spark": charts.spark,
        "meter": charts.meter,
        "looks": _looks(),
        "shown": CLOCK,
        "actions": ACTIONS,
        "offered": offered,
    }
    return made


def _looks() -> str:
    """Another one whenever style or script changed, so that browsers may keep what they have."""
    parts = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))
    return hashlib.sha256(parts).hexdigest()[:12]
