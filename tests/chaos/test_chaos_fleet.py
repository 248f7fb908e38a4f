"""Several machines send one campaign, killed, frozen and replaced at random, and compared with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.fleet_trial import FleetTrial, Kind
from postgres_server import PostgresServer


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own, to be crashed."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "kills", "count"), [("singles", 4, 600), ("groups", 4, 380)])
async def test_machines_under_fire_lose_nobody_and_reach_nobody_twice(
    kind: Kind, kills: int, count: int, tmp_path: Path, server: PostgresServer
) -> None:
    result = await FleetTrial(kind, "ci", tmp_path, server, kills=kills, count=count).run()
    assert result.sent > 0
    assert result.kills > 0
