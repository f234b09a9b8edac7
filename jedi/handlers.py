"""Who answers which request of JEDI's."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jedi import killing, releasing, reserving, tasks
from jedi.ports import RequestStore
from jedi.replaying import Replayer
from jedi.replies import Reply
from jedi.requests import (
    HoldTask,
    KillJobs,
    ReleaseJobs,
    Replay,
    Request,
    ReserveIds,
    ResumeTask,
    SetPriority,
    SetShare,
    SubmitJobs,
)
from jedi.specs import Rules
from jedi.submitting import Submitter
from panda_fsm.answers import Deed

Handler = Callable[[str, Any], tuple[Reply, Deed]]
"""Given who asks and what, it says what is answered and what is done. It may ask the store, and changes nothing."""


def handlers(store: RequestStore, rules: Rules, replayer: Replayer) -> Mapping[type[Request], Handler]:
    """By the model of the request."""
    return {
        ReserveIds: partial(reserving.answer, store),
        SubmitJobs: Submitter(store, rules),
        ReleaseJobs: partial(releasing.answer, store),
        KillJobs: partial(killing.answer, store),
        SetPriority: partial(tasks.set_priority, store),
        SetShare: partial(tasks.set_share, store),
        HoldTask: partial(tasks.hold, store),
        ResumeTask: partial(tasks.resume, store),
        Replay: replayer,
    }
