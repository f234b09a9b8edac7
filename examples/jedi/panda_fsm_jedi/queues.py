"""Names on the broker: where JEDI writes to, and the queues of a VO that it reads."""

from __future__ import annotations

import re

EXCHANGE = ROUTING_KEY = "jedi.requests"
DIRECT = "amq.rabbitmq.reply-to"
"""Answers come over the connection that asked: for programs that run beside another one of the same VO."""
SHARDS = 4
"""Status queues of a VO, unless the server says otherwise (PANDA_FSM_JEDI_SHARDS); a task is always in the same one."""
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")


def replies_queue(vo: str) -> str:
    """Where answers come."""
    return f"jedi.replies.{_word(vo)}"


def status_queues(vo: str, shards: int = SHARDS) -> list[str]:
    """Where it is told what becomes of jobs."""
    return [f"jedi.status.{_word(vo)}.{shard}" for shard in range(shards)]


def _word(vo: str) -> str:
    return _STRANGE.sub("_", vo)[:100] or "_"
