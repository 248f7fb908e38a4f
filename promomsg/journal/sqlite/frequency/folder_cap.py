"""A cap on messages per person over the journals of a folder: see `CapCounter`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

from promomsg.errors import JournalError, UsageError
from promomsg.journal.frequency.cap_contract import MessageCap, OverCap, over_cap_reason
from promomsg.journal.records import CampaignRecord
from promomsg.journal.sqlite.access import Access
from promomsg.journal.sqlite.frequency.folder import FolderLock, journals_in
from promomsg.journal.sqlite.frequency.messages import Account, Message, messages_of
from promomsg.journal.sqlite.frequency.over_cap import (
    add_messages,
    begin_count,
    skip_over,
    skip_planned_over,
)
from promomsg.url_origins import origin

__all__ = ["FolderCap"]


class FolderCap:
    """Counts for one open campaign.

    Args:
        access: how its journal is written.
        path: of the journal; None in memory.
    """

    def __init__(self, access: Access, record: CampaignRecord, path: str | None) -> None:
        if path is None:
            raise UsageError(
                "max_per_person: it is counted over the journals of a folder, and this one is in memory; "
                "give a file's path as journal="
            )
        self._access = access
        self._account = Account(record.channel, record.account, origin(record.base_url))
        self._own = path
        self._folder = os.path.dirname(path)
        self._lock = FolderLock(self._folder)

    def hold(self) -> bool:
        """See `CapCounter.hold_cap`."""
        return self._lock.take()

    def release(self) -> None:
        """See `CapCounter.release_cap`."""
        self._lock.release()

    async def skip(
        self, cap: MessageCap, *, planning: bool, smallest_group: int, at: float
    ) -> OverCap:
        """See `CapCounter.skip_over_cap`."""
        others = await asyncio.to_thread(self._others)
        await self._access.alone(begin_count)
        campaigns = 0
        for path in others:
            campaigns += await self._count(path, cap.since)
        reason = over_cap_reason(cap)
        if planning:
            skipped = await self._access.do(skip_planned_over, cap.most, reason, smallest_group)
        else:
            skipped = await self._access.do(skip_over, cap.most, reason, smallest_group, at)
        return OverCap(skipped, campaigns, self._folder)

    def _others(self) -> list[str]:
        try:
            return journals_in(self._folder, self._own)
        except JournalError as error:
            raise self._refusal(error) from None

    async def _count(self, path: str, since: float) -> bool:
        """Counts one journal; whether it has messages of this account since then."""
        pages: Iterator[list[Message]] | None = None
        while True:
            try:
                if pages is None:
                    pages = await asyncio.to_thread(messages_of, path, self._account, since)
                if pages is None:
                    return False
                page = await asyncio.to_thread(next, pages, None)
            except JournalError as error:
                if not os.path.lexists(path):  # noqa: ASYNC240 - a look at a name
                    return False  # moved away meanwhile
                raise self._refusal(error) from None
            if page is None:
                return True
            await self._access.alone(add_messages, page)

    def _refusal(self, error: JournalError) -> JournalError:
        return JournalError(
            f"max_per_person: {error}: it may have reached any of these recipients; mend it, or move it out of "
            f"{self._folder} with all that stands beside it"
        )
