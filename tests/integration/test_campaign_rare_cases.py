"""What an adversary found: days that are used up, messages refused under way, clients that go away."""

from __future__ import annotations

from typing import Any

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, add_up, honest, ids, run_to_end, wechat
from clocks import FakeClock
from waiting import real_time, until

import promomsg
from promomsg import Campaign, Pace, Recipient, Roles, WeChatPromoter
from promomsg.clock import next_china_midnight
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

MIDNIGHT = next_china_midnight(1_760_000_000.0)


async def test_both_kinds_of_call_wait_for_the_day_without_asking_again(
    box: Sandbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups and singles are both told that the day is used up: neither keeps calling."""

    def held(call: Any) -> Any:
        """Both kinds are out before either is told anything."""

        async def held_call(*args: Any) -> Any:
            answer = await call(*args)
            await until(lambda: bool(box.calls["sendmsg"] and box.calls["singlesendmsg"]))
            return answer

        return held_call

    clock = FakeClock(MIDNIGHT - 600, grace=0.01)
    box.faults = FaultPlan(
        [
            Fault(endpoint="sendmsg", kind="daily", every=1),
            Fault(endpoint="singlesendmsg", kind="daily", every=1),
        ]
    )
    for name in ("deliver", "deliver_group"):
        monkeypatch.setattr(WeChatPromoter, name, held(getattr(WeChatPromoter, name)))
    people: list[Any] = [*ids(60), *({"openid": f"o{n}"} for n in range(30))]
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(
            channel,
            MESSAGE,
            people,
            journal=journal,
            clock=clock,
            concurrency=4,
            on_daily_quota="wait",
            **QUICK,
        ) as run,
    ):
        await until(lambda: run.progress["state"] == "waiting")
        await real_time(0.05)
        calls = box.calls["sendmsg"] + box.calls["singlesendmsg"]
        assert 2 <= calls <= 1 + 2 * 4
        await real_time(0.05)
        assert box.calls["sendmsg"] + box.calls["singlesendmsg"] == calls
        assert run.progress["state"] == "waiting"
        await run.cancel()
        report = await run.wait()
    assert report.cancelled == 90
    honest(report, box)


async def test_a_message_refused_while_its_group_waits_fails_the_group_too(
    box: Sandbox, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="errcode", errcode=45002, every=1)])
    async with wechat(box) as channel:
        report = await promomsg.send(
            channel,
            MESSAGE,
            ids(300),
            journal=journal,
            max_group_size=100,
            groups_in_flight=2,
            **QUICK,
        )
    assert (report.failed, report.state) == (300, "done")
    assert box.calls["sendmsg"] <= 2
    honest(report, box)


async def test_a_token_source_that_breaks_loses_nobody(box: Sandbox, journal: Journal) -> None:
    calls = 0

    async def token(stale: str | None) -> str:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ConnectionError("the token server said: secret-of-mine")
        return "t1"

    box.settings.check_tokens = False
    box.faults = FaultPlan(
        [Fault(endpoint="singlesendmsg", kind="token_invalid", after=20, every=1)]
    )
    async with wechat(box, secret=None, token=token) as channel:
        report = await promomsg.send(
            channel, MESSAGE, ids(60), journal=journal, route="single", concurrency=4, **QUICK
        )
    assert (report.state, report.unknown, report.failed) == ("halted", 0, 0)
    assert "ConnectionError" in report.reason
    assert "secret-of-mine" not in report.reason
    assert report.sent == 20
    honest(report, box)


async def test_a_client_that_is_closed_halts_and_burns_nobody(
    box: Sandbox, journal: Journal
) -> None:
    channel = wechat(box)
    report = await run_to_end(
        Campaign(
            channel, MESSAGE, ids(300), journal=journal, route="single", concurrency=4, **QUICK
        ),
        when=lambda: box.calls["singlesendmsg"] >= 20,
        act=lambda _: channel.close(),
    )
    assert report.state == "halted"
    assert report.unknown <= 4
    assert report.pending >= 200
    async with wechat(box) as again, Campaign.resume(journal, again, **QUICK) as run:
        await run.wait()
    assert run.report.pending == 0
    honest(run.report, box)


async def test_a_retry_of_a_cancelled_campaign_sends_to_the_failed(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = dict.fromkeys(ids(3), 43101)
    async with Campaign(
        channel, MESSAGE, ids(200), journal=journal, route="single", concurrency=2, **QUICK
    ) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 10)
        await run.cancel()
        await run.wait()
    before = run.report
    assert before.failed == 3
    assert before.cancelled > 0
    box.settings.refuse_single = {}
    async with Campaign.retry(journal, channel, failed=True, **QUICK) as run:
        await run.wait()
    assert (run.report.failed, run.report.cancelled) == (0, before.cancelled)
    assert run.report.sent == before.sent + 3
    honest(run.report, box)


async def test_submit_leaves_nothing_stale(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(60), journal=journal, **QUICK) as run:
        await run.submit()
        [group] = run.progress["groups"]
        assert group["msg_id"] is not None
        add_up(run.progress.to_dict())


@pytest.mark.parametrize("times", [1, 3])
async def test_a_hiccup_of_a_read_does_not_end_planning(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, times: int
) -> None:
    box.faults = FaultPlan([Fault(endpoint="getpromoter", kind="minus_one", limit=times, every=1)])
    clock = FakeClock(auto=True, grace=0.01)
    async with wechat(box, clock=clock) as patient:
        report = await promomsg.send(
            patient, MESSAGE, promomsg.Everyone(confirm=True), journal=journal, **QUICK
        )
    assert report.sent > 0
    assert box.ledger.faults["minus_one"] == times


async def test_an_empty_cell_of_a_data_frame_is_no_text(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    people = [{"id": "1", "name": "甲"}, {"id": "2", "name": float("nan")}]
    async with Campaign(channel, PERSONAL, people, journal=journal, **QUICK) as run:
        await run.wait()
    assert run.report.sent == 2
    assert b"nan" not in b"".join(box.calls.bodies("singlesendmsg"))


async def test_the_rows_left_out_are_listed_before_anything_is_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    people = [Recipient(id="1"), Recipient(id="1"), Recipient(key="x")]
    campaign = Campaign(channel, MESSAGE, people, journal=journal, **QUICK)
    await campaign.plan()
    left_out = [(o.recipient.key, o.code) async for o in campaign.not_sent()]
    await campaign.discard()
    assert left_out == [("1", "DUPLICATE_KEY"), ("x", "NO_ADDRESS")]
    assert box.calls["singlesendmsg"] == 0


async def test_a_days_limit_under_the_list_is_said_in_the_plan(
    box: Sandbox, journal: Journal
) -> None:
    async with wechat(box, pace=Pace(singles_per_second=50, singles_per_day=10)) as channel:
        campaign = Campaign(channel, MESSAGE, ids(40), journal=journal, **QUICK)
        plan = await campaign.plan()
        await campaign.discard()
    assert any("40 single calls at 10 a China-time day take 4 days" in n for n in plan.notices)


async def test_the_journal_of_an_audience_remembers_where_it_was_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await run_to_end(Campaign(channel, MESSAGE, Roles([1]), journal=journal, **QUICK))
    handle = await journal.open()
    assert handle.record.base_url == box.url
    await handle.close()
