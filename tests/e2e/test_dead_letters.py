"""Poison of each kind, from the broker to the page: grouped, tried, edited, replayed, applied, and written down."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from panda_fsm.messages import KillJob
from tests import factories
from tests.browser import Window, browser, window
from tests.driver import Database, Driver
from tests.e2e.test_poison import ACTIVATED, ELSEWHERE, IN_THE_END, LONG_AGO, POISON, publish
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

REFUSED = "not with a pilot"
AT_ONCE = ("garbage", "half a message", REFUSED, "of another service")
LATER = ("unknown job", "later schema")
MISTYPED = KillJob(job_id=ACTIVATED, code=91, reason="a slip").encode().replace(b'"job_id":', b'"job_id":-')
"""A kill that nobody can read until somebody mends its number."""


def sign_in(page: Page, origin: str, name: str, role: str) -> None:
    page.goto(f"{origin}/ui/session")
    page.fill("input[name=name]", name)
    page.select_option("select[name=role]", role)
    page.click("button:text-is('Sign in')")


def test_poison_is_found_tried_edited_and_replayed(engine: Processes, driver: Driver, broker_url: str) -> None:
    database = driver.database
    engine.start("gateway")
    driver.submit([factories.draft(ACTIVATED, site=ELSEWHERE)])
    wait_until(lambda: database.rows("SELECT state FROM job") == [("activated",)], "the job is activated")
    publish(broker_url, [POISON[name][:3] for name in AT_ONCE])
    publish(broker_url, [IN_THE_END[name][:3] for name in LATER], waiting_since=str(time.time() - LONG_AGO))
    publish(broker_url, [("panda.requests", "kill", MISTYPED)])
    kinds = len(AT_ONCE) + len(LATER) + 1
    wait_until(lambda: database.value("SELECT count(*) FROM dead_letter") == kinds, "all are dead letters")
    engine.wait_until_ready()
    number = database.value("SELECT dead_letter_id FROM dead_letter WHERE payload = %s", (MISTYPED,))
    with browser() as running, window(running, engine.gateway_url) as looking:
        page = looking.page
        sign_in(page, engine.gateway_url, "eva", "admin")
        _replay_a_group(looking, database)
        _send_a_mended_copy(looking, number)
        wait_until(lambda: database.rows("SELECT state FROM job") == [("cancelled",)], "what was mended is done")
        looking.open("/ui/audit")
        expect(page.locator("#deeds")).to_contain_text("its number was mistyped")
        assert not looking.complaints
    cause = database.value("SELECT message_id::text FROM job_history ORDER BY version DESC LIMIT 1")
    assert cause in MISTYPED.decode()


def _replay_a_group(looking: Window, database: Database) -> None:
    """It is tried first, and dies again."""
    page = looking.page
    looking.open("/ui/dead")
    expect(page.locator("#groups tbody tr")).to_have_count(
        database.value("SELECT count(DISTINCT fingerprint) FROM dead_letter")
    )
    page.click("text=pilot_running of job")
    page.click("text=Dry run")
    expect(page.locator("#expected")).to_contain_text("1 would be refused again")
    page.click("summary:text-is('Replay all…')")
    page.fill("form[aria-label='Replay all'] input[name=reason]", "to see it die again")
    page.click("form[aria-label='Replay all'] button")
    expect(page.locator(".done")).to_contain_text("1 letter replayed")
    again = "SELECT times_replayed, status FROM dead_letter WHERE replay_of IS NOT NULL"
    wait_until(lambda: database.rows(again) == [(1, "open")], "it died again, and is known by it")
    looking.open("/ui/dead")
    expect(page.locator("#groups")).to_contain_text("1 died again")


def _send_a_mended_copy(looking: Window, number: int) -> None:
    """What nobody could read, with its number put right."""
    page = looking.page
    looking.open(f"/ui/dead/{number}")
    expect(page.locator("#expected")).to_contain_text("It cannot be read")
    page.click("text=Edit copy…")
    body = page.input_value("textarea")
    page.fill("textarea", body.replace(f"-{ACTIVATED}", str(ACTIVATED)))
    page.click("text=Show what changes")
    expect(page.locator("#difference")).to_contain_text(f'+  "job_id": {ACTIVATED}')
    page.fill("input[name=reason]", "its number was mistyped")
    page.click("button:text-is('Send the copy')")
    expect(page.locator(".done").first).to_contain_text("the letter is kept")
