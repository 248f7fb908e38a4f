"""A journal gone on with: from where it stopped, by its own account, message and list."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigning import (
    MESSAGE,
    PERSONAL,
    QUICK,
    add_up,
    group_ids,
    honest,
    ids,
    journal_at,
    run_to_end,
    wechat,
)
from fault_campaigns import client, message, wallet_users
from waiting import until

import promomsg
from promomsg import (
    Campaign,
    JournalError,
    Pace,
    PollPolicy,
    SqliteJournal,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


async def half(channel: WeChatPromoter, box: Sandbox, journal: object, rows: object = None) -> None:
    """Sends some of them and stops."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.005)])
    async with Campaign(
        channel,
        PERSONAL,
        [{"id": i, "name": f"n{i}"} for i in ids(40)] if rows is None else rows,
        journal=journal,  # type: ignore[arg-type]
        concurrency=2,
        **QUICK,
    ) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 8)
    assert 0 < run.report.sent < 40
    box.faults = FaultPlan()


async def test_a_half_sent_campaign_goes_on_where_it_stopped(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await half(channel, box, journal)
    before = box.ledger.total
    campaign = Campaign.resume(journal, channel, **QUICK)
    plan = await campaign.plan()
    assert (plan.rows, plan.singles) == (40, 40 - before)
    assert box.ledger.total == before
    async with campaign as run:
        streamed = [outcome async for outcome in run]
    assert len(streamed) == 40 - before
    assert (run.report.sent, run.report.state) == (40, "done")
    assert box.ledger.twice() == []
    honest(run.report, box)


async def test_a_list_that_has_grown_since_keeps_a_resume_from_those_on_it(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked.csv"
    blocked.write_text("key\n500001\n500039\n500040\n", "utf-8")
    await half(channel, box, journal)
    campaign = Campaign.resume(journal, channel, suppress=blocked, **QUICK)
    plan = await campaign.plan()
    said = "2 that were still to be sent to are on the suppression list by now"
    assert any(said in notice for notice in plan.notices)
    async with campaign as run:
        streamed = [o.recipient.key async for o in run if o.state == "skipped"]
    report = run.report
    assert streamed == ["500039", "500040"]
    assert (report.sent, report.skipped, report.state) == (38, 2, "done")
    assert report.by_code == {"SUPPRESSED": 2}
    counted = "suppression list: 3 values, 2 rows of this list left out"
    assert [w for w in report.warnings if said in w or w == counted] == report.warnings
    assert len(report.warnings) == 2
    assert not {"500039", "500040"} & set(box.ledger.delivered)
    honest(report, box)
    # One that has shrunk changes nothing, nor does one with nobody left to find.
    again = await run_to_end(Campaign.resume(journal, channel, suppress=["500001"], **QUICK))
    assert (again.sent, again.skipped, again.warnings) == (38, 2, report.warnings)


async def test_a_list_that_has_grown_takes_people_out_of_the_groups_to_come(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", errcode=48001)])
    first = await promomsg.send(
        channel, MESSAGE, ids(150), journal=journal, max_group_size=99, **QUICK
    )
    assert (first.pending, first.state) == (150, "halted")
    box.faults = FaultPlan()
    blocked = [*ids(1), *ids(26, 500_076)]
    report = await run_to_end(Campaign.resume(journal, channel, suppress=blocked, **QUICK))
    # 74 are a group still; of the other one 49 are left, which go one by one.
    assert (report.sent, report.skipped, report.state) == (123, 27, "done")
    assert [len(sent) for sent in group_ids(box)][-1] == 74
    assert box.calls["singlesendmsg"] == 49
    assert not set(blocked) & set(box.ledger.delivered)
    honest(report, box)


async def test_nobody_can_be_left_out_of_a_call_to_a_whole_audience(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", errcode=48001)])
    await promomsg.send(channel, MESSAGE, promomsg.Roles([1]), journal=journal, **QUICK)
    box.faults = FaultPlan()
    with pytest.raises(UsageError, match="suppression list: say expand=true"):
        async with Campaign.resume(journal, channel, suppress=["1"], **QUICK):
            pass
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 100


async def test_a_suppression_file_that_cannot_be_read_changes_nothing(
    channel: WeChatPromoter, box: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    await half(channel, box, journal)
    with pytest.raises(UsageError, match=r"blocked\.csv"):
        async with Campaign.resume(journal, channel, suppress=tmp_path / "blocked.csv", **QUICK):
            pass
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 40


async def test_a_resume_counts_the_groups_of_the_minute_before(
    box: Sandbox, journal: Journal
) -> None:
    pace = Pace(groups_per_minute=1)
    async with (
        wechat(box, pace=pace) as first,
        Campaign(first, MESSAGE, ids(200), journal=journal, max_group_size=99, **QUICK) as run,
    ):
        await until(lambda: box.calls["sendmsg"] == 1)
    assert [group.state for group in run.report.groups].count("planned") == 2
    async with wechat(box, pace=pace) as second, Campaign.resume(journal, second, **QUICK):
        assert not await second.pacer.groups.gate(patience=30)
    assert box.calls["sendmsg"] == 1


async def test_a_resume_may_bring_the_same_list_and_message(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await half(channel, box, journal)
    rows = [{"id": i, "name": f"n{i}"} for i in ids(40)]
    assert (
        await run_to_end(
            Campaign.resume(journal, channel, recipients=rows, message=PERSONAL, **QUICK)
        )
    ).sent == 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], r"40 rows then, 39 now"),
        (lambda rows: [*rows, {"id": "1", "name": "x"}], r"40 rows then, 41 now"),
        (lambda rows: [{**rows[0], "name": "other"}, *rows[1:]], "parameters differ"),
        (lambda rows: [{**rows[0], "id": "77"}, *rows[1:]], "addresses"),
        (lambda rows: rows[::-1], "not the list"),
    ],
    ids=["one less", "one more", "another parameter", "another address", "another order"],
)
async def test_a_changed_list_is_refused_and_nothing_is_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, change: object, said: str
) -> None:
    await half(channel, box, journal)
    before = box.calls["singlesendmsg"]
    rows = change([{"id": i, "name": f"n{i}"} for i in ids(40)])  # type: ignore[operator]
    with pytest.raises(UsageError, match=said) as caught:
        async with Campaign.resume(journal, channel, recipients=rows, **QUICK):
            raise AssertionError("it began")
    assert "\n" not in str(caught.value)
    assert box.calls["singlesendmsg"] == before
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 40


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (WeChatMessage(1, {"title": "{name}", "desc": "三件五折"}, "pages/index/index"), "content"),
        (WeChatMessage(2, dict(PERSONAL.content), "pages/index/index"), "msg_type"),
        (WeChatMessage(1, dict(PERSONAL.content), "pages/other"), "path"),
    ],
)
async def test_a_changed_message_is_refused_by_its_field(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, message: WeChatMessage, field: str
) -> None:
    await half(channel, box, journal)
    with pytest.raises(UsageError, match=field):
        await Campaign.resume(journal, channel, message=message, **QUICK).__aenter__()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 40


async def test_another_account_or_channel_is_refused(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await half(channel, box, journal)
    other = channel.with_account("wx0002", "s3cret")
    with pytest.raises(JournalError, match="wx0001"):
        await Campaign.resume(journal, other, **QUICK).__aenter__()
    key = promomsg_key()
    wallet = promomsg.AlipayMiniProgram("c", "P1", key, verify=False, base_url=f"{box.url}/api")
    with pytest.raises(JournalError, match="wechat"):
        await Campaign.resume(journal, wallet, **QUICK).__aenter__()
    await wallet.close()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 40


@pytest.mark.parametrize("count", [5, 60])
async def test_a_wrong_appid_is_mended_and_resumed(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, count: int
) -> None:
    box.settings.accounts = {"wx0001": "s3cret"}
    wrong = channel.with_account("wx0009", "s3cret")
    report = await promomsg.send(wrong, MESSAGE, ids(count), journal=journal, **QUICK)
    assert (report.state, report.pending) == ("halted", count)
    assert (
        await run_to_end(Campaign.resume(journal, channel, message=MESSAGE, **QUICK))
    ).sent == count
    with pytest.raises(JournalError, match="wx0001"):  # it is that account's now
        await Campaign.resume(journal, wrong, **QUICK).__aenter__()
    assert box.ledger.twice() == []


async def test_an_account_is_not_changed_by_a_resume_that_is_refused(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.accounts = {"wx0001": "another"}
    await promomsg.send(channel, MESSAGE, ids(5), journal=journal, **QUICK)
    other = channel.with_account("wx0002", "s3cret")
    with pytest.raises(UsageError, match="content"):
        await Campaign.resume(journal, other, message=PERSONAL, **QUICK).__aenter__()
    handle = await journal.open(write=False)
    assert handle.record.account == "wx0001"
    await handle.close()


@pytest.mark.parametrize("changed", [{"client_id": "CLIENT_2"}, {"app_id": "P2"}])
async def test_a_wallet_campaign_is_of_a_client_and_an_app(
    box: Sandbox, journal: Journal, changed: dict[str, str]
) -> None:
    users = wallet_users()
    box.faults = FaultPlan([Fault(endpoint="alipay.send", result="INVALID_CLIENT")])
    async with client(box, "alipay") as wallet, client(box, "alipay", **changed) as other:
        report = await promomsg.send(wallet, message("alipay"), users, journal=journal)
        assert (report.state, report.pending) == ("halted", len(users))
        box.faults = FaultPlan([Fault(endpoint="alipay.send", result="INVALID_CLIENT", after=2)])
        report = await run_to_end(Campaign.resume(journal, other, recipients=users))
        assert (report.state, report.sent > 0) == ("halted", True)
        with pytest.raises(JournalError, match=f"{'/'.join(changed.values())}"):
            await Campaign.resume(journal, wallet, recipients=users).__aenter__()


def promomsg_key() -> str:
    """A throw-away key of a wallet client."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


async def test_a_finished_campaign_is_done_and_sends_nothing(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.send(channel, MESSAGE, ids(3), journal=journal, **QUICK)
    async with Campaign.resume(journal, channel, recipients=["1"], **QUICK) as run:
        report = await run.wait()
        assert [o async for o in run] == []
    assert (report.state, report.sent, box.calls["singlesendmsg"]) == ("done", 3, 3)


async def test_of_a_list_that_has_grown_a_finished_campaign_says_that_it_sends_to_nobody(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.send(channel, MESSAGE, ids(3), journal=journal, **QUICK)
    same = await run_to_end(Campaign.resume(journal, channel, recipients=ids(3), **QUICK))
    assert not same.warnings
    grown = Campaign.resume(journal, channel, recipients=ids(4), **QUICK)
    [notice] = [said for said in (await grown.plan()).notices if "the list given again" in said]
    assert "3 rows then, 4 now" in notice
    report = await run_to_end(grown)
    assert list(report.warnings) == [notice]
    assert (report.state, report.sent, box.calls["singlesendmsg"]) == ("done", 3, 3)


async def test_a_half_polled_campaign_is_polled_on(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (10,)
    box.settings.refuse_group = {"500009": 43101}
    async with Campaign(channel, MESSAGE, ids(60), journal=journal, **QUICK) as run:
        await until(lambda: run.progress["groups"][0]["percent"] == 10)
    assert run.report.state == "following"
    box.settings.poll_steps = (100,)
    report = await run_to_end(Campaign.resume(journal, channel, **QUICK))
    assert (report.sent, report.failed, box.calls["sendmsg"]) == (59, 1, 1)
    honest(report, box)


async def test_options_of_a_resume_win_over_those_kept(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.daily_quota = {"singlesendmsg": 5}
    await promomsg.send(channel, MESSAGE, ids(40), journal=journal, **QUICK)
    box.settings.daily_quota = {}
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=43101)])
    report = await run_to_end(Campaign.resume(journal, channel, max_error_rate=0.1, concurrency=1))
    assert report.reason.startswith("MAX_ERROR_RATE")
    with pytest.raises((UsageError, TypeError), match="concurency"):
        await Campaign.resume(journal, channel, concurency=1).__aenter__()  # type: ignore[call-arg]


async def test_options_that_come_too_late_for_the_plan_are_said(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    campaign = Campaign(channel, MESSAGE, ids(60), journal=journal, max_group_size=99, **QUICK)
    await campaign.hand_over()
    late = Campaign.resume(journal, channel, route="single", max_group_size=99)
    [said] = [notice for notice in (await late.plan()).notices if "the plan stays" in notice]
    assert "although route was None and is 'single' now:" in said
    report = await run_to_end(late)
    assert (report.sent, box.calls["sendmsg"], box.calls["singlesendmsg"]) == (60, 1, 0)
    again = Campaign.resume(journal, channel, max_group_size=99, concurrency=2)
    assert not [notice for notice in (await again.plan()).notices if "the plan stays" in notice]
    await run_to_end(again)


async def test_only_of_a_resume_is_that_of_the_plan(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    """Whoever says it means nobody else, and who is in the plan is decided."""
    keys = ids(6)[:3]
    await Campaign(channel, MESSAGE, ids(6), journal=journal, only=keys, **QUICK).hand_over()
    with pytest.raises(UsageError, match="this is not the plan that was made: only was"):
        await run_to_end(Campaign.resume(journal, channel, only=keys[:1]))
    assert box.ledger.total == 0
    assert (await run_to_end(Campaign.resume(journal, channel, only=set(keys)))).sent == 3


async def test_a_second_sender_is_refused_and_the_first_goes_on(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.005)])
    async with Campaign(channel, MESSAGE, ids(40), journal=path, concurrency=2, **QUICK) as run:
        with pytest.raises(JournalError, match="sender"):
            await Campaign.resume(path, channel, **QUICK).__aenter__()
        with promomsg.open_journal(path) as seen:  # a reader never
            document = seen.report().to_dict()
            add_up(document)
            assert document["state"] == "sending"
        assert (await run.wait()).sent == 40
    assert box.ledger.twice() == []


async def test_there_is_nothing_to_resume(channel: WeChatPromoter, journal: Journal) -> None:
    with pytest.raises(JournalError):
        await Campaign.resume(journal, channel, **QUICK).__aenter__()


async def test_who_was_intended_when_the_process_died_is_unknown(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    """A journal as `kill -9` leaves it: intents without results, a group without an answer."""
    journal = SqliteJournal(tmp_path / "campaign.db")
    rows = [*ids(50), *({"openid": f"o{n}"} for n in range(10))]
    campaign = Campaign(channel, MESSAGE, rows, journal=journal, **QUICK)
    await campaign.plan()
    started = await campaign._start.start()
    handle = started.handle
    singles = await handle.take(groups=False, singles=True, idempotent=False)
    group = await handle.take(groups=True, singles=False, idempotent=False)
    assert singles is not None
    assert group is not None
    assert await handle.intend(
        singles, [p.seq for p in singles.single_sends[:4]], 1.0, "2026-11-24"
    )
    assert await handle.intend_group(group, 1.0)
    await handle.close()

    report = await run_to_end(Campaign.resume(journal, channel, **QUICK))
    assert (report.unknown, report.sent) == (54, 6)
    assert report.by_code == {"INTERRUPTED": 54}
    assert any("4 single sends and 1 group sends" in w for w in report.warnings)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 6)


async def test_a_file_that_is_the_same_needs_no_second_reading(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in ids(40)), encoding="utf-8")
    journal = journal_at("sqlite", tmp_path)
    await half(channel, box, journal, promomsg.read_csv(table))
    assert (
        await run_to_end(
            Campaign.resume(journal, channel, recipients=promomsg.read_csv(table), **QUICK)
        )
    ).sent == 40


async def test_a_file_that_has_changed_is_refused(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in ids(40)), encoding="utf-8")
    journal = journal_at("sqlite", tmp_path)
    await half(channel, box, journal, promomsg.read_csv(table))
    table.write_text("id,name\n" + "".join(f"{i},m{i}\n" for i in ids(40)), encoding="utf-8")
    with pytest.raises(UsageError, match="not the list"):
        await Campaign.resume(
            journal, channel, recipients=promomsg.read_csv(table), **QUICK
        ).__aenter__()


async def test_polls_of_an_old_process_do_not_end_a_new_one(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (10,)
    brief = {**QUICK, "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=0.03)}
    await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **brief)
    report = await run_to_end(Campaign.resume(journal, channel))
    assert (report.pending, report.state) == (50, "following")
    box.settings.poll_steps = (100,)
    async with wechat(box) as other, Campaign.resume(journal, other, **QUICK) as run:
        assert (await run.wait()).sent == 50
