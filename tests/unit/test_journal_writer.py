"""The thread that writes: what one bad operation costs the others, and what a broken file does."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from promomsg.errors import JournalError
from promomsg.journal.sqlite.statements.transaction import Transaction, Undone
from promomsg.journal.sqlite.writer import Writer

pytestmark = pytest.mark.asyncio


class Bench:
    """A writer on a file of its own, whose thread can be held so that operations gather."""

    def __init__(self, path: Path) -> None:
        self.path = path
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE note (text TEXT NOT NULL)")
        self.writer = Writer(str(path), db)
        self._go = threading.Event()

    def hold(self) -> asyncio.Future[None]:
        """What is submitted from now on shares one commit."""

        def wait(tx: Transaction) -> None:
            assert self._go.wait(10)

        return self.writer.submit(wait, alone=True)

    def let_go(self) -> None:
        self._go.set()

    def note(self, text: str) -> asyncio.Future[Any]:
        """Writes a line."""
        return self.writer.submit(_insert(text))

    def kept(self) -> list[str]:
        """What another process sees."""
        db = sqlite3.connect(self.path)
        try:
            return [text for (text,) in db.execute("SELECT text FROM note ORDER BY rowid")]
        finally:
            db.close()


def _insert(text: str) -> Any:
    def insert(tx: Transaction) -> str:
        tx.db.execute("INSERT INTO note VALUES (?)", (text,))
        return text

    return insert


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "campaign.db")
    yield made
    made.let_go()
    await made.writer.stop()


async def test_one_bad_operation_costs_no_other_of_its_commit(bench: Bench) -> None:
    def bad(tx: Transaction) -> None:
        tx.db.execute("INSERT INTO note VALUES ('half')")
        raise ValueError("an operation's own mistake")

    held = bench.hold()
    before, wrong, after = bench.note("before"), bench.writer.submit(bad), bench.note("after")
    bench.let_go()
    await held
    assert (await before, await after) == ("before", "after")
    with pytest.raises(ValueError, match="own mistake"):
        await wrong
    assert bench.kept() == ["before", "after"]
    assert await bench.note("later") == "later"


async def test_an_operation_that_withdraws_leaves_nothing_and_says_why(bench: Bench) -> None:
    def withdraw(tx: Transaction) -> bool:
        tx.db.execute("INSERT INTO note VALUES ('half')")
        raise Undone(False)

    held = bench.hold()
    before, withdrawn = bench.note("before"), bench.writer.submit(withdraw)
    bench.let_go()
    await held
    assert (await before, await withdrawn) == ("before", False)
    assert bench.kept() == ["before"]


async def test_an_operation_that_nobody_waits_for_any_more_is_not_begun(bench: Bench) -> None:
    held = bench.hold()
    unwanted = bench.writer.submit(_insert("unwanted"), skippable=True)
    wanted = bench.note("wanted")
    unwanted.cancel()
    bench.let_go()
    await held
    await wanted
    assert bench.kept() == ["wanted"]


async def test_a_full_disk_fails_everybody_who_waits_and_everybody_later(bench: Bench) -> None:
    """One line each that says how to mend it, and nothing half written."""

    def fill(tx: Transaction) -> None:
        [pages] = tx.db.execute("PRAGMA page_count").fetchone()
        tx.db.execute(f"PRAGMA max_page_count = {pages}")

    await bench.note("before")
    await bench.writer.submit(fill, alone=True)
    held = bench.hold()
    waiting = [bench.note("small"), bench.note("x" * 100_000), bench.note("small too")]
    bench.let_go()
    await held
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in errors} == {JournalError}
    assert {str(error) for error in errors} == {
        f"{bench.path}: database or disk is full; free some space, then resume"
    }
    assert len({id(error) for error in errors}) == 3
    with pytest.raises(JournalError, match="free some space, then resume"):
        await bench.note("later")
    with pytest.raises(JournalError, match="free some space, then resume"):
        await bench.writer.submit(fill, alone=True)
    assert bench.kept() == ["before"]


async def test_what_manages_its_own_transactions_fails_alone_or_breaks_the_journal(
    bench: Bench,
) -> None:
    def mistake(tx: Transaction) -> None:
        raise KeyError("seq")

    def unreadable(tx: Transaction) -> None:
        raise PermissionError(13, "Permission denied", str(bench.path))

    with pytest.raises(KeyError):
        await bench.writer.submit(mistake, alone=True)
    assert await bench.note("still") == "still"
    with pytest.raises(JournalError, match="writable for you, then resume"):
        await bench.writer.submit(unreadable, alone=True)
    with pytest.raises(JournalError, match="writable for you, then resume"):
        await bench.note("never")
    assert bench.kept() == ["still"]


async def test_a_closed_journal_says_so_after_doing_what_was_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "campaign.db")
    last = bench.note("last")
    await bench.writer.stop()
    assert await last == "last"
    with pytest.raises(JournalError, match="is closed"):
        bench.note("later")
    await bench.writer.stop()
    assert bench.kept() == ["last"]
    assert not Path(f"{bench.path}-wal").exists()
