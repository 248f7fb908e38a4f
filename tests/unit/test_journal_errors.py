"""What a journal says when something is wrong, and the corners that a campaign seldom reaches."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest
from journal_rows import DAY, NOW, record, result, row, sealed, take

from promomsg.errors import JournalError
from promomsg.journal.records import Control
from promomsg.journal.sqlite import connect as sqlite_connect
from promomsg.journal.sqlite import journal as sqlite_journal
from promomsg.journal.sqlite import lock as sqlite_lock
from promomsg.journal.sqlite.connect import explain
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal
from promomsg.journal.sqlite.lock import SenderLock, is_locked
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.journal.sqlite.readers import journal_reader as sqlite_reader
from promomsg.model import State


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("database or disk is full"), "free some space, then resume"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space, then resume"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "writable for you"),
        (PermissionError(errno.EACCES, "Permission denied"), "writable for you"),
        (sqlite3.OperationalError("unable to open database file"), "the folder exists"),
        (sqlite3.OperationalError("database is locked"), "another program holds it"),
        (sqlite3.DatabaseError("file is not a database"), "it is not a journal"),
        (sqlite3.DatabaseError("database disk image is malformed"), "it is damaged"),
        (sqlite3.OperationalError("disk I/O error"), "check the disk, then resume"),
    ],
)
def test_an_error_says_what_where_and_how_to_mend_it(error: Exception, words: str) -> None:
    text = str(explain(error, "/data/autumn.db"))
    assert text.startswith("/data/autumn.db: ")
    assert str(error) in text
    assert words in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["disk I/O error", "unable to open database file"])
def test_an_error_on_a_disk_without_room_says_that_it_is_full(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """As SQLite says it on a full tmpfs."""
    full = os.statvfs_result((4096, 4096, 1000, 1, 1, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda folder: full)
    said = str(explain(sqlite3.OperationalError(text), "/data/autumn.db"))
    assert said == "/data/autumn.db: the disk is full; free some space, then resume"


def test_a_lock_that_finds_no_room_says_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, flags: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(sqlite_lock, "open_private", full)
    with pytest.raises(JournalError, match="the disk is full; free some space"):
        SenderLock(str(tmp_path / "a.db"))


def test_a_lock_that_the_file_system_cannot_give_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(JournalError, match="local disk"):
        SenderLock(str(tmp_path / "a.db"))


def test_a_lock_whose_file_went_while_it_waited_is_taken_on_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.db")
    first = SenderLock(path)
    real, calls = fcntl.flock, []

    def flock(fd: int, how: int) -> None:
        # The holder lets go, and somebody else comes, between our open and our lock.
        calls.append(how)
        if len(calls) == 1:
            first.release()
        elif len(calls) == 2:
            os.replace(tmp_path / "new", f"{path}.lock")
        real(fd, how)

    (tmp_path / "new").write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", flock)
    lock = SenderLock(path)
    assert len(calls) == 3
    assert is_locked(path)
    lock.release()
    lock.release()
    assert not is_locked(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_a_journal_that_may_only_be_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / "a.db", durability="process")
    await (await sealed(journal, [row(0)])).close()
    real, refused = sqlite_connect.connect, False

    def connect(path: str, *, mode: str, immutable: bool = False) -> sqlite3.Connection:
        assert (mode, immutable) == ("ro", True)
        if refused:
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return real(path, mode=mode, immutable=immutable)

    monkeypatch.setattr(sqlite_reader, "connect", connect)
    with JournalReader(journal.path) as reader:
        assert reader.record.name == "autumn"
    refused = True
    with pytest.raises(JournalError, match="writable for you"):
        JournalReader(journal.path)


@pytest.mark.asyncio
async def test_an_error_while_reading_is_explained(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "a.db", durability="process")
    await (await sealed(journal, [row(0)])).close()
    with (
        JournalReader(journal.path) as reader,
        pytest.raises(JournalError, match=r"a\.db: no such"),
    ):
        reader.read(lambda db: db.execute("SELECT * FROM nobody"))


@pytest.mark.asyncio
async def test_a_reader_of_a_journal_in_memory_sees_the_same() -> None:
    journal = MemoryJournal()
    with pytest.raises(JournalError):
        journal.rows_later()
    handle = await sealed(journal, [row(0), row(1)], groups=[1])
    reader = journal.rows_later()
    assert reader.elapsed() == 0.0
    lease = await take(handle)
    assert await handle.intend(lease, [1], NOW, DAY)
    assert await handle.settle(lease, [result(1, at=NOW + 5)])
    await handle.set_control(Control.PAUSE)
    assert (reader.record.name, reader.control()) == ("autumn", Control.PAUSE)
    assert (reader.counts().sent, [group.planned for group in reader.groups()]) == (1, [1])
    assert reader.elapsed() == 5.0
    assert [outcome.recipient.key for outcome in reader.rows([State.SENT])] == ["k1"]
    await handle.close()
    reader.close()


@pytest.mark.asyncio
async def test_a_journal_that_cannot_be_written_is_not_opened_for_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / "a.db", durability="process")
    await (await sealed(journal, [row(0)])).close()
    real = sqlite_connect.connect

    def connect(path: str, *, mode: str, immutable: bool = False) -> sqlite3.Connection:
        return real(path, mode="ro", immutable=immutable)

    monkeypatch.setattr(sqlite_journal, "connect", connect)
    with pytest.raises(JournalError, match="writable for you"):
        await journal.open(write=True)
    with pytest.raises(JournalError, match="writable for you"):
        await journal.request(Control.PAUSE)
    monkeypatch.undo()
    handle = await journal.open(write=True)
    assert (await handle.control()).requested is Control.RUN
    await handle.close()


@pytest.mark.asyncio
async def test_a_journal_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / "a.db")

    def connect(path: str, *, mode: str, immutable: bool = False) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite_journal, "connect", connect)
    with pytest.raises(JournalError, match="free some space"):
        await journal.create(record())
    assert list(tmp_path.iterdir()) == []
