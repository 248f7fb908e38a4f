"""Groups in the making: which pending recipients could be one, and how a set is split."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.postgres.planning.planned_rows import forget_guesses
from promomsg.journal.postgres.statements.chunks import make_index
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.records import SharedMessage
from promomsg.journal.state_sql import in_state
from promomsg.model import State

__all__ = ["add_audience_group", "last_group", "make_groups", "shared_messages"]

_encode = msgspec.json.Encoder().encode

_SET: Final = f"{in_state(State.PENDING)} AND group_no IS NULL AND id IS NOT NULL"

_FREE: Final = f"{in_state(State.PENDING, row='r')} AND r.group_no IS NULL"

_INSERT: Final = """
INSERT INTO group_send (campaign, group_no, planned, message_values, message_digest, cohort)
SELECT %(campaign)s, group_no, planned, message_values, %(digest)s::bytea, %(cohort)s
FROM unnest(%(numbers)s::integer[], %(sizes)s::bigint[], %(values)s::text[])
     AS g (group_no, planned, message_values)
"""


async def last_group(reads: CampaignReads) -> int:
    """The highest number of a group; 0: there is none."""
    (last,) = await reads.row(
        "SELECT coalesce(max(group_no), 0) FROM group_send WHERE campaign = %(campaign)s"
    )
    return int(last)


async def shared_messages(
    tx: Transaction, at_least: int, added: AddedRows | None
) -> list[SharedMessage]:
    """Sets that could be a group, by digest (None first) and cohort; a sort only when there are
    digests or cohorts.

    Args:
        added: the rows of a plan in the making; None for a journal that was opened.
    """
    if added is not None:
        every = added.one_set
        if every is None or len(every) < max(at_least, 1):
            await forget_guesses(tx, added)
        if every is not None and not added.groups:
            return [SharedMessage(None, len(every))] if len(every) >= max(at_least, 1) else []
    if added is not None and added.cohorts:
        await make_index(tx, "cohort")  # `make_groups` looks for each
    bare = await tx.rows(
        "SELECT NULL, count(*), cohort FROM this.recipient"
        f" WHERE {_SET} AND message_digest IS NULL"
        " GROUP BY cohort HAVING count(*) >= %(at_least)s ORDER BY cohort",
        {"at_least": max(at_least, 1)},
    )
    found = [SharedMessage(*one) for one in bare]
    if added is None or added.digests:
        sets = await tx.rows(
            "SELECT message_digest, count(*), cohort FROM this.recipient"
            f" WHERE {_SET} AND message_digest IS NOT NULL GROUP BY message_digest, cohort"
            " HAVING count(*) >= %(at_least)s ORDER BY message_digest, cohort",
            {"at_least": at_least},
        )
        if sets:
            await make_index(tx, "digest")  # `make_groups` looks each of them up
        found += [SharedMessage(*one) for one in sets]
    return found


async def make_groups(
    tx: Transaction,
    message_digest: bytes | None,
    sizes: Sequence[int],
    cohort: int,
    added: AddedRows | None,
) -> None:
    """Splits one set, in order of seq; `added` as `shared_messages` has it."""
    last = await last_group(tx)
    if message_digest is None and added is not None and not added.groups:
        every = added.one_set
        if added.are_guessed(sizes):
            added.guessed.clear()
            await _insert(tx, last, sizes)
            return
        await forget_guesses(tx, added)
        if every is not None and sizes and min(sizes) > 0 and sum(sizes) <= len(every):
            await _split_all(tx, last, every, sizes)
            return
    await _split_set(tx, last, message_digest, sizes, cohort)


async def _insert(
    tx: Transaction,
    last: int,
    sizes: Sequence[int],
    digest: bytes | None = None,
    values: Sequence[str | None] | None = None,
    cohort: int = 0,
) -> None:
    await tx.change(
        _INSERT,
        {
            "numbers": list(range(last + 1, last + 1 + len(sizes))),
            "sizes": list(sizes),
            "values": [None] * len(sizes) if values is None else list(values),
            "digest": digest,
            "cohort": cohort,
        },
    )


async def _split_all(tx: Transaction, last: int, every: range, sizes: Sequence[int]) -> None:
    """Groups of rows that are all in one set: each is a range of seq."""
    starts = list(accumulate(sizes, initial=every.start))
    await tx.change(
        "UPDATE this.recipient SET group_no = %(last)s + width_bucket(seq, %(starts)s::bigint[])"
        " WHERE seq BETWEEN %(first)s AND %(end)s",
        {"last": last, "starts": starts[:-1], "first": every.start, "end": starts[-1] - 1},
    )
    await _insert(tx, last, sizes)


async def _split_set(
    tx: Transaction, last: int, digest: bytes | None, sizes: Sequence[int], cohort: int
) -> None:
    same = "message_digest IS NULL" if digest is None else "message_digest = %(digest)s"
    numbered = (
        "SELECT seq, message_values, row_number() OVER (ORDER BY seq) AS place"
        f" FROM this.recipient WHERE {_SET} AND cohort = {int(cohort)} AND {same}"
    )
    starts = list(accumulate(sizes, initial=1))
    args: dict[str, Any] = {"last": last, "digest": digest, "starts": starts[:-1]}
    firsts = dict(
        await tx.rows(
            f"SELECT place, message_values FROM ({numbered}) AS n"
            " WHERE place = ANY(%(starts)s::bigint[])",
            args,
        )
    )
    args["most"] = starts[-1] - 1
    put = 0
    if sizes and min(sizes) > 0:
        put = await tx.change(
            "UPDATE this.recipient AS r"
            " SET group_no = %(last)s + width_bucket(n.place, %(starts)s::bigint[])"
            # Of a campaign that is under way a row may have been intended since it was numbered.
            f" FROM ({numbered}) AS n WHERE r.seq = n.seq AND n.place <= %(most)s AND {_FREE}",
            args,
        )
    for number, (start, size) in enumerate(zip(starts, sizes, strict=False), last + 1):
        if size < 1 or start - 1 + size > put:
            raise JournalError(f"group {number} of {size}: the set has fewer recipients than that")
    values = [firsts[start] for start in starts[:-1]]
    await _insert(tx, last, sizes, digest, values, cohort)


async def add_audience_group(tx: Transaction, audience: Mapping[str, Any], planned: int) -> None:
    """A group whose people are not rows."""
    await tx.change(
        "INSERT INTO group_send (campaign, group_no, planned, audience_pending, audience)"
        " VALUES (%(campaign)s, %(group_no)s, %(planned)s, %(planned)s, %(audience)s)",
        {
            "group_no": await last_group(tx) + 1,
            "planned": planned,
            "audience": _encode(audience).decode(),
        },
    )
    tx.counts.add(State.PENDING, "", planned)
