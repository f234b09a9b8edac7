"""What a gateway works with, in the memory of a unit test: a database that says what it was asked, a broker in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.work.ids import BLOCK
from panda_fsm.claims import SiteAsks
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.plain import PlainReport, Taken


class Memory:
    """A database that remembers, in the order of what was asked of it; `trouble` is what it raises."""

    def __init__(self, *jobs: JobRow) -> None:
        self.known = {job.job_id: job for job in jobs}
        self.did: list[tuple[str, Any]] = []
        self.left: list[str] = []
        """Messages that nobody publishes any more."""
        self.plain: dict[int, Taken] = {}
        """Jobs whose reports need no closer look."""
        self.trouble: Exception | None = None
        self.next_block = 1

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        return {job_id: self.known[job_id] for job_id in job_ids if job_id in self.known}

    async def working_groups(self, job_ids: Sequence[int]) -> dict[int, str]:
        return {}

    async def keep(self, messages: Sequence[Outgoing], heard: Sequence[int], audit: Sequence[AuditRow] = ()) -> None:
        await self._do("keep", ([message.routing_key for message in messages], list(heard)))

    async def keep_plain(self, reports: Sequence[PlainReport]) -> list[Taken | None]:
        taken = [self.plain.get(report.job_id) for report in reports]
        if any(taken):
            await self._do("keep_plain", [one.job_id for one, is_taken in zip(reports, taken, strict=True) if is_taken])
        return taken

    async def leave(self, message_ids: Sequence[str]) -> None:
        self.left += message_ids

    async def hear(self, job_ids: Sequence[int]) -> None:
        await self._do("hear", sorted(job_ids))

    async def tick(self, name: str, grace_s: float) -> None:
        await self._do("tick", (name, grace_s))

    async def count_asked(self, asked: Mapping[str, SiteAsks]) -> None:
        await self._do("asked", {site: (one.asks, one.jobs, one.empty) for site, one in asked.items()})

    async def job_id_block(self) -> int:
        await self._do("block", self.next_block)
        self.next_block += BLOCK
        return self.next_block - BLOCK

    async def last_job_id_block(self) -> int:
        return self.next_block - BLOCK

    async def submission_waits(self, age_s: float) -> bool:
        return False

    async def job_set_id(self) -> int:
        return 1

    async def _do(self, what: str, whom: Any) -> None:
        self.did.append((what, whom))
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble


class Broker:
    """Takes messages, each when it is let through; or is away."""

    def __init__(self, away: bool = False) -> None:
        self.published: list[str] = []
        self.away = away
        self.go = asyncio.Event()
        self.go.set()
        self.is_connected = not away
        self.is_blocked = False
        self.trouble = "away" if away else None

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        await self.go.wait()
        if self.away:
            raise NotPublishedError("away")
        self.published.append(message.routing_key)
