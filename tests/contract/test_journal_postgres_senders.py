"""Several senders of one campaign on PostgreSQL: leases, late results, the order of outcomes, lost
connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from journal_rows import (
    CLOCK,
    DAY,
    NOW,
    adds_up,
    everybody,
    result,
    row,
    sealed,
    states,
    stream,
    take,
)

from promomsg.journal.contract import Handle
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.records import GroupCounts, Lease, Reason
from promomsg.model import Code, State
from promomsg.states import GroupState, IllegalMove

pytestmark = pytest.mark.asyncio

LIFE = 15.0


@pytest.fixture
def journal(postgres: str) -> PostgresJournal:
    CLOCK.followed_by(postgres)
    return PostgresJournal(postgres, secrets.token_hex(8))


@pytest_asyncio.fixture
async def pair(journal: PostgresJournal) -> AsyncIterator[tuple[Handle, Handle]]:
    """Two senders of one campaign of 24 people in three chunks."""
    first = await sealed(journal, [row(seq) for seq in range(24)])
    second = await PostgresJournal(journal.url, journal.name, worker="another").open(write=True)
    yield first, second
    await second.close()
    await first.close()


def seqs(lease: Lease) -> list[int]:
    return [single_send.seq for single_send in lease.single_sends]


async def lost_connections(database: str) -> int:
    """Has the server end every connection but this one; returns how many."""
    with psycopg.connect(database, autocommit=True) as db:
        return len(
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        )


async def test_work_is_left_while_somebody_holds_it(pair: tuple[Handle, Handle]) -> None:
    first, second = pair
    leases = [await take(first) for _ in range(3)]
    assert await second.take(groups=True, singles=True, idempotent=False) is None
    assert await second.is_work_left(groups=False, singles=True)
    assert await second.is_work_left(groups=True, singles=True)
    assert not await second.is_work_left(groups=True, singles=False)
    for lease in leases:
        assert await first.intend(lease, seqs(lease), NOW, DAY)
        assert await first.settle(lease, [result(seq) for seq in seqs(lease)])
        await first.release(lease)
    assert not await second.is_work_left(groups=True, singles=True)


async def test_two_senders_share_a_campaign(pair: tuple[Handle, Handle]) -> None:
    first, second = pair
    leases = [await take(first), await take(second), await take(first)]
    assert sorted(seq for lease in leases for seq in seqs(lease)) == list(range(24))
    assert await second.take(groups=True, singles=True, idempotent=False) is None
    senders = [first, second, first]
    for sender, lease in zip(senders, leases, strict=True):
        assert await sender.intend(lease, seqs(lease), NOW + 1, DAY)
    await asyncio.gather(
        *(
            sender.settle(lease, [result(seq, "sent")])
            for sender, lease in zip(senders, leases, strict=True)
            for seq in seqs(lease)
        )
    )
    for sender, lease in zip(senders, leases, strict=True):
        await sender.release(lease)
    for sender in pair:
        counts = await sender.counts()
        assert (counts.sent, counts.pending) == (24, 0)
        assert adds_up(counts)
    found = await stream(second)
    assert sorted(outcome.recipient.key for outcome in found) == sorted(f"k{n}" for n in range(24))


async def test_a_lease_that_has_run_out_is_refused_before_anybody_takes_it(
    pair: tuple[Handle, Handle],
) -> None:
    first, second = pair
    lease = await take(first)
    assert await first.intend(lease, [0], NOW, DAY)
    CLOCK.now += LIFE + 1
    assert not await first.intend(lease, [1], NOW + 1, DAY)
    assert await first.settle(lease, [result(0)])  # nobody has taken it
    assert await first.renew([lease]) == {lease.chunk_no}
    assert await first.intend(lease, [1], NOW + 2, DAY)
    assert (await take(second)).chunk_no != lease.chunk_no


async def test_who_takes_over_ends_what_the_last_sender_left(pair: tuple[Handle, Handle]) -> None:
    first, second = pair
    old = await take(first)
    assert await first.intend(old, [0, 1, 2], NOW + 1, DAY)
    assert await first.settle(old, [result(0)])
    CLOCK.now += LIFE + 1
    new = await take(second)
    assert (new.chunk_no, new.epoch) == (old.chunk_no, old.epoch + 1)
    assert seqs(new) == [3, 4, 5, 6, 7]
    assert (await states(second))[:5] == "suupp"
    assert (await second.counts()).by_code == {Code.INTERRUPTED.value: 2}
    assert [outcome.at for outcome in (await everybody(second))[1:3]] == [NOW + 1, NOW + 1]
    assert not await first.intend(old, [3], NOW + 2, DAY)
    assert await first.renew([old]) == frozenset()


async def test_a_result_that_comes_late_corrects_its_own_attempt_only(
    pair: tuple[Handle, Handle],
) -> None:
    first, second = pair
    old = await take(first)
    assert await first.intend(old, [0, 1, 2, 3], NOW + 1, DAY)
    CLOCK.now += LIFE + 1
    await take(second)
    late = [
        result(0, at=NOW + 30)._replace(intended_at=NOW + 1),
        result(1, "failed", code="40003")._replace(intended_at=NOW + 1),
        result(2)._replace(intended_at=NOW + 7),
        result(3, "unknown", code="TIMEOUT")._replace(intended_at=NOW + 1),
    ]
    assert not await first.settle(old, late)
    assert (await states(second))[:5] == "sfuup"
    counts = await second.counts()
    assert adds_up(counts)
    assert counts.by_code == {Code.INTERRUPTED.value: 2, "40003": 1}
    assert [outcome.recipient.key for outcome in await stream(first)] == ["k2", "k3", "k0", "k1"]
    assert not await first.settle(old, late)
    assert await second.counts() == counts


async def test_with_an_idempotent_channel_they_are_asked_for_again(
    pair: tuple[Handle, Handle],
) -> None:
    first, second = pair
    old = await take(first)
    assert await first.intend(old, [0, 1], NOW + 1, DAY)
    CLOCK.now += LIFE + 1
    new = await take(second, idempotent=True)
    assert seqs(new) == list(range(8))
    assert [single_send.maybe_sent for single_send in new.single_sends[:3]] == [True, True, False]
    assert not await first.settle(old, [result(0)._replace(intended_at=NOW + 1)])
    assert (await states(second))[:2] == "pp"


async def test_recovery_leaves_other_senders_alone(pair: tuple[Handle, Handle]) -> None:
    first, second = pair
    lease = await take(first)
    assert await first.intend(lease, [0, 1], NOW, DAY)
    found = await second.recover(idempotent=False, at=NOW + 2, day=DAY, recent=10)
    assert (found.unknown, found.singles_today, found.recent) == (0, 2, (NOW, NOW))
    assert await first.settle(lease, [result(0), result(1)])
    assert await first.intend(lease, [2], NOW + 3, DAY)
    CLOCK.now += LIFE + 1
    found = await second.recover(idempotent=False, at=NOW + 4, day=DAY, recent=10)
    assert found.unknown == 1
    assert not await first.intend(lease, [3], NOW + 5, DAY)


async def test_a_sender_that_closes_gives_its_leases_back(journal: PostgresJournal) -> None:
    first = await sealed(journal, [row(seq) for seq in range(4)])
    lease = await take(first)
    assert await first.intend(lease, [0], NOW, DAY)
    await first.close()
    second = await journal.open(write=True)
    assert seqs(await take(second)) == [1, 2, 3]
    assert await states(second) == "uppp"
    await second.close()


async def test_of_two_who_follow_a_group_one_ends_it(journal: PostgresJournal) -> None:
    first = await sealed(journal, [row(seq) for seq in range(60)], groups=[60])
    second = await journal.open(write=True)
    lease = await take(first, groups=True)
    assert await first.intend_group(lease, NOW)
    assert await first.intend_group(lease, NOW)
    assert await first.accept_group(lease, "m1", None, NOW, NOW)
    assert await first.accept_group(lease, "m1", None, NOW, NOW)
    counts = (await first.group(1)), (await second.group(1))
    assert counts[0] == counts[1]
    ends = await asyncio.gather(
        *(
            sender.complete_group(1, GroupCounts(100, 60, 0), failures=(), unnamed=0, at=NOW + 1)
            for sender in (first, second)
        )
    )
    assert sorted(ends, key=str) == [None, []] or sorted(ends, key=str) == [[], None]
    assert (await first.counts()).sent == 60
    assert (await first.group(1)).state is GroupState.DONE
    await second.close()
    await first.close()


async def test_a_group_whose_sender_is_gone_is_lost(journal: PostgresJournal) -> None:
    first = await sealed(journal, [row(seq) for seq in range(60)], groups=[60])
    second = await journal.open(write=True)
    lease = await take(first, groups=True)
    assert await first.intend_group(lease, NOW)
    CLOCK.now += LIFE + 1
    assert await second.take(groups=True, singles=True, idempotent=False) is None
    assert (await second.group(1)).state is GroupState.UNKNOWN
    assert (await second.counts()).unknown == 60
    assert not await first.accept_group(lease, "m1", None, NOW, NOW)
    assert not await first.lose_group(lease, Reason("x"), NOW)
    await second.close()
    await first.close()


async def test_outcomes_wait_for_an_earlier_transaction_of_another_sender(
    pair: tuple[Handle, Handle], journal: PostgresJournal
) -> None:
    first, _ = pair
    lease = await take(first)
    assert await first.intend(lease, [0, 1], NOW, DAY)
    with psycopg.connect(journal.url) as other:
        # Another sender's commit under way: its number is lower, its end comes later.
        (campaign,) = other.execute(
            "SELECT campaign FROM promomsg.campaign WHERE journal = %s", (journal.name,)
        ).fetchone() or (0,)
        other.execute(
            "INSERT INTO promomsg.commit_log (campaign, final_seqs) VALUES (%s, '{7}')", (campaign,)
        )
        other.execute(f"UPDATE promomsg.recipient_{campaign} SET state = 2, at = 1 WHERE seq = 7")
        assert await first.settle(lease, [result(0)])
        page, cursor = await first.outcomes()
        assert page == []
        other.commit()
    page, cursor = await first.outcomes(after=cursor)
    assert [outcome.recipient.key for outcome in page] == ["k7", "k0"]


async def test_outcomes_do_not_wait_for_what_writes_elsewhere(
    pair: tuple[Handle, Handle], journal: PostgresJournal
) -> None:
    first, _ = pair
    lease = await take(first)
    assert await first.intend(lease, [0, 1], NOW, DAY)
    with psycopg.connect(journal.url) as other:
        other.execute("CREATE TEMPORARY TABLE theirs AS SELECT pg_current_xact_id()")
        assert await first.settle(lease, [result(0)])
        assert [outcome.recipient.key for outcome in await stream(first)] == ["k0"]
        end = await first.outcomes_end()
        assert await first.outcomes(after=end) == ([], end)
        assert await first.settle(lease, [result(1)])
        page, _ = await first.outcomes(after=end)
        assert [outcome.recipient.key for outcome in page] == ["k1"]
        other.rollback()


async def test_a_batch_that_is_refused_leaves_those_of_its_commit_alone(
    pair: tuple[Handle, Handle],
) -> None:
    first, _ = pair
    lease, other = await take(first), await take(first)
    assert await first.intend(lease, [0, 1], NOW, DAY)
    answers = await asyncio.gather(
        first.intend(lease, [2], NOW, DAY),
        first.settle(lease, [result(0)]),
        first.settle(lease, [result(5)]),
        first.intend(other, [8, 9], NOW, DAY),
        first.intend(Lease(other.chunk_no, 0), [10], NOW, DAY),
        first.settle(lease, [result(1, "pending", maybe_sent=True, code="TIMEOUT")]),
        first.intend(lease, [1], NOW + 1, DAY),
        return_exceptions=True,
    )
    assert [type(answer) if isinstance(answer, Exception) else answer for answer in answers] == [
        True, True, IllegalMove, True, False, True, True,
    ]  # fmt: skip
    assert (await states(first))[:11] == "siipppppiip"


async def test_a_commit_whose_answer_is_lost_is_made_once(
    pair: tuple[Handle, Handle], journal: PostgresJournal
) -> None:
    first, _ = pair
    lease = await take(first)
    assert await first.intend(lease, [0, 1, 2], NOW + 1, DAY)
    for _ in range(3):
        assert await lost_connections(journal.url) > 0
        assert await first.intend(lease, [0, 1, 2], NOW + 1, DAY)
    done = [result(0), result(1, "failed", code="4"), result(2, "pending", code="5", called=False)]
    for _ in range(3):
        assert await first.settle(lease, done)
        await lost_connections(journal.url)
    counts = await first.counts()
    assert (counts.sent, counts.failed, counts.pending) == (1, 1, 22)
    assert [outcome.attempts for outcome in (await everybody(first))[:4]] == [1, 1, 0, 0]
    found = await first.recover(idempotent=False, at=NOW + 2, day=DAY, recent=10)
    assert found.singles_today == 2
    assert len(await stream(first)) == 2


async def test_a_look_at_it_says_what_a_resume_will_make_of_a_sender_that_died(
    journal: PostgresJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(63)], groups=[60], chunk_size=2)
    group, single = await take(handle, groups=True), await take(handle)
    assert await handle.intend_group(group, NOW)
    assert await handle.intend(single, [60], NOW, DAY)
    assert await lost_connections(journal.url) > 0  # as when its process ends
    view = journal.reader()
    standing = view.standing()
    assert (standing.running, standing.in_doubt) == (True, None)
    assert journal.is_being_sent()  # nobody else can have its leases yet
    CLOCK.now += LIFE + 1
    assert not journal.is_being_sent()
    standing = view.standing()
    assert standing.in_doubt == (1, 1, 60)
    assert (standing.counts.unknown, standing.counts.pending) == (61, 2)
    assert standing.groups[0].state is GroupState.UNKNOWN
    assert [outcome.attempts for outcome in view.rows([State.UNKNOWN])] == [1] * 61
    assert len(list(view.rows([State.PENDING]))) == 2
    view.close()
    await handle.recover(idempotent=False, at=NOW + 1, day=DAY, recent=1)
    counts = await handle.counts()
    assert counts == standing.counts
    await handle.close()


async def test_a_sender_frozen_in_the_middle_of_a_transaction_holds_nobody_up(
    pair: tuple[Handle, Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 0.3)
    first, second = pair
    locked, thawed = asyncio.Event(), asyncio.Event()

    async def freeze(tx: Transaction) -> None:
        await tx.rows("SELECT FROM chunk WHERE campaign = %(campaign)s FOR NO KEY UPDATE")
        locked.set()
        await thawed.wait()

    assert isinstance(first, PostgresHandle)
    access = first._access
    await access._drop_idle()
    frozen = asyncio.create_task(access.do(freeze))
    await locked.wait()
    assert len((await take(second)).single_sends) == 8
    thawed.set()
    await frozen  # it has lost its lock, and does it again
