"""What a database has no more use for, removed by hand or by a worker once a day; never a campaign that is
not over."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator

import anyio
import msgspec
import psycopg
import pytest
import pytest_asyncio
from campaigning import PERSONAL, QUICK, ids
from cli_campaigns import promomsg as terminal
from journal_rows import record, row
from waiting import until

import promomsg
from promomsg import Campaign, Fleet, WeChatPromoter
from promomsg.fleet.jobs import Job, Wanted
from promomsg.fleet.prune import Pruned, prune, prune_is_due
from promomsg.fleet.queue import enqueue, queued
from promomsg.fleet.worker_table import register
from promomsg.journal.postgres.database import Connection, connect
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.sandbox import Sandbox
from promomsg.transport.quota.quota_state import QuotaState

WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
)


def ask(url: str, text: str, *args: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET search_path = promomsg")
        cursor = db.execute(text.encode(), args or None)
        return cursor.fetchall() if cursor.description else []


@pytest_asyncio.fixture
async def database(postgres: str) -> str:
    """One with its tables, in which nothing is to be removed."""
    await Fleet(postgres).prepare()
    ask(postgres, "DELETE FROM upkeep")
    await prune(postgres)
    return postgres


@pytest_asyncio.fixture
async def db(database: str) -> AsyncIterator[Connection]:
    found = await connect(database)
    yield found
    await found.close()


@pytest.fixture
def journal(database: str) -> PostgresJournal:
    return PostgresJournal(database, secrets.token_hex(8))


def killed(url: str, process: int) -> None:
    """Has a process of the server end, and waits until it has."""
    assert ask(url, "SELECT pg_terminate_backend(%s, 10000)", process) == [(True,)]


def campaigns_of(url: str) -> set[object]:
    return {name for (name,) in ask(url, "SELECT journal FROM campaign")}


@pytest.mark.asyncio
async def test_a_half_plan_is_removed_when_its_maker_is_gone_and_not_before(
    database: str, journal: PostgresJournal
) -> None:
    handle = await journal.create(record())
    await handle.add_rows([row(seq) for seq in range(5)])
    assert (await prune(database)).half_plans == ()
    [(number,)] = ask(database, "SELECT campaign FROM campaign WHERE journal = %s", journal.name)
    session = handle._access._session
    assert session is not None
    killed(database, session.info.backend_pid)
    removed = await prune(database)
    assert removed == Pruned(half_plans=(journal.name,))
    assert journal.name not in campaigns_of(database)
    assert ask(database, f"SELECT to_regclass('recipient_{number}')") == [(None,)]
    assert await prune(database) == Pruned()
    await handle._access.close()


@pytest.mark.asyncio
async def test_two_who_prune_at_once_do_no_harm(
    database: str, channel: WeChatPromoter, journal: PostgresJournal
) -> None:
    await promomsg.send(channel, PERSONAL, ids(3), journal=journal, **QUICK)
    found: list[Pruned] = []

    async def once() -> None:
        found.append(await prune(database, [journal.name]))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(once)
    assert [name for one in found for name in one.campaigns] == [journal.name]
    assert not journal.exists()


@pytest.mark.asyncio
async def test_a_campaign_that_is_not_over_is_never_removed(
    database: str, channel: WeChatPromoter, journal: PostgresJournal
) -> None:
    await Campaign(channel, PERSONAL, ids(3), journal=journal, **QUICK).hand_over()
    assert (await prune(database, [journal.name])).campaigns == ()
    assert journal.name not in (await Fleet(database).prune(ended_before=4e9)).campaigns
    async with Campaign.resume(journal, channel, **QUICK) as run:
        await run.wait()
        # It is over, and somebody has it open.
        assert (await prune(database, [journal.name])).campaigns == ()
    assert (await prune(database, [journal.name])).campaigns == (journal.name,)
    assert (await prune(database, [journal.name])).campaigns == ()


@pytest.mark.asyncio
async def test_a_campaign_that_is_retried_while_it_is_removed_stays_or_is_gone_as_a_whole(
    database: str, journal: PostgresJournal, box: Sandbox, channel: WeChatPromoter
) -> None:
    """Whoever reopens it first keeps it: the removal looks again once nobody can change a recipient."""
    box.settings.refuse_single = {"500001": 43101}
    await promomsg.send(channel, PERSONAL, ids(3), journal=journal, **QUICK)
    [(number,)] = ask(database, "SELECT campaign FROM campaign WHERE journal = %s", journal.name)
    with psycopg.connect(database) as other:
        other.execute("SET search_path = promomsg")
        other.execute(f"UPDATE recipient_{number} SET state = 0 WHERE seq = 0".encode())
        other.execute(
            "UPDATE tally SET recipients = recipients + CASE state WHEN 0 THEN 1 ELSE -1 END"
            " WHERE campaign = %s AND state IN (0, 3) AND recipients <> 0",
            (number,),
        )
        other.execute(
            "INSERT INTO tally (campaign, recipients, state, worker, code)"
            " VALUES (%s, 1, 0, 'retry', '')",
            (number,),
        )
        removed: list[Pruned] = []

        async def remove() -> None:
            removed.append(await prune(database, [journal.name]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(remove)
            await until(lambda: ask(database, WAITING))
            other.commit()
    assert removed == [Pruned()]
    assert journal.exists()
    journal.discard()


@pytest.mark.asyncio
async def test_rows_and_jobs_of_workers_that_are_gone_are_removed(
    database: str, db: Connection
) -> None:
    for name in ("gone:1", "here:2"):
        await register(db, name, concurrency=1, version="1", tasks=["poll"])
    jobs = [
        Job(Wanted(task="poll", campaign=number), worker)
        for number, worker in enumerate(("gone:1", "here:2"))
    ]
    async with db.transaction():
        await enqueue(db, jobs)
    ask(database, "UPDATE worker SET seen_at = seen_at - 60 WHERE name = 'gone:1'")
    removed = await prune(database)
    assert (removed.workers, removed.jobs) == (("gone:1",), 1)
    assert await queued(db) == [(jobs[1].key, "here:2")]
    ask(database, "DELETE FROM worker")
    await prune(database)
    assert await queued(db) == []


@pytest.mark.asyncio
async def test_a_token_that_expired_a_day_ago_is_erased_and_its_generation_stays(
    database: str, db: Connection
) -> None:
    for account, age in (("old", 2 * 86_400), ("new", 60)):
        ask(
            database,
            "INSERT INTO token (channel, origin, account, generation, sealed, expires_at)"
            " VALUES ('wechat', 'x', %s, 7, 'y', extract(epoch FROM now()) - %s)",
            account,
            age,
        )
    assert (await prune(database)).tokens == 1
    rows = ask(
        database, "SELECT account, generation, sealed FROM token WHERE origin = 'x' ORDER BY 1"
    )
    assert rows == [("new", 7, b"y"), ("old", 7, None)]
    assert (await prune(database)).tokens == 0
    ask(database, "DELETE FROM token")


@pytest.mark.asyncio
async def test_it_is_done_once_a_day_by_whoever_comes_first(database: str, db: Connection) -> None:
    assert [await prune_is_due(db) for _ in range(3)] == [True, False, False]
    ask(database, "UPDATE upkeep SET begun_at = begun_at - 86401")
    other = await connect(database)
    found: list[bool] = []

    async def asked(one: Connection) -> None:
        found.append(await prune_is_due(one))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked, db)
        tasks.start_soon(asked, other)
    await other.close()
    assert sorted(found) == [False, True]


@pytest.mark.asyncio
async def test_a_worker_does_it_by_itself(
    database: str, channel: WeChatPromoter, journal: PostgresJournal
) -> None:
    handle = await journal.create(record())
    session = handle._access._session
    assert session is not None
    killed(database, session.info.backend_pid)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Fleet(database).work, channel)
        await until(lambda: journal.name not in campaigns_of(database))
        tasks.cancel_scope.cancel()
    await handle._access.close()


def test_the_terminal_says_what_it_removed(
    postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal("fleet", "init", "--fleet", postgres) == 0
    asyncio.run(prune(postgres))
    half = f"half-{secrets.token_hex(4)}"
    ask(
        postgres,
        "INSERT INTO campaign (journal, name, channel, account, run_id, message, settings, source,"
        " base_url, created_at) VALUES (%s, 'half', 'wechat', 'wx', '', '{}', '{}', '{}', '', 0)",
        half,
    )
    capsys.readouterr()
    assert terminal("fleet", "prune", "--fleet", postgres) == 0
    said = capsys.readouterr().err
    assert "removed 0 campaigns, 1 half plan, 0 workers, 0 jobs, 0 tokens" in said
    assert f"removed: {half}" in said
    assert terminal("fleet", "prune", "--fleet", postgres, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    del document["fleet"]
    assert document == {"removed": [], "half_plans": [], "workers": [], "jobs": 0, "tokens": 0}


@pytest.mark.asyncio
async def test_a_worker_that_is_to_end_does_not_wait_for_a_lost_answer_of_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = anyio.Event()

    async def never_answered(db: Connection, alive_for: float) -> list[str]:
        begun.set()
        await db.execute("SELECT pg_sleep(60)")
        return []

    monkeypatch.setattr("promomsg.fleet.prune.remove_gone", never_answered)
    monkeypatch.setattr("promomsg.fleet.prune._ENDS_IN", 0.1)
    ask(database, "DELETE FROM upkeep")
    async with (
        asyncio.timeout(20),
        WeChatPromoter("wx1", "s", base_url="http://127.0.0.1:1") as one,
    ):
        working = asyncio.ensure_future(Fleet(database).work(one))
        await begun.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working


@pytest.mark.asyncio
async def test_the_quota_of_an_account_that_nobody_sends_for_goes_and_any_that_is_in_force_stays(
    database: str,
) -> None:
    now, day = time.time(), 86_400
    states = {
        "old": QuotaState(clock="1+0", seen=now - 36 * day, latest=now - 36 * day),
        "lately": QuotaState(clock="1+0", seen=now - 34 * day),
        "held": QuotaState(clock="1+0", seen=now - 36 * day, hold_until=now + 60),
    }
    texts = {name: msgspec.json.encode(state).decode() for name, state in states.items()}
    for account, text in {**texts, "new": "", "newer": '{"clock": 7}'}.items():
        ask(database, "INSERT INTO quota VALUES ('x', 'o', %s, 'singles', %s)", account, text)
    await prune(database)
    assert ask(database, "SELECT account FROM quota WHERE channel = 'x' ORDER BY 1") == [
        ("held",), ("lately",), ("new",), ("newer",)
    ]  # fmt: skip
    ask(database, "DELETE FROM quota WHERE channel = 'x'")
