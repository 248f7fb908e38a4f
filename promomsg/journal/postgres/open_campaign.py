"""What both halves of an open campaign work with: its record, its access, and its plan while it is
being made."""

from __future__ import annotations

from collections.abc import Sequence

from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.records import CampaignRecord

__all__ = ["OpenCampaign"]


class OpenCampaign:
    """One open campaign.

    Args:
        record: the campaign, as it was read or is to be planned.
        access: how it is written and read; closed with the handle.
        planning: its plan is in the making.
    """

    def __init__(
        self, record: CampaignRecord, access: CampaignAccess, *, planning: bool = False
    ) -> None:
        self._record = record
        self._access = access
        self._planning = planning
        self._added = AddedRows()
        self._looked_at = 0
        """Rows that there were when the server looked at them all."""
        self._pepper: bytes | None = None

    @property
    def record(self) -> CampaignRecord:
        """The campaign, as it was last read or saved here."""
        return self._record

    @property
    def path(self) -> str | None:
        """None: it is no file, and nothing is kept beside it."""
        return None

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._access.close()

    def _warned(self, texts: Sequence[str]) -> None:
        kept = self._record.warnings
        kept += [text for text in dict.fromkeys(texts) if text not in kept]

    def _refuse_complete(self) -> None:
        if not self._planning:
            raise JournalError(f"{self._access.name}: its plan is complete; nothing is added to it")
