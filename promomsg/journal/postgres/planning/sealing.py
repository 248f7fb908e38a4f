"""The end of planning: a complete plan becomes the campaign, in one transaction."""

# Only constants of this package are put together into statements; values are always bound.

from __future__ import annotations

from typing import Final

from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.postgres.campaign_tables import planning_key, removal
from promomsg.journal.postgres.planning.planned_rows import forget_guesses, look_at_all
from promomsg.journal.postgres.statements.campaign_row import save_record
from promomsg.journal.postgres.statements.chunks import cut_chunks
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.records import CampaignRecord

__all__ = ["discard_half_plan", "end_planning", "seal_plan"]

_HAS_TOKENS: Final = "SELECT to_regclass('user_token_' || %(campaign)s::text) IS NOT NULL"


async def seal_plan(
    tx: Transaction, record: CampaignRecord, chunk_size: int, added: AddedRows
) -> None:
    """Completes the plan; from its commit on others find the campaign and may send it."""
    await forget_guesses(tx, added)
    for name in ("by_openid", "by_unionid"):
        await tx.change(f"DROP INDEX IF EXISTS recipient_{tx.campaign}_{name}")
    await tx.change(f"CREATE UNIQUE INDEX recipient_{tx.campaign}_seq ON this.recipient (seq)")
    await look_at_all(tx)
    if (await tx.row(_HAS_TOKENS))[0]:
        await tx.change(f"ALTER TABLE user_token_{tx.campaign} ADD PRIMARY KEY (seq)")
        await tx.change(f"ANALYZE user_token_{tx.campaign}")
    await cut_chunks(tx, chunk_size)
    await tx.change(
        f"ALTER TABLE recipient ATTACH PARTITION this.recipient FOR VALUES IN ({tx.campaign})"
    )
    await save_record(tx, record)


async def discard_half_plan(tx: Transaction) -> None:
    """Removes a plan that was not completed."""
    await tx.db.execute(removal(tx.campaign))


async def end_planning(tx: Transaction) -> None:
    """Gives back what the maker of the plan held."""
    await tx.rows(f"SELECT pg_advisory_unlock({planning_key(tx.campaign)})")
