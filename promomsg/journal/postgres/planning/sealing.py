"""The end of planning: a complete plan becomes the campaign, in one transaction."""

# Only constants of this package are put together into statements; values are always bound.

from __future__ import annotations

from typing import Final

from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.postgres.campaign_tables import planning_key, removal
from promomsg.journal.postgres.planning.planned_rows import (
    forget_guesses,
    look_at_all,
    number_rows,
)
from promomsg.journal.postgres.statements.campaign_row import save_record
from promomsg.journal.postgres.statements.chunks import cut_chunks
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.records import CampaignRecord

__all__ = ["discard_half_plan", "end_planning", "is_sealed", "seal_plan"]

# The seal changes this row last: one whose commit is under way is waited for.
_PLANNED_AT: Final = "SELECT planned_at FROM campaign WHERE campaign = %(campaign)s FOR UPDATE"
_IS_MAKER: Final = """
SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
AND classid = %(high)s AND objid = %(low)s AND objsubid = 1
"""
_HAS_TOKENS: Final = "SELECT to_regclass('user_token_' || %(campaign)s::text) IS NOT NULL"


async def seal_plan(
    tx: Transaction, record: CampaignRecord, chunk_size: int, added: AddedRows
) -> None:
    """Completes the plan; from its commit on others find the campaign and may send it.

    Raises:
        JournalError: this is not the connection on which the plan was made: what was added may be
            lost, or thrown away by somebody else.
    """
    high, low = divmod(planning_key(tx.campaign), 1 << 32)
    if await tx.first(_IS_MAKER, {"high": high, "low": low}) is None:
        raise JournalError(
            "the connection was lost while the plan was made; nothing was sent: plan it anew"
        )
    await forget_guesses(tx, added)
    for name in ("by_openid", "by_unionid"):
        await tx.change(f"DROP INDEX IF EXISTS recipient_{tx.campaign}_{name}")
    await number_rows(tx)
    await look_at_all(tx)
    if (await tx.row(_HAS_TOKENS))[0]:
        await tx.change(f"ALTER TABLE user_token_{tx.campaign} ADD PRIMARY KEY (seq)")
        await tx.change(f"ANALYZE user_token_{tx.campaign}")
    await cut_chunks(tx, chunk_size, has_cohorts=added.cohorts)
    await tx.change(
        f"ALTER TABLE recipient ATTACH PARTITION this.recipient FOR VALUES IN ({tx.campaign})"
    )
    await save_record(tx, record)


async def is_sealed(tx: Transaction) -> bool:
    """Whether the plan is complete, for whoever has not heard what became of its seal."""
    found = await tx.first(_PLANNED_AT)
    return found is not None and found[0] is not None


async def discard_half_plan(tx: Transaction) -> None:
    """Removes a plan that was not completed; one that was may be sent by others already."""
    if not await is_sealed(tx):
        await tx.db.execute(removal(tx.campaign))


async def end_planning(tx: Transaction) -> None:
    """Gives back what the maker of the plan held."""
    await tx.rows(f"SELECT pg_advisory_unlock({planning_key(tx.campaign)})")
