"""What is particular to a journal in memory: names, lifetimes, and an SQLite that cannot have it."""

from __future__ import annotations

import copy
import gc
import pickle
import sqlite3

import pytest
from journal_rows import DAY, NOW, everybody, record, result, row, sealed, states, take

from promomsg import MemoryJournal, UsageError
from promomsg.errors import JournalError
from promomsg.journal.records import Control
from promomsg.journal.sqlite import memory
from promomsg.model import State

pytestmark = pytest.mark.asyncio


async def test_two_of_them_know_nothing_of_each_other() -> None:
    one, other = MemoryJournal(), MemoryJournal()
    first = await sealed(one, [row(0, "a")])
    second = await sealed(other, [row(0, "b"), row(1, "c")])
    assert [o.recipient.key for o in await everybody(first)] == ["a"]
    assert [o.recipient.key for o in await everybody(second)] == ["b", "c"]
    assert (one.path, first.path) == (None, None)
    await first.close()
    await second.close()


async def test_it_lasts_between_its_senders() -> None:
    journal = MemoryJournal()
    handle = await sealed(journal, [row(0), row(1)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    await handle.close()
    gc.collect()
    handle = await journal.open(write=True)
    assert await states(handle) == "ip"
    found = await handle.recover(idempotent=False, at=NOW, day=DAY, recent=5)
    assert (found.unknown, found.singles_today) == (1, 1)
    await handle.close()


async def test_what_reads_it_outlives_it() -> None:
    journal = MemoryJournal()
    handle = await sealed(journal, [row(0), row(1)])
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    assert await handle.settle(lease, [result(0)])
    rows = journal.rows_later()
    await handle.close()
    del handle
    journal.discard()
    with pytest.raises(JournalError, match="no campaign"):
        journal.rows_later()
    with pytest.raises(JournalError, match="no campaign"):
        await journal.request(Control.PAUSE)
    del journal
    gc.collect()
    rows.keep()
    assert [o.state for o in rows.rows()] == [State.SENT, State.PENDING]
    rows.close()
    rows.close()
    with pytest.raises(JournalError, match="is closed"):
        list(rows.rows())


async def test_discarded_it_takes_another_campaign() -> None:
    journal = MemoryJournal()
    handle = await sealed(journal, [row(0)])
    with pytest.raises(JournalError, match="open already"):
        await journal.create(record())
    await handle.close()
    with pytest.raises(JournalError, match="a campaign already"):
        await journal.create(record())
    journal.discard()
    journal.discard()
    handle = await sealed(journal, [row(0), row(1)])
    assert (await handle.counts()).planned == 2
    await handle.close()


async def test_readers_see_a_sender_at_work_and_never_stop_it() -> None:
    journal = MemoryJournal()
    handle = await sealed(journal, [row(seq) for seq in range(200)], chunk_size=200)
    lease = await take(handle)
    reader = await journal.open()
    for seq in range(200):
        assert await handle.intend(lease, [seq], NOW, DAY)
        assert await handle.settle(lease, [result(seq)])
        assert (await reader.counts()).sent == seq + 1
        await journal.request(Control.RUN)
    with pytest.raises(JournalError, match="for reading only"):
        await reader.warn("no")
    await reader.close()
    with pytest.raises(JournalError, match="is closed"):
        await reader.counts()
    await handle.close()


async def test_an_sqlite_without_it_is_said_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 5))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.35.5")
    with pytest.raises(
        UsageError, match=r"needs SQLite 3\.36 or later, and this Python has 3\.35\.5"
    ):
        MemoryJournal()


async def test_a_full_one_says_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = memory.connect_memory

    def connect_small(name: str) -> sqlite3.Connection:
        db = connect(name)
        db.execute("PRAGMA max_page_count = 40")
        return db

    monkeypatch.setattr(memory, "connect_memory", connect_small)
    journal = MemoryJournal()
    handle = await journal.create(record())
    with pytest.raises(
        JournalError, match=r"full \(1 GB at the most\); give a file's path"
    ) as full:
        await handle.add_rows([row(seq) for seq in range(10_000)])
    assert "disk" not in str(full.value)
    assert "free some space" not in str(full.value)
    await handle.close()


async def test_it_is_not_copied() -> None:
    """A copy would let a second sender in, and one in another process would stay empty here."""
    journal = MemoryJournal()
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="stays in its process; give a file's path"):
            copied(journal)
