"""Accepts what the outside asks: what is kept in the database is promised, and everything else follows by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.http.refusal import TooLargeError
from gateway.ports import RequestStore
from gateway.work.coalesce import Coalescer, Pair
from gateway.work.publishing import Publishing
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.pilot_commands import said_twice
from panda_fsm.jobs.plain import PlainReport, Taken
from panda_fsm.messages import LARGEST_BODY, PilotReport

_TOGETHER = 200
_BYTES_TOGETHER = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Request:
    """Messages that are kept all or none, the job whose pilot sent them, and what is written down of who did."""

    messages: Sequence[Outgoing]
    heard: int | None = None
    audit: AuditRow | None = None

    @property
    def weight(self) -> int:
        return sum(len(message.body) for message in self.messages)


class Requests:
    """The kept request is the acceptance (ADR 0010). The broker decides nothing: it may be away."""

    def __init__(self, store: RequestStore, publishing: Publishing) -> None:
        self._store = store
        self._publishing = publishing
        self._kept: Coalescer[_Request, None] = Coalescer(
            self._keep, _TOGETHER, lambda request: request.weight, _BYTES_TOGETHER, is_promise=True
        )
        self._heard: Coalescer[int, None] = Coalescer(self._hear, _TOGETHER)
        self._plain: Pair[PlainReport, Taken | None] = Pair(
            lambda: Coalescer(
                self._keep_plain, _TOGETHER, lambda report: len(report.message.body), _BYTES_TOGETHER, is_promise=True
            )
        )

    async def accept(self, messages: Sequence[Outgoing], audit: AuditRow | None = None) -> None:
        """Returns when all are kept on disk, with who asked. Raises TransientError: none is. Raises TooLargeError."""
        if messages:
            await self._accept(_Request(messages, audit=audit))

    async def accept_plain(self, report: PilotReport, holder: str) -> Taken | None:
        """The same for the usual report, looked at and kept by one statement, or written down that it was heard.

        None: it needs a closer look, and nothing was done. Raises TransientError.
        """
        plain = PlainReport.of(report, holder)
        if len(plain.message.body) > LARGEST_BODY:
            return None
        taken = await self._plain.ask(plain)
        if taken is not None:
            report.heartbeat = taken.is_heartbeat
            report.told = said_twice(taken.command)  # of what is kept already it is not known: the pilot hears it again
            self._publishing.publish([Outgoing.of(report) if taken.is_heartbeat else plain.message])
        return taken

    async def accept_report(self, report: PilotReport) -> None:
        """The same for a report; that its pilot was heard is kept with it."""
        await self._accept(_Request([Outgoing.of(report)], report.job_id))

    async def accept_heartbeat(self, report: PilotReport) -> None:
        """Returns when it is written down that the pilot was heard; the report itself is not kept: another one comes.

        Raises TransientError.
        """
        await self.hear(report.job_id)
        self._publishing.publish([Outgoing.of(report)])

    async def hear(self, job_id: int) -> None:
        """Write down that the job's pilot was heard. Raises TransientError."""
        await self._heard.ask(job_id)

    async def _accept(self, request: _Request) -> None:
        check_sizes(request.messages)
        await self._kept.ask(request)
        self._publishing.publish(request.messages)

    async def _keep(self, requests: Sequence[_Request]) -> list[None]:
        messages = [message for request in requests for message in request.messages]
        heard = [request.heard for request in requests if request.heard is not None]
        await self._store.keep(messages, heard, [request.audit for request in requests if request.audit is not None])
        return [None] * len(requests)

    async def _keep_plain(self, reports: Sequence[PlainReport]) -> Sequence[Taken | None]:
        return await self._store.keep_plain(reports)

    async def _hear(self, job_ids: Sequence[int]) -> list[None]:
        await self._store.hear(job_ids)
        return [None] * len(job_ids)


def check_sizes(messages: Sequence[Outgoing]) -> None:
    """Raises TooLargeError for what no broker takes."""
    largest = max(len(message.body) for message in messages)
    if largest > LARGEST_BODY:
        raise TooLargeError(f"one job or report has {largest} bytes, more than the {LARGEST_BODY} that can be sent")
