"""Planned rows in SQL: they come in batches, then ids and duplicates are found in all of them."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from promomsg.journal.planned_columns import AddedRows, PlannedColumns
from promomsg.journal.postgres.planning.copy_text import copy_text
from promomsg.journal.postgres.statements.chunks import make_index
from promomsg.journal.postgres.statements.transaction import (
    CampaignReads,
    Transaction,
    statement,
)
from promomsg.journal.reasons import UNIQUE_VALUES
from promomsg.journal.records import Place, PlannedRow
from promomsg.journal.state_sql import group_move, in_state, number, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent

__all__ = [
    "add_columns",
    "add_final",
    "assign_ids",
    "forget_guesses",
    "look_at_all",
    "mark_duplicates",
    "number_rows",
    "pending_keys",
    "plan_counts",
    "sample",
    "set_cohort",
]

_values = msgspec.json.Decoder(tuple[str, ...]).decode

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)
_PLANNED_GROUP: Final = group_move(GroupEvent.INTEND).where

_OPTIONAL: Final = {
    "id": "id",
    "openid": "openid",
    "unionid": "unionid",
    "fingerprint": "fingerprint",
    "request_id": "request_id",
    "values": "message_values",
    "message_digest": "message_digest",
    "group_no": "group_no",
    "cohort": "cohort",
}
"""Columns of planned rows that may be None, and what the table calls them."""


async def add_columns(tx: Transaction, rows: PlannedColumns) -> None:
    """Writes pending rows, given as columns."""
    used = [name for name in _OPTIONAL if getattr(rows, name) is not None]
    columns = [rows.seq, rows.key, *(getattr(rows, name) for name in used)]
    names = ["seq", "key", *(_OPTIONAL[name] for name in used)]
    await _copy(tx, names, columns)
    tx.counts.add(State.PENDING, "", len(rows.seq))


_FINAL: Final = (
    "seq", "key", "id", "openid", "unionid", "fingerprint", "request_id", "message_values",
    "message_digest", "state", "code", "detail",
)  # fmt: skip


async def add_final(tx: Transaction, rows: Sequence[PlannedRow]) -> None:
    """Writes rows that are not pending."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    columns.pop()  # they are in cohort 0
    columns[9] = [number(State(state)) for state in columns[9]]
    await _copy(tx, _FINAL, columns)
    for row in rows:
        tx.counts.add(row.state, row.code, 1)


async def _copy(tx: Transaction, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    # Half a plan does not outlive its maker's connection: only the seal waits for the disk, and what was
    # added before is there with it.
    await tx.change("SET LOCAL synchronous_commit = off")
    text = statement(f"COPY this.recipient ({', '.join(names)}) FROM STDIN", tx.campaign)
    async with tx.db.cursor() as cursor, cursor.copy(text) as copy:
        await copy.write(copy_text(columns))


async def number_rows(tx: Transaction) -> None:
    """Makes the index of the rows' numbers, unless it is there."""
    await tx.change(
        f"CREATE UNIQUE INDEX IF NOT EXISTS recipient_{tx.campaign}_seq ON this.recipient (seq)"
    )


async def pending_keys(tx: Transaction, after: int, limit: int) -> list[tuple[int, str, int]]:
    """(seq, key, cohort) of the next pending rows, in order of seq."""
    await number_rows(tx)
    return await tx.rows(
        f"SELECT seq, key, cohort FROM this.recipient WHERE {_PENDING} AND seq > %(after)s"
        " ORDER BY seq LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )


async def set_cohort(tx: Transaction, seqs: Sequence[int], cohort: int) -> None:
    """Puts rows into another cohort."""
    await number_rows(tx)
    await tx.change(
        "UPDATE this.recipient SET cohort = %(cohort)s WHERE seq = ANY(%(seqs)s::bigint[])",
        {"cohort": cohort, "seqs": list(seqs)},
    )


async def look_at_all(tx: Transaction) -> None:
    """Has the server look at some of what was added: it chooses its ways of searching by how many rows
    there are and how they differ, for which a few thousand of them say enough."""
    await tx.change("SET LOCAL default_statistics_target = 10")
    await tx.change("ANALYZE this.recipient")


async def assign_ids(tx: Transaction, found: Sequence[tuple[str | None, str | None, str]]) -> int:
    """Fills ids in by openid, then by unionid, through indexes that `seal` drops again."""
    changed = 0
    for place, column in enumerate(("openid", "unionid")):
        await make_index(tx, f"by_{column}")
        known = {pair[place]: pair[2] for pair in found if pair[place] is not None}
        changed += await tx.change(
            f"""
            UPDATE this.recipient AS r SET id = f.id
            FROM unnest(%(known)s::text[], %(ids)s::text[]) AS f (known, id)
            WHERE r.{column} = f.known AND r.id IS NULL AND {_PENDING}
            """,
            {"known": list(known), "ids": list(known.values())},
        )
    return changed


_PLACE: Final = """
    (SELECT ' (' || p.unit || ' ' || (p.number + early.seq - p.seq) || ')'
     FROM pg_temp.place AS p WHERE p.seq <= early.seq ORDER BY p.seq DESC LIMIT 1)
"""


async def mark_duplicates(
    tx: Transaction, added: AddedRows, columns: Collection[str], places: Sequence[Place] = ()
) -> int:
    """Column by column; see `Handle.mark_duplicates`.

    A column is looked at only when a value may be there twice, and it is sorted only when one is:
    nearly every list has none.
    """
    total = 0
    for column, name, code in UNIQUE_VALUES:
        if name not in ("key", *columns) or not added.may_repeat(column):
            continue
        if not await _is_repeated(tx, column, added.values_in(column)):
            continue
        await _keep_places(tx, places)
        found = await tx.change(
            f"""
            UPDATE this.recipient AS r SET {_SKIP.sets}, code = %(code)s,
                detail = %(same)s || early.key || coalesce({_PLACE}, '')
            FROM (SELECT seq, first_value(seq) OVER (PARTITION BY {column} ORDER BY seq) AS first
                  FROM this.recipient WHERE {_SKIP.where} AND {column} IS NOT NULL) AS again
            JOIN this.recipient AS early ON early.seq = again.first
            WHERE r.seq = again.seq AND again.seq <> again.first
            """,
            {"code": code.value, "same": f"same {name} as "},
        )
        tx.counts.move(State.PENDING, "", _SKIP.end, code.value, found)
        total += found
    if total:
        await forget_guesses(tx, added)
    return total


async def forget_guesses(tx: Transaction, added: AddedRows) -> None:
    """Takes the rows out of the groups that they were only guessed to be in."""
    if added.guessed:
        await tx.change("UPDATE this.recipient SET group_no = NULL WHERE group_no IS NOT NULL")
        added.guessed.clear()


async def _is_repeated(tx: Transaction, column: str, values: int | None) -> bool:
    """Whether pending rows share a value; `values`: how many have one, or None."""
    groups = f"FROM this.recipient WHERE {_SKIP.where} AND {column} IS NOT NULL GROUP BY {column}"
    if values is None:
        return await tx.first(f"SELECT 1 {groups} HAVING count(*) > 1 LIMIT 1") is not None
    (different,) = await tx.row(f"SELECT count(*) FROM (SELECT 1 {groups}) AS one")
    return bool(different != values)


async def _keep_places(tx: Transaction, places: Sequence[Place]) -> None:
    """Only once there is a duplicate: nearly every list has none."""
    await tx.change(
        "CREATE TEMP TABLE IF NOT EXISTS place (seq bigint PRIMARY KEY, unit text, number bigint)"
    )
    await tx.change("TRUNCATE pg_temp.place")
    if places:
        seqs, units, numbers = (list(column) for column in zip(*places, strict=True))
        await tx.change(
            "INSERT INTO pg_temp.place"
            " SELECT * FROM unnest(%(seqs)s::bigint[], %(units)s::text[], %(numbers)s::bigint[])",
            {"seqs": seqs, "units": units, "numbers": numbers},
        )


async def sample(reads: CampaignReads, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """The first pending rows: (key, address, values)."""
    return [
        (key, address or "", _values(message_values) if message_values else ())
        for key, address, message_values in await reads.rows(
            "SELECT key, coalesce(openid, unionid, id), message_values FROM this.recipient"
            f" WHERE {_PENDING} ORDER BY seq LIMIT %(limit)s",
            {"limit": limit},
        )
    ]


async def plan_counts(reads: CampaignReads, added: AddedRows | None) -> tuple[int, int]:
    """(singles, groups) still to be called.

    Args:
        added: the rows of a plan in the making; None for a journal that was opened.
    """
    if added is not None and not added.changed:
        return added.count - added.in_groups, added.groups
    alone = "" if added is not None and added.guessed else "AND group_no IS NULL"
    (singles,) = await reads.row(f"SELECT count(*) FROM this.recipient WHERE {_PENDING} {alone}")
    (groups,) = await reads.row(
        f"SELECT count(*) FROM group_send WHERE campaign = %(campaign)s AND {_PLANNED_GROUP}"
    )
    return singles, groups
