"""One account, senders on several machines: its quota holds over all of them, at the server.

In real time, since it is other processes whose calls are counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from campaigning import MESSAGE, QUICK, ids, wechat
from postgres_sender import Sender
from postgres_server import PostgresServer
from waiting import until

import promomsg as sdk
from promomsg import Campaign, Pace, SqliteJournal
from promomsg.engine.joining import Part, do_part
from promomsg.errors import JournalError
from promomsg.journal.postgres import journal as journal_module
from promomsg.journal.postgres.account_quota.quota_rows import QuotaRows
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.sandbox import Sandbox
from promomsg.transport.quota.store import QuotaStoreAway

pytestmark = pytest.mark.asyncio
PACE = 50


class Machines:
    """Sender processes, each with a state folder of its own."""

    def __init__(self, database: str, box: Sandbox, folder: Path) -> None:
        self._database, self._box, self._folder = database, box, folder
        self.senders: list[Sender] = []
        self.name = secrets.token_hex(6)

    def begin(self, campaign: str, count: int | None, **pace: Any) -> Sender:
        """One more; `count`: so many people of a new campaign, else it is resumed."""
        number = len(self.senders)
        sender = Sender(
            self._database,
            f"{self.name}-{campaign}",
            self._box.url,
            count=count,
            pace={"singles_per_second": PACE, **pace},
            first=1_000 * (number + 1),
            state=self._folder / str(number),
        )
        self.senders.append(sender)
        return sender

    async def reports(self) -> list[dict[str, Any]]:
        """How each of them ended."""
        return await asyncio.gather(
            *(asyncio.to_thread(sender.report, 90.0) for sender in self.senders)
        )


@contextmanager
def machines(database: str, box: Sandbox, folder: Path) -> Iterator[Machines]:
    """What begins senders; whatever is left of them is killed."""
    found = Machines(database, box, folder)
    try:
        yield found
    finally:
        for sender in found.senders:
            sender.kill()


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that keeps when calls arrived."""
    async with Sandbox(ledger=tmp_path / "ledger.jsonl") as box:
        yield box


def arrivals(folder: Path) -> list[float]:
    """When the single sends arrived."""
    lines = map(json.loads, (folder / "ledger.jsonl").read_text().splitlines())
    return sorted(line["at"] for line in lines if line["what"] == "single")


def worst(times: list[float]) -> int:
    """The most calls in any window of a second, less what a busy machine may bring two calls closer
    together on their way: a bunch too many would still be seen."""
    return max(i + 1 - bisect_right(times, at - 0.9) for i, at in enumerate(times))


def used(times: list[float]) -> float:
    """How much of the quota went between a second after the beginning and one before the end, and a bunch
    that may lie across."""
    first, last = times[0] + 1.0, times[-1] - 1.0
    sent = bisect_right(times, last) - bisect_right(times, first)
    return (sent + PACE / 4) / (PACE * (last - first))


async def test_four_machines_with_campaigns_of_their_own_share_the_windows_and_use_them(
    postgres: str, box: Sandbox, tmp_path: Path
) -> None:
    with machines(postgres, box, tmp_path) as all_of_them:
        for number in range(4):
            all_of_them.begin(f"c{number}", 70)
        reports = await all_of_them.reports()
    assert [report["sent"] for report in reports] == [70] * 4
    assert worst(arrivals(tmp_path)) <= PACE
    assert used(arrivals(tmp_path)) >= 0.9


async def test_a_machine_alone_uses_nearly_all_of_it_with_few_statements(
    postgres: str, box: Sandbox, tmp_path: Path
) -> None:
    with psycopg.connect(postgres, autocommit=True) as db:

        def changes() -> int:
            db.execute("SELECT pg_stat_clear_snapshot()")
            row = db.execute(
                "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'quota'"
            ).fetchone()
            return 0 if row is None else int(row[0])

        before = changes()
        with machines(postgres, box, tmp_path) as alone:
            alone.begin("c", 250)
            [report] = await alone.reports()
        times = arrivals(tmp_path)
        assert report["sent"] == 250
        assert worst(times) <= PACE
        assert used(times) >= 0.95
        await until(lambda: changes() > before)  # the server's statistics come late
        assert changes() - before <= 4 * (times[-1] - times[0] + 2.0)


async def test_the_day_is_exact_over_machines_that_send_the_same_campaign_and_others(
    postgres: str, box: Sandbox, tmp_path: Path
) -> None:
    with machines(postgres, box, tmp_path) as all_of_them:
        for number in range(3):
            all_of_them.begin(f"c{number}", 60, singles_per_day=100)
        await until(lambda: box.ledger.singles >= 20, 30.0)
        all_of_them.begin("c0", None, singles_per_day=100)
        reports = await all_of_them.reports()
    assert box.ledger.singles == 100
    assert {report["state"] for report in reports} <= {"halted", "done"}
    assert "halted" in {report["state"] for report in reports}
    assert box.ledger.twice() == []


async def test_a_server_that_is_started_again_lets_no_window_be_over(
    box: Sandbox, tmp_path: Path
) -> None:
    server = PostgresServer()
    try:
        server.start()
        await PostgresJournal.prepare(server.url())
        with machines(server.url(), box, tmp_path) as both:
            for number in range(2):
                both.begin(f"c{number}", 120)
            await until(lambda: box.ledger.singles >= 80, 30.0)
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.to_thread(server.start)
            reports = await both.reports()
    finally:
        server.close()
    assert [(report["sent"], report["unknown"]) for report in reports] == [(120, 0)] * 2
    times = arrivals(tmp_path)
    assert worst(times) <= PACE
    assert max(after - before for before, after in pairwise(times)) < 6.0


async def test_a_machine_that_is_killed_costs_the_other_little(
    postgres: str, box: Sandbox, tmp_path: Path
) -> None:
    with machines(postgres, box, tmp_path) as both:
        dies = both.begin("dies", 400)
        stays = both.begin("stays", 150)
        await until(lambda: box.ledger.singles >= 100, 30.0)
        dies.kill()
        report = await asyncio.to_thread(stays.report, 60.0)
    assert report["sent"] == 150
    assert worst(arrivals(tmp_path)) <= PACE
    assert max(after - before for before, after in pairwise(arrivals(tmp_path))) < 2.0


def fleet(url: str) -> PostgresJournal:
    """A new campaign of a database."""
    return PostgresJournal(url, secrets.token_hex(8))


def rows(url: str, box: Sandbox) -> int:
    """How many rows the account has in the database."""
    with psycopg.connect(url, autocommit=True) as db:
        found = db.execute("SELECT count(*) FROM promomsg.quota WHERE origin = %s", (box.url,))
        row = found.fetchone()
    assert row is not None
    return int(row[0])


def senders(url: str, box: Sandbox) -> int:
    """How many the account's row of single sends knows of."""
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute(
            "SELECT state FROM promomsg.quota WHERE origin = %s AND kind = 'singles'", (box.url,)
        ).fetchone()
    assert row is not None
    return len(json.loads(row[0]).get("senders", {}))


async def test_a_hold_reaches_campaigns_in_the_database_within_a_second(
    postgres: str, box: Sandbox
) -> None:
    pace = Pace(singles_per_second=200)
    async with wechat(box, pace=pace) as first, wechat(box, pace=pace) as second:
        campaign = Campaign(
            first, MESSAGE, ids(3), route="single", journal=fleet(postgres), **QUICK
        )
        async with campaign as one:
            await one.wait()
        async with Campaign(
            second, MESSAGE, ids(400, 1_000), route="single", journal=fleet(postgres), **QUICK
        ) as run:
            await until(lambda: run.report.sent >= 100)
            first.pacer.singles.throttled(1.0)
            held = second.pacer.singles
            async with asyncio.timeout(1.0):
                await until(lambda: held.held_until is not None)
            assert (await run.wait()).sent == 400


async def test_whatever_calls_through_the_client_takes_from_the_database_too(
    postgres: str, box: Sandbox, tmp_path: Path
) -> None:
    pace = Pace(singles_per_second=100, singles_per_day=10)
    async with wechat(box, pace=pace) as channel, wechat(box, pace=pace) as other:
        await sdk.send(channel, MESSAGE, ids(5), route="single", journal=fleet(postgres), **QUICK)
        file = SqliteJournal(tmp_path / "campaign.db")
        report = await sdk.send(
            channel, MESSAGE, ids(3, 1_000), route="single", journal=file, **QUICK
        )
        assert report.sent == 3
        report = await sdk.send(
            other, MESSAGE, ids(9, 2_000), route="single", journal=fleet(postgres), **QUICK
        )
    assert (report.sent, report.state) == (2, "halted")
    assert box.ledger.singles == 10


async def test_who_does_not_share_neither_reads_nor_writes_the_row(
    postgres: str, box: Sandbox
) -> None:
    for pace in (Pace(unlimited=True), Pace(singles_per_second=500, shared_quota=False)):
        async with wechat(box, pace=pace) as channel:
            report = await sdk.send(
                channel, MESSAGE, ids(5), route="single", journal=fleet(postgres), **QUICK
            )
        assert report.sent == 5
        assert rows(postgres, box) == 0


async def test_campaigns_of_one_client_in_two_databases_are_warned_of(
    postgres: str, box: Sandbox
) -> None:
    with psycopg.connect(postgres, autocommit=True) as db:
        name = f"other_{secrets.token_hex(4)}"
        db.execute(f"CREATE DATABASE {name}".encode())
    parts = {**psycopg.conninfo.conninfo_to_dict(postgres), "dbname": name}
    second = psycopg.conninfo.make_conninfo("", **parts)
    await PostgresJournal.prepare(second)
    pace = Pace(singles_per_second=100)
    async with wechat(box, pace=pace) as channel:
        async with Campaign(
            channel, MESSAGE, ids(5_000), route="single", journal=fleet(postgres), **QUICK
        ) as run:
            await until(lambda: run.report.sent > 0)
            report = await sdk.send(
                channel, MESSAGE, ids(5, 1_000), route="single", journal=fleet(second), **QUICK
            )
            [warning] = report.warnings
            assert "the quota is not shared with senders of PostgreSQL" in warning
            assert "give each database's campaigns a client of their own" in warning
            assert report.sent == 5
            await run.cancel()
            assert (await run.wait()).warnings == []
        assert (rows(postgres, box), rows(second, box)) == (1, 0)
        report = await sdk.send(
            channel, MESSAGE, ids(5, 2_000), route="single", journal=fleet(second), **QUICK
        )
        assert report.warnings == [], "one after the other is fine"
        assert rows(second, box) == 1


async def test_a_row_that_this_version_does_not_know_stops_the_campaign_in_one_line(
    postgres: str, box: Sandbox
) -> None:
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(
            "INSERT INTO promomsg.quota VALUES ('wechat', %s, 'wx0001', 'singles', '[]')",
            (box.url,),
        )
    journal = fleet(postgres)
    async with wechat(box, pace=Pace(singles_per_second=100)) as channel:
        with pytest.raises(
            JournalError, match=r"is not of this version of promomsg .*update"
        ) as said:
            await sdk.send(channel, MESSAGE, ids(5), route="single", journal=journal, **QUICK)
        assert "\n" not in str(said.value)
        assert box.ledger.singles == 0
        with psycopg.connect(postgres, autocommit=True) as db:
            db.execute("DELETE FROM promomsg.quota WHERE origin = %s", (box.url,))
        async with Campaign.resume(journal, channel) as run:
            assert (await run.wait()).sent == 5


async def test_the_progress_says_that_the_quota_is_waited_for(
    box: Sandbox, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(QuotaRows):
        """The quota's database, which can be taken away while the journal's stays."""

        is_away = False

        def submit(self, kind: str, step: Any) -> asyncio.Future[Any]:
            if not self.is_away:
                return super().submit(kind, step)
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Any] = loop.create_future()
            loop.call_soon(future.set_exception, QuotaStoreAway("it cannot be reached now"))
            return future

    monkeypatch.setattr(journal_module, "QuotaRows", Away)
    async with (
        wechat(box, pace=Pace(singles_per_second=100)) as channel,
        Campaign(
            channel, MESSAGE, ids(80), route="single", journal=fleet(postgres), **QUICK
        ) as run,
    ):
        await until(lambda: run.report.sent > 0)
        monkeypatch.setattr(Away, "is_away", True)
        await until(lambda: "quota cannot be reached" in run.report.reason)
        assert run.report.state == "sending"
        monkeypatch.setattr(Away, "is_away", False)
        report = await run.wait()
    assert (report.sent, report.reason, report.warnings) == (80, "", [])


async def test_the_last_campaign_of_a_client_gives_back_what_was_taken(
    box: Sandbox, postgres: str
) -> None:
    """While another goes on the client stays among the account's senders."""
    async with wechat(box, pace=Pace(singles_per_second=100)) as channel:
        pacer = channel.pacer
        store = fleet(postgres).quota_store("wechat", box.url, "wx0001")
        async with pacer.shared_through(store):
            async with pacer.shared_through(store):
                await pacer.singles.reserve(1)
                assert pacer.singles.try_gate()
            assert senders(postgres, box) == 1
        assert senders(postgres, box) == 0


async def test_parts_of_one_campaign_share_the_windows(
    box: Sandbox, postgres: str, tmp_path: Path
) -> None:
    journal, pace = fleet(postgres), Pace(singles_per_second=PACE)
    async with wechat(box, pace=pace) as first, wechat(box, pace=pace) as second:
        people = ids(150)
        planned = Campaign(first, MESSAGE, people, route="single", journal=journal, **QUICK)
        await planned.hand_over()
        parts = [do_part(journal, one, Part(singles=True)) for one in (first, second)]
        done = await asyncio.gather(*parts)
    assert sum(part.calls for part in done) == box.ledger.singles == 150
    assert worst(arrivals(tmp_path)) <= PACE
    assert senders(postgres, box) == 0
