"""A campaign that is being sent is steered in a browser: asked, confirmed, obeyed."""

from __future__ import annotations

import asyncio
import json

import pytest
from browser.accessibility import find_faults
from browser.console_process import ConsoleProcess
from browser.running_sender import RunningSender
from browser.sample_campaigns import Samples
from browser.signing_in import OPERATOR, READER, sign_in
from browser.watched_page import WatchedPage
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_pause_is_confirmed_and_obeyed_and_a_resume_goes_on(
    sender: RunningSender, page: WatchedPage
) -> None:
    with ConsoleProcess(sender.folder) as console:
        await page.go(console.at(sender.name))
        await page.rises_above(0)
        await page.page.locator("a[href$='/pause']").first.click()
        await page.page.wait_for_url(console.at(sender.name, "pause"))
        assert sender.process.poll() is None  # asked only
        assert "promomsg pause" in await page.page.locator("main").inner_text()
        await page.page.locator("main form[method=post] button").first.click()
        await page.page.wait_for_url(f"{console.at(sender.name)}*")
        out, _ = await asyncio.to_thread(sender.process.communicate, timeout=15)
        assert sender.process.returncode == 5
        stopped = json.loads(out)
        assert 0 < stopped["sent"] < 2_000
        await expect(page.page.locator("#standing .state")).to_have_text("paused")
        assert await page.number("sent") == stopped["sent"]

        await page.page.locator("a[href$='/resume']").first.click()
        await page.page.locator("main form[method=post] button").first.click()
        await page.page.wait_for_url(f"{console.at(sender.name)}*")
        await page.rises_above(stopped["sent"] + 10)
        await page.page.locator("a[href$='/cancel']").first.click()
        await page.page.locator("main form[method=post] button").first.click()
        await expect(page.page.locator("#standing .state")).to_have_text(
            "cancelled", timeout=15_000
        )
        report = sender.report
        assert report.sent == sender.served.ledger.total  # nobody twice
        assert report.cancelled > 0
        assert await page.number("cancelled") == report.cancelled


async def test_a_campaign_is_paused_with_the_keyboard_alone(
    sender: RunningSender, page: WatchedPage
) -> None:
    async def tab_to(selector: str) -> None:
        """Presses Tab until it has the focus, which is then seen."""
        for _ in range(60):
            await page.page.keyboard.press("Tab")
            if await page.script("s => document.activeElement.matches(s)", selector):
                seen = await page.script(
                    "() => { const look = getComputedStyle(document.activeElement);"
                    " return look.outlineStyle !== 'none' && look.outlineWidth !== '0px' }"
                )
                assert seen, f"{selector}: the focus is not seen"
                return
        raise AssertionError(f"Tab does not come to {selector}")

    with ConsoleProcess(sender.folder) as console:
        await page.go(console.at())
        await page.page.keyboard.press("Tab")
        assert await page.script("() => document.activeElement.getAttribute('href')") == "#content"
        await tab_to(f"a[href='/campaigns/1/{sender.name}']")
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_url(console.at(sender.name))
        await tab_to("a[href$='/pause']")
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_url(console.at(sender.name, "pause"))
        await tab_to("main form[method=post] button")
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_url(f"{console.at(sender.name)}*")
        await asyncio.to_thread(sender.process.communicate, timeout=15)
        assert sender.process.returncode == 5


async def test_a_page_that_asks_has_no_fault_of_accessibility(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    found = []
    for name, action in (
        (samples.done, "retry"),
        (samples.held, "approve"),
        (samples.paused, "cancel"),
    ):
        assert (await page.go(console.at(name, action))).ok
        assert await page.page.locator("main form[method=post] button").count() == 1
        found += await find_faults(page)
    assert found == []


async def test_a_reader_cannot_act_by_an_address_either(
    guarded: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await sign_in(page, guarded, READER)
    await page.page.wait_for_url(guarded.at())
    for action in ("pause", "resume", "cancel", "retry", "approve"):
        url = guarded.at(samples.paused, action)
        assert (await page.page.request.get(url)).status == 403
        answer = await page.page.request.post(
            url, form={"csrf": "x"}, headers={"origin": guarded.url}
        )
        assert answer.status == 403


async def test_an_operator_acts_and_signs_out(
    guarded: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    page.allowed = ("error: Failed to load resource: the server responded with a status of 40",)
    await sign_in(page, guarded, OPERATOR)
    await page.page.wait_for_url(guarded.at())
    await page.go(guarded.at(samples.paused))
    await page.page.locator("a[href$='/cancel']").first.click()
    await page.page.locator("main form[method=post] button").first.click()
    await page.page.wait_for_url(f"{guarded.at(samples.paused)}*")
    cookies = await page.page.context.cookies()
    assert cookies
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies)
    await page.page.locator("form[action$='/sign-out'] button").click()
    await page.go(guarded.at())
    assert await page.page.locator("input[name=token]").count() == 1
