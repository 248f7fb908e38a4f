"""Secrets of campaigns in the database: encrypted or not there, of use to every process with the key."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import secrets as random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from campaigning import MESSAGE, QUICK, add_up, ids
from fault_campaigns import APPSECRET, client, message, wallet_users
from secret_leaks import Leaks

from promomsg import Campaign, Pace, Secret, UsageError, WeChatPromoter, send
from promomsg.engine.joining import Part, PartDone, do_part
from promomsg.errors import JournalError
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.sealed import user_tokens
from promomsg.journal.postgres.sealed.fleet_keys import FleetKeys, key_of
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

VARIABLE = "PROMOMSG_FLEET_KEY"
A = "a:" + base64.b64encode(b"a" * 32).decode()
B = "b:" + base64.b64encode(b"b" * 32).decode()
SINGLES = Part(singles=True)


@pytest.fixture
def journal(postgres: str) -> PostgresJournal:
    return PostgresJournal(postgres, random.token_hex(8))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, A)


def ask(journal: PostgresJournal, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(journal.url, autocommit=True) as db:
        db.execute("SET search_path = promomsg")
        cursor = db.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def table(journal: PostgresJournal) -> str:
    name = f"SELECT campaign FROM campaign WHERE journal = '{journal.name}'"
    return f"user_token_{ask(journal, name)[0][0]}"


def tokens_of(journal: PostgresJournal) -> int | None:
    """How many user tokens there are; None: no table for them."""
    name = table(journal)
    if ask(journal, f"SELECT to_regclass('{name}')")[0][0] is None:
        return None
    return int(ask(journal, f"SELECT count(*) FROM {name}")[0][0])


async def handed_over(box: Sandbox, journal: PostgresJournal, count: int = 6) -> None:
    """Plans a wallet campaign that others are to send."""
    async with client(box, "alipay") as wallet:
        people = wallet_users(count)
        await Campaign(wallet, message("alipay"), people, journal=journal, **QUICK).hand_over()


async def part(box: Sandbox, journal: PostgresJournal) -> PartDone:
    """What a worker does: it has the account, and no list."""
    async with client(box, "alipay") as wallet:
        return await do_part(journal, wallet, SINGLES)


# User tokens.


async def test_whoever_has_the_key_sends_a_wallets_campaign_without_its_list(
    journal: PostgresJournal, key: None
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        assert tokens_of(journal) == 6
        done = await part(box, journal)
        assert (done.state, done.calls) == ("done", 6)
        assert box.ledger.total == 6
        assert box.ledger.twice() == []
    assert tokens_of(journal) == 0


async def test_a_resume_needs_no_list_again(journal: PostgresJournal, key: None) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        async with (
            client(box, "alipay") as wallet,
            Campaign.resume(journal, wallet) as run,
        ):
            report = await run.wait()
        assert report.sent == 6
        add_up(report.to_dict())
    assert tokens_of(journal) == 0


async def test_a_token_goes_in_the_commit_that_makes_its_recipient_final(
    journal: PostgresJournal, key: None
) -> None:
    """However they become final: by a duplicate, a suppression list, an answer, or a cancel."""
    async with Sandbox() as box, client(box, "alipay") as wallet:
        people = [*wallet_users(4), {**wallet_users(1)[0], "key": "again"}]
        campaign = Campaign(
            wallet,
            message("alipay"),
            people,
            journal=journal,
            suppress=["u3"],
            **QUICK,
        )
        await campaign.hand_over()
        assert ask(journal, f"SELECT seq FROM {table(journal)} ORDER BY seq") == [(0,), (1,), (2,)]
        handle = await journal.open(write=True)
        lease = await handle.take(groups=False, singles=True, idempotent=True)
        assert lease is not None
        assert await handle.intend(lease, [0], 1.0, "2026-11-27")
        assert tokens_of(journal) == 3
        await handle.close()
        again = await journal.open(write=True)
        assert await again.cancel_pending(2.0) == 2
        await again.close()
        assert ask(journal, f"SELECT seq FROM {table(journal)}") == [(0,)]


async def test_the_tokens_go_with_the_campaign(journal: PostgresJournal, key: None) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        name = table(journal)
        journal.discard()
        assert ask(journal, f"SELECT to_regclass('{name}')") == [(None,)]
        async with client(box, "alipay") as wallet:
            plan = Campaign(wallet, message("alipay"), wallet_users(), journal=journal, **QUICK)
            await plan.plan()
            name = table(journal)
            await plan.discard()
        assert ask(journal, f"SELECT to_regclass('{name}')") == [(None,)]


async def test_without_a_key_no_token_is_in_the_database_and_nobody_else_can_send(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    async with Sandbox() as box, client(box, "alipay") as wallet:
        people = wallet_users(3)
        campaign = Campaign(wallet, message("alipay"), people, journal=journal, **QUICK)
        with pytest.raises(UsageError, match=r"in this process only.* with PROMOMSG_FLEET_KEY set"):
            await campaign.hand_over()
        await campaign.discard()
        report = await send(wallet, message("alipay"), people, journal=journal, **QUICK)
        assert report.sent == 3
        assert tokens_of(journal) is None


async def test_keys_are_rotated_while_a_campaign_is_under_way(
    journal: PostgresJournal, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        monkeypatch.setenv(VARIABLE, f"{B},{A}")
        assert (await part(box, journal)).state == "done"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            B,
            r"encrypted with the key 'a', which PROMOMSG_FLEET_KEY of this process has not: add it",
        ),
        ("", r"encrypted with the key 'a': set PROMOMSG_FLEET_KEY to it"),
    ],
)
async def test_a_key_that_is_not_here_is_named_in_one_line_and_nothing_is_sent(
    journal: PostgresJournal,
    key: None,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    said: str,
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        monkeypatch.setenv(VARIABLE, environment)
        with pytest.raises(JournalError, match=said) as refused:
            await part(box, journal)
        assert "\n" not in str(refused.value)
        async with client(box, "alipay") as wallet:
            with pytest.raises(JournalError, match=said):
                await Campaign.resume(journal, wallet).plan()
        assert box.ledger.total == 0
        # Whoever has the list goes on, and with a key of theirs others do too.
        async with client(box, "alipay") as wallet:
            again = Campaign.resume(journal, wallet, recipients=wallet_users())
            if environment:
                await again.hand_over()
                assert (await part(box, journal)).state == "done"
            else:
                async with again as run:
                    await run.wait()
        assert box.ledger.total == 6
        assert box.ledger.twice() == []


async def test_a_key_that_is_none_is_refused_before_anything_is_sent(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "my passphrase")
    async with Sandbox() as box, client(box, "wechat") as wechat:
        with pytest.raises(
            UsageError, match="PROMOMSG_FLEET_KEY: key 1 is not 32 bytes"
        ) as refused:
            await send(wechat, MESSAGE, ids(3), journal=journal, **QUICK)
        assert "passphrase" not in str(refused.value)
        assert box.ledger.total == 0


async def test_a_token_that_somebody_changed_fails_its_recipient_without_a_call(
    journal: PostgresJournal, key: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        name = table(journal)
        ask(
            journal,
            f"UPDATE {name} SET sealed = (SELECT sealed FROM {name} WHERE seq = 1) WHERE seq = 4",
        )
        assert (await part(box, journal)).state == "done"
        assert box.ledger.total == 5
    view = journal.reader()
    failed = [(one.recipient.key, str(one.state)) for one in view.rows() if one.state != "sent"]
    assert failed == [("u4", "failed")]
    assert any("not those that were put there" in text for text in view.record.warnings)
    view.close()


async def test_a_token_of_another_key_among_them_stops_the_sender_and_is_named(
    journal: PostgresJournal, key: None
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        view = journal.reader()
        other = FleetKeys(Secret(B)).sealer(f"user-tokens:{view.record.run_id}")
        view.close()
        sealed = other.seal("usertoken-0005", b"not its place")
        ask(journal, f"UPDATE {table(journal)} SET sealed = '\\x{sealed.hex()}' WHERE seq = 5")
        with pytest.raises(JournalError, match="encrypted with the key 'b', which PROMOMSG_FLEET"):
            await part(box, journal)
        assert box.ledger.total == 0


async def test_two_that_begin_to_keep_tokens_at_once_keep_them_in_one_table(
    journal: PostgresJournal, key: None
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        name = table(journal)
        recipients = name.replace("user_token", "recipient")
        ask(journal, f"DROP TRIGGER clear_user_tokens ON {recipients}; DROP TABLE {name}")
        handles = [await journal.open(write=True) for _ in range(3)]
        found = await asyncio.gather(*(one.recipient_tokens(make=True) for one in handles))
        for tokens in found:
            assert tokens is not None
            await tokens.put([(0, "t0"), (1, "t1")])
            assert await tokens.get_many([1]) == [Secret("t1")]
            assert not await tokens.has_all()
        assert tokens_of(journal) == 2
        for one in handles:
            await one.close()


async def test_once_the_campaign_is_over_no_key_is_needed(
    journal: PostgresJournal, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal)
        await part(box, journal)
        monkeypatch.delenv(VARIABLE)
        assert (await part(box, journal)).state == "done"
        handle = await journal.open(write=True)
        assert await handle.recipient_tokens() is None
        await handle.close()


async def test_who_is_tried_again_needs_the_list_again(journal: PostgresJournal, key: None) -> None:
    async with Sandbox() as box:
        await handed_over(box, journal, 4)
        ask(journal, f"UPDATE {table(journal)} SET sealed = '\\x00' WHERE seq = 2")
        await part(box, journal)
        async with client(box, "alipay") as wallet:
            with pytest.raises(UsageError, match="not all in the journal any more: give the recip"):
                await Campaign.retry(journal, wallet, failed=True).plan()
            # It is paused until a list is given: nobody else sends to the others meanwhile.
            assert (await do_part(journal, wallet, SINGLES)).state == "paused"
            again = Campaign.resume(journal, wallet, recipients=wallet_users(4))
            await again.hand_over()
            assert tokens_of(journal) == 1
        assert (await part(box, journal)).state == "done"
        assert box.ledger.total == 4
        assert box.ledger.twice() == []


# The account's access token.


async def campaign_of(box: Sandbox, journal: PostgresJournal, count: int = 3) -> None:
    promoter = WeChatPromoter("wx1", APPSECRET, base_url=box.url, pace=Pace(unlimited=True))
    async with promoter:
        report = await send(promoter, MESSAGE, ids(count), journal=journal, route="single", **QUICK)
        assert report.sent == count


def token_row(box: Sandbox, journal: PostgresJournal) -> list[tuple[Any, ...]]:
    return ask(
        journal,
        f"SELECT generation, sealed, expires_at, holder FROM token WHERE origin = '{box.url}'",
    )


async def test_the_accounts_token_is_fetched_once_for_every_client(
    journal: PostgresJournal, key: None
) -> None:
    async with Sandbox() as box:
        await campaign_of(box, journal)
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 1
        [(generation, sealed, expires_at, holder)] = token_row(box, journal)
        assert (generation, holder) == (1, None)
        assert expires_at > 0
        assert b"sandbox" not in bytes(sealed)


async def test_without_a_key_each_client_has_its_own(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    async with Sandbox() as box:
        await campaign_of(box, journal)
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 2
        assert token_row(box, journal) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE token SET sealed = '\\x01020304'",
        "UPDATE token SET generation = generation + 5",
        "UPDATE token SET expires_at = 1",
        "DELETE FROM token",
    ],
)
async def test_a_row_that_somebody_changed_is_fetched_anew(
    journal: PostgresJournal, key: None, damage: str
) -> None:
    async with Sandbox() as box:
        await campaign_of(box, journal)
        ask(journal, damage)
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 2
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 2


async def test_a_token_of_the_key_before_is_read_and_the_next_has_the_new_one(
    journal: PostgresJournal, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox() as box:
        await campaign_of(box, journal)
        monkeypatch.setenv(VARIABLE, f"{B},{A}")
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 1
        assert key_of(bytes(token_row(box, journal)[0][1])) == "a"
        ask(journal, f"UPDATE token SET expires_at = 1 WHERE origin = '{box.url}'")
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 2
        assert key_of(bytes(token_row(box, journal)[0][1])) == "b"


async def test_a_row_of_another_key_costs_a_fetch_and_a_line_in_the_log(
    journal: PostgresJournal,
    key: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Sandbox() as box:
        await campaign_of(box, journal)
        monkeypatch.setenv(VARIABLE, B)
        await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
        assert box.calls["stable_token"] == 2
        [line] = [r.getMessage() for r in caplog.records if r.name == "promomsg.transport"]
        assert "is encrypted with the key 'a', which PROMOMSG_FLEET_KEY has not" in line
        assert token_row(box, journal)[0][0] == 1


# Nothing in plain text.


def dumped(journal: PostgresJournal) -> Iterator[tuple[str, str]]:
    """Every table of the database as text, bytes too, and every file of a server of the tests' own: its
    tables, its indexes, its WAL, its log."""
    with psycopg.connect(journal.url, autocommit=True) as db:
        tables = db.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (name,) in tables:
            for (row,) in db.execute(f"SELECT t::text FROM {name} AS t".encode()):
                yield name, row
                for piece in row.split("\\x")[1:]:
                    raw = piece.split('"')[0].split(",")[0].rstrip(")")
                    if re.fullmatch("([0-9a-f]{2})+", raw):
                        yield name, bytes.fromhex(raw).decode("latin-1")
        db.execute("CHECKPOINT")
        [(folder,)] = db.execute("SHOW data_directory")
    # Of what a test beside this one drops meanwhile, os.walk and the suppress say nothing.
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            with suppress(OSError):
                if path.is_file():
                    yield str(path), path.read_bytes().decode("latin-1")


def unheard_of(count: int) -> list[dict[str, str]]:
    """Users with tokens that nobody else has."""
    return [
        {"key": f"u{n}", "access_token": f"usertoken-{random.token_urlsafe(40)}", "who": f"n{n}"}
        for n in range(count)
    ]


async def test_no_secret_is_in_the_database_or_the_log_in_plain_text(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(random.token_bytes(32)).decode()
    monkeypatch.setenv(VARIABLE, f"mine:{key}")
    leaks = Leaks(appsecret=APPSECRET, key=key, key_bytes=base64.b64decode(key).hex())
    people = unheard_of(6)
    for user in people:
        for form in (user["access_token"], user["access_token"].encode().hex()):
            leaks.know("user token", form)
    logging.getLogger().addHandler(leaks)
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    try:
        async with Sandbox() as box, client(box, "alipay") as wallet:
            await Campaign(wallet, message("alipay"), people, journal=journal, **QUICK).hand_over()
            assert tokens_of(journal) == 6
            await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
            assert len(token_row(box, journal)) == 1
            for token in list(box.wechat.tokens._by_value):
                for form in (token, token.encode().hex()):
                    leaks.know("access token", form)
            for where, text in dumped(journal):
                leaks.text(where, text)
            assert leaks.looked_at > 20
            store = journal.token_store("wechat", box.url, "wx1")
            handle = await journal.open(write=True)
            tokens = await handle.recipient_tokens()
            leaks.shown("repr", [journal, store, tokens, handle, FleetKeys.from_environment()])
            await handle.close()
            ask(journal, f"UPDATE {table(journal)} SET sealed = '\\x00' WHERE seq = 3")
            await part(box, journal)
            ask(journal, "UPDATE token SET sealed = '\\x00'")
            await campaign_of(box, PostgresJournal(journal.url, random.token_hex(8)))
            for where, text in dumped(journal):
                leaks.text(where, text)
    finally:
        logging.getLogger().removeHandler(leaks)
    assert leaks.found == []


async def test_a_plan_that_fails_at_the_database_shows_no_token(
    journal: PostgresJournal, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaks = Leaks()
    people = unheard_of(6)
    for user in people:
        leaks.know("user token", user["access_token"])

    async def broken(tx: Any, rows: str) -> None:
        await tx.rows("SELECT 1 / 0")

    monkeypatch.setattr(user_tokens, "_add", broken)
    async with Sandbox() as box, client(box, "alipay") as wallet:
        campaign = Campaign(wallet, message("alipay"), people, journal=journal, **QUICK)
        with pytest.raises(JournalError) as refused:
            await campaign.plan()
        leaks.error("plan", refused.value)
    assert leaks.found == []


async def test_a_campaign_that_was_planned_without_a_key_is_given_one_by_whoever_has_the_list(
    journal: PostgresJournal, key: None
) -> None:
    async with Sandbox() as box, client(box, "alipay") as wallet:
        await handed_over(box, journal)
        # As it was planned by a version, or a process, that had none.
        name = table(journal)
        recipients = name.replace("user_token", "recipient")
        ask(journal, f"DROP TRIGGER clear_user_tokens ON {recipients}")
        ask(journal, f"DROP TABLE {name}")
        with pytest.raises(UsageError, match="whoever has its recipients sends it on"):
            await part(box, journal)
        with pytest.raises(UsageError, match="not kept in the journal: give the recipients again"):
            await Campaign.resume(journal, wallet).plan()
        again = Campaign.resume(journal, wallet, recipients=wallet_users())
        await again.hand_over()
        assert (await part(box, journal)).state == "done"
        assert tokens_of(journal) == 0
        assert box.ledger.total == 6
