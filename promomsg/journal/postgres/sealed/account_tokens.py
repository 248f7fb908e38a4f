"""The access token of an account in the database, for every process that sends for it.

A row is read and written in single statements, each on a connection of its own: a token is fetched once in
hours, and nothing is locked meanwhile. Who fetches it has the lease of the row.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from promomsg.errors import JournalError
from promomsg.journal.postgres.connections.lost_answers import hung_up_after
from promomsg.journal.postgres.database import connect, explain, place
from promomsg.journal.postgres.sealed.fleet_keys import KeyMissing, NotAsSealed, Sealer
from promomsg.model import Secret
from promomsg.transport.token_store import SharedToken

__all__ = ["TOKEN_PURPOSE", "AccountTokens"]

TOKEN_PURPOSE: Final = "access-token"  # noqa: S105 - no token
_LIFE: Final = 15.0
"""Seconds for which a refresh is somebody's: after that another process may try."""
_WAITS: Final = 5.0
"""Seconds for the database to answer: without it a process fetches a token of its own."""
_THEN: Final = "the token is shared again"
"""What comes of it once the server can do it again."""

_ROW: Final = "channel = %(channel)s AND origin = %(origin)s AND account = %(account)s"
_NOW: Final = "extract(epoch FROM clock_timestamp())"
_READ: Final = f"SELECT generation, sealed, expires_at - {_NOW} FROM token WHERE {_ROW}"  # noqa: S608
_LEASE: Final = f"""
INSERT INTO token AS t (channel, origin, account, holder, lease_until)
VALUES (%(channel)s, %(origin)s, %(account)s, %(holder)s, {_NOW} + %(life)s)
ON CONFLICT (channel, origin, account) DO UPDATE
SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE t.generation = %(generation)s AND (t.lease_until IS NULL OR t.lease_until <= {_NOW})
RETURNING t.generation
"""  # noqa: S608
_PUT: Final = f"""
UPDATE token SET generation = generation + 1, sealed = %(sealed)s, holder = NULL, lease_until = NULL,
                 expires_at = {_NOW} + %(good_for)s::float8
WHERE {_ROW} AND generation = %(generation)s
"""  # noqa: S608
_GIVE_BACK: Final = (
    f"UPDATE token SET holder = NULL, lease_until = NULL WHERE {_ROW} AND holder = %(holder)s"  # noqa: S608
)


class AccountTokens:
    """See `promomsg.transport.token_store.TokenStore`.

    Args:
        url: of the database.
        sealer: of `TOKEN_PURPOSE`.
        account: the key: channel, origin and account.
    """

    pause: float = 0.25

    def __init__(self, url: str, sealer: Sealer, account: Mapping[str, str]) -> None:
        self._url = url
        self._where = place(url)
        self._sealer = sealer
        self._account = dict(account)
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def __repr__(self) -> str:
        return f"AccountTokens({self._where}, {self._account['account']!r})"

    async def read(self) -> SharedToken:
        """See `TokenStore.read`. A row that was changed by somebody else has no token."""
        row = await self._do(_READ)
        if row is None:
            return SharedToken(0)
        generation, sealed, good_for = row
        if sealed is None or (good_for is not None and good_for <= 0):
            return SharedToken(generation)
        try:
            token = self._sealer.open(sealed, self._place(generation))
        except KeyMissing as error:
            raise JournalError(
                f"{self._where}: the access token of {self._account['account']}: {error}"
            ) from None
        except NotAsSealed:
            return SharedToken(generation)
        return SharedToken(generation, token, good_for)

    async def lease(self, generation: int) -> bool:
        """See `TokenStore.lease`."""
        return await self._do(_LEASE, generation=generation, life=_LIFE) is not None

    async def put(self, generation: int, token: Secret, good_for: float | None) -> None:
        """See `TokenStore.put`."""
        sealed = self._sealer.seal(token.reveal(), self._place(generation + 1))
        await self._do(_PUT, generation=generation, sealed=sealed, good_for=good_for)

    async def give_back(self) -> None:
        """See `TokenStore.give_back`."""
        await self._do(_GIVE_BACK)

    def _place(self, generation: int) -> bytes:
        return "\0".join((*self._account.values(), str(generation))).encode()

    async def _do(self, text: str, **args: Any) -> tuple[Any, ...] | None:
        """The row that a statement returns, if any."""
        try:
            async with asyncio.timeout(_WAITS):
                db = await connect(self._url, answers_in=_WAITS, then=_THEN)
                try:
                    # A cancelled statement would wait for the server once more.
                    with hung_up_after(db, _WAITS / 2):
                        cursor = await db.execute(
                            text.encode(), {**self._account, "holder": self._holder, **args}
                        )
                        return await cursor.fetchone() if cursor.description else None
                finally:
                    await db.close()
        except TimeoutError:
            raise JournalError(f"{self._where}: it did not answer within {_WAITS:g} s") from None
        except psycopg.Error as error:
            raise explain(error, self._where, _THEN) from None
