"""A plan in a PostgreSQL database: what others see of it, what its maker's death leaves, what is
refused."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

import psycopg
import pytest
from journal_rows import (
    DAY,
    NOW,
    bad_row,
    record,
    result,
    row,
    sealed,
    states,
    suppress,
    suppress_pending,
    take,
)

import promomsg.journal.postgres
from promomsg.errors import JournalError, UsageError
from promomsg.journal.counts import STATES
from promomsg.journal.planned_columns import as_columns
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.planning import sealing
from promomsg.journal.postgres.schema import VERSION
from promomsg.journal.records import Place
from promomsg.journal.unreachable import JournalUnreachable
from promomsg.model import State
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio

MAKER_DIES = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
"""Another test's database on the same server has a campaign of that number, too."""


def ask(url: str, text: str, *args: Any) -> list[tuple[Any, ...]]:
    """What a person's own program reads in the database."""
    with psycopg.connect(url, autocommit=True) as db:
        return db.execute(text.encode(), args).fetchall()


@pytest.fixture(scope="module")
def fleet(postgres: str) -> str:
    """A database with the tables of journals in it: its URL."""
    asyncio.run(PostgresJournal.prepare(postgres))
    return postgres


@pytest.fixture(scope="module")
def another(postgres: str) -> Iterator[str]:
    """A database beside the one of this test process: its URL."""
    name = f"{psycopg.conninfo.conninfo_to_dict(postgres)['dbname']}_another"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
        yield psycopg.conninfo.make_conninfo(postgres, dbname=name)
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def empty(another: str) -> str:
    """The same with nothing in it."""
    with psycopg.connect(another, autocommit=True) as db:
        db.execute(b"DROP SCHEMA IF EXISTS promomsg CASCADE")
    return another


async def test_people_can_query_it(fleet: str) -> None:
    journal = PostgresJournal(fleet, "for people")
    await (await sealed(journal, [row(seq) for seq in range(3)], groups=[2])).close()
    found = ask(
        fleet,
        "SELECT o.key, o.state, o.code, o.msg_id FROM promomsg.outcomes o"
        " JOIN promomsg.campaign c USING (campaign) WHERE c.journal = %s ORDER BY seq",
        "for people",
    )
    assert found == [
        ("k0", "pending", "", "1"),
        ("k1", "pending", "", "1"),
        ("k2", "pending", "", None),
    ]


async def test_the_view_has_the_words_of_the_state_table(fleet: str) -> None:
    journal = PostgresJournal(fleet, "words")
    await (await sealed(journal, [row(seq) for seq in range(len(STATES))], groups=[1])).close()
    number = "(SELECT campaign FROM promomsg.campaign WHERE journal = 'words')"
    with psycopg.connect(fleet, autocommit=True) as db:
        db.execute(f"UPDATE promomsg.recipient SET state = seq WHERE campaign = {number}".encode())
    shown = ask(
        fleet, f"SELECT state FROM promomsg.outcomes WHERE campaign = {number} ORDER BY seq"
    )
    assert [state for (state,) in shown] == [state.value for state in STATES]
    [(first,)] = ask(fleet, f"SELECT state FROM promomsg.group_send WHERE campaign = {number}")
    assert first == GroupState.PLANNED
    legend = ", ".join(f"{number} {state}" for number, state in enumerate(STATES))
    tables = resources.files("promomsg.journal.postgres.migrations") / "0001_first.sql"
    assert f"--   {legend}." in tables.read_text("utf-8")


async def test_every_cell_comes_back_as_it_was_read(fleet: str) -> None:
    odd = "a\tb\\N\r\n\\x00\u2028 今日 \U0001f600"
    handle = await PostgresJournal(fleet, "odd").create(record())
    rows = [
        row(0, odd, id=odd, openid=odd, unionid=odd, request_id=odd, word=odd, fingerprint=b"\\\0"),
        bad_row(1)._replace(detail=odd),
    ]
    await handle.add_rows(rows)
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    await handle.close()
    found = ask(
        fleet,
        "SELECT seq, key, r.id, openid, unionid, fingerprint, request_id, message_values,"
        " message_digest, code, detail FROM promomsg.recipient r"
        " JOIN promomsg.campaign c USING (campaign) WHERE c.journal = 'odd' ORDER BY seq",
    )
    assert found == [tuple(one[:9] + one[10:12]) for one in rows]


async def test_campaigns_of_one_database_know_nothing_of_each_other(fleet: str) -> None:
    one, other = PostgresJournal(fleet, "one"), PostgresJournal(fleet, "other")
    first = await sealed(one, [row(0), row(1)], groups=[2])
    second = await sealed(other, [row(0), row(1), row(2)])
    assert (await first.plan_counts(), await second.plan_counts()) == ((0, 1), (3, 0))
    await first.close()
    one.discard()
    one.discard()
    assert await second.sample(9) == [(f"k{seq}", str(1000 + seq), ()) for seq in range(3)]
    await second.close()
    with pytest.raises(JournalError, match="no such campaign"):
        await one.open()
    assert ask(fleet, "SELECT 1 FROM promomsg.campaign WHERE journal = 'one'") == []


async def test_a_name_is_taken_once(fleet: str) -> None:
    journal = PostgresJournal(fleet, "taken")
    await (await sealed(journal, [row(0)])).close()
    with pytest.raises(JournalError, match="there is a campaign already; resume it"):
        await journal.create(record())


async def test_a_plan_in_the_making_is_its_makers_alone(fleet: str) -> None:
    journal = PostgresJournal(fleet, "making")
    handle = await journal.create(record())
    await handle.add_rows([row(0)])
    with pytest.raises(JournalError, match="somebody is planning it"):
        await journal.create(record())
    with pytest.raises(JournalError, match="not complete and nothing was sent"):
        await journal.open()
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    await handle.close()


async def test_half_a_plan_whose_maker_died_is_thrown_away_by_the_next(fleet: str) -> None:
    journal = PostgresJournal(fleet, "half")
    handle = await journal.create(record())
    await handle.add_rows([row(0), row(1)])
    [(left,)] = ask(fleet, "SELECT campaign FROM promomsg.campaign WHERE journal = 'half'")
    # Its process is killed: the server ends its connections.
    ask(fleet, MAKER_DIES, left)
    with pytest.raises(JournalError):
        await handle.add_rows([row(2)])
    with pytest.raises(JournalError, match="not complete and nothing was sent"):
        await journal.open()
    again = await sealed(journal, [row(7)])
    assert await again.sample(9) == [("k7", "1007", ())]
    await again.close()
    assert ask(fleet, "SELECT to_regclass(%s)", f"promomsg.recipient_{left}") == [(None,)]


async def test_a_maker_who_lost_the_connection_seals_nothing(fleet: str) -> None:
    journal = PostgresJournal(fleet, "lost in between")
    handle = await journal.create(record())
    await handle.add_rows([row(0), row(1)])
    [(campaign,)] = ask(
        fleet, "SELECT campaign FROM promomsg.campaign WHERE journal = 'lost in between'"
    )
    ask(fleet, MAKER_DIES, campaign)
    with pytest.raises(JournalError):
        await handle.add_rows([row(2)])
    # What did not wait for the disk may be lost, and nobody can tell.
    with pytest.raises(JournalError, match="connection was lost"):
        await handle.seal(record(planned_at=NOW), chunk_size=8)
    await handle.close()
    assert not journal.exists()


async def test_half_a_plan_is_gone_when_its_maker_closes_it(fleet: str) -> None:
    handle = await PostgresJournal(fleet, "closed").create(record())
    await handle.add_rows([row(0)])
    await handle.close()
    assert ask(fleet, "SELECT 1 FROM promomsg.campaign WHERE journal = 'closed'") == []


def lose_the_seal(monkeypatch: pytest.MonkeyPatch, *, times: int = 1) -> None:
    """The seal is committed, and its answer lost with the connection; `times` more transactions fail."""
    run = CampaignAccess._transaction
    lost = 0

    async def on_a_bad_line(self: CampaignAccess, db: Any, call: Any, args: Any) -> Any:
        nonlocal lost
        if call is sealing.seal_plan or 0 < lost < times:
            if call is sealing.seal_plan:
                await run(self, db, call, args)
            lost += 1
            await db.close()
            raise psycopg.OperationalError("the connection is lost")
        return await run(self, db, call, args)

    monkeypatch.setattr(CampaignAccess, "_transaction", on_a_bad_line)


async def test_a_seal_whose_answer_is_lost_is_a_seal(
    fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = PostgresJournal(fleet, "the seal's answer is lost")
    lose_the_seal(monkeypatch)
    handle = await sealed(journal, [row(0), row(1)])
    assert handle.record.planned_at == NOW
    assert (await handle.counts()).pending == 2
    await handle.close()
    assert journal.exists()


async def test_a_plan_that_others_may_be_sending_is_not_thrown_away_by_its_maker(
    fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = PostgresJournal(fleet, "sealed, and its maker does not know")
    monkeypatch.setattr(CampaignAccess, "asked_again", lambda self, once: once())
    lose_the_seal(monkeypatch, times=2)
    handle = await journal.create(record())
    await handle.add_rows([row(0), row(1)])
    with pytest.raises(JournalUnreachable):
        await handle.seal(record(planned_at=NOW), chunk_size=2)
    monkeypatch.undo()
    worker = await journal.open(write=True)
    assert await take(worker)
    await handle.close()
    assert journal.exists()
    assert (await worker.counts()).pending == 2
    await worker.close()


async def test_a_step_that_fails_leaves_the_plan_as_it_was(fleet: str) -> None:
    handle = await PostgresJournal(fleet, "as it was").create(record())
    await handle.add_rows([row(0), row(1)])
    with pytest.raises(JournalError, match="group 2 of 2: the set has fewer recipients"):
        await handle.make_groups(None, [1, 2])
    assert await handle.plan_counts() == (2, 0)
    await handle.make_groups(None, [2])
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    assert await handle.plan_counts() == (0, 1)
    await handle.close()


async def test_duplicates_say_where_the_first_one_stands(fleet: str) -> None:
    handle = await PostgresJournal(fleet, "places").create(record())
    rows = [row(seq, f"k{seq % 50}", id=f"i{seq}") for seq in range(100)]
    await handle.add_columns(as_columns(rows))
    places = [Place(0, "line", 2), Place(20, "line", 30)]
    assert await handle.mark_duplicates(places=places) == 50
    await handle.close()


async def test_nothing_is_planned_anew_while_another_sender_has_calls_out(fleet: str) -> None:
    journal = PostgresJournal(fleet, "anew")
    planner = await sealed(journal, [row(seq) for seq in range(4)], chunk_size=2)
    sender = await journal.open(write=True)
    lease, idle = await take(sender), await take(sender)
    assert await sender.intend(lease, [0, 1], NOW, DAY)
    assert await sender.settle(lease, [result(0, "failed", code="9")])
    for call in (
        planner.reopen(State.FAILED, include_unnamed=False, at=NOW),
        suppress_pending(planner, ["k3"], smallest_group=1, at=NOW),
    ):
        with pytest.raises(JournalError, match="single sends are out"):
            await call
    assert await sender.settle(lease, [result(1)])
    assert await planner.reopen(State.FAILED, include_unnamed=False, at=NOW) == 1
    await planner.seal_retry(chunk_size=8)
    # The chunks are cut anew: whoever held one of before sends nobody of it.
    assert not await sender.intend(idle, [2], NOW, DAY)
    assert [one.seq for one in (await take(sender)).single_sends] == [0, 2, 3]
    await planner.cancel_pending(NOW + 1)
    assert await states(sender) == "CsCC"
    await planner.close()
    await sender.close()


async def test_what_may_be_a_token_is_never_given_to_the_server(
    fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def noting(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        told.append(repr((query, params)))
        return await execute(self, query, params, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", noting)
    handle = await PostgresJournal(fleet, "secret").create(record())
    await handle.add_rows([row(0), row(1)])
    assert await suppress(handle, ["a-users-token", "k1"], secret=True) == 1
    doubt = [("a-users-token", "no such key", "users-token", False)]
    await handle.list_suppressed([], ["A-USERS-TOKEN"], doubt, secret=True)
    assert await handle.absent_key() is None
    await handle.close()
    assert "k1" not in "".join(text for text in told if "listed" in text)
    assert "users-token" not in "".join(told).lower()


@pytest.mark.parametrize(
    ("table", "version", "refusal"),
    [
        (None, None, "no tables of ours yet; make them with `promomsg fleet init`"),
        ("somebodys", None, 'a schema "promomsg" that is not ours; give another database'),
        ("schema_version", VERSION + 1, f"version {VERSION + 1}, and this promomsg knows"),
        ("schema_version", 0, "no tables of ours yet; make them with `promomsg fleet init`"),
    ],
)
async def test_a_database_that_is_not_prepared_is_refused_in_one_line(
    empty: str, table: str | None, version: int | None, refusal: str
) -> None:
    with psycopg.connect(empty, autocommit=True) as db:
        if table is not None:
            column = "name text" if version is None else "version integer"
            db.execute(f"CREATE SCHEMA promomsg; CREATE TABLE promomsg.{table} ({column})".encode())
        if version:
            db.execute(b"INSERT INTO promomsg.schema_version VALUES (%s)", (version,))
    journal = PostgresJournal(empty, "a")
    for call in (journal.create(record()), journal.open()):
        with pytest.raises(JournalError, match=refusal) as caught:
            await call
        assert "\n" not in str(caught.value)
    if table is not None and version != 0:
        with pytest.raises(JournalError, match=refusal):
            await PostgresJournal.prepare(empty)


async def test_whoever_prepares_a_database_at_the_same_time_finds_it_prepared(empty: str) -> None:
    await asyncio.gather(*(PostgresJournal.prepare(empty) for _ in range(3)))
    versions = [version for (version,) in ask(empty, "SELECT version FROM promomsg.schema_version")]
    assert max(versions) == VERSION
    assert len(versions) == len(set(versions))
    await (await sealed(PostgresJournal(empty, "a"), [row(0)])).close()


async def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    journal = PostgresJournal("postgresql://me:sesame@localhost:1/fleet", "autumn")
    assert "sesame" not in repr(journal)
    with pytest.raises(JournalError, match="fleet") as caught:
        await journal.open()
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb"])
async def test_a_name_that_nobody_could_type_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        PostgresJournal("postgresql:///fleet", name)


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"pip install 'promomsg\[fleet\]'"):
        importlib.reload(promomsg.journal.postgres)
