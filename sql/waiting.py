"""The rows of jobs that wait for a pilot, as a batch changes them; those of held tasks do not wait (ADR 0041)."""

import psycopg

from panda_fsm.effects import Effects
from sql.held_tasks import share_tasks
from sql.queries import load

_Q = load("store")


def wait_for_pilots(connection: psycopg.Connection, effects: Effects) -> None:
    """Put in what became activated and take out what is so no longer. The jobs are locked."""
    activated = effects.activated | effects.let_go
    if activated:
        jedis = sorted(job_id for job_id in activated if effects.subjects[job_id].is_jedis)
        others = sorted(activated.difference(jedis))
        if others:
            connection.execute(_Q["put_waiting"], {"job_ids": others})
        if jedis:
            share_tasks(connection, {effects.subjects[job_id].task_id for job_id in jedis})
            connection.execute(_Q["put_waiting_unless_held"], {"job_ids": jedis})
    if effects.deactivated:
        connection.execute(_Q["take_waiting"], {"job_ids": sorted(effects.deactivated)})
