"""Clicks and lost group sends of campaigns in a database, looked after by whichever worker is there."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator

import anyio
import psycopg
import pytest
import pytest_asyncio
from campaigning import MESSAGE, PERSONAL, QUICK, ids, wechat
from clocks import FakeClock
from fault_campaigns import client, message, wallet_users
from waiting import until

import promomsg
from promomsg import Campaign, Fleet, Report, WeChatPromoter, open_journal
from promomsg.engine.following.reconcile import reconcile
from promomsg.fleet.accounts import GivenChannels
from promomsg.fleet.jobs import Wanted
from promomsg.fleet.later_looks import due_looks, look
from promomsg.fleet.task_context import TaskContext, find_campaign
from promomsg.journal.postgres.database import connect
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import ClickDay
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

DAY = 86_400.0
LOST = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering")])


class Workers:
    """Workers of one database, of which none outlives a look; a day is a second of nobody's time."""

    def __init__(self, box: Sandbox, url: str) -> None:
        self.box = box
        self.url = url
        self.looks: list[tuple[str, str]] = []

    async def due(self) -> list[Wanted]:
        """What the sweep finds at this moment."""
        db = await connect(self.url)
        try:
            return list(await due_looks(db, 1, now=self.box.clock.time()))
        finally:
            await db.close()

    async def do(self, wanted: Wanted) -> None:
        """A worker begins, does it, and is gone."""
        db = await connect(self.url)
        found = await find_campaign(db, wanted.campaign)
        await db.close()
        assert found is not None
        name, record = found
        clock = FakeClock(start=self.box.clock.time())
        async with wechat(self.box, clock=clock) as channel:
            here = TaskContext(
                PostgresJournal(self.url, name),
                wanted.campaign,
                record,
                wanted.args,
                accounts=GivenChannels(channel),
                concurrency=4,
                stop=anyio.Event(),
                others_wait=lambda: False,
            )
            await look(here, wanted.task, clock=clock)
        self.looks.append((wanted.task, name))

    async def pass_by(self, days: int, *, twice: bool = False) -> None:
        """So many days go by, six hours at a time."""
        for _ in range(days * 4):
            for wanted in await self.due():
                await self.do(wanted)
                if twice:
                    await self.do(wanted)
            self.box.clock.advance(DAY / 4)


@pytest_asyncio.fixture
async def workers(box: Sandbox, postgres: str) -> AsyncIterator[Workers]:
    await Fleet(postgres).prepare()
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute("UPDATE promomsg.campaign SET clicks_at = NULL, reconcile_at = NULL")
    yield Workers(box, postgres)


@pytest.fixture
def journal(postgres: str) -> PostgresJournal:
    return PostgresJournal(postgres, secrets.token_hex(8))


def report_of(journal: PostgresJournal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


def clicks_of(journal: PostgresJournal) -> list[ClickDay]:
    view = journal.reader()
    try:
        return view.clicks()
    finally:
        view.close()


@pytest.mark.parametrize("twice", [False, True])
async def test_clicks_come_by_themselves_over_the_week_and_then_nobody_looks_any_more(
    twice: bool,
    box: Sandbox,
    channel: WeChatPromoter,
    workers: Workers,
    journal: PostgresJournal,
) -> None:
    box.settings.click_rate = 0.5
    await promomsg.send(channel, MESSAGE, ids(100), journal=journal, **QUICK)
    await workers.pass_by(11, twice=twice)
    [found] = [one for one in clicks_of(journal) if one.counts]
    assert (found.counts[0].people, found.counts[0].clicks) == (50, 75)
    assert await workers.due() == []
    looks = [what for what, _ in workers.looks]
    each = 2 if twice else 1
    assert looks.count("clicks") in (9 * each, 10 * each)  # midnight may make two days of one send
    assert looks.count("reconcile") == each


async def test_a_look_that_was_lost_is_made_later(
    box: Sandbox, channel: WeChatPromoter, workers: Workers, journal: PostgresJournal
) -> None:
    """The worker dies after it began: the look is due at once again."""
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    await workers.pass_by(2)
    box.faults = FaultPlan([Fault(endpoint="getmsgclickdata", kind="hang", calls=[1])])
    box.clock.advance(DAY)
    [wanted] = await workers.due()
    with anyio.move_on_after(0.5):
        await workers.do(wanted)
    assert await workers.due() == [wanted]
    box.faults = FaultPlan()
    await workers.do(wanted)
    assert await workers.due() == []


async def test_a_lost_group_send_is_warned_of_once_and_followed_when_a_person_says_so(
    box: Sandbox, channel: WeChatPromoter, workers: Workers, journal: PostgresJournal
) -> None:
    box.settings.click_rate = 1.0
    box.faults = LOST
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.faults = FaultPlan()
    await workers.pass_by(3, twice=True)
    report = report_of(journal)
    assert (report.unknown, report.pending) == (60, 0)
    assert sum("its answer was lost" in text for text in report.warnings) == 1
    assert clicks_of(journal) == []
    clock = FakeClock(start=box.clock.time())
    async with wechat(box, clock=clock) as later:
        await reconcile(journal, later, adopt=True, clock=clock)
    await workers.pass_by(1)
    assert [one.counts[0].people for one in clicks_of(journal) if one.counts]


async def test_a_campaign_that_is_resumed_is_looked_at_anew(
    box: Sandbox, channel: WeChatPromoter, workers: Workers, journal: PostgresJournal
) -> None:
    await Campaign(channel, PERSONAL, ids(20), journal=journal, **QUICK).hand_over()
    await workers.pass_by(0)
    assert {one.task for one in await workers.due()} == {"clicks", "reconcile"}
    for wanted in await workers.due():
        await workers.do(wanted)
    assert await workers.due() == []
    async with Campaign.resume(journal, channel, **QUICK) as run:
        assert (await run.wait()).sent == 20
    assert {one.task for one in await workers.due()} == {"clicks", "reconcile"}


async def test_a_wallets_campaign_is_not_looked_at(
    box: Sandbox, workers: Workers, postgres: str, journal: PostgresJournal
) -> None:
    async with client(box, "alipay") as wallet:
        await promomsg.send(wallet, message("alipay"), wallet_users(3), journal=journal, **QUICK)
    assert await workers.due() == []
    with psycopg.connect(postgres) as db:
        rows = db.execute(
            "SELECT clicks_at, reconcile_at FROM promomsg.campaign WHERE journal = %s",
            (journal.name,),
        ).fetchall()
    assert rows == [(None, None)]


async def test_a_plan_in_the_making_is_not_looked_at(
    channel: WeChatPromoter, workers: Workers, journal: PostgresJournal
) -> None:
    campaign = Campaign(channel, PERSONAL, ids(5), journal=journal)
    await campaign.plan()
    assert await workers.due() == []
    await campaign.discard()


async def test_a_worker_makes_the_looks_that_are_due_by_itself(
    channel: WeChatPromoter, workers: Workers, postgres: str, journal: PostgresJournal
) -> None:
    """On the day of the send there is nothing to ask for yet: it says when there will be."""
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)

    def next_looks() -> list[tuple[float | None, float | None]]:
        with psycopg.connect(postgres) as db:
            return db.execute(
                "SELECT clicks_at, reconcile_at FROM promomsg.campaign WHERE journal = %s",
                (journal.name,),
            ).fetchall()

    assert next_looks() == [(0.0, 0.0)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Fleet(postgres).work, channel)
        await until(lambda: next_looks()[0][1] is None and (next_looks()[0][0] or 0) > time.time())
        tasks.cancel_scope.cancel()
