"""Reading a journal file: beside its sender, after it, and before a sender takes the reader over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from journal_rows import DAY, NOW, beside, result, row, sealed, take

from promomsg.errors import JournalError
from promomsg.journal.records import Control
from promomsg.journal.sqlite.crash_safety.file_view import FileView
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal
from promomsg.model import State

pytestmark = pytest.mark.asyncio


async def test_a_look_leaves_nothing_behind(journal: SqliteJournal) -> None:
    await (await sealed(journal, [row(0)])).close()
    with JournalReader(journal.path) as reader:
        assert reader.counts().pending == 1
        assert reader.groups() == []
        assert reader.control() is Control.RUN
        assert reader.elapsed() == 0.0
    assert beside(journal) == ["autumn.db"]
    with pytest.raises(JournalError, match="closed"):
        reader.counts()


async def test_a_reader_that_outlives_the_sender_leaves_nothing_behind_either(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(0)])
    await handle.warn("hello")
    reader, other = JournalReader(journal.path), JournalReader(journal.path)
    await handle.close()
    assert other.counts().pending == 1
    other.close()
    assert reader.counts().pending == 1
    reader.close()
    assert beside(journal) == ["autumn.db"]


async def test_a_reader_sees_a_sender_that_comes_after_it(journal: SqliteJournal) -> None:
    """Also one that began when nobody had the file open, and so took no lock."""
    await (await sealed(journal, [row(seq) for seq in range(8)])).close()
    with JournalReader(journal.path) as reader:
        assert reader.counts().sent == 0
        handle = await journal.open(write=True)
        lease = await take(handle)
        for seq in range(8):
            assert await handle.intend(lease, [seq], NOW, DAY)
            assert await handle.settle(lease, [result(seq)])
            assert reader.counts().sent == seq + 1
        await handle.close()
        assert reader.counts().sent == 8
    assert beside(journal) == ["autumn.db"]


@pytest.mark.parametrize("count", [40, 4_000])
async def test_a_report_outlives_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    journal = SqliteJournal.temporary()
    assert Path(journal.path).parent == tmp_path
    handle = await sealed(journal, [row(seq) for seq in range(count)])
    rows = journal.rows_later()
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    assert await handle.settle(lease, [result(0, "failed", code="9", at=NOW + 7)])
    assert [failure.code for failure in rows.rows([State.FAILED])] == ["9"]
    await handle.close()
    rows.keep()
    rows.keep()
    journal.discard()
    assert list(tmp_path.iterdir()) == []
    assert len(list(rows.rows())) == count
    [failure] = rows.rows([State.FAILED])
    assert (failure.recipient.key, failure.code) == ("k0", "9")
    rows.close()
    rows.close()
    with pytest.raises(JournalError, match="closed"):
        list(rows.rows())


async def test_rows_that_are_kept_while_a_sender_is_there_are_what_is_committed(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(0)])
    rows = journal.rows_later()
    rows.keep()
    await handle.cancel_pending(NOW)
    assert [outcome.state for outcome in rows.rows()] == ["cancelled"]
    await handle.close()
    rows.close()


async def test_rows_of_a_journal_that_is_gone_say_so(journal: SqliteJournal) -> None:
    rows = journal.rows_later()
    with pytest.raises(JournalError, match="there is no journal"):
        list(rows.rows())
    with pytest.raises(JournalError, match="there is no journal"):
        rows.keep()
    Path(journal.path).write_bytes(b"something else")
    with pytest.raises(JournalError, match="not a journal"):
        rows.keep()


async def test_its_name_may_be_no_text(tmp_path: Path) -> None:
    journal = SqliteJournal(os.fsdecode(os.fsencode(tmp_path) + b"/\xff?#%.db"))
    await (await sealed(journal, [row(0)])).close()
    assert b"\xff?#%.db" in os.listdir(os.fsencode(tmp_path))
    assert [outcome.recipient.key for outcome in journal.rows_later().rows()] == ["k0"]
    handle = await journal.open(write=True)
    await handle.close()


async def test_a_sender_takes_over_the_reader_that_looked_before_it(
    journal: SqliteJournal,
) -> None:
    await (await sealed(journal, [row(0), row(1)])).close()
    reader = JournalReader(journal.path)
    assert reader.counts().pending == 2
    taken = SqliteJournal.behind(FileView(reader), durability="process")
    handle = await taken.open(write=True)
    assert (await handle.counts()).pending == 2
    with pytest.raises(JournalError, match="the journal is closed"):
        reader.counts()
    reader.close()
    await handle.close()
    assert beside(journal) == ["autumn.db"]
    again = await taken.open()
    assert (await again.counts()).pending == 2
    await again.close()


async def test_what_another_sender_did_since_the_look_is_counted(journal: SqliteJournal) -> None:
    await (await sealed(journal, [row(0), row(1)])).close()
    reader = JournalReader(journal.path)
    assert reader.counts().pending == 2
    other = await journal.open(write=True)
    with pytest.raises(JournalError, match="open already"):
        await SqliteJournal.behind(FileView(JournalReader(journal.path))).open(write=True)
    lease = await take(other)
    assert await other.intend(lease, [0], NOW, DAY)
    assert await other.settle(lease, [result(0)])
    await other.close()
    handle = await SqliteJournal.behind(FileView(reader), durability="process").open(write=True)
    assert ((await handle.counts()).sent, (await handle.counts()).pending) == (1, 1)
    await handle.close()


async def test_a_file_that_has_taken_its_place_since_the_look_is_looked_at_itself(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await (await sealed(journal, [row(0)])).close()
    other = SqliteJournal(tmp_path / "other.db", durability="process")
    await (await sealed(other, [row(0), row(1), row(2)])).close()
    reader = JournalReader(journal.path)
    assert reader.counts().pending == 1
    os.replace(other.path, journal.path)
    handle = await SqliteJournal.behind(FileView(reader), durability="process").open(write=True)
    assert (await handle.counts()).pending == 3
    await handle.close()
