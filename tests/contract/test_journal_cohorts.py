"""Cohorts in a journal: who belongs together is taken together, and only while it is asked for."""

from __future__ import annotations

import pytest
from journal_process import child, end
from journal_rows import (
    DAY,
    NOW,
    Make,
    bad_row,
    everybody,
    nothing_to_take,
    pass_time,
    record,
    result,
    row,
    sealed,
    states,
)
from killed_senders import resumed

from promomsg.journal.contract import Handle
from promomsg.journal.locate import open_reader
from promomsg.journal.planned_columns import as_columns
from promomsg.journal.records import FirstFew, Lease, PlannedRow
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import State

pytestmark = pytest.mark.asyncio

NAMED = [{}, {"zone": "Europe/Paris"}, {"first": True}]


def mixed(count: int, cohorts: int = 3) -> list[PlannedRow]:
    return [row(seq, cohort=seq % cohorts) for seq in range(count)]


async def take_of(handle: Handle, *cohorts: int, groups: bool = False) -> Lease | None:
    return await handle.take(groups=groups, singles=not groups, idempotent=False, cohorts=cohorts)


def seqs(lease: Lease | None) -> list[int]:
    assert lease is not None
    return [single.seq for single in lease.single_sends]


async def test_only_the_cohorts_that_are_asked_for_are_taken(make: Make) -> None:
    handle = await sealed(make(), mixed(12), chunk_size=3)
    one = await take_of(handle, 1)
    assert (seqs(one), one and one.cohort) == ([1, 4, 7], 1)
    two = await take_of(handle, 2, 1)
    assert (seqs(two), two and two.cohort) == ([10], 1)
    assert seqs(await take_of(handle, 2, 1)) == [2, 5, 8]
    assert await take_of(handle) is None
    assert await take_of(handle, 9) is None
    assert seqs(await handle.take(groups=False, singles=True, idempotent=False)) == [0, 3, 6]
    await handle.close()


async def test_who_is_in_another_cohort_of_the_same_range_is_left_alone(make: Make) -> None:
    """A chunk that is taken over, given back or ended says nothing of the rows in between."""
    handle = await sealed(make(), mixed(6, 2), chunk_size=8)
    even, odd = await take_of(handle, 0), await take_of(handle, 1)
    assert even is not None
    assert odd is not None
    assert await handle.intend(even, [0, 2, 4], NOW, DAY)
    await pass_time(handle, handle.lease_life + 1)
    await handle.renew([even])
    again = await take_of(handle, 1)
    assert seqs(again) == [1, 3, 5]
    assert await states(handle) == "ipipip"
    assert await handle.settle(even, [result(0), result(2), result(4, "failed", code="1")])
    await handle.release(even)
    assert await take_of(handle, 0) is None
    assert again is not None
    assert await handle.intend(again, [1], NOW, DAY)
    await handle.release(again)
    assert await states(handle) == "sispfp"
    assert await handle.settle(again, [result(1)])
    await handle.release(again)
    assert seqs(await take_of(handle, 0, 1)) == [3, 5]
    await handle.close()


async def test_a_kill_leaves_those_of_a_closed_cohort_pending(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, mixed(6, 2), chunk_size=8)
    lease = await take_of(handle, 0)
    assert lease is not None
    assert await handle.intend(lease, [0, 2], NOW, DAY)
    await handle.close()
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert found.unknown == 2
    assert await states(handle) == "upuppp"
    assert seqs(await take_of(handle, 1)) == [1, 3, 5]
    assert seqs(await take_of(handle, 0)) == [4]
    await handle.close()


async def test_a_group_send_is_of_one_cohort(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows(
        [*mixed(7, 2), *(row(seq, word="red", cohort=1) for seq in (7, 8)), bad_row(9)]
    )
    red = row(7, word="red").message_digest
    assert await handle.shared_messages(2) == [(None, 4, 0), (None, 3, 1), (red, 2, 1)]
    await handle.make_groups(None, [2], 1)
    await handle.make_groups(None, [4], 0)
    await handle.make_groups(red, [2], 1)
    await handle.seal(record(planned_at=NOW, cohorts=NAMED), chunk_size=8)
    assert await handle.group_members(1) == ["1001", "1003"]
    assert await handle.group_members(2) == ["1000", "1002", "1004", "1006"]
    taken = [await take_of(handle, 1, groups=True) for _ in range(3)]
    assert [lease and (lease.group_no, lease.cohort) for lease in taken] == [(1, 1), (3, 1), None]
    assert seqs(await take_of(handle, 1)) == [5]
    assert await take_of(handle, 0) is None
    assert not await nothing_to_take(handle)
    await handle.close()


async def test_rows_are_put_into_another_cohort_while_the_plan_is_made(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows([row(0), bad_row(1), *(row(seq) for seq in range(2, 6))])
    assert await handle.pending_keys(-1, 3) == [(0, "k0", 0), (2, "k2", 0), (3, "k3", 0)]
    assert await handle.pending_keys(3, 9) == [(4, "k4", 0), (5, "k5", 0)]
    assert await handle.pending_keys(5, 9) == []
    await handle.set_cohort([2, 5], 2)
    assert await handle.shared_messages(1) == [(None, 3, 0), (None, 2, 2)]
    await handle.seal(record(planned_at=NOW, cohorts=NAMED), chunk_size=8)
    assert seqs(await take_of(handle, 2)) == [2, 5]
    assert seqs(await take_of(handle, 0)) == [0, 3, 4]
    counts = await handle.cohort_counts()
    assert {no: (c.planned, c.pending, c.failed) for no, c in counts.items()} == {
        0: (4, 3, 1),
        2: (2, 2, 0),
    }
    assert counts[0].by_code == {"BAD_ADDRESS": 1}
    assert list(await handle.cohort_counts([2])) == [2]
    await handle.close()


async def test_a_retry_keeps_everybody_in_their_cohort(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, mixed(6, 2), chunk_size=2)
    for _ in range(4):
        lease = await take_of(handle, 0, 1)
        assert lease is not None
        some = seqs(lease)
        assert await handle.intend(lease, some, NOW, DAY)
        assert await handle.settle(lease, [result(seq, "failed", code="1") for seq in some])
        await handle.release(lease)
    assert await take_of(handle, 0, 1) is None
    assert await handle.reopen(State.FAILED, include_unnamed=False, at=NOW + 5) == 6
    assert await handle.shared_messages(1) == [(None, 3, 0), (None, 3, 1)]
    await handle.make_groups(None, [2], 1)
    await handle.seal_retry(chunk_size=8)
    assert seqs(await take_of(handle, 1)) == [5]
    assert await take_of(handle, 0, groups=True) is None
    assert seqs(await take_of(handle, 0)) == [0, 2, 4]
    group = await take_of(handle, 1, groups=True)
    assert group is not None
    await handle.close()


async def test_the_cohorts_and_the_first_few_outlive_the_process(make: Make) -> None:
    journal = make()
    handle = await journal.create(record())
    await handle.add_rows([row(0, cohort=2)])
    await handle.seal(record(planned_at=NOW, cohorts=NAMED), chunk_size=8)
    assert (await handle.control()).first_few is None
    answered = FirstFew(answered_at=NOW + 1)
    assert await handle.set_first_few(answered, instead_of=None)
    assert not await handle.set_first_few(FirstFew(answered_at=NOW + 2), instead_of=None)
    assert (await handle.control()).first_few == answered
    approved = FirstFew(answered_at=NOW + 1, approved="digest", by_person=True)
    assert await handle.set_first_few(approved, instead_of=answered)
    assert not await handle.set_first_few(answered, instead_of=answered)
    await handle.resume(NOW + 3)
    await handle.save(record(planned_at=NOW, cohorts=NAMED))
    await handle.close()
    view = journal.reader()
    assert view.record.cohorts == NAMED
    kept, counts = view.first_few([2])
    assert (kept, counts[2].pending) == (approved, 1)
    assert view.first_few([0]) == (approved, {})
    view.close()
    handle = await journal.open(write=True)
    assert handle.record.cohorts == NAMED
    assert (await handle.control()).first_few == approved
    assert await handle.set_first_few(None, instead_of=approved)
    assert (await handle.control()).first_few is None
    assert len(await everybody(handle)) == 1
    await handle.close()


async def test_a_halt_for_the_first_few_does_not_come_after_a_word_for_the_others(
    make: Make,
) -> None:
    handle = await sealed(make(), mixed(4))
    assert await handle.halt_by_first("FIRST_STOPPED", "a third", seen=None)
    assert (await handle.control()).halted == handle.record.halted == "FIRST_STOPPED: a third"
    assert await handle.halt_by_first("FIRST_ASK", "a later one", seen=None)
    assert (await handle.control()).halted == "FIRST_STOPPED: a third"
    await handle.resume(NOW)
    answered = FirstFew(answered_at=NOW)
    word = FirstFew(answered_at=NOW, approved="digest", by_person=True)
    assert await handle.set_first_few(answered, instead_of=None)
    assert not await handle.halt_by_first("FIRST_STOPPED", "a third", seen=None)
    assert await handle.set_first_few(word, instead_of=answered)
    assert not await handle.halt_by_first("FIRST_STOPPED", "a third", seen=answered)
    assert (await handle.control()).halted is handle.record.halted is None
    await handle.close()


async def test_a_process_killed_while_a_cohort_closes_leaves_its_uncalled_ones_pending(
    journal: SqliteJournal,
) -> None:
    """Of the one that closes one was called, one put back, and two are intended yet; of the other one
    was called: what lies in between in the list is nobody else's."""
    code = """
    handle = await sealed(journal, [row(seq, cohort=seq % 2) for seq in range(12)], chunk_size=8)
    await handle.make_slots(16)
    take = lambda cohort: handle.take(groups=False, singles=True, idempotent=False, cohorts=[cohort])
    closing, other = await take(0), await take(1)
    assert await handle.intend(closing, [0, 2, 4, 6], NOW, DAY)
    assert await handle.intend(other, [1, 3], NOW, DAY)
    handle.mark_leaving(closing, 0)
    handle.mark_leaving(other, 3)
    assert await handle.settle(closing, [result(2, "pending", called=False)])
    os.kill(os.getpid(), signal.SIGKILL)
    """
    end(child(code, journal.path), kill=False)
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (2, 0, 0)
    handle, found = await resumed(journal)
    assert (found.unknown, found.uncalled) == (2, 3)
    assert await states(handle) == "uppupppppppp"
    assert seqs(await take_of(handle, 1)) == [1, 5, 7, 9, 11]
    assert seqs(await take_of(handle, 0)) == [2, 4, 6, 8, 10]
    await handle.close()


async def test_a_row_that_is_final_when_it_is_planned_takes_no_place_in_a_chunk(make: Make) -> None:
    journal = make()
    handle = await journal.create(record())
    await handle.add_rows([bad_row(0)])
    await handle.add_columns(as_columns([row(1), row(2), row(3)]))
    await handle.set_cohort([3], 1)
    await handle.seal(record(planned_at=NOW), chunk_size=1)
    taken = [await take_of(handle, 0), await take_of(handle, 0), await take_of(handle, 1)]
    assert [lease and lease.chunk_no for lease in taken] == [1, 2, 3]
    assert [seqs(lease) for lease in taken] == [[1], [2], [3]]
    await handle.close()
