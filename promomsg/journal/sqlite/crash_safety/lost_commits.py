"""A journal whose last commits are lost: how that is told, and who is in doubt then.

Two things tell. The **open flag** is in the main file from before the first call until a clean
close: a sender had it open, so part of it may stand in the `-wal`. The **commit mark** beside it
says how far it got (`promomsg.journal.sqlite.crash_safety.commit_mark`).
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import os
import sqlite3
from enum import Enum
from typing import Final

from promomsg.journal.reasons import COMMITS_LOST
from promomsg.journal.sqlite.crash_safety.commit_mark import Position
from promomsg.journal.sqlite.crash_safety.side_files import MARK, WAL
from promomsg.journal.sqlite.planning.sealing import cut_chunks
from promomsg.journal.state_sql import group_move, recipient_move
from promomsg.model import State
from promomsg.plural import counted
from promomsg.states import Event, GroupEvent

__all__ = ["Finding", "judge", "mark_maybe_sent", "position", "refusal", "warning"]

_WAL_HEADER: Final = 32
"""Bytes of a `-wal` before its first commit."""


_INTEND: Final = recipient_move(Event.COMMITS_LOST, State.PENDING, State.INTENDED)
_LOSE: Final = recipient_move(Event.COMMITS_LOST, State.FAILED)
_INTEND_GROUP: Final = group_move(GroupEvent.COMMITS_LOST)


class Finding(Enum):
    """What is known of a journal before it is resumed."""

    WHOLE = "whole"
    BEHIND = "behind"
    """Its last commits are lost: the `-wal` is damaged or was cut."""
    LOST = "lost"
    """It may be, since a `-wal` that was there is not."""


def judge(*, flag: bool, wal: int | None, number: int, mark: Position | None) -> Finding:
    """What the open flag and the commit mark say together.

    Args:
        flag: whether the open flag is set.
        wal: the size of the `-wal` in bytes before anything of ours opened it; None: there is none.
        number: `commit_log.log_no` of the last commit that can be read.
        mark: the commit mark; None when it is missing, torn, or another journal's.
    """
    if mark is not None:
        if mark.number <= number:
            return Finding.WHOLE
        return Finding.BEHIND if flag and wal is not None else Finding.LOST
    if not flag or (wal is not None and wal > _WAL_HEADER):
        return Finding.WHOLE  # a mark may go in a power cut, and SQLite's log is there
    return Finding.LOST


def refusal(path: str) -> str:
    """Why a journal whose `-wal` is gone is not resumed, and what to do."""
    name = os.path.basename(path)
    return (
        f"{path}: a sender had it open, and its {name}{WAL} is not beside it: either the journal was "
        f"moved, copied or put back without it, or another program has merged or removed it, and "
        f"no {name}{MARK} says that nothing is missing. Bring {name}{WAL} and {name}{MARK} here "
        "from where it was sent; if they are gone, resume it with --after-lost-wal "
        "(after_lost_wal=True): whoever may have been sent to since becomes unknown"
    )


def position(db: sqlite3.Connection) -> tuple[bool, Position]:
    """(open flag, how far the journal got by its own account)."""
    flag, run_id, number, singles, groups = db.execute(
        """
        SELECT sender_open, run_id, (SELECT coalesce(max(log_no), 0) FROM commit_log),
               (SELECT coalesce(max(chunk_no), 0) FROM chunk WHERE epoch > 0 AND (group_no IS NULL) = 1),
               (SELECT coalesce(max(chunk_no), 0) FROM chunk WHERE epoch > 0 AND (group_no IS NULL) = 0)
        FROM campaign
        """
    ).fetchone()
    return flag != 0, Position(str(run_id), int(number), int(singles), int(groups))


def warning(path: str, people: int, behind: int | None) -> str:
    """What a resume says of it; `behind`: how many commits are lost, None when that is not known."""
    name = os.path.basename(path)
    if behind is None:
        why = f"{name}{WAL} was lost, and there is no commit mark"
    else:
        commits = counted(
            behind, "commit before the commit mark is", "commits before the commit mark are"
        )
        why = f"{name}{WAL} was damaged, cut or lost: {commits} missing"
    who = counted(
        people,
        "person who may have been sent to since is unknown",
        "people who may have been sent to since are unknown",
    )
    return f"{why}; {who}, not sent to again"


def mark_maybe_sent(db: sqlite3.Connection, mark: Position | None) -> int:
    """Takes everybody for intended who may have been since the last commit that is left: `recover`
    then does with them as with all that a process left so. Returns how many that are.

    Those are the people not final in a chunk that was started, by the journal or by the mark; in any
    chunk, without a mark. A chunk of the mark's that the journal does not have is a retry's that is
    lost whole: then those who failed may have been sent to again too.
    """
    last, chunk_size = db.execute(
        "SELECT (SELECT coalesce(max(chunk_no), 0) FROM chunk), chunk_size FROM campaign"
    ).fetchone()
    replanned = mark is not None and max(mark.singles, mark.groups) > last
    if mark is None or replanned:
        # Some may be in no chunk at all: everybody gets a new one.
        cut_chunks(db, chunk_size)
        started = "done = 0"
    else:
        started = (
            "done = 0 AND (epoch > 0 OR chunk_no <= iif(group_no IS NULL,"
            f" {int(mark.singles)}, {int(mark.groups)}))"
        )
    reason = {"code": COMMITS_LOST.code, "detail": COMMITS_LOST.detail}
    keep = "maybe_sent = 1 AND code <> ''"
    people = 0
    for first, last, cohort in db.execute(
        "SELECT first_seq, last_seq, cohort FROM chunk"
        f" WHERE {started} AND group_no IS NULL ORDER BY chunk_no"
    ).fetchall():
        people += db.execute(
            f"UPDATE recipient SET {_INTEND.sets}, code = iif({keep}, code, :code),"
            f" detail = iif({keep}, detail, :detail)"
            " WHERE seq BETWEEN :first AND :last AND cohort = :cohort"
            f" AND {_INTEND.where} AND group_no IS NULL",
            {**reason, "first": first, "last": last, "cohort": cohort},
        ).rowcount
    groups = f"group_no IN (SELECT group_no FROM chunk WHERE {started}) AND {_INTEND_GROUP.where}"
    (members,) = db.execute(
        f"SELECT coalesce(sum(planned), 0) FROM group_send WHERE {groups}"
    ).fetchone()
    people += members
    db.execute(
        f"UPDATE group_send SET {_INTEND_GROUP.sets}, code = :code, detail = :detail WHERE {groups}",
        reason,
    )
    db.execute(f"UPDATE chunk SET epoch = epoch + 1 WHERE {started}")
    # Whom a sender called whose commits are lost, no slots say.
    db.execute("UPDATE campaign SET opening = NULL")
    if replanned:
        people += db.execute(
            f"UPDATE recipient SET {_LOSE.sets}, code = :code, detail = :detail"
            f" WHERE {_LOSE.where} AND at IS NOT NULL",
            reason,
        ).rowcount
    # Numbers that the mark has seen are not given again.
    seen = 0 if mark is None else mark.number
    db.execute(
        "INSERT INTO commit_log (log_no) SELECT max(coalesce(max(log_no), 0), ?) + 1 FROM commit_log",
        (seen,),
    )
    return int(people)
