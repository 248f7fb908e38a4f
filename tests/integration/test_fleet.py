"""`promomsg.Fleet`: the campaigns of a database, by their names."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest
from campaigning import MESSAGE, QUICK, ids
from fault_campaigns import client, message

import promomsg
from promomsg import JournalError, UsageError, WeChatPromoter
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio


async def test_a_campaign_is_named_wherever_a_file_can_be(
    postgres: str, box: Sandbox, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMOMSG_FLEET", postgres)
    fleet = promomsg.Fleet()
    await fleet.prepare()  # a second time: nothing to do

    campaign = promomsg.Campaign(
        channel, MESSAGE, ids(120), name="Autumn", journal="fleet:named", route="single", **QUICK
    )
    async with campaign as run:
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 120)
    assert campaign.journal == campaign.report.journal == "fleet:named"
    for journal in ("fleet:named", fleet.journal("named")):
        with promomsg.open_journal(journal) as opened:
            assert opened.report().journal == "fleet:named"
            assert opened.report().sent == 120
    [found] = [one for one in await fleet.campaigns() if one.name == "named"]
    assert found.report is not None
    assert (found.state, found.report.campaign, found.report.sent) == ("done", "Autumn", 120)
    assert found.senders == ()
    assert len(list(found.report.outcomes())) == 120
    # Nobody of it again: a list of people, a journal, and a journal among others.
    for suppress in ("fleet:named", fleet.journal("named"), ["fleet:named", "9999"]):
        again = promomsg.Campaign(
            channel, MESSAGE, ids(121), suppress=suppress, journal=fleet.journal("again"), **QUICK
        )
        assert (await again.plan()).to_send == 1
        await again.discard()
    with pytest.raises(UsageError, match="fleet:named is this campaign's own journal"):
        await promomsg.Campaign.resume("fleet:named", channel, suppress="fleet:named").plan()


async def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    postgres: str, channel: WeChatPromoter
) -> None:
    fleet = promomsg.Fleet(postgres)
    await promomsg.send(channel, MESSAGE, ids(1), journal=fleet.journal("winter-sale"), **QUICK)
    wrong = fleet.journal("winter_sales")
    assert not wrong.exists()
    assert fleet.journal("winter-sale").exists()
    with pytest.raises(JournalError, match=r"no such campaign in .*; did you mean 'winter-sale'\?"):
        promomsg.open_journal(wrong)
    with pytest.raises(JournalError, match=r"did you mean 'winter-sale'\?"):
        await wrong.open(write=True)


async def test_a_plan_in_the_making_is_listed_as_one(
    postgres: str, channel: WeChatPromoter
) -> None:
    fleet = promomsg.Fleet(postgres)
    campaign = promomsg.Campaign(channel, MESSAGE, ids(3), journal=fleet.journal("listed"), **QUICK)
    await campaign.plan()
    [found] = [one for one in await fleet.campaigns() if one.name == "listed"]
    assert (found.state, found.report) == ("planning", None)
    assert not fleet.journal("listed").exists()
    await campaign.discard()
    assert "listed" not in [one.name for one in await fleet.campaigns()]


async def test_a_database_that_is_not_prepared_is_refused_in_one_line(postgres: str) -> None:
    name = f"{psycopg.conninfo.conninfo_to_dict(postgres)['dbname']}_unprepared"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
        fleet = promomsg.Fleet(psycopg.conninfo.make_conninfo(postgres, dbname=name))
        for ask in (fleet.campaigns, fleet.journal("autumn").open):
            with pytest.raises(JournalError) as caught:
                await ask()  # type: ignore[operator]
            assert "make them with `promomsg fleet init`" in str(caught.value)
            assert "\n" not in str(caught.value)
        with pytest.raises(JournalError, match="promomsg fleet init"):
            promomsg.open_journal(fleet.journal("autumn"))
        await fleet.prepare()
        assert await fleet.campaigns() == []
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_what_is_wrong_with_a_fleet_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    with pytest.raises(UsageError, match="set PROMOMSG_FLEET to its URL"):
        promomsg.Fleet()
    with pytest.raises(UsageError, match="is text, not a PosixPath"):
        promomsg.Fleet(Path("fleet.db"))  # type: ignore[arg-type]
    fleet = promomsg.Fleet("postgresql://me:sesame@localhost:1/fleet")
    assert "sesame" not in repr(fleet) + fleet.place
    with pytest.raises(JournalError, match="cannot be reached now") as caught:
        await fleet.campaigns()
    assert "sesame" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "promomsg.journal.postgres.journal", None)
    with pytest.raises(UsageError, match=r"Fleet: .* pip install 'promomsg\[fleet\]'"):
        promomsg.Fleet("postgresql:///fleet")


async def test_user_tokens_are_in_no_row_and_whoever_joins_in_brings_the_list(
    postgres: str,
) -> None:
    fleet = promomsg.Fleet(postgres)
    journal = fleet.journal("wallet")
    people = [
        {"key": f"u{n}", "access_token": f"tok-of-nobody-{n:05}", "who": f"w{n}"} for n in range(60)
    ]
    async with Sandbox() as box, client(box, "alipay") as wallet:
        first = promomsg.Campaign(wallet, message("alipay"), people, journal=journal, **QUICK)
        async with first as run:
            run.pause()
        with pytest.raises(UsageError, match="user tokens are not kept in the journal"):
            await promomsg.Campaign.resume(journal, wallet).plan()
        with pytest.raises(UsageError, match="are not the list that fleet:wallet was planned"):
            await promomsg.Campaign.resume(journal, wallet, recipients=people[1:]).plan()
        async with promomsg.Campaign.resume(journal, wallet, recipients=people) as again:
            report = await again.wait()
        assert report.state == "done"
        assert box.ledger.twice() == []
    with psycopg.connect(postgres) as db:
        tables = db.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'promomsg'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            rows = db.execute(f"SELECT t::text FROM promomsg.{table} AS t".encode()).fetchall()
            assert "tok-of-nobody" not in str(rows)
