"""The suppression list in SQL: it holds for a person, however many rows they have."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Final

from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.reasons import LINKED, LISTED, NOT_SELECTED
from promomsg.journal.records import fingerprint
from promomsg.journal.state_sql import in_state, recipient_move
from promomsg.model import State
from promomsg.states import Event

__all__ = [
    "absent_key",
    "choose_keys",
    "find_blocked",
    "left_out",
    "list_values",
    "make_blocked",
    "select_chosen",
    "suppress_listed",
]

_LISTED_BY: Final = ("key", "id", "openid", "unionid")
"""Columns that a suppression list may name somebody by."""
_LINKS: Final = {**{name: name for name in _LISTED_BY}, "access_token": "fingerprint"}
"""What two rows of one person may have in common, and its column."""

_BARE_KEY: Final = "CASE WHEN r.key LIKE ' %%' OR r.key LIKE '%% ' THEN btrim(r.key) END"
"""The key without the blanks around it, which a list need not have; NULL where it has none."""

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)

# A value is kept as it is, or, when it may be a user's token, as two marks of it: `value` is what
# this server can make of a column too, `token` is what stands in a row for its token.
_TABLES: Final = """
CREATE TEMP TABLE IF NOT EXISTS listed (
    value text PRIMARY KEY,
    token bytea,
    is_spelling boolean NOT NULL      -- another way of writing a value that counts itself
);
CREATE TEMP TABLE IF NOT EXISTS doubtful (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    value text NOT NULL,
    value_token bytea,
    refusal text NOT NULL,
    inside text,
    inside_token bytea,
    is_key boolean NOT NULL
);
TRUNCATE pg_temp.listed, pg_temp.doubtful;
"""
_BLOCKED: Final = """
CREATE TEMP TABLE IF NOT EXISTS blocked (
    seq bigint PRIMARY KEY, detail text NOT NULL, round integer NOT NULL);
TRUNCATE pg_temp.blocked;
"""

_ADD: Final = """
INSERT INTO pg_temp.listed
SELECT DISTINCT ON (value) value, token, {is_spelling}
FROM unnest(%(values)s::text[], %(tokens)s::bytea[]) AS t (value, token)
ON CONFLICT (value) DO {otherwise}
"""
_ADD_VALUES: Final = _ADD.format(
    is_spelling="false",
    otherwise="UPDATE SET is_spelling = false WHERE listed.is_spelling",
)
_ADD_SPELLINGS: Final = _ADD.format(is_spelling="true", otherwise="NOTHING")
_ADD_DOUBTFUL: Final = """
INSERT INTO pg_temp.doubtful (value, value_token, refusal, inside, inside_token, is_key)
SELECT value, value_token, refusal, inside, inside_token, is_key
FROM unnest(%(values)s::text[], %(value_tokens)s::bytea[], %(refusals)s::text[], %(insides)s::text[],
            %(inside_tokens)s::bytea[], %(are_keys)s::boolean[]) WITH ORDINALITY
     AS t (value, value_token, refusal, inside, inside_token, is_key, place)
ORDER BY place
"""


class _Marks:
    """How values of a list are compared with a row's: as they are, or by marks made with `pepper`."""

    def __init__(self, pepper: bytes | None) -> None:
        self._pepper = pepper

    def text(self, value: str | None) -> str | None:
        """What is kept of a value."""
        if value is None or self._pepper is None:
            return value
        data = self._pepper + value.encode("utf-8", "surrogatepass")
        return hashlib.sha256(data).hexdigest()

    def token(self, value: str | None) -> bytes | None:
        """What a row that has the value as its token keeps of it."""
        if value is None or self._pepper is None:
            return None
        return fingerprint(value, self._pepper)

    def column(self, column: str) -> str:
        """The same as `text`, of a column, in SQL."""
        if self._pepper is None:
            return column
        return f"encode(sha256(%(pepper)s::bytea || convert_to({column}, 'UTF8')), 'hex')"

    def columns(self, value: str, token: str) -> dict[str, str]:
        """Of each column that may name somebody: the condition that it is a kept value."""
        found = {name: f"{self.column(f'r.{name}')} = {value}" for name in _LISTED_BY}
        if self._pepper is not None:
            found["access_token"] = f"r.fingerprint = {token}"
        return found

    @property
    def args(self) -> dict[str, Any]:
        """What `column` binds."""
        return {} if self._pepper is None else {"pepper": self._pepper}


async def list_values(
    tx: Transaction,
    values: Sequence[str],
    spellings: Sequence[str],
    doubtful: Sequence[tuple[str, str, str | None, bool]],
    first: bool,
    pepper: bytes | None,
) -> int:
    """Collects the suppression list batch by batch; returns how many values are new.

    With a `pepper` they may be user tokens: only marks of them are sent to the database.
    """
    if first:
        for text in (*_TABLES.split(";"), *_BLOCKED.split(";")):
            if text.strip():
                await tx.change(text)
    marks = _Marks(pepper)

    def kept(texts: Sequence[str]) -> dict[str, Any]:
        return {
            "values": [marks.text(text) for text in texts],
            "tokens": [marks.token(text) for text in texts],
        }

    new = await tx.change(_ADD_VALUES, kept(values)) if values else 0
    if spellings:
        await tx.change(_ADD_SPELLINGS, kept(spellings))
    if doubtful:
        texts, refusals, insides, are_keys = (
            list(column) for column in zip(*doubtful, strict=True)
        )
        secret = [
            text if inside is not None else None
            for text, inside in zip(texts, insides, strict=True)
        ]
        await tx.change(
            _ADD_DOUBTFUL,
            {
                "values": [
                    text if inside is None else marks.text(text)
                    for text, inside in zip(texts, insides, strict=True)
                ],
                "value_tokens": [marks.token(text) for text in secret],
                "refusals": refusals,
                "insides": [marks.text(inside) for inside in insides],
                "inside_tokens": [marks.token(inside) for inside in insides],
                "are_keys": are_keys,
            },
        )
    return new


_NO_SUCH_KEY: Final = """
SELECT refusal FROM pg_temp.doubtful AS d
WHERE inside IS NULL AND NOT EXISTS (SELECT FROM this.recipient AS r WHERE r.key = d.value)
ORDER BY position LIMIT 1
"""


async def absent_key(tx: Transaction, pepper: bytes | None = None) -> str | None:
    """What to say of the first doubtful value that is to be refused; see `Handle.absent_key`."""
    row = await tx.first(_NO_SUCH_KEY)
    if row is None and await tx.first("SELECT 1 FROM pg_temp.doubtful LIMIT 1") is not None:
        marks = _Marks(pepper)
        nobody = " AND ".join(
            f"NOT EXISTS (SELECT FROM this.recipient AS r WHERE {same})"
            for same in marks.columns("d.value", "d.value_token").values()
        )
        somebody = " UNION ALL ".join(
            f"SELECT o.position FROM pg_temp.doubtful AS o JOIN this.recipient AS r ON {same}"
            + ("" if name == "key" else " WHERE NOT o.is_key")
            for name, same in marks.columns("o.inside", "o.inside_token").items()
        )
        row = await tx.first(
            f"SELECT refusal FROM pg_temp.doubtful AS d WHERE inside IS NOT NULL AND {nobody}"
            f" AND position IN ({somebody}) ORDER BY position LIMIT 1",
            marks.args,
        )
    return None if row is None else str(row[0])


async def choose_keys(tx: Transaction, keys: Sequence[str], first: bool) -> None:
    """Collects the keys of `select`, batch by batch."""
    if first:
        await tx.change("CREATE TEMP TABLE IF NOT EXISTS chosen (key text PRIMARY KEY)")
        await tx.change("TRUNCATE pg_temp.chosen")
    await tx.change(
        "INSERT INTO pg_temp.chosen SELECT unnest(%(keys)s::text[]) ON CONFLICT DO NOTHING",
        {"keys": list(keys)},
    )


async def select_chosen(tx: Transaction) -> int:
    """Skips pending rows whose key was not chosen; returns how many stay pending."""
    changed = await tx.change(
        f"UPDATE this.recipient AS r SET {_SKIP.sets}, code = %(code)s, detail = %(detail)s"
        f" WHERE {_SKIP.where} AND NOT EXISTS (SELECT FROM pg_temp.chosen AS c WHERE c.key = r.key)",
        {"code": NOT_SELECTED.code, "detail": NOT_SELECTED.detail},
    )
    tx.counts.move(State.PENDING, "", _SKIP.end, NOT_SELECTED.code, changed)
    (left,) = await tx.row(f"SELECT count(*) FROM this.recipient WHERE {_PENDING}")
    return int(left)


async def make_blocked(tx: Transaction) -> None:
    """Has pg_temp.blocked, who is to be skipped and why, with nobody in it."""
    for text in _BLOCKED.split(";")[:2]:
        await tx.change(text)


async def find_blocked(tx: Transaction, columns: Collection[str], pepper: bytes | None) -> bool:
    """Fills temp.blocked with every row of everybody whose key or address is on the list.

    Rows of any state count: a duplicate that is skipped already says whose address it is.
    """
    await make_blocked(tx)
    if await tx.first("SELECT 1 FROM pg_temp.listed LIMIT 1") is None:
        return False
    await tx.change("ANALYZE pg_temp.listed")
    marks = _Marks(pepper)
    # A join a column: of one join by several conditions each pair would be looked at.
    named = " UNION ".join(
        f"SELECT r.seq FROM this.recipient AS r JOIN pg_temp.listed AS l ON {same}"
        for same in (
            *marks.columns("l.value", "l.token").values(),
            f"{marks.column(_BARE_KEY)} = l.value",
        )
    )
    found = await tx.change(
        f"INSERT INTO pg_temp.blocked SELECT seq, %(detail)s, 0 FROM ({named}) AS named",
        {**marks.args, "detail": LISTED.detail},
    )
    if not found:
        return False
    used = await _with_values(
        tx, [column for name, column in _LINKS.items() if name in ("key", *columns)]
    )
    number = 0
    while found:
        found, number = 0, number + 1
        for column in used:
            await tx.change("ANALYZE pg_temp.blocked")
            found += await tx.change(
                f"""
                INSERT INTO pg_temp.blocked
                SELECT r.seq, %(detail)s, %(round)s FROM this.recipient AS r
                WHERE r.{column} IN (
                    SELECT o.{column} FROM this.recipient AS o JOIN pg_temp.blocked AS b USING (seq)
                    WHERE b.round >= %(round)s - 1
                ) AND NOT EXISTS (SELECT FROM pg_temp.blocked AS b WHERE b.seq = r.seq)
                """,
                {"detail": LINKED.detail, "round": number},
            )
    return True


async def _with_values(tx: Transaction, columns: Sequence[str]) -> list[str]:
    """Those of the columns that any row has a value in."""
    if not columns:
        return []
    counts = await tx.row(
        f"SELECT {', '.join(f'count({column})' for column in columns)} FROM this.recipient"
    )
    return [column for column, count in zip(columns, counts, strict=True) if count]


async def suppress_listed(tx: Transaction, columns: Collection[str], pepper: bytes | None) -> int:
    """Skips pending rows of everybody whose key or address is on the list."""
    if not await find_blocked(tx, columns, pepper):
        return 0
    changed = await tx.change(
        f"UPDATE this.recipient AS r SET {_SKIP.sets}, code = %(code)s, detail = b.detail"
        f" FROM pg_temp.blocked AS b WHERE b.seq = r.seq AND {_SKIP.where}",
        {"code": LISTED.code},
    )
    tx.counts.move(State.PENDING, "", _SKIP.end, LISTED.code, changed)
    return changed


async def left_out(tx: Transaction) -> int:
    """Rows that are suppressed and on the list that was looked at last."""
    (found,) = await tx.row(
        "SELECT count(*) FROM pg_temp.blocked AS b JOIN this.recipient AS r USING (seq)"
        " WHERE r.code = %(code)s",
        {"code": LISTED.code},
    )
    return int(found)
