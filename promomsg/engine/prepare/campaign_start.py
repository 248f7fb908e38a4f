"""What a campaign that has begun is: an open journal whose plan is complete, and what a run needs."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from typing import Protocol, Self

import msgspec

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.engine.prepare.plan import Plan
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.report import Report
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import Handle, Journal, Rows
from promomsg.journal.records import GroupRow, Tally
from promomsg.journal.sqlite.journal import Durability, SqliteJournal
from promomsg.model import Outcome

log = logging.getLogger("promomsg.engine")

__all__ = ["CampaignStart", "RunContext", "begun_journal", "close_all", "journal_of"]


class RunContext(msgspec.Struct):
    """What a run needs.

    Attributes:
        handle, channel, letter, settings: of the campaign.
        vault: the user tokens; None for channels without them.
        tally, groups: the counts at the start.
        sent_today: singles that the journal has for this China-time day.
        stream_from: the cursor from which outcomes are streamed.
        kept_path: the journal's path when it stays; None in memory and for a temporary one.
        journal: the journal itself; temporary: it is removed on a clean close.
        note: once closed: where a temporary journal is that was not removed.
    """

    handle: Handle
    channel: Channel
    compiled: CompiledMessage
    settings: Settings
    tokens: RecipientTokens | None
    tally: Tally
    groups: list[GroupRow]
    sent_today: int
    stream_from: tuple[int, int]
    kept_path: str | None
    journal: Journal
    rows: Rows
    temporary: bool = False
    note: str = ""

    @classmethod
    async def of(
        cls,
        handle: Handle,
        channel: Channel,
        compiled: CompiledMessage,
        settings: Settings,
        tokens: RecipientTokens | None,
        journal: Journal,
    ) -> Self:
        """What a run of this open journal begins with."""
        return cls(
            handle=handle,
            channel=channel,
            compiled=compiled,
            settings=settings,
            tokens=tokens,
            tally=await handle.tally(),
            groups=await handle.groups(),
            sent_today=0,
            stream_from=(-1, 0),
            kept_path=handle.path,
            journal=journal,
            rows=journal.rows_later(),
        )

    async def close(self, *, clean: bool, report: Report) -> None:
        """Closes the journal; a temporary one goes when the campaign came to its end."""
        if self.tokens is not None:
            self.tokens.close()
        await self.handle.close()
        if not self.temporary:
            return
        if not clean:
            self._keep(report, "the campaign did not come to its end", "; Campaign.resume goes on")
            return
        try:
            self.rows.keep()
        except JournalError as error:
            self._keep(report, f"the outcomes stay where they are ({error})", "")
        else:
            self.journal.discard()

    def _keep(self, report: Report, why: str, then: str) -> None:
        """Names a temporary journal that stays: nobody else knows where it is."""
        report.journal = self.handle.path
        self.note = f"{why}; its journal is kept: {self.handle.path}{then}"
        report.warnings.append(self.note)
        log.warning("%s", self.note)


class CampaignStart(Protocol):
    """A way to begin: a new plan, a journal gone on with, or a retry of a set."""

    @property
    def path(self) -> str | None: ...
    async def plan(self, *, shown: bool) -> Plan: ...
    async def start(self) -> RunContext: ...
    def not_sent(self) -> AsyncIterator[Outcome]: ...
    async def discard(self) -> None: ...


def journal_of(journal: str | os.PathLike[str] | Journal | None, durability: Durability) -> Journal:
    """The journal that was meant: the only place of the engine that names a kind of journal.

    Raises:
        UsageError: it is none.
    """
    if journal is None:
        return SqliteJournal.temporary(durability=durability)
    if isinstance(journal, os.PathLike) or (journal and isinstance(journal, str)):
        return SqliteJournal(journal, durability=durability)
    if isinstance(journal, (str, type)) or not hasattr(journal, "rows_later"):
        raise UsageError(
            f"journal={journal!r}: give a file's path or a promomsg.SqliteJournal(path); without "
            "a journal a new campaign has a temporary one"
        )
    return journal


def begun_journal(
    journal: str | os.PathLike[str] | Journal, durability: Durability = "power"
) -> Journal:
    """The journal of a campaign that was begun: there has to be one."""
    if journal is None:
        raise UsageError("journal=None: give the journal that the campaign was begun with")
    return journal_of(journal, durability)


async def close_all(handle: Handle | None, tokens: RecipientTokens | None) -> None:
    """Closes what a beginning that comes to nothing had opened."""
    if tokens is not None:
        tokens.close()
    if handle is not None:
        await handle.close()
