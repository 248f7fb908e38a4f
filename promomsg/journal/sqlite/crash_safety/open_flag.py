"""Before a journal is sent from: whether it is whole, and the open flag, which says from then on that
a sender has it.
"""

from __future__ import annotations

import sqlite3

from promomsg.errors import JournalError
from promomsg.journal.counts import RunningCounts
from promomsg.journal.sqlite.crash_safety import lost_commits
from promomsg.journal.sqlite.crash_safety.commit_mark import CommitMark, Position, read_mark
from promomsg.journal.sqlite.crash_safety.lost_commits import Finding
from promomsg.journal.sqlite.readers.journal_reader import JournalReader, wal_size
from promomsg.journal.sqlite.statements import reading as read
from promomsg.journal.sqlite.statements.campaign_row import add_warnings

__all__ = ["check_whole", "set_open_flag"]


def check_whole(reader: JournalReader, *, after_lost_wal: bool) -> tuple[Finding, Position | None]:
    """Whether commits of a journal are lost, and its commit mark; nothing of it is changed.

    Args:
        reader: of the journal, under the sender's lock.
        after_lost_wal: see `promomsg.journal.contract.Journal.open`.

    Raises:
        JournalError: it is damaged, or its commits may be lost and `after_lost_wal` is False.
    """
    wal = wal_size(reader.path)
    reader.check_whole()
    flag, at = reader.position()
    reader.read(read.record)
    mark = read_mark(reader.path, at.run_id)
    finding = lost_commits.judge(flag=flag, wal=wal, number=at.number, mark=mark)
    if finding is Finding.LOST and not after_lost_wal:
        raise JournalError(lost_commits.refusal(reader.path))
    return finding, mark


def set_open_flag(
    db: sqlite3.Connection,
    path: str,
    finding: Finding,
    mark: Position | None,
    counted: tuple[RunningCounts, float | None] | None,
    *,
    durable: bool,
) -> CommitMark:
    """Sets the open flag, marks who may have been sent to when commits are lost, keeps the counts as
    they are then, and makes all of it durable.

    Also tells now, not at the first intent, when the file cannot be written.

    Args:
        db: the sender's connection.
        finding, mark: what `check_whole` says.
        counted: by `count_again`, since then; None: to be counted here.
        durable: of the new commit mark, which is returned.

    Raises:
        JournalError: the -wal has changed since `check_whole`, or the flag cannot be made durable.
    """
    if db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        db.execute("PRAGMA journal_mode = WAL")  # a copy by VACUUM INTO has none
    db.execute("BEGIN IMMEDIATE")
    _, at = lost_commits.position(db)
    if finding is Finding.WHOLE and mark is not None and at.number < mark.number:
        raise JournalError(f"{path}: its -wal was changed or removed just now; resume it again")
    db.execute("UPDATE campaign SET sender_open = 1")
    if finding is not Finding.WHOLE:
        people = lost_commits.mark_maybe_sent(db, mark)
        behind = None if mark is None else mark.number - at.number
        add_warnings(db, [lost_commits.warning(path, people, behind)])
    read.keep_counts(db, *(counted or read.count_again(db)))
    new: CommitMark | None = None
    if finding is Finding.WHOLE and mark is None:
        # Before the flag: when it cannot be written, a flag without it would say that commits are lost.
        new = CommitMark(path, at, durable=durable)
    db.execute("COMMIT")
    if new is None:
        _, at = lost_commits.position(db)
        new = CommitMark(path, at, durable=durable)
    try:
        busy, log, merged = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy and log != merged:
            raise JournalError(
                f"{path}: another program is in the middle of reading it, so that it "
                "cannot be marked as open; end that one, then resume"
            )
    except BaseException:
        new.close(remove=False)
        raise
    return new
