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
    "click_day",
    "clicks",
    "keep_clicks",
    "keep_failure_file",
    "sent_days",
]

_encode = msgspec.json.Encoder().encode
_counts = msgspec.json.Decoder(tuple[ClickCount, ...]).decode

_PIECE: Final = 256 * 1024
"""Bytes: each piece is answered for, so that a long file over a slow line is no line that was lost."""

# Whoever keeps the same group's file at the same time waits, and then replaces it.
_LOCK_GROUP: Final = "SELECT FROM group_send WHERE campaign = %(campaign)s AND group_no = %(group_no)s FOR NO KEY UPDATE"
_FORGET: Final = (
    "DELETE FROM failure_file WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
)
_KEEP_PIECE: Final = (
    "INSERT INTO failure_file (campaign, group_no, piece_no, piece)"
    " VALUES (%(campaign)s, %(group_no)s, %(piece_no)s, %(piece)s)"
)
FAILURE_FILE: Final = (
    "SELECT piece FROM failure_file"
    " WHERE campaign = %(campaign)s AND group_no = %(group_no)s ORDER BY piece_no"
)
"""The pieces of a group's failure file."""

_SENT_DAYS: Final = (
    "SELECT day FROM intent_day WHERE campaign = %(campaign)s"
    " GROUP BY day HAVING sum(singles) > 0 ORDER BY day"
)
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


async def keep_failure_file(tx: Transaction, group_no: int, raw: bytes) -> None:
    """Keeps a group's failure file as it came, in place of an earlier one."""
    if len(raw) > FAILURE_FILE_LIMIT:
        raise JournalError(f"the failure file is over {FAILURE_FILE_LIMIT} bytes")
    group = {"group_no": group_no}
    await tx.change(_LOCK_GROUP, group)
    await tx.change(_FORGET, group)
    for piece_no, begin in enumerate(range(0, max(len(raw), 1), _PIECE)):
        piece = raw[begin : begin + _PIECE]
        await tx.change(_KEEP_PIECE, {**group, "piece_no": piece_no, "piece": piece})


async def sent_days(reads: CampaignReads) -> list[str]:
    """The China-time days on which singles were intended, in order."""
    return [day for (day,) in await reads.rows(_SENT_DAYS)]


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
