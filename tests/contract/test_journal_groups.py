"""Group sends in a journal: one row says where a group stands, its members move together."""

from __future__ import annotations

from typing import Any

import pytest
from journal_rows import (
    DAY,
    NOW,
    Make,
    adds_up,
    everybody,
    nothing_to_take,
    record,
    row,
    sealed,
    states,
    stream,
    take,
)

from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.records import Control, GroupCounts, Reason
from promomsg.model import Code, Failure, State
from promomsg.states import GroupState, IllegalMove

pytestmark = pytest.mark.asyncio


async def audience(make: Make, planned: int) -> Handle:
    handle = await make().create(record())
    await handle.add_audience_group({"everyone": True}, planned)
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    return handle


async def accepted(handle: Handle, msg_id: str = "m1") -> None:
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW + 1)
    assert await handle.accept_group(lease, msg_id, "rid1", NOW + 2, NOW + 62)
    await handle.release(lease)


async def complete(handle: Handle, group_no: int = 1, **changes: Any) -> list[str]:
    fields: dict[str, Any] = {
        "percent": 100,
        "send_cnt": 4,
        "fail_cnt": 0,
        "failures": [],
        "unnamed": 0,
        "at": NOW + 99,
    }
    fields |= changes
    counts = GroupCounts(*(fields.pop(name) for name in GroupCounts._fields))
    return await handle.complete_group(group_no, counts, **fields)


async def test_a_group_is_sent_polled_and_merged(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[4])
    await accepted(handle)
    assert await states(handle) == "pppp"
    assert await nothing_to_take(handle, at=NOW + 999)
    [due] = await handle.groups()
    assert due.next_poll_at == NOW + 62
    assert (due.state, due.msg_id, due.attempts, due.sent_at) == (
        GroupState.ACCEPTED,
        "m1",
        1,
        NOW + 2,
    )
    await handle.poll_group(1, GroupCounts(40, 2, 0), next_poll_at=NOW + 120)
    [polled] = await handle.groups()
    assert await handle.group(polled.group_no) == polled
    with pytest.raises(JournalError, match="no group 9"):
        await handle.group(9)
    assert (polled.percent, polled.polls, polled.next_poll_at) == (40, 1, NOW + 120)
    failures = [Failure("1002", "7"), Failure("1002", "8"), Failure("77", "9")]
    [warning] = await complete(handle, failures=failures, fail_cnt=2, warnings=["a note"])
    assert "1 of the 2 named failures" in warning
    assert await states(handle) == "ssfs"
    third = (await everybody(handle))[2]
    assert (third.code, third.group, third.attempts, third.at) == ("7", "m1", 1, NOW + 99)
    [done] = await handle.groups()
    assert (done.state, done.percent, done.fail_cnt, done.next_poll_at) == (
        GroupState.DONE,
        100,
        2,
        None,
    )
    assert handle.record.warnings == ["a note", warning]
    assert len(await stream(handle)) == 4
    assert adds_up(await handle.counts())
    assert await complete(handle) is None
    assert not await handle.poll_group(1, GroupCounts(1, 1, 1), next_poll_at=NOW)
    assert (await handle.groups())[0].percent == 100
    await handle.close()


async def test_failures_without_names_leave_the_others_unknown(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[4])
    await accepted(handle)
    assert await complete(handle, failures=[Failure("1001", "7")], fail_cnt=2, unnamed=1) == []
    assert await states(handle) == "ufuu"
    assert (await handle.counts()).by_code == {"7": 1, "UNNAMED": 3}
    assert await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW) == 0
    assert await handle.reopen(State.UNKNOWN, include_unnamed=True, at=NOW) == 3
    assert await handle.shared_messages(3) == [(None, 3, 0)]
    await handle.make_groups(None, [3])
    await handle.seal_retry(chunk_size=8)
    lease = await take(handle, groups=True)
    assert lease.group_no == 2
    assert await handle.group_members(2) == ["1000", "1002", "1003"]
    assert await handle.cancel_pending(NOW) == 3
    assert await states(handle) == "ufuu"
    await handle.close()


async def test_a_group_that_was_not_sent_is_planned_again(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(2)], groups=[2])
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    with pytest.raises(IllegalMove):
        await handle.intend_group(lease, NOW + 1)
    assert await handle.return_group(lease, Reason("-1", "system busy"))
    assert await handle.intend_group(lease, NOW)
    assert await handle.return_group(lease, Reason(), False)
    [group] = await handle.groups()
    assert (group.state, group.attempts) == (GroupState.PLANNED, 1)
    await handle.set_control(Control.PAUSE)
    assert not await handle.intend_group(lease, NOW)
    await handle.set_control(Control.RUN)
    await handle.release(lease)
    new = await take(handle, groups=True)
    for call in (
        handle.intend_group(lease, NOW),
        handle.accept_group(lease, "m", None, NOW, NOW),
        handle.return_group(lease, Reason()),
        handle.refuse_group(lease, Reason("1"), NOW),
        handle.lose_group(lease, Reason("1"), NOW),
    ):
        assert not await call
    assert await handle.intend_group(new, NOW)
    await handle.close()


async def test_a_refused_group_takes_everybody_with_that_message_along(make: Make) -> None:
    rows = [row(seq) for seq in range(6)]
    rows[5] = rows[5]._replace(id=None, openid="o5")
    handle = await sealed(make(), rows, groups=[3, 2])
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    assert await handle.refuse_group(lease, Reason("47003", "argument invalid", "r"), NOW + 1)
    assert await states(handle) == "ffffff"
    assert [group.state for group in await handle.groups()] == [GroupState.REFUSED] * 2
    assert [o.attempts for o in await everybody(handle)] == [1, 1, 1, 0, 0, 0]
    assert (await handle.counts()).by_code == {"47003": 6}
    await handle.release(lease)
    assert await nothing_to_take(handle)
    await handle.close()


async def test_a_lost_group_is_unknown_until_it_is_adopted(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(3)], groups=[3])
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    assert await handle.lose_group(lease, Reason(Code.NO_ANSWER, "reset"), NOW + 1)
    assert await states(handle) == "uuu"
    assert (await everybody(handle))[0].group == "1"
    await handle.adopt_group(1, "m7", NOW + 2, NOW + 3)
    assert await states(handle) == "ppp"
    assert await stream(handle) == []
    assert [(g.state, g.next_poll_at) for g in await handle.groups()] == [
        (GroupState.ACCEPTED, NOW + 3)
    ]
    assert await complete(handle) == []
    assert [(o.attempts, o.group) for o in await everybody(handle)] == [(1, "m7")] * 3
    assert len(await stream(handle)) == 3
    with pytest.raises(IllegalMove):
        await handle.adopt_group(1, "m8", NOW, NOW)
    with pytest.raises(JournalError):
        await handle.adopt_group(2, "m8", NOW, NOW)
    await handle.close()


async def test_a_result_that_came_too_late_is_unknown(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(2)], groups=[2])
    await accepted(handle)
    await handle.expire_group(1, NOW + 700_000)
    assert (await handle.counts()).by_code == {"EXPIRED": 2}
    assert (await handle.groups())[0].state is GroupState.EXPIRED
    assert await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW) == 2
    await handle.close()


async def test_a_group_left_intended_is_lost_and_an_accepted_one_is_polled_on(
    make: Make,
) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(4)], groups=[2, 2])
    await accepted(handle)
    assert await handle.intend_group(await take(handle, groups=True), NOW)
    await handle.close()
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert (found.unknown, found.lost_groups) == (0, 1)
    assert await states(handle) == "ppuu"
    assert (await handle.counts()).by_code == {"INTERRUPTED": 2}
    accepted_ones = [g for g in await handle.groups() if g.state is GroupState.ACCEPTED]
    assert [(g.group_no, g.next_poll_at) for g in accepted_ones] == [(1, NOW + 62)]
    await handle.close()


async def test_cancelling_leaves_what_is_out_to_be_followed(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(5)], groups=[2, 2])
    await accepted(handle)
    assert await handle.cancel_pending(NOW + 9) == 3
    assert await states(handle) == "ppCCC"
    assert [g.state for g in await handle.groups()] == [GroupState.ACCEPTED, GroupState.CANCELLED]
    await complete(handle)
    assert await states(handle) == "ssCCC"
    await handle.close()


async def test_an_audience_is_counted_and_corrected(make: Make) -> None:
    handle = await audience(make, 70)
    assert (await handle.counts()).pending == 70
    await accepted(handle)
    assert await handle.group_members(1) == []
    failures = [Failure("8", "7"), Failure("9", "7")]
    [warning] = await complete(handle, send_cnt=75, fail_cnt=5, failures=failures, unnamed=3)
    assert "planned for 70" in warning
    assert "75" in warning
    counts = await handle.counts()
    assert adds_up(counts)
    assert (counts.planned, counts.sent, counts.failed) == (75, 70, 5)
    assert counts.by_code == {"7": 2, "UNNAMED": 3}
    assert [(o.recipient.id, o.state, o.group) for o in await everybody(handle)] == [
        ("8", State.FAILED, "m1"),
        ("9", State.FAILED, "m1"),
    ]
    assert len(await stream(handle)) == 2
    # Only those who were named can be tried again: the others would mean everybody.
    assert await handle.reopen(State.FAILED, include_unnamed=True, at=NOW) == 2
    assert adds_up(await handle.counts())
    await handle.close()


@pytest.mark.parametrize("end", ["lose", "refuse"])
async def test_an_audience_whose_call_was_lost_or_refused_can_be_tried_again(
    make: Make, end: str
) -> None:
    handle = await audience(make, 70)
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    if end == "lose":
        assert await handle.lose_group(lease, Reason(Code.NO_ANSWER), NOW)
        state = State.UNKNOWN
    else:
        assert await handle.refuse_group(lease, Reason("47003"), NOW)
        state = State.FAILED
    counts = await handle.counts()
    assert getattr(counts, state) == 70
    assert await handle.reopen(state, include_unnamed=False, at=NOW) == 70
    await handle.seal_retry(chunk_size=8)
    assert (await take(handle, groups=True)).group_no == 2
    assert [group.audience for group in await handle.groups()] == [{"everyone": True}] * 2
    counts = await handle.counts()
    assert (counts.planned, counts.pending) == (70, 70)
    await handle.close()


async def test_an_adopted_audience_is_pending_again_and_a_cancelled_one_is_not(
    make: Make,
) -> None:
    handle = await audience(make, 70)
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    assert await handle.lose_group(lease, Reason(Code.NO_ANSWER), NOW)
    await handle.adopt_group(1, "m2", NOW, NOW)
    assert (await handle.counts()).pending == 70
    await complete(handle, send_cnt=None, fail_cnt=None)
    assert (await handle.counts()).sent == 70
    await handle.close()
    handle = await audience(make, 60)
    assert await handle.cancel_pending(NOW) == 60
    assert (await handle.counts()).by_code == {"CANCELLED": 60}
    await handle.close()
