"""A campaign that one request begins, another one looks at, and a third one ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from campaigning import MESSAGE, QUICK, ids
from waiting import until

import promomsg
from promomsg import Campaign, CampaignEvent, UsageError, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


async def test_one_task_begins_it_and_another_one_ends_it(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    campaign = Campaign(channel, MESSAGE, ids(20), journal=journal, **QUICK)
    run = await asyncio.create_task(campaign.start())
    assert run.progress.planned == 20
    report = await asyncio.create_task(run.wait())
    assert report.sent == 20
    await asyncio.create_task(run.aclose())
    await run.aclose()
    assert run.report.state == "done"
    assert box.ledger.total == 20


async def test_what_planning_finds_wrong_is_raised_where_it_is_started(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    wrong = Campaign(channel, MESSAGE, ["1001", "no id"], journal=tmp_path / "a.db", **QUICK)
    with pytest.raises(UsageError, match="item 2"):
        await wrong.start()
    with pytest.raises(UsageError, match="has not started"):
        await wrong.aclose()
    assert list(tmp_path.iterdir()) == []
    assert box.calls["singlesendmsg"] == 0


async def test_it_is_started_once(box: Sandbox, channel: WeChatPromoter, tmp_path: Path) -> None:
    run = await Campaign(channel, MESSAGE, ["1001"], journal=tmp_path / "a.db", **QUICK).start()
    with pytest.raises(UsageError, match="has run already"):
        await run.start()
    await run.wait()
    await run.aclose()
    again = Campaign(channel, MESSAGE, ["1001"], journal=tmp_path / "a.db", **QUICK)
    with pytest.raises(promomsg.JournalError, match=r"a\.db"):
        await again.start()
    assert box.ledger.total == 1


async def test_closing_it_early_stops_it_cleanly(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    run = await Campaign(
        channel, MESSAGE, ids(49), journal=tmp_path / "a.db", concurrency=2, **QUICK
    ).start()
    await until(lambda: box.calls["singlesendmsg"] >= 4)
    await run.aclose()
    report = run.report
    assert report.pending
    assert report.unknown == 0
    assert report.sent == box.ledger.total
    async with Campaign.resume(tmp_path / "a.db", channel, **QUICK) as resumed:
        assert (await resumed.wait()).sent == 49
    assert box.ledger.twice() == []


FORGETS = """
import asyncio, sys
from promomsg import Campaign, WeChatMessage, WeChatPromoter

async def service(url, journal):
    message = WeChatMessage(1, {"title": "sale"}, "pages/index/index")
    people = [str(1000 + n) for n in range(49)]
    wechat = WeChatPromoter("wx0001", "a-secret", base_url=url)
    run = await Campaign(wechat, message, people, journal=journal, concurrency=2).start()
    async for outcome in run:
        break

asyncio.run(service(*sys.argv[1:]))
"""


async def test_a_service_that_forgets_it_and_stops_has_a_true_journal_all_the_same(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    # In a process of its own, since it leaves its connections open.
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORGETS, box.url, str(tmp_path / "a.db"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert await service.wait() == 0
    with promomsg.open_journal(tmp_path / "a.db") as opened:
        report = opened.report()
    assert report.pending
    assert report.sent <= box.ledger.total <= report.sent + report.unknown
    assert report.unknown <= 4
    async with Campaign.resume(tmp_path / "a.db", channel, **QUICK) as resumed:
        await resumed.wait()
    assert box.ledger.twice() == []


async def test_a_start_that_is_cancelled_leaves_nothing_running(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    starting = asyncio.create_task(
        Campaign(channel, MESSAGE, ids(49), journal=tmp_path / "a.db", **QUICK).start()
    )
    for _ in range(3):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert [t for t in asyncio.all_tasks() if t.get_name() == "promomsg campaign"] == []


async def test_events_tell_everything_that_happens_in_order(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    run = await Campaign(channel, MESSAGE, ids(60), journal=journal, **QUICK).start()
    events = [event async for event in run.events(every=0.002)]
    await run.aclose()
    states = [e.data["state"] for e in events if e.kind == "state"]
    assert states[-1] == "done"
    assert len(states) == len(set(states))
    groups = [e.data for e in events if e.kind == "group"]
    assert {g["group"] for g in groups} == {1}
    percents = [g["percent"] for g in groups if g["percent"] is not None]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    progress = [e.data for e in events if e.kind == "progress"]
    assert progress[-1]["sent"] == 60
    assert progress[0]["planned"] == 60


async def test_a_pause_and_a_halt_are_events(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="daily", after=30),
            Fault(endpoint="singlesendmsg", kind="slow", seconds=0.005),
        ]
    )
    run = await Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=2, **QUICK).start()
    seen: list[CampaignEvent] = []

    async def follow() -> None:
        async for event in run.events(every=0.001):
            seen.append(event)  # noqa: PERF401 - looked at meanwhile

    following = asyncio.create_task(follow())
    await until(lambda: box.calls["singlesendmsg"] >= 4)
    await run.pause()
    await until(lambda: ("state", "paused") in [(e.kind, e.data.get("state")) for e in seen])
    await run.resume_sending()
    await following
    await run.aclose()
    assert [e.data["state"] for e in seen if e.kind == "state"][-2:] == ["sending", "halted"]
    [halt] = [e for e in seen if e.kind == "halt"]
    assert halt.data["code"] == "45009"
    assert halt.data["detail"]


async def test_events_are_server_sent_events() -> None:
    event = CampaignEvent("state", {"state": "done", "reason": "优惠\n"})
    kind, data, end = event.to_sse().split("\n", 2)
    assert (kind, end) == ("event: state", "\n")
    assert json.loads(data.removeprefix("data: ")) == {"state": "done", "reason": "优惠\n"}


async def test_progress_is_typed_and_the_same_as_the_document(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(60), journal=journal, **QUICK) as run:
        await run.wait()
    progress = run.progress
    assert (progress.state, progress.sent, progress["sent"]) == ("done", 60, 60)
    assert progress.groups[0].percent == 100
    assert progress.to_dict() == run.report.to_dict()
    assert json.loads(json.dumps(progress.to_dict())) == progress.to_dict()
