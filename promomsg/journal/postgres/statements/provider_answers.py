"""What the provider says after a campaign's calls, in SQL: failure files, and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.answers_contract import FAILURE_FILE_LIMIT
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.records import ClickDay
from promomsg.model import ClickCount

__all__ = [
    "CLICKS",
    "FAILURE_FILE",
    "SENT_DAYS",
    "click_day",
    "clicks",
    "forget_other_pieces",
    "keep_clicks",
    "keep_piece",
    "pieces_of",
    "sent_days",
]

_encode = msgspec.json.Encoder().encode
_counts = msgspec.json.Decoder(tuple[ClickCount, ...]).decode

_PIECE: Final = 256 * 1024
"""Bytes: each piece is a transaction of its own, so that a long file over a slow line does not look like a
line that was lost."""

_KEEP_PIECE: Final = (
    "INSERT INTO failure_file (campaign, group_no, piece_no, pieces, piece)"
    " VALUES (%(campaign)s, %(group_no)s, %(piece_no)s, %(pieces)s, %(piece)s)"
    " ON CONFLICT (campaign, group_no, piece_no)"
    " DO UPDATE SET pieces = excluded.pieces, piece = excluded.piece"
)
_FORGET_OTHERS: Final = (
    "DELETE FROM failure_file"
    " WHERE campaign = %(campaign)s AND group_no = %(group_no)s AND pieces <> %(pieces)s"
)
FAILURE_FILE: Final = (
    "SELECT piece FROM failure_file AS f"
    " WHERE campaign = %(campaign)s AND group_no = %(group_no)s AND pieces = (SELECT count(*)"
    " FROM failure_file AS other WHERE other.campaign = f.campaign AND other.group_no = f.group_no)"
    " ORDER BY piece_no"
)
"""The pieces of a group's failure file; none when it is not whole."""

SENT_DAYS: Final = (
    "SELECT day FROM intent_day WHERE campaign = %(campaign)s"
    " GROUP BY day HAVING sum(singles) > 0 ORDER BY day"
)
"""The China-time days on which singles were intended, in order."""

_KEEP_CLICKS: Final = (
    "INSERT INTO click_day AS kept (campaign, day, by_message, asked_at, counts)"
    " VALUES (%(campaign)s, %(day)s, %(by_message)s, %(asked_at)s, %(counts)s)"
    " ON CONFLICT (campaign, day, by_message)"
    " DO UPDATE SET asked_at = excluded.asked_at, counts = excluded.counts"
    " WHERE excluded.asked_at >= kept.asked_at"
)
CLICKS: Final = (
    "SELECT day, by_message, asked_at, counts FROM click_day WHERE campaign = %(campaign)s"
    " ORDER BY day, by_message DESC"
)
"""What was kept of clicks, for `click_day`."""


def pieces_of(raw: bytes) -> list[bytes]:
    """A failure file as it is kept: at least one piece.

    Raises:
        JournalError: it is too long.
    """
    if len(raw) > FAILURE_FILE_LIMIT:
        raise JournalError(f"the failure file is over {FAILURE_FILE_LIMIT} bytes")
    return [raw[begin : begin + _PIECE] for begin in range(0, max(len(raw), 1), _PIECE)]


async def keep_piece(
    tx: Transaction, group_no: int, piece_no: int, pieces: int, piece: bytes
) -> None:
    """Keeps one piece of a group's failure file, in place of an earlier one."""
    args = {"group_no": group_no, "piece_no": piece_no, "pieces": pieces, "piece": piece}
    await tx.change(_KEEP_PIECE, args)


async def forget_other_pieces(tx: Transaction, group_no: int, pieces: int) -> None:
    """Forgets what is left of an earlier file that had another number of pieces."""
    await tx.change(_FORGET_OTHERS, {"group_no": group_no, "pieces": pieces})


async def sent_days(reads: CampaignReads) -> list[str]:
    """The China-time days on which singles were intended, in order."""
    return [day for (day,) in await reads.rows(SENT_DAYS)]


async def keep_clicks(tx: Transaction, found: ClickDay) -> None:
    """Keeps what was counted for one day, unless what is kept was asked for later."""
    await tx.change(
        _KEEP_CLICKS,
        {
            "day": found.day,
            "by_message": found.by_message,
            "asked_at": found.asked_at,
            "counts": _encode(found.counts).decode(),
        },
    )


async def clicks(reads: CampaignReads) -> list[ClickDay]:
    """What was kept of clicks, in order of days, by message first."""
    return [click_day(row) for row in await reads.rows(CLICKS)]


def click_day(row: Sequence[Any]) -> ClickDay:
    """A row of `CLICKS`."""
    day, by_message, asked_at, counts = row
    return ClickDay(day=day, by_message=by_message, asked_at=asked_at, counts=_counts(counts))
