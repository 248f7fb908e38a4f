"""Which campaigns of the list are asked for: by where they stand, and by a piece of their name."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import msgspec

from promomsg.console.console_types import Look

__all__ = ["STANDINGS", "CampaignFilter"]

STANDINGS: Final = {
    "running": frozenset({"planning", "sending", "following", "waiting"}),
    "paused": frozenset({"paused"}),
    "halted": frozenset({"halted", "stopped"}),
    "ended": frozenset({"done", "cancelled"}),
    "unreadable": frozenset({""}),
}
"""What campaigns can be asked for, and the states that it means."""


class CampaignFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The words of the list's URL.

    Attributes:
        standing: one of `STANDINGS`; empty: whatever it is.
        search: a piece of the campaign's name or of its journal's; upper and lower case are alike.
    """

    standing: str = ""
    search: str = ""

    @property
    def is_of_all(self) -> bool:
        """Whether no campaign is left out."""
        return not (self.standing or self.search)

    def of(self, standing: str) -> CampaignFilter:
        """The same among those that stand so."""
        return CampaignFilter(standing=standing, search=self.search)

    def takes(self, look: Look) -> bool:
        """Whether a campaign is asked for."""
        if self.standing and look.state not in STANDINGS[self.standing]:
            return False
        wanted = self.search.casefold()
        title = "" if look.report is None else look.report.campaign
        return wanted in look.name.casefold() or wanted in title.casefold()

    def url(self, path: str = "/", **changed: str) -> str:
        """The list with some of the words changed; it is the first page unless `after` says which."""
        words = {"state": self.standing, "search": self.search, **changed}
        query = urlencode(
            {name: value for name, value in words.items() if value}, errors="surrogateescape"
        )
        return f"{path}{'?' if query else ''}{query}"
