"""Fixtures of the campaigns' and the terminal's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from campaigning import JOURNALS, ON_POSTGRES, journal_at, wechat
from cli_campaigns import running

from promomsg import WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Sandbox


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Sandbox]:
    """The provider."""
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """The provider in a thread of its own, for tests that run the terminal."""
    with running() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def channel(box: Sandbox) -> AsyncIterator[WeChatPromoter]:
    """An account there, as fast as it goes."""
    async with wechat(box) as client:
        yield client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test's `journal` is of each kind in turn."""
    if "journal" in metafunc.fixturenames and not hasattr(metafunc.module, "journal"):
        on_postgres = metafunc.module.__name__.rpartition(".")[2] in ON_POSTGRES
        kinds = (*JOURNALS, "postgres") if on_postgres else JOURNALS
        metafunc.parametrize("journal", kinds, indirect=True)


@pytest.fixture
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """A new journal of the kind that is asked for."""
    database = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    return journal_at(request.param, tmp_path, database)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal file may be."""
    return tmp_path / "campaign.db"
