"""A campaign's place in the database: its row, the table of its recipients, and their end."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from promomsg.journal.counts import STATE_NUMBERS
from promomsg.journal.postgres.database import Connection
from promomsg.journal.postgres.schema import SCHEMA
from promomsg.journal.postgres.statements.campaign_row import add_campaign
from promomsg.journal.postgres.statements.reading import LAST_AT, STANDING
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction, statement
from promomsg.journal.records import CampaignRecord
from promomsg.model import State

__all__ = [
    "add_tables",
    "find",
    "names",
    "planning_key",
    "removal",
    "remove_ended",
    "remove_half_plan",
    "remove_half_plans",
    "remove_now",
]

_TABLES: Final = (
    "warning", "control", "tally", "intent_day", "group_send", "chunk", "commit_log",
    "attempt_history", "failure_file", "click_day", "campaign",
)  # fmt: skip
"""What has rows of a campaign, besides the table of its recipients."""

_MAKER: Final = 0x50524F4D << 32
"""Advisory locks of those who are making a plan: 'PROM', and the campaign's number."""

# Filled first and attached when the plan is complete; the check spares a look at every row then.
_RECIPIENTS: Final = """
CREATE TABLE this.recipient (LIKE recipient INCLUDING DEFAULTS, CHECK (campaign = {campaign}))
WITH (fillfactor = 45);
ALTER TABLE this.recipient ALTER COLUMN campaign SET DEFAULT {campaign};
INSERT INTO control (campaign) VALUES ({campaign});
"""
_MEMORY: Final = b"SET work_mem = '64MB'"
"""Of the maker's connection: what is sorted or compared with less spills to the server's disk."""

find: Final = b"SELECT campaign, planned_at FROM campaign WHERE journal = %s"
"""(number, when its plan was complete) of the campaign of a journal."""

names: Final = b"SELECT journal FROM campaign ORDER BY campaign DESC LIMIT 1000"
"""Of the campaigns that were begun last."""

_IS_HALF: Final = b"SELECT 1 FROM campaign WHERE campaign = %s AND planned_at IS NULL FOR UPDATE"


def planning_key(campaign: int) -> int:
    """The advisory lock that the maker of its plan holds."""
    return _MAKER + campaign


async def add_tables(db: Connection, journal: str, record: CampaignRecord) -> int | None:
    """A new campaign, whose maker this connection is until it ends; None when the name is taken."""
    await db.execute(_MEMORY)
    async with db.transaction():
        campaign = await add_campaign(Transaction(db, 0, ""), journal, record)
        if campaign is not None:
            await db.execute(f"SELECT pg_advisory_lock({planning_key(campaign)})".encode())
            text = _RECIPIENTS.format(campaign=campaign)
            await db.execute(text.replace("this.recipient", f"recipient_{campaign}").encode())
    return campaign


def removal(campaign: int) -> bytes:
    """What removes all of a campaign, in one transaction. It does not wait long for those who read it:
    readers of other campaigns would wait behind it."""
    deletes = "".join(f"DELETE FROM {table} WHERE campaign = {campaign};" for table in _TABLES)  # noqa: S608
    return f"SET LOCAL lock_timeout = '10s'; DROP TABLE IF EXISTS {SCHEMA}.recipient_{campaign}, {SCHEMA}.user_token_{campaign};{deletes}".encode()


async def remove_half_plan(db: Connection, campaign: int) -> bool:
    """Removes a plan whose maker has died, unless it was completed meanwhile; whether it did."""
    key = planning_key(campaign)
    async with db.transaction():
        row = await (await db.execute(_IS_HALF, (campaign,))).fetchone()
        if row is not None:
            await db.execute(removal(campaign))
    await db.execute(f"SELECT pg_advisory_unlock({key})".encode())
    return row is not None


_HALF_PLANS: Final = (
    b"SELECT campaign, journal FROM campaign WHERE planned_at IS NULL ORDER BY campaign"
)


async def remove_half_plans(db: Connection) -> list[str]:
    """Removes all half plans whose maker is gone; returns their names.

    Args:
        db: in autocommit mode, and nobody's who is making a plan.
    """
    removed = []
    for campaign, name in await (await db.execute(_HALF_PLANS)).fetchall():
        text = f"SELECT pg_try_advisory_lock({planning_key(campaign)})"
        row = await (await db.execute(text.encode())).fetchone()
        if row is not None and row[0]:
            removed += [name] if await remove_half_plan(db, campaign) else []
    return removed


_IS_PLANNED: Final = (
    b"SELECT campaign, planned_at FROM campaign WHERE journal = %s AND planned_at IS NOT NULL"
    b" FOR UPDATE"
)
# Whoever would change a recipient waits: what is read after that stays true.
_KEEP_OUT: Final = "LOCK TABLE this.recipient IN ACCESS EXCLUSIVE MODE"
_IS_GOING_ON: Final = f"""
SELECT is_at_work OR (SELECT coalesce(sum(recipients), 0) > 0 FROM tally
                      WHERE campaign = %(campaign)s AND state = {STATE_NUMBERS[State.PENDING.value]})
FROM ({STANDING}) AS standing (is_at_work, intended)
"""  # noqa: S608


async def remove_ended(db: Connection, name: str, last_before: float | None = None) -> bool:
    """Removes a campaign by its name, unless somebody in it is pending or a sender is at work on it;
    whether it did.

    Args:
        db: in autocommit mode.
        last_before: only when the last thing happened before this Unix time; None: whenever it did.
    """
    async with db.transaction():
        await db.execute(b"SET LOCAL lock_timeout = '10s'")
        row = await (await db.execute(_IS_PLANNED, (name,))).fetchone()
        if row is None:
            return False
        reads = CampaignReads(db, int(row[0]))
        await db.execute(statement(_KEEP_OUT, reads.campaign))
        [goes_on] = await reads.row(_IS_GOING_ON)
        [last] = await reads.row(LAST_AT)
        is_late = last_before is not None and (last or row[1]) >= last_before
        if goes_on or is_late:
            return False
        await db.execute(removal(reads.campaign))
        return True


def remove_now(db: psycopg.Connection[Any], campaign: int) -> None:
    """Removes a campaign by a plain call."""
    with db.transaction():
        db.execute(removal(campaign))
