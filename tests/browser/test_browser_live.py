"""A campaign that is being sent, watched in a browser."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser.console_process import ConsoleProcess
from browser.running_sender import RunningSender
from browser.sample_campaigns import Samples
from browser.watched_page import WatchedPage
from integration.cli_campaigns import ENV
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATES = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")


async def test_progress_is_seen_without_a_reload(sender: RunningSender, page: WatchedPage) -> None:
    with ConsoleProcess(sender.folder) as console:
        await page.go(console.at(sender.name))
        await page.script("() => { window.loaded_once = true }")
        first = await page.rises_above(0)
        second = await page.rises_above(first + 20)
        await page.rises_above(second + 20)
        assert await page.script("() => window.loaded_once")
        assert 0 < await page.number("pending") < 2_000
        await page.go(console.at())
        row = page.page.locator("main").get_by_text("sending").first
        await row.wait_for()


async def test_a_page_says_that_it_is_not_live_and_is_again_when_the_console_is_back(
    sender: RunningSender, page: WatchedPage
) -> None:
    page.allowed = ("error: Failed to load resource: net::ERR_",)
    with ConsoleProcess(sender.folder) as console:
        await page.go(console.at(sender.name))
        live = page.page.locator("#live")
        await expect(live).to_contain_text("live")
        before = await page.rises_above(0)
    await expect(live).to_contain_text("not live")
    with ConsoleProcess(sender.folder, port=console.port):
        await page.rises_above(before + 5)
        await expect(live).not_to_contain_text("not live")


async def test_the_numbers_are_those_of_the_report(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    for name in (samples.done, samples.paused):
        journal = samples.folder / name

        def said(form: str, journal: Path = journal) -> str:
            words = [
                sys.executable,
                "-m",
                "promomsg",
                "report",
                str(journal),
                "--format",
                form,
                "--all",
            ]
            return subprocess.run(words, env=ENV, capture_output=True, text=True).stdout

        document = json.loads(said("json"))
        await page.go(console.at(name))
        shown = {state: await page.number(state) for state in STATES}
        assert shown == {state: document[state] for state in STATES}
        rows = list(csv.DictReader(io.StringIO(said("csv"))))
        for state in STATES[1:]:
            assert sum(row["verdict"] == state for row in rows) == shown[state]
            await page.go(f"{console.at(name, 'recipients')}?state={state}")
            assert await page.page.locator("tbody tr").count() == min(shown[state], 50)


async def test_what_is_typed_into_the_search_outlives_a_new_campaign(
    folder: Path, samples: Samples, page: WatchedPage
) -> None:
    with ConsoleProcess(folder) as console:
        await page.go(console.at())
        await page.page.get_by_role("link", name="Ended").click()
        cards = page.page.locator(".campaigns .card")
        await expect(cards).to_have_count(2)
        await page.page.get_by_role("searchbox").fill("aut")
        shutil.copy(folder / samples.done, folder / "autumn-2.db")
        await expect(cards).to_have_count(3)
        await expect(page.page.get_by_role("searchbox")).to_have_value("aut")
        await page.page.keyboard.press("Enter")
        await expect(cards).to_have_count(2)
        assert page.page.url.endswith("/?state=ended&search=aut")
        await expect(page.page.get_by_role("link", name="Ended")).to_have_attribute(
            "aria-current", "true"
        )
        assert await page.page.title() == "aut · Ended · Campaigns · promomsg"
