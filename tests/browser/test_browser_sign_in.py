"""Who has no token sees nothing, a reader sees all and in its own language."""

from __future__ import annotations

import pytest
from browser.console_process import ConsoleProcess
from browser.sample_campaigns import Samples
from browser.signing_in import READER, sign_in
from browser.watched_page import WatchedPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_without_a_token_no_page_says_anything(
    guarded: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    asked = [*guarded.pages(samples.paused, actions=("pause", "resume", "cancel")).values()]
    asked += [guarded.at(samples.paused, "live"), f"{guarded.url}/live"]
    for url in asked:
        answer = await page.page.request.get(url)
        assert "paused" not in (await answer.text()).replace(samples.paused, "")
        assert "/sign-in" in answer.url or answer.status in (401, 403, 404), url
    for action in ("pause", "resume", "cancel", "retry"):
        answer = await page.page.request.post(
            guarded.at(samples.paused, action), form={"csrf": "x"}
        )
        assert answer.status in (401, 403), action


async def test_a_wrong_token_is_told_so_and_stays_outside(
    guarded: ConsoleProcess, page: WatchedPage
) -> None:
    page.allowed = ("error: Failed to load resource: the server responded with a status of 40",)
    await sign_in(page, guarded, "a-guess-of-somebody-who-has-no-token")
    await page.page.get_by_role("alert").wait_for()
    assert await page.page.locator("input[name=token]").input_value() == ""
    await page.go(guarded.at())
    assert await page.page.locator("input[name=token]").count() == 1


async def test_a_reader_sees_all_and_has_no_button(
    guarded: ConsoleProcess, samples: Samples, page: WatchedPage
) -> None:
    await sign_in(page, guarded, READER)
    await page.page.wait_for_url(guarded.at())
    for url in guarded.pages(samples.paused).values():
        if "no-such-page" not in url:
            assert (await page.go(url)).ok
    await page.go(guarded.at(samples.paused))
    assert await page.page.locator(".actions, main form[method=post]").count() == 0


async def test_the_language_is_the_readers_own_and_can_be_changed(
    guarded: ConsoleProcess, page: WatchedPage
) -> None:
    await sign_in(page, guarded, READER)
    await page.page.wait_for_url(guarded.at())
    assert await page.script("() => document.documentElement.lang") == "en"
    await page.page.get_by_text("中文").click()
    await page.page.wait_for_load_state("load")
    assert (await page.script("() => document.documentElement.lang")).startswith("zh")
    assert await page.page.locator("h1").inner_text() == "活动"
    await page.page.get_by_text("English").click()
    await page.page.wait_for_load_state("load")
    assert await page.script("() => document.documentElement.lang") == "en"
