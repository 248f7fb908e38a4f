"""How operations share commits, and what one that waits, fails or is cancelled leaves."""

from __future__ import annotations

import asyncio
import time

import pytest
from journal_rows import DAY, NOW, adds_up, record, result, row, sealed, states, take
from waiting import real_time, until

from promomsg.journal.records import GroupCounts
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal

pytestmark = pytest.mark.asyncio


def busy(tx: object) -> None:
    """Keeps the writer thread busy while others queue up behind it."""
    time.sleep(0.05)  # it has no event loop, and nothing else to do


async def test_operations_that_wait_together_share_one_commit(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(40)], chunk_size=40)
    lease = await take(handle)
    writer = handle._access.writer  # type: ignore[attr-defined]
    gate = writer.submit(busy)
    statements: list[str] = []
    writer.db.set_trace_callback(statements.append)
    calls = [handle.intend(lease, [seq], NOW, DAY) for seq in range(0, 40, 2)]
    assert await asyncio.gather(gate, *calls) == [None] + [True] * 20
    await handle.counts()
    writer.db.set_trace_callback(None)
    assert sum(text.startswith("COMMIT") for text in statements) <= 2
    assert await states(handle) == "ip" * 20
    await handle.close()


async def test_one_bad_operation_does_not_take_its_neighbours_along(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    lease = await take(handle)
    answers = await asyncio.gather(
        handle.intend(lease, [0], NOW, DAY),
        handle.settle(lease, [result(3)]),
        handle.intend(lease, [1], NOW, DAY),
        handle.poll_group(9, GroupCounts(1, 1, 1), next_poll_at=NOW),
        return_exceptions=True,
    )
    assert [type(answer).__name__ for answer in answers] == [
        "bool",
        "IllegalMove",
        "bool",
        "JournalError",
    ]
    assert await states(handle) == "iipp"
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_cancelled_intent_that_still_waits_is_not_made(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(0), row(1)])
    lease = await take(handle)
    handle._access.writer.submit(busy)  # type: ignore[attr-defined]
    intent = asyncio.ensure_future(handle.intend(lease, [0], NOW, DAY))
    await real_time(0.01)
    intent.cancel()
    assert await handle.intend(lease, [1], NOW, DAY)
    assert await states(handle) == "pi"
    await handle.close()


async def test_a_cancelled_close_keeps_the_lock_until_all_is_written(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(0)])
    handle._access.writer.submit(busy)  # type: ignore[attr-defined]
    warning = asyncio.ensure_future(handle.warn("the last word"))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(handle.close())
    await real_time(0.005)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert journal.is_being_sent()
    await warning
    await handle.close()
    assert not journal.is_being_sent()
    with JournalReader(journal.path) as reader:
        assert reader.record.warnings == ["the last word"]


async def test_a_cancelled_opening_gives_the_lock_back(journal: SqliteJournal) -> None:
    for verb in ("create", "open"):
        call = journal.create(record()) if verb == "create" else journal.open(write=True)
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not journal.is_being_sent())
        if verb == "create":
            await (await sealed(journal, [row(0)])).close()
