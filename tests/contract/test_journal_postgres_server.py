"""Which PostgreSQL servers a journal refuses, and what it does while one is away."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import anyio
import psycopg
import pytest
import uvloop
from journal_rows import DAY, NOW, everybody, record, result, row, sealed, take
from postgres_pooler import pooled
from postgres_server import PostgresServer

from promomsg.errors import JournalError, UsageError
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.database import connect, explain, standby_warning
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.statements.transaction import CampaignReads
from promomsg.journal.unreachable import JournalUnreachable

pytestmark = pytest.mark.asyncio


async def refusal(url: str) -> str:
    with pytest.raises(JournalError) as refused:
        await PostgresJournal(url, "autumn").open()
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_a_server_that_forgets_commits_is_refused(server: PostgresServer) -> None:
    url = f"{server.url()}&options=-c synchronous_commit%3Doff".replace(" ", "%20")
    told = await refusal(url)
    assert "synchronous_commit is off" in told
    assert "set it to on" in told


async def test_a_password_is_in_no_message(server: PostgresServer) -> None:
    told = await refusal(f"postgresql://nobody:s3cret@/postgres?host={server.folder}")
    assert "s3cret" not in told
    assert "nobody" in told
    with pytest.raises(UsageError) as refused:
        PostgresJournal("postgresql://nobody:s3 cret%zz@/x", "autumn")
    assert "s3" not in str(refused.value)
    assert "s3cret" not in repr(PostgresJournal("postgresql://me:s3cret@db/x", "autumn"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3@cret@db/x",  # of these libpq takes a piece of the password for something else
        "postgresql://me:s3/cret@db/x",
        "postgresql://me:s3cret/x",
        "postgresql://me:s3?c@ret@db/x",
        "postgresql://me:s3cret@db:54x2/x",
    ],
)
async def test_a_password_that_needs_escapes_is_not_taken_for_a_host(url: str) -> None:
    with pytest.raises(UsageError, match="%-escapes") as refused:
        PostgresJournal(url, "autumn")
    assert "s3" not in str(refused.value)
    assert "ret@" not in str(refused.value)


async def test_what_no_time_mends_is_not_said_to_be_away(server: PostgresServer) -> None:
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CREATE ROLE asked LOGIN PASSWORD 'other'")
        db.execute("CREATE ROLE stranger LOGIN")
        db.execute("CREATE DATABASE closed")
        db.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        rules = server.folder / "data" / "pg_hba.conf"
        kept = rules.read_text()
        rules.write_text(f"local all asked scram-sha-256\n{kept}")
        db.execute("SELECT pg_reload_conf()")
    named = f"@/postgres?host={server.folder}"
    with psycopg.connect(server.url()) as db:
        while not db.execute(
            "SELECT FROM pg_hba_file_rules WHERE 'asked' = ANY(user_name)"
        ).rowcount:
            pass
    assert "check the user and the password" in await refusal(f"postgresql://asked{named}")
    told = await refusal(f"postgresql://stranger@/closed?host={server.folder}")
    assert "grant that user CONNECT" in told
    told = await refusal(f"postgresql://postgres@127.0.0.1:{2**16}/x")
    assert "check the URL" in told


async def test_what_the_server_says_of_a_statement_is_one_sentence(server: PostgresServer) -> None:
    db = await connect(server.url())
    with pytest.raises(psycopg.Error) as wrong:
        await db.execute("SELECT nothing FROM campaign")
    await db.close()
    assert str(explain(wrong.value, "here")) == 'here: column "nothing" does not exist'


async def test_settings_of_a_user_change_nothing(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "GBK")
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("CREATE ROLE odd LOGIN SUPERUSER")
        for setting in (
            "default_transaction_isolation = 'repeatable read'",
            "lock_timeout = '1ms'",
            "idle_session_timeout = '20s'",
        ):
            admin.execute(f"ALTER ROLE odd SET {setting}".encode())
    db = await connect(f"postgresql://odd@/postgres?host={server.folder}")
    for name, value in {
        "client_encoding": "UTF8",
        "transaction_isolation": "read committed",
        "lock_timeout": "0",
        "idle_session_timeout": "0",
    }.items():
        assert (await (await db.execute(f"SHOW {name}".encode())).fetchone()) == (value,)
    await db.close()


async def test_what_is_missing_is_said_with_what_to_do(server: PostgresServer) -> None:
    assert "create the database" in await refusal(server.url("nowhere"))
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CREATE DATABASE empty")
        db.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        db.execute("CREATE ROLE poor LOGIN")
    assert "prepare" in await refusal(server.url("empty"))
    assert "ENCODING 'UTF8'" in await refusal(server.url("latin"))
    told = await refusal(f"postgresql://poor@/postgres?host={server.folder}")
    assert "grant that user the rights" in told


async def test_a_pooler_in_transaction_mode_is_refused(
    server: PostgresServer, folder: Path
) -> None:
    async with pooled(server.folder, folder, by_transaction=True) as url:
        told = await refusal(url)
    assert "pooler in transaction mode" in told
    assert "address of the server itself" in told


async def test_a_pooler_in_session_mode_is_none_of_these(
    server: PostgresServer, folder: Path
) -> None:
    async with pooled(server.folder, folder, by_transaction=False) as url:
        assert "there is no such campaign" in await refusal(url)


async def test_a_standby_that_may_lack_commits_is_warned_of(server: PostgresServer) -> None:
    db = await connect(server.url())
    assert await standby_warning(db) is None
    await db.execute(b"CREATE TEMPORARY TABLE pg_stat_replication AS SELECT 'async' AS sync_state")
    await db.execute(b"SET search_path = pg_temp, pg_catalog")
    told = await standby_warning(db)
    assert told is not None
    assert "synchronous_standby_names" in told
    await db.close()


async def test_a_server_that_is_nowhere_is_said_so_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(JournalUnreachable, match="cannot be reached now"):
        await PostgresJournal(f"postgresql://127.0.0.1:{port}/x", "autumn").open()


async def test_a_restart_of_the_server_costs_time_and_nothing_else(server: PostgresServer) -> None:
    journal = PostgresJournal(server.url(), "restart")
    handle = await sealed(journal, [row(seq) for seq in range(40)], chunk_size=40)
    lease = await take(handle)
    assert await handle.intend(lease, range(10), NOW, DAY)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, server.stop, "immediate")
    waiting = asyncio.gather(
        handle.settle(lease, [result(seq) for seq in range(10)]),
        handle.intend(lease, range(10, 20), NOW + 1, DAY),
        handle.renew([lease]),
        handle.counts(),
    )
    await loop.run_in_executor(None, server.start)
    settled, intended, renewed, counts = await waiting
    assert (settled, intended, renewed) == (True, True, {lease.chunk_no})
    assert counts.planned == 40
    assert (await handle.counts()).sent == 10
    assert [outcome.attempts for outcome in await everybody(handle)] == [1] * 20 + [0] * 20
    await handle.close()


async def test_a_plan_that_is_complete_outlives_a_crash_of_the_server_at_that_moment(
    server: PostgresServer,
) -> None:
    journal = PostgresJournal(server.url(), "crash after the seal")
    handle = await sealed(journal, [row(seq) for seq in range(3000)], chunk_size=1000)
    await asyncio.to_thread(server.stop, "immediate")
    await asyncio.to_thread(server.start)
    assert (await handle.counts()).pending == 3000
    assert len(await everybody(handle)) == 3000
    await handle.close()


async def test_a_plan_in_the_making_does_not_outlive_a_crash_of_the_server(
    server: PostgresServer,
) -> None:
    journal = PostgresJournal(server.url(), "crash before the seal")
    handle = await journal.create(record())
    await handle.add_rows([row(0), row(1)])
    await asyncio.to_thread(server.stop, "immediate")
    await asyncio.to_thread(server.start)
    with pytest.raises(JournalError):
        await handle.seal(record(planned_at=NOW), chunk_size=2)
    await handle.close()
    assert not journal.exists()
    anew = await sealed(journal, [row(0)])
    assert (await anew.counts()).pending == 1
    await anew.close()


async def test_a_server_that_stays_away_is_given_up(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 0.3)
    journal = PostgresJournal(server.url(), "away")
    handle = await sealed(journal, [row(0), row(1)], chunk_size=1)
    other = await journal.open(write=True)
    await take(other)
    await asyncio.to_thread(server.stop, "immediate")
    try:
        with pytest.raises(JournalUnreachable, match="cannot be reached now"):
            await handle.take(groups=False, singles=True, idempotent=False)
        await other.close()  # what it held runs out by itself
    finally:
        await asyncio.to_thread(server.start)
    assert len((await take(handle)).single_sends) == 1
    await handle.close()


async def test_a_cancelled_caller_leaves_a_connection_that_can_be_used(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await sealed(PostgresJournal(server.url(), "cancelled"), [row(0)])

    async def wait(reads: CampaignReads) -> None:
        await reads.rows("SELECT pg_sleep(60)")

    assert isinstance(handle, PostgresHandle)
    for _ in range(4):
        with anyio.move_on_after(0.05) as scope:
            await handle._access.read(wait)
        assert scope.cancelled_caught
    assert (await handle.counts()).pending == 1
    await handle.close()
    assert caplog.records == []


async def test_it_works_on_uvloop_too(server: PostgresServer) -> None:
    async def campaign() -> int:
        handle = await sealed(PostgresJournal(server.url(), "uvloop"), [row(0), row(1)])
        lease = await take(handle)
        assert await handle.intend(lease, [0, 1], NOW, DAY)
        assert await handle.settle(lease, [result(0), result(1)])
        sent = (await handle.counts()).sent
        await handle.close()
        return sent

    def run() -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(campaign())

    assert await asyncio.to_thread(run) == 2
