"""Lost group sends, found again among the click data of the day after."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids, wechat
from clocks import FakeClock, Later, seconds_until

import promomsg
from promomsg import Campaign, JournalError, Match, Roles, WeChatPromoter
from promomsg.clock import SystemClock
from promomsg.engine.following.reconcile import pair, reconcile
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

DROP = Fault(endpoint="sendmsg", kind="drop_after_delivering")
DAY = 86_400.0


@pytest.fixture
def now() -> Later:
    """Noon in China: click data goes by its days."""
    return Later(seconds_until("12:00") / DAY)


@pytest_asyncio.fixture
async def box(now: Later) -> AsyncIterator[Sandbox]:
    """The provider, by that clock."""
    async with Sandbox() as sandbox:
        sandbox.clock.advance(now.time() - sandbox.clock.time())
        yield sandbox


@pytest_asyncio.fixture
async def channel(box: Sandbox, now: Later) -> AsyncIterator[WeChatPromoter]:
    """An account there, by that clock."""
    async with wechat(box, clock=now) as client:
        yield client


async def lost(
    channel: WeChatPromoter, journal: Journal, recipients: object, box: Sandbox, **options: object
) -> promomsg.Report:
    """A campaign whose group sends were delivered without an answer."""
    box.settings.click_rate = 1.0
    box.faults = FaultPlan([DROP])
    now = Later((box.clock.time() - SystemClock.time()) / DAY)
    report = await promomsg.send(
        channel,
        options.pop("message", MESSAGE),
        recipients,
        journal=journal,
        clock=now,
        **QUICK,
        **options,
    )
    box.faults = FaultPlan()
    assert report.unknown == report.planned
    return report


async def look(
    box: Sandbox, journal: Journal, *, days: float = 1.0, adopt: bool = False
) -> list[Match]:
    """Reconciles with everybody's clock so many days later."""
    box.clock.advance(days * DAY)
    later = FakeClock(start=box.clock.time())
    async with wechat(box, clock=later) as channel:
        return await reconcile(journal, channel, adopt=adopt, clock=later)


async def resumed(box: Sandbox, journal: Journal) -> promomsg.Report:
    """Goes on with the campaign at that later time."""
    clock = FakeClock(start=box.clock.time(), auto=True, grace=0.003)
    async with (
        wechat(box, clock=clock) as channel,
        Campaign.resume(journal, channel, clock=clock, **QUICK) as run,
    ):
        return await run.wait()


async def test_a_lost_group_is_found_by_its_content_and_people(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    await channel.send_group(MESSAGE, promomsg.Promoters(ids(60, 900_001)))  # somebody else's
    [match] = await look(box, journal)
    assert match.msg_id == "1000001"
    assert (match.group, match.members, match.adopted, match.reason) == (1, 60, False, "")
    assert match.sent_at is not None
    assert (await resumed(box, journal)).unknown == 60  # looking changed nothing
    assert box.calls["sendmsg"] == 2


async def test_an_adopted_group_is_polled_by_a_resume(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = {"500007": 43101}
    await lost(channel, journal, ids(60), box)
    [match] = await look(box, journal, adopt=True)
    assert (match.adopted, match.msg_id) == (True, "1000001")
    report = await resumed(box, journal)
    assert (report.sent, report.failed, report.unknown) == (59, 1, 0)
    assert box.calls["sendmsg"] == 1
    assert report.groups[0].msg_id == "1000001"
    honest(report, box)
    assert await look(box, journal, days=0) == []


async def test_on_the_day_itself_there_is_no_click_data_yet(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    [match] = await look(box, journal, days=0)
    assert match.msg_id is None
    assert "day after" in match.reason


async def test_a_message_nobody_clicked_is_not_listed(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    box.settings.click_rate = 0.0
    [match] = await look(box, journal, adopt=True)
    assert (match.msg_id, match.candidates, match.adopted) == (None, (), False)
    assert "clicked" in match.reason


@pytest.mark.parametrize("clicked", [True, False])
async def test_one_sent_right_before_midnight_may_be_among_the_next_days(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, clicked: bool
) -> None:
    """By the provider's clock; until then nobody knows whether another one fits, too."""
    box.clock.advance((11 * 60 + 55) * 60)
    await lost(channel, journal, ids(60), box)
    box.settings.click_rate = float(clicked)
    [match] = await look(box, journal, adopt=True)
    assert (match.msg_id, match.adopted) == (None, False)
    assert "day after" in match.reason
    [match] = await look(box, journal, adopt=True)
    assert (match.msg_id, match.adopted) == (("1000001", True) if clicked else (None, False))
    assert ("clicked" in match.reason) is not clicked


async def test_two_messages_that_fit_are_not_chosen_between(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    await channel.send_group(MESSAGE, promomsg.Promoters(ids(60)))
    [match] = await look(box, journal, adopt=True)
    assert match.msg_id is None
    assert len(match.candidates) == 2
    assert "2 messages fit" in match.reason


async def test_several_lost_groups_are_told_apart_by_their_people(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(198), box, max_group_size=99)
    matches = await look(box, journal, adopt=True)
    assert [m.msg_id for m in matches] == ["1000001", "1000002"]
    assert (await resumed(box, journal)).sent == 198


async def test_personal_groups_are_told_apart_by_their_text(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": i, "name": "甲" if n < 60 else "乙"} for n, i in enumerate(ids(120))]
    await lost(channel, journal, rows, box, message=PERSONAL)
    matches = await look(box, journal)
    assert {m.msg_id for m in matches} == {"1000001", "1000002"}


@pytest.mark.parametrize(
    ("audience", "other"),
    [
        (Roles([1]), Roles([2])),
        (promomsg.Retailers(["r1"]), promomsg.Retailers(["r2"])),
        (promomsg.Everyone(confirm=True), Roles([1])),
    ],
)
async def test_a_lost_audience_is_found_by_whom_it_was_for(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, audience: object, other: Roles
) -> None:
    await lost(channel, journal, audience, box)
    await channel.send_group(MESSAGE, other)
    [match] = await look(box, journal, adopt=True)
    assert match.msg_id == "1000001"
    report = await resumed(box, journal)
    assert (report.unknown, report.state) == (0, "done")


async def test_the_same_content_to_others_is_no_match(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="status", calls=[1])])
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    await channel.send_group(MESSAGE, promomsg.Promoters(ids(61)))
    [match] = await look(box, journal)
    assert (match.msg_id, match.candidates) == (None, ())


async def test_a_look_that_fails_is_the_reason(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    box.faults = FaultPlan([Fault(endpoint="getmsgclickdata", errcode=48001)])
    [match] = await look(box, journal)
    assert match.msg_id is None
    assert "48001" in match.reason


async def test_nothing_is_lost_and_nothing_is_looked_for(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert await look(box, journal) == []
    assert box.calls["getmsgclickdata"] == 0


async def test_another_account_may_not_look(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await lost(channel, journal, ids(60), box)
    with pytest.raises(JournalError, match="wx0001"):
        await reconcile(journal, channel.with_account("wx0002", "x"))


async def test_a_message_that_fits_two_lost_groups_is_nobodys() -> None:
    assert pair({1: ("a",), 2: ("a",), 3: ("b",), 4: ("c", "d"), 5: ()}) == {3: "b"}
