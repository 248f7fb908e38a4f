"""Group calls in SQL: the intent, and what came of it. Each locks the lease's chunk, and says True once
more when it has done already what it is asked for."""

# Only constants of this package are put together into statements; values are always bound.

from __future__ import annotations

from typing import Any, Final

from promomsg.errors import JournalError
from promomsg.journal.postgres.statements.chunks import make_index
from promomsg.journal.postgres.statements.closing import close_rows
from promomsg.journal.postgres.statements.group_rows import (
    close_members,
    get_group,
    group_rows,
    move_group_row,
)
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.records import Control, GroupRow, Lease, Reason
from promomsg.journal.state_sql import group_move
from promomsg.states import Event, GroupEvent, GroupState

__all__ = [
    "accept",
    "intend",
    "lose",
    "lose_group",
    "members",
    "refuse",
    "refuse_message",
    "return_",
]

_INTEND: Final = group_move(GroupEvent.INTEND)
_ACCEPT: Final = group_move(GroupEvent.ACCEPTED)
_RETURN: Final = group_move(GroupEvent.NOT_SENT)
_REFUSE: Final = group_move(GroupEvent.REFUSED, GroupState.PLANNED, GroupState.INTENDED)
_REFUSE_PLANNED: Final = group_move(GroupEvent.REFUSED, GroupState.PLANNED)
_LOSE: Final = group_move(GroupEvent.LOST)
_GONE: Final = (_REFUSE_PLANNED.end, group_move(GroupEvent.CANCEL).end)
"""What a planned group can have become since it was taken, without being sent."""

_LOCK: Final = """
SELECT coalesce(deadline > extract(epoch FROM clock_timestamp()), false),
       (SELECT requested FROM control WHERE campaign = %(campaign)s)
FROM chunk WHERE campaign = %(campaign)s AND chunk_no = %(chunk_no)s AND epoch = %(epoch)s FOR SHARE
"""


async def _lock(tx: Transaction, lease: Lease) -> tuple[bool, bool] | None:
    """(alive, running) of a lease that is held, and stays so until this is committed."""
    row = await tx.first(_LOCK, {"chunk_no": lease.chunk_no, "epoch": lease.epoch})
    return None if row is None else (row[0], row[1] == Control.RUN.value)


async def members(reads: CampaignReads, group_no: int) -> list[str]:
    """Promoter ids, in order of seq."""
    rows = await reads.rows(
        "SELECT id FROM this.recipient WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
        " ORDER BY seq",
        {"group_no": group_no},
    )
    return [id for (id,) in rows]


async def intend(tx: Transaction, lease: Lease, at: float) -> bool:
    """planned → intended."""
    held = await _lock(tx, lease)
    if held is None:
        return False
    group = await get_group(tx, lease.group_no)
    if group.state is _INTEND.end and group.sent_at == at:
        return True
    if not all(held) or group.state in _GONE:
        return False
    await move_group_row(tx, group, _INTEND, attempts=group.attempts + 1, sent_at=at)
    return True


async def accept(
    tx: Transaction, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
) -> bool:
    """intended → accepted."""
    if await _lock(tx, lease) is None:
        return False
    group = await get_group(tx, lease.group_no)
    if group.state is not _ACCEPT.end or group.msg_id != msg_id:
        columns: dict[str, Any] = {"msg_id": msg_id, "rid": rid, "code": "", "detail": ""}
        times = {"sent_at": at, "next_poll_at": next_poll_at, "followed_since": at}
        await move_group_row(tx, group, _ACCEPT, **columns, **times)
    return True


async def return_(tx: Transaction, lease: Lease, reason: Reason, called: bool) -> bool:
    """intended → planned."""
    if await _lock(tx, lease) is None:
        return False
    group = await get_group(tx, lease.group_no)
    if group.state is not _RETURN.end:
        attempts = group.attempts if called else group.attempts - 1
        texts = {"code": reason.code, "detail": reason.detail}
        await move_group_row(tx, group, _RETURN, **texts, attempts=attempts)
    return True


async def _refuse(tx: Transaction, group: GroupRow, reason: Reason, at: float) -> int:
    await move_group_row(tx, group, _REFUSE, **reason._asdict())
    return await close_members(tx, group, Event.MESSAGE_REFUSED, reason, at)


async def _index_digests(tx: Transaction) -> None:
    """Messages of their own may be refused by the thousand."""
    (there,) = await tx.row(
        "SELECT to_regclass(%(name)s) IS NOT NULL", {"name": f"recipient_{tx.campaign}_digest"}
    )
    if not there:
        await make_index(tx, "digest")


async def _refuse_same(tx: Transaction, digest: bytes | None, reason: Reason, at: float) -> int:
    """Pending singles and planned groups with the same rendered message."""
    same, args = "message_digest IS NULL", dict[str, Any]()
    if digest is not None:
        same, args = "message_digest = %(digest)s", {"digest": digest}
        await _index_digests(tx)
    where = f"campaign = %(campaign)s AND group_no IS NULL AND {same}"
    count = await close_rows(tx, Event.MESSAGE_REFUSED, where, args, reason, at)
    for group in await group_rows(tx, f"{_REFUSE_PLANNED.where} AND {same}", args):
        count += await _refuse(tx, group, reason, at)
    return count


async def refuse_message(tx: Transaction, seq: int, reason: Reason, at: float) -> int:
    """Everybody else who would get the message of row `seq`."""
    row = await tx.first(
        "SELECT message_digest FROM this.recipient WHERE campaign = %(campaign)s AND seq = %(seq)s",
        {"seq": seq},
    )
    if row is None:
        raise JournalError(f"there is no row {seq} in this journal")
    return await _refuse_same(tx, row[0], reason, at)


async def refuse(tx: Transaction, lease: Lease, reason: Reason, at: float, everybody: bool) -> bool:
    """intended → refused; `everybody` with the same message too."""
    if await _lock(tx, lease) is None:
        return False
    group = await get_group(tx, lease.group_no)
    if group.state is _REFUSE.end and group.code == reason.code:
        return True
    (digest,) = await tx.row(
        "SELECT message_digest FROM group_send"
        " WHERE campaign = %(campaign)s AND group_no = %(group_no)s",
        {"group_no": group.group_no},
    )
    await _refuse(tx, group, reason, at)
    if everybody:
        await _refuse_same(tx, digest, reason, at)
    return True


async def lose_group(tx: Transaction, group: GroupRow, reason: Reason, at: float) -> None:
    """intended → unknown, with all members."""
    await move_group_row(tx, group, _LOSE, code=reason.code, detail=reason.detail)
    await close_members(tx, group, Event.GROUP_LOST, reason, at)


async def lose(tx: Transaction, lease: Lease, reason: Reason, at: float) -> bool:
    """The same, of a lease."""
    if await _lock(tx, lease) is None:
        return False
    group = await get_group(tx, lease.group_no)
    if group.state is not _LOSE.end:
        await lose_group(tx, group, reason, at)
    return True
