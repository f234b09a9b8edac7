"""JEDI's tasks over the broker: its picture is the database in the end, whatever was killed or lost meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pika
import pytest
from panda_fsm_jedi.picture import Picture
from panda_fsm_jedi.queues import status_queues
from panda_fsm_jedi.task import Task

from lab.services import Services
from tests import factories
from tests.driver import Database
from tests.e2e.conftest import ENGINE
from tests.playing_jedi import Jedi, check_lineage, check_picture, check_steps, has_heard_all, jedi_url, spec
from tests.polling import wait_until
from tests.processes import Processes
from tests.quick_pilots import QuickPilots

pytestmark = pytest.mark.e2e

DOOR = ("jedi.requests", "jedi.status")
JOBS, TASK = 300, 31


@pytest.fixture
def serving(processes: Processes) -> Processes:
    """All services, gateway and JEDI's door included, each a process."""
    processes.environment["PANDA_FSM_JEDI_VOS"] = factories.VO
    for service in (*ENGINE, *DOOR, "gateway"):
        processes.start(service)
    processes.wait_until_ready()
    return processes


def crash(processes: Processes, name: str) -> Callable[[], None]:
    """Kill -9, and start again."""

    def trouble() -> None:
        processes.kill(name)
        processes.restart(name)

    return trouble


def crash_broker(services: Services) -> None:
    """Kill -9 of the broker, and start it again."""
    services.rabbitmq.kill()
    services.rabbitmq.start()


def purge(broker_url: str) -> int:
    """Empty all status queues; how many messages that were."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        counts = [channel.queue_purge(queue).method.message_count for queue in status_queues(factories.VO)]
    return sum(count or 0 for count in counts)


def test_jedi_knows_what_became_of_its_task_though_everything_is_killed(
    serving: Processes, services: Services, database: Database, broker_url: str
) -> None:
    described = spec(TASK, JOBS, destination=factories.SOURCE_STORAGE)
    task = Task(TASK, described.user)
    templates = described.templates()
    troubles = [crash(serving, name) for name in (*DOOR, *ENGINE, "gateway", *DOOR)]
    troubles.insert(len(troubles) // 2, lambda: crash_broker(services))
    share = -(-JOBS // len(troubles))
    pilots = QuickPilots(serving.gateway_url, serving.lab, serving.directory / "pilots", described.label)
    with Jedi(jedi_url(services, broker_url)) as jedi, pilots:
        for number, trouble in enumerate(troubles):
            some = range(number * share, min((number + 1) * share, JOBS))
            jedi.player.add(task, [templates[one] for one in some], [described.spoils(one + 1) for one in some])
            trouble()
        wait_until(jedi.is_over, "all work is done", 90)
        wait_until(lambda: has_heard_all(jedi, database), "all is told")
        assert [one.status for one in task.work.values()] == ["finished"] * JOBS
        assert len(task.retries) == JOBS // 10
        check_picture(jedi, database, task)
        check_lineage(database, task)
        check_steps(jedi, database)
    assert database.rows("SELECT queue, reason FROM dead_letter") == []


def test_what_a_queue_lost_while_jedi_was_away_is_told_by_a_replay(
    serving: Processes, services: Services, database: Database, broker_url: str
) -> None:
    described = spec(TASK, 20)
    task, url = Task.of(described), jedi_url(services, broker_url)
    with Jedi(url) as jedi:
        jedi.player.add(task)
        wait_until(lambda: jedi.player.picture.states()["activated"] == 20, "all jobs wait for pilots")
    with QuickPilots(serving.gateway_url, serving.lab, serving.directory / "pilots", described.label):
        wait_until(lambda: sum(database.states().get(state, 0) for state in ("finished", "failed")) == 20, "all end")
        wait_until(lambda: not database.rows("SELECT FROM jedi_message"), "all is told")
        assert purge(broker_url) > 20
        with Jedi(url, jedi.player.picture) as again:
            again.player.add(task)
            wait_until(again.is_over, "what failed is done again")
            check_picture(again, database, task)
            assert again.player.replayed == 20
    check_lineage(database, task)
    assert [one.status for one in task.work.values()] == ["finished"] * 20


def test_the_program_plays_a_task_and_kills_what_it_is_told_to(
    serving: Processes, services: Services, database: Database, broker_url: str
) -> None:
    picture = serving.directory / "picture.json"
    described = spec(TASK, 10, parameters="-o {output}")
    file = serving.directory / "task.json"
    file.write_text(described.model_dump_json())
    command = [str(Path(sys.executable).parent / "panda-fsm-jedi"), "--vo", factories.VO, "--task", str(file)]
    command += ["--url", jedi_url(services, broker_url), "--kill", "2", "--json", "--picture", str(picture)]
    with Popen(command, stdout=PIPE, stderr=PIPE, text=True) as playing:
        wait_until(lambda: database.states().get("cancelled") == 2, "what is to be killed is")
        with QuickPilots(serving.gateway_url, serving.lab, serving.directory / "pilots", described.label):
            out, shown = playing.communicate(timeout=60)
    assert playing.returncode == 0, shown
    told = json.loads(out)
    assert (told["work"], told["jobs"], told["retries"]) == ({"cancelled": 2, "finished": 8}, 11, 1)
    kept = Picture.load(picture).jobs
    assert {jobid: status.status for jobid, status in kept.items()} == dict(
        database.rows("SELECT job_id, state FROM job")
    )
    assert "finished 8" in shown.splitlines()[-1]
