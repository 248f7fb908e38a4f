"""Fixtures that more than one suite uses."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from clocks import FakeClock

_UNMEASURED = {"property", "chaos", "test_benchmark_gate.py", "test_package_layout.py"}
"""Folders and files of tests: those that repeat what others reach, and those that only read source."""

# For children whose environment is taken from this one's when their module is imported.
_STATE = os.environ["PROMOMSG_STATE"] = tempfile.mkdtemp(prefix="promomsg-state-")
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)

# What the terminal says is tested in English, whatever the developer's own language is.
for _name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
    if os.environ.get(_name, "").startswith("zh"):
        os.environ[_name] = "C.UTF-8"


def pytest_collection_finish() -> None:
    """What is there before the first test is left out of every later garbage collection.

    Modules and collected tests are 400,000 objects: looking through them again took most of the
    time of the tests that collect at each step. What a test makes is collected as ever.
    """
    gc.collect()
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leaves out of the measurement of coverage what reaches no line for the first time, since
    measuring makes it two to three times as slow."""
    if not _UNMEASURED.isdisjoint((item.path.name, item.path.parent.name)):
        item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What outlasts a campaign is kept in a folder of each test's own, not in the developer's."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("PROMOMSG_STATE", str(folder))
    return folder


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not pass `stream_writer`, which aiohttp 3.14 requires."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _Writer())
        try:
            super().__init__(*args, **kwargs)
        except TypeError:  # aiohttp before it had the argument
            del kwargs["stream_writer"]
            super().__init__(*args, **kwargs)


class _Writer:
    output_size = 0


class Mocked(aioresponses):
    """`aioresponses` whose every answer is a `MockedResponse`."""

    def add(self, url: Any, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", MockedResponse)
        super().add(url, *args, **kwargs)


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    """Answers for aiohttp without a socket: `mocked.post(url, payload={...})`."""
    with Mocked() as mock:
        yield mock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is moved."""
    return FakeClock()


@pytest.fixture
def auto_clock() -> FakeClock:
    """A clock that jumps to the next sleeper when every task is idle."""
    return FakeClock(auto=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL database of this test process's own, with the journal's tables: its URL."""
    from postgres_server import new_database, shared_url

    from promomsg.journal.postgres.journal import PostgresJournal

    with new_database(
        shared_url(os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())))
    ) as url:
        asyncio.run(PostgresJournal.prepare(url))
        yield url
