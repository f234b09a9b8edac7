"""A task of a few jobs in the hands of the real services and an unreliable broker, beside the model of their lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from panda_fsm.jobs import kills
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.judgement import note_of_foreign_batch
from panda_fsm.messages import (
    FilesArrived,
    FilesFailed,
    KillJob,
    PilotReport,
    ReassignJob,
    ReleaseJobs,
    TellPilot,
    ThrottleJobs,
    TransferRequested,
    decode,
)
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.faults import age
from tests.inprocess import InProcess
from tests.life_books import check_books, expected, seen
from tests.life_mirror import Mirror
from tests.life_model import FINAL, Life
from tests.life_plans import Plan, merging, planned, report
from tests.life_rules import may_kill
from tests.life_services import Services
from tests.unreliable_broker import UnreliableBroker, die_before_commit, mute, taken

_LONG_DAYS = 30
_SOON_S, _SOONER_S = 3600.0, 180.0
AT_WORK = ("sent", "starting", "running", "holding", "transferring")
"""States in which a pilot may still speak of its job."""
LIVE = ("pending", "defined", "waiting", "assigned", "activated", "throttled", *AT_WORK, "merging")
MERGERS = 3
"""So many jobs may try to merge, and not for the last time, in the time of a task."""


class World:
    """A task of a few jobs, what the services make of them, and what the model says they should."""

    def __init__(
        self, number: int, services: Services, database: Database, clock: Clock, far: Callable[[str], object]
    ) -> None:
        """`far` stores an input elsewhere."""
        self.task_id = number
        self._far = far
        self._services = services
        self._database = database
        self._clock = clock
        self.broker = UnreliableBroker(database)
        self._mirror = Mirror()
        self.lives = self._mirror.lives

    def submit(self, plans: list[Plan]) -> None:
        """The jobs come in one message, and those that are held back at first in another one."""
        drafts: dict[str, list[JobDraft]] = {"pending": [], "defined": []}
        for place, plan in enumerate(plans, start=1):
            draft, life = planned(self.task_id * 100 + place, plan, self.task_id)
            drafts[life.state].append(draft)
            self._mirror.planned[draft.job_id] = life
            for lfn in life.away - life.nowhere:
                self._far(lfn)
        for state, some in drafts.items():
            if some:
                self.broker.publish([factories.submit(*some, to_pending=state == "pending")])

    def deliver(self, which: int, place: int, most: int, how: str) -> None:
        """A service gets messages: all goes well, they come again, or it dies before or after the commit."""
        busy = [queue for queue in self.broker.busy() if queue in self._services.by_queue]
        if not busy:
            return
        queue = busy[which % len(busy)]
        service = self._services.by_queue[queue]
        messages = self.broker.take(queue, place, most)
        if how == "dies before":
            die_before_commit(service, *messages)
        elif how == "dies after":
            with mute(service):
                service.handle(*messages)
        else:
            service.handle(*messages)
            self._publish(service)
        if how != "well":
            self.broker.put_back(queue, messages)
        if how != "dies before":
            for message in messages:
                self._mirror.handled(queue, message)
            if queue == "setupper":
                self._note_blocks()

    def _note_blocks(self) -> None:
        """How a set-up calls its blocks is its own business; whose inputs are in them tells what is said of whom."""
        query = """SELECT job_id, array_remove(array_agg(b.name), NULL) FROM job JOIN job_file f USING (job_id)
                   LEFT JOIN data_block b USING (block_id) WHERE job.task_id = %s AND f.type = 'input' GROUP BY 1"""
        self._mirror.blocks = {job_id: set(names) for job_id, names in self._database.rows(query, (self.task_id,))}

    def flow(self, messages: int) -> None:
        """For a while all goes well."""
        for _ in range(messages):
            self.deliver(0, 0, 10, "well")

    def _publish(self, service: InProcess) -> None:
        for outgoing in taken(service.outlet):
            message = decode(outgoing.body)
            if outgoing.exchange == message.exchange:
                self.broker.publish([message])
            else:
                self.broker.put_back(outgoing.routing_key, [message])  # it comes through a delay

    def relay(self) -> None:
        """What crashes left in the outbox goes out."""
        self.broker.relay()

    def claim(self) -> None:
        """A pilot takes a job."""
        for job_id in self._services.claim(self.task_id):
            self.lives[job_id].claimed()

    def run(self) -> None:
        """A pilot takes a job and runs it at once, if all goes well."""
        self.claim()
        for life in self.lives.values():
            if life.state == "sent":
                self.broker.publish([report(life, "running")])
        self.flow(6)

    def report(self, which: int, says: str) -> None:
        """A pilot that got a job speaks of it, whatever became of the job meanwhile."""
        for life in self._one_in(which, AT_WORK):
            self.broker.publish([report(life, says)])

    def ghost(self, which: int, says: str, is_foreign: bool) -> None:
        """Somebody speaks of a job who is of another batch, or of an attempt that it is not at."""
        for life in self._one_in(which, AT_WORK):
            ghost = report(life, says, attempts=not is_foreign)
            self.broker.publish([note_of_foreign_batch(_of_batch(ghost)) if is_foreign else ghost])

    def kill(self, which: int, code: int, aim: Sequence[str], by_production: bool, keeps_unmerged: bool) -> None:
        """Its owner wants a job gone, or production, with a code that counts for them."""
        for life in self._one_in(which, aim):
            killer = kills.Killer(is_owner=not by_production, is_production=by_production)
            is_allowed = kills.may_kill(killer, life.label, code)
            assert is_allowed == may_kill(code, life.label, by_production)
            if is_allowed:
                who = "production" if by_production else "owner"
                forced = kills.is_forced(killer, life.label, code)
                keep = True if keeps_unmerged else None
                kill = KillJob(job_id=life.job_id, code=code, actor=who, forced=forced, keep_unmerged=keep)
                self.broker.publish([kill])

    def tell(self, which: int, aim: Sequence[str], on: bool) -> None:
        """Somebody wants the pilot of an odd job in debug mode or out of it, and one of an even job to stop softly or
        not: of a job that is told both, which is refused depends on what came into one batch."""
        for life in self._one_in(which, aim):
            what = {"debug": on} if life.job_id % 2 else {"command": "softkill" if on else ""}
            self.broker.publish([TellPilot.model_validate({"job_id": life.job_id} | what)])

    def release(self, which: int) -> None:
        """A job need not be held back any more."""
        for life in self._any(which, "pending"):
            self.broker.publish([ReleaseJobs(jobs=[life.job_id])])

    def merge(self, is_last: bool) -> None:
        """Somebody submits a job that merges what is to be merged."""
        waiting = [life for life in self.lives.values() if life.state == "merging"]
        job_id = self.task_id * 100 + 50 + len(self._mirror.merges)
        if waiting and (is_last or job_id % 10 < MERGERS):
            draft, life = merging(job_id, waiting, self.task_id, is_last)
            self._mirror.planned[job_id], self._mirror.merges[job_id] = life, waiting
            self.broker.publish([factories.submit(draft)])

    def wait(self, which: int, aim: Sequence[str]) -> None:
        """Nothing is heard of a job for a month."""
        for life in self._one_in(which, aim):
            self._wait(life)

    def _wait(self, life: Life) -> None:
        """What it merges has ended for long too, if it has; and the daemon looks."""
        ended = [one.job_id for one in life.merges if one.is_final]
        age(self._database, _LONG_DAYS * 86_400.0, [life.job_id, *ended])
        life.entered += _LONG_DAYS
        life.heard += _LONG_DAYS
        self._clock.round("deadlines")
        self.broker.relay()

    def strand(self, which: int) -> None:
        """One of the jobs whose outputs another one merges ends; then it is long waited for that one."""
        merging = [life for life in self.lives.values() if life.merges and not life.is_final]
        for life in merging[which % len(merging) :][:1] if merging else []:
            self.broker.publish([KillJob(job_id=life.merges[0].job_id, code=3, actor="owner")])
            self.flow(6)
            self._wait(life)

    def appear(self, which: int) -> None:
        """What was nowhere is somewhere."""
        for life in self._any(which, "waiting"):
            for lfn in life.nowhere:
                self._far(lfn)
            life.nowhere = set()

    def reassign(self, which: int) -> None:
        """Somebody wants a job set up anew."""
        for life in self._any(which, "pending", "assigned", "activated"):
            self.broker.publish([ReassignJob(job_id=life.job_id)])

    def throttle(self, which: int) -> None:
        """Somebody holds a job back, or lets it go."""
        for life in self._any(which, "activated", "throttled"):
            self.broker.publish([ThrottleJobs(jobs=[life.job_id], throttle=life.state != "throttled")])

    def _one_in(self, which: int, states: Sequence[str]) -> list[Life]:
        """A job in one of the states, if there is one; whatever it is in when the message is read."""
        found = [life for life in self.lives.values() if life.state in states]
        return found[which % len(found) :][:1] if found else []

    def _any(self, which: int, *states: str) -> list[Life]:
        """A job in one of the states, or any where there is none."""
        return self._one_in(which, states) or self._one_in(which, (*LIVE, *FINAL))

    def transfer(self, which: int, arrives: bool, whole: bool) -> None:
        """The DDM answers one of the requests, perhaps not for the first time."""
        self._hear()
        if not self._mirror.asked:
            return
        request = self._mirror.asked[which % len(self._mirror.asked)]
        lfns = None if whole else [request.files[which % len(request.files)].lfn]
        answer = FilesArrived if arrives else FilesFailed
        self.broker.publish([answer(block=request.block, kind=request.kind, lfns=lfns)])

    def _hear(self) -> None:
        """The DDM keeps what it was asked."""
        requests = self.broker.waiting.pop("ddm", [])
        self._mirror.asked += [message for message in requests if isinstance(message, TransferRequested)]

    def check(self) -> None:
        """The server and the model agree on every job."""
        found = seen(self._database, self.task_id)
        model = {job_id: expected(life) for job_id, life in self.lives.items()}
        differ = [(found.get(i), model.get(i)) for i in found.keys() | model.keys() if found.get(i) != model.get(i)]
        assert not differ, f"the server, and the model: {differ}"

    def settle(self) -> None:
        """All are well from now on: every job ends, every block of theirs is closed, nobody waits for a message."""
        for _ in range(40):
            self._drain()
            if self.lives and all(life.is_final for life in self.lives.values()):
                break
            self._move_on()
        # Blocks that the last open file left, for another one or by a reassign, are the daemon's to find.
        self._database.execute("UPDATE data_block SET created_at = created_at - interval '1 h'")
        self._clock.round("blocks")
        self._drain()
        self.check()
        assert all(life.is_final for life in self.lives.values()), self.lives
        check_books(self._database, self.task_id)

    def _move_on(self) -> None:
        """What pilots, the DDM and the daemon do when nothing else is to come."""
        held = [life.job_id for life in self.lives.values() if life.state == "throttled"]
        self.broker.publish([ThrottleJobs(jobs=[job_id], throttle=False) for job_id in held])
        for _ in self.lives:
            self.appear(0)
            self.claim()
        self.broker.publish(
            [ReleaseJobs(jobs=[life.job_id]) for life in self.lives.values() if life.state == "pending"]
        )
        if not any(life.job_id in self._mirror.merges and not life.is_final for life in self.lives.values()):
            self.merge(is_last=True)
        for life in self.lives.values():
            if life.owes_words:
                self.broker.publish([report(life, "finished")])
        self._hear()
        for request in self._mirror.asked:
            self.broker.publish([FilesArrived(block=request.block, kind=request.kind)])
        age(
            self._database,
            _SOON_S,
            [i for i, life in self.lives.items() if life.state in ("defined", "holding", "merging")],
        )
        age(self._database, _SOONER_S, [i for i, life in self.lives.items() if life.state == "waiting"])
        self._clock.round("deadlines")

    def _drain(self) -> None:
        self.relay()
        while set(self.broker.busy()) & self._services.by_queue.keys():
            self.deliver(0, 0, 10, "well")
            self.check()
            self.relay()


def _of_batch(report: PilotReport) -> PilotReport:
    """The same from another batch."""
    return report.model_copy(update={"attributes": report.attributes | {"batch_id": "another#1"}})
