"""Whatever a name, a message or a provider's word has in it, it is shown as text."""

from __future__ import annotations

import re

import pytest
from browser.console_process import ConsoleProcess
from browser.sample_campaigns import HOSTILE, Samples
from browser.watched_page import WatchedPage

from promomsg.control_characters import escaped

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that change how others are shown, or that nobody sees."""


async def test_markup_in_every_field_is_shown_and_does_nothing(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    pages = console.pages(samples.hostile, actions=("retry",))
    del pages["problem"]
    pages |= {f"recipient {n}": console.at(samples.hostile, "recipients", n) for n in range(10)}
    shown = ""
    for url in pages.values():
        answer = await page.go(url)
        assert answer.ok, url
        await page.page.wait_for_load_state("load")
        assert await page.script("() => window.hacked") is None
        assert await page.page.locator("[onerror], [onload], [onclick], [onmouseover]").count() == 0
        assert await page.page.locator("main b[onclick], main script, main img[src=x]").count() == 0
        text = await page.page.locator("body").inner_text()
        assert UNSEEN.search(text) is None, url
        assert UNSEEN.search(await page.page.title()) is None
        shown += text
    for key in HOSTILE[3:]:
        assert escaped(key) in shown
    assert HOSTILE[0] in shown  # why it halted, a code and a key
    assert page.elsewhere == []


async def test_a_name_of_any_characters_leads_to_its_own_page(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await page.go(console.at())
    await page.page.get_by_role("link", name="a&b<img").first.click()
    await page.page.wait_for_url(console.at(samples.hostile))
    assert "a&b<img src=x onerror=hacked=1>" in await page.page.locator("h1").inner_text()
    await page.page.locator("a[href$='/recipients']").first.click()
    links = page.page.locator("tbody a")
    for at in range(await links.count()):
        key = await links.nth(at).inner_text()
        await links.nth(at).click()
        assert key in await page.page.locator("main").inner_text()
        await page.page.go_back()
