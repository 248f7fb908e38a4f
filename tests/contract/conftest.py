"""Fixtures of the journals' tests: what every kind of journal passes, and the one that is a file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_rows import CLOCK, Make, maker
from postgres_server import PostgresServer

from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.sqlite.journal import SqliteJournal


@pytest.fixture(autouse=True)
def _lease_clock() -> None:
    """Every test begins at NOW."""
    CLOCK.begin()


@pytest.fixture(params=["sqlite", "memory", "model", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """New journals of each kind in turn: a new kind is added here, and nowhere else."""
    database = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    return maker(request.param, tmp_path, database)


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    """A journal in a file."""
    return SqliteJournal(tmp_path / "autumn.db", durability="process", clock=CLOCK)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the module's own: its tests stop and start it, or know its socket."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(PostgresJournal.prepare(server.url()))
        yield server
    finally:
        server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)
