"""A hostile page in the same browser reads nothing of the console and changes nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser.attacker import ATTEMPTS, attacking
from browser.console_process import ConsoleProcess
from browser.sample_campaigns import Samples
from browser.signing_in import ENVIRONMENT, OPERATOR, ROLES, sign_in
from browser.watched_page import WatchedPage
from playwright.async_api import Error

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACCOUNT = "wx0123456789abcdef"
"""On the page of each campaign; a browser's own page of an error says addresses, and so names."""
SENT_UNREAD = {"cancel", "resume", "beacon"}
"""Requests whose answers a page may not read, and whose sending no browser prevents: they must be refused."""
BEFORE_AND_AFTER = """
SELECT requested, (SELECT count(*) FROM recipient WHERE state = 0), (SELECT halted FROM campaign)
FROM control
"""


@pytest_asyncio.fixture(loop_scope="session")
async def attacker() -> AsyncIterator[int]:
    """The port of the attacker's server."""
    async with attacking() as port:
        yield port


def stands(folder: Path, samples: Samples) -> list[tuple[object, ...]]:
    """What an action would have changed."""
    found = []
    for name in samples.names:
        with sqlite3.connect(folder / name) as db:
            found += db.execute(BEFORE_AND_AFTER).fetchall()
        db.close()
    return found


async def forms(page: WatchedPage, campaign: str) -> dict[str, dict[str, str]]:
    """What each action's form has beside its token, which an attacker might guess."""
    found = {}
    for action in ("cancel", "resume", "retry"):
        await page.go(f"{campaign}/{action}")
        found[action] = await page.script(
            "() => Object.fromEntries([...document.querySelectorAll('main form input')]"
            ".filter((i) => i.name !== 'csrf').map((i) => [i.name, i.value]))"
        )
    assert found["cancel"]
    return found


async def shown_in_frames(page: WatchedPage) -> int:
    """Looks into each frame of the page, as the page itself cannot; returns how many there are."""
    seen = 0
    for frame in page.page.frames:
        with contextlib.suppress(
            Error
        ):  # an <object> that showed nothing is given up by the browser
            shown = await frame.content()
            seen += 1
            assert ACCOUNT not in shown
    return seen


# The first is of the console's own site to a browser, so that even SameSite=Strict cookies are sent.
@pytest.mark.parametrize(
    ("host", "signed_in"),
    [("127.0.0.1", True), ("127.0.0.1", False), ("localhost", True), ("evil.test", False)],
    ids=["another-port-signed-in", "another-port", "localhost-signed-in", "another-host"],
)
async def test_another_page_reads_nothing_and_changes_nothing(
    host: str, signed_in: bool, attacker: int, folder: Path, samples: Samples, page: WatchedPage
) -> None:
    before = stands(folder, samples)
    with ConsoleProcess(folder, *(ROLES if signed_in else ()), environment=ENVIRONMENT) as console:
        if signed_in:
            await sign_in(page, console, OPERATOR)
            await page.page.wait_for_url(console.at())
        assert ACCOUNT in await (await page.go(console.at())).text()
        guessed = await forms(page, console.at(samples.paused))
        page.assert_clean()
        page.allowed = ("",)  # the browser complains of the attacker, as it should
        await page.go(f"http://{host}:{attacker}/")
        found = await page.script(
            ATTEMPTS,
            {
                "target": console.url,
                "campaign": console.at(samples.paused),
                "script": "/static/console.js",
                "guessed": guessed,
            },
        )
        assert await shown_in_frames(page) > 2
        answered = {name: came for name, came in found.items() if came != "refused"}
        assert set(answered.items()) <= {(name, "sent") for name in SENT_UNREAD}
        assert len(found) == 18
    assert stands(folder, samples) == before


async def test_a_name_that_now_means_this_machine_reads_nothing(
    folder: Path, samples: Samples, page: WatchedPage
) -> None:
    """DNS rebinding: the page's own host name now leads to the console, so that the browser takes
    both for one origin. What is left is the Host header, which says that name."""
    before = stands(folder, samples)
    page.allowed = ("",)
    async with attacking() as port:
        evil = f"http://evil.test:{port}"
        await page.go(f"{evil}/")
    with ConsoleProcess(folder, port=port) as console:
        campaign = console.at(samples.paused).replace(console.url, evil)
        found = await page.script(
            """async ({ asked, actions }) => {
              const found = [];
              const keep = async (answer) => found.push([answer.status, await answer.text()]);
              const soon = () => AbortSignal.timeout(3000); // events that do come never end
              for (const at of asked) await keep(await fetch(at, { signal: soon() }));
              for (const at of actions) await keep(await fetch(at, { method: 'POST', body: 'csrf=x',
                headers: { 'content-type': 'application/x-www-form-urlencoded' } }));
              return found;
            }""",
            {
                "asked": [f"{evil}/", campaign, f"{campaign}/recipients", f"{evil}/sign-in",
                          f"{campaign}/live", f"{evil}/static/console.css"],
                "actions": [f"{campaign}/{a}" for a in ("pause", "resume", "cancel", "retry", "approve")],
            },
        )  # fmt: skip
        assert len(found) == 11
        for status, text in found:
            assert 400 <= status < 500
            assert ACCOUNT not in text
            assert "paused" not in text
            assert "csrf" not in text
    assert stands(folder, samples) == before
