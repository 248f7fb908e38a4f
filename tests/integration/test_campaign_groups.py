"""Following a group to its end: who was reached, who was not, and who cannot be said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from campaigning import (
    MESSAGE,
    PERSONAL,
    QUICK,
    add_up,
    honest,
    ids,
    journal_at,
    run_to_end,
    wechat,
)
from clocks import FakeClock
from waiting import real_time

import promomsg
from promomsg import Campaign, Halted, PollPolicy, WeChatPromoter
from promomsg.engine.report import SomeFailed
from promomsg.journal.contract import Journal
from promomsg.journal.records import GroupRow
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


async def test_named_failures_are_merged_into_one_report(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = {"500003": 103010, "500050": 43101}
    report = await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert (report.sent, report.failed, report.unknown) == (58, 2, 0)
    assert report.by_code == {"103010": 1, "43101": 1}
    assert [(o.recipient.key, o.code) for o in report.failures()] == [
        ("500003", "103010"),
        ("500050", "43101"),
    ]
    [group] = report.groups
    assert (group.percent, group.send_cnt, group.fail_cnt) == (100, 60, 2)
    assert {o.group for o in report.outcomes()} == {group.msg_id}
    assert box.calls["getmsg"] == 3
    honest(report, box)
    with pytest.raises(SomeFailed, match="2 failed") as caught:
        report.raise_for_failures()
    assert caught.value.report is report


@pytest.mark.parametrize("shape", ["csv", "json", "jsonl", "tsv"])
async def test_1500_failures_come_through_the_failure_file(
    box: Sandbox, channel: WeChatPromoter, path: Path, shape: str
) -> None:
    box.settings.failure_format = shape
    box.settings.refuse_group = dict.fromkeys(ids(1_500), 103010)
    report = await promomsg.send(
        channel, MESSAGE, ids(2_000), journal=path, durability="process", **QUICK
    )
    assert (report.sent, report.failed, report.unknown) == (500, 1_500, 0)
    assert report.by_code == {"103010": 1_500}
    assert report.warnings == []
    assert box.calls["failure_file"] == 1
    kept = Path(f"{path}.group-1.failures")
    assert b"500001" in kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    honest(report, box)


async def test_the_older_name_of_the_failure_file_is_taken_too(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.failure_threshold = 1
    box.settings.failure_url_field = "fail_openid_url"
    box.settings.refuse_group = dict.fromkeys(ids(3), 103010)
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.sent, report.failed) == (47, 3)


async def test_a_failure_file_that_is_late_is_asked_for_again(
    box: Sandbox, path: Path, auto_clock: FakeClock
) -> None:
    box.settings.failure_threshold = 1
    box.settings.refuse_group = dict.fromkeys(ids(3), 103010)
    box.faults = FaultPlan([Fault(endpoint="failure_file", kind="status", calls=[1])])
    clock = FakeClock(auto=True, grace=0.004)
    async with wechat(box, clock=clock) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(50), journal=path, clock=clock, **QUICK)
    assert (report.sent, report.failed, box.calls["failure_file"]) == (47, 3, 2)


async def test_failures_that_nobody_names_leave_the_group_unknown(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(5), 103010)
    box.settings.unnamed_failures = 2
    report = await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert (report.sent, report.failed, report.unknown) == (0, 3, 57)
    assert report.by_code == {"103010": 3, "UNNAMED": 57}
    [group] = report.groups
    assert (group.send_cnt, group.fail_cnt, group.state) == (60, 5, "done")
    assert any("5 failures" in w for w in report.warnings)
    honest(report, box)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(endpoint="failure_file", kind="redirect", location="http://127.0.0.1:1/"),
        Fault(endpoint="failure_file", kind="html"),
        Fault(endpoint="failure_file", kind="errcode", errcode=40001),
    ],
    ids=["redirect", "html", "an errcode"],
)
async def test_a_failure_file_that_is_none_leaves_the_group_unknown(
    box: Sandbox, journal: Journal, fault: Fault
) -> None:
    box.settings.failure_threshold = 1
    box.settings.refuse_group = dict.fromkeys(ids(3), 103010)
    box.faults = FaultPlan([fault])
    clock = FakeClock(auto=True, grace=0.004)
    async with wechat(box, clock=clock) as channel:
        report = await promomsg.send(
            channel, MESSAGE, ids(50), journal=journal, clock=clock, **QUICK
        )
    assert (report.sent, report.failed, report.unknown) == (0, 0, 50)
    assert report.by_code == {"UNNAMED": 50}
    assert any("failure file" in w for w in report.warnings)


async def test_a_send_cnt_under_planned_leaves_everybody_unnamed_unknown(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.missing_from_group = 3
    box.settings.refuse_group = {"500001": 43101}
    report = await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert (report.sent, report.failed, report.unknown) == (0, 1, 59)
    assert report.by_code == {"43101": 1, "UNNAMED": 59}
    assert any("send_cnt 57" in w for w in report.warnings)
    honest(report, box)


async def test_counts_that_trail_the_percent_are_looked_at_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (100,)
    box.faults = FaultPlan(
        [Fault(endpoint="getmsg", kind="alter", calls=[1, 2], set={"send_cnt": 10})]
    )
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.sent, report.unknown, box.calls["getmsg"]) == (50, 0, 3)


async def test_a_missing_percent_is_done_by_the_counts_alone(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (None,)
    box.settings.refuse_group = {"500001": 43101}
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.sent, report.failed) == (49, 1)
    assert report.groups[0].percent is None


async def test_a_missing_percent_with_a_low_count_is_polled_on(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (None, None, 100)
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.sent, box.calls["getmsg"]) == (50, 3)


async def test_a_percent_that_goes_down_or_over_100_does_not_confuse(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (60, 20, 100)
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.sent, box.calls["getmsg"]) == (50, 3)


async def test_strangers_and_repeats_in_fail_info_change_nobody(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    named = [
        {"id": "500001", "errcode": 103010},
        {"id": "500001", "errcode": 43101},
        {"id": "999", "errcode": 103010},
    ]
    box.faults = FaultPlan(
        [Fault(endpoint="getmsg", kind="alter", set={"fail_info": named, "fail_cnt": 1})]
    )
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.planned, report.sent, report.failed) == (50, 49, 1)
    assert [(o.recipient.key, o.code) for o in report.failures()] == [("500001", "103010")]
    assert any("1 failure names an id that is not its member" in w for w in report.warnings)


@pytest.mark.parametrize(
    "kind", ["html", "minus_one", "status", "reset_before_reading", "truncate"]
)
async def test_an_error_of_a_poll_changes_no_recipient(
    box: Sandbox, journal: Journal, kind: str
) -> None:
    box.faults = FaultPlan([Fault(endpoint="getmsg", kind=kind, calls=[1, 2, 4])])
    clock = FakeClock(auto=True, grace=0.004)
    async with wechat(box, clock=clock) as channel:
        report = await promomsg.send(
            channel, MESSAGE, ids(50), journal=journal, clock=clock, **QUICK
        )
    assert (report.sent, report.state) == (50, "done")


async def test_polls_that_fail_for_good_leave_the_group_to_a_resume(
    box: Sandbox, path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="getmsg", errcode=48001)])
    options = {**QUICK, "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=0.2)}
    async with wechat(box) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(50), journal=path, **options)
        assert (report.state, report.pending) == ("following", 50)
        assert any("48001" in w for w in report.warnings)
        assert any("resume later" in w for w in report.warnings)
        with pytest.raises(Halted):
            report.raise_for_failures()
        box.faults = FaultPlan()
        assert (await run_to_end(Campaign.resume(path, channel, **QUICK))).sent == 50
    assert box.calls["sendmsg"] == 1


async def test_give_up_after_leaves_slow_groups_pending_and_resumable(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    box.settings.poll_steps = (10,)
    slow = {**QUICK, "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=0.1)}
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=path, **slow)
    assert (report.state, report.pending, report.groups[0].percent) == ("following", 50, 10)
    add_up(report.to_dict())
    box.settings.poll_steps = (100,)
    assert (await run_to_end(Campaign.resume(path, channel, **QUICK))).sent == 50
    assert box.calls["sendmsg"] == 1


async def test_one_slow_group_does_not_hold_up_another(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": i, "name": "甲" if n < 60 else "乙"} for n, i in enumerate(ids(120))]
    box.faults = FaultPlan([Fault(endpoint="getmsg", kind="slow", seconds=0.3, calls=[1])])
    async with Campaign(channel, PERSONAL, rows, journal=journal, **QUICK) as run:
        first = [outcome async for outcome in _take(run, 60)]
        assert box.calls["getmsg"] >= 3
        assert len({o.group for o in first}) == 1
        await run.wait()
    assert run.report.sent == 120


async def _take(run: Campaign, count: int):  # type: ignore[no-untyped-def]
    seen = 0
    async for outcome in run:
        yield outcome
        seen += 1
        if seen == count:
            return


async def test_a_result_older_than_seven_days_is_expired(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    journal = journal_at("sqlite", tmp_path)
    async with Campaign(channel, MESSAGE, ids(50), journal=journal, **QUICK) as run:
        box.settings.poll_steps = (10,)
        await run.submit()
    assert run.report.pending == 50
    later = FakeClock(start=run.report.groups[0].sent_at + 8 * 86_400, auto=True, grace=0.002)
    async with (
        wechat(box, clock=later) as again,
        Campaign.resume(journal, again, clock=later, **QUICK) as resumed,
    ):
        report = await resumed.wait()
    assert (report.unknown, report.by_code) == (50, {"EXPIRED": 50})
    assert any("7 days" in w for w in report.warnings)


async def test_the_last_day_of_a_result_is_warned_of(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    journal = journal_at("sqlite", tmp_path)
    box.settings.poll_steps = (10,)
    async with Campaign(channel, MESSAGE, ids(50), journal=journal, **QUICK) as run:
        await run.submit()
    box.settings.poll_steps = (100,)
    later = FakeClock(start=run.report.groups[0].sent_at + 6.5 * 86_400, auto=True, grace=0.002)
    async with (
        wechat(box, clock=later) as again,
        Campaign.resume(journal, again, clock=later, **QUICK) as resumed,
    ):
        report = await resumed.wait()
    assert report.sent == 50
    assert any("12 hours" in w for w in report.warnings)


async def test_a_refused_group_fails_its_members_and_all_with_that_text(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan(
        [Fault(endpoint="sendmsg", errcode=47003, errmsg="argument invalid! title")]
    )
    rows = [*({"id": i} for i in ids(150)), *({"openid": f"o{n}"} for n in range(3))]
    report = await promomsg.send(
        channel, MESSAGE, rows, journal=journal, max_group_size=99, concurrency=1, **QUICK
    )
    assert box.calls["sendmsg"] == 1
    assert report.failed + report.sent == 153
    assert report.failed >= 150
    assert set(report.by_code) == {"47003"}
    assert "title" in report.failures()[0].detail
    assert [g.state for g in report.groups] == ["refused", "refused"]
    honest(report, box)


async def test_a_refused_group_does_not_touch_another_text(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": i, "name": "甲" if n < 60 else "乙"} for n, i in enumerate(ids(120))]
    box.faults = FaultPlan([Fault(endpoint="sendmsg", errcode=45002, calls=[1])])
    report = await promomsg.send(channel, PERSONAL, rows, journal=journal, **QUICK)
    assert (report.failed, report.sent) == (60, 60)
    honest(report, box)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(endpoint="sendmsg", kind="drop_after_delivering"),
        Fault(endpoint="sendmsg", kind="html", delivered=True),
        Fault(endpoint="sendmsg", kind="minus_one"),
        Fault(endpoint="sendmsg", kind="status"),
        Fault(endpoint="sendmsg", kind="alter", unset=["msg_id"]),
    ],
    ids=lambda f: f.kind,
)
async def test_a_group_whose_answer_is_lost_is_unknown_and_never_sent_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, fault: Fault
) -> None:
    box.faults = FaultPlan([fault])
    report = await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert (report.unknown, report.state) == (60, "done")
    assert box.calls["sendmsg"] == 1
    assert [g.state for g in report.groups] == ["unknown"]
    honest(report, box)


async def test_a_group_that_never_left_is_sent_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    campaign = Campaign(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    await campaign.plan()
    await channel.get_roles()
    box.expire_tokens()
    async with campaign as run:
        report = await run.wait()
    assert (report.sent, box.calls["sendmsg"], box.calls["stable_token"]) == (60, 2, 2)
    assert [o.attempts for o in report.outcomes()][:1] == [2]
    assert box.ledger.twice() == []


async def test_a_halt_leaves_every_group_to_a_resume(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", errcode=48001, calls=[1])])
    report = await promomsg.send(
        channel, MESSAGE, ids(198), journal=path, max_group_size=99, **QUICK
    )
    assert (report.state, report.pending, box.calls["sendmsg"]) == ("halted", 198, 1)
    assert report.reason.startswith("48001")
    assert (await run_to_end(Campaign.resume(path, channel, **QUICK))).sent == 198
    assert box.ledger.twice() == []


async def test_one_group_is_out_at_a_time_unless_told_otherwise(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="slow", seconds=0.06)])
    out: list[int] = []

    async def watch(run: Campaign) -> None:
        while True:
            out.append(sum(g["state"] == "intended" for g in run.progress["groups"]))
            await real_time(0.005)

    async with Campaign(
        channel, MESSAGE, ids(198), journal=journal, max_group_size=99, **QUICK
    ) as run:
        watching = asyncio.ensure_future(watch(run))
        await run.wait()
        watching.cancel()
    assert max(out) <= 1
    first, second = box.calls.times("sendmsg")
    assert second - first >= 0.05


async def test_groups_per_minute_spaces_the_group_calls(box: Sandbox, journal: Journal) -> None:
    clock = FakeClock(auto=True, grace=0.003)
    pace = promomsg.Pace(groups_per_minute=60, singles_per_second=1_000)
    began = clock.monotonic()
    async with wechat(box, pace=pace, clock=clock) as channel:
        report = await promomsg.send(
            channel,
            MESSAGE,
            ids(297),
            journal=journal,
            max_group_size=99,
            clock=clock,
            **QUICK,
        )
    assert (report.sent, box.calls["sendmsg"]) == (297, 3)
    assert clock.monotonic() - began > 0.5


async def test_a_token_refused_for_good_while_polling_halts_and_a_resume_follows_on(
    box: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promomsg.channels.following, "READ_TRIES", 2)
    box.faults = FaultPlan([Fault(endpoint="getmsg", kind="token_invalid", limit=2, every=1)])
    async with wechat(box) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(60), journal=path, **QUICK)
    assert (report.state, report.pending) == ("halted", 60)
    assert "TOKEN_REFUSED" in report.reason
    async with wechat(box) as channel, Campaign.resume(path, channel) as run:
        await run.wait()
    assert (run.report.state, run.report.sent) == ("done", 60)
    assert box.calls["sendmsg"] == 1
    honest(run.report, box)


async def test_many_groups_are_not_read_all_for_each_of_them(
    channel: WeChatPromoter, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the cost of a campaign would grow with the square of its groups."""
    read = SqliteHandle.groups
    reads = 0

    async def groups(self: SqliteHandle) -> list[GroupRow]:
        nonlocal reads
        reads += 1
        return await read(self)

    monkeypatch.setattr(SqliteHandle, "groups", groups)
    async with Campaign(
        channel, MESSAGE, ids(40 * 99), journal=journal, max_group_size=99, **QUICK
    ) as run:
        await run.wait()
    report = run.report
    assert (report.sent, len(report.groups)) == (40 * 99, 40)
    # A few to begin and end with, and what the progress shows now and then.
    assert reads <= 10 + report.elapsed_s / 0.05
