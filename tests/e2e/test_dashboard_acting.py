"""Operators act in a browser, over a system at work: what they ask is done and in the audit; a viewer does none."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from lab.site import QUEUE
from tests.browser import Window, browser, window
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

_PAUSED = "SELECT is_paused FROM pause WHERE kind = 'queue' AND name = 'adder'"


def sign_in(page: Page, name: str, role: str) -> None:
    """Say who looks."""
    page.goto(f"{page.url.partition('/ui/')[0]}/ui/session")
    page.fill("input[name=name]", name)
    page.select_option("select[name=role]", role)
    page.click('form[action="/ui/session"] button')
    page.wait_for_url("**/ui/")


def fill_in(page: Page, act: str, **fields: str) -> None:
    """Open the form of an action and send it."""
    form = page.locator(f'form[action="/ui/act/{act}"]')
    form.locator("xpath=..").locator("summary").click()
    for name, value in ({"reason": "bad inputs"} | fields).items():
        form.locator(f"input[name={name}]").fill(value)
    form.locator("button").click()


def pause(looking: Window, database: Database, act: str, *, is_paused: bool) -> None:
    """Pause or resume the Adder's queue, once its page has heard what it is."""
    page = looking.page

    def is_offered() -> bool:
        looking.open("/ui/queues/adder")
        return page.locator(f'form[action="/ui/act/{act}"]').count() == 1

    wait_until(is_offered, f"{act} is offered")
    fill_in(page, act)
    expect(page.locator("section.done")).to_contain_text("asked for queue adder")
    wait_until(lambda: database.rows(_PAUSED) == [(is_paused,)], act)


def test_what_an_operator_asks_is_done_and_written_down(
    processes: Processes, database: Database, database_url: str
) -> None:
    processes.start_each()
    processes.wait_until_ready()
    add_jobs(database_url, range(1, 151), site=QUEUE)
    with browser() as running, window(running, processes.gateway_url) as looking:
        page = looking.page
        looking.open("/ui/audit")
        sign_in(page, "ana", "operator")
        looking.open("/ui/jobs/1")
        fill_in(page, "kill")
        expect(page.locator("section.done")).to_contain_text("asked for job 1")
        wait_until(lambda: database.value("SELECT state FROM job WHERE job_id = 1") == "cancelled", "it is killed")
        looking.open("/ui/jobs?task=7&state=activated")
        page.click("text=all of these…")
        expect(page.locator("main")).to_contain_text("149 jobs")
        form = page.locator('form[action="/ui/act/operation"]')
        form.locator("input[name=reason]").fill("the whole task is wrong")
        form.locator("input[name=typed]").fill("149")
        form.locator("button").click()
        page.wait_for_url("**/ui/operations/*")
        expect(page.locator("#head")).to_contain_text("149 of 149")
        wait_until(lambda: database.states() == {"cancelled": 150}, "all are killed")
        pause(looking, database, "pause_queue", is_paused=True)
        pause(looking, database, "resume_queue", is_paused=False)
        looking.open("/ui/audit?actor=ana")
        for deed in ("asked to end jobs", "began an operation", "the whole task is wrong", "queue adder"):
            expect(page.locator("#deeds")).to_contain_text(deed)
        sign_in(page, "vic", "viewer")
        for path in ("/ui/jobs/2", "/ui/queues/adder", "/ui/jobs?task=7", "/ui/bulk?task=7"):
            looking.open(path)
            assert page.locator('form[method="post"]').count() == 0, path
        assert not looking.complaints
