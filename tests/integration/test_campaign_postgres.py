"""Campaigns on PostgreSQL from end to end: nothing twice, whichever sender or server ends."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from campaigning import MESSAGE, QUICK, add_up, honest, ids, run_to_end, wechat
from postgres_sender import Sender
from postgres_server import PostgresServer
from waiting import wait_for

from promomsg import Campaign
from promomsg.engine.joining import Part, do_part
from promomsg.errors import JournalError
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import Control
from promomsg.sandbox import Fault, FaultPlan, Sandbox

LIFE = 2.0
CONCURRENCY = 16
SENDS = Part(singles=True, groups=True)


@pytest.fixture
def journal(postgres: str) -> PostgresJournal:
    return PostgresJournal(postgres, secrets.token_hex(8))


class Begin:
    """Begins senders of a campaign at the sandbox; `new`: so many people, else it is resumed."""

    def __init__(self, journal: PostgresJournal, box: Sandbox) -> None:
        self._where = (journal.url, journal.name, box.url)
        self.senders: list[Sender] = []

    def __call__(self, *, new: int | None = None, life: float = LIFE) -> Sender:
        self.senders.append(Sender(*self._where, count=new, life=life))
        return self.senders[-1]


@contextmanager
def beginning(journal: PostgresJournal, box: Sandbox) -> Iterator[Begin]:
    """What begins senders; whatever is left of them is killed."""
    begin = Begin(journal, box)
    try:
        yield begin
    finally:
        for sender in begin.senders:
            sender.kill()


def slow(box: Sandbox) -> None:
    """Calls take long enough for something to happen meanwhile."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="delay", seconds=0.02)])


def check(journal: PostgresJournal, box: Sandbox, count: int, unknown: int) -> None:
    """Nobody got it twice, everybody has an outcome, and it is what happened."""
    assert box.ledger.twice() == []
    view = journal.reader()
    counts = view.standing().counts
    outcomes = list(view.rows())
    view.close()
    assert len(outcomes) == counts.planned == count
    assert counts.pending == 0
    assert counts.sent + counts.unknown == count
    assert counts.unknown <= unknown
    for outcome in outcomes:
        reached = box.ledger.deliveries(outcome.recipient.id or "")
        assert reached <= 1
        assert outcome.state != "sent" or reached == 1


@pytest.mark.asyncio
async def test_a_campaign_is_sent_from_a_database(box: Sandbox, journal: PostgresJournal) -> None:
    async with wechat(box) as channel:
        campaign = Campaign(channel, MESSAGE, ids(2000), journal=journal, route="single", **QUICK)
        report = await run_to_end(campaign)
    assert (report.state, report.sent) == ("done", 2000)
    honest(report, box)
    journal.discard()


@pytest.mark.asyncio
async def test_groups_are_sent_and_followed_from_a_database(
    box: Sandbox, journal: PostgresJournal
) -> None:
    async with wechat(box) as channel:
        campaign = Campaign(
            channel, MESSAGE, ids(500), journal=journal, max_group_size=100, **QUICK
        )
        report = await run_to_end(campaign)
    assert (report.state, report.sent, len(report.groups)) == ("done", 500, 5)
    honest(report, box)


@pytest.mark.asyncio
@pytest.mark.parametrize("stopped", ["halted", "paused"])
async def test_nobody_sends_a_stopped_campaign_while_it_is_only_planned_to_go_on(
    box: Sandbox, journal: PostgresJournal, stopped: str
) -> None:
    """A person may be looking at the question, with workers waiting."""
    async with wechat(box) as channel, wechat(box) as worker:
        if stopped == "halted":
            box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001, calls=[1])])
        await Campaign(channel, MESSAGE, ids(20), journal=journal, **QUICK).hand_over()
        if stopped == "paused":
            await journal.request(Control.PAUSE)
        assert (await do_part(journal, worker, SENDS)).state == stopped
        calls = box.calls["singlesendmsg"]

        again = Campaign.resume(journal, channel)
        await again.plan()
        assert (await do_part(journal, worker, SENDS)).state == stopped
        await again.discard()
        assert (await do_part(journal, worker, SENDS)).state == stopped
        assert box.calls["singlesendmsg"] == calls

        await Campaign.resume(journal, channel).hand_over()
        assert (await do_part(journal, worker, SENDS)).state == "done"
    assert box.ledger.twice() == []


@pytest.mark.asyncio
async def test_a_retry_is_begun_by_nobody_before_the_suppression_list_is_looked_at(
    box: Sandbox, journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.settings.refuse_single = dict.fromkeys(("500001", "500002"), 43101)
    async with wechat(box) as channel, wechat(box) as worker:
        await Campaign(channel, MESSAGE, ids(20), journal=journal, **QUICK).hand_over()
        assert (await do_part(journal, worker, SENDS)).state == "done"
        box.settings.refuse_single = {}
        suppress = PostgresHandle.suppress_pending

        async def late(self: PostgresHandle, *columns: Any, **words: Any) -> int:
            await do_part(journal, worker, SENDS)
            return await suppress(self, *columns, **words)

        monkeypatch.setattr(PostgresHandle, "suppress_pending", late)
        retry = Campaign.retry(journal, channel, failed=True, suppress=["500002"])
        await retry.hand_over()
        assert (await do_part(journal, worker, SENDS)).state == "done"
    assert box.ledger.deliveries("500001") == 1
    assert box.ledger.deliveries("500002") == 0


@pytest.mark.asyncio
async def test_a_retry_that_comes_too_early_stops_nobody_who_sends(
    box: Sandbox, journal: PostgresJournal
) -> None:
    async with wechat(box) as channel:
        await Campaign(channel, MESSAGE, ids(20), journal=journal, **QUICK).hand_over()
        sender = await journal.open(write=True)
        lease = await sender.take(groups=True, singles=True, idempotent=False)
        assert lease is not None
        assert await sender.intend(lease, [lease.single_sends[0].seq], 0.0, "1970-01-01")
        with pytest.raises(JournalError, match="are out"):
            await Campaign.retry(journal, channel, failed=True).plan()
        assert (await sender.control()).requested is Control.RUN
        await sender.close()


def test_a_sender_that_is_killed_costs_no_more_than_its_calls_in_flight(
    served: Sandbox, journal: PostgresJournal
) -> None:
    slow(served)
    with beginning(journal, served) as begin:
        first = begin(new=600)
        wait_for(lambda: served.ledger.singles > 200, 60)
        first.kill()
        wait_for(lambda: not journal.is_being_sent())
        report = begin().report()
    add_up(report)
    assert report["state"] == "done"
    check(journal, served, 600, unknown=2 * CONCURRENCY)


def test_two_senders_share_a_campaign_and_one_of_them_is_frozen(
    served: Sandbox, journal: PostgresJournal
) -> None:
    slow(served)
    with beginning(journal, served) as begin:
        first = begin(new=900)
        wait_for(lambda: served.ledger.singles > 100, 60)
        second = begin()
        wait_for(lambda: served.ledger.singles > 300, 60)
        first.signal(signal.SIGSTOP)
        second.report()
        # It left what the frozen one held, until those leases are over.
        wait_for(lambda: begin().report()["pending"] == 0, 60)
        first.signal(signal.SIGCONT)
        assert first.report()["pending"] == 0
    check(journal, served, 900, unknown=2 * CONCURRENCY)


def test_a_server_that_crashes_under_a_sender_costs_nobody(served: Sandbox) -> None:
    server = PostgresServer()
    try:
        server.start()
        slow(served)
        asyncio.run(PostgresJournal.prepare(server.url()))
        journal = PostgresJournal(server.url(), "autumn")
        with beginning(journal, served) as begin:
            sender = begin(new=800, life=15.0)
            for sent in (150, 400):
                wait_for(lambda sent=sent: served.ledger.singles > sent, 60)
                server.stop("immediate")
                server.start()
            report = sender.report()
        add_up(report)
        assert (report["state"], report["sent"], report["unknown"]) == ("done", 800, 0)
        check(journal, served, 800, unknown=0)
    finally:
        server.close()
