"""Senders of a journal in a file that are killed with calls out, and what a resume makes of those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from journal_rows import (
    DAY,
    NOW,
    adds_up,
    beside,
    row,
    sealed,
    states,
    take,
)

from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.locate import open_reader
from promomsg.journal.records import Lease, Recovered
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.crash_safety.side_files import SLOTS
from promomsg.journal.sqlite.journal import SqliteJournal

__all__ = ["kill", "left", "resumed", "sending", "slots_of"]


async def kill(handle: Handle) -> None:
    """Leaves a journal as a kill of its process does, but that another program has merged the -wal."""
    handle._access.writer._broken = JournalError("killed")  # type: ignore[attr-defined]
    await handle.close()


async def sending(
    journal: SqliteJournal, count: int = 8, marked: int = 3, more: int = 0
) -> tuple[Handle, Lease]:
    """A run with `count` intended, the first of whom were called, and `more` who are not."""
    handle = await sealed(journal, [row(seq) for seq in range(count + more)], chunk_size=count)
    await handle.make_slots(2 * count)
    lease = await take(handle)
    assert await handle.intend(lease, range(count), NOW, DAY)
    for seq in range(marked):
        handle.mark_leaving(lease, seq)
    return handle, lease


async def resumed(
    journal: SqliteJournal, *, idempotent: bool = False, **opening: Any
) -> tuple[Handle, Recovered]:
    handle = await journal.open(write=True, **opening)
    found = await handle.recover(idempotent=idempotent, at=NOW + 9, day=DAY, recent=9)
    assert adds_up(await handle.counts())
    return handle, found


async def left(journal: SqliteJournal, **opening: Any) -> str:
    """How the rows stand after a resume that sends nothing."""
    if not opening:
        with open_reader(journal.path) as reader:
            expected = intended_in(reader).in_doubt
    handle, found = await resumed(journal, **opening)
    after = await states(handle)
    if not opening:
        assert (expected.singles, expected.groups) == (found.unknown, found.lost_groups)
    await handle.close()
    assert beside(journal) == ["autumn.db"]
    return after


def slots_of(journal: SqliteJournal) -> Path:
    return Path(f"{journal.path}{SLOTS}")
