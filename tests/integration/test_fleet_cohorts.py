"""Several machines send a campaign whose recipients are in several time zones: work is given out for those
who are open, and for nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from campaigning import PERSONAL, QUICK, honest, single
from fleet_working import new_fleet, quick_looks, rows, working
from waiting import until

import promomsg
from promomsg import Campaign, WeChatPromoter, open_journal
from promomsg.clock import DAY
from promomsg.engine.joining import Part, do_part
from promomsg.fleet import tasks
from promomsg.fleet.jobs import Wanted
from promomsg.fleet.sweep import _open_campaigns
from promomsg.journal.contract import Journal
from promomsg.journal.postgres.database import connect
from promomsg.journal.records import Control, FirstFew
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

ZONES = ("Asia/Tokyo", "America/New_York")
"""13 or 14 hours apart, so that hours of one are not those of the other."""


def hours_now(zone: str) -> str:
    """Six hours around the time that it is there."""
    hour = datetime.fromtimestamp(time.time(), UTC).astimezone(ZoneInfo(zone)).hour
    return f"{(hour - 3) % 24:02}:00-{(hour + 3) % 24:02}:00"


def people(zones: Sequence[str], count: int) -> list[dict[str, str]]:
    return [{"id": str(500_001 + n), "zone": zones[n % len(zones)]} for n in range(count)]


def state_of(journal: Journal) -> str:
    with open_journal(journal) as opened:
        return opened.report().state


async def wanted(url: str, workers: int = 4) -> list[Wanted]:
    db = await connect(url)
    try:
        return list(await _open_campaigns(db, workers))
    finally:
        await db.close()


async def test_only_those_who_are_open_are_sent_to_and_no_shift_is_made_for_the_others(
    postgres: str, box: Sandbox, channel: WeChatPromoter
) -> None:
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        journal = fleet.journal("zones")
        campaign = Campaign(
            channel,
            PERSONAL,
            people(ZONES, 40),
            journal=journal,
            between=hours_now(ZONES[0]),
            zone_column="zone",
            **QUICK,
        )
        await campaign.hand_over()
        [work] = await wanted(url)
        assert (work.task, work.workers) == ("shift", 1)
        done = await do_part(journal, channel, Part(singles=True, groups=True))
        assert (done.calls, done.state) == (20, "waiting")
        assert done.parked_until is not None
        assert box.calls["singlesendmsg"] == 20
        handle = await journal.open(write=True)
        counts = await handle.cohort_counts()
        assert sorted((c.sent, c.pending) for c in counts.values()) == [(0, 20), (20, 0)]
        await handle.close()
        assert await wanted(url) == []
        # Without the word of a worker that it waits, too.
        rows(url, "UPDATE promomsg.control SET parked_until = NULL")
        assert await wanted(url) == []
        closed = f'"between":["{hours_now(ZONES[0])}"]'
        opened = f'"between":["{hours_now(ZONES[1])}"]'
        rows(
            url, "UPDATE promomsg.campaign SET settings = replace(settings, %s, %s)", closed, opened
        )
        [work] = await wanted(url)
        assert (work.task, work.workers) == ("shift", 1)
        done = await do_part(journal, channel, Part(singles=True, groups=True))
        assert (done.calls, done.state) == (20, "done")
        with open_journal(journal) as opened:
            honest(opened.report(), box)


async def test_no_shift_is_made_for_the_others_while_the_first_few_are_held(
    postgres: str, channel: WeChatPromoter
) -> None:
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        journal = fleet.journal("first")
        await Campaign(
            channel, PERSONAL, people(ZONES, 40), journal=journal, first=5, **QUICK
        ).hand_over()
        assert [work.workers for work in await wanted(url)] == [1]
        handle = await journal.open(write=True)
        lease = await handle.take(groups=False, singles=True, idempotent=False, cohorts=[1])
        assert lease is not None
        assert len(lease.single_sends) == 5
        assert await wanted(url) == []
        await handle.set_first_few(FirstFew(approved="digest"), instead_of=None)
        assert [work.workers for work in await wanted(url)] == [1]
        await handle.close()


async def test_a_servers_clock_that_is_set_is_noticed_by_a_worker_that_sends(
    postgres: str, box: Sandbox, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may send the whole night long without an end."""
    monkeypatch.setattr(tasks, "_ASK_AGAIN", 0.2)
    quick_looks(monkeypatch)
    box.faults = single(kind="delay", seconds=0.1)
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        end = datetime.fromtimestamp(time.time() + DAY, UTC)
        options: dict[str, Any] = {
            "journal": fleet.journal("night"),
            "finish_by": end,
            "route": "single",
            **QUICK,
        }
        await Campaign(channel, PERSONAL, people(ZONES, 400), **options).hand_over()
        async with working(fleet, channel, concurrency=4):
            await until(lambda: box.ledger.total >= 8, 20)
            later = tasks._SERVER_TIME.replace(b"double precision", b"double precision + 90000")
            monkeypatch.setattr(tasks, "_SERVER_TIME", later)
            report = await asyncio.wait_for(fleet.wait("night"), 40)
        assert report.state == "cancelled"
        assert report.by_code["FINISH_BY"] > 300
        honest(report, box)


async def test_a_campaign_that_is_paused_ends_at_its_finish_by_and_one_that_cannot_be_read_stops_nobody(
    postgres: str, box: Sandbox, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        end = datetime.fromtimestamp(time.time() + DAY, UTC)
        options: dict[str, Any] = {"finish_by": end, "route": "single", **QUICK}
        for name in ("broken", "late"):
            journal = fleet.journal(name)
            await Campaign(
                channel, PERSONAL, people(ZONES, 40), name=name, journal=journal, **options
            ).hand_over()
            handle = await journal.open(write=True)
            await handle.set_control(Control.PAUSE)
            await handle.close()
        assert await wanted(url) == []
        past = (end - timedelta(days=2)).isoformat()
        for name, moment in (("late", past), ("broken", "someday")):
            rows(
                url,
                "UPDATE promomsg.campaign SET settings ="
                ' regexp_replace(settings, \'"finish_by":"[^"]*\', %s) WHERE name = %s',
                f'"finish_by":"{moment}',
                name,
            )
        [work] = await wanted(url)
        assert (work.task, work.workers) == ("shift", 1)
        async with working(fleet, channel, concurrency=4):
            await until(lambda: state_of(fleet.journal("late")) == "cancelled", 40)
        with open_journal(fleet.journal("late")) as opened:
            assert opened.report().by_code == {"FINISH_BY": 40}
        assert await wanted(url) == []
        assert box.ledger.total == 0
