"""Single sends in a journal: leases, intents, results, recovery, the user's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_rows import (
    DAY,
    NOW,
    Make,
    adds_up,
    bad_row,
    everybody,
    maker,
    nothing_to_take,
    pass_time,
    record,
    result,
    row,
    sealed,
    states,
    stream,
    suppress_pending,
    take,
)

from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.records import Control, Outage, Reason
from promomsg.model import Code, State
from promomsg.states import IllegalMove

pytestmark = pytest.mark.asyncio


async def settled(handle: Handle, *ends: str, code: str = "") -> None:
    """Sends the next chunk: its recipients end in these states."""
    lease = await take(handle)
    seqs = [single_send.seq for single_send in lease.single_sends][: len(ends)]
    assert await handle.intend(lease, seqs, NOW + 1, DAY)
    results = [
        result(seq, end, code="" if end == "sent" else code)
        for seq, end in zip(seqs, ends, strict=True)
    ]
    assert await handle.settle(lease, results)
    await handle.release(lease)


async def test_a_chunk_is_leased_intended_and_settled(make: Make) -> None:
    handle = await sealed(make(), [row(seq, word="red") for seq in range(5)], chunk_size=3)
    lease = await take(handle)
    assert [single_send.seq for single_send in lease.single_sends] == [0, 1, 2]
    assert (lease.epoch, lease.group_no) == (1, None)
    assert lease.single_sends[0].values == ("red",)
    assert lease.single_sends[0].id == "1000"
    assert await handle.intend(lease, [0, 2], NOW + 1, DAY)
    assert await states(handle) == "ipipp"
    assert (await handle.counts()).pending == 5
    done = [
        result(2, at=NOW + 3, extra="m1"),
        result(0, "failed", code="40003", detail="invalid openid", rid="r1"),
    ]
    assert await handle.settle(lease, done)
    first, _, third, *_ = await everybody(handle)
    assert (first.code, first.detail, first.rid) == ("40003", "invalid openid", "r1")
    assert (first.attempts, first.at) == (1, NOW + 2)
    assert (third.state, third.at, third.extra) == (State.SENT, NOW + 3, "m1")
    counts = await handle.counts()
    assert adds_up(counts)
    assert (counts.sent, counts.failed, counts.pending) == (1, 1, 3)
    assert counts.by_code == {"40003": 1}
    assert [outcome.recipient.key for outcome in await stream(handle)] == ["k2", "k0"]
    await handle.close()


@pytest.mark.parametrize("end", ["sent", "unknown", "failed", "pending", "doubt", "intended"])
async def test_a_journal_knows_whether_anybody_was_ever_reached(make: Make, end: str) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(3)])
    assert await handle.untouched()
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW + 1, DAY)
    if end != "intended":
        state = "pending" if end == "doubt" else end
        assert await handle.settle(lease, [result(0, state, code="x", maybe_sent=end == "doubt")])
    assert await handle.untouched() is (end in ("failed", "pending"))
    if end == "unknown":
        await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW + 3)
        assert not await handle.untouched()
    await handle.close()


async def test_what_returned_is_taken_again_and_a_lease_is_a_fence(make: Make) -> None:
    handle = await sealed(make(), [row(0), row(1)])
    old = await take(handle)
    assert await nothing_to_take(handle)
    assert await handle.intend(old, [0, 1], NOW, DAY)
    back = result(0, "pending", code=Code.NOT_SENT)
    assert await handle.settle(old, [back, result(1, "pending", called=False)])
    assert [outcome.attempts for outcome in await everybody(handle)] == [1, 0]
    await handle.release(old)
    new = await take(handle)
    assert new.epoch == 2
    assert [single_send.attempts for single_send in new.single_sends] == [1, 0]
    assert not await handle.intend(old, [0], NOW, DAY)
    assert await handle.renew([old]) == frozenset()
    await handle.release(old)
    assert await handle.intend(new, [0], NOW, DAY)
    assert not await handle.settle(old, [result(0)])
    assert await states(handle) == "ip"
    life = handle.lease_life
    await pass_time(handle, 0.8 * life)
    assert await handle.renew([new]) == {new.chunk_no}
    assert await nothing_to_take(handle, at=NOW + 1.7 * life)
    late = await take(handle, at=NOW + 1.9 * life)
    assert [single_send.seq for single_send in late.single_sends] == [1]
    await handle.close()


async def test_a_released_chunk_waits_for_what_is_still_out(make: Make) -> None:
    handle = await sealed(make(), [row(0), row(1)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    await handle.release(lease)
    assert await nothing_to_take(handle)
    assert await handle.settle(lease, [result(0)])
    await handle.release(lease)
    assert [single_send.seq for single_send in (await take(handle)).single_sends] == [1]
    await handle.close()


async def test_an_illegal_move_raises_and_changes_nothing(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(6)], chunk_size=3)
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    for seqs in ([0, 1], [1, 1], [1, 4], [1, 99]):
        with pytest.raises(IllegalMove):
            await handle.intend(lease, seqs, NOW + 1, DAY)
    for results in (
        [result(0), result(1)],
        [result(0), result(0)],
        [result(1)],
        [result(0, "skipped")],
        [result(4)],
    ):
        with pytest.raises(IllegalMove):
            await handle.settle(lease, results)
    assert await states(handle) == "ippppp"
    assert await handle.intend(lease, [], NOW, DAY)
    assert await handle.settle(lease, [])
    assert await handle.settle(lease, [result(0)])
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_pause_or_cancel_from_outside_stops_the_next_intent(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(3)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    await journal.request(Control.PAUSE)
    assert not await handle.intend(lease, [1, 2], NOW, DAY)
    assert (await handle.control()).requested is Control.PAUSE
    assert await handle.settle(lease, [result(0)])
    await handle.set_control(Control.RUN)
    assert await handle.intend(lease, [1], NOW, DAY)
    await journal.request(Control.CANCEL)
    assert not await handle.intend(lease, [2], NOW, DAY)
    assert await handle.cancel_pending(NOW + 5) == 1
    assert await states(handle) == "siC"
    assert await handle.settle(lease, [result(1)])
    assert (await handle.counts()).by_code == {"CANCELLED": 1}
    await handle.close()


async def test_cancelling_what_is_in_doubt_leaves_it_unknown(make: Make) -> None:
    handle = await sealed(make(), [row(0), row(1)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    assert await handle.settle(lease, [result(0, "pending", code=Code.NO_ANSWER, maybe_sent=True)])
    await handle.release(lease)
    assert [single_send.maybe_sent for single_send in (await take(handle)).single_sends] == [
        True,
        False,
    ]
    assert await handle.cancel_pending(NOW + 5) == 2
    assert await states(handle) == "uC"
    await handle.close()


async def test_a_refused_message_fails_everybody_else_who_would_get_it(make: Make) -> None:
    words = ["red", "red", "blue", "red", "blue"]
    handle = await sealed(make(), [row(seq, word=word) for seq, word in enumerate(words)])
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW, DAY)
    assert await handle.settle(lease, [result(0, "failed", code="47003")])
    assert await handle.refuse_message(0, Reason("47003", "argument invalid", "r9"), NOW + 3) == 1
    assert await states(handle) == "fipfp"
    assert not await handle.intend(lease, [2, 3], NOW, DAY)
    assert await handle.intend(lease, [2, 4], NOW, DAY)
    with pytest.raises(JournalError):
        await handle.refuse_message(77, Reason("47003"), NOW)
    assert (await everybody(handle))[3].rid == "r9"
    await handle.close()


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_new_process_finds_what_was_out(make: Make, idempotent: bool) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(6)], chunk_size=2)
    await settled(handle, "sent", "sent")
    lease = await take(handle)
    assert await handle.intend(lease, [2, 3], NOW + 9, DAY)
    await handle.close()

    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=idempotent, at=NOW + 50, day=DAY, recent=3)
    assert (found.unknown, found.again) == ((0, 2) if idempotent else (2, 0))
    assert found.recent == (NOW + 1, NOW + 9, NOW + 9)
    assert found.singles_today == 4
    assert not await handle.settle(lease, [result(2)])
    assert await states(handle) == ("sspppp" if idempotent else "ssuupp")
    if idempotent:
        assert [single_send.maybe_sent for single_send in (await take(handle)).single_sends] == [
            True,
            True,
        ]
    else:
        third = (await everybody(handle))[2]
        assert (third.code, third.at, third.attempts) == (Code.INTERRUPTED, NOW + 50, 1)
        assert [single_send.seq for single_send in (await take(handle)).single_sends] == [4, 5]
    again = await handle.recover(idempotent=idempotent, at=NOW, day="2023-11-16", recent=0)
    assert (again.unknown, again.again, again.recent, again.singles_today) == (0, 0, (), 0)
    await handle.close()


async def test_intents_of_two_days_are_counted_apart(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(5)])
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW, DAY)
    assert await handle.intend(lease, [2], NOW + 5, "2023-11-16")
    assert await handle.intend(lease, [3], NOW + 6, "2023-11-16")
    for day, count in ((DAY, 2), ("2023-11-16", 2), ("2023-11-17", 0)):
        found = await handle.recover(idempotent=True, at=NOW, day=day, recent=9)
        assert found.singles_today == count
    assert found.recent == (NOW, NOW, NOW + 5, NOW + 6)
    await handle.close()


async def test_what_was_given_back_uncalled_does_not_count_for_the_day(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1, 2], NOW, DAY)
    assert await handle.settle(lease, [result(0), result(1, "pending")])  # called, to be retried
    assert await handle.settle(lease, [result(2, "pending", called=False)])
    assert await handle.intend(lease, [3], NOW + 1, DAY)
    await handle.close()
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW + 5, day=DAY, recent=9)
    assert found.singles_today == 3
    await handle.close()


async def test_a_retry_reopens_one_set_in_new_chunks(make: Make) -> None:
    handle = await sealed(make(), [row(0), bad_row(1), row(2), row(3), row(4)])
    await settled(handle, "failed", "unknown", "sent", "unknown", code="9")
    before = await handle.outcomes_end()
    old = await stream(handle)
    assert [outcome.recipient.key for outcome in old] == ["k1", "k0", "k2", "k3", "k4"]

    assert await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW + 9) == 2
    await handle.seal_retry(chunk_size=1)
    lease = await take(handle)
    assert [(p.seq, p.maybe_sent, p.generation, p.attempts) for p in lease.single_sends] == [
        (2, True, 0, 1)
    ]
    assert await handle.intend(lease, [2], NOW + 10, DAY)
    with pytest.raises(JournalError):
        await handle.reopen(State.FAILED, include_unnamed=False, at=NOW)
    assert await handle.settle(lease, [result(2, at=NOW + 11)])
    news, _ = await handle.outcomes(after=before)
    assert [(o.recipient.key, o.state, o.attempts) for o in news] == [("k2", State.SENT, 2)]
    assert [outcome.recipient.key for outcome in await stream(handle)] == ["k1", "k0", "k3", "k2"]

    assert await handle.reopen(State.FAILED, include_unnamed=False, at=NOW + 12) == 1
    await handle.seal_retry(chunk_size=8)
    assert [(p.seq, p.generation) for p in (await take(handle)).single_sends] == [(0, 1), (4, 0)]
    assert await states(handle) == "pfssp"
    with pytest.raises(JournalError):
        await handle.reopen(State.SENT, include_unnamed=False, at=NOW)
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_retry_that_was_cut_short_loses_nobody(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0), row(1)])
    await settled(handle, "failed", "sent", code="9")
    assert await handle.reopen(State.FAILED, include_unnamed=False, at=NOW) == 1
    await handle.close()
    handle = await journal.open(write=True)
    await handle.recover(idempotent=False, at=NOW, day=DAY, recent=1)
    assert [single_send.seq for single_send in (await take(handle)).single_sends] == [0]
    await handle.close()


@pytest.mark.parametrize("kind", ["sqlite", "memory", "model"])
async def test_a_journal_on_one_machine_has_one_sender_at_a_time(kind: str, tmp_path: Path) -> None:
    journal = maker(kind, tmp_path)()
    handle = await journal.create(record())
    with pytest.raises(JournalError, match="open already"):
        await journal.create(record())
    await handle.add_rows([row(0)])
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    with pytest.raises(JournalError, match="open already"):
        await journal.open(write=True)
    await handle.close()


async def test_a_campaign_is_planned_by_one_and_read_always(make: Make) -> None:
    journal = make()
    with pytest.raises(JournalError):
        await journal.open()
    with pytest.raises(JournalError):
        await journal.request(Control.PAUSE)
    handle = await journal.create(record())
    with pytest.raises(JournalError):
        await journal.open()
    with pytest.raises(JournalError):
        await journal.create(record())
    await handle.add_rows([row(0)])
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    reader = await journal.open()
    await settled(handle, "sent")
    assert (await reader.counts()).sent == 1
    assert reader.record.name == "autumn"
    with pytest.raises(JournalError, match="reading only"):
        await reader.take(groups=True, singles=True, idempotent=False)
    rows = journal.rows_later()
    await handle.close()
    with pytest.raises(JournalError, match="closed"):
        await handle.warn("too late")
    with pytest.raises(JournalError, match="already"):
        await journal.create(record())
    assert await states(reader) == "s"
    await reader.close()
    rows.keep()
    journal.discard()
    with pytest.raises(JournalError):
        await journal.open()
    assert [outcome.state for outcome in rows.rows()] == [State.SENT]
    assert list(rows.rows([State.FAILED])) == []


async def test_the_record_keeps_warnings_once_and_why_it_halted(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0)])
    await handle.warn("the quota is small")
    await handle.warn("the quota is small")
    kept = handle.record
    kept.halted = "45009: reach max api daily quota limit"
    await handle.save(kept)
    await handle.close()
    handle = await journal.open()
    assert handle.record.warnings == ["the quota is small"]
    assert handle.record.halted == "45009: reach max api daily quota limit"
    assert handle.record.planned_at == NOW
    assert handle.record.message == {"content": {"title": "今日优惠活动"}}
    await handle.close()


async def test_an_outage_is_kept_until_it_is_over(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0)])
    assert handle.record.outage is None
    outage = Outage(since=NOW, in_doubt=3)
    await handle.keep_outage(outage)
    await handle.save(handle.record)
    assert handle.record.outage == outage
    await handle.close()
    handle = await journal.open(write=True)
    assert handle.record.outage == outage
    await handle.keep_outage(None)
    await handle.close()
    handle = await journal.open()
    assert handle.record.outage is None
    await handle.close()


async def test_the_reason_of_a_doubt_is_what_a_cancel_leaves(make: Make) -> None:
    handle = await sealed(make(), [row(seq) for seq in range(6)])
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1, 2, 3, 4], NOW, DAY)
    lost = {"code": "NO_ANSWER", "detail": "reset", "rid": "r1", "maybe_sent": True}
    assert await handle.settle(
        lease,
        [
            result(0, "pending", **lost),
            result(1, "pending", **lost),
            result(2, "unknown", code="NO_ANSWER", detail="reset"),
            result(3, "pending", code="-1", detail="busy"),
        ],
    )
    # The second is tried again, and throttled: what leaves it in doubt is the first call still.
    assert await handle.intend(lease, [1], NOW + 1, DAY)
    assert await handle.settle(lease, [result(1, "pending", code="45009", maybe_sent=True)])
    # The fifth was out when its process ended, on a channel that may ask again.
    await handle.recover(idempotent=True, at=NOW + 2, day=DAY, recent=9)
    await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW + 3)
    await handle.seal_retry(chunk_size=8)
    assert await suppress_pending(handle, ["k0"], smallest_group=1, at=NOW + 4) == 1
    assert await handle.cancel_pending(NOW + 5) == 5
    assert await states(handle) == "uuuCuC"
    found = [(o.code, o.detail, o.rid) for o in await everybody(handle)]
    assert found[:3] == [
        ("NO_ANSWER", "reset", "r1"),
        ("NO_ANSWER", "reset", "r1"),
        ("NO_ANSWER", "reset", None),
    ]
    assert found[3] == found[5] == ("CANCELLED", "cancelled", None)
    assert found[4][0] == "INTERRUPTED"
    counts = await handle.counts()
    assert adds_up(counts)
    assert counts.by_code == {"NO_ANSWER": 3, "CANCELLED": 2, "INTERRUPTED": 1}
    assert len(await stream(handle)) == 6
    await handle.close()


async def test_nobody_is_suppressed_while_singles_are_out(make: Make) -> None:
    handle = await sealed(make(), [row(0), row(1)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    with pytest.raises(JournalError, match="out"):
        await suppress_pending(handle, ["k1"], smallest_group=1, at=NOW)
    assert await states(handle) == "ip"
    await handle.close()
