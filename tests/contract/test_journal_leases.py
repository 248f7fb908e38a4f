"""Leases in a journal that several senders share: by its own clock, with an end for what is left, and
with results that come late."""

from __future__ import annotations

import pytest
from journal_rows import (
    DAY,
    NOW,
    Make,
    adds_up,
    everybody,
    nothing_to_take,
    pass_time,
    result,
    row,
    sealed,
    states,
    stream,
    take,
)

from promomsg.journal.contract import Handle
from promomsg.journal.records import Control, GroupCounts, Lease, Reason, SendResult
from promomsg.model import Code, State
from promomsg.states import GroupState, IllegalMove

pytestmark = pytest.mark.asyncio


async def frozen(
    make: Make, *, idempotent: bool = False, count: int = 4
) -> tuple[Handle, Lease, Lease | None]:
    """A sender had the first two of a chunk out when it froze for longer than its lease lives; the
    chunk as another one took it over."""
    handle = await sealed(make(), [row(seq) for seq in range(count)])
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW + 1, DAY)
    await pass_time(handle, handle.lease_life + 1)
    taken = await handle.take(groups=False, singles=True, idempotent=idempotent)
    return handle, lease, taken


def late(seq: int, state: str = "sent", **changes: object) -> SendResult:
    return result(seq, state, intended_at=NOW + 1, **changes)


async def test_nothing_is_left_once_all_is_given_back(make: Make) -> None:
    journal = make()
    assert not journal.exists()
    handle = await sealed(journal, [row(0), row(1)])
    assert journal.exists()
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW, DAY)
    assert await handle.settle(lease, [result(0), result(1)])
    await handle.release(lease)
    assert not await handle.is_work_left(groups=True, singles=True)
    await handle.close()
    assert journal.exists()


async def test_whoever_takes_a_chunk_over_ends_what_its_holder_left_out(make: Make) -> None:
    handle, old, new = await frozen(make)
    assert new is not None
    assert [one.seq for one in new.single_sends] == [2, 3]
    assert new.epoch == old.epoch + 1
    first = (await everybody(handle))[0]
    assert (first.state, first.code, first.attempts) == (State.UNKNOWN, Code.INTERRUPTED, 1)
    assert first.at == NOW + 1
    assert await states(handle) == "uupp"
    assert [outcome.recipient.key for outcome in await stream(handle)] == ["k0", "k1"]
    assert (await handle.counts()).by_code == {"INTERRUPTED": 2}
    assert not await handle.intend(old, [2], NOW + 200, DAY)
    assert await handle.intend(new, [2], NOW + 200, DAY)
    await handle.close()


async def test_an_idempotent_channel_asks_for_them_again(make: Make) -> None:
    handle, _, new = await frozen(make, idempotent=True)
    assert new is not None
    assert [(one.seq, one.maybe_sent, one.attempts) for one in new.single_sends] == [
        (0, True, 1),
        (1, True, 1),
        (2, False, 0),
        (3, False, 0),
    ]
    assert await states(handle) == "pppp"
    assert (await everybody(handle))[0].code == Code.INTERRUPTED
    assert await stream(handle) == []
    await handle.close()


async def test_a_chunk_of_which_nothing_is_left_is_done(make: Make) -> None:
    handle, old, new = await frozen(make, count=2)
    assert new is None
    assert await states(handle) == "uu"
    assert await handle.renew([old]) == frozenset()
    assert not await handle.settle(old, [result(0)])
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_group_that_was_out_is_lost_and_the_next_one_is_handed_out(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[2, 2])
    first, second = await take(handle, groups=True), await take(handle, groups=True)
    assert await handle.intend_group(first, NOW)
    await pass_time(handle, handle.lease_life + 1)
    again = await take(handle, groups=True)
    assert again.group_no == second.group_no
    assert await states(handle) == "uupp"
    [lost, planned] = await handle.groups()
    assert (lost.state, lost.code, planned.state) == (
        GroupState.UNKNOWN,
        Code.INTERRUPTED,
        GroupState.PLANNED,
    )
    assert not await handle.accept_group(first, "m1", None, NOW + 5, NOW + 9)
    assert not await handle.intend_group(second, NOW + 200)
    assert await handle.intend_group(again, NOW + 200)
    await handle.close()


async def test_a_lease_that_has_run_out_intends_nobody_until_it_is_renewed(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[2], chunk_size=8)
    group, lease = await take(handle, groups=True), await take(handle)
    assert await handle.intend(lease, [2], NOW, DAY)
    await pass_time(handle, handle.lease_life + 1)
    assert not await handle.intend(lease, [3], NOW + 200, DAY)
    assert not await handle.intend_group(group, NOW + 200)
    assert await states(handle) == "ppip"
    assert await handle.settle(lease, [result(2)])
    assert await handle.renew([group, lease]) == {group.chunk_no, lease.chunk_no}
    assert await handle.intend(lease, [3], NOW + 201, DAY)
    assert await handle.intend_group(group, NOW + 201)
    await handle.close()


async def test_all_leases_are_renewed_in_one_step_and_those_that_moved_on_are_named(
    make: Make,
) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(12)], chunk_size=4)
    leases = [await take(handle) for _ in range(3)]
    await pass_time(handle, 0.9 * handle.lease_life)
    assert await handle.renew(leases[:2]) == {lease.chunk_no for lease in leases[:2]}
    await pass_time(handle, 0.9 * handle.lease_life)
    newer = await take(handle)
    assert newer.chunk_no == leases[2].chunk_no
    assert await handle.renew(leases) == {lease.chunk_no for lease in leases[:2]}
    assert await handle.renew([newer]) == {newer.chunk_no}
    assert await handle.renew([]) == frozenset()
    assert await nothing_to_take(handle)
    await handle.close()


async def test_a_lease_that_was_given_back_is_not_renewed(make: Make) -> None:
    """A renewal that was on its way when the lease was given back would keep the chunk from everybody
    for as long as a lease lives."""
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[2], chunk_size=8)
    group, lease = await take(handle, groups=True), await take(handle)
    await handle.release(group)
    await handle.release(lease)
    assert await handle.renew([group, lease]) == frozenset()
    assert not await handle.intend(lease, [2], NOW, DAY)
    assert (await take(handle, groups=True)).chunk_no == group.chunk_no
    assert (await take(handle)).chunk_no == lease.chunk_no
    await handle.close()


async def test_what_is_out_keeps_its_chunk_from_being_given_back(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(2)], groups=[1])
    group, lease = await take(handle, groups=True), await take(handle)
    assert await handle.intend_group(group, NOW)
    assert await handle.intend(lease, [1], NOW, DAY)
    await handle.release(group)
    await handle.release(lease)
    assert await nothing_to_take(handle)
    assert await handle.return_group(group, Reason("-1", "busy"))
    assert await handle.settle(lease, [result(1, "pending")])
    await handle.release(group)
    await handle.release(lease)
    assert (await take(handle, groups=True)).chunk_no == group.chunk_no
    assert (await take(handle)).chunk_no == lease.chunk_no
    await handle.close()


async def test_an_intent_whose_answer_was_lost_is_written_once(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(6)], chunk_size=6)
    lease = await take(handle)
    assert await handle.intend(lease, [0, 2], NOW + 1, DAY)
    assert await handle.intend(lease, [0, 2], NOW + 1, DAY)
    await journal.request(Control.PAUSE)
    assert await handle.intend(lease, [0, 2], NOW + 1, DAY)  # it was intended before the pause
    await pass_time(handle, handle.lease_life + 1)
    assert await handle.intend(lease, [0, 2], NOW + 1, DAY)
    await handle.set_control(Control.RUN)
    await handle.renew([lease])
    with pytest.raises(IllegalMove):
        await handle.intend(lease, [0, 2], NOW + 2, DAY)
    assert [outcome.attempts for outcome in await everybody(handle)] == [1, 0, 1, 0, 0, 0]
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert (found.singles_today, found.recent) == (2, (NOW + 1, NOW + 1))
    await handle.close()


async def test_a_result_whose_answer_was_lost_is_written_once(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], chunk_size=4)
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1, 2, 3], NOW + 1, DAY)
    results = [
        result(0, at=NOW + 2),
        result(1, "failed", code="40003", at=NOW + 3),
        result(2, "pending", code="-1", at=NOW + 3),
        result(3, "pending", at=NOW + 3, called=False),
    ]
    before = None
    for _ in range(3):
        assert await handle.settle(lease, results)
        now = (await everybody(handle), await handle.counts(), await stream(handle))
        assert before in (None, now)
        before = now
    assert await states(handle) == "sfpp"
    assert [outcome.attempts for outcome in await everybody(handle)] == [1, 1, 1, 0]
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert found.singles_today == 3
    await handle.close()


async def test_a_group_call_whose_answer_was_lost_is_written_once(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(4)], groups=[1, 1, 1, 1])
    ends = [
        lambda lease: handle.accept_group(lease, "m1", "rid", NOW + 2, NOW + 60),
        lambda lease: handle.return_group(lease, Reason("-1", "busy"), False),
        lambda lease: handle.refuse_group(lease, Reason("40003", "no"), NOW + 2, everybody=False),
        lambda lease: handle.lose_group(lease, Reason(Code.NO_ANSWER, "reset"), NOW + 2),
    ]
    for end in ends:
        lease = await take(handle, groups=True)
        for call in (lambda lease: handle.intend_group(lease, NOW + 1), end):
            before = None
            for _ in range(2):
                assert await call(lease)
                now = (await handle.groups(), await handle.counts(), await stream(handle))
                assert before in (None, now)
                before = now
    assert [group.attempts for group in await handle.groups()] == [1, 0, 1, 1]
    await handle.close()


async def test_a_late_result_corrects_who_was_taken_for_lost(make: Make) -> None:
    handle, old, _ = await frozen(make)
    seen = await stream(handle)
    _, cursor = await handle.outcomes(limit=9)
    _, cursor = await handle.outcomes(after=cursor, limit=9)
    results = [late(0, at=NOW + 300, extra="m1"), late(1, "failed", code="40003", detail="no")]
    assert not await handle.settle(old, results)
    assert await states(handle) == "sfpp"
    first, second, *_ = await everybody(handle)
    assert (first.code, first.detail, first.at, first.extra) == ("", "", NOW + 300, "m1")
    assert (second.code, second.detail, second.attempts) == ("40003", "no", 1)
    counts = await handle.counts()
    assert adds_up(counts)
    assert (counts.sent, counts.failed, counts.unknown, counts.pending) == (1, 1, 0, 2)
    assert counts.by_code == {"40003": 1}
    # Whoever has read that they are unknown reads what they came to; whoever reads now reads it once.
    assert [outcome.state for outcome in seen] == [State.UNKNOWN, State.UNKNOWN]
    again, _ = await handle.outcomes(after=cursor, limit=9)
    assert [outcome.state for outcome in again] == [State.SENT, State.FAILED]
    assert await stream(handle) == again
    # Once.
    assert not await handle.settle(old, [late(0, "failed", code="9")])
    assert await states(handle) == "sfpp"
    await handle.close()


@pytest.mark.parametrize("state", ["pending", "unknown"])
async def test_a_late_result_that_is_none_corrects_nobody(make: Make, state: str) -> None:
    handle, old, _ = await frozen(make)
    assert not await handle.settle(old, [late(0, state, code="-1")])
    assert await states(handle) == "uupp"
    assert (await everybody(handle))[0].code == Code.INTERRUPTED
    await handle.close()


async def test_a_late_result_of_another_attempt_corrects_nobody(make: Make) -> None:
    handle, old, _ = await frozen(make)
    assert not await handle.settle(old, [result(0)])
    assert not await handle.settle(old, [result(0, intended_at=NOW + 2)])
    assert not await handle.settle(old, [late(2)])  # pending, and nobody's
    assert await states(handle) == "uupp"
    await handle.close()


async def test_a_late_result_changes_nobody_whom_the_user_has_asked_for_again(make: Make) -> None:
    handle, old, new = await frozen(make)
    assert new is not None
    await handle.release(new)
    assert await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW + 300) == 2
    assert not await handle.settle(old, [late(0)])
    await handle.seal_retry(chunk_size=8)
    assert not await handle.settle(old, [late(0)])
    assert await states(handle) == "pppp"
    again = await take(handle)
    assert await handle.intend(again, [0], NOW + 400, DAY)
    assert not await handle.settle(old, [late(0)])
    assert await states(handle) == "ippp"
    await handle.close()


async def test_a_late_result_changes_nobody_on_an_idempotent_channel(make: Make) -> None:
    handle, old, _ = await frozen(make, idempotent=True)
    assert not await handle.settle(old, [late(0)])
    assert await states(handle) == "pppp"
    assert await handle.cancel_pending(NOW + 300) == 4
    assert not await handle.settle(old, [late(0)])
    assert await states(handle) == "uuCC"
    await handle.close()


async def test_a_halt_and_a_park_are_read_with_the_control_row(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0), row(1)])
    row_ = await handle.control()
    assert (row_.requested, row_.halted, row_.parked_until) == (Control.RUN, None, None)
    await handle.halt("45009", "used up")
    await handle.halt("40001", "a later one")
    await handle.park(NOW + 3_600)
    await journal.request(Control.PAUSE)
    row_ = await handle.control()
    assert (row_.requested, row_.halted) == (Control.PAUSE, "45009: used up")
    assert row_.parked_until == NOW + 3_600
    assert handle.record.halted == "45009: used up"
    await handle.close()
    handle = await journal.open(write=True)
    assert handle.record.halted == "45009: used up"
    await handle.resume(NOW + 9)
    row_ = await handle.control()
    assert (row_.requested, row_.halted, row_.parked_until) == (Control.PAUSE, None, None)
    assert handle.record.halted is None
    await handle.close()


async def test_two_who_poll_one_group_count_each_poll_once_and_end_it_once(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(2)], groups=[2])
    lease = await take(handle, groups=True)
    counts = GroupCounts(100, 2, 1)
    assert not await handle.poll_group(1, counts, NOW)
    with pytest.raises(IllegalMove):
        await handle.expire_group(1, NOW)
    with pytest.raises(IllegalMove):
        await handle.complete_group(1, counts, failures=(), unnamed=0, at=NOW)
    assert await handle.intend_group(lease, NOW)
    assert await handle.accept_group(lease, "m1", "rid", NOW + 1, NOW + 60)
    one = two = (await handle.groups())[0]
    assert (one.followed_since, one.polls_at_100, one.given_up) == (NOW + 1, 0, False)
    assert await handle.poll_group(1, counts, NOW + 90, polls=one.polls, at_100=True)
    assert not await handle.poll_group(1, counts, NOW + 95, polls=two.polls, at_100=True)
    [now] = await handle.groups()
    assert (now.polls, now.polls_at_100, now.next_poll_at) == (1, 1, NOW + 90)
    assert await handle.poll_group(1, counts, NOW + 99, polls=now.polls, warned_of_age=True)
    assert await handle.poll_group(1, counts, NOW + 120, given_up=True)
    [now] = await handle.groups()
    assert (now.polls_at_100, now.warned_of_age, now.given_up) == (1, True, True)
    await handle.resume(NOW + 200)
    [now] = await handle.groups()
    assert (now.polls_at_100, now.given_up, now.followed_since) == (1, False, NOW + 200)
    ends = [
        await handle.complete_group(
            1, counts, failures=(), unnamed=1, at=NOW + 300, warnings=[f"by {who}"]
        )
        for who in ("one", "two")
    ]
    assert ends == [[], None]
    assert handle.record.warnings == ["by one"]
    assert not await handle.expire_group(1, NOW + 300)
    assert await states(handle) == "uu"
    assert len(await stream(handle)) == 2
    await handle.close()


async def test_a_journal_says_whether_it_is_being_sent_and_where_it_stands(make: Make) -> None:
    journal = make()
    assert not journal.is_being_sent()
    handle = await sealed(journal, [row(seq) for seq in range(3)])
    view = journal.reader()
    lease = await take(handle)
    assert journal.is_being_sent()
    assert view.standing().running
    assert await handle.intend(lease, [0, 1], NOW + 1, DAY)
    assert await handle.settle(lease, [result(0)])
    standing = view.standing()
    assert (standing.counts.sent, standing.counts.pending, standing.in_doubt) == (1, 2, None)
    assert [outcome.recipient.key for outcome in view.rows([State.SENT])] == ["k0"]
    assert (view.record.name, view.control()) == ("autumn", Control.RUN)
    assert view.elapsed() == 2.0
    assert await handle.settle(lease, [result(1, "pending", called=False)])
    await handle.release(lease)
    await handle.close()
    assert not journal.is_being_sent()
    assert not view.standing().running
    view.close()
