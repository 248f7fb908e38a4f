"""The table of a campaign's people: searched, turned page by page, and each one's history."""

from __future__ import annotations

import pytest
from browser.console_process import ConsoleProcess
from browser.sample_campaigns import PAGED, Samples
from browser.watched_page import WatchedPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def keys(page: WatchedPage) -> list[str]:
    return await page.page.locator("tbody tr a").all_inner_texts()


async def test_all_people_are_found_by_turning_pages_and_back_again(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await page.go(console.at(samples.done, "recipients"))
    turned = [await keys(page)]
    while await page.page.locator("a[rel=next]").count():
        await page.page.locator("a[rel=next]").first.click()
        await page.page.wait_for_load_state("load")
        turned.append(await keys(page))
    everybody = [key for shown in turned for key in shown]
    assert len(turned) == 3
    assert everybody == [*(f"k{n}" for n in range(128)), "k126", "k127"]
    assert len(everybody) == PAGED
    for before in reversed(turned[:-1]):
        await page.page.locator("a[rel=prev]").first.click()
        await page.page.wait_for_load_state("load")
        assert await keys(page) == before
    assert await page.page.locator("a[rel=prev]").count() == 0


async def test_a_search_finds_people_and_says_when_there_are_none(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await page.go(console.at(samples.done, "recipients"))
    search = page.page.locator("input[name=search]")
    await search.fill("k70")
    await search.press("Enter")
    await page.page.wait_for_url("**search=k70*")
    assert await keys(page) == ["k70"]
    row = await page.page.locator("tbody tr").inner_text()
    assert "failed" in row
    assert "103010" in row
    await page.page.locator("tbody tr a").click()
    history = await page.page.locator("main").inner_text()
    assert "103010" in history
    assert "1070" in history
    await page.go(console.at(samples.done, "recipients"))
    await page.page.locator("input[name=search]").fill("nobody-of-this-name")
    await page.page.locator("input[name=search]").press("Enter")
    await page.page.wait_for_url("**search=nobody*")
    assert await keys(page) == []
    assert "nobody-of-this-name" in await page.page.locator("input[name=search]").input_value()


async def test_a_state_shows_its_people_alone(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await page.go(console.at(samples.done))
    await page.page.locator(".tiles .failed a").click()
    await page.page.wait_for_url("**state=failed*")
    shown = await page.page.locator("tbody tr").all_inner_texts()
    assert len(shown) == 7
    assert all("failed" in row for row in shown)
