"""What every journal keeps of what the provider says after a campaign's calls: failure files, and
clicks."""

from __future__ import annotations

from typing import Final, Protocol

from promomsg.journal.records import ClickDay

__all__ = ["FAILURE_FILE_LIMIT", "ProviderAnswers"]

FAILURE_FILE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a failure file that a journal keeps at the most; none that was fetched is longer."""


class ProviderAnswers(Protocol):
    """The part of an open campaign that keeps them. They are gone with the campaign."""

    async def keep_failure_file(self, group_no: int, raw: bytes) -> None:
        """Keeps a group's failure file as it came; one that was kept before is replaced. A journal in
        memory keeps none. `CampaignView.failure_file` gives it out.

        Raises:
            JournalError: it cannot be kept (a full disk), or is over `FAILURE_FILE_LIMIT`.
        """

    async def sent_days(self) -> list[str]:
        """The China-time days (`2026-11-24`) on which singles were intended, in order."""

    async def keep_clicks(self, found: ClickDay) -> None:
        """Keeps what the provider counted for one day; what was kept of the same kind and day before
        is replaced, unless that was asked for later."""

    async def clicks(self) -> list[ClickDay]:
        """Everything that `keep_clicks` kept, in order of days, by message first."""
