"""What a task gets: the campaign it is for, and the worker that does it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
import psycopg

from promomsg.channels.base import Channel
from promomsg.engine.joining import pace_of
from promomsg.fleet.accounts import Accounts
from promomsg.journal.postgres.connections.lost_answers import hung_up_after
from promomsg.journal.postgres.database import Connection, connect, explain, place
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.statements.campaign_row import read_record
from promomsg.journal.postgres.statements.transaction import CampaignReads
from promomsg.journal.records import CampaignRecord

__all__ = ["IT_GOES_ON", "TaskContext", "find_campaign"]

log = logging.getLogger("promomsg.fleet")

IT_GOES_ON: Final = "the worker goes on"
"""What happens, once the server can do it again: a worker tries again by itself."""
_ANSWERS_IN: Final = 10.0
"""Seconds that a statement may take."""


async def find_campaign(db: Connection, campaign: int) -> tuple[str, CampaignRecord] | None:
    """The name in the database and the record of the campaign of that number; None: it is gone."""
    row = await (
        await db.execute(b"SELECT journal FROM campaign WHERE campaign = %s", (campaign,))
    ).fetchone()
    record = await read_record(CampaignReads(db, campaign))
    return None if row is None or record is None else (str(row[0]), record)


class TaskContext:
    """One campaign, and the worker that does a task of it.

    Args:
        journal: the campaign's; its `worker` is this one.
        campaign: its number in the database.
        record: what it was begun with.
        args: what else the task is told.
        accounts: the worker's.
        concurrency: calls at once.
        stop: set once the worker ends: nothing new is begun then.
        others_wait: whether other work waits for this one to end.
    """

    def __init__(
        self,
        journal: PostgresJournal,
        campaign: int,
        record: CampaignRecord,
        args: Mapping[str, Any],
        *,
        accounts: Accounts,
        concurrency: int,
        stop: anyio.Event,
        others_wait: Callable[[], bool],
    ) -> None:
        self.journal = journal
        self.campaign = campaign
        self.record = record
        self.args = args
        self.concurrency = concurrency
        self.stop = stop
        self.others_wait = others_wait
        self._accounts = accounts

    async def channel(self, *, to_send: bool = False) -> Channel:
        """The open channel of the campaign's account.

        Args:
            to_send: whether the campaign is sent now, so that its pace holds, until `not_sent_here`.

        Raises:
            AccountMissing: the worker has not got it.
        """
        return await self._accounts.channel(self.record, pace_of(self.record) if to_send else None)

    def not_sent_here(self, *, comes_back: bool = False) -> None:
        """The campaign is not sent any more, or not for now; `comes_back`: it makes room for others."""
        self._accounts.not_sent_here(self.record, comes_back=comes_back)

    def log(self, text: str) -> None:
        """A line about the campaign in the worker's log."""
        log.info("%s: %s", self.journal.name, text)

    async def rows(self, statement: bytes, **args: Any) -> list[tuple[Any, ...]]:
        """What a statement finds or returns, on a connection of its own; `%(campaign)s` in it is the
        campaign's number.

        Raises:
            JournalError: the database cannot be reached, or it fails.
        """
        url = self.journal.url
        db = await connect(url, answers_in=_ANSWERS_IN, then=IT_GOES_ON)
        try:
            with hung_up_after(db, _ANSWERS_IN):
                cursor = await db.execute(statement, {"campaign": self.campaign, **args})
                return await cursor.fetchall()
        except psycopg.Error as error:
            raise explain(error, place(url), IT_GOES_ON) from None
        finally:
            await db.close()

    async def wait(self, seconds: float) -> bool:
        """Waits; False: the worker ends, and nothing new is to be begun."""
        with anyio.move_on_after(seconds):
            await self.stop.wait()
        return not self.stop.is_set()
