"""One Chromium a test process, and a context (cookies, storage) of each test's own.

All of it is on the session's event loop, where the browser lives, and so are the tests:
`pytestmark = pytest.mark.asyncio(loop_scope="session")`.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser.chromium import MISSING, find_chromium, flags
from browser.console_process import ConsoleProcess
from browser.running_sender import RunningSender, sending
from browser.sample_campaigns import Samples, make_samples
from browser.signing_in import ENVIRONMENT, ROLES
from browser.watched_page import WatchedPage
from integration.cli_campaigns import running
from playwright.async_api import Browser, BrowserContext, async_playwright

from promomsg.sandbox import Sandbox

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser they are skipped, and say what brings one."""
    if find_chromium() is None:
        for item in items:
            if item.path.parent == _HERE:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, to which `evil.test` is this machine."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=find_chromium(), args=flags())
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser that has never been anywhere, in English."""
    fresh = await browser.new_context(locale="en-US")
    fresh.set_default_timeout(10_000)
    yield fresh
    await fresh.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[WatchedPage]:
    """A page in it. That nothing was complained of is asserted when the test is over."""
    watched = await WatchedPage.opened(context)
    yield watched
    watched.assert_clean()


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """The provider, in a thread of its own."""
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def sender(served: Sandbox, tmp_path: Path) -> Iterator[RunningSender]:
    """A campaign that a process is sending there."""
    with sending(tmp_path, served) as running_sender:
        yield running_sender


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Campaigns of every kind that is shown, in one folder. Tests change none of them."""
    return make_samples(tmp_path_factory.mktemp("campaigns"))


@pytest.fixture(scope="session")
def console(samples: Samples) -> Iterator[ConsoleProcess]:
    """A console of these campaigns, for whoever only looks."""
    with ConsoleProcess(samples.folder) as process:
        yield process


@pytest.fixture
def folder(samples: Samples, tmp_path: Path) -> Path:
    """A copy of them, for a test that may change them."""
    for file in samples.folder.glob("*"):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.fixture
def guarded(folder: Path) -> Iterator[ConsoleProcess]:
    """A console of this copy that wants a token."""
    with ConsoleProcess(folder, *ROLES, environment=ENVIRONMENT) as process:
        yield process
