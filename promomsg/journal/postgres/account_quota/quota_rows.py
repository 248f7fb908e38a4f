"""The quota of one account in the database: a row for single sends, and one for group sends.

Times in a row are of the server's clock. A row of another start of the server, or from before its clock
was set, is begun anew: what was given out then goes within the time that it was given for, and the
first new bunch comes a window after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from promomsg.journal.postgres.account_quota.quota_connection import (
    LockedRow,
    QuotaConnection,
    RowKey,
)
from promomsg.journal.postgres.account_quota.server_clock import ServerClock
from promomsg.journal.postgres.database import place
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.store import QuotaStoreError

__all__ = ["QuotaRows", "brought_up"]

T = TypeVar("T")

_SET_BACK: Final = 0.001
"""Seconds from which a server's clock that goes back was set."""


class QuotaRows:
    """A `QuotaStore` in a database. Making it does no I/O.

    Args:
        url: the database's.
        channel, origin, account: whose, as `Journal.quota_store` has them.
    """

    is_needed = True

    def __init__(self, url: str, channel: str, origin: str, account: str) -> None:
        self._url = url
        self._of = (channel, origin, account)
        self._connection: QuotaConnection | None = None
        self._keeps = False
        self._known: dict[str, tuple[str, int]] = {}
        """By kind: the row's clock when it was last changed here, and how often the server's had been set
        by then."""
        self.where = place(url)
        self.key = "\n".join((self.where, *self._of))

    @property
    def spread(self) -> float:
        """See `QuotaStore.spread`."""
        return 0.0 if self._connection is None else self._connection.clock.spread

    def submit(self, kind: str, step: Callable[[QuotaState, float], T]) -> asyncio.Future[T]:
        """See `QuotaStore.submit`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        connection = self._connected()

        def change(row: LockedRow) -> tuple[str, Callable[[], None]]:
            state, now = self._read(row, kind, connection.clock)
            result = step(state, now)
            state.seen = now
            return msgspec.json.encode(state).decode(), lambda: _tell(future, result)

        def failed(error: QuotaStoreError) -> None:
            if not future.done():
                future.set_exception(error)

        connection.put(RowKey(*self._of, kind), change, failed)
        return future

    def _connected(self) -> QuotaConnection:
        connection = QuotaConnection.of(self._url)
        if connection is not self._connection:
            self._connection = connection
            self._known.clear()
            connection.keepers += self._keeps
        return connection

    def _read(self, row: LockedRow, kind: str, clock: ServerClock) -> tuple[QuotaState, float]:
        """The row as it stands at the server's time, which is told too."""
        try:
            state = msgspec.json.decode(row.state or "{}", type=QuotaState)
        except msgspec.MsgspecError as error:
            raise QuotaStoreError(
                f"{self.where}: the quota of {self._of[2]} ({kind}) is not of this version of promomsg "
                f"({error}); update promomsg, or delete the row from promomsg.quota"
            ) from None
        known, steps = self._known.get(kind, ("", 0))
        was_set = known == state.clock != "" and clock.steps != steps
        state, now = brought_up(state, row.started, row.now, was_set=was_set)
        self._known[kind] = (state.clock, clock.steps)
        return state, now

    def to_local(self, at: float) -> float:
        """See `QuotaStore.to_local`."""
        assert self._connection is not None
        return self._connection.clock.to_local(at)

    def to_local_by(self, at: float) -> float:
        """See `QuotaStore.to_local_by`."""
        assert self._connection is not None
        return self._connection.clock.to_local_by(at)

    def to_stored(self, at: float) -> float:
        """See `QuotaStore.to_stored`."""
        return 0.0 if self._connection is None else self._connection.clock.to_server(at)

    def keep_open(self) -> None:
        """See `QuotaStore.keep_open`."""
        if not self._keeps:
            self._keeps = True
            if self._connection is not None:
                self._connection.keepers += 1

    async def close(self) -> None:
        """See `QuotaStore.close`."""
        connection = self._connection
        if connection is None:
            self._keeps = False
            return
        if self._keeps:
            self._keeps = False
            connection.keepers -= 1
        await connection.close()


def _tell(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def brought_up(
    state: QuotaState, started: str, now: float, *, was_set: bool
) -> tuple[QuotaState, float]:
    """A row as it is to be gone on with, and the time to go on from.

    Args:
        started: when the server was started.
        now: the server's time.
        was_set: its clock was found to be set since the row was changed last.
    """
    start, _, times = state.clock.partition("+")
    if not start:
        state.clock = f"{started}+0"
        return state, now
    if start == started and not was_set and now >= state.seen - _SET_BACK:
        return state, max(now, state.seen)
    # Whatever was given out goes within this, by any clock.
    rest = max(0.0, (state.latest or 0.0) - state.seen)
    fresh = QuotaState(
        clock=f"{started}+{int(times) + 1 if start == started else 0}",
        not_before=now + max(rest + state.reach, state.not_before - state.seen),
        reach=state.reach,
        days=state.days,
        share=state.share,
        hold_until=now + max(0.0, state.hold_until - state.seen),
        recovers_from=now + max(0.0, state.recovers_from - state.seen),
    )
    return fresh, now
