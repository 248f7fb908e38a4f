"""Many campaigns, and many single calls, on one client: shared fairly, and nobody in doubt."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from waiting import real_time, until

from promomsg import (
    Campaign,
    JournalError,
    NotSent,
    Recipient,
    Report,
    UsageError,
    WeChatPromoter,
    open_file_limit,
    send,
)
from promomsg.journal.records import Lease
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


class Crowd:
    """Counts the calls that are at the provider at once, and answers sends when it is let.

    The first one of each campaign is answered at once: no campaign has many out before.
    """

    def __init__(self, box: Sandbox) -> None:
        self.now = self.most = 0
        self.order: list[str] = []
        self.open = asyncio.Event()
        self._begun: set[int] = set()
        self._serve = box._handle
        box._handle = self._count  # type: ignore[method-assign,assignment]

    def _is_first(self, body: bytes) -> bool:
        number = int(json.loads(body)["id"]) // 1_000_000
        first = number > 0 and number not in self._begun
        self._begun.add(number)
        return first

    async def _count(self, request: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if request.path.endswith("singlesendmsg") and not self._is_first(await request.read()):
                await self.open.wait()
            return await self._serve(request)
        finally:
            self.now -= 1


@asynccontextmanager
async def crowded(**settings: Any) -> AsyncIterator[tuple[Sandbox, Crowd]]:
    """A provider that counts."""
    box = Sandbox(**settings)
    crowd = Crowd(box)
    async with box:
        try:
            yield box, crowd
        finally:
            crowd.open.set()


async def all_of(
    clients: list[WeChatPromoter], campaigns: int, each: int, folder: Path | None, **options: Any
) -> list[Report]:
    """So many campaigns at once, one client after the other in turn."""

    async def run(number: int) -> Report:
        campaign = Campaign(
            clients[number % len(clients)],
            MESSAGE,
            [Recipient(id=id) for id in ids(each, start=1_000_000 * (number + 1))],
            name=f"c{number}",
            journal=MemoryJournal() if folder is None else folder / f"{number}.db",
            durability="process",
            route="single",
            **{**QUICK, **options},
        )
        async with campaign as running:
            await running.wait()
        return campaign.report

    return list(await asyncio.gather(*(run(number) for number in range(campaigns))))


async def test_24_campaigns_on_one_client_all_end(tmp_path: Path) -> None:
    """More than they may have out at once, for longer than one call may take."""
    slow = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.1)])
    async with crowded(faults=slow) as (box, crowd), wechat(box, timeout=1.0) as client:
        crowd.open.set()
        reports = await all_of([client], 24, 60, tmp_path, concurrency=64)
        ends = [(r.state, r.sent, r.unknown, r.warnings) for r in reports]
        assert ends == [("done", 60, 0, [])] * 24
        assert crowd.most == 100
        assert box.ledger.singles == 24 * 60
        assert not box.ledger.twice()


@pytest.mark.parametrize(
    ("most", "concurrency", "peak"), [(10, 64, 10), (10, 3, 10), (8, 20, 20), (100, 64, 100)]
)
async def test_accounts_of_one_client_share_its_connections(
    most: int, concurrency: int, peak: int
) -> None:
    async with crowded() as (box, crowd), wechat(box, max_connections=most) as client:
        others = [client.with_account(f"wx{n}", "s3cret") for n in range(3)]
        for other in others:
            other._pacer = client.pacer
        running = asyncio.create_task(
            all_of([client, *others], 8, 40, None, concurrency=concurrency)
        )
        await until(lambda: crowd.now >= peak)
        await real_time(0.05)
        crowd.open.set()
        assert [report.sent for report in await running] == [40] * 8
        assert crowd.most == peak


async def test_equal_campaigns_progress_together(tmp_path: Path) -> None:
    count, each = 24, 200
    async with crowded() as (box, crowd), wechat(box) as client:
        running = asyncio.create_task(all_of([client], count, each, tmp_path))
        # Everybody wants to send before the first answer: from then on they are equal.
        intents = client.connections.intents
        await until(lambda: intents._active == count and crowd.now == 100, seconds=60)
        crowd.open.set()
        await running
        order = [int(id) // 1_000_000 for id in box.ledger.delivered]
    done = dict.fromkeys(range(1, count + 1), 0)
    behind = 0
    for at, number in enumerate(order):
        done[number] += 1
        if done[number] == each:
            break  # the first one is through
        if at > count * 20:
            behind = max(behind, max(done.values()) - min(done.values()))
    # The first ones had 64 calls out and 64 intended when the others came.
    assert behind <= 128 + 32
    # Half of all calls: so many that it does not matter which batch begins or ends in between.
    middle = order[len(order) // 4 : 3 * len(order) // 4]
    shares = [middle.count(number) for number in done if done[number] < each]
    assert max(shares) <= 2 * min(shares), shares


async def test_recipients_of_many_campaigns_are_written_down_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit costs about as much for one as for many; with two permits each it carried two."""
    intended: list[int] = []
    intend = SqliteHandle.intend

    async def count(self: SqliteHandle, lease: Lease, seqs: Sequence[int], *at: Any) -> bool:
        intended.append(len(seqs))
        return await intend(self, lease, seqs, *at)

    monkeypatch.setattr(SqliteHandle, "intend", count)
    async with crowded() as (box, crowd), wechat(box) as client:
        crowd.open.set()
        reports = await all_of([client], 50, 100, tmp_path)
        assert [report.sent for report in reports] == [100] * 50
        assert crowd.most <= 100
    assert len(intended) <= 50 * 100 / 10


async def test_single_calls_that_wait_are_sent_or_not_sent() -> None:
    """Far more at once than there are connections, on a provider that takes its time."""
    slow = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.4)])
    async with (
        Sandbox(faults=slow) as box,
        wechat(box, timeout=1.0, max_connections=10) as client,
    ):
        results = await asyncio.gather(
            *(client.send_one(MESSAGE, Recipient(id=id)) for id in ids(60)), return_exceptions=True
        )
        for id, result in zip(ids(60), results, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, NotSent)
                assert "no free connection within 1 s: 10 calls" in str(result)
                assert box.ledger.deliveries(id) == 0
            else:
                assert (result.state, box.ledger.deliveries(id)) == ("sent", 1)
        said = [isinstance(result, NotSent) for result in results]
        assert any(said)
        assert said == sorted(said), "first come, first served"
        assert said.count(False) >= 20


async def test_a_wait_for_a_connection_takes_nothing_from_the_time_for_the_answer() -> None:
    async with crowded() as (box, crowd), wechat(box, timeout=0.5, max_connections=1) as client:
        first = asyncio.create_task(client.send_one(MESSAGE, Recipient(id="1")))
        await until(lambda: box.calls["stable_token"] == 1 and crowd.now == 1)
        second = asyncio.create_task(client.send_one(MESSAGE, Recipient(id="2")))
        await real_time(0.35)
        crowd.open.set()
        assert (await first).state == "sent"
        crowd.open.clear()
        await until(lambda: crowd.now == 1)
        await real_time(0.3)  # 0.65 s since it was asked for
        crowd.open.set()
        assert (await second).state == "sent"


async def test_a_single_call_waits_for_no_whole_campaign() -> None:
    async with crowded() as (box, crowd), wechat(box, max_connections=4) as client:
        running = asyncio.create_task(all_of([client], 2, 100, None, concurrency=4))
        await until(lambda: crowd.now == 4)
        single = asyncio.create_task(client.send_one(MESSAGE, Recipient(id="7")))
        await real_time(0.01)
        crowd.open.set()
        await single
        assert box.ledger.singles < 40
        await running


async def test_polls_and_tokens_do_not_starve_behind_sends() -> None:
    async with crowded() as (box, crowd), wechat(box, max_connections=4) as client:
        running = asyncio.create_task(all_of([client], 4, 100, None, concurrency=4))
        await until(lambda: crowd.now == 4)
        other = client.with_account("wx0002", "s3cret")
        reading = asyncio.create_task(other.get_quota())
        await real_time(0.01)
        assert not reading.done()
        assert box.calls["quota_get"] == 0
        crowd.open.set()
        await reading
        assert box.ledger.singles < 40
        assert crowd.most <= 4
        await running


async def test_a_token_that_fails_under_every_call_is_renewed() -> None:
    """Each call that has a place waits for the token, whose call needs a place as well."""
    async with crowded() as (box, crowd), wechat(box, max_connections=3) as client:
        crowd.open.set()
        await client.send_one(MESSAGE, Recipient(id="1"))
        box.expire_tokens()
        sends = (client.send_one(MESSAGE, Recipient(id=id)) for id in ids(30))
        outcomes = await asyncio.wait_for(asyncio.gather(*sends), 10)
        assert {outcome.state for outcome in outcomes} == {"sent"}
        assert crowd.most <= 3
        assert client.connections.calls.in_use == 0


async def test_clients_on_one_session_share_its_limit() -> None:
    async with (
        crowded() as (box, crowd),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=5)) as own,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(wechat(box, session=own)) for _ in range(4)]
        running = asyncio.create_task(all_of(clients, 8, 60, None))
        await until(lambda: crowd.now == 5)
        await real_time(0.05)
        crowd.open.set()
        reports = await running
        assert [(report.sent, report.state) for report in reports] == [(60, "done")] * 8
        assert crowd.most == 5


async def test_half_of_the_open_files_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_file_limit, "limit", lambda: 120)
    async with crowded() as (box, crowd), wechat(box) as client:
        running = asyncio.create_task(all_of([client], 1, 200, None, concurrency=200))
        await until(lambda: crowd.now == 60)
        await real_time(0.05)
        crowd.open.set()
        [report] = await running
        assert (report.sent, report.unknown) == (200, 0)
        assert crowd.most == 60


async def test_no_more_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    async with Sandbox() as box, wechat(box) as client:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", full)
        with pytest.raises(NotSent, match=r"too many open files \(ulimit -n is \d+\): raise"):
            await client.send_one(MESSAGE, Recipient(id="1"))


@pytest.mark.parametrize("most", [0, -1, 2.5, "100", True, None])
async def test_a_number_of_connections_that_cannot_be_is_refused(most: Any) -> None:
    with pytest.raises(UsageError, match=r"max_connections=.*a whole number of 1 or more"):
        WeChatPromoter("wx1", "s3cret", max_connections=most)


def held(folder: Path) -> int:
    """Descriptors of this process for files below a folder."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith(str(folder))
    return found


async def test_a_campaign_takes_few_descriptors_and_no_thread_of_its_own(tmp_path: Path) -> None:
    count = 40
    async with crowded() as (box, crowd), wechat(box) as client:
        running = asyncio.create_task(all_of([client], count, 20, tmp_path))
        await until(lambda: len(list(tmp_path.glob("*.db"))) == count and crowd.now == 100)
        await real_time(0.2)
        # The journal, its -wal, its -shm and the sender's lock.
        assert held(tmp_path) <= 4 * count
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name.startswith("promomsg") for name in names) <= 8
        crowd.open.set()
        assert [report.sent for report in await running] == [20] * count
    assert held(tmp_path) == 0


async def test_no_more_files_for_a_journal_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself says that it is "unable to open database file"."""

    def full(*args: Any, **kwargs: Any) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    async with Sandbox() as box, wechat(box) as client:
        monkeypatch.setattr(sqlite3, "connect", full)
        monkeypatch.setattr(open_file_limit, "is_exhausted", lambda: True)
        with pytest.raises(JournalError, match=r"a\.db: too many open files .*raise ulimit -n"):
            await send(client, MESSAGE, ["1"], journal=tmp_path / "a.db")
        monkeypatch.setattr(open_file_limit, "is_exhausted", lambda: False)
        with pytest.raises(JournalError, match=r"a\.db: unable to open .*check that the folder"):
            await send(client, MESSAGE, ["1"], journal=tmp_path / "a.db")
    assert box.calls["singlesendmsg"] == 0
