"""A task of a few jobs in the hands of the real services and an unreliable broker, beside the model of their lives."""

from __future__ import annotations

from collections.abc import Callable

from panda_fsm.messages import (
    ACTS_ONCE,
    AnyMessage,
    DeadlinePassed,
    FilesArrived,
    FilesFailed,
    JobEvent,
    KillJob,
    OutputsAdded,
    PilotReport,
    ReassignJob,
    SubmitJobs,
    ThrottleJobs,
    TransferRequested,
    decode,
)
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.faults import age
from tests.inprocess import InProcess
from tests.life_model import Life
from tests.life_services import Services
from tests.unreliable_broker import UnreliableBroker, die_before_commit, mute, taken

_LONG_S = 30 * 86_400.0
_SOON_S, _SOONER_S = 3600.0, 180.0
AT_WORK = ("sent", "starting", "running", "holding", "transferring")
"""States in which a pilot may still speak of its job."""


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
        self.asked: list[TransferRequested] = []
        self.lives: dict[int, Life] = {}
        self._planned: dict[int, Life] = {}
        self._said: dict[int, list[str]] = {}
        self._blocks: dict[int, set[str]] = {}
        self._done: set[str] = set()

    def submit(self, plans: list[tuple[int, bool, bool]]) -> None:
        """The jobs come in one message."""
        drafts = []
        for place, (away, moves, is_late) in enumerate(plans, start=1):
            job_id = self.task_id * 100 + place
            lfns = [f"far.{job_id}.{n}.csv" for n in range(away)]
            nowhere = set(lfns[:is_late])
            for lfn in set(lfns) - nowhere:
                self._far(lfn)
            home = factories.SOURCE_STORAGE if moves else ""
            inputs = (factories.INPUT, *lfns)
            drafts.append(factories.draft(job_id, inputs=inputs, destination=home, task_id=self.task_id))
            self._planned[job_id] = Life(job_id, set(lfns), moves, nowhere)
        self.broker.publish([factories.submit(*drafts)])

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
                self._model(queue, message)
            if queue == "setupper":
                self._note_blocks()

    def _note_blocks(self) -> None:
        """How a set-up calls its blocks is its own business; whose inputs are in them tells what is said of whom."""
        query = """SELECT job_id, array_remove(array_agg(b.name), NULL) FROM job JOIN job_file f USING (job_id)
                   LEFT JOIN data_block b USING (block_id) WHERE job.task_id = %s AND f.type = 'input' GROUP BY 1"""
        self._blocks = {job_id: set(names) for job_id, names in self._database.rows(query, (self.task_id,))}

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

    def report(self, which: int, said: str) -> None:
        """A pilot that got a job speaks of it, whatever became of the job meanwhile."""
        held = [life for life in self.lives.values() if life.state in AT_WORK]
        if not held:
            return
        life = held[which % len(held)]
        gives_back = {"attributes": {"job_sub_status": "pilot_closed"}} if said == "gives back" else {}
        state = "failed" if gives_back else said
        self.broker.publish([factories.report(life.job_id, state, returns=life.returns, **gives_back)])

    def kill(self, which: int, code: int, forced: bool) -> None:
        """Somebody wants a job gone."""
        if self.lives:
            job_id = sorted(self.lives)[which % len(self.lives)]
            self.broker.publish([KillJob(job_id=job_id, code=code, actor="user", forced=forced)])

    def wait(self, which: int) -> None:
        """Nothing is heard of a job for a month, and the clock looks."""
        if not self.lives:
            return
        life = self.lives[sorted(self.lives)[which % len(self.lives)]]
        age(self._database, _LONG_S, [life.job_id])
        if not life.is_final:
            life.is_silent = True
            self._clock.round("deadlines")
            self.broker.relay()

    def appear(self, which: int) -> None:
        """What was nowhere is somewhere."""
        for life in self._one_in(which, "waiting"):
            for lfn in life.nowhere:
                self._far(lfn)
            life.nowhere = set()

    def reassign(self, which: int) -> None:
        """Somebody wants a job set up anew."""
        for life in self._one_in(which, "assigned", "activated"):
            self.broker.publish([ReassignJob(job_id=life.job_id)])

    def throttle(self, which: int) -> None:
        """Somebody holds a job back, or lets it go."""
        for life in self._one_in(which, "activated", "throttled"):
            self.broker.publish([ThrottleJobs(jobs=[life.job_id], throttle=life.state != "throttled")])

    def _one_in(self, which: int, *states: str) -> list[Life]:
        """A job in one of the states, or any where there is none; whatever it is in when the message is read."""
        found = [life for life in self.lives.values() if life.state in states] or list(self.lives.values())
        return found[which % len(found) :][:1] if found else []

    def transfer(self, which: int, arrives: bool, whole: bool) -> None:
        """The DDM answers one of the requests, perhaps not for the first time."""
        self._hear()
        if not self.asked:
            return
        request = self.asked[which % len(self.asked)]
        lfns = None if whole else [request.files[which % len(request.files)].lfn]
        answer = FilesArrived if arrives else FilesFailed
        self.broker.publish([answer(block=request.block, kind=request.kind, lfns=lfns)])

    def _hear(self) -> None:
        """The DDM keeps what it was asked."""
        requests = self.broker.waiting.pop("ddm", [])
        self.asked += [message for message in requests if isinstance(message, TransferRequested)]

    def _model(self, queue: str, message: AnyMessage) -> None:
        """The model makes the same of a message."""
        if isinstance(message, ACTS_ONCE):
            if message.message_id in self._done:
                return
            self._done.add(message.message_id)
        match message:
            case SubmitJobs():
                self.lives = self.lives or dict(self._planned)
            case JobEvent() if queue == "setupper":
                self.lives[message.job_id].set_up(message.version)
            case JobEvent() if queue == "adder":
                self.lives[message.job_id].outputs_looked_at(message.version, factories.output_lfns(message.job_id))
            case OutputsAdded() if queue == "finisher":
                self.lives[message.job_id].verdict_heard(message.version, message.verdict.value)
            case PilotReport():
                gives_back = message.attributes.get("job_sub_status") == "pilot_closed"
                self.lives[message.job_id].reported(message.state, message.returns or 0, gives_back)
            case KillJob():
                self.lives[message.job_id].killed(message.code, message.forced)
            case ReassignJob():
                self.lives[message.job_id].reassigned()
            case ThrottleJobs():
                self.lives[message.jobs[0]].throttled(message.throttle)
            case DeadlinePassed():
                self.lives[message.job_id].overdue(message.state.value, message.version)
            case FilesArrived() | FilesFailed():
                self._model_of_transfer(message)

    def _model_of_transfer(self, message: FilesArrived | FilesFailed) -> None:
        """Names of files are unique in this world, so they tell the job."""
        self._hear()
        arrived = isinstance(message, FilesArrived)
        lfns = {f.lfn for one in self.asked if one.block == message.block for f in one.files}
        lfns = lfns if message.lfns is None else lfns & set(message.lfns)
        for life in self.lives.values():
            if message.kind == "dispatch" and (of_life := lfns & life.away):
                if message.block in self._blocks[life.job_id]:
                    life.inputs(of_life, arrived)
            elif message.kind == "sub" and (of_life := lfns & set(factories.output_lfns(life.job_id))):
                life.outputs(of_life, arrived)

    def check(self) -> None:
        """The server and the model agree on every job."""
        query = "SELECT job_id, state, version FROM job WHERE task_id = %s"
        found = {job_id: (state, version) for job_id, state, version in self._database.rows(query, (self.task_id,))}
        assert found == {job_id: (life.state, life.version) for job_id, life in self.lives.items()}

    def settle(self) -> None:
        """All are well from now on: every job ends, every block of theirs is closed, nobody waits for a message."""
        for _ in range(40):
            self._drain()
            if self.lives and all(life.is_final for life in self.lives.values()):
                break
            self._move_on()
        # Blocks that the last open file left, for another one or by a reassign, are the clock's to find.
        self._database.execute("UPDATE data_block SET created_at = created_at - interval '1 h'")
        self._clock.round("blocks")
        self._drain()
        self.check()
        assert all(life.is_final for life in self.lives.values()), self.lives
        self._books()

    def _move_on(self) -> None:
        """What pilots, the DDM and the clock do when nothing else is to come."""
        held = [life.job_id for life in self.lives.values() if life.state == "throttled"]
        self.broker.publish([ThrottleJobs(jobs=[job_id], throttle=False) for job_id in held])
        for _ in self.lives:
            self.appear(0)
        self.claim()
        for life in self.lives.values():
            if life.state in ("sent", "starting", "running") or (
                life.state in ("holding", "transferring") and life.words is None
            ):
                self.broker.publish([factories.report(life.job_id, "finished", returns=life.returns)])
        self._hear()
        for request in self.asked:
            self.broker.publish([FilesArrived(block=request.block, kind=request.kind)])
        age(self._database, _SOON_S, [i for i, life in self.lives.items() if life.state in ("defined", "holding")])
        age(self._database, _SOONER_S, [i for i, life in self.lives.items() if life.state == "waiting"])
        self._clock.round("deadlines")

    def _drain(self) -> None:
        self.relay()
        while set(self.broker.busy()) & self._services.by_queue.keys():
            self.deliver(0, 0, 10, "well")
            self.check()
            self.relay()

    def _books(self) -> None:
        """History without gap, counters that are right, outputs that are settled, blocks that are closed."""
        of_task = (self.task_id,)
        gaps = self._database.value(
            "SELECT count(*) FROM (SELECT h.version - coalesce(lag(h.version) OVER (PARTITION BY h.job_id"
            " ORDER BY h.version), 0) AS grown FROM job_history h JOIN job USING (job_id) WHERE task_id = %s) AS steps"
            " WHERE grown <> 1",
            of_task,
        )
        assert gaps == 0
        open_files = self._database.rows(
            "SELECT f.lfn, f.status FROM job_file f JOIN job USING (job_id) WHERE task_id = %s"
            " AND f.type IN ('output', 'log') AND f.status NOT IN ('ready', 'failed', 'nooutput')",
            of_task,
        )
        assert open_files == []
        open_blocks = self._database.rows(
            "SELECT DISTINCT b.name FROM data_block b JOIN job_file f USING (block_id) JOIN job USING (job_id)"
            " WHERE job.task_id = %s AND b.kind IN ('sub', 'dispatch') AND b.status IN ('open', 'defined', 'running')",
            of_task,
        )
        assert open_blocks == []
        assert self._database.rows("SELECT queue, reason FROM dead_letter") == []
