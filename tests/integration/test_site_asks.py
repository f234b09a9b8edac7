"""What pilots ask and are answered: counted by queue and minute, and kept by kind of pilot, the oldest forgotten."""

from __future__ import annotations

from panda_fsm.claims import MOST_KINDS, Filters, SiteAsks
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.gateway_stores import with_store

KINDS = "SELECT filters ->> 'user_name', asks, jobs FROM pilot_ask WHERE site = %s ORDER BY last_at, 1"


def asks(*answers: tuple[Filters, int]) -> dict[str, SiteAsks]:
    """What came in one go, all of one queue."""
    one = SiteAsks(asks=len(answers))
    for filters, jobs in answers:
        one.answered(filters, jobs)
    return {answers[0][0].site: one}


def test_asks_are_counted_and_pilots_that_are_about_alike_are_one_kind(database_url: str, database: Database) -> None:
    first = asks((Filters("A", disk=5000, memory=2000), 2), (Filters("A", disk=4900, memory=2000), 0))
    again = asks((Filters("A", disk=4800, memory=2000), 1), (Filters("A", disk=4800, memory=8000), 0))

    async def scene(store: GatewayStore) -> None:
        await store.requests.count_asked(first)
        await store.requests.count_asked(again | asks((Filters("B"), 0)))

    with_store(database_url, scene)
    counted = "SELECT site, sum(asks), sum(jobs), sum(empty) FROM site_asked GROUP BY site ORDER BY site"
    assert database.rows(counted) == [("A", 4, 3, 2), ("B", 1, 0, 1)]
    kinds = "SELECT (filters ->> 'memory')::int, (filters ->> 'disk')::int, asks, jobs FROM pilot_ask WHERE site = 'A'"
    assert sorted(database.rows(kinds)) == [(2000, 4800, 3, 3), (8000, 4800, 1, 0)], "with the numbers of the last one"
    assert database.value("SELECT filters ? 'site' FROM pilot_ask LIMIT 1") is False


def test_the_oldest_kinds_are_forgotten_first(database_url: str, database: Database) -> None:
    """In one go as in many; a kind that asks again is young again."""
    users = [f"user-{number:02}" for number in range(MOST_KINDS + 5)]

    async def scene(store: GatewayStore) -> None:
        await store.requests.count_asked(asks((Filters("B", user_name="other"), 0)))
        await store.requests.count_asked(asks(*((Filters("A", user_name=user), 0) for user in users)))
        await store.requests.count_asked(asks((Filters("A", user_name=users[5]), 1)))
        await store.requests.count_asked(asks(*((Filters("A", user_name=f"new-{n:02}"), 0) for n in range(19))))

    with_store(database_url, scene)
    kept = database.rows(KINDS, ("A",))
    assert kept[0] == ("user-05", 2, 1)
    assert [user for user, _, _ in kept[1:]] == [f"new-{n:02}" for n in range(19)]
    assert database.rows(KINDS, ("B",)) == [("other", 1, 0)]
