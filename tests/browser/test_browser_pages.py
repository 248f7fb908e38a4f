"""Every page of the console: accessible, as wide as a phone, quiet, and from no other host."""

from __future__ import annotations

import pytest
from browser.accessibility import find_faults
from browser.console_process import ConsoleProcess
from browser.sample_campaigns import Samples
from browser.watched_page import WatchedPage
from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_FOUND = "error: Failed to load resource: the server responded with a status of 404"
"""What a browser says of the page that there is not."""


def of_every_kind(console: ConsoleProcess, samples: Samples) -> dict[str, str]:
    """A page of each kind, of a campaign where it has most to show."""
    pages = console.pages(samples.done)
    pages["rate"] = console.at(samples.done, "rate")
    pages["groups"] = console.at(samples.done, "groups")
    pages["what a person has to look at"] = console.at(samples.held)
    pages["those that were looked for"] = f"{console.url}/?state=halted&search=e"
    pages["none that was looked for"] = f"{console.url}/?state=unreadable"
    return pages


async def test_axe_finds_no_fault_of_accessibility(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    page.allowed = (NOT_FOUND,)
    found = []
    for kind, url in of_every_kind(console, samples).items():
        assert (await page.go(url)).ok or kind == "problem", url
        found += await find_faults(page)
    assert found == []


async def test_no_page_is_wider_than_a_phone(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    page.allowed = (NOT_FOUND,)
    await page.page.set_viewport_size({"width": 320, "height": 640})
    pages = of_every_kind(console, samples)
    pages |= {f"hostile {kind}": url for kind, url in console.pages(samples.hostile).items()}
    for url in pages.values():
        await page.go(url)
        wide = await page.script("() => document.documentElement.scrollWidth")
        assert wide <= 320, url


async def test_every_page_keeps_to_its_policy_and_to_its_own_host(
    console: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    page.allowed = (NOT_FOUND,)
    for url in of_every_kind(console, samples).values():
        answer = await page.go(url)
        await page.page.wait_for_load_state("load")
        policy = await answer.header_value("content-security-policy") or ""
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert await page.page.title()
        assert await page.page.locator("main h1").count() == 1
    assert page.elsewhere == []


async def test_a_page_is_the_same_without_its_script(
    console: ConsoleProcess, samples: Samples, browser: Browser
) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="en-US")
    page = await context.new_page()
    await page.goto(console.at())
    await page.get_by_role("link", name="autumn", exact=True).first.click()
    await page.wait_for_url(console.at(samples.done))
    await page.locator("a[href$='/recipients']").first.click()
    await page.wait_for_url("**/recipients*")
    search = page.locator("input[name=search]")
    await search.fill("k12")
    await search.press("Enter")
    await page.wait_for_url("**search=k12*")
    shown = await page.locator("tbody tr").all_inner_texts()
    assert sorted(row.split()[0] for row in shown) == sorted(
        ["k12", *(f"k{n}" for n in range(120, 128)), "k126", "k127"]
    )
    await context.close()
