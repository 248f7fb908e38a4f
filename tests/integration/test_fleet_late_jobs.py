"""Jobs of a fleet that begin late, when what they were made for is not so any more, or that are lost."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest
from campaigning import MESSAGE, QUICK, honest, ids
from fleet_working import new_fleet, rows, working
from waiting import until

import promomsg
from promomsg import Campaign, WeChatPromoter, open_journal
from promomsg.fleet.accounts import GivenChannels
from promomsg.fleet.jobs import Job, Wanted
from promomsg.fleet.queue import JobQueue, enqueue
from promomsg.fleet.task_context import TaskContext, find_campaign
from promomsg.fleet.tasks import TASKS
from promomsg.journal.postgres.database import connect
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import Control
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio


async def do(url: str, task: str, *channels: WeChatPromoter) -> None:
    """What a worker does whose queue gave it this job of the first campaign."""
    db = await connect(url)
    found = await find_campaign(db, 1)
    await db.close()
    assert found is not None
    name, record = found
    here = TaskContext(
        PostgresJournal(url, name),
        1,
        record,
        {},
        accounts=GivenChannels(*channels),
        concurrency=8,
        stop=anyio.Event(),
        others_wait=lambda: False,
    )
    await TASKS[task].run(here)


async def test_a_cancel_that_was_taken_back_cancels_nobody_later(
    postgres: str, box: Sandbox, channel: WeChatPromoter
) -> None:
    """A worker that stood still has its job of the cancel yet, when the campaign has been retried."""
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        journal = fleet.journal("autumn")
        box.settings.refuse_single = dict.fromkeys(ids(5), 43101)
        report = await promomsg.send(
            channel, MESSAGE, ids(40), journal=journal, route="single", **QUICK
        )
        assert report.failed == 5
        handle = await journal.open(write=True)
        await handle.set_control(Control.CANCEL)
        await handle.close()
        box.settings.refuse_single = {}
        await Campaign.retry(journal, channel, failed=True).hand_over()

        await do(url, "finish", channel)
        with open_journal(journal) as opened:
            assert (opened.report().cancelled, opened.report().pending) == (0, 5)
        async with working(fleet, channel):
            report = await fleet.wait("autumn")
        assert (report.state, report.sent) == ("done", 40)
        honest(report, box)


@pytest.mark.parametrize("asked", [Control.PAUSE, Control.CANCEL])
async def test_a_shift_that_begins_late_sends_to_nobody_of_a_campaign_that_is_stopped(
    postgres: str, box: Sandbox, channel: WeChatPromoter, asked: Control
) -> None:
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        journal = fleet.journal("autumn")
        planned = Campaign(channel, MESSAGE, ids(30), journal=journal, route="single", **QUICK)
        await planned.hand_over()
        handle = await journal.open(write=True)
        await handle.set_control(asked)
        await handle.close()
        await do(url, "shift", channel)
        assert box.ledger.singles == 0


async def test_a_job_whose_row_is_lost_while_it_begins_is_no_error(
    postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[Wanted] = []
    with new_fleet(postgres) as url:
        await promomsg.Fleet(url).prepare()

        async def begin(wanted: Wanted) -> None:
            begun.append(wanted)
            rows(url, "TRUNCATE procrastinate_jobs CASCADE")

        async def queue_up(campaign: int) -> None:
            db = await connect(url)
            await enqueue(db, [Job(Wanted(task="shift", campaign=campaign), "one")])
            await db.close()

        queue = JobQueue(url, "one", ["shift"], begin, at_once=4)
        serving = asyncio.create_task(queue.run())
        for number in (1, 2):  # and it goes on
            await queue_up(number)
            await until(lambda number=number: len(begun) == number, 20)
        queue.stop()
        await serving
    gc.collect()
    assert [one.campaign for one in begun] == [1, 2]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
