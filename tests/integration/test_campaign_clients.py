"""A client that cannot be used, and a wallet whose key is the wrong one: before and in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from campaigning import MESSAGE, QUICK, add_up, ids, run_to_end, wechat
from fault_campaigns import client, message, wallet_users

import promomsg
from promomsg import Campaign, Secret, TokenDatabase, UsageError, UserToken, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxUser

pytestmark = pytest.mark.asyncio


async def test_a_client_that_was_closed_sends_nothing_and_leaves_no_journal(
    box: Sandbox, path: Path
) -> None:
    channel = wechat(box)
    await channel.prepare()
    await channel.close()
    for count in (5, 60):
        with pytest.raises(UsageError, match="was closed"):
            await promomsg.send(channel, MESSAGE, ids(count), journal=path, **QUICK)
    assert list(path.parent.iterdir()) == []
    async with wechat(box) as fresh:
        assert (await promomsg.send(fresh, MESSAGE, ids(5), journal=path, **QUICK)).sent == 5


async def test_a_client_of_another_event_loop_sends_nothing(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    await channel.prepare()
    with pytest.raises(UsageError, match="event loop"):
        await asyncio.to_thread(
            lambda: asyncio.run(promomsg.send(channel, MESSAGE, ids(5), journal=path, **QUICK))
        )
    assert box.ledger.total == 0
    assert list(path.parent.iterdir()) == []


async def test_a_client_that_is_closed_in_the_middle_halts_and_is_resumed(
    box: Sandbox, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.005)])
    channel = wechat(box)
    report = await run_to_end(
        Campaign(channel, MESSAGE, ids(40), journal=journal, concurrency=2, **QUICK),
        when=lambda: box.calls["singlesendmsg"] >= 8,
        act=lambda _: channel.close(),
    )
    assert (report.state, report.reason.split(":")[0]) == ("halted", "CLIENT")
    assert report.pending > 0
    add_up(report.to_dict())
    with pytest.raises(UsageError, match="was closed"):
        await Campaign.resume(journal, channel, **QUICK).__aenter__()
    async with wechat(box) as fresh, Campaign.resume(journal, fresh, **QUICK) as run:
        report = await run.wait()
    assert (report.state, report.pending) == ("done", 0)
    assert box.ledger.twice() == []


async def test_a_refused_refresh_halts_the_campaign_when_nobody_can_be_refreshed(
    box: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    users = wallet_users(30)
    box.settings.users = [
        SandboxUser(access_token=u["access_token"], refresh_token=f"r{n}", expired=True)
        for n, u in enumerate(users)
    ]
    store = TokenDatabase(tmp_path / "tokens.db")
    for n, user in enumerate(users):
        token = UserToken(Secret(user["access_token"]), refresh_token=Secret(f"r{n}"))
        await store.save(user["key"], token)
    box.faults = FaultPlan([Fault(endpoint="alipay.apply_token", result="ACCESS_DENIED")])
    async with store, client(box, "alipay", tokens=store) as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), users, journal=journal, concurrency=2, **QUICK
        )
        assert (report.state, report.pending) == ("halted", 30)
        assert report.reason.startswith("ACCESS_DENIED: refreshing the user's token")
        box.faults = FaultPlan()
        assert (
            await run_to_end(Campaign.resume(journal, wallet, recipients=users, **QUICK))
        ).sent == 30
    assert box.ledger.total == 30


async def test_a_column_that_is_no_address_of_the_channel_makes_nobody_a_duplicate(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, path: Path
) -> None:
    users = [{**user, "id": "7", "openid": "shop"} for user in wallet_users(3)]
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(wallet, message("alipay"), users, journal=journal, **QUICK)
    assert (report.sent, report.skipped) == (3, 0)
    rows = [{"id": i, "request_id": "r", "access_token": "t"} for i in ids(3)]
    report = await promomsg.send(channel, MESSAGE, rows, journal=path.with_name("b.db"), **QUICK)
    assert (report.sent, report.skipped) == (3, 0)


async def test_a_column_that_is_no_address_of_the_channel_suppresses_nobody_else(
    box: Sandbox, journal: Journal
) -> None:
    users = [{**user, "key": f"u{n}", "openid": "shop"} for n, user in enumerate(wallet_users(3))]
    users.append({**users[0], "key": "u0 again"})
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), users, journal=journal, suppress=["u0"], **QUICK
        )
    assert [o.recipient.key for o in report.outcomes() if o.state == "sent"] == ["u1", "u2"]


# The wallet's key.


@pytest.mark.parametrize("signature", ["bad", "unsigned"])
async def test_a_wrong_public_key_halts_soon_and_is_mended(
    box: Sandbox, journal: Journal, signature: str
) -> None:
    users = wallet_users(100)
    box.settings.success_signature = signature
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), users, journal=journal, concurrency=8, **QUICK
        )
    assert (report.state, report.reason.split(":")[0]) == ("halted", "UNSIGNED")
    assert (report.sent, report.failed) == (0, 0)
    assert report.pending > 75
    assert box.calls["alipay.send"] <= 2 * 8 * 8 + 20  # those that are out, to their last attempt
    add_up(report.to_dict())
    box.settings.success_signature = "good"
    async with (
        client(box, "alipay") as wallet,
        Campaign.resume(journal, wallet, recipients=users, **QUICK) as run,
    ):
        report = await run.wait()
    assert report.sent + report.unknown == 100
    assert report.sent > 75
    assert box.ledger.total == len(box.ledger.delivered) == 100


async def test_a_few_whose_answers_are_signed_with_another_key_wait_for_the_right_one(
    box: Sandbox, journal: Journal
) -> None:
    users = wallet_users(2)
    box.settings.success_signature = "bad"
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(wallet, message("alipay"), users, journal=journal, **QUICK)
    assert (report.state, report.pending, report.unknown) == ("halted", 2, 0)
    assert "another key than public_key" in report.reason
    box.settings.success_signature = "good"
    async with (
        client(box, "alipay") as wallet,
        Campaign.resume(journal, wallet, recipients=users, **QUICK) as run,
    ):
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 2)
    assert box.ledger.total == len(box.ledger.delivered) == 2


async def test_a_few_whose_answers_are_never_signed_are_unknown(
    box: Sandbox, journal: Journal
) -> None:
    box.settings.success_signature = "unsigned"
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), wallet_users(10), journal=journal, **QUICK
        )
    assert (report.state, report.unknown, report.by_code) == ("done", 10, {"UNSIGNED": 10})
    assert box.ledger.total == 10


async def test_bad_signatures_among_good_ones_halt_nothing(box: Sandbox, journal: Journal) -> None:
    box.faults = FaultPlan([Fault(endpoint="alipay.send", kind="bad_signature", every=2)])
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), wallet_users(100), journal=journal, concurrency=4, **QUICK
        )
    assert report.state == "done"
    assert report.sent > 50
    assert report.sent + report.unknown == 100
