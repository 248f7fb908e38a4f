"""The user tokens of a campaign's recipients in the database, encrypted, until each is final.

They are in a table of their own for each campaign, which goes with it as a whole. A trigger of the
recipients' table clears whoever becomes final, whatever statement does it, in the same commit.
"""

# Only constants of this package, and a campaign's number, are put together into statements.
# ruff: noqa: S608

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from promomsg.errors import JournalError
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.planning.copy_text import copy_text
from promomsg.journal.postgres.sealed.fleet_keys import (
    VARIABLE,
    FleetKeys,
    KeyMissing,
    NotAsSealed,
    Sealer,
    key_of,
)
from promomsg.journal.postgres.statements.campaign_row import add_warnings
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction, statement
from promomsg.journal.records import CampaignRecord
from promomsg.journal.state_sql import in_state
from promomsg.model import Secret, State

__all__ = ["SealedUserTokens", "open_user_tokens"]

log = logging.getLogger("promomsg.journal")

_THERE: Final = "SELECT to_regclass('user_token_' || %(campaign)s::text) IS NOT NULL"
_TABLE: Final = """
CREATE TABLE user_token_{campaign} (seq bigint NOT NULL{key}, sealed bytea NOT NULL)
"""
_TRIGGER: Final = """
CREATE TRIGGER clear_user_tokens AFTER UPDATE ON this.recipient
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION clear_user_tokens('user_token_{campaign}')
"""
_ONE: Final = "SELECT sealed FROM user_token_{campaign} LIMIT 1"
_GET: Final = "SELECT seq, sealed FROM user_token_{campaign} WHERE seq = ANY(%(seqs)s::bigint[])"
_OPEN: Final = in_state(State.PENDING, State.INTENDED)
_LACKS: Final = f"""
SELECT EXISTS (
    SELECT FROM this.recipient AS r WHERE {_OPEN} AND group_no IS NULL
    AND NOT EXISTS (SELECT FROM user_token_{{campaign}} AS t WHERE t.seq = r.seq)
)
"""
_GIVEN: Final = "CREATE TEMP TABLE IF NOT EXISTS user_token_given (seq bigint, sealed bytea)"
_REPLACE: Final = f"""
INSERT INTO user_token_{{campaign}} (seq, sealed)
SELECT g.seq, g.sealed FROM pg_temp.user_token_given AS g JOIN this.recipient AS r USING (seq)
WHERE {_OPEN}
ON CONFLICT (seq) DO UPDATE SET sealed = excluded.sealed
"""


async def open_user_tokens(
    access: CampaignAccess, record: CampaignRecord, *, planning: bool, make: bool
) -> SealedUserTokens | None:
    """See `PlanWriter.recipient_tokens`: without a key no token is given to the server.

    Args:
        planning: the plan is in the making.
    """
    keys = FleetKeys.from_environment()
    there = await access.read(_is_there) if not (planning and make) else False
    if not there and (keys is None or not make):
        return None
    if keys is None:
        if make:  # the caller has the tokens, and they stay with this process
            return None
        sealed = await access.read(_one)
        if sealed is None:
            return None
        raise JournalError(
            f"{access.name}: its user tokens are encrypted with the key {_name_of(sealed)!r}: set {VARIABLE} "
            "to it, or give the recipients again"
        )
    tokens = SealedUserTokens(access, keys.sealer(f"user-tokens:{record.run_id}"), planning)
    if not there:
        await access.session(_make, planning)
    elif not make:
        await tokens.check_key()
    return tokens


class SealedUserTokens:
    """See `promomsg.journal.plan_contract.KeptTokens`.

    Args:
        access: the campaign's; nothing here closes it.
        sealer: of this campaign.
        planning: its plan is in the making: tokens are only added.
    """

    def __init__(self, access: CampaignAccess, sealer: Sealer, planning: bool) -> None:
        self._access = access
        self._sealer = sealer
        self._planning = planning
        self._warned = False

    async def check_key(self) -> None:
        """Raises JournalError when they are encrypted with a key that is not here."""
        sealed = await self._access.read(_one)
        if sealed is not None and not self._has_key_of(sealed):
            raise JournalError(self._lacks(_name_of(sealed)))

    def _has_key_of(self, sealed: bytes) -> bool:
        try:
            return self._sealer.has_key_of(sealed)
        except NotAsSealed:
            return True  # of this row alone nothing follows

    def _lacks(self, key_id: str) -> str:
        return (
            f"{self._access.name}: its user tokens are encrypted with the key {key_id!r}, which {VARIABLE} of "
            "this process has not: add it there, or give the recipients again"
        )

    async def put(self, tokens: Iterable[tuple[int, str]]) -> None:
        """See `RecipientTokens.put`. Of a plan that is complete only those who are still to be sent
        to."""
        seqs, sealed = self._sealed(tokens)
        del tokens  # an error of the server is shown with the variables of this frame
        if seqs:
            call = _add if self._planning else _replace
            await self._access.session(call, copy_text([seqs, sealed]))

    def _sealed(
        self, tokens: Iterable[tuple[int, str]]
    ) -> tuple[list[int], list[str | bytes | None]]:
        seal, place = self._sealer.seal, self._place
        pairs = [(seq, seal(token, place(seq))) for seq, token in tokens]
        return [seq for seq, _ in pairs], [sealed for _, sealed in pairs]

    async def get_many(self, numbers: Sequence[int]) -> list[Secret | None]:
        """See `RecipientTokens.get_many`. None, and a warning of the campaign, for one that was changed
        in the database.

        Raises:
            JournalError: somebody has none there, or one of a key that is not here.
        """
        found: dict[int, bytes] = dict(await self._access.read(_get, list(numbers)))
        if len(found) < len(set(numbers)):
            raise JournalError(
                f"{self._access.name}: it has not the user tokens of all who are to be sent to: resume it "
                "with its recipients (recipients=…, or the campaign file)"
            )
        return [await self._token(seq, found[seq]) for seq in numbers]

    async def _token(self, seq: int, sealed: bytes) -> Secret | None:
        try:
            return self._sealer.open(sealed, self._place(seq))
        except KeyMissing:
            raise JournalError(self._lacks(key_of(sealed))) from None
        except NotAsSealed:
            await self._warn(seq)
            return None

    async def _warn(self, seq: int) -> None:
        text = (
            "user tokens in the database are not those that were put there: their recipients fail without "
            "a call; `retry` with the list sends to them"
        )
        log.warning("%s: %s (row %d)", self._access.name, text, seq)
        if not self._warned:
            self._warned = True
            await self._access.do(add_warnings, [text])

    async def has_all(self) -> bool:
        """See `KeptTokens.has_all`; one of a key that is not here is none."""
        sealed = await self._access.read(_one)
        if sealed is not None and not self._has_key_of(sealed):
            return False
        return not await self._access.read(_lacks)

    def close(self) -> None:
        """Nothing: they stay until their recipients are final."""

    def _place(self, seq: int) -> bytes:
        return b"%d/%d" % (self._access.campaign, seq)


def _name_of(sealed: bytes) -> str:
    try:
        return key_of(sealed)
    except NotAsSealed:
        return "?"


def _of(text: str, reads: CampaignReads) -> str:
    return text.replace("{campaign}", str(reads.campaign))


async def _is_there(reads: CampaignReads) -> bool:
    return bool((await reads.row(_THERE))[0])


async def _one(reads: CampaignReads) -> bytes | None:
    row = await reads.first(_of(_ONE, reads))
    return None if row is None else bytes(row[0])


async def _get(reads: CampaignReads, seqs: list[int]) -> list[tuple[Any, ...]]:
    return await reads.rows(_of(_GET, reads), {"seqs": seqs})


async def _lacks(reads: CampaignReads) -> bool:
    return bool((await reads.row(_of(_LACKS, reads)))[0])


async def _make(tx: Transaction, planning: bool) -> None:
    """Makes the table, unless somebody else has just done it; of a plan in the making its key comes
    with the seal, when it is full."""
    await tx.row("SELECT campaign FROM campaign WHERE campaign = %(campaign)s FOR UPDATE")
    if await _is_there(tx):
        return
    key = "" if planning else " PRIMARY KEY"
    await tx.change(_of(_TABLE, tx).replace("{key}", key))
    await tx.change(_of(_TRIGGER, tx))


async def _copy(tx: Transaction, table: str, rows: str) -> None:
    text = statement(f"COPY {table} (seq, sealed) FROM STDIN", tx.campaign)
    async with tx.db.cursor() as cursor, cursor.copy(text) as copy:
        await copy.write(rows)


async def _add(tx: Transaction, rows: str) -> None:
    # As the rows of a plan in the making: the seal waits for the disk, for all of them.
    await tx.change("SET LOCAL synchronous_commit = off")
    await _copy(tx, f"user_token_{tx.campaign}", rows)


async def _replace(tx: Transaction, rows: str) -> None:
    await tx.change(_GIVEN)
    await tx.change("TRUNCATE pg_temp.user_token_given")
    await _copy(tx, "pg_temp.user_token_given", rows)
    await tx.change(_of(_REPLACE, tx))
