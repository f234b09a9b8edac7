"""Histories as tests want them: jobs that made their steps some time ago, and the daemon that counts them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.clockwork import Clock
from tests.driver import Database

LIFE = (
    ("submitted", None), ("inputs_at_site", "defined"), ("acquired", "activated"), ("pilot_running", "sent"),
    ("pilot_ended", "running"), ("outputs_done", "holding"),
)  # fmt: skip
"""The steps of an easy life, by trigger and the state they lead from."""


def walk(
    database: Database, job_id: int, ago_s: Sequence[float], steps: Sequence[tuple[str, str | None]] = LIFE
) -> None:
    """A job makes these steps, each so many seconds ago."""
    database.rows(
        """INSERT INTO job_history (job_id, version, transition_id, at, service, host)
           SELECT %(job)s, s.n, t.transition_id, now() - make_interval(secs => s.ago), 'test', 'here'
           FROM unnest(%(events)s::text[], %(sources)s::text[], %(ago)s::float8[])
               WITH ORDINALITY s(event, source, ago, n)
           JOIN job_transition t ON t.event = s.event AND t.source IS NOT DISTINCT FROM s.source
           ORDER BY s.n RETURNING 1""",
        {
            "job": job_id, "ago": [float(ago) for ago in ago_s], "events": [event for event, _ in steps[: len(ago_s)]],
            "sources": [source for _, source in steps[: len(ago_s)]],
        },
    )  # fmt: skip


def count_from(database: Database, clock: Clock, ago: str = "1 hour") -> None:
    """Count what there is since then."""
    database.execute("UPDATE history_counted SET until = now() - %s::interval", (ago,))
    clock.round("flow")
