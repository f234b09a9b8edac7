"""The dashboards in a browser, over a system at work: nothing is wrong with any page, and what changes is seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from gateway.dashboard.table import PAGES
from tests.browser import browser, window
from tests.crowd import Crowd
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes

JOBS = 12
EXAMPLES: dict[str, str] = {
    "queues/{name}": "SELECT 'watcher.large'",
    "jobs/{name}": "SELECT max(job_id) FROM job",
    "tasks/{name}": "SELECT max(task_id) FROM job",
    "operations/{name}": "INSERT INTO operation (operation_id, actor, actor_name, act, filter, wishes, reason, vos,"
    """ total, is_at_least, last_job_id, why_not) VALUES (gen_random_uuid(), 'a', 'Ana', 'kill', '{"site": "<b>"}',"""
    """ '{"code": 91}', 'why', '{""}', 9, false, 0, '{"is finished already": 2}') RETURNING operation_id""",
    "sites/{name}": "SELECT min(site) FROM job",
    "dead/{name}": "SELECT min(dead_letter_id) FROM dead_letter",
}
"""What is looked at of each thing that has a page: a query for its name."""
DEED = "INSERT INTO audit (actor, action, object, detail) VALUES ('s:1', %s, 'job 1', '{\"name\": \"Ana\"}')"


def paths(database: Database) -> list[str]:
    """One of each page."""
    return [
        page.url.replace("{name}", str(database.value(EXAMPLES[page.path])) if "{name}" in page.path else "")
        for page in PAGES
    ]


@pytest.mark.timeout(400)
def test_nothing_is_wrong_with_any_page(processes: Processes, crowd: Crowd, database: Database) -> None:
    processes.start_each()
    processes.wait_until_ready()
    crowd.submit(JOBS)
    database.execute(
        "INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, error, fingerprint)"
        """ VALUES ('adder', '', 'adder', '{"token": 1}', '{"retries": "2"}', 'PoisonError', 'no such site', 'f1')"""
    )
    with crowd, browser() as running:
        wait_until(lambda: database.value("SELECT count(*) FROM job_history") > JOBS, "jobs move")
        with window(running, processes.gateway_url) as looking:
            for path in paths(database):
                looking.examine(path)
            assert not looking.complaints, "\n".join(looking.complaints)


def test_news_come_by_themselves_and_can_be_paused(gateway: Processes, database: Database) -> None:
    with browser() as running, window(running, gateway.gateway_url) as looking:
        page = looking.page
        looking.open("/ui/audit")
        expect(page.locator("#live")).to_have_text("live")
        database.execute(DEED, ("first_deed",))
        expect(page.locator("#deeds")).to_contain_text("first deed")
        page.click("#pause")
        expect(page.locator("#live")).to_have_text("paused")
        database.execute(DEED, ("second_deed",))
        with window(running, gateway.gateway_url) as other:
            other.open("/ui/audit")
            database.execute(DEED, ("third_deed",))
            expect(other.page.locator("#deeds")).to_contain_text("third deed")
        assert "second deed" not in page.inner_text("#deeds")
        page.reload()
        expect(page.locator("#live")).to_have_text("paused")  # by the window, not by the page
        page.click("#pause")
        database.execute(DEED, ("fourth_deed",))
        expect(page.locator("#deeds")).to_contain_text("fourth deed")
        assert not looking.complaints


def test_what_is_focused_and_opened_stays_so(gateway: Processes, database: Database) -> None:
    database.execute(
        "INSERT INTO audit (actor, action, object, detail) VALUES ('s:1', 'kill_requested', 'job 1', '{\"jobs\": 1}')"
    )
    with browser() as running, window(running, gateway.gateway_url) as looking:
        page = looking.page
        looking.open("/ui/audit")
        page.click("summary")
        expect(page.locator("details")).to_have_attribute("open", "")
        page.focus("td.mono a")
        database.execute(DEED, ("next_deed",))
        expect(page.locator("#deeds")).to_contain_text("next deed")
        expect(page.locator("details")).to_have_attribute("open", "")
        assert page.evaluate("document.activeElement.textContent") == "job 1"


def test_pages_are_read_and_filtered_without_a_script(gateway: Processes, database: Database) -> None:
    database.execute(DEED, ("one_deed",))
    database.execute(DEED, ("other_deed",))
    with browser() as running, window(running, gateway.gateway_url, java_script_enabled=False) as looking:
        page = looking.page
        looking.open("/ui/audit")
        page.fill("input[name=action]", "one_deed")
        page.click("text=show")
        expect(page.locator("#deeds")).to_contain_text("one deed")
        expect(page.locator("#deeds")).not_to_contain_text("other deed")
        page.click(".filters >> text=all")
        expect(page.locator("#deeds")).to_contain_text("other deed")
