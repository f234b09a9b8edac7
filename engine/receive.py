"""What came: deliveries decoded, and bound to the jobs that they are about."""

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import inf
from typing import Any
from uuid import UUID, uuid5

from engine.fold import put_off, to_dead_letter
from panda_fsm.effects import Effects
from panda_fsm.errors import NewerSchemaError, UnreadableError
from panda_fsm.handler import Delivery, Item, Service
from panda_fsm.jobs.job import Job
from panda_fsm.messages import ACTS_ONCE, AnyMessage, FilesArrived, FilesFailed
from panda_fsm.ports import Said, Store, Transaction
from panda_fsm.trouble import LOCKED_FOR_S, NEWER_FOR_S, UNKNOWN_FOR_S

_LOCKED = "somebody else holds its job for the moment"
_BLOCK_LOCKED = "somebody else holds a block that its files join"


@dataclass(slots=True)
class Received:
    """A decoded delivery and the jobs it is about; `is_known` is False for one about a block that nobody knows."""

    delivery: Delivery
    message: AnyMessage
    job_ids: Sequence[int]
    is_known: bool = True

    @property
    def is_of_block(self) -> bool:
        """Whether it names its jobs by a block: there may be none left."""
        return isinstance(self.message, FilesArrived | FilesFailed)


Unreadable = list[tuple[Delivery, UnreadableError]]


def receive(deliveries: Sequence[Delivery], service: Service[Any], store: Store) -> tuple[list[Received], Unreadable]:
    """Decode and find the jobs concerned; and what cannot be decoded."""
    received: list[Received] = []
    unreadable: Unreadable = []
    for delivery in deliveries:
        try:
            message = service.read(delivery)
        except UnreadableError as error:
            unreadable.append((delivery, error))
        else:
            received.append(Received(delivery, message, message.job_ids))
    _find_jobs_of_blocks(received, store)
    return received, unreadable


def put_aside(unreadable: Unreadable, store: Store, effects: Effects, *, buries: bool) -> str | None:
    """What cannot be decoded. A newer program's message waits for one like it; what waits for that, if anything does.

    A kept request is one of those whatever it says: the gateway that kept it could read it. The rest goes to the dead
    letters. What has no envelope there is nobody's message, and not worth a doubt.
    """
    kept = store.kept([error.message_id for _, error in unreadable if error.message_id is not None])
    waits = None
    for delivery, error in unreadable:
        is_kept, reason = error.message_id in kept, str(error)
        if (is_kept or isinstance(error, NewerSchemaError)) and not buries:
            give_up_s, waits = inf if is_kept else NEWER_FOR_S, reason
            put_off(delivery, reason, effects, give_up_s, message_id=error.message_id or "")
        else:
            effects.dead_letters.append(to_dead_letter(delivery, reason, is_tried=error.message_id is None))
    return waits


def _find_jobs_of_blocks(received: Sequence[Received], store: Store) -> None:
    of_blocks = [
        (one, (one.message.block, one.message.lfns))
        for one in received
        if isinstance(one.message, FilesArrived | FilesFailed)
    ]
    if not of_blocks:
        return
    found = store.jobs_of_blocks([block for _, block in of_blocks])
    for (one, _), job_ids in zip(of_blocks, found, strict=True):
        one.job_ids, one.is_known = job_ids or (), job_ids is not None


def wanted(received: Sequence[Received]) -> list[int]:
    """The jobs to load for these messages, in the order in which they are locked."""
    return sorted({job_id for one in received for job_id in one.job_ids})


def without_jobs(received: Sequence[Received]) -> list[Item[Any]]:
    """One item a message, for services that look at no job."""
    return [Item(one.delivery, one.message, None) for one in received]


def bind(received: Sequence[Received], jobs: Mapping[int, Job], store: Store, effects: Effects) -> list[Item[Any]]:
    """One item per message and job. Archived jobs are past caring; unknown ones may be on their way, locked ones are
    somebody else's for the moment: their messages come again."""
    missing = [job_id for job_id in wanted(received) if job_id not in jobs]
    to_come = _to_come(received, jobs, store) if missing else 0.0  # before `live`: what is created meanwhile is found
    archived = store.archived(missing) if missing else set()
    locked = store.live(missing) if missing else set()
    items: list[Item[Any]] = []
    for one in received:
        absent = set(one.job_ids) - jobs.keys() - archived
        unknown = absent - locked
        if unknown or not one.is_known:
            what = f"unknown job {min(unknown)}" if unknown else "unknown block"
            give_up_s = inf if unknown and one.delivery.waited_s <= to_come else UNKNOWN_FOR_S
            put_off(one.delivery, what, effects, give_up_s, message_id=one.message.message_id)
        elif absent:
            put_off_locked(one.delivery, one.message.message_id, effects)
        elif not one.job_ids and not one.is_of_block:
            items.append(Item(one.delivery, one.message, None))
        items += [Item(one.delivery, one.message, jobs[job_id]) for job_id in one.job_ids if job_id in jobs]
    return items


def without_held(items: Sequence[Item[Any]], held: Set[int], effects: Effects) -> list[Item[Any]]:
    """Jobs whose files join a block that somebody holds are left out: their messages come again."""
    waiting = {i.delivery.tag: i for i in items if i.job is not None and i.job.job_id in held}
    for item in waiting.values():
        put_off(item.delivery, _BLOCK_LOCKED, effects, LOCKED_FOR_S, message_id=item.message.message_id)
    return [item for item in items if item.job is None or item.job.job_id not in held]


def without_repeats(items: Sequence[Item[Any]], tx: Transaction) -> Sequence[Item[Any]]:
    """What must act on a job once, and was handled for it before, is left out, and what sets a thing of it that a newer
    message has set; of a message of many jobs some may have been locked then."""
    once = [_in_inbox(item) for item in items]
    keys = {key for key in once if key is not None}
    if keys:
        items = _first_of_each(items, once, tx.remember(sorted(keys)))
    sets = [_sets(item) for item in items]
    said: dict[Said, str] = {}
    for one in sets:
        if one is not None:
            said[one[0]] = max(said.get(one[0], ""), one[1])
    return _first_of_each(items, sets, {(what, said[what]) for what in tx.newest(said)}) if said else items


def _first_of_each(items: Sequence[Item[Any]], keys: Sequence[Hashable], fresh: Set[Hashable]) -> list[Item[Any]]:
    """Those without a key, and of each fresh one the first: a message may come twice in one batch."""
    left, seen = [], set[Hashable]()
    for key, item in zip(keys, items, strict=True):
        if key is None or (key in fresh and key not in seen):
            left.append(item)
            seen.add(key)
    return left


def _sets(item: Item[Any]) -> tuple[Said, str] | None:
    """What it sets of its job, and which message that is."""
    what = item.message.sets
    return None if what is None or item.job is None else ((item.job.job_id, what), item.message.message_id)


def _in_inbox(item: Item[Any]) -> str | None:
    """What the inbox knows the message by, for this job; None: it acts by the job's state alone."""
    if item.job is None or not isinstance(item.message, ACTS_ONCE):
        return None
    return str(uuid5(UUID(item.message.message_id), str(item.job.job_id)))


def _to_come(received: Sequence[Received], jobs: Mapping[int, Job], store: Store) -> float:
    """How old the oldest submission is that nobody has handled yet: jobs that are asked about longer are unknown for
    good. Nobody looks before it matters."""
    waited = [one.delivery.waited_s for one in received if not jobs.keys() >= set(one.job_ids)]
    return store.oldest_submission_s() if max(waited, default=0.0) >= UNKNOWN_FOR_S else 0.0


def put_off_locked(delivery: Delivery, message_id: str, effects: Effects) -> None:
    """The message comes again in a second: nobody waits for a row that somebody else holds."""
    put_off(delivery, _LOCKED, effects, LOCKED_FOR_S, message_id=message_id, soon=True)
