"""What one process does of a campaign that others send too."""

from __future__ import annotations

from collections import deque

import anyio
import pytest
from campaign_parts import LIFE, POLLS, SENDS, asks, held_by_another, part, planned
from clocks import FakeClock
from journal_rows import record
from scripted_wechat import ScriptedWeChat

from promomsg import JournalError, Pace, UsageError
from promomsg.engine.joining import Part, PartDone, pace_of
from promomsg.journal.records import Control
from promomsg.model import Answer, Code, Delivery, Verdict

pytestmark = pytest.mark.asyncio


async def test_parts_share_a_campaign_and_nobody_is_sent_to_twice(auto_clock: FakeClock) -> None:
    journal = await planned(400, auto_clock)
    found: list[tuple[PartDone, list[str]]] = []

    async def one() -> None:
        channel = ScriptedWeChat(auto_clock)
        channel.before_single = lambda: auto_clock.sleep(0.05)
        found.append(await part(journal, auto_clock, channel=channel, concurrency=4))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
    reached = [people for _, people in found]
    assert all(reached)
    assert sorted(reached[0] + reached[1], key=int) == [str(n) for n in range(400)]
    assert [done.calls for done, _ in found] == [len(people) for people in reached]
    assert found[-1][0].state == "done"


async def test_what_others_hold_is_not_waited_for(auto_clock: FakeClock) -> None:
    """Another one sends it; when that ends is not this process's to find out."""
    journal = await planned(8, auto_clock)
    await held_by_another(journal, auto_clock)
    began = auto_clock.monotonic()
    done, reached = await part(journal, auto_clock)
    assert reached == []
    assert (done.state, done.work_left, done.calls) == ("sending", True, 0)
    assert auto_clock.monotonic() - began < 1


async def test_a_lease_of_another_goes_over_once_it_has_run_out(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await held_by_another(journal, auto_clock)
    await auto_clock.sleep(LIFE + 1)
    done, reached = await part(journal, auto_clock)
    assert (done.state, len(reached)) == ("done", 8)


@pytest.mark.parametrize("what", [SENDS, Part(singles=True), POLLS])
async def test_a_halted_campaign_is_left_alone(what: Part, auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await (await journal.open()).halt("48001", "no right to send")
    done, reached = await part(journal, auto_clock, what)
    assert reached == []
    assert (done.state, done.halted, done.work_left) == ("halted", "48001: no right to send", True)
    assert (await (await journal.open()).control()).halted is not None


async def test_a_paused_campaign_stays_paused(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await asks(journal, Control.PAUSE)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.work_left, reached) == ("paused", True, [])
    assert (await (await journal.open()).control()).requested is Control.PAUSE


async def test_a_campaign_that_waits_for_the_day_is_left_until_then(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    until = auto_clock.time() + 3600
    await (await journal.open()).park(until)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.parked_until, reached) == ("waiting", until, [])
    await auto_clock.sleep(3601)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.parked_until, len(reached)) == ("done", None, 8)


async def test_who_is_pending_is_cancelled_when_that_is_asked_for(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await asks(journal, Control.CANCEL)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.work_left, reached) == ("cancelled", False, [])


async def test_what_stops_one_stops_the_others(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    channel = ScriptedWeChat(auto_clock)
    channel.single_answers.append(Answer(Verdict.HALT, "48001", "no right to send"))
    done, _ = await part(journal, auto_clock, channel=channel, concurrency=1)
    assert (done.state, done.halted) == ("halted", "48001: no right to send")
    done, reached = await part(journal, auto_clock)
    assert (done.state, reached) == ("halted", [])


async def test_a_used_up_day_is_waited_out_by_nobody_and_known_to_all(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(8, auto_clock, on_daily_quota="wait")
    channel = ScriptedWeChat(auto_clock)
    channel.single_answers.append(Answer(Verdict.HALT, "45009", "the day is used up"))
    began = auto_clock.monotonic()
    done, _ = await part(journal, auto_clock, channel=channel, concurrency=1)
    assert (done.state, done.halted) == ("waiting", None)
    assert done.parked_until is not None
    assert done.parked_until > auto_clock.time()
    assert auto_clock.monotonic() - began < 60
    done, reached = await part(journal, auto_clock)
    assert (done.state, reached) == ("waiting", [])


async def test_groups_are_sent_by_one_and_polled_by_another(auto_clock: FakeClock) -> None:
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    done, _ = await part(journal, auto_clock, channel=channel)
    assert (done.state, done.calls, done.work_left) == ("following", 1, False)
    assert done.next_poll_at is not None
    wait = done.next_poll_at - auto_clock.time()
    assert wait > 0

    early, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert (early.state, early.next_poll_at) == ("following", done.next_poll_at)

    await auto_clock.sleep(wait)
    late, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert (late.state, late.next_poll_at, late.calls) == ("done", None, 0)


async def test_a_poll_that_does_not_end_a_group_says_when_the_next_one_is_due(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    half = Delivery("m1", percent=50, send_cnt=30, fail_cnt=0)
    channel.looks["m1"] = deque([half])
    done, _ = await part(journal, auto_clock, channel=channel)
    assert done.next_poll_at is not None
    await auto_clock.sleep(done.next_poll_at - auto_clock.time())
    began = auto_clock.monotonic()
    polled, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert polled.state == "following"
    assert polled.next_poll_at is not None
    assert polled.next_poll_at > done.next_poll_at
    assert auto_clock.monotonic() - began < 1


async def test_a_paused_campaign_is_polled_and_a_halted_one_is_not(auto_clock: FakeClock) -> None:
    for stopped in (False, True):
        journal = await planned(60, auto_clock, group=True)
        channel = ScriptedWeChat(auto_clock)
        await part(journal, auto_clock, channel=channel)
        await auto_clock.sleep(3600)
        if stopped:
            await (await journal.open()).halt("48001", "no right to send")
        else:
            await asks(journal, Control.PAUSE)
        done, _ = await part(journal, auto_clock, POLLS, channel=channel)
        assert done.state == ("halted" if stopped else "done")


async def test_polls_alone_send_nothing(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    done, reached = await part(journal, auto_clock, POLLS)
    assert (done.state, done.work_left, reached) == ("sending", True, [])


async def test_groups_alone_are_sent_though_singles_are_left(auto_clock: FakeClock) -> None:
    """And an outage's probe need not wait for singles that this part does not send."""
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    channel.group_answers.extend(Answer(Verdict.RETRY, Code.NOT_SENT) for _ in range(3))
    done, reached = await part(journal, auto_clock, Part(groups=True), channel=channel)
    assert (done.state, len(reached)) == ("following", 60)


async def test_concurrency_is_this_processs_own(auto_clock: FakeClock) -> None:
    journal = await planned(40, auto_clock, concurrency=20)
    channel = ScriptedWeChat(auto_clock)
    at_once = [0, 0]

    async def call() -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await auto_clock.sleep(1)
        at_once[0] -= 1

    channel.before_single = call
    await part(journal, auto_clock, channel=channel, concurrency=3)
    assert at_once == [0, 3]


async def test_another_account_sends_nothing_of_it(auto_clock: FakeClock) -> None:
    """Not even when nobody was sent to yet: that the account was wrong is a person's to say."""
    journal = await planned(8, auto_clock)
    store = journal._store
    assert store is not None
    store.record.account = "wx0002"
    with pytest.raises(JournalError, match="of the account wx0002"):
        await part(journal, auto_clock)


async def test_user_tokens_are_needed_where_recipients_have_them(
    auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedWeChat, "needs_tokens", True)
    journal = await planned(8, auto_clock)
    with pytest.raises(UsageError, match="user tokens are not kept in the journal"):
        await part(journal, auto_clock)


async def test_the_campaigns_pace_is_for_a_channel_that_has_none(auto_clock: FakeClock) -> None:
    kept = {"singles_per_second": 4.0, "groups_per_minute": 3.0}
    journal = await planned(8, auto_clock, pace=kept)
    store = journal._store
    assert store is not None
    assert pace_of(store.record) == Pace(singles_per_second=4.0, groups_per_minute=3.0)
    asked: list[bool] = []

    class Asked(ScriptedWeChat):
        async def advise(self) -> None:
            asked.append(True)

    channel = Asked(auto_clock, Pace())
    await part(journal, auto_clock, channel=channel)
    assert (channel.pacer.pace.singles_per_second, asked) == (4.0, [])

    own = Asked(auto_clock, Pace(singles_per_second=9.0))
    await part(await planned(8, auto_clock, pace=kept), auto_clock, channel=own)
    assert own.pacer.pace.singles_per_second == 9.0

    of_an_earlier_version = Asked(auto_clock, Pace())
    await part(await planned(8, auto_clock), auto_clock, channel=of_an_earlier_version)
    assert (of_an_earlier_version.pacer.pace.singles_per_second, asked) == (50.0, [True])


async def test_a_pace_that_nobody_wrote_is_refused(clock: FakeClock) -> None:
    with pytest.raises(JournalError, match="its pace cannot be read back"):
        pace_of(record(settings={"pace": {"singles_per_second": "quick"}}))
    with pytest.raises(JournalError, match="its pace cannot be read back"):
        pace_of(record(settings={"pace": {"singles_per_second": -1.0}}))
