"""The counts that a journal's file keeps: what a look at a campaign reads instead of its recipients."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from journal_rows import DAY, NOW, adds_up, bad_row, everybody, result, row, sealed, take

from promomsg.engine.opened_journal import open_journal
from promomsg.errors import JournalError
from promomsg.journal.records import Counts
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal
from promomsg.journal.sqlite.statements.reading import count_again
from promomsg.model import State

pytestmark = pytest.mark.asyncio


def counted(journal: SqliteJournal) -> Counts:
    """By a look at every recipient."""
    with JournalReader(journal.path) as reader:
        return reader.read(lambda db: count_again(db)[0]).totals()


async def test_they_change_with_each_commit(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [*(row(seq) for seq in range(10)), bad_row(10)])
    lease = await take(handle)
    with JournalReader(journal.path) as reader:
        assert reader.counts() == await handle.counts() == counted(journal)
        assert await handle.intend(lease, [0, 1, 2, 3], NOW + 1, DAY)
        assert reader.counts().pending == 10
        results = [
            result(0, at=NOW + 2),
            result(1, "failed", code="9", at=NOW + 4),
            result(2, "unknown", code="T", at=NOW + 3),
            result(3, "pending", code="R", at=NOW + 5),
        ]
        assert await handle.settle(lease, results)
        assert reader.counts() == await handle.counts() == counted(journal)
        assert reader.counts().by_code == {"BAD_ADDRESS": 1, "9": 1, "T": 1}
        assert reader.elapsed() == 5.0
        await handle.cancel_pending(NOW + 6)
        assert reader.counts() == counted(journal)
        assert (reader.counts().cancelled, reader.elapsed()) == (7, 6.0)
        assert adds_up(reader.counts())
    await handle.close()


async def test_a_retry_and_a_group_change_them_too(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(60)], groups=[50])
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    await handle.recover(idempotent=False, at=NOW + 3, day=DAY, recent=0)
    lease = await take(handle)
    assert await handle.intend(lease, [50], NOW, DAY)
    assert await handle.settle(lease, [result(50, "failed", code="9")])
    with JournalReader(journal.path) as reader:
        assert reader.counts() == counted(journal)
        assert (reader.counts().unknown, reader.counts().failed) == (50, 1)
        await handle.reopen(State.FAILED, include_unnamed=False, at=NOW)
        await handle.seal_retry(chunk_size=8)
        assert reader.counts() == await handle.counts() == counted(journal)
        assert reader.counts().failed == 0
    await handle.close()


async def test_a_sender_counts_the_recipients_and_puts_right_what_differs(
    journal: SqliteJournal,
) -> None:
    await (await sealed(journal, [row(seq) for seq in range(4)])).close()
    with closing(sqlite3.connect(journal.path)) as db, db:
        db.execute("UPDATE recipient SET state = 3, code = '9', at = ? WHERE seq < 3", (NOW + 7,))
        db.execute("UPDATE recipient_count SET recipients = 1000")
    handle = await journal.open(write=True)
    assert (await handle.counts()).by_code == {"9": 3}
    with JournalReader(journal.path) as reader:
        assert reader.counts() == await handle.counts() == counted(journal)
        assert reader.elapsed() == 7.0
    await handle.close()


def instructions_of_a_look(path: Path, *, in_doubt: int = 0) -> int:
    """Of SQLite's virtual machine: how much work it is, without a clock."""
    done = 0

    def one() -> None:
        nonlocal done
        done += 1

    with open_journal(path) as opened:
        opened._view.reader.read(lambda db: db.set_progress_handler(one, 1))
        report = opened.report()
        assert report.planned == report.unknown + report.sent + report.pending
        assert report.unknown == in_doubt
    return done


async def test_a_look_is_as_much_work_for_many_recipients_as_for_a_few(tmp_path: Path) -> None:
    work = []
    for count in (40, 4_000):
        journal = SqliteJournal(tmp_path / f"{count}.db", durability="process")
        handle = await sealed(journal, [row(seq) for seq in range(count)])
        lease = await take(handle)
        assert await handle.intend(lease, [0, 1], NOW, DAY)
        assert await handle.settle(lease, [result(0)])
        work.append(instructions_of_a_look(Path(journal.path)))
        await handle.close()
    few, many = work
    assert many == few


async def test_a_look_at_a_sender_that_died_is_as_much_work_too(tmp_path: Path) -> None:
    work = []
    for count in (40, 4_000):
        journal = SqliteJournal(tmp_path / f"{count}.db", durability="process")
        handle = await sealed(journal, [row(seq) for seq in range(count)])
        lease = await take(handle)
        assert await handle.intend(lease, [0, 1, 2], NOW, DAY)
        await handle.close()
        work.append(instructions_of_a_look(Path(journal.path), in_doubt=3))
    few, many = work
    assert many == few


@pytest.mark.parametrize("slots", [True, False])
async def test_what_is_shown_of_a_wallet_is_what_a_resume_makes_of_it(
    journal: SqliteJournal, slots: bool
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(8)], channel="alipay")
    if slots:
        await handle.make_slots(8)
    lease = await take(handle)
    assert await handle.intend(lease, range(6), NOW, DAY)
    again = [result(seq, "pending", code="T", maybe_sent=True, rid="r") for seq in (0, 1)]
    again += [result(seq, "pending", code="DNS", at=NOW) for seq in (2, 3)]
    assert await handle.settle(lease, again)
    assert await handle.intend(lease, range(4), NOW + 1, DAY)
    for seq in (0, 2, 4):
        handle.mark_leaving(lease, seq)
    handle._access.writer._broken = JournalError("killed")  # type: ignore[attr-defined]
    await handle.close()
    with open_journal(journal.path) as opened:
        report = opened.report()
        shown = [msgspec.structs.replace(outcome, at=None) for outcome in opened.outcomes()]
        unsent = [o.recipient.key for o in opened.outcomes([State.PENDING])]
    calls = 3 if slots else 6
    assert report.warnings == [
        f"{calls} single sends were out when its sender ended: resume asks for them again with the "
        "same idempotency keys"
    ]
    assert unsent == [f"k{seq}" for seq in range(8)]
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=True, at=NOW + 9, day=DAY, recent=0)
    assert found.again == calls
    assert (await handle.counts()).pending == report.pending == 8
    made = [msgspec.structs.replace(outcome, at=None) for outcome in await everybody(handle)]
    assert made == shown
    await handle.close()
