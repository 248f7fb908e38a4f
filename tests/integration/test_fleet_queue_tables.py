"""The queue's tables: made once, and brought along with the installed Procrastinate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import resources

import pytest
from campaigning import MESSAGE, QUICK, ids
from fleet_working import new_fleet, quick_looks, rows, working

from promomsg import Campaign, Fleet, JournalError, WeChatPromoter
from promomsg.fleet import queue

pytestmark = pytest.mark.asyncio


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with new_fleet(postgres) as found:
        yield found


async def test_tables_of_an_older_queue_are_brought_along_in_order_and_work(
    url: str, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    fleet, all_of_them = Fleet(url), queue.installed_migrations()
    before = [name for name in all_of_them if name < "03.02.00"]
    folder = resources.files("procrastinate.sql") / "migrations"
    with monkeypatch.context() as older:
        older.setattr(queue, "installed_migrations", lambda: before)
        older.setattr(
            queue.SchemaManager,
            "get_schema",
            lambda: "\n".join(folder.joinpath(name).read_text("utf-8") for name in before),
        )
        await fleet.prepare()
    with pytest.raises(JournalError, match="older Procrastinate; bring it to this one's with"):
        await fleet.work(channel)
    await asyncio.gather(fleet.prepare(), fleet.prepare())
    applied = rows(url, "SELECT migration FROM queue_version ORDER BY migration")
    assert applied == [(name,) for name in all_of_them]
    campaign = Campaign(channel, MESSAGE, ids(20), journal=fleet.journal("autumn"), **QUICK)
    await campaign.plan()
    await campaign.hand_over()
    async with working(fleet, channel):
        assert (await asyncio.wait_for(fleet.wait("autumn"), 30)).sent == 20


async def test_whoever_prepares_a_fleet_at_the_same_time_finds_it_prepared(url: str) -> None:
    await asyncio.gather(*(Fleet(url).prepare() for _ in range(4)))
    assert rows(url, "SELECT count(*) FROM queue_version") == [(len(queue.installed_migrations()),)]
    # All of it is in our schema; others' tables in the database are nobody's business here.
    assert rows(
        url,
        "SELECT DISTINCT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname LIKE %s",
        "procrastinate%",
    ) == [("promomsg",)]
