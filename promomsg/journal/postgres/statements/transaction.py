"""A campaign as one connection reads and writes it, and one transaction in the making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from promomsg.journal.counts import STATE_NUMBERS, RunningCounts
from promomsg.journal.postgres.database import Connection
from promomsg.model import State

__all__ = ["CampaignReads", "Transaction", "Undone", "statement"]

_LOG: Final = (
    "INSERT INTO commit_log (campaign, final_seqs) VALUES (%(campaign)s, %(seqs)s::bigint[])"
)

_KEEP_COUNTS: Final = """
INSERT INTO tally (campaign, worker, state, code, recipients, last_at)
SELECT %(campaign)s, %(worker)s, state, code, n, %(at)s
FROM unnest(%(states)s::smallint[], %(codes)s::text[], %(counts)s::bigint[]) AS t (state, code, n)
ON CONFLICT (campaign, worker, state, code) DO UPDATE SET
    recipients = tally.recipients + excluded.recipients,
    last_at = greatest(tally.last_at, excluded.last_at)
"""


class Undone(Exception):
    """Raised by an operation to undo what it did and yet return `value`."""

    def __init__(self, value: Any) -> None:
        self.value = value


@lru_cache(maxsize=2048)
def statement(text: str, campaign: int) -> bytes:
    """A statement for one campaign: `this.recipient` is the table of its recipients, which is named
    itself so that the server need not look for it among those of all campaigns."""
    return text.replace("this.recipient", f"recipient_{campaign}").encode()


class CampaignReads:
    """A campaign as one connection reads it. Every statement may say `this.recipient` for the
    table of its recipients, and `%(campaign)s` for its number.

    Args:
        db: in autocommit mode, or in the transaction that is meant.
        campaign: its number in the database.
    """

    __slots__ = ("campaign", "db")

    def __init__(self, db: Connection, campaign: int) -> None:
        self.db = db
        self.campaign = campaign

    async def rows(self, text: str, args: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a statement finds, or returns."""
        cursor = await self.db.execute(
            statement(text, self.campaign), {"campaign": self.campaign, **(args or {})}
        )
        return await cursor.fetchall()

    async def first(
        self, text: str, args: Mapping[str, Any] | None = None
    ) -> tuple[Any, ...] | None:
        """The first row of it; None: there is none."""
        found = await self.rows(text, args)
        return found[0] if found else None

    async def row(self, text: str, args: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """The one row of a statement that always has one."""
        return (await self.rows(text, args))[0]


class Transaction(CampaignReads):
    """One transaction in the making: what operations work on.

    Attributes:
        worker: whose rows of the tally it writes.
        counts: how it changes the counts.
    """

    __slots__ = ("_final", "_last_at", "counts", "worker")

    def __init__(self, db: Connection, campaign: int, worker: str) -> None:
        super().__init__(db, campaign)
        self.worker = worker
        self.counts = RunningCounts()
        self._final: list[int] = []
        self._last_at: float | None = None

    async def change(self, text: str, args: Mapping[str, Any] | None = None) -> int:
        """Runs a statement that changes rows; returns how many."""
        cursor = await self.db.execute(
            statement(text, self.campaign), {"campaign": self.campaign, **(args or {})}
        )
        return cursor.rowcount

    def final(self, seqs: Sequence[int]) -> None:
        """Notes rows that became final in this transaction, in order."""
        self._final += seqs

    def happened(self, at: float) -> None:
        """Notes when something became of a recipient, whatever it was."""
        if self._last_at is None or at > self._last_at:
            self._last_at = at

    async def flush(self) -> None:
        """Writes a row of the log, when rows became final since the last one."""
        if self._final:
            seqs, self._final = self._final, []
            await self.change(_LOG, {"seqs": seqs})

    async def finish(self) -> None:
        """Writes what is left of the log, and the counts."""
        await self.flush()
        at = self._last_at
        # In order, as every transaction of this worker writes them, so that none waits for another.
        changed = sorted((*place, count) for place, count in self.counts.by_state())
        if not changed and at is not None:
            changed = [(STATE_NUMBERS[State.PENDING.value], "", 0)]
        if changed:
            states, codes, counts = (list(column) for column in zip(*changed, strict=True))
            await self.change(
                _KEEP_COUNTS,
                {
                    "worker": self.worker,
                    "at": at,
                    "states": states,
                    "codes": codes,
                    "counts": counts,
                },
            )
