"""Groups as rows: one says where a group stands, one statement moves its members."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.postgres.statements.closing import close_rows
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.records import GroupRow, Reason
from promomsg.journal.state_sql import Move
from promomsg.model import State
from promomsg.states import Event, GroupState, IllegalMove, transition

__all__ = [
    "GROUPS",
    "ONE_GROUP",
    "close_members",
    "get_group",
    "group_row",
    "group_rows",
    "move_audience",
    "move_group_row",
]

_json = msgspec.json.Decoder().decode

_COLUMNS: Final = (
    "group_no, state, planned, message_values, audience, msg_id, percent, send_cnt, fail_cnt,"
    " attempts, sent_at, next_poll_at, polls, polls_at_100, given_up, warned_of_age, followed_since,"
    " code, detail, rid"
)
_NAMES: Final = tuple({"message_values": "values"}.get(name, name) for name in _COLUMNS.split(", "))


GROUPS: Final = f"SELECT {_COLUMNS} FROM group_send WHERE campaign = %(campaign)s ORDER BY group_no"
ONE_GROUP: Final = (
    f"SELECT {_COLUMNS} FROM group_send WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
)


def group_row(row: tuple[Any, ...]) -> GroupRow:
    """A row of `GROUPS` or `ONE_GROUP`."""
    values = dict(zip(_NAMES, row, strict=True))
    values["values"] = _json(values["values"]) if values["values"] else ()
    values["audience"] = _json(values["audience"]) if values["audience"] else None
    return msgspec.convert(values, GroupRow)


async def group_rows(
    reads: CampaignReads, where: str = "true", args: Mapping[str, Any] | None = None
) -> list[GroupRow]:
    """The groups that a condition finds, by number. A transaction locks them, so that they stay as
    they are until it ends."""
    lock = "FOR NO KEY UPDATE" if isinstance(reads, Transaction) else ""
    rows = await reads.rows(
        f"SELECT {_COLUMNS} FROM group_send WHERE campaign = %(campaign)s AND {where}"
        f" ORDER BY group_no {lock}",
        args,
    )
    return [group_row(row) for row in rows]


async def get_group(reads: CampaignReads, group_no: int | None) -> GroupRow:
    """The group of that number; JournalError when there is none."""
    for group in await group_rows(reads, "group_no = %(group_no)s", {"group_no": group_no}):
        return group
    raise JournalError(f"there is no group {group_no} in this journal")


async def move_group_row(
    tx: Transaction, group: GroupRow, step: Move[GroupState], **columns: Any
) -> None:
    """Moves a group, which this transaction has read, along the state table and sets columns.

    Raises:
        IllegalMove: it is in no state from which that can happen.
    """
    if group.state not in step.starts:
        raise IllegalMove(f"a group that is {group.state} cannot take {step.event}")
    sets = ", ".join((step.sets, *(f"{name} = %({name})s" for name in columns)))
    await tx.change(
        f"UPDATE group_send SET {sets} WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
        f" AND {step.where}",
        {**columns, "group_no": group.group_no},
    )


async def move_audience(
    tx: Transaction, group: GroupRow, event: Event, start: State, old_code: str, new_code: str
) -> int:
    """Moves the people of an audience who are counted as `start` by that event; returns how many."""
    if group.audience is None:
        return 0
    end = transition(event, start).end
    one = {"group_no": group.group_no}
    (count,) = await tx.row(
        f"SELECT audience_{start} FROM group_send"
        " WHERE campaign = %(campaign)s AND group_no = %(group_no)s",
        one,
    )
    await tx.change(
        f"UPDATE group_send SET audience_{end} = audience_{end} + %(count)s, audience_{start} = 0"
        " WHERE campaign = %(campaign)s AND group_no = %(group_no)s",
        {**one, "count": count},
    )
    tx.counts.move(start, old_code, end, new_code, count)
    return int(count)


async def close_members(
    tx: Transaction, group: GroupRow, event: Event, reason: Reason, at: float
) -> int:
    """Moves all members that are pending, whether they are rows or counted; returns how many."""
    rows = 0
    if group.audience is None:
        args = {"group_no": group.group_no}
        where = "group_no = %(group_no)s"
        rows = await close_rows(tx, event, where, args, reason, at, group.attempts)
    return rows + await move_audience(tx, group, event, State.PENDING, "", reason.code)
