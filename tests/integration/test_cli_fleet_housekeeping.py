"""`list`, `archive` and `purge` of a fleet's database: the same as of a folder."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from cli_campaigns import one_document, promomsg
from fleet_working import new_fleet

import promomsg as package
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.sandbox import Sandbox


@pytest.fixture(scope="module")
def database(postgres: str) -> Iterator[str]:
    """A database of these tests' own, with its tables."""
    with new_fleet(postgres) as url:
        assert promomsg("fleet", "init", "--fleet", url) == 0
        yield url


@pytest.fixture
def fleet(database: str, served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Three campaigns: one that is done, one done long ago, one that was left in the middle."""
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    there = package.Fleet(database)

    async def send() -> None:
        async with wechat(served) as channel:
            for name in ("done", "old"):
                await package.send(
                    channel, MESSAGE, ids(3), name=name, journal=there.journal(name), **QUICK
                )
            left = package.Campaign(
                channel, MESSAGE, ids(4), name="left", journal=there.journal("left"), **QUICK
            )
            async with left as run:
                run.pause()

    asyncio.run(send())
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(
            "UPDATE promomsg.campaign SET planned_at = planned_at - 8640000 WHERE journal <> 'done'"
        )
        db.execute(
            "UPDATE promomsg.tally SET last_at = last_at - 8640000 WHERE campaign <>"
            " (SELECT campaign FROM promomsg.campaign WHERE journal = 'done')"
        )
    yield database
    for name in ("done", "old", "left"):
        there.journal(name).discard()


def names(url: str) -> list[str]:
    return sorted(one.name for one in asyncio.run(package.Fleet(url).campaigns()))


def test_a_database_is_listed_as_a_folder_is(
    fleet: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert promomsg("list", "--fleet", fleet, "--json") == 0
    by_name = {one["journal"]: one for one in one_document(capsys)["campaigns"]}
    assert sorted(by_name) == ["fleet:done", "fleet:left", "fleet:old"]
    done = by_name["fleet:done"]
    assert (done["state"], done["sent"], by_name["fleet:left"]["state"]) == ("done", 3, "paused")
    assert min(one["size"] for one in by_name.values()) > 0
    monkeypatch.setenv("PROMOMSG_FLEET", fleet)
    assert promomsg("list", "--fleet") == 0
    shown = capsys.readouterr().out
    assert "100 days ago" in shown
    assert shown.split()[:3] == ["journal", "campaign", "state"]
    assert promomsg("list", tmp_path, "--fleet") == 1
    assert "not both" in capsys.readouterr().err


def test_only_what_was_over_long_ago_is_purged(
    fleet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("purge", "--fleet", fleet, "--older-than", "90d")
    assert promomsg(*words) == 1
    assert "without a terminal it takes --yes" in capsys.readouterr().err
    assert promomsg(*words, "--dry-run", "--json") == 0
    document = one_document(capsys)
    assert (document["meant"], document["removed"]) == (["fleet:old"], [])
    assert names(fleet) == ["done", "left", "old"]
    assert promomsg(*words, "--yes") == 0
    assert "1 journal removed" in capsys.readouterr().err
    assert names(fleet) == ["done", "left"]


def test_a_campaign_of_a_database_is_archived_and_may_go(
    fleet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("archive", "left", "--fleet", fleet, "--output", tmp_path, "--yes") == 1
    assert "not over" in capsys.readouterr().err
    assert promomsg("archive", "done", "--fleet", fleet, "--output", tmp_path, "--yes") == 0
    assert "removed: fleet:done" in capsys.readouterr().err
    assert names(fleet) == ["left", "old"]
    assert pq.read_table(tmp_path / "done.archive.parquet").num_rows == 3
    assert json.loads((tmp_path / "done.archive.json").read_text())["sent"] == 3


@pytest.mark.asyncio
async def test_what_happened_since_a_moment_is_seen_when_nobody_can_change_it_any_more(
    database: str, served: Sandbox
) -> None:
    journal = PostgresJournal(database, "since")
    begun = time.time()
    async with wechat(served) as channel:
        await package.send(channel, MESSAGE, ids(2), journal=journal, **QUICK)
    assert not await journal.remove_if_ended(begun - 60)
    assert journal.exists()
    assert await journal.remove_if_ended(time.time() + 60)
    assert not journal.exists()
